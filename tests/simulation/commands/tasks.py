"""Draw commands of the family ``tasks``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.messages.tasks import (
    AcceptOffer,
    BidOnTask,
    CancelTask,
    ClearStandingBid,
    DeclineOffer,
    PostTask,
    SetStandingBid,
    WithdrawTaskBid,
)

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.commands.view import Drawn, View

__all__ = ["draw"]

_SECOND_US: Final = 1_000_000
_CREDIT: Final = 1_000_000


def draw(random: Random, view: View) -> Drawn:
    """Return a command that an agent might give."""
    dice = random.random()
    if dice < 0.22:
        return PostTask, _task(random, view)
    if dice < 0.7:
        price = random.choice((4, 6, 8, 9, 10, 12, 15)) * _CREDIT // random.choice((1, 1, 1, 1_000))
        return BidOnTask, {"task": view.guess(random, "task"), "price": price}
    if dice < 0.76:
        return WithdrawTaskBid, {"task": view.guess(random, "task")}
    if dice < 0.84:
        return SetStandingBid, _standing_bid(random, view)
    if dice < 0.86:
        return ClearStandingBid, {}
    if dice < 0.90:
        return CancelTask, {"task": view.guess(random, "task")}
    offered = view.recent("tasks.offered")
    number = offered[-1].task if offered else view.guess(random, "task")
    return random.choice((AcceptOffer, DeclineOffer)), {"task": number}


def _task(random: Random, view: View) -> dict[str, Any]:
    is_sale = random.random() < 0.3
    closes_at_us = view.venue_time_us + random.choice((1, 2, 61, 120, 1_800)) * _SECOND_US
    task: dict[str, Any] = {
        "title": "mend what is broken",
        "effort_minutes": random.choice((1, 30, 120)),
        "reserve": 10 * _CREDIT // random.choice((1, 1, 1_000)),
        "closes_at_us": closes_at_us,
        "deadline_us": closes_at_us + random.choice((1, 3, 600, 7_200, 86_400)) * _SECOND_US,
        "direction": "sale" if is_sale else "procurement",
        "pricing": random.choice(("second_price", "second_price", "first_price")),
        "skills": random.choice(([], ["python"], ["python", "rust"], ["cobol"])),
        "max_rounds": random.choice((1, 1, 3)),
        "on_failure": random.choice(("end", "reopen")),
        "late_hours": random.choice((0, 0, 2)),
        "quality_bonus": random.choice((0, _CREDIT)),
        "efficiency_bonus": random.choice((0, 3 * _CREDIT)),
    }
    if is_sale:
        task["reserve"] //= 2
        task["reward"] = random.choice((0, 20 * _CREDIT))
    elif random.random() < 0.5:
        task["max_price"] = task["reserve"] * 2
    if random.random() < 0.4:
        task["attester"] = random.choice(view.agents)
    if random.random() < 0.1:
        task["critical"], task["min_reputation"] = True, random.choice((0, 20, 50, 90))
    return task


def _standing_bid(random: Random, view: View) -> dict[str, Any]:
    bid: dict[str, Any] = {
        "skills": random.choice((["python"], ["python", "rust"], ["rust"])),
        "price_per_hour": random.choice((0, 3, 5)) * _CREDIT,
        "fixed_price": random.choice((1, 1_000, _CREDIT)),
        "load_markup_bp": random.choice((0, 1_000)),
        "capacity": random.choice((1, 2, 5)),
    }
    if random.random() < 0.3:
        bid["until_us"] = view.venue_time_us + random.choice((1, 60, 7_200)) * _SECOND_US
    if random.random() < 0.3:
        bid["max_effort_minutes"] = 60
    return bid

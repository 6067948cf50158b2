"""Draw commands of the family ``packages``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.messages.packages import (
    BidOnPackages,
    CancelPackages,
    DeterminePackages,
    OpenPackages,
    SignPackageBid,
    WithdrawPackageBid,
)

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.commands.view import Drawn, View

__all__ = ["draw"]

_SECOND_US: Final = 1_000_000
_CREDIT: Final = 1_000_000
_ITEMS: Final = ("a", "b", "c", "d")


def draw(random: Random, view: View) -> Drawn:
    """Return a command that an agent might give."""
    number, dice = view.guess(random, "auction"), random.random()
    if dice < 0.25:
        return OpenPackages, _auction(random, view)
    if dice < 0.65:
        return BidOnPackages, _bid(random, view, number)
    if dice < 0.94:
        kind = SignPackageBid if dice < 0.9 else WithdrawPackageBid
        asked = view.recent("packages.signature_requested")
        bidder = random.choice((view.agent, *view.agents))
        bid = (
            {"auction": asked[-1].auction, "bidder": asked[-1].bidder}
            if asked
            else {"auction": number, "bidder": bidder}
        )
        if kind is WithdrawPackageBid:
            return kind, bid
        return kind, {**bid, "version": asked[-1].version if asked else 1}
    if dice < 0.97:
        return CancelPackages, {"auction": number}
    return DeterminePackages, {
        "auction": number,
        "revision": 1,
        "pricing": "vcg",
        "optimal": True,
        "winners": [],
    }


def _auction(random: Random, view: View) -> dict[str, Any]:
    closes_at_us = view.venue_time_us + random.choice((60, 61, 70, 600)) * _SECOND_US
    direction = random.choice(("procurement", "sale"))
    reserves = (5, _CREDIT, 3 * _CREDIT) if direction == "procurement" else (0, 1, _CREDIT)
    return {
        "title": "all together",
        "items": [{"name": name, "reserve": random.choice(reserves)} for name in _ITEMS[: random.randint(1, 4)]],
        "closes_at_us": closes_at_us,
        "deliver_by_us": closes_at_us + random.choice((31, 40, 3_600)) * _SECOND_US,
        "direction": direction,
        "pricing": random.choice(("vcg", "pay_as_bid")),
    }


def _bid(random: Random, view: View, number: int) -> dict[str, Any]:
    alternatives = [
        {
            "items": random.sample(_ITEMS[: random.randint(1, 4)], 1) if random.random() < 0.7 else ["a", "b"],
            "price": random.choice((1, 3, 5, _CREDIT, 2 * _CREDIT)),
        }
        for _ in range(random.randint(1, 3))
    ]
    fields: dict[str, Any] = {"auction": number, "alternatives": alternatives}
    if random.random() < 0.4:
        others = [name for name in view.agents if name != view.agent]
        members = [view.agent, *random.sample(others, min(len(others), random.randint(1, 2)))]
        fields["team"] = [{"agent": name, "weight": random.randint(1, 5)} for name in members]
    return fields

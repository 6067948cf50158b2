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
    number, dice = _number(random, view), random.random()
    asked = view.recent("packages.signature_requested")
    # Who knows of none opens one; who is asked to sign mostly does.
    if dice < (0.2 if view.auctions else 0.7):
        return OpenPackages, _auction(random, view)
    if dice < (0.65 if asked else 0.9):
        return BidOnPackages, _bid(random, view, number)
    if dice < 0.94:
        bid: dict[str, Any] = {"auction": number, "bidder": random.choice((view.agent, *view.agents))}
        version = 1
        if asked:
            bid, version = {"auction": asked[-1].auction, "bidder": asked[-1].bidder}, asked[-1].version
        return (SignPackageBid, {**bid, "version": version}) if dice < 0.91 else (WithdrawPackageBid, bid)
    if dice < 0.97:
        own = [each for each, (_, owner) in view.auctions.items() if owner == view.owner]
        return CancelPackages, {"auction": own[-1] if own else number}
    return DeterminePackages, {
        "auction": number,
        "revision": 1,
        "pricing": "vcg",
        "optimal": True,
        "winners": [],
    }


def _number(random: Random, view: View) -> int:
    """Return an auction that takes the agent's bids, as far as one may know; now and then another."""
    fit = [(us, n) for n, (us, owner) in view.auctions.items() if us > view.venue_time_us and owner != view.owner]
    if fit and random.random() < 0.8:
        # The next to close.
        return random.choice(sorted(fit)[:2])[1]
    return view.guess(random, "auction")


def _auction(random: Random, view: View) -> dict[str, Any]:
    closes_at_us = view.venue_time_us + random.choice((2, 3, 3, 4, 5, 61, 600)) * _SECOND_US
    direction = random.choice(("procurement", "sale"))
    reserves = (5, _CREDIT, 3 * _CREDIT) if direction == "procurement" else (0, 1, _CREDIT)
    return {
        "title": "all together",
        "items": [{"name": name, "reserve": random.choice(reserves)} for name in _ITEMS[: random.randint(1, 4)]],
        "closes_at_us": closes_at_us,
        "deliver_by_us": closes_at_us + random.choice((5, 31, 40, 3_600)) * _SECOND_US,
        "direction": direction,
        "pricing": random.choice(("vcg", "pay_as_bid")),
    }


def _bid(random: Random, view: View, number: int) -> dict[str, Any]:
    alternatives = [
        {
            "items": [random.choice("aabcd")] if random.random() < 0.6 else ["a", "b"],
            "price": random.choice((1, 3, 5, _CREDIT, 2 * _CREDIT)),
        }
        for _ in range(random.randint(1, 3))
    ]
    fields: dict[str, Any] = {"auction": number, "alternatives": alternatives}
    if random.random() < 0.4:
        others = [name for name in view.agents if name != view.agent]
        members = [view.agent, *random.sample(others, min(len(others), random.choice((1, 1, 2))))]
        fields["team"] = [{"agent": name, "weight": random.randint(1, 5)} for name in members]
    return fields

"""Draw commands of the family ``predictions``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.messages.predictions import (
    AcceptResolution,
    BuyShares,
    CancelShareOrder,
    ClaimOutcome,
    MergeSets,
    MintSets,
    OpenPrediction,
    PlaceShareOrder,
    ResolvePrediction,
    SellShares,
)

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.commands.view import Drawn, View

__all__ = ["draw"]

_SECOND_US: Final = 1_000_000
_SHARE: Final = 1_000_000
_OUTCOMES: Final = ("yes", "no")
_OF_THE_MAKER: Final = 0.52
_CRUMBS: Final = (1, 2, 7, 999, 123_457)
"""Shares and limits that make rounding count."""


def draw(random: Random, view: View) -> Drawn:
    """Return a command that an agent might give."""
    dice, outcome = random.random(), random.choice(_OUTCOMES)
    number = view.guess(random, "prediction:lmsr" if dice < _OF_THE_MAKER else "prediction:book")
    task = _own_task(random, view)
    if dice < 0.10 or (task is not None and random.random() < 0.15):
        return OpenPrediction, _market(random, view, task)
    if dice < 0.38:
        number = view.guess(random, "prediction:begun") if random.random() < 0.2 else number
        shares = random.choice((*_CRUMBS, _SHARE, 3 * _SHARE, 40 * _SHARE))
        limit = random.choice((20 * _SHARE, 20 * _SHARE, shares // 2 + 1))
        return BuyShares, {"market": number, "outcome": outcome, "shares": shares, "max_cost": limit}
    if dice < _OF_THE_MAKER:
        number, outcome, most = _traded(random, view)
        shares = random.choice((most, max(most // 2, 1), 1))
        return SellShares, {"market": number, "outcome": outcome, "shares": shares}
    if dice < 0.57:
        return MintSets, {"market": number, "sets": random.choice((1, 5))}
    if dice < 0.60:
        return MergeSets, {"market": number, "sets": random.choice((1, 1, 5))}
    if dice < 0.81:
        fields = {"market": number, "outcome": outcome, "side": random.choice(("buy", "buy", "sell"))}
        fields |= {"shares": _SHARE * random.choice((1, 2, 5)), "price": 50_000 * random.randint(6, 14)}
        return PlaceShareOrder, fields | {"time_in_force": random.choice(("gtc", "gtc", "gtc", "ioc"))}
    if dice < 0.85:
        return CancelShareOrder, _order(random, view, number)
    happened = random.choice(("yes", "no", "no", "yes", None))
    said: dict[str, Any] = {"void": True} if happened is None else {"outcome": happened}
    if dice < 0.93:
        known = [event.market for event in view.recent("predictions.opened") if event.creator != view.agent]
        return ResolvePrediction, {"market": random.choice(known) if known else number, **said}
    known = [event.market for event in view.recent("predictions.reported")]
    number = random.choice(known) if known else number
    return (ClaimOutcome, {"market": number, **said}) if dice < 0.96 else (AcceptResolution, {"market": number})


def _market(random: Random, view: View, task: int | None) -> dict[str, Any]:
    now_us = view.venue_time_us
    fields: dict[str, Any] = {"question": "will it rain", "kind": random.choice(("lmsr", "lmsr", "book"))}
    if fields["kind"] == "lmsr":
        fields["liquidity"] = random.choice((None, 1_000, _SHARE, 3_141_593))
    if task is not None and random.random() < 0.8:
        return fields | {"task": task}
    closes_at_us = now_us + random.choice((1, 600, 86_400, 259_200, 259_200)) * _SECOND_US
    return fields | {
        "outcomes": random.choice((["yes", "no"], ["yes", "no"], ["yes", "no", "perhaps"])),
        "closes_at_us": closes_at_us,
        "resolve_by_us": closes_at_us + random.choice((1, 3_600, 86_400, 86_400)) * _SECOND_US,
        "resolver": random.choice(view.agents),
    }


def _own_task(random: Random, view: View) -> int | None:
    rounds = view.recent("tasks.round_opened")
    return rounds[-1 - random.randrange(min(len(rounds), 2))].task if rounds else None


def _traded(random: Random, view: View) -> tuple[int, str, int]:
    """Return a market, an outcome and how many shares of it were bought there lately."""
    bought = [event for event in view.recent("predictions.traded") if event.side == "buy"]
    if not bought:
        return view.guess(random, "prediction:lmsr"), "yes", 1
    event = random.choice(bought)
    return event.market, event.outcome, event.shares


def _order(random: Random, view: View, number: int) -> dict[str, Any]:
    """Return an order of the agent's own that filled a little; now and then of anybody's."""
    orders = [event for event in view.recent("predictions.traded") if event.order is not None]
    if orders and random.random() < 0.6:
        event = random.choice(orders)
        return {"market": event.market, "order": event.order}
    return {"market": number, "order": random.randrange(1, 40)}

"""Faults of prediction markets."""

from __future__ import annotations

from typing import Any

from exchange.mechanisms import fixed
from exchange.mechanisms.predictions import lmsr
from exchange.mechanisms.predictions.book import ShareOrder
from exchange.mechanisms.predictions.market import Market
from exchange.mechanisms.predictions.mechanism import Predictions
from exchange.mechanisms.predictions.ordering import Ordering
from tests.core.planted import plant

_due = Market.due
_load = Market.load


def _charge_less(change: fixed.Decimal) -> int:
    return fixed.floor(change)


def _pay_both_outcomes(self: Market) -> list[tuple[str, int]]:
    return [(name, paid + sum(self.traders[name].shares)) for name, paid in _due(self)]


def _stop_with_orders(self: Predictions, market: Market, reason: Any) -> None:
    market.accrue(self.context.time_us)
    market.state = "closed"
    self.context.deadlines.cancel(market.closes_id)
    market.closes_id = 0


def _drop_and_keep_the_hold(self: Ordering, market: Market, order: ShareOrder, posting: Any) -> None:
    if order.side == "sell":
        market.traders[order.agent].offered[order.outcome] -= order.remaining
    self._forget(market, order)


def _accrue_nothing(self: Market, now_us: int) -> None:
    self.priced_us = now_us


def _load_without_averages(state: Any) -> Market:
    market = _load(state)
    market.averages = [0] * len(market.outcomes)
    return market


plant("shares are rounded in favour of who buys", lmsr, "charged", _charge_less, "predictions")
plant("every outcome pays", Market, "due", _pay_both_outcomes, "predictions")
plant("orders outlive trading", Predictions, "stop", _stop_with_orders, "predictions")
plant("a canceled order keeps its hold", Ordering, "_drop", _drop_and_keep_the_hold, "predictions")
plant("prices are not counted over time", Market, "accrue", _accrue_nothing, "predictions")
plant("a snapshot forgets how prices stood", Market, "load", staticmethod(_load_without_averages), "predictions")

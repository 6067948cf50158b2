"""Find the price of a call auction: maximal volume, then minimal imbalance, then nearest to the reference."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exchange.mechanisms.orders.book import BookSide
    from exchange.mechanisms.orders.market import Market

__all__ = ["clearing_price"]


def clearing_price(market: Market) -> int | None:
    """Return the uniform price at which a crossed book trades, or None when nothing crosses.

    Candidates are every limit price in the crossing range and, since volume does not change between
    two of them, the tick between two that is nearest to the reference. The last tie goes to the
    lower price.
    """
    best_bid, best_ask = market.bids.best_price, market.asks.best_price
    if best_bid is None or best_ask is None or best_bid < best_ask:
        return None
    demand = _quantities(market.bids, best_ask, best_bid)
    supply = _quantities(market.asks, best_ask, best_bid)
    prices = sorted({*demand, *supply})
    candidates = _with_gaps(prices, market)
    bought = _cumulate(demand, candidates[::-1])
    sold = _cumulate(supply, candidates)
    reference = _reference(market, best_bid, best_ask)
    return min(
        candidates,
        key=lambda price: (
            -min(bought[price], sold[price]),
            abs(bought[price] - sold[price]),
            abs(price - reference),
            price,
        ),
    )


def _reference(market: Market, best_bid: int, best_ask: int) -> int:
    """Return what the last rule measures from: the reference, else the middle of the crossing range."""
    if market.reference_price is not None:
        return market.reference_price
    return (best_bid + best_ask) // 2


def _quantities(side: BookSide, low: int, high: int) -> dict[int, int]:
    """Sum the quantities of a side per limit price within the crossing range, hidden ones included."""
    sums: dict[int, int] = {}
    for order in side.orders():
        if not low <= order.price <= high:
            break
        sums[order.price] = sums.get(order.price, 0) + order.remaining
    return sums


def _with_gaps(prices: list[int], market: Market) -> list[int]:
    """Add, between neighbouring prices, the tick that is nearest to the reference."""
    tick = market.tick
    reference = _reference(market, prices[-1], prices[0])
    found = list(prices)
    for below, above in pairwise(prices):
        first, last = below + tick, above - tick
        if first <= last:
            # Both ticks around the reference: which is nearer, the rule itself decides.
            below_reference = reference - reference % tick
            found.extend(min(max(price, first), last) for price in (below_reference, below_reference + tick))
    return sorted(dict.fromkeys(found))


def _cumulate(quantities: dict[int, int], prices: list[int]) -> dict[int, int]:
    """Return the running sum of quantities over prices in the given order."""
    total = 0
    sums: dict[int, int] = {}
    for price in prices:
        total += quantities.get(price, 0)
        sums[price] = total
    return sums

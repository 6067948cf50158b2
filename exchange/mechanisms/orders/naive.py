"""Keep a book in the plainest way: two lists, sorted anew for every question.

It is the reference for ``FastBook``: the same commands must give the same events and the same state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.mechanisms.orders.book import BookSide
    from exchange.mechanisms.orders.order import Order

__all__ = ["NaiveBook", "NaiveSide"]


class NaiveSide:
    """Keep one side as a list in order of arrival."""

    def __init__(self, *, is_bid: bool) -> None:
        self._is_bid = is_bid
        self._queue: list[Order] = []
        self.touched: dict[int, None] = {}

    def best(self) -> Order | None:
        """Return the order that trades first."""
        return next(self.orders(), None)

    @property
    def best_price(self) -> int | None:
        """Return the best price."""
        best = self.best()
        return None if best is None else best.price

    def add(self, order: Order) -> None:
        """Put an order at the end of its price."""
        self._queue.append(order)
        order.level = self
        self.touched[order.price] = None

    def remove(self, order: Order) -> None:
        """Take an order out."""
        self._queue.remove(order)
        order.level = None
        self.touched[order.price] = None

    def fill(self, order: Order, quantity: int) -> None:
        """Take ``quantity`` (≤ shown) off a resting order; refresh an iceberg; drop what is filled."""
        order.remaining -= quantity
        order.shown -= quantity
        self.touched[order.price] = None
        if order.shown == 0:
            self.remove(order)
            # What ``remove`` leaves is a filled order with nothing to show, as in every book.
            order.shown = quantity
            if order.remaining:
                order.shown = min(order.display, order.remaining)
                self.add(order)

    def reduce(self, order: Order, quantity: int) -> None:
        """Take ``quantity`` (< remaining) off a resting order, which keeps its place."""
        order.remaining -= quantity
        if order.shown > order.remaining:
            order.shown = order.remaining
            self.touched[order.price] = None

    def orders(self) -> Iterator[Order]:
        """Yield the orders as they would trade: best price first, then by time."""
        sign = -1 if self._is_bid else 1
        # Sorting is stable, so equal prices stay in order of arrival.
        yield from sorted(self._queue, key=lambda order: sign * order.price)

    def depth(self, count: int) -> list[tuple[int, int]]:
        """Return the best ``count`` prices with their displayed quantities."""
        sums: dict[int, int] = {}
        for order in self.orders():
            sums[order.price] = sums.get(order.price, 0) + order.shown
        return list(sums.items())[:count]

    def displayed(self, price: int) -> int:
        """Return the displayed quantity at a price."""
        return sum(order.shown for order in self._queue if order.price == price)


class NaiveBook:
    """Keep both sides of a market as lists."""

    def __init__(self) -> None:
        self.bids: BookSide = NaiveSide(is_bid=True)
        self.asks: BookSide = NaiveSide(is_bid=False)

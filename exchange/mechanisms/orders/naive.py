"""Keep a book in the plainest way: two lists, sorted anew for every question.

It is the reference for ``FastSide``: the same commands must give the same events and the same state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from exchange.mechanisms.orders.book import Book, BookSide, Level
from exchange.mechanisms.orders.mechanism import Orders

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.mechanisms.orders.order import Order

__all__ = ["NaiveOrders", "NaiveSide", "naive_book"]


class NaiveSide(BookSide):
    """Keep one side as a list in order of arrival."""

    def __init__(self, *, is_bid: bool) -> None:
        super().__init__()
        self._is_bid = is_bid
        self._queue: list[Order] = []
        # Says of an order that it rests; levels mean nothing here.
        self._resting = Level(0, 0)

    def best(self) -> Order | None:
        """Return the order that trades first."""
        return next(self.orders(), None)

    def _look(self, price: int) -> None:
        """Note that a price changed, and what the best one is now."""
        self.touched[price] = None
        best = self.best()
        self.best_price = None if best is None else best.price

    def add(self, order: Order) -> None:
        """Put an order at the end of its price."""
        self._queue.append(order)
        order.level = self._resting
        self._look(order.price)

    def remove(self, order: Order) -> None:
        """Take an order out."""
        self._queue.remove(order)
        order.level = None
        self._look(order.price)

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


def naive_book() -> Book:
    """Return an empty book of two lists."""
    return Book(NaiveSide(is_bid=True), NaiveSide(is_bid=False))


class NaiveOrders(Orders):
    """Be the mechanism as it is, but with naive books."""

    new_book: ClassVar = staticmethod(naive_book)

"""Keep the resting orders of one market by price and time.

A side is a heap of prices over a dictionary of levels; a level is a list of orders with holes. Adding,
removing and finding the best cost O(1) but for a new price, which costs one heap push. A level that
empties away from the best stays as a husk until it surfaces or husks outnumber the living.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.mechanisms.orders.order import Order

__all__ = ["Book", "BookSide", "FastSide", "Level", "fast_book"]

_SLACK: Final = 64
"""So many husks may lie in a side, and holes in a level, before it is worth rebuilding."""

_LENGTH_PER_ORDER: Final = 4
"""A level may have so many places per order that stands in it."""


class BookSide(ABC):
    """Say what the rules ask of one side of a book; every implementation gives the same answers."""

    __slots__ = ("best_price", "touched")

    def __init__(self) -> None:
        self.best_price: int | None = None
        """The best price, None when the side is empty."""
        self.touched: dict[int, None] = {}
        """The prices whose displayed quantity changed since the last look, in order of change."""

    @abstractmethod
    def best(self) -> Order | None:
        """Return the order that trades first."""

    @abstractmethod
    def add(self, order: Order) -> None:
        """Put an order at the end of its price."""

    @abstractmethod
    def remove(self, order: Order) -> None:
        """Take an order out."""

    @abstractmethod
    def fill(self, order: Order, quantity: int) -> None:
        """Take ``quantity`` (≤ shown) off a resting order; refresh an iceberg; drop what is filled."""

    @abstractmethod
    def reduce(self, order: Order, quantity: int) -> None:
        """Take ``quantity`` (< remaining) off a resting order, which keeps its place."""

    @abstractmethod
    def orders(self) -> Iterator[Order]:
        """Yield the orders as they would trade: best price first, then by time."""

    @abstractmethod
    def depth(self, count: int) -> list[tuple[int, int]]:
        """Return the best ``count`` prices with their displayed quantities."""

    @abstractmethod
    def displayed(self, price: int) -> int:
        """Return the displayed quantity at a price."""


class Book:
    """Hold the two sides of a market."""

    __slots__ = ("asks", "bids")

    def __init__(self, bids: BookSide, asks: BookSide) -> None:
        self.bids = bids
        self.asks = asks


class Level:
    """Hold the orders at one price, first come first.

    An order that leaves makes a hole at its place, so that no other order has to be looked at: in a
    large book each of them would have to be fetched from main memory. ``start`` is where the first
    order stands.
    """

    __slots__ = ("displayed", "key", "live", "price", "queue", "start")

    def __init__(self, price: int, key: int) -> None:
        self.price = price
        self.key = key
        self.displayed = 0
        self.live = 0
        self.start = 0
        self.queue: list[Order | None] = []

    def append(self, order: Order) -> None:
        """Put an order at the end."""
        queue = self.queue
        order.slot = len(queue)
        queue.append(order)
        self.live += 1
        order.level = self

    def discard(self, order: Order) -> None:
        """Take an order out, wherever it stands."""
        queue = self.queue
        queue[order.slot] = None
        order.level = None
        self.live -= 1
        if not self.live:
            queue.clear()
            self.start = 0
        elif len(queue) > _LENGTH_PER_ORDER * self.live + _SLACK:
            self._close_up()
        elif order.slot == self.start:
            at = self.start + 1
            while queue[at] is None:
                at += 1
            self.start = at

    def _close_up(self) -> None:
        """Drop the holes; this happens so rarely that it costs next to nothing per order."""
        self.queue = [order for order in self.queue if order is not None]
        self.start = 0
        for slot, order in enumerate(self.queue):
            if order is not None:
                order.slot = slot


class FastSide(BookSide):
    """Keep one side of a book; ``is_bid`` says whether high prices come first."""

    __slots__ = ("_best", "_heap", "_husks", "_is_bid", "_levels")

    def __init__(self, *, is_bid: bool) -> None:
        super().__init__()
        self._is_bid = is_bid
        self._levels: dict[int, Level] = {}
        self._heap: list[int] = []
        self._best: Level | None = None
        self._husks = 0

    def best(self) -> Order | None:
        """Return the order that trades first."""
        level = self._best
        return None if level is None else level.queue[level.start]

    def add(self, order: Order) -> None:
        """Put an order at the end of its price."""
        price = order.price
        # One object for every key.
        key_price: Any = price
        level = self._levels.get(key_price)
        if level is None:
            key = -price if self._is_bid else price
            level = self._levels[key_price] = Level(price, key)
            heappush(self._heap, key)
            best = self._best
            if best is None or key < best.key:
                self._best = level
                self.best_price = price
        elif not level.live:
            self._husks -= 1
            best = self._best
            if best is None or level.key < best.key:
                self._best = level
                self.best_price = price
        level.append(order)
        level.displayed += order.shown
        self.touched[key_price] = None

    def remove(self, order: Order) -> None:
        """Take an order out."""
        level = order.level
        if level is None:
            raise _not_resting(order)
        level.displayed -= order.shown
        self.touched[level.price] = None
        level.discard(order)
        if not level.live:
            self._leave_husk(level)

    def fill(self, order: Order, quantity: int) -> None:
        """Take ``quantity`` (≤ shown) off a resting order; refresh an iceberg; drop what is filled."""
        order.remaining -= quantity
        shown = order.shown
        if quantity < shown:
            order.shown = shown - quantity
            self._show(order, -quantity)
            return
        # The displayed part is gone, and with it the place in the queue.
        self.remove(order)
        if order.remaining:
            order.shown = min(order.display, order.remaining)
            self.add(order)

    def reduce(self, order: Order, quantity: int) -> None:
        """Take ``quantity`` (< remaining) off a resting order, which keeps its place."""
        order.remaining -= quantity
        # What an iceberg does not show goes first.
        hidden_left = order.remaining - order.shown
        if hidden_left < 0:
            order.shown += hidden_left
            self._show(order, hidden_left)

    def _show(self, order: Order, quantity: int) -> None:
        """Count that a resting order shows so much more."""
        level = order.level
        if level is None:
            raise _not_resting(order)
        level.displayed += quantity
        self.touched[level.price] = None

    def orders(self) -> Iterator[Order]:
        """Yield the orders as they would trade: best price first, then by time."""
        for level in self._ascending():
            for order in level.queue:
                if order is not None:
                    yield order

    def depth(self, count: int) -> list[tuple[int, int]]:
        """Return the best ``count`` prices with their displayed quantities."""
        found: list[tuple[int, int]] = []
        for level in self._ascending():
            if len(found) == count:
                break
            found.append((level.price, level.displayed))
        return found

    def displayed(self, price: int) -> int:
        """Return the displayed quantity at a price."""
        level = self._levels.get(price)
        return 0 if level is None else level.displayed

    def _ascending(self) -> Iterator[Level]:
        """Yield the living levels best first, the k-th after O(k log k): the heap stays as it is."""
        heap, levels, sign = self._heap, self._levels, -1 if self._is_bid else 1
        size = len(heap)
        frontier = [(heap[0], 0)] if heap else []
        while frontier:
            key, at = heappop(frontier)
            for child in (2 * at + 1, 2 * at + 2):
                if child < size:
                    heappush(frontier, (heap[child], child))
            level = levels[sign * key]
            if level.live:
                yield level

    def _leave_husk(self, level: Level) -> None:
        self._husks += 1
        levels = self._levels
        sign = -1 if self._is_bid else 1
        if level is self._best:
            heap = self._heap
            while heap:
                top = levels[sign * heap[0]]
                if top.live:
                    self._best = top
                    self.best_price = top.price
                    break
                heappop(heap)
                del levels[top.price]
                self._husks -= 1
            else:
                self._best = self.best_price = None
        elif self._husks > _SLACK and 2 * self._husks > len(levels):
            self._levels = {price: each for price, each in levels.items() if each.live}
            self._heap = [each.key for each in self._levels.values()]
            heapify(self._heap)
            self._husks = 0


def _not_resting(order: Order) -> ValueError:
    return ValueError(f"order {order.order_id} rests in no book")


def fast_book() -> Book:
    """Return an empty book whose costs do not grow with what rests in it."""
    return Book(FastSide(is_bid=True), FastSide(is_bid=False))

"""Keep the stops of one market until the last trade reaches their trigger."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.mechanisms.orders.order import Order

__all__ = ["StopBook"]

_SLACK: Final = 64


class _StopSide:
    """Order stops by trigger, then by id; canceled ones lie in the heap until it is worth rebuilding."""

    __slots__ = ("_heap", "_is_buy", "_live")

    def __init__(self, *, is_buy: bool) -> None:
        self._is_buy = is_buy
        self._heap: list[tuple[int, int]] = []
        self._live: dict[int, Order] = {}

    def __len__(self) -> int:
        return len(self._live)

    def _key(self, trigger_price: int) -> int:
        # A rising price sets off buys from the lowest trigger up, a falling one sells from the highest down.
        return trigger_price if self._is_buy else -trigger_price

    def add(self, order: Order, trigger_price: int) -> None:
        self._live[order.order_id] = order
        heappush(self._heap, (self._key(trigger_price), order.order_id))

    def remove(self, order: Order) -> None:
        del self._live[order.order_id]
        self._tidy()

    def move(self, order: Order, trigger_price: int) -> None:
        heappush(self._heap, (self._key(trigger_price), order.order_id))
        self._tidy()

    def _tidy(self) -> None:
        if len(self._heap) > 2 * len(self._live) + _SLACK:
            self._heap = [
                (self._key(order.trigger_price), order.order_id)
                for order in self._live.values()
                if order.trigger_price is not None
            ]
            heapify(self._heap)

    def take(self, last_price: int) -> Iterator[Order]:
        heap = self._heap
        reached = self._key(last_price)
        while heap and heap[0][0] <= reached:
            key, order_id = heappop(heap)
            order = self._live.get(order_id)
            # An entry whose trigger was amended since has a newer one beside it.
            if order is not None and order.trigger_price is not None and self._key(order.trigger_price) == key:
                del self._live[order_id]
                yield order

    def orders(self) -> list[Order]:
        return [self._live[order_id] for order_id in sorted(self._live)]


class StopBook:
    """Hold the waiting stops of both sides."""

    __slots__ = ("_buys", "_sells")

    def __init__(self) -> None:
        self._buys = _StopSide(is_buy=True)
        self._sells = _StopSide(is_buy=False)

    def __len__(self) -> int:
        """Return how many stops wait."""
        return len(self._buys) + len(self._sells)

    def _side(self, order: Order) -> _StopSide:
        return self._buys if order.is_buy else self._sells

    def add(self, order: Order, trigger_price: int) -> None:
        """Let an order wait for ``trigger_price``."""
        self._side(order).add(order, trigger_price)

    def remove(self, order: Order) -> None:
        """Forget a waiting order."""
        self._side(order).remove(order)

    def move(self, order: Order, trigger_price: int) -> None:
        """Give a waiting order, whose ``trigger_price`` was just set, its new place."""
        self._side(order).move(order, trigger_price)

    def take(self, last_price: int) -> list[Order]:
        """Take out what a trade at ``last_price`` sets off: by trigger, then by id; buys first."""
        return [*self._buys.take(last_price), *self._sells.take(last_price)]

    def orders(self) -> list[Order]:
        """Return the waiting orders, buys first, each by id."""
        return [*self._buys.orders(), *self._sells.orders()]

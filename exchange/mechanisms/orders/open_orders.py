"""Find a trader's live orders by their ids."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

if TYPE_CHECKING:
    from exchange.mechanisms.orders.order import Order

__all__ = ["OpenOrders"]

_SMALLEST: Final = 8
_HASHED_BITS: Final = 2**28 - 1
_MULTIPLIER: Final[i64] = 0x9E3779B1
"""2³² divided by the golden ratio: it spreads ids that lie regularly apart, as those of one of many traders do."""

_by_id: Final = attrgetter("order_id")


class OpenOrders:
    """Be a hash table in which the orders are their own keys, with linear probing, at most half full.

    A dictionary would hold one integer object per order. To look at it costs a fetch from main memory
    in a large book; and as these die at random among millions, the short-lived integers of every
    command would be put into the holes that they leave, all over the heap. Knuth, The Art of Computer
    Programming, vol. 3, 6.4, algorithms L and R.
    """

    __slots__ = ("_count", "_mask", "_slots")

    def __init__(self) -> None:
        self._count = 0
        self._mask: i64 = _SMALLEST - 1
        self._slots: list[Order | None] = [None] * _SMALLEST

    def __len__(self) -> int:
        """Return how many orders are live."""
        return self._count

    def get(self, order_id: int) -> Order | None:
        """Return a live order, or None."""
        slots, mask = self._slots, self._mask
        at = _home(order_id, mask)
        while True:
            order = slots[at]
            if order is None or order.order_id == order_id:
                return order
            at = (at + 1) & mask

    def add(self, order: Order) -> None:
        """Take in an order, which must not be in."""
        if 2 * self._count > self._mask:
            self._resize(2 * self._mask + 2)
        self._count += 1
        self._put(order)

    def _put(self, order: Order) -> None:
        slots, mask = self._slots, self._mask
        at = _home(order.order_id, mask)
        while slots[at] is not None:
            at = (at + 1) & mask
        slots[at] = order

    def discard(self, order: Order) -> None:
        """Forget an order.

        Raises:
            KeyError: it is not in.
        """
        slots, mask = self._slots, self._mask
        hole = _home(order.order_id, mask)
        while slots[hole] is not order:
            if slots[hole] is None:
                raise KeyError(order.order_id)
            hole = (hole + 1) & mask
        self._count -= 1
        # Whoever would not be found any more past the hole moves into it, and leaves the next one.
        at = hole
        while True:
            at = (at + 1) & mask
            other = slots[at]
            if other is None:
                break
            if (at - _home(other.order_id, mask)) & mask >= (at - hole) & mask:
                slots[hole] = other
                hole = at
        slots[hole] = None
        if self._mask >= _SMALLEST and 8 * self._count < self._mask:
            self._resize((self._mask + 1) // 2)

    def _resize(self, size: i64) -> None:
        orders = [order for order in self._slots if order is not None]
        self._mask = size - 1
        self._slots = [None] * int(size)
        for order in orders:
            self._put(order)

    def sorted(self) -> list[Order]:
        """Return the live orders by ascending id; costs O(n log n)."""
        return sorted([order for order in self._slots if order is not None], key=_by_id)


def _home(order_id: int, mask: i64) -> i64:
    """Return where an order should stand in a table of ``mask + 1`` places, a power of two."""
    # This never leaves a machine word, so the compiled core and Python come to the same place.
    return i64(order_id & _HASHED_BITS) * _MULTIPLIER >> 20 & mask

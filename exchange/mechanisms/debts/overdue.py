"""Find the debt that has been overdue for longest, whatever number of them there is."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from exchange.mechanisms.debts.token import Token

__all__ = ["Overdue"]

_SLACK: Final = 64
"""So many debts that are overdue no more may lie in the heap before it is worth rebuilding."""


class Overdue:
    """Hold the debts that are overdue by (maturity, number), and the sum of what is owed on them.

    Adding and removing cost O(log n), amortized: what is removed stays in the heap until it surfaces.
    """

    def __init__(self) -> None:
        self.hours = 0
        self._live: dict[int, int] = {}
        """When each of them matured."""
        self._heap: list[tuple[int, int]] = []

    def __len__(self) -> int:
        """Return how many debts are overdue."""
        return len(self._live)

    def __contains__(self, number: int) -> bool:
        """Return whether a debt is overdue."""
        return number in self._live

    def add(self, token: Token) -> None:
        """Take in a debt."""
        self._live[token.number] = token.maturity_us
        self.hours += token.owed
        heappush(self._heap, (token.maturity_us, token.number))

    def remove(self, token: Token) -> None:
        """Let a debt be overdue no more."""
        del self._live[token.number]
        self.hours -= token.owed
        if len(self._heap) > 2 * len(self._live) + _SLACK:
            self._heap = [(maturity_us, number) for number, maturity_us in self._live.items()]
            heapify(self._heap)

    def oldest(self) -> int | None:
        """Return the debt that matured first; of those that matured together, the one with the smallest number."""
        heap = self._heap
        while heap and heap[0][1] not in self._live:
            heappop(heap)
        return heap[0][1] if heap else None

"""Keep deadlines in (deadline, id) order; forget canceled ones without searching."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Any, Final

from exchange.mechanisms.base import Scheduler

__all__ = ["Deadlines"]

_SLACK: Final = 256
"""So many canceled deadlines may lie in the heap before it is worth rebuilding."""

Entry = tuple[int, int, str, tuple[str | int, ...]]


class Deadlines(Scheduler):
    """Hold the deadlines of the venue: scheduling and canceling cost O(log n), amortized."""

    def __init__(self) -> None:
        self._heap: list[Entry] = []
        self._live: dict[int, Entry] = {}
        self._last_id = 0

    def __len__(self) -> int:
        """Return how many deadlines are pending."""
        return len(self._live)

    def schedule(self, deadline_us: int, kind: str, *args: str | int) -> int:
        """Let ``kind`` fire with ``args`` at ``deadline_us``; return the id to cancel it with."""
        self._last_id += 1
        entry = (deadline_us, self._last_id, kind, args)
        self._live[self._last_id] = entry
        heappush(self._heap, entry)
        return self._last_id

    def cancel(self, deadline_id: int) -> None:
        """Forget a deadline; unknown ids are ignored."""
        if self._live.pop(deadline_id, None) is None:
            return
        # What is canceled stays in the heap until it surfaces or outnumbers what lives.
        if len(self._heap) > 2 * len(self._live) + _SLACK:
            self._heap = list(self._live.values())
            heapify(self._heap)

    def next_us(self) -> int | None:
        """Return the earliest pending deadline, in venue time."""
        heap = self._heap
        while heap and heap[0][1] not in self._live:
            heappop(heap)
        return heap[0][0] if heap else None

    def exceed(self, time_us: int, count: int) -> bool:
        """Return whether more than ``count`` deadlines are due at ``time_us``; costs O(count) at most."""
        if len(self._live) <= count:
            return False
        # Down the heap, a child is never due before its parent.
        heap, frontier, found = self._heap, [0], 0
        while frontier:
            at = frontier.pop()
            if at < len(heap) and heap[at][0] <= time_us:
                found += heap[at][1] in self._live
                if found > count:
                    return True
                frontier += (2 * at + 1, 2 * at + 2)
        return False

    def pop_due(self, time_us: int) -> Entry | None:
        """Take the first deadline at or before ``time_us``, if there is one."""
        due = self.next_us()
        if due is None or due > time_us:
            return None
        entry = heappop(self._heap)
        del self._live[entry[1]]
        return entry

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave; nothing may be pending yet."""
        self._last_id, entries = state
        # They come in order, and what is in order is a heap.
        self._heap = [(deadline, number, kind, tuple(args)) for deadline, number, kind, args in entries]
        self._live = {entry[1]: entry for entry in self._heap}

    def dump(self) -> list[object]:
        """Return the state as plain data, for hashes and snapshots."""
        return [self._last_id, [[d, i, kind, list(args)] for d, i, kind, args in sorted(self._live.values())]]

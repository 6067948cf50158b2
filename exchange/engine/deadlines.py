"""Keep deadlines in (deadline, id) order; forget canceled ones without searching; stop the clock in halts."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Any, Final

from exchange.mechanisms.base import VENUE_SCOPE, Scheduler

__all__ = ["GRACE_US", "Deadlines", "scope_of"]

GRACE_US: Final = 300_000_000
"""A party's act whose deadline fell into a stop has 5 minutes from when its scope works again."""

_SLACK: Final = 256
"""So many canceled deadlines may lie in the heap before it is worth rebuilding."""

Entry = tuple[int, int, str, tuple[str | int, ...]]


def scope_of(family: str) -> str:
    """Return the scope of a whole mechanism: while it is suspended, none of its deadlines fires."""
    return f"mechanism:{family}"


class _Act:
    """Remember of a deadline that it is for a party's act: where, and whether it was moved already."""

    __slots__ = ("is_moved", "scope")

    def __init__(self, scope: str, is_moved: bool) -> None:  # noqa: FBT001 - also from dumps
        self.scope = scope
        self.is_moved = is_moved


class Deadlines(Scheduler):
    """Hold the deadlines of the venue: scheduling and canceling cost O(log n), amortized.

    What is due in a scope that is stopped waits aside, so that it costs nothing until the scope works again.
    """

    def __init__(self) -> None:
        self._heap: list[Entry] = []
        self._live: dict[int, Entry] = {}
        self._last_id = 0
        self._acts: dict[int, _Act] = {}
        self._stopped: dict[str, None] = {}
        self._works_since_us: dict[str, int] = {}
        """When a scope that had been stopped began to work again."""
        self._waiting: dict[str, dict[int, None]] = {}
        """Due deadlines by what stops them; they are live, but not in the heap."""
        self.grace_us = GRACE_US
        self.time_us = 0
        """The time of the batch under way; the engine sets it."""

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

    def schedule_act(self, deadline_us: int, kind: str, scope: str, *args: str | int) -> int:
        """Do as ``schedule`` does for the deadline of a party's act; halts and outages move it."""
        number = self.schedule(deadline_us, kind, *args)
        self._acts[number] = _Act(scope, False)
        return number

    def cancel(self, deadline_id: int) -> None:
        """Forget a deadline; unknown ids are ignored."""
        if self._live.pop(deadline_id, None) is None:
            return
        self._acts.pop(deadline_id, None)
        waiting = 0
        for numbers in self._waiting.values():
            numbers.pop(deadline_id, None)
            waiting += len(numbers)
        # What is canceled stays in the heap until it surfaces or outnumbers what lives.
        if len(self._heap) > 2 * (len(self._live) - waiting) + _SLACK:
            self._rebuild()

    def due_us(self, deadline_id: int) -> int | None:
        """Return until when a deadline runs, as far as is known; None once it has passed or was canceled."""
        entry = self._live.get(deadline_id)
        return None if entry is None else entry[0]

    def next_us(self) -> int | None:
        """Return the earliest pending deadline that nothing stops, in venue time."""
        heap = self._heap
        while heap and heap[0][1] not in self._live:
            heappop(heap)
        return heap[0][0] if heap else None

    def peek(self) -> Entry | None:
        """Return the earliest pending deadline that nothing stops."""
        return None if self.next_us() is None else self._heap[0]

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
        """Take the first deadline at or before ``time_us`` that nothing stops or moves, if there is one."""
        while True:
            due = self.next_us()
            if due is None or due > time_us:
                return None
            entry = heappop(self._heap)
            if (self._stopped or self._acts) and self._is_held_back(entry):
                continue
            del self._live[entry[1]]
            return entry

    # ── stopped clocks ──────────────────────────────────────────────────────────────────────────

    def stop(self, scope: str) -> None:
        """Let the deadlines of acts in a scope wait; of a whole mechanism's, all."""
        self._stopped[scope] = None

    def work(self, scope: str) -> None:
        """Let a scope that was stopped work again: acts get their grace, anything else that waited is due."""
        if scope not in self._stopped:
            return
        del self._stopped[scope]
        self._works_since_us[scope] = self.time_us
        for number in sorted(self._waiting.pop(scope, {})):
            entry = self._live[number]
            if not self._is_held_back(entry):
                heappush(self._heap, entry)

    def end_outage(self) -> None:
        """Note that a new leader's first batch is under way: until now nobody could act."""
        self._works_since_us[VENUE_SCOPE] = self.time_us

    def _is_held_back(self, entry: Entry) -> bool:
        """Put a due entry aside if its scope is stopped; move it if it fell into a stop that is over."""
        number = entry[1]
        act = self._acts.get(number)
        mechanism = scope_of(entry[2].partition(".")[0])
        scopes = (mechanism,) if act is None else (VENUE_SCOPE, mechanism, act.scope)
        for scope in scopes:
            if scope in self._stopped:
                self._waiting.setdefault(scope, {})[number] = None
                return True
        if act is None:
            return False
        since_us = max(self._works_since_us.get(scope, -1) for scope in scopes)
        # What was moved has its grace whole: a stop within it begins it anew.
        if entry[0] <= since_us or (act.is_moved and self.time_us < since_us + self.grace_us):
            moved = (since_us + self.grace_us, number, entry[2], entry[3])
            act.is_moved = True
            self._live[number] = moved
            heappush(self._heap, moved)
            return True
        del self._acts[number]
        return False

    def _rebuild(self) -> None:
        """Make the heap of what is live and does not wait."""
        waiting = {number: None for numbers in self._waiting.values() for number in numbers}
        self._heap = [entry for number, entry in self._live.items() if number not in waiting]
        heapify(self._heap)

    # ── snapshots ───────────────────────────────────────────────────────────────────────────────

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave; nothing may be pending yet."""
        self._last_id, entries, acts, stopped, since, waiting = state
        self._live = {number: (deadline, number, kind, tuple(args)) for deadline, number, kind, args in entries}
        self._acts = {number: _Act(scope, is_moved) for number, scope, is_moved in acts}
        self._stopped = dict.fromkeys(stopped)
        self._works_since_us = dict(since)
        self._waiting = {scope: dict.fromkeys(numbers) for scope, numbers in waiting}
        self._rebuild()

    def dump(self) -> list[object]:
        """Return the state as plain data, for hashes and snapshots."""
        return [
            self._last_id,
            [[d, i, kind, list(args)] for d, i, kind, args in sorted(self._live.values())],
            [[number, act.scope, act.is_moved] for number, act in sorted(self._acts.items())],
            sorted(self._stopped),
            sorted(self._works_since_us.items()),
            [[scope, sorted(numbers)] for scope, numbers in sorted(self._waiting.items()) if numbers],
        ]

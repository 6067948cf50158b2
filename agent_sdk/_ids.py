"""Number the commands of a connection, never more than a window ahead of the oldest unsettled one."""

from __future__ import annotations

import asyncio
from collections import deque

from exchange.messages.base import WINDOW_OUTCOMES

__all__ = ["Session", "Window"]


class Window:
    """Hand out 1, 2, 3, … such that no number is a window or more ahead of the oldest unsettled one.

    The venue remembers the outcomes of the latest 1,024 numbers of a session, so within the window
    a repetition is always recognized. Whoever must wait is served in the order of asking.
    """

    def __init__(self, size: int = WINDOW_OUTCOMES) -> None:
        self._size = size
        self._next = 1
        self._oldest = 1
        self._unsettled: set[int] = set()
        self._waiting: deque[tuple[int, asyncio.Future[int]]] = deque()

    @property
    def waiting(self) -> int:
        """How many callers wait for a number."""
        return len(self._waiting)

    @property
    def unsettled(self) -> int:
        """How many runs of numbers are handed out and not released."""
        return len(self._unsettled)

    def _take(self, count: int) -> int | None:
        while self._oldest < self._next and self._oldest not in self._unsettled:
            self._oldest += 1
        first = self._next
        if first + count - self._oldest > self._size:
            return None
        self._next += count
        self._unsettled.add(first)
        return first

    async def take(self, count: int = 1) -> int:
        """Return the first of ``count`` consecutive numbers, waiting until the window has room."""
        if not self._waiting and (first := self._take(count)) is not None:
            return first
        granted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((count, granted))
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.release(granted.result())
            else:
                self._grant()  # whoever stood behind may have room now
            raise

    def release(self, first: int) -> None:
        """Settle the numbers that were taken as ``first``; a second call does nothing."""
        self._unsettled.discard(first)
        if self._waiting:
            self._grant()

    def _grant(self) -> None:
        while self._waiting:
            count, granted = self._waiting[0]
            if not granted.done():
                if (first := self._take(count)) is None:
                    return
                granted.set_result(first)
            self._waiting.popleft()


class Session:
    """Name the commands of one connection to one incarnation of the venue: ``<token>.<n>``."""

    __slots__ = ("token", "window")

    def __init__(self, token: str) -> None:
        self.token = token
        self.window = Window()

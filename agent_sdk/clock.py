"""Follow venue time without looking at a wall clock."""

from __future__ import annotations

import asyncio
from typing import Final

__all__ = ["VenueClock"]

_WINDOW_S: Final = 30.0


class VenueClock:
    """Estimate venue time from what the venue says and the local monotonic clock.

    Whatever arrives was sent earlier, so each time stamp is a lower bound and the largest offset is
    the best. The best of the present and the previous 30 s count, so that a local clock that runs
    fast cannot lead away from the venue for good.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._offset_us: int | None = None
        self._best_us: int | None = None
        self._window_ends = 0.0

    def _local_us(self) -> int:
        return int(self._loop.time() * 1_000_000)

    def now_us(self) -> int:
        """Return venue time in microseconds; never later than the venue's own clock but for drift."""
        return self._local_us() + (self._offset_us or 0)

    def observe(self, venue_time_us: int) -> None:
        """Take in a time stamp that was just received; 0 says nothing."""
        if venue_time_us <= 0:
            return
        offset = venue_time_us - self._local_us()
        now = self._loop.time()
        if self._offset_us is None or offset > self._offset_us:
            self._offset_us = offset
        if self._best_us is None or offset > self._best_us:
            self._best_us = offset
        if now >= self._window_ends:
            if self._window_ends:
                self._offset_us = self._best_us
            self._best_us = offset
            self._window_ends = now + _WINDOW_S

    def reset(self) -> None:
        """Forget everything: another incarnation of the venue has another clock."""
        self._offset_us = self._best_us = None
        self._window_ends = 0.0

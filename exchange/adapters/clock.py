"""Keep venue time on the leader: it follows the wall clock but never goes backwards or jumps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["VenueClock"]

_SLEW_PPM: Final = 500
"""Venue time catches up with the wall clock by at most 500 µs per second, as NTP daemons do."""

_MILLION: Final = 1_000_000


class VenueClock:
    """Tell venue time in microseconds since 1970.

    It starts at the wall clock, or at the journal's time when that is later; from there it advances
    with the monotonic clock and is slewed towards the wall clock.
    """

    def __init__(
        self,
        journal_time_us: int,
        *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._at_ns = monotonic_ns()
        self._time_ns = max(wall_ns(), journal_time_us * 1_000)

    def now_us(self) -> int:
        """Return venue time now."""
        at_ns = self._monotonic_ns()
        elapsed = at_ns - self._at_ns
        self._at_ns = at_ns
        time_ns = self._time_ns + elapsed
        slew = elapsed * _SLEW_PPM // _MILLION
        ahead = time_ns - self._wall_ns()
        self._time_ns = time_ns - min(max(ahead, -slew), slew)
        return self._time_ns // 1_000

"""Keep venue time on the leader: it follows the wall clock but never goes backwards or jumps."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["VenueClock"]

_SLEW_PPM: Final = 500
"""Venue time catches up with the wall clock by at most 500 µs per second, as NTP daemons do."""

_BEHIND_MAX_US: Final = 1_000_000
"""Clocks of two machines that are kept in time differ by less; a standby must not stay behind for that."""

_PAST_MAX_US: Final = 3_600_000_000

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
        started_ns = wall_ns()
        self._journal_time_us = journal_time_us
        self._started_us = started_ns // 1_000
        self._time_ns = max(started_ns, journal_time_us * 1_000)
        self.offset_ns = self._time_ns - started_ns
        """How far venue time was before the wall clock when it was last asked for."""

    def now_us(self) -> int:
        """Return venue time now."""
        at_ns = self._monotonic_ns()
        elapsed = at_ns - self._at_ns
        self._at_ns = at_ns
        time_ns = self._time_ns + elapsed
        slew = elapsed * _SLEW_PPM // _MILLION
        ahead = time_ns - self._wall_ns()
        slewed = min(max(ahead, -slew), slew)
        self._time_ns = time_ns - slewed
        self.offset_ns = ahead - slewed
        return self._time_ns // 1_000

    def find_problem(self) -> str | None:
        """Return why venue time must not go on from this wall clock without somebody's word; None if it may."""
        past_us = self._started_us - self._journal_time_us
        if -_BEHIND_MAX_US <= past_us <= _PAST_MAX_US:
            return None
        apart = timedelta(seconds=abs(past_us) // _MILLION)
        found = (
            f"the journal's last record is of {_text(self._journal_time_us)}, {apart} "
            f"{'before' if past_us > 0 else 'after'} this machine's clock, {_text(self._started_us)}. "
        )
        if past_us > 0:
            return found + (
                "If the clock is wrong, correct it. If nobody led the venue for that long, say so, once: start with "
                "--accept-time, or, where something else starts it, `exchange doctor --accept-time`. Venue time then "
                "goes on from the clock, and what was due meanwhile happens"
            )
        return found + (
            "If the clock is wrong, correct it. If the journal's time was, say so, once: start with --accept-time, or, "
            "where something else starts it, `exchange doctor --accept-time`. Venue time then goes on from the "
            "journal's, which never goes back, and stays ahead of the clock until that has caught up"
        )


def _text(time_us: int) -> str:
    return f"{datetime.fromtimestamp(time_us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"

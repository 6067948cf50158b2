"""Say whether this daemon may speak for the venue at the moment, by the journal that is the lease."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Lease", "monotonic_s"]

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def monotonic_s() -> float:
    """Return seconds that also pass while the machine sleeps, where the system counts them."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """Hold for half the silence after which a standby takes over, counted from when a stored write was begun.

    A standby counts that silence from when it saw the last record, which is later; so nobody leads while
    the lease is held, however long this process stood still. ``now_s`` is a monotonic clock in seconds.
    """

    def __init__(self, takeover_after_s: float, now_s: Callable[[], float] = monotonic_s) -> None:
        self.duration_s = takeover_after_s / 2
        self.beat_s = min(takeover_after_s / 4, 1.0)
        """How often a record must be written, if only an empty one."""
        self.now_s = now_s
        self._ends_s = now_s()
        self._may_refuse = asyncio.Event()
        self._is_excused = False

    @property
    def is_held(self) -> bool:
        """Return whether nobody else can be leading."""
        return self.now_s() < self._ends_s

    @property
    def is_lost(self) -> bool:
        """Return whether somebody else may be leading by now."""
        return self.now_s() >= self._ends_s + self.duration_s

    def renew(self, began_s: float) -> None:
        """Count from ``began_s``, when a write was begun that is stored now."""
        self._ends_s = began_s + self.duration_s
        if self.is_held:
            self._may_refuse.set()

    def excuse(self, *, excused: bool) -> None:
        """Let refusals leave that say that the journal does not answer: that is known, whoever leads."""
        self._is_excused = excused
        if excused:
            self._may_refuse.set()

    async def wait_to_refuse(self) -> None:
        """Wait until a refusal may leave."""
        while not (self.is_held or self._is_excused):
            self._may_refuse.clear()
            await self._may_refuse.wait()

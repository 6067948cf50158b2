"""Give every node clocks of its own: one that only goes forward, and one that people set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.loop import VirtualLoop

__all__ = ["START_US", "NodeClocks"]

START_US: Final = 1_795_000_000_000_000
_DRIFT_PPM: Final = 300


class NodeClocks:
    """Tell the time of one machine: its monotonic clock began at another moment and drifts, its wall clock is off."""

    def __init__(self, loop: VirtualLoop, random: Random) -> None:
        self._loop = loop
        self._offset_s = random.uniform(0.0, 1e6)
        self._rate = 1.0 + random.uniform(-_DRIFT_PPM, _DRIFT_PPM) / 1e6
        self.wall_offset_s = random.choice((0.0, random.uniform(-0.5, 0.5), random.uniform(-30.0, 30.0)))

    def monotonic_s(self) -> float:
        """Return seconds that only go forward."""
        return self._offset_s + self._loop.time() * self._rate

    def monotonic_ns(self) -> int:
        """Return the same in nanoseconds."""
        return int(self.monotonic_s() * 1e9)

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970, as far as this machine knows."""
        return START_US * 1_000 + int((self._loop.time() + self.wall_offset_s) * 1e9)

"""Keep numbers that one thread writes and another reads, without locks."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.core import HistogramMetricFamily

__all__ = ["COMMANDS", "SECONDS", "Histogram", "read"]

SECONDS: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Bounds for everything that is measured in seconds; alerts may compare with any of them exactly."""

COMMANDS: Final = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)
"""Bounds for how many commands a batch has; 0 is the heartbeat's."""

_ATTEMPTS: Final = 50

_T = TypeVar("_T")


class Histogram:
    """Count values by bucket: about 0.1 µs each, as there is no lock."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def observe_all(self, values: list[float]) -> None:
        """Count many values at once."""
        bounds, counts = self._bounds, self._counts
        for value in values:
            counts[bisect_left(bounds, value)] += 1
        self._sum += sum(values)

    def add_to(self, family: HistogramMetricFamily, labels: Iterable[str] = ()) -> None:
        """Add what was counted so far to what is exported."""
        # The copy is one step of the interpreter, so the buckets and their total always agree.
        counts = accumulate(list(self._counts))
        bounds = ["+Inf" if bound == inf else str(bound) for bound in (*self._bounds, inf)]
        family.add_metric(list(labels), buckets=list(zip(bounds, counts, strict=True)), sum_value=self._sum)


def read(look: Callable[[], _T]) -> _T | None:
    """Return what ``look`` finds in collections that another thread may be changing.

    It looks again when one changed under its eyes, and gives up after 50 times.
    """
    for _ in range(_ATTEMPTS):
        try:
            return look()
        except RuntimeError:
            continue
    return None

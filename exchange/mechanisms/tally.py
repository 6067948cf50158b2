"""Count what a mechanism did, for its metrics. No state: a daemon that starts from a snapshot begins to count anew."""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

__all__ = ["Figure", "Row", "Tally", "words"]

Row = tuple[str, str, dict[str, str], int]
"""A metric's name, its help, its labels and its value; the names of amounts end as ``Mechanism.metrics`` says."""


class Figure(NamedTuple):
    """Declare one count: its name ends in ``_total``; ``labels`` name what it is split by.

    ``known`` are values of the labels that are there from the start, as 0: what Prometheus has never seen as 0, it does
    not see grow. One with ``bounds`` is a histogram, without labels, and its name ends in what it is measured in.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    known: tuple[tuple[str, ...], ...] = ()
    bounds: tuple[int, ...] = ()


class Tally:
    """Count by figure and labels; what has no labels is there from the start, as 0."""

    def __init__(self, *figures: Figure) -> None:
        self._figures: dict[str, Figure] = {figure.name: figure for figure in figures}
        self._counts: dict[tuple[str, ...], int] = {}
        self._spreads: dict[str, list[int]] = {}
        """By histogram: how many values were in each bucket, the last without a bound; and their sum."""
        for figure in figures:
            if figure.bounds:
                self._spreads[figure.name] = [0] * (len(figure.bounds) + 2)
                continue
            for values in figure.known if figure.labels else ((),):
                self._counts[(figure.name, *values)] = 0

    def count(self, name: str, *values: str, by: int = 1) -> None:
        """Add to a figure, under the values of its labels."""
        key = (name, *values)
        self._counts[key] = self._counts.get(key, 0) + by

    def observe(self, name: str, value: int) -> None:
        """Count a value in a histogram."""
        bounds, spread = self._figures[name].bounds, self._spreads[name]
        bucket = 0
        while bucket < len(bounds) and value > bounds[bucket]:
            bucket += 1
        spread[bucket] += 1
        spread[-1] += value

    def rows(self) -> list[Row]:
        """Return what was counted; safe to call from another thread."""
        rows = [self._row(key, value) for key, value in self._counts.copy().items()]
        for name, spread in self._spreads.items():
            rows.extend(_spread_rows(self._figures[name], spread.copy()))
        return rows

    def _row(self, key: tuple[str, ...], value: int) -> Row:
        figure = self._figures[key[0]]
        return figure.name, figure.help, dict(zip(figure.labels, key[1:], strict=True)), value


def _spread_rows(figure: Figure, spread: list[int]) -> list[Row]:
    """Return a histogram as Prometheus wants it: buckets that hold all the smaller ones, the sum, the count."""
    rows: list[Row] = []
    count = 0
    for place, bound in enumerate((*[str(bound) for bound in figure.bounds], "+Inf")):
        count += spread[place]
        rows.append((f"{figure.name}_bucket", figure.help, {"le": bound}, count))
    rows.append((f"{figure.name}_sum", figure.help, {}, spread[-1]))
    rows.append((f"{figure.name}_count", figure.help, {}, count))
    return rows


def words(literal: Any) -> tuple[tuple[str, ...], ...]:
    """Return the words of a ``Literal`` as what is known of the one label of a figure."""
    return tuple([(str(word),) for word in get_args(literal)])

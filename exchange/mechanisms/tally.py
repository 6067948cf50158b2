"""Count what a mechanism did, for its metrics. No state: a daemon that starts from a snapshot begins to count anew."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Figure", "Row", "Tally"]

Row = tuple[str, str, dict[str, str], int]
"""A metric's name, its help, its labels and its value; the names of amounts end as ``Mechanism.metrics`` says."""


class Figure(NamedTuple):
    """Declare one count: its name ends in ``_total``; ``labels`` name what it is split by."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


class Tally:
    """Count by figure and labels; what has no labels is there from the start, as 0."""

    def __init__(self, *figures: Figure) -> None:
        self._figures: dict[str, Figure] = {figure.name: figure for figure in figures}
        self._counts: dict[tuple[str, ...], int] = {(figure.name,): 0 for figure in figures if not figure.labels}

    def count(self, name: str, *values: str, by: int = 1) -> None:
        """Add to a figure, under the values of its labels."""
        key = (name, *values)
        self._counts[key] = self._counts.get(key, 0) + by

    def rows(self) -> list[Row]:
        """Return what was counted; safe to call from another thread."""
        return [self._row(key, value) for key, value in self._counts.copy().items()]

    def _row(self, key: tuple[str, ...], value: int) -> Row:
        figure = self._figures[key[0]]
        return figure.name, figure.help, dict(zip(figure.labels, key[1:], strict=True)), value

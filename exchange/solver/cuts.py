"""Tighten the relaxation: of the columns that take two of three things at least, only one can win.

These are subset-row inequalities (Jepsen, Petersen, Spoorendonk and Pisinger 2008, "Subset-row inequalities applied
to the vehicle-routing problem with time windows"). A cut is nothing but one more row that only one column can have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from time import monotonic
from typing import Final, NamedTuple

__all__ = ["Column", "row_count", "tightened"]

_ROUNDS: Final = 4
_CUTS: Final = 60
"""So many cuts a round adds."""
_BROKEN: Final = 1.02
_NOTHING: Final = 1e-6
_TAKES: Final = 2
_SHARE: Final = 0.25
"""Of the time that is left, so much is for this."""

Relax = Callable[[list["Column"]], tuple[Sequence[float], Sequence[float]] | None]


class Column(NamedTuple):
    """Hold one alternative: of which bid it is which, and what it takes, that only one can have."""

    bid: int
    place: int
    surplus: int
    rows: tuple[int, ...]


def row_count(columns: list[Column]) -> int:
    """Return how many rows there are."""
    return 1 + max(row for column in columns for row in column.rows)


def tightened(columns: list[Column], relax: Relax, until_s: float) -> list[Column]:
    """Add rows that exclude the mixtures which the relaxation takes, and no choice."""
    started_s = monotonic()
    first_cut = row_count(columns)
    for _ in range(_ROUNDS):
        if monotonic() > started_s + (until_s - started_s) * _SHARE:
            break
        relaxed = relax(columns)
        broken = [] if relaxed is None else _broken(columns, relaxed[0], first_cut)
        if not broken:
            break
        columns = _with_cuts(columns, broken)
    return columns


def _broken(columns: list[Column], amounts: Sequence[float], first_cut: int) -> list[frozenset[int]]:
    """Return the triples of which the mixture takes two or three too often, the worst first."""
    near: dict[int, dict[int, None]] = {}
    holders: dict[int, list[int]] = {}
    for place, column in enumerate(columns):
        if _NOTHING < amounts[place] < 1 - _NOTHING:
            rows = [row for row in column.rows if row < first_cut]
            for row in rows:
                holders.setdefault(row, []).append(place)
                near.setdefault(row, {}).update(dict.fromkeys(rows))
    triples: dict[tuple[int, int, int], float] = {}
    for middle, others in sorted(near.items()):
        for left, right in combinations(sorted(row for row in others if row != middle), 2):
            low, mid, high = sorted((left, middle, right))
            if (low, mid, high) in triples:
                continue
            counts: dict[int, int] = {}
            for row in (low, mid, high):
                for place in holders[row]:
                    counts[place] = counts.get(place, 0) + 1
            taken = sum(amounts[place] for place, count in counts.items() if count >= _TAKES)
            triples[low, mid, high] = taken
    worst = sorted((-taken, triple) for triple, taken in triples.items() if taken > _BROKEN)
    return [frozenset(triple) for _, triple in worst[:_CUTS]]


def _with_cuts(columns: list[Column], triples: list[frozenset[int]]) -> list[Column]:
    first = row_count(columns)
    cut: list[Column] = []
    for column in columns:
        rows = frozenset(column.rows)
        more = tuple(first + n for n, triple in enumerate(triples) if len(triple & rows) >= _TAKES)
        cut.append(column._replace(rows=column.rows + more))
    return cut

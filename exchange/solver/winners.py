"""Solve winner determination exactly: which alternatives together have the largest surplus.

It is a weighted set packing problem, solved as a mixed integer program by HiGHS (through SciPy). HiGHS reckons in
floating point; so its answer is rounded, checked and valued in integers.

Ties: of all choices with the largest surplus that one in which the earliest bid wins, if it wins in any of them, by its
first alternative for which that is so; then the next bid, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from time import monotonic
from typing import Any, Final, NamedTuple

from exchange.solver.cuts import Column, row_count, tightened

__all__ = ["Bid", "Solution", "SolverMissing", "best_known", "columns_of", "solve"]

Bid = tuple[int, Sequence[str], Sequence[tuple[Sequence[int], int, int]]]
"""Number, owners, and of every alternative its items, its surplus and its price."""

_HALF: Final = 0.5
_SCALE: Final = 10**6
"""Prices of the relaxation are rounded to so many parts of a unit."""
_FEW: Final = 300
"""So many columns HiGHS solves at once."""
_GAP: Final = 500
"""The best choice is first looked for within one part in so many of the bound."""

_Found = tuple[list[int], int, bool]
"""Columns by place, their surplus, and whether nothing is better."""


class SolverMissing(Exception):
    """Raised when SciPy is not installed."""


class Solution(NamedTuple):
    """Hold the alternatives that win, by bid and place, their surplus, and whether nothing better exists."""

    picks: list[tuple[int, int]]
    surplus: int
    optimal: bool


def solve(columns: list[Column], until_s: float, tell: Callable[[Solution], None] | None = None) -> Solution:
    """Return the best choice that is found in time; ties are broken as far as there is time.

    ``tell`` hears of it before ties are broken.

    Raises:
        SolverMissing: SciPy is not installed.
    """
    best = _best_of(columns, 0, until_s)
    if best is None:
        return Solution([], 0, optimal=False)
    chosen, surplus, optimal = best
    if tell is not None:
        tell(Solution(_picks(columns, chosen), surplus, optimal))
    if optimal and columns:
        chosen = _earliest(columns, chosen, surplus, until_s)
    return Solution(_picks(columns, chosen), surplus, optimal)


def best_known(columns: list[Column], known: Solution, until_s: float) -> Solution:
    """Return the best choice that is found in time, or one that is known if nothing better is; ties are not broken.

    Raises:
        SolverMissing: SciPy is not installed.
    """
    best = _best_of(columns, known.surplus, until_s)
    if best is None:
        return known._replace(optimal=False)
    chosen, surplus, optimal = best
    if surplus < known.surplus:
        return known._replace(optimal=optimal)
    return Solution(_picks(columns, chosen), surplus, optimal)


def columns_of(bids: Sequence[Bid], until_s: float) -> list[Column]:
    """Return every alternative, the earliest first, with bounds that are as tight as can be had in time.

    Raises:
        SolverMissing: SciPy is not installed.
    """
    rows: dict[int | str, int] = {}
    found = []
    for number, owners, choices in sorted(bids, key=lambda bid: bid[0]):
        for place, (items, surplus, _) in enumerate(choices):
            keys: list[int | str] = [*items, *owners]
            taken = [rows.setdefault(key, len(rows)) for key in keys]
            found.append(Column(number, place, surplus, tuple(taken)))
    return found if len(found) <= _FEW else tightened(found, _relaxed, until_s)


def _picks(columns: list[Column], chosen: list[int]) -> list[tuple[int, int]]:
    return sorted((columns[place].bid, columns[place].place) for place in chosen)


def _best_of(columns: list[Column], known: int, until_s: float) -> _Found | None:
    """Return the best choice, whose surplus is known to be ``known`` at least.

    Where there are many columns, those are left out that cannot be in a choice near the bound; if the best of the
    others is not that good after all, it says how good a choice must be, and those are looked at that can be in one.
    """
    if len(columns) <= _FEW:
        return _best(columns, {}, until_s)
    relaxed = _relaxed(columns)
    if relaxed is None:
        return _best(columns, {}, until_s)
    bound = _bound(columns, relaxed[1])
    found: _Found | None = None
    wanted = max(known, bound.surplus - bound.surplus // _GAP)
    while True:
        kept = bound.candidates(wanted)
        best = _best([columns[place] for place in kept], {}, until_s)
        if best is None:
            return None if found is None else (found[0], found[1], False)
        found = [kept[place] for place in best[0]], best[1], best[2] and best[1] >= wanted
        if not best[2] or found[2]:
            return found
        if wanted <= known:
            # Nothing is better than what is known.
            return found[0], found[1], True
        wanted = max(found[1], known)


def _best(
    columns: list[Column], fixed: dict[int, int], until_s: float, other_than: Sequence[int] = ()
) -> _Found | None:
    """Return the best choice in which some columns are fixed, and not all of ``other_than`` are."""
    if not columns:
        return [], 0, True
    seconds = until_s - monotonic()
    if seconds <= 0:
        return None
    np, optimize, _ = _scipy()
    matrix = _matrix(columns)
    low, high = np.zeros(len(columns)), np.ones(len(columns))
    for place, value in fixed.items():
        low[place] = high[place] = value
    constraints = [optimize.LinearConstraint(matrix, ub=np.ones(matrix.shape[0]))]
    if other_than:
        row = np.zeros(len(columns))
        row[list(other_than)] = 1
        constraints.append(optimize.LinearConstraint(row, ub=len(other_than) - 1))
    found = optimize.milp(
        c=-np.array([column.surplus for column in columns], dtype=float),
        integrality=np.ones(len(columns)),
        bounds=optimize.Bounds(low, high),
        constraints=constraints,
        options={"time_limit": seconds, "mip_rel_gap": 0},
    )
    if found.x is None:
        return None
    chosen = [place for place, value in enumerate(found.x) if value > _HALF]
    taken = [row for place in chosen for row in columns[place].rows]
    if len(taken) != len(set(taken)):
        return None
    return chosen, sum(columns[place].surplus for place in chosen), found.status == 0


def _earliest(columns: list[Column], chosen: list[int], surplus: int, until_s: float) -> list[int]:
    """Return that choice of the same surplus in which the earliest columns win."""
    relaxed = _relaxed(columns)
    kept = list(range(len(columns)))
    if relaxed is not None:
        kept = sorted({*chosen, *_bound(columns, relaxed[1]).candidates(surplus)})
    few = [columns[place] for place in kept]
    winners = {place for place, column in enumerate(kept) if column in chosen}
    needed = [place for place in sorted(winners) if few[place].surplus]
    other = _best(few, {}, until_s, other_than=needed) if needed else None
    fixed: dict[int, int] = {}
    if other is not None and other[2] and other[1] < surplus:
        # No other choice is as good, but for columns that add nothing.
        fixed = {place: int(place in needed) for place, column in enumerate(few) if column.surplus}
        winners = set(needed)
    taken = {row for place, value in fixed.items() if value for row in few[place].rows}
    is_alone = bool(fixed)
    for place, column in enumerate(few):
        if place in fixed:
            continue
        fixed[place] = 0
        if place not in winners and taken.isdisjoint(column.rows):
            if is_alone:
                winners.add(place)
            else:
                other = _best(few, fixed | {place: 1}, until_s)
                if other is not None and other[1] == surplus:
                    winners = set(other[0])
                elif monotonic() >= until_s:
                    break
        if place in winners:
            fixed[place] = 1
            taken.update(column.rows)
    return sorted(kept[place] for place in winners)


class _Bound:
    """Bound every choice by prices of the rows.

    Any prices bound all choices; so those of the relaxation are rounded, and the rest is reckoned in integers. A column
    whose rows cost so much more than its surplus that the bound falls below what is wanted is out.
    """

    def __init__(self, columns: list[Column], prices: list[int]) -> None:
        self._over = [column.surplus * _SCALE - sum(prices[row] for row in column.rows) for column in columns]
        best_over: dict[int, int] = {}
        for column, amount in zip(columns, self._over, strict=True):
            best_over[column.bid] = max(best_over.get(column.bid, 0), amount)
        self._total = sum(prices) + sum(best_over.values())

    @property
    def surplus(self) -> int:
        """Return what no choice exceeds."""
        return self._total // _SCALE

    def candidates(self, surplus: int) -> list[int]:
        """Return the columns that may be in some choice of this surplus."""
        return [place for place, amount in enumerate(self._over) if self._total + min(amount, 0) >= surplus * _SCALE]


def _bound(columns: list[Column], prices: Sequence[float]) -> _Bound:
    return _Bound(columns, [max(ceil(float(price) * _SCALE), 0) for price in prices])


def _relaxed(columns: list[Column]) -> tuple[Sequence[float], Sequence[float]] | None:
    """Return how much of each column the best mixture takes, and the price of each row; None if it is not found."""
    np, optimize, _ = _scipy()
    matrix = _matrix(columns)
    found = optimize.linprog(
        -np.array([column.surplus for column in columns], dtype=float),
        A_ub=matrix,
        b_ub=np.ones(matrix.shape[0]),
        bounds=(0, None),
        method="highs-ds",
    )
    return (found.x, -found.ineqlin.marginals) if found.status == 0 else None


def _matrix(columns: list[Column]) -> Any:
    """Return a row for every item, owner and cut, with a one where a column takes it."""
    np, _, sparse = _scipy()
    entries = [(row, place) for place, column in enumerate(columns) for row in column.rows]
    return sparse.csr_matrix(
        (np.ones(len(entries)), ([row for row, _ in entries], [place for _, place in entries])),
        shape=(row_count(columns), len(columns)),
    )


def _scipy() -> tuple[Any, Any, Any]:
    try:
        import numpy as np
        from scipy import optimize, sparse  # type: ignore[import-untyped]
    except ImportError as error:
        message = f"SciPy cannot be used ({error}): pip install 'agent-exchange[auctions]'"
        raise SolverMissing(message) from error
    return np, optimize, sparse

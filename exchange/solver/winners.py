"""Solve winner determination exactly: which alternatives together have the largest surplus.

It is a weighted set packing problem, solved as a mixed integer program by HiGHS (through SciPy). HiGHS reckons in
floating point; so its answer is rounded, checked and valued in integers.

Ties: of all choices with the largest surplus that one in which the earliest bid wins, if it wins in any of them, by its
first alternative for which that is so; then the next bid, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any, Final, NamedTuple

__all__ = ["Bid", "Solution", "SolverMissing", "solve"]

Bid = tuple[int, Sequence[str], Sequence[tuple[Sequence[int], int, int]]]
"""Number, owners, and of every alternative its items, its surplus and its price."""

_HALF: Final = 0.5


class SolverMissing(Exception):
    """Raised when SciPy is not installed."""


class Solution(NamedTuple):
    """Hold the alternatives that win, by bid and place, their surplus, and whether nothing better exists."""

    picks: list[tuple[int, int]]
    surplus: int
    optimal: bool


class _Column(NamedTuple):
    bid: int
    place: int
    surplus: int
    rows: tuple[int, ...]
    """What it takes: items and owners, each of which only one can have."""


def solve(bids: Sequence[Bid], seconds: float, *, breaks_ties: bool = True) -> Solution:
    """Return the best choice that is found within ``seconds``.

    Raises:
        SolverMissing: SciPy is not installed.
    """
    until_s = monotonic() + seconds
    columns = _columns(bids)
    best = _best(columns, {}, seconds)
    if best is None:
        return Solution([], 0, optimal=False)
    chosen, surplus, optimal = best
    if optimal and breaks_ties:
        chosen = _earliest(columns, chosen, surplus, until_s)
    picks = sorted((columns[place].bid, columns[place].place) for place in chosen)
    return Solution(picks, surplus, optimal)


def _columns(bids: Sequence[Bid]) -> list[_Column]:
    """Return every alternative, the earliest first."""
    rows: dict[int | str, int] = {}
    found = []
    for number, owners, choices in sorted(bids, key=lambda bid: bid[0]):
        for place, (items, surplus, _) in enumerate(choices):
            keys: list[int | str] = [*items, *owners]
            taken = [rows.setdefault(key, len(rows)) for key in keys]
            found.append(_Column(number, place, surplus, tuple(taken)))
    return found


def _best(columns: list[_Column], fixed: dict[int, int], seconds: float) -> tuple[list[int], int, bool] | None:
    """Return the columns of the best choice in which some are fixed, its surplus, and whether that is proven."""
    if not columns:
        return [], 0, True
    if seconds <= 0:
        return None
    np, optimize, sparse = _scipy()
    entries = [(row, place) for place, column in enumerate(columns) for row in column.rows]
    height = 1 + max(row for row, _ in entries)
    matrix = sparse.csr_matrix(
        (np.ones(len(entries)), ([row for row, _ in entries], [place for _, place in entries])),
        shape=(height, len(columns)),
    )
    low, high = np.zeros(len(columns)), np.ones(len(columns))
    for place, value in fixed.items():
        low[place] = high[place] = value
    found = optimize.milp(
        c=-np.array([column.surplus for column in columns], dtype=float),
        integrality=np.ones(len(columns)),
        bounds=optimize.Bounds(low, high),
        constraints=optimize.LinearConstraint(matrix, ub=np.ones(height)),
        options={"time_limit": seconds, "mip_rel_gap": 0},
    )
    if found.x is None:
        return None
    chosen = [place for place, value in enumerate(found.x) if value > _HALF]
    taken = [row for place in chosen for row in columns[place].rows]
    if len(taken) != len(set(taken)):
        return None
    return chosen, sum(columns[place].surplus for place in chosen), found.status == 0


def _earliest(columns: list[_Column], chosen: list[int], surplus: int, until_s: float) -> list[int]:
    """Return that choice of the same surplus in which the earliest columns win."""
    fixed: dict[int, int] = {}
    winners, taken = set(chosen), set[int]()
    for place, column in enumerate(columns):
        if place in winners:
            fixed[place] = 1
            taken.update(column.rows)
            continue
        fixed[place] = 0
        if not taken.isdisjoint(column.rows) or _bound(columns, fixed | {place: 1}) < surplus:
            continue
        other = _best(columns, fixed | {place: 1}, until_s - monotonic())
        if other is not None and other[1] == surplus:
            fixed[place] = 1
            taken.update(column.rows)
            winners = set(other[0])
        elif monotonic() >= until_s:
            break
    return sorted(winners)


def _bound(columns: list[_Column], fixed: dict[int, int]) -> int:
    """Return what no choice with some columns fixed can pass: every bid that is left wins."""
    won = sum(columns[place].surplus for place, value in fixed.items() if value)
    gone = {row for place, value in fixed.items() if value for row in columns[place].rows}
    by_bid: dict[int, int] = {}
    for place, column in enumerate(columns):
        if place not in fixed and gone.isdisjoint(column.rows):
            by_bid[column.bid] = max(by_bid.get(column.bid, 0), column.surplus)
    return won + sum(by_bid.values())


def _scipy() -> tuple[Any, Any, Any]:
    try:
        import numpy as np
        from scipy import optimize, sparse  # type: ignore[import-untyped]
    except ImportError as error:
        message = "SciPy is not installed: pip install 'agent-exchange[auctions]'"
        raise SolverMissing(message) from error
    return np, optimize, sparse

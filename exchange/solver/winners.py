"""Solve winner determination exactly: which alternatives together have the largest surplus.

It is a weighted set packing problem, solved as a mixed integer program by HiGHS (through SciPy). HiGHS reckons in
floating point; so its answer is rounded, checked and valued in integers.

Ties: of all choices with the largest surplus that one in which the earliest bid wins, if it wins in any of them, by its
first alternative for which that is so; then the next bid, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from time import monotonic
from typing import Any, Final, NamedTuple

__all__ = ["Bid", "Solution", "SolverMissing", "best_surplus", "solve"]

Bid = tuple[int, Sequence[str], Sequence[tuple[Sequence[int], int, int]]]
"""Number, owners, and of every alternative its items, its surplus and its price."""

_HALF: Final = 0.5

_SCALE: Final = 10**6
"""Prices of the relaxation are rounded to so many parts of a unit."""


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


def solve(bids: Sequence[Bid], seconds: float) -> Solution:
    """Return the best choice that is found within ``seconds``; ties are broken as far as there is time.

    Raises:
        SolverMissing: SciPy is not installed.
    """
    until_s = monotonic() + seconds
    columns = _columns(bids)
    best = _best(columns, {}, seconds)
    if best is None:
        return Solution([], 0, optimal=False)
    chosen, surplus, optimal = best
    if optimal and columns:
        chosen = _earliest(columns, chosen, surplus, until_s)
    picks = sorted((columns[place].bid, columns[place].place) for place in chosen)
    return Solution(picks, surplus, optimal)


def best_surplus(bids: Sequence[Bid], known: int, seconds: float) -> int | None:
    """Return the best surplus, of which it is known that it is ``known`` at least; None if it is not found in time.

    Raises:
        SolverMissing: SciPy is not installed.
    """
    columns = _columns(bids)
    few = [columns[place] for place in _candidates(columns, known)] if columns else []
    best = _best(few, {}, seconds)
    return best[1] if best is not None and best[2] else None


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
    matrix = _matrix(columns, np, sparse)
    low, high = np.zeros(len(columns)), np.ones(len(columns))
    for place, value in fixed.items():
        low[place] = high[place] = value
    found = optimize.milp(
        c=-np.array([column.surplus for column in columns], dtype=float),
        integrality=np.ones(len(columns)),
        bounds=optimize.Bounds(low, high),
        constraints=optimize.LinearConstraint(matrix, ub=np.ones(matrix.shape[0])),
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
    kept = sorted({*chosen, *_candidates(columns, surplus)})
    few = [columns[place] for place in kept]
    winners = {place for place, column in enumerate(kept) if column in chosen}
    fixed: dict[int, int] = {}
    taken: set[int] = set()
    for place, column in enumerate(few):
        fixed[place] = 0
        if place not in winners and taken.isdisjoint(column.rows):
            other = _best(few, fixed | {place: 1}, until_s - monotonic())
            if other is not None and other[1] == surplus:
                winners = set(other[0])
            elif monotonic() >= until_s:
                break
        if place in winners:
            fixed[place] = 1
            taken.update(column.rows)
    return sorted(kept[place] for place in winners)


def _candidates(columns: list[_Column], surplus: int) -> list[int]:
    """Return the columns that may be in some choice of this surplus.

    The prices of the linear relaxation bound every choice; any prices do, so these are rounded, and the
    bound is reckoned in integers. A column whose own price is so much above its surplus that the bound falls below
    what is wanted is out.
    """
    np, optimize, sparse = _scipy()
    matrix = _matrix(columns, np, sparse)
    relaxed = optimize.linprog(
        -np.array([column.surplus for column in columns], dtype=float),
        A_ub=matrix,
        b_ub=np.ones(matrix.shape[0]),
        bounds=(0, None),
    )
    if relaxed.status != 0:
        return list(range(len(columns)))
    prices = [max(ceil(-float(price) * _SCALE), 0) for price in relaxed.ineqlin.marginals]
    over = [column.surplus * _SCALE - sum(prices[row] for row in column.rows) for column in columns]
    best_over: dict[int, int] = {}
    for column, amount in zip(columns, over, strict=True):
        best_over[column.bid] = max(best_over.get(column.bid, 0), amount)
    bound = sum(prices) + sum(best_over.values())
    return [place for place, amount in enumerate(over) if bound + min(amount, 0) >= surplus * _SCALE]


def _matrix(columns: list[_Column], np: Any, sparse: Any) -> Any:
    """Return a row for every item and owner, with a one where a column takes it."""
    entries = [(row, place) for place, column in enumerate(columns) for row in column.rows]
    height = 1 + max(row for row, _ in entries)
    return sparse.csr_matrix(
        (np.ones(len(entries)), ([row for row, _ in entries], [place for _, place in entries])),
        shape=(height, len(columns)),
    )


def _scipy() -> tuple[Any, Any, Any]:
    try:
        import numpy as np
        from scipy import optimize, sparse  # type: ignore[import-untyped]
    except ImportError as error:
        message = "SciPy is not installed: pip install 'agent-exchange[auctions]'"
        raise SolverMissing(message) from error
    return np, optimize, sparse

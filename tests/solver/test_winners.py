"""Winners of large problems: cuts and bounds leave out what cannot win, and nothing else."""

from __future__ import annotations

from itertools import product
from random import Random
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from benchmarks.package_auctions import package_bids
from exchange.daemon.determiner import solve_apart
from exchange.solver import Answer, determine
from exchange.solver.cuts import row_count, tightened
from exchange.solver.winners import Bid, columns_of, solve

if TYPE_CHECKING:
    from pathlib import Path

    from exchange.solver import Problem

RESERVE = 25 * 10**6


def problem_of(items: int, bids: int, seed: int) -> Problem:
    """Return a procurement with bids for neighbouring items, as the benchmark has them."""
    made = [
        (number, [f"o{number}"], [(package, RESERVE * len(package) - price, price) for package, price in choices])
        for number, choices in enumerate(package_bids(items, bids, seed), 1)
    ]
    return 1, 1, False, True, made


def small_bids(random: Random) -> list[Bid]:
    """Return a few bids with many ties."""
    bids: list[Bid] = []
    for number in range(1, random.randint(3, 6)):
        owners = [f"o{random.randint(1, 6)}"]
        choices = [
            (sorted(random.sample(range(6), random.choice((2, 2, 3)))), random.randint(0, 3), 1)
            for _ in range(random.randint(1, 3))
        ]
        bids.append((number, owners, choices))
    return bids


def exhaustive(bids: list[Bid]) -> tuple[int, list[tuple[int, int]]]:
    """Return the best surplus, and the choice of it in which the earliest win."""
    best: tuple[int, list[int], list[tuple[int, int]]] = (0, [], [])
    for places in product(*[range(len(choices) + 1) for _, _, choices in bids]):
        taken: list[object] = []
        surplus, picks = 0, []
        for (number, owners, choices), place in zip(bids, places, strict=True):
            if place < len(choices):
                taken += [*choices[place][0], *owners]
                surplus += choices[place][1]
                picks.append((number, place))
        order = [-place if place < len(bids[at][2]) else -99 for at, place in enumerate(places)]
        if len(taken) == len(set(taken)) and (surplus, order) > best[:2]:
            best = surplus, order, picks
    return best[0], best[2]


def test_a_problem_that_is_treated_as_a_large_one_has_the_same_winners(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds, cuts and the search near the bound find what trying everything finds, ties included."""
    monkeypatch.setattr("exchange.solver.winners._FEW", 0)
    random = Random(3)
    for _ in range(150):
        bids = small_bids(random)
        until_s = monotonic() + 60
        solution = solve(columns_of(bids, until_s), until_s)
        assert (solution.surplus, solution.picks, solution.optimal) == (*exhaustive(bids), True)


def test_cuts_exclude_mixtures_and_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three columns that each take two of three items a mixture takes halves, but one can win."""
    monkeypatch.setattr("exchange.solver.winners._FEW", 0)
    bids: list[Bid] = [(n, [f"o{n}"], [(items, 10, 1)]) for n, items in enumerate(([0, 1], [1, 2], [0, 2]), 1)]
    columns = columns_of(bids, monotonic() + 60)
    cut = row_count(columns) - 1
    assert [column.rows[-1] for column in columns] == [cut] * 3


def test_cuts_take_no_time_that_is_not_there() -> None:
    """After the time the columns stay as they are."""
    columns = columns_of(problem_of(36, 200, 1)[4], monotonic())

    def never(_: object) -> None:
        raise AssertionError

    assert tightened(columns, never, monotonic()) == columns


def test_a_large_problem_is_solved_as_plain_search_solves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """So are the payments."""
    problem = problem_of(36, 200, 1)
    found = determine(problem, 120)
    monkeypatch.setattr("exchange.solver.winners._FEW", 10**9)
    assert found == determine(problem, 120)
    assert (found.pricing, found.optimal) == ("vcg", True)


def test_what_is_found_on_the_way_is_told() -> None:
    """First winners who pay as bid; in the end the same winners, and what they pay by VCG."""
    told: list[Answer] = []
    found = determine(problem_of(16, 60, 1), 60, told.append)
    assert [(answer.pricing, answer.optimal) for answer in told] == [("pay_as_bid", True)] * 2
    assert [winner[:2] for winner in told[-1].winners] == [winner[:2] for winner in found.winners]
    assert found.pricing == "vcg"


async def test_who_waits_no_longer_takes_what_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that goes on for too long is ended, and its last answer counts; if it has none, there is none."""
    solver = tmp_path / "solver"
    monkeypatch.setattr("exchange.daemon.determiner.sys.executable", str(solver))
    first, second = '[1,1,"pay_as_bid",false,[[2,0,5]]]', '[1,1,"pay_as_bid",true,[[1,0,4]]]'
    for lines, answer in (
        ([first, second], Answer(1, 1, "pay_as_bid", True, [(1, 0, 4)])),
        ([first, "[1,1,"], Answer(1, 1, "pay_as_bid", False, [(2, 0, 5)])),
        ([], None),
    ):
        told = "".join(f"echo '{line}'\n" for line in lines)
        solver.write_text(f"#!/bin/sh\n{told}exec sleep 60\n", encoding="ascii")
        solver.chmod(0o700)
        assert await solve_apart(problem_of(4, 2, 1), 3) == answer

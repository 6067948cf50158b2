"""Answer a package auction: winners, and what they pay."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Final, NamedTuple

from exchange.solver.winners import Bid, best_surplus, solve

__all__ = ["SOLVE_S", "Answer", "Problem", "determine"]

Problem = tuple[int, int, bool, bool, Sequence[Bid]]
"""Number of the auction, revision, whether it is a sale, whether VCG is wanted, and the bids."""

PROBLEM_S: Final = 5.0
"""So long one problem may be worked on."""

SOLVE_S: Final = 20.0
"""So long an auction may be worked on: VCG has a problem for every winner."""


class Answer(NamedTuple):
    """Hold the answer to one auction; winners by bid, alternative and payment."""

    auction: int
    revision: int
    pricing: str
    optimal: bool
    winners: list[tuple[int, int, int]]


def determine(problem: Problem, seconds: float = SOLVE_S) -> Answer:
    """Find winners, and the VCG payments if every problem that they need was solved to optimality.

    VCG asks of each winner what the others lose by it: the best that is possible without any bid of its owners, less
    what the others have now. (Clarke 1971, "Multipart pricing of public goods".)

    Raises:
        SolverMissing: SciPy is not installed.
    """
    auction, revision, is_sale, wants_vcg, bids = problem
    until_s = monotonic() + seconds
    best = solve(bids, min(seconds, PROBLEM_S))
    by_number = {bid[0]: bid for bid in bids}
    as_bid = [(bid, place, by_number[bid][2][place][2]) for bid, place in best.picks]
    if not wants_vcg or not best.optimal:
        return Answer(auction, revision, "pay_as_bid", best.optimal, as_bid)
    winners = []
    for number, place, price in as_bid:
        owners = set(by_number[number][1])
        others = [bid for bid in bids if owners.isdisjoint(bid[1])]
        # They can have at least what they have now.
        known = best.surplus - by_number[number][2][place][1]
        without = best_surplus(others, known, min(until_s - monotonic(), PROBLEM_S))
        if without is None:
            return Answer(auction, revision, "pay_as_bid", best.optimal, as_bid)
        gain = best.surplus - without
        winners.append((number, place, price - gain if is_sale else price + gain))
    return Answer(auction, revision, "vcg", best.optimal, winners)

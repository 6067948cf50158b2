"""Answer a package auction: winners, and what they pay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, NamedTuple

from exchange.solver.cuts import Column
from exchange.solver.winners import Bid, Solution, best_known, columns_of, solve

__all__ = ["SOLVE_S", "Answer", "Problem", "determine", "vcg_payments"]

Problem = tuple[int, int, bool, bool, Sequence[Bid]]
"""Number of the auction, revision, whether it is a sale, whether VCG is wanted, and the bids."""

SOLVE_S: Final = 20.0
"""So long an auction may be worked on by default: VCG has a problem for every winner."""

_WINNERS_SHARE: Final = 0.6
"""So much of the time the winners may take; what is left is for ties, and for what VCG asks."""


class Answer(NamedTuple):
    """Hold the answer to one auction; winners by bid, alternative and payment."""

    auction: int
    revision: int
    pricing: str
    optimal: bool
    winners: list[tuple[int, int, int]]


def determine(problem: Problem, seconds: float = SOLVE_S, tell: Callable[[Answer], None] | None = None) -> Answer:
    """Find winners, and the VCG payments if every problem that they need was solved to optimality.

    ``tell`` hears of what is found on the way: whoever waits no longer can take the last of it.

    Raises:
        SolverMissing: SciPy is not installed.
    """
    auction, revision, _, wants_vcg, bids = problem
    until_s = monotonic() + seconds
    by_number = {bid[0]: bid for bid in bids}

    def as_bid(best: Solution) -> Answer:
        winners = [(bid, place, by_number[bid][2][place][2]) for bid, place in best.picks]
        return Answer(auction, revision, "pay_as_bid", best.optimal, winners)

    def told(best: Solution) -> None:
        if tell is not None:
            tell(as_bid(best))

    columns = columns_of(bids, until_s)
    best = solve(columns, monotonic() + (until_s - monotonic()) * _WINNERS_SHARE, told)
    if not wants_vcg or not best.optimal:
        return as_bid(best)
    told(best)
    payments = vcg_payments(problem, columns, best, until_s)
    if payments is None:
        return as_bid(best)
    winners = [(bid, place, payment) for (bid, place), payment in zip(best.picks, payments, strict=True)]
    return Answer(auction, revision, "vcg", best.optimal, winners)


def vcg_payments(problem: Problem, columns: list[Column], best: Solution, until_s: float) -> list[int] | None:
    """Return what each winner of the best choice is paid, or pays; None if that is not found in time.

    VCG asks of each winner what the others lose by it: the best that is possible without any bid of its owners, less
    what the others have now. (Clarke 1971, "Multipart pricing of public goods".)
    """
    _, _, is_sale, _, bids = problem
    by_number = {bid[0]: bid for bid in bids}
    payments = []
    for pick in best.picks:
        number, place = pick
        _, surplus, price = by_number[number][2][place]
        owners = set(by_number[number][1])
        excluded = {bid[0] for bid in bids if not owners.isdisjoint(bid[1])}
        # They can have at least what they have now.
        left = Solution([each for each in best.picks if each != pick], best.surplus - surplus, optimal=False)
        others = [column for column in columns if column.bid not in excluded]
        without = best_known(others, left, until_s)
        if not without.optimal:
            return None
        gain = best.surplus - without.surplus
        payments.append(price - gain if is_sale else price + gain)
    return payments

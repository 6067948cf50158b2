"""Look over an answer: whether nothing better exists, and whether VCG asks for these payments."""

from __future__ import annotations

from time import monotonic
from typing import NamedTuple

from exchange.solver.determining import Answer, Problem, vcg_payments
from exchange.solver.winners import Solution, best_surplus, columns_of

__all__ = ["Review", "review"]


class Review(NamedTuple):
    """Hold what came of it; None stands where the time did not suffice."""

    claimed: int
    """The surplus of the answer."""
    found: int
    """The best surplus that was found."""
    optimal: bool | None
    payments: list[int] | None
    """What VCG asks of each winner, if the answer is optimal and pays by it."""


def review(problem: Problem, answer: Answer, seconds: float) -> Review:
    """Solve a problem again, knowing the answer.

    Raises:
        SolverMissing: SciPy is not installed.
    """
    until_s = monotonic() + seconds
    choices = {(bid[0], place): choice for bid in problem[4] for place, choice in enumerate(bid[2])}
    picks = [(bid, place) for bid, place, _ in answer.winners]
    claimed = sum(choices[pick][1] for pick in picks)
    columns = columns_of(problem[4], until_s)
    found, is_proven = best_surplus(columns, claimed, until_s)
    if found > claimed:
        return Review(claimed, found, optimal=False, payments=None)
    if not is_proven:
        return Review(claimed, found, optimal=None, payments=None)
    if answer.pricing != "vcg":
        return Review(claimed, found, optimal=True, payments=None)
    payments = vcg_payments(problem, columns, Solution(picks, claimed, optimal=True), until_s)
    return Review(claimed, found, optimal=True, payments=payments)

"""Look over an answer: whether nothing better exists, and whether VCG asks for these payments."""

from __future__ import annotations

from time import monotonic
from typing import NamedTuple

from exchange.solver.determining import Answer, Problem, vcg_payments
from exchange.solver.winners import Solution, best_known, columns_of

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
    answered = Solution(picks, claimed, optimal=True)
    best = best_known(columns, answered, until_s)
    if best.surplus > claimed:
        return Review(claimed, best.surplus, optimal=False, payments=None)
    if not best.optimal:
        return Review(claimed, claimed, optimal=None, payments=None)
    payments = vcg_payments(problem, columns, answered, until_s) if answer.pricing == "vcg" else None
    return Review(claimed, claimed, optimal=True, payments=payments)

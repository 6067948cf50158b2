"""Find the best winners of package auctions: pure functions over plain data, outside of the core."""

from __future__ import annotations

from exchange.solver.determining import SOLVE_S, Answer, Problem, determine
from exchange.solver.reviewing import Review, review
from exchange.solver.winners import Solution, SolverMissing

__all__ = ["SOLVE_S", "Answer", "Problem", "Review", "Solution", "SolverMissing", "determine", "review"]

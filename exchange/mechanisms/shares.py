"""Split an amount by weights, so that every unit has an owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["largest_remainder"]


def largest_remainder(amount: int, weights: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return each name's part of an amount, in the order of ``weights``; the parts add up to it.

    By the largest remainder (Hamilton's method); ties go to the smaller name.

    Raises:
        ZeroDivisionError: no weight is positive.
    """
    total = sum(weights.values())
    parts = {name: amount * weight // total for name, weight in weights.items()}
    left = amount - sum(parts.values())
    by_remainder = sorted((-(amount * weight % total), name) for name, weight in weights.items())
    for _, name in by_remainder[:left]:
        parts[name] += 1
    return list(parts.items())

"""Read conditions: what they are about, and whether they hold. Pure functions over trees of structs.

Three values: True, False, and None for what is not certain yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exchange.messages.contracts import (
    All,
    Any,
    AtLeast,
    PartDelivered,
    PredictionResolved,
    Statement,
    TaskCompleted,
    TimeReached,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from exchange.messages.contracts import Condition

    Leaf = PartDelivered | TaskCompleted | PredictionResolved | Statement | TimeReached

__all__ = ["DEPTH_MAX", "LEAVES_MAX", "depth_of", "evaluate", "leaves_of"]

DEPTH_MAX: Final = 5
LEAVES_MAX: Final = 64


def leaves_of(condition: Condition) -> list[Leaf]:
    """Return what a condition is about, in its order."""
    if isinstance(condition, (All, Any, AtLeast)):
        return [leaf for part in condition.of for leaf in leaves_of(part)]
    return [condition]


def depth_of(condition: Condition) -> int:
    """Return how many joins lie above the deepest leaf."""
    if isinstance(condition, (All, Any, AtLeast)):
        return 1 + max(depth_of(part) for part in condition.of)
    return 0


def evaluate(condition: Condition, known: Callable[[Leaf], bool | None]) -> bool | None:
    """Return whether a condition holds by what is ``known`` of its leaves; None while it may come out either way."""
    if isinstance(condition, (PartDelivered, TaskCompleted, PredictionResolved, Statement, TimeReached)):
        return known(condition)
    values = [evaluate(part, known) for part in condition.of]
    needed = len(values) if isinstance(condition, All) else 1 if isinstance(condition, Any) else condition.count
    certain = sum(value is True for value in values)
    if certain >= needed:
        return True
    return None if certain + sum(value is None for value in values) >= needed else False

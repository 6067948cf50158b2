"""Name the conditions of contracts: facts that have to hold, joined by ``All``, ``Any`` and ``AtLeast``."""

from __future__ import annotations

from exchange.messages.contracts import (
    All,
    Any,
    AtLeast,
    Condition,
    PartDelivered,
    PredictionResolved,
    Statement,
    TaskCompleted,
    TimeReached,
)

__all__ = [
    "All",
    "Any",
    "AtLeast",
    "Condition",
    "PartDelivered",
    "PredictionResolved",
    "Statement",
    "TaskCompleted",
    "TimeReached",
]

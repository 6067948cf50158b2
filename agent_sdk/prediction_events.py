"""Hold the events of prediction markets as users see them: amounts in whole credits, shares in whole ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent_sdk.event_base import AgentEvent
from agent_sdk.reading import Credits
from exchange.messages import predictions

if TYPE_CHECKING:
    from exchange.messages.base import Event

__all__ = [
    "PREDICTION_EVENTS",
    "PredictionBegan",
    "PredictionClosed",
    "PredictionEnded",
    "PredictionOpened",
    "PredictionReported",
    "ShareOrderCanceled",
    "SharesTraded",
]


@dataclass(frozen=True, slots=True)
class PredictionOpened(AgentEvent):
    """A market that the agent opened or is to resolve is there; ``pending``: it waits for the award of its task."""

    market: int
    question: str
    outcomes: tuple[str, ...]
    kind: str
    creator: str
    closes_at_us: int
    subsidy: Credits
    pending: bool
    task: int | None


@dataclass(frozen=True, slots=True)
class PredictionBegan(AgentEvent):
    """The task of a market was awarded, and trading has begun."""

    market: int
    task: int


@dataclass(frozen=True, slots=True)
class SharesTraded(AgentEvent):
    """The agent bought or sold shares for ``value``; ``order`` None: of or to the maker."""

    market: int
    outcome: str
    side: str
    shares: Credits
    value: Credits
    order: int | None
    remaining: Credits


@dataclass(frozen=True, slots=True)
class ShareOrderCanceled(AgentEvent):
    """What was left of an order is gone."""

    market: int
    order: int
    reason: str


@dataclass(frozen=True, slots=True)
class PredictionClosed(AgentEvent):
    """Trading has stopped."""

    market: int
    reason: str


@dataclass(frozen=True, slots=True)
class PredictionReported(AgentEvent):
    """The resolver says what happened (None: nobody can say); ``market`` is disputed by its number."""

    market: int
    outcome: str | None
    final_at_us: int


@dataclass(frozen=True, slots=True)
class PredictionEnded(AgentEvent):
    """A market ended; ``brier`` and ``log`` are the agent's scores in points of 100, if it was ``scored``."""

    market: int
    reason: str
    outcome: str | None
    paid: Credits
    scored: bool
    brier: int
    log: int


PREDICTION_EVENTS: Final[dict[type[Event], type[AgentEvent]]] = {
    predictions.PredictionOpened: PredictionOpened,
    predictions.PredictionBegan: PredictionBegan,
    predictions.SharesTraded: SharesTraded,
    predictions.ShareOrderCanceled: ShareOrderCanceled,
    predictions.PredictionClosed: PredictionClosed,
    predictions.PredictionReported: PredictionReported,
    predictions.PredictionEnded: PredictionEnded,
}
"""How events of this family are seen."""

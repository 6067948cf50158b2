"""Hold the events of externalities as users see them: amounts in whole credits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent_sdk.event_base import AgentEvent
from agent_sdk.reading import Credits
from exchange.messages import externalities

if TYPE_CHECKING:
    from exchange.messages.base import Event

__all__ = ["EXTERNALITY_EVENTS", "ChangeEnded", "ExternalityEnded", "ExternalityReported"]


@dataclass(frozen=True, slots=True)
class ExternalityReported(AgentEvent):
    """A levy was reported; its source may dispute it until ``final_at_us``. ``share`` is what this agent is to get."""

    externality: int
    kind: str
    source: str
    attester: str
    amount: Credits
    held: Credits
    reference: str
    final_at_us: int
    is_doubled: bool
    share: Credits


@dataclass(frozen=True, slots=True)
class ExternalityEnded(AgentEvent):
    """A levy ended; ``paid`` is what this agent got of it, ``owed`` what it is owed as a lien."""

    externality: int
    kind: str
    source: str
    outcome: str
    amount: Credits
    paid: Credits
    owed: Credits


@dataclass(frozen=True, slots=True)
class ChangeEnded(AgentEvent):
    """The bond of a declared change is over; ``returned`` is what was left of it."""

    change: int
    module: str
    bond: Credits
    returned: Credits


EXTERNALITY_EVENTS: Final[dict[type[Event], type[AgentEvent]]] = {
    externalities.ExternalityReported: ExternalityReported,
    externalities.ExternalityEnded: ExternalityEnded,
    externalities.ChangeEnded: ChangeEnded,
}
"""What each event of the wire is to users."""

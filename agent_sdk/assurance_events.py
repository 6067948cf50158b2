"""Hold the events of public goods as users see them: amounts in whole credits, work in minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent_sdk.event_base import AgentEvent
from agent_sdk.reading import Credits
from exchange.messages import assurance

if TYPE_CHECKING:
    from exchange.messages.base import Event

__all__ = [
    "ASSURANCE_EVENTS",
    "GoodConfirmed",
    "GoodDelivered",
    "GoodEnded",
    "GoodProposed",
    "GoodReached",
    "GoodSubsidised",
    "PledgePlaced",
    "PledgeVoided",
]


@dataclass(frozen=True, slots=True)
class GoodProposed(AgentEvent):
    """A good waits for pledges until ``deadline_us``; ``unit`` is what its threshold counts, `get` has its terms."""

    good: int
    title: str
    proposer: str
    unit: str
    provider: str | None
    attester: str | None
    deadline_us: int
    deliver_by_us: int


@dataclass(frozen=True, slots=True)
class PledgePlaced(AgentEvent):
    """Something was pledged, by this agent or for its good; ``bond`` is for the work."""

    good: int
    agent: str
    credits: Credits
    minutes: int
    bond: Credits


@dataclass(frozen=True, slots=True)
class PledgeVoided(AgentEvent):
    """A pledge of work counts no more: nobody is left to do it."""

    good: int
    agent: str
    credits: Credits
    minutes: int


@dataclass(frozen=True, slots=True)
class GoodSubsidised(AgentEvent):
    """The public fund gave ``amount`` for a good that this agent proposed."""

    good: int
    amount: Credits


@dataclass(frozen=True, slots=True)
class GoodReached(AgentEvent):
    """Enough was pledged: of its pledge this agent gives ``share`` and ``minutes``, and has ``refunded`` back."""

    good: int
    share: Credits
    minutes: int
    bond: Credits
    refunded: Credits


@dataclass(frozen=True, slots=True)
class GoodDelivered(AgentEvent):
    """The provider has delivered: confirm it, dispute it, or let silence accept it at ``confirm_by_us``."""

    good: int
    settlement: int
    confirm_by_us: int


@dataclass(frozen=True, slots=True)
class GoodConfirmed(AgentEvent):
    """An owner has accepted the delivery: ``weight`` of ``voting`` credits by now."""

    good: int
    agent: str
    weight: Credits
    voting: Credits


@dataclass(frozen=True, slots=True)
class GoodEnded(AgentEvent):
    """A good ended: what this agent had back in the end, its bonus, and what it got of forfeited bonds."""

    good: int
    outcome: str
    refunded: Credits
    bonus: Credits
    earned: Credits


ASSURANCE_EVENTS: Final[dict[type[Event], type[AgentEvent]]] = {
    assurance.GoodProposed: GoodProposed,
    assurance.PledgePlaced: PledgePlaced,
    assurance.PledgeVoided: PledgeVoided,
    assurance.GoodSubsidised: GoodSubsidised,
    assurance.GoodReached: GoodReached,
    assurance.GoodDelivered: GoodDelivered,
    assurance.GoodConfirmed: GoodConfirmed,
    assurance.GoodEnded: GoodEnded,
}
"""How events of the family are seen."""

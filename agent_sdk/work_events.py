"""Hold the events of work as users see them: amounts in whole credits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agent_sdk.agreement_events import AGREEMENT_EVENTS
from agent_sdk.assurance_events import ASSURANCE_EVENTS
from agent_sdk.debt_events import DEBT_EVENTS
from agent_sdk.event_base import AgentEvent
from agent_sdk.externality_events import EXTERNALITY_EVENTS
from agent_sdk.governance_models import GOVERNANCE_EVENTS
from agent_sdk.prediction_events import PREDICTION_EVENTS
from agent_sdk.property_events import PROPERTY_EVENTS
from agent_sdk.reading import Credits, read
from exchange.messages import payments, settlements, tasks

if TYPE_CHECKING:
    from exchange.messages.base import Event

__all__ = [
    "WORK_EVENTS",
    "LienChanged",
    "SettlementDelivered",
    "SettlementDisputed",
    "SettlementEnded",
    "SettlementFailing",
    "SettlementOpened",
    "StandingBidEnded",
    "TaskAwarded",
    "TaskCanceled",
    "TaskClosed",
    "TaskEnded",
    "TaskOffered",
    "TaskRoundOpened",
    "WorkLeaseRenewed",
    "convert_work_event",
]


@dataclass(frozen=True, slots=True)
class TaskRoundOpened(AgentEvent):
    """A round of an own task takes bids, until ``closes_at_us``."""

    task: int
    round: int
    closes_at_us: int
    reserve: Credits


@dataclass(frozen=True, slots=True)
class TaskOffered(AgentEvent):
    """The standing bid won; `agent.tasks.decline` is possible until ``until_us``."""

    task: int
    title: str
    price: Credits
    until_us: int


@dataclass(frozen=True, slots=True)
class TaskAwarded(AgentEvent):
    """A task that was posted or bid for has a winner."""

    task: int
    round: int
    title: str
    winner: str
    price: Credits
    bids: int
    direction: str
    pricing: str


@dataclass(frozen=True, slots=True)
class TaskClosed(AgentEvent):
    """A round ended without an award."""

    task: int
    round: int


@dataclass(frozen=True, slots=True)
class TaskCanceled(AgentEvent):
    """A task that was bid for was taken back, or the bid withdrawn for the bidder."""

    task: int
    reason: str


@dataclass(frozen=True, slots=True)
class TaskEnded(AgentEvent):
    """A task ended for good."""

    task: int
    outcome: str
    quality_bonus: Credits
    efficiency_bonus: Credits


@dataclass(frozen=True, slots=True)
class StandingBidEnded(AgentEvent):
    """The agent bids by itself no more."""

    reason: str


@dataclass(frozen=True, slots=True)
class SettlementOpened(AgentEvent):
    """Something is to be delivered and paid for; ``origin`` is a cause such as ``tasks:17``."""

    settlement: int
    origin: str
    title: str
    payer: str
    provider: str
    attester: str | None
    price: Credits
    bond: Credits
    deliver_by_us: int
    asset: str
    quantity: int
    fencing_token: int
    lease_until_us: int | None


@dataclass(frozen=True, slots=True)
class SettlementDelivered(AgentEvent):
    """Silence until ``confirm_by_us`` confirms a delivery."""

    settlement: int
    origin: str
    by: str
    reference: str
    digest: str
    late_fee: Credits
    confirm_by_us: int


@dataclass(frozen=True, slots=True)
class SettlementFailing(AgentEvent):
    """A settlement failed; final at ``final_at_us``."""

    settlement: int
    origin: str
    cause: str
    final_at_us: int
    detail: str


@dataclass(frozen=True, slots=True)
class SettlementDisputed(AgentEvent):
    """A settlement is frozen until a dispute is decided."""

    settlement: int
    origin: str
    dispute: int


@dataclass(frozen=True, slots=True)
class SettlementEnded(AgentEvent):
    """A settlement ended for good."""

    settlement: int
    origin: str
    outcome: str
    paid: Credits
    refunded: Credits
    forfeited: Credits
    score: int | None


@dataclass(frozen=True, slots=True)
class WorkLeaseRenewed(AgentEvent):
    """The work lease lasts until ``lease_until_us`` now."""

    settlement: int
    fencing_token: int
    lease_until_us: int


@dataclass(frozen=True, slots=True)
class LienChanged(AgentEvent):
    """A debt that could not be paid at once arose or was paid by ``change``; ``amount`` is left."""

    lien: int
    debtor: str
    creditor: str
    change: Credits
    amount: Credits
    cause: str


WORK_EVENTS: Final[dict[type[Event], type[AgentEvent]]] = {
    tasks.TaskRoundOpened: TaskRoundOpened,
    tasks.TaskOffered: TaskOffered,
    tasks.TaskAwarded: TaskAwarded,
    tasks.TaskClosed: TaskClosed,
    tasks.TaskCanceled: TaskCanceled,
    tasks.TaskEnded: TaskEnded,
    tasks.StandingBidEnded: StandingBidEnded,
    settlements.SettlementOpened: SettlementOpened,
    settlements.SettlementDelivered: SettlementDelivered,
    settlements.SettlementFailing: SettlementFailing,
    settlements.SettlementDisputed: SettlementDisputed,
    settlements.SettlementEnded: SettlementEnded,
    settlements.WorkLeaseRenewed: WorkLeaseRenewed,
    payments.LienChanged: LienChanged,
    **AGREEMENT_EVENTS,
    **DEBT_EVENTS,
    **EXTERNALITY_EVENTS,
    **ASSURANCE_EVENTS,
    **GOVERNANCE_EVENTS,
    **PREDICTION_EVENTS,
    **PROPERTY_EVENTS,
}
"""How events of the wire are seen; those that are not here arrive as `VenueEvent`."""


def convert_work_event(seq: int, event: Any) -> AgentEvent | None:
    """Return an event as users see it, if it has a class of its own here."""
    model = WORK_EVENTS.get(type(event))
    return None if model is None else read(model, event, seq=seq)

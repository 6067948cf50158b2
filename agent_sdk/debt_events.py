"""Hold the events of technical debt as users see them: whole hours, whole credits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent_sdk.event_base import AgentEvent
from agent_sdk.reading import Credits, Hours
from exchange.messages import debts

if TYPE_CHECKING:
    from exchange.messages.base import Event

__all__ = [
    "DEBT_EVENTS",
    "DebtAuctionClosed",
    "DebtAuctioned",
    "DebtEnded",
    "DebtInterestDue",
    "DebtIssued",
    "DebtMatured",
    "DebtOffered",
    "DebtPaydownBegun",
    "DebtPaydownEnded",
    "DebtPaydownOrdered",
    "DebtProposed",
    "DebtSaleEnded",
    "DebtSigned",
    "DebtTransferred",
    "RepaymentAttested",
    "RepaymentClaimed",
    "RepaymentFinal",
    "RepaymentRefused",
]


@dataclass(frozen=True, slots=True)
class DebtProposed(AgentEvent):
    """A debt waits for signatures until ``sign_by_us``."""

    token: int
    feature: str
    issuer: str
    principal_hours: Hours
    interest_hours_per_month: Hours
    maturity_us: int
    sign_by_us: int


@dataclass(frozen=True, slots=True)
class DebtSigned(AgentEvent):
    """An agent has signed a debt."""

    token: int
    agent: str


@dataclass(frozen=True, slots=True)
class DebtIssued(AgentEvent):
    """A debt exists from now on; its interest falls due first at ``interest_due_us``."""

    token: int
    holder: str
    hours: Hours
    interest_due_us: int


@dataclass(frozen=True, slots=True)
class DebtInterestDue(AgentEvent):
    """A month's interest was paid in credits, or added to the hours owed (``paid`` is 0 then)."""

    token: int
    hours: Hours
    paid: Credits
    owed_hours: Hours


@dataclass(frozen=True, slots=True)
class DebtMatured(AgentEvent):
    """What is owed is overdue from now on."""

    token: int
    owed_hours: Hours


@dataclass(frozen=True, slots=True)
class DebtOffered(AgentEvent):
    """Whoever takes a debt over before ``until_us`` is offered ``pay``."""

    token: int
    offer: int
    pay: Credits
    owed_hours: Hours
    until_us: int


@dataclass(frozen=True, slots=True)
class DebtAuctioned(AgentEvent):
    """Bids for taking a debt over are taken."""

    token: int
    max_pay: Credits
    closes_at_us: int
    owed_hours: Hours


@dataclass(frozen=True, slots=True)
class DebtSaleEnded(AgentEvent):
    """Nobody takes a debt over; what was offered is back."""

    token: int
    reason: str


@dataclass(frozen=True, slots=True)
class DebtAuctionClosed(AgentEvent):
    """An auction has decided who takes a debt over, for how much."""

    token: int
    winner: str
    pay: Credits
    bids: int


@dataclass(frozen=True, slots=True)
class DebtTransferred(AgentEvent):
    """Another agent holds a debt."""

    token: int
    holder: str
    by: str
    reason: str
    pay: Credits


@dataclass(frozen=True, slots=True)
class RepaymentClaimed(AgentEvent):
    """Hours are said to be repaid; without a confirmation by ``confirm_by_us`` they are not."""

    token: int
    claim: int
    by: str
    hours: Hours
    confirm_by_us: int
    reference: str


@dataclass(frozen=True, slots=True)
class RepaymentAttested(AgentEvent):
    """The attester has confirmed a repayment; a beneficiary may dispute it until ``final_at_us``."""

    token: int
    claim: int
    final_at_us: int


@dataclass(frozen=True, slots=True)
class RepaymentRefused(AgentEvent):
    """Nobody has confirmed a repayment; who claims it may dispute that until ``final_at_us``."""

    token: int
    claim: int
    final_at_us: int


@dataclass(frozen=True, slots=True)
class RepaymentFinal(AgentEvent):
    """A claim has ended: hours repaid (0: none), what they were paid, and what is still owed."""

    token: int
    claim: int
    hours: Hours
    paid: Credits
    owed_hours: Hours


@dataclass(frozen=True, slots=True)
class DebtPaydownBegun(AgentEvent):
    """A debt is paid down by force."""

    token: int
    hours: Hours
    amount: Credits
    collected: Credits
    collect_until_us: int


@dataclass(frozen=True, slots=True)
class DebtPaydownOrdered(AgentEvent):
    """The work of a paydown is auctioned as a task."""

    token: int
    task: int
    hours: Hours
    reserve: Credits


@dataclass(frozen=True, slots=True)
class DebtPaydownEnded(AgentEvent):
    """A paydown has ended."""

    token: int
    outcome: str


@dataclass(frozen=True, slots=True)
class DebtEnded(AgentEvent):
    """A debt is no more."""

    token: int
    outcome: str


DEBT_EVENTS: Final[dict[type[Event], type[AgentEvent]]] = {
    debts.DebtProposed: DebtProposed,
    debts.DebtSigned: DebtSigned,
    debts.DebtIssued: DebtIssued,
    debts.DebtInterestDue: DebtInterestDue,
    debts.DebtMatured: DebtMatured,
    debts.DebtOffered: DebtOffered,
    debts.DebtAuctioned: DebtAuctioned,
    debts.DebtSaleEnded: DebtSaleEnded,
    debts.DebtAuctionClosed: DebtAuctionClosed,
    debts.DebtTransferred: DebtTransferred,
    debts.RepaymentClaimed: RepaymentClaimed,
    debts.RepaymentAttested: RepaymentAttested,
    debts.RepaymentRefused: RepaymentRefused,
    debts.RepaymentFinal: RepaymentFinal,
    debts.DebtPaydownBegun: DebtPaydownBegun,
    debts.DebtPaydownOrdered: DebtPaydownOrdered,
    debts.DebtPaydownEnded: DebtPaydownEnded,
    debts.DebtEnded: DebtEnded,
}
"""How events of this family are seen."""

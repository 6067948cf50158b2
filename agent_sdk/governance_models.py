"""Hold what users see of governance: parameters, proposals, the public fund, and the events of who proposes."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from agent_sdk.event_base import AgentEvent
from agent_sdk.reading import Credits
from exchange.messages import governance as wire

if TYPE_CHECKING:
    from exchange.messages.base import Event

__all__ = [
    "GOVERNANCE_EVENTS",
    "Ballot",
    "CastVote",
    "OpenedProposal",
    "Parameter",
    "Proposal",
    "ProposalEnded",
    "ProposalOpened",
    "ProposalPassed",
    "PublicFund",
    "ShareBegan",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """Describe a parameter; values are in whole credits where ``unit`` is ``credits``, else in that unit.

    ``since_us``: None while it is what the venue was created with. A change that was voted for comes at
    ``next_at_us``. A dynamic one moves each day by what is ``observed``, as it is above or below its ``target``.
    """

    name: str
    value: Decimal
    low: Decimal
    high: Decimal
    unit: wire.ParameterUnit
    summary: str
    is_dynamic: bool
    target: int | None
    observed: int | None
    since_us: int | None
    next_value: Decimal | None
    next_at_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedProposal:
    """Tell the number of a new proposal, and what was deposited for it."""

    id: int
    deposit: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class CastVote:
    """Tell the weight of a vote, and what was paid for it now."""

    weight: int
    paid: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Describe a proposal. Weights are owners, agents, votes, or 10^-6 credits, as ``voting`` says.

    ``value`` and ``present`` are of a change, as in `Parameter`; ``amount`` is what the public fund would spend.
    ``my_weight`` is what the asker's owner may throw in; where votes are paid for, one vote.
    """

    id: int
    kind: wire.ProposalKind
    proposer: str
    owner: str
    state: wire.ProposalState
    opened_us: int
    closes_at_us: int
    enacts_at_us: int | None
    deposit: Credits
    voting: wire.VotingSystem
    weight_for: int
    weight_against: int
    turnout: int
    quorum_weight: int
    total_weight: int
    voters: int
    parameter: str | None
    value: Decimal | None
    present: Decimal | None
    title: str | None
    amount: Credits | None
    good: int | None
    effort_minutes: int | None
    bidding_seconds: int | None
    work_seconds: int | None
    skills: tuple[str, ...]
    attester: str | None
    task: int | None
    detail: str
    my_weight: int
    my_vote: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """Describe how an owner has voted, by which of its agents last."""

    owner: str
    agent: str
    in_favour: bool
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicFund:
    """Describe the public fund. What it has above ``cap`` is shared among ``owners`` at ``shares_at_us``.

    ``circulating`` is what agents and escrows have of the ``supply``; ``in_shares`` is on its way to owners.
    """

    available: Credits
    cap: Credits
    fees: Credits
    supply: Credits
    circulating: Credits
    in_shares: Credits
    owners: int
    day_ends_us: int | None
    shares_at_us: int | None


# ── events ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ProposalOpened(AgentEvent):
    """What the agent proposed is voted on until ``closes_at_us``."""

    proposal: int
    kind: str
    closes_at_us: int
    deposit: Credits


@dataclass(frozen=True, slots=True)
class ProposalPassed(AgentEvent):
    """What the agent proposed was voted for, and is enacted at ``enacts_at_us``."""

    proposal: int
    enacts_at_us: int


@dataclass(frozen=True, slots=True)
class ProposalEnded(AgentEvent):
    """What the agent proposed has ended; ``task`` is that which was opened, or 0."""

    proposal: int
    outcome: str
    task: int


@dataclass(frozen=True, slots=True)
class ShareBegan(AgentEvent):
    """The share that the agent proposed is being paid, to so many owners."""

    proposal: int
    amount: Credits
    owners: int


GOVERNANCE_EVENTS: Final[dict[type[Event], type[AgentEvent]]] = {
    wire.ProposalOpened: ProposalOpened,
    wire.ProposalPassed: ProposalPassed,
    wire.ProposalEnded: ProposalEnded,
    wire.ShareBegan: ShareBegan,
}
"""How events of the family are seen."""

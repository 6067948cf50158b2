"""Speak about what owners decide together: family ``governance``.

Amounts are in the credit's smallest unit, times in microseconds of venue time. A parameter's value is in its ``unit``.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from exchange.messages.base import (
    MAX_AMOUNT,
    AgentId,
    Amount,
    Command,
    Event,
    Outcome,
    PositiveAmount,
    Query,
    Result,
)

__all__ = [
    "BallotView",
    "BallotsResult",
    "BeginGovernance",
    "FundResult",
    "GetFund",
    "GetProposal",
    "ListBallots",
    "ListParameters",
    "ListProposals",
    "ParameterUnit",
    "ParameterView",
    "ParametersResult",
    "ProposalEnded",
    "ProposalKind",
    "ProposalOpened",
    "ProposalOutcome",
    "ProposalPassed",
    "ProposalResult",
    "ProposalState",
    "ProposalView",
    "ProposalsResult",
    "ProposeChange",
    "ProposeShare",
    "ProposeSubsidy",
    "ProposeWork",
    "ShareBegan",
    "Vote",
    "VoteOutcome",
    "VotingSystem",
]

ProposalId = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
ParameterName = Annotated[str, Meta(min_length=1, max_length=64)]
Text = Annotated[str, Meta(max_length=8_192)]
Skill = Annotated[str, Meta(min_length=1, max_length=64)]

ProposalKind = Literal["change", "work", "subsidy", "share"]
ProposalState = Literal["voting", "passed", "enacted", "rejected", "no_quorum", "unfunded", "impossible"]
EndReason = Literal["enacted", "rejected", "no_quorum", "unfunded", "impossible"]
VotingSystem = Literal["one_owner", "one_agent", "credits", "quadratic"]
ParameterUnit = Literal["credits", "ppm", "basis_points", "seconds", "milli_hours"]


# ── commands ────────────────────────────────────────────────────────────────────────────────────


class BeginGovernance(Command, tag="governance.begin", kw_only=True):
    """Begin the days of governance; the venue itself says so, once, as a daemon that knows of them begins to lead."""


class ProposeChange(Command, tag="governance.propose_change", kw_only=True):
    """Propose another ``value`` of a parameter, in its smallest unit, for a deposit."""

    parameter: ParameterName
    value: Amount
    detail: Text = ""


class ProposeWork(Command, tag="governance.propose_work", kw_only=True):
    """Propose that the public fund pays for a task: at most ``reserve``, to whoever bids least.

    It is auctioned for ``bidding_seconds`` once it was enacted, and is to be done ``work_seconds`` after that. Who
    proposed it confirms what is delivered, unless the ``attester`` does.
    """

    title: Annotated[str, Meta(min_length=1, max_length=200)]
    effort_minutes: Annotated[int, Meta(ge=1, le=527_040)]
    reserve: PositiveAmount
    bidding_seconds: Annotated[int, Meta(ge=60, le=2_592_000)] = 86_400
    work_seconds: Annotated[int, Meta(ge=60, le=15_552_000)] = 604_800
    skills: Annotated[list[Skill], Meta(max_length=16)] = msgspec.field(default_factory=list)
    attester: AgentId | None = None
    detail: Text = ""


class ProposeSubsidy(Command, tag="governance.propose_subsidy", kw_only=True):
    """Propose that the public fund gives ``amount`` towards a public good of the family ``assurance``."""

    good: Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
    amount: PositiveAmount
    detail: Text = ""


class ProposeShare(Command, tag="governance.propose_share", kw_only=True):
    """Propose to share ``amount`` of the public fund among all owners, alike."""

    amount: PositiveAmount
    detail: Text = ""


class Vote(Command, tag="governance.vote", kw_only=True):
    """Vote for one's owner; its latest vote counts. ``votes`` is how many it wants, where votes are paid for."""

    proposal: ProposalId
    in_favour: bool
    votes: Annotated[int, Meta(ge=1, le=10_000)] = 1


class ProposalOutcome(Outcome, tag="outcome"):
    """Answer a proposal: its number, and what was deposited."""

    proposal: int = 0
    deposit: int = 0


class VoteOutcome(Outcome, tag="outcome"):
    """Answer ``Vote``: the weight that counts for it, and what was paid for it now."""

    weight: int = 0
    paid: int = 0


# ── events ──────────────────────────────────────────────────────────────────────────────────────


class ProposalOpened(Event, tag="governance.proposal_opened", kw_only=True):
    """Tell who proposed that votes are taken until ``closes_at_us``."""

    proposal: int
    kind: ProposalKind
    closes_at_us: int
    deposit: int


class ProposalPassed(Event, tag="governance.proposal_passed", kw_only=True):
    """Tell who proposed that it was voted for; it is enacted at ``enacts_at_us``."""

    proposal: int
    enacts_at_us: int


class ProposalEnded(Event, tag="governance.proposal_ended", kw_only=True):
    """Tell who proposed how it ended, and by what number: the ``task`` that was opened, if it was one."""

    proposal: int
    outcome: EndReason
    task: int = 0


class ShareBegan(Event, tag="governance.share_began", kw_only=True):
    """Tell who proposed a share of the public fund that it is being paid: to so many owners."""

    proposal: int
    amount: int
    owners: int


# ── queries and their results ───────────────────────────────────────────────────────────────────


class ListParameters(Query, tag="governance.parameters"):
    """Ask for every parameter that may be voted on: its value, its bounds, since when, and what comes next."""

    parameter: str | None = None


class GetProposal(Query, tag="governance.proposal"):
    """Ask for one proposal. Of ended ones the last 1,000 are known."""

    proposal: ProposalId


class ListProposals(Query, tag="governance.proposals"):
    """Ask for the proposals by number, paged: those that have not ended, or (``ended``) those that have."""

    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 200
    ended: bool = False


class ListBallots(Query, tag="governance.ballots"):
    """Ask how owners have voted on a proposal that is being voted on, by the order of their first vote, paged."""

    proposal: ProposalId
    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 200


class GetFund(Query, tag="governance.fund"):
    """Ask for the public fund: what it has, where its cap is, and when the next day ends."""


class ParameterView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a parameter. ``since_us``: None while it is what the venue was created with.

    ``next_value`` comes at ``next_at_us``, if a change was voted for. A rate with a ``target`` is dynamic: each day it
    rises or falls by up to an eighth, as ``observed`` of this day is above or below the target.
    """

    parameter: str
    value: int
    low: int
    high: int
    unit: ParameterUnit
    summary: str
    is_dynamic: bool = False
    target: int | None = None
    observed: int | None = None
    since_us: int | None = None
    next_value: int | None = None
    next_at_us: int | None = None


class ParametersResult(Result, tag="parameters", kw_only=True):
    """Answer ``ListParameters``; ``day_ends_us`` is when dynamic rates move next."""

    parameters: list[ParameterView]
    day_ends_us: int | None = None


class ProposalView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a proposal. ``total_weight`` is that of all who may vote; ``quorum_weight`` what must have voted.

    The fields of the kind it is have values: of a ``change`` the parameter and its ``value`` and ``present`` value.
    """

    proposal: int
    kind: ProposalKind
    proposer: str
    owner: str
    state: ProposalState
    opened_us: int
    closes_at_us: int
    enacts_at_us: int | None = None
    deposit: int
    voting: VotingSystem
    weight_for: int
    weight_against: int
    turnout: int
    quorum_weight: int
    total_weight: int
    voters: int
    parameter: str | None = None
    value: int | None = None
    present: int | None = None
    title: str | None = None
    amount: int | None = None
    good: int | None = None
    effort_minutes: int | None = None
    bidding_seconds: int | None = None
    work_seconds: int | None = None
    skills: list[str] = msgspec.field(default_factory=list)
    attester: str | None = None
    task: int | None = None
    detail: str = ""
    my_weight: int = 0
    """What the asker's owner may throw in; where votes are paid for, one vote."""
    my_vote: bool | None = None


class ProposalResult(Result, tag="proposal", kw_only=True):
    """Answer ``GetProposal``."""

    proposal: ProposalView


class ProposalsResult(Result, tag="proposals", kw_only=True):
    """Answer ``ListProposals``; ``next`` is the ``after`` of the next page, if there is one."""

    proposals: list[ProposalView]
    next: int | None = None


class BallotView(msgspec.Struct, kw_only=True):
    """Describe how an owner has voted: by which of its agents last, and with what weight."""

    owner: str
    agent: str
    in_favour: bool
    weight: int


class BallotsResult(Result, tag="ballots", kw_only=True):
    """Answer ``ListBallots``; ``next`` is the ``after`` of the next page, if there is one."""

    ballots: list[BallotView]
    next: int | None = None


class FundResult(Result, tag="fund", kw_only=True):
    """Answer ``GetFund``.

    What ``available`` has above ``cap`` is shared at ``shares_at_us``; ``in_shares`` is on its way to owners already.
    ``circulating`` is what agents and escrows have. ``day_ends_us`` is when the fees come in next.
    """

    available: int
    cap: int
    fees: int
    supply: int
    circulating: int
    in_shares: int
    owners: int
    day_ends_us: int | None = None
    shares_at_us: int | None = None

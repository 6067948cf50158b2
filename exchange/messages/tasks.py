"""Speak about work that is auctioned: family ``tasks``.

Amounts are in the credit's smallest unit, times in microseconds of venue time, effort in minutes.
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
    TimestampUs,
)

__all__ = [
    "AcceptOffer",
    "AllBidsResult",
    "BidOnTask",
    "CancelTask",
    "ClearStandingBid",
    "DecidedBidView",
    "DeclineOffer",
    "Direction",
    "GetStandingBid",
    "GetTask",
    "ListAllBids",
    "ListBids",
    "ListTasks",
    "PostTask",
    "Pricing",
    "SetStandingBid",
    "StandingBidEnded",
    "StandingBidResult",
    "StandingBidView",
    "TaskAwarded",
    "TaskBidOutcome",
    "TaskBidView",
    "TaskBidsResult",
    "TaskCanceled",
    "TaskClosed",
    "TaskEnded",
    "TaskOffered",
    "TaskOutcome",
    "TaskResult",
    "TaskRoundOpened",
    "TaskState",
    "TaskView",
    "TasksResult",
    "WithdrawTaskBid",
]

TaskId = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
Skill = Annotated[str, Meta(min_length=1, max_length=64)]
Skills = Annotated[list[Skill], Meta(max_length=16)]
Minutes = Annotated[int, Meta(ge=1, le=527_040)]
Score = Annotated[int, Meta(ge=0, le=100)]
Direction = Literal["procurement", "sale"]
Pricing = Literal["second_price", "first_price"]
TaskState = Literal["open", "offered", "awarded", "completed", "failed", "unawarded", "canceled"]
EndReason = Literal["completed", "failed", "no_bids", "unfunded", "canceled", "revoked"]


# ── commands ────────────────────────────────────────────────────────────────────────────────────


class PostTask(Command, tag="tasks.post", kw_only=True):
    """Auction a task until ``closes_at_us``; it is to be done by ``deadline_us``.

    In a ``procurement`` the lowest bid wins and is paid, at most ``reserve``, or with urgency ``max_price`` (default:
    ``reserve``). In a ``sale`` the highest bid wins and pays, at least ``reserve``, for a ``reward`` on completion.
    ``bond`` (default 10 % of ``reserve``, at most half) is what a bidder in a procurement forfeits by failing.
    ``late_per_hour`` defaults to 5 % of the price.
    """

    title: Annotated[str, Meta(min_length=1, max_length=200)]
    effort_minutes: Minutes
    reserve: PositiveAmount
    closes_at_us: TimestampUs
    deadline_us: TimestampUs
    detail: Annotated[str, Meta(max_length=8_192)] = ""
    value: Amount | None = None
    skills: Skills = msgspec.field(default_factory=list)
    direction: Direction = "procurement"
    pricing: Pricing = "second_price"
    max_price: PositiveAmount | None = None
    reward: Amount = 0
    bond: Amount | None = None
    quality_bonus: Amount = 0
    efficiency_bonus: Amount = 0
    late_hours: Annotated[int, Meta(ge=0, le=8_784)] = 0
    late_per_hour: Amount | None = None
    confirm_seconds: Annotated[int, Meta(ge=1, le=2_592_000)] | None = None
    attester: AgentId | None = None
    min_reputation: Score = 0
    critical: bool = False
    max_rounds: Annotated[int, Meta(ge=1, le=100)] = 1
    on_failure: Literal["reopen", "end"] = "end"


class CancelTask(Command, tag="tasks.cancel", kw_only=True):
    """Take back a task whose auction is open: nobody learns whether anybody bid."""

    task: TaskId


class BidOnTask(Command, tag="tasks.bid", kw_only=True):
    """Bid, sealed, for one's owner: the latest bid counts, and can be withdrawn until the close."""

    task: TaskId
    price: PositiveAmount


class WithdrawTaskBid(Command, tag="tasks.withdraw_bid", kw_only=True):
    """Withdraw the owner's bid before the close."""

    task: TaskId


class SetStandingBid(Command, tag="tasks.set_standing_bid", kw_only=True):
    """Bid by itself in every procurement that asks for no other ``skills`` than these, until ``until_us``.

    The price is ``fixed_price`` and ``price_per_hour`` times the effort, more by ``load_markup_bp`` for each award
    that is open; at most ``capacity`` are. It holds nothing before the close.
    """

    skills: Annotated[list[Skill], Meta(max_length=64)] = msgspec.field(default_factory=list)
    price_per_hour: Amount = 0
    fixed_price: Amount = 0
    load_markup_bp: Annotated[int, Meta(ge=0, le=100_000)] = 0
    max_effort_minutes: Minutes | None = None
    max_bond: Amount | None = None
    min_payer_reputation: Score = 0
    capacity: Annotated[int, Meta(ge=1, le=1_000)] = 1
    until_us: TimestampUs | None = None


class ClearStandingBid(Command, tag="tasks.clear_standing_bid", kw_only=True):
    """Bid by itself no more."""


class AcceptOffer(Command, tag="tasks.accept", kw_only=True):
    """Take the task that a standing bid won, at once instead of by silence."""

    task: TaskId


class DeclineOffer(Command, tag="tasks.decline", kw_only=True):
    """Leave the task that a standing bid won to the next bid."""

    task: TaskId


# ── outcomes ────────────────────────────────────────────────────────────────────────────────────


class TaskOutcome(Outcome, tag="outcome"):
    """Answer ``PostTask``: the number of the task, and the reserve of its first round, urgency included."""

    task: int = 0
    reserve: int = 0


class TaskBidOutcome(Outcome, tag="outcome"):
    """Answer ``BidOnTask``: what is held for the bid. It has no number that would tell how many others there are."""

    held: int = 0


# ── events ──────────────────────────────────────────────────────────────────────────────────────


class TaskClosed(Event, tag="tasks.closed", kw_only=True):
    """Tell poster and bidders that a round ended without an award; who bid what stays unknown."""

    task: int
    round: int


class TaskRoundOpened(Event, tag="tasks.round_opened", kw_only=True):
    """Tell the poster that bids are taken until ``closes_at_us``, with this reserve."""

    task: int
    round: int
    closes_at_us: int
    reserve: int


class TaskOffered(Event, tag="tasks.offered", kw_only=True):
    """Tell an agent that its standing bid won; silence until ``until_us`` accepts."""

    task: int
    title: str
    price: int
    until_us: int


class TaskAwarded(Event, tag="tasks.awarded", kw_only=True):
    """Tell poster and bidders who won, at what price, among how many bids. The settlement follows to the parties."""

    task: int
    round: int
    title: str
    winner: str
    price: int
    bids: int
    direction: Direction
    pricing: Pricing


class TaskEnded(Event, tag="tasks.ended", kw_only=True):
    """Tell poster and worker how a task ended for good, and which bonuses were paid."""

    task: int
    outcome: EndReason
    quality_bonus: int = 0
    efficiency_bonus: int = 0


class TaskCanceled(Event, tag="tasks.canceled", kw_only=True):
    """Tell a bidder that the task it bid for was taken back, or its own bid withdrawn for it."""

    task: int
    reason: Literal["canceled", "revoked", "dead_man", "forced_debit"]


class StandingBidEnded(Event, tag="tasks.standing_bid_ended", kw_only=True):
    """Tell an agent that it bids by itself no more."""

    reason: Literal["expired", "dead_man", "revoked"]


# ── queries and their results ───────────────────────────────────────────────────────────────────


class GetTask(Query, tag="tasks.get"):
    """Ask for one task, and why it was awarded as it was. Of ended ones the last 1,000 are known."""

    task: TaskId


class ListTasks(Query, tag="tasks.list"):
    """Ask for the open auctions that ask for a ``skill``, or all, by number, paged; ``mine``: what the agent posted."""

    skill: Skill | None = None
    mine: bool = False
    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 200


class ListBids(Query, tag="tasks.bids"):
    """Ask for the agent's own sealed bids, by task, paged."""

    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 200


class ListAllBids(Query, tag="tasks.all_bids"):
    """Ask for all bids that an award was decided among: only who has a seat in a dispute about it may."""

    task: TaskId


class GetStandingBid(Query, tag="tasks.standing_bid"):
    """Ask for the agent's own standing bid."""


class TaskView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a task. Before an award nothing tells of bids; after it everybody sees winner, price and count."""

    task: int
    poster: str
    title: str
    state: TaskState
    direction: Direction
    pricing: Pricing
    effort_minutes: int
    reserve: int
    """Of the present round, urgency included."""
    closes_at_us: int
    deadline_us: int
    round: int
    max_rounds: int
    detail: str = ""
    value: int | None = None
    skills: list[str] = msgspec.field(default_factory=list)
    bond: int = 0
    reward: int = 0
    quality_bonus: int = 0
    efficiency_bonus: int = 0
    late_hours: int = 0
    attester: str | None = None
    min_reputation: int = 0
    critical: bool = False
    on_failure: str = "end"
    winner: str | None = None
    price: int | None = None
    bids: int | None = None
    settlement: int | None = None
    own_bid: int | None = None
    outcome: EndReason | None = None
    origin: str | None = None
    """The cause of the mechanism that has it done, such as ``debts:3``; its ``poster`` does not pay for it."""


class TaskResult(Result, tag="task", kw_only=True):
    """Answer ``GetTask``."""

    task: TaskView


class TasksResult(Result, tag="tasks", kw_only=True):
    """Answer ``ListTasks``; ``next`` is the ``after`` of the next page, if there is one."""

    tasks: list[TaskView]
    next: int | None = None


class TaskBidView(msgspec.Struct, kw_only=True):
    """Describe a sealed bid to who made it."""

    task: int
    price: int
    held: int


class DecidedBidView(msgspec.Struct, kw_only=True):
    """Describe a bid that an award was decided among, the earliest first, to the panel of a dispute."""

    agent: str
    price: int
    is_standing: bool


class AllBidsResult(Result, tag="task_all_bids", kw_only=True):
    """Answer ``ListAllBids``."""

    bids: list[DecidedBidView]


class TaskBidsResult(Result, tag="task_bids", kw_only=True):
    """Answer ``ListBids``; ``next`` is the ``after`` of the next page, if there is one."""

    bids: list[TaskBidView]
    next: int | None = None


class StandingBidView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a standing bid to who set it."""

    skills: list[str]
    price_per_hour: int
    fixed_price: int
    load_markup_bp: int
    capacity: int
    open_awards: int
    max_effort_minutes: int | None = None
    max_bond: int | None = None
    min_payer_reputation: int = 0
    until_us: int | None = None


class StandingBidResult(Result, tag="standing_bid", kw_only=True):
    """Answer ``GetStandingBid``; None: there is none."""

    standing_bid: StandingBidView | None = None

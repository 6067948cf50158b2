"""Speak about public goods that many pledge for: family ``assurance``.

Amounts are in the credit's smallest unit, times in microseconds of venue time, work in minutes.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from exchange.messages.base import (
    MAX_AMOUNT,
    AgentId,
    Amount,
    BasisPoints,
    Command,
    Event,
    Outcome,
    PositiveAmount,
    Query,
    Result,
    TimestampUs,
)

__all__ = [
    "ConfirmGood",
    "GetGood",
    "GoodConfirmed",
    "GoodDelivered",
    "GoodEnded",
    "GoodOutcome",
    "GoodProposed",
    "GoodReached",
    "GoodResult",
    "GoodState",
    "GoodSubsidised",
    "GoodUnit",
    "GoodView",
    "GoodsResult",
    "ListGoods",
    "ListPledges",
    "Pledge",
    "PledgeOutcome",
    "PledgePlaced",
    "PledgeView",
    "PledgeVoided",
    "PledgesResult",
    "ProposeGood",
    "WithdrawGood",
]

GoodId = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
Minutes = Annotated[int, Meta(ge=0, le=1_000_000)]
GoodUnit = Literal["owners", "credits", "minutes"]
GoodEnd = Literal["completed", "failed", "not_reached", "revoked", "withdrawn", "dead_man"]
GoodState = Literal["open", "reached", "completed", "failed", "not_reached", "revoked", "withdrawn", "dead_man"]


# ── commands ────────────────────────────────────────────────────────────────────────────────────


class ProposeGood(Command, tag="assurance.propose", kw_only=True):
    """Propose a good that is provided if enough is pledged by ``deadline_us``, and by ``deliver_by_us`` at the latest.

    ``threshold`` and ``cap`` (default: the threshold) count owners, smallest units of credit, or minutes of work, as
    ``unit`` says. A pledge is at least ``min_credits`` and ``min_minutes``. Where owners count they say what each one
    gives, and at least one has to be named. ``provider`` is paid the credits; who pledges work does it.
    ``refund_bonus_bp`` of the credits is added to the refunds if too little is pledged, for which the proposer puts the
    most that it can come to into escrow. ``hour_bond`` is what whoever pledges work deposits for each hour of it.
    """

    title: Annotated[str, Meta(min_length=1, max_length=200)]
    unit: GoodUnit
    threshold: PositiveAmount
    deadline_us: TimestampUs
    deliver_by_us: TimestampUs
    detail: Annotated[str, Meta(max_length=8_192)] = ""
    provider: AgentId | None = None
    cap: PositiveAmount | None = None
    min_credits: Amount | None = None
    min_minutes: Minutes | None = None
    refund_bonus_bp: BasisPoints = 0
    hour_bond: Amount | None = None
    attester: AgentId | None = None


class Pledge(Command, tag="assurance.pledge", kw_only=True):
    """Pledge credits, minutes of work, or both, for good; more of them add to the pledge of before."""

    good: GoodId
    credits: Amount = 0
    minutes: Minutes = 0


class ConfirmGood(Command, tag="assurance.confirm", kw_only=True):
    """Accept what the provider delivered, for the agent's owner; more than half of the pledged credits pay for it."""

    good: GoodId


class WithdrawGood(Command, tag="assurance.withdraw", kw_only=True):
    """Take back, as the proposer, a good for which nobody has pledged anything."""

    good: GoodId


class GoodOutcome(Outcome, tag="outcome"):
    """Answer ``ProposeGood``: the number of the good, and what was put into escrow for the bonus."""

    good: int = 0
    escrow: int = 0


class PledgeOutcome(Outcome, tag="outcome"):
    """Answer ``Pledge``: what was put into escrow as a bond for the work."""

    bond: int = 0


# ── events ──────────────────────────────────────────────────────────────────────────────────────


class GoodProposed(Event, tag="assurance.proposed", kw_only=True):
    """Tell proposer, provider and attester of a good that waits for pledges."""

    good: int
    title: str
    proposer: str
    unit: GoodUnit
    threshold: int
    cap: int
    deadline_us: int
    deliver_by_us: int
    provider: str | None = None
    attester: str | None = None


class PledgePlaced(Event, tag="assurance.pledged", kw_only=True):
    """Tell who pledged, and the proposer; ``raised`` is what there is now of what the threshold counts."""

    good: int
    agent: str
    raised: int
    credits: int = 0
    minutes: int = 0
    bond: int = 0


class PledgeVoided(Event, tag="assurance.pledge_voided", kw_only=True):
    """Tell the proposer of a pledge of work that nobody is left to do; ``raised`` is what there is now."""

    good: int
    agent: str
    raised: int
    credits: int = 0
    minutes: int = 0


class GoodSubsidised(Event, tag="assurance.subsidised", kw_only=True):
    """Tell the proposer of public money: what was taken, up to the cap, and what there is now."""

    good: int
    amount: int
    raised: int


class GoodReached(Event, tag="assurance.reached", kw_only=True):
    """Tell that enough was pledged: what the agent gives of its pledge, and what it has back of it."""

    good: int
    share: int = 0
    minutes: int = 0
    bond: int = 0
    refunded: int = 0


class GoodDelivered(Event, tag="assurance.delivered", kw_only=True):
    """Tell those whose credits pay for it that the provider has delivered; silence accepts it at ``confirm_by_us``."""

    good: int
    settlement: int
    confirm_by_us: int


class GoodConfirmed(Event, tag="assurance.confirmed", kw_only=True):
    """Tell proposer, provider and who confirmed: ``weight`` of the credits of ``voting`` has done so by now."""

    good: int
    agent: str
    weight: int
    voting: int


class GoodEnded(Event, tag="assurance.ended", kw_only=True):
    """Tell how a good ended: what the agent had back in the end, its bonus, and what it got of forfeited bonds."""

    good: int
    outcome: GoodEnd
    refunded: int = 0
    bonus: int = 0
    earned: int = 0


# ── queries and their results ───────────────────────────────────────────────────────────────────


class GetGood(Query, tag="assurance.get"):
    """Ask for one good. Of ended ones the last 1,000 are known."""

    good: GoodId


class ListGoods(Query, tag="assurance.list"):
    """Ask for the goods that have not ended, by number, paged; ``mine``: those in which the agent has a part."""

    mine: bool = False
    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 200


class ListPledges(Query, tag="assurance.pledges"):
    """Ask for the pledges of a good, by number, paged. Of ended goods the last 10,000 are known."""

    good: GoodId
    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 200


class GoodView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a good; ``raised`` is what there is of what the threshold counts, ``settlement`` the provider's.

    ``confirmed`` of ``voting`` credits have accepted what was delivered. ``delivered_minutes`` of work are done for
    good. ``paid`` is what the provider has got, ``bonus`` what was added to the refunds.
    """

    good: int
    title: str
    proposer: str
    state: GoodState
    unit: GoodUnit
    threshold: int
    cap: int
    raised: int
    deadline_us: int
    deliver_by_us: int
    credits: int
    minutes: int
    owners: int
    pledges: int
    min_credits: int
    min_minutes: int
    refund_bonus_bp: int
    hour_bond: int
    detail: str = ""
    provider: str | None = None
    attester: str | None = None
    subsidy: int = 0
    settlement: int | None = None
    delivered_minutes: int = 0
    confirmed: int = 0
    voting: int = 0
    paid: int = 0
    bonus: int = 0


class PledgeView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a pledge; ``share`` and ``share_minutes`` are what is given of it, once that is known.

    ``counts``: its owner counts as one, has a voice and gets the bonus. ``delivered``: whether the work was done; None
    while that is not final. ``refunded`` is what of credits and bond has come back by now, ``bonus`` what was paid on
    top, ``earned`` what it got of forfeited bonds.
    """

    pledge: int
    agent: str
    owner: str
    credits: int
    minutes: int
    bond: int
    counts: bool
    share: int | None = None
    share_minutes: int | None = None
    settlement: int | None = None
    delivered: bool | None = None
    refunded: int = 0
    bonus: int = 0
    earned: int = 0


class GoodResult(Result, tag="good", kw_only=True):
    """Answer ``GetGood``."""

    good: GoodView


class GoodsResult(Result, tag="goods", kw_only=True):
    """Answer ``ListGoods``; ``next`` is the ``after`` of the next page, if there is one."""

    goods: list[GoodView]
    next: int | None = None


class PledgesResult(Result, tag="pledges", kw_only=True):
    """Answer ``ListPledges``; ``next`` is the ``after`` of the next page, if there is one."""

    pledges: list[PledgeView]
    next: int | None = None

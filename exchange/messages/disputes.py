"""Speak about disputes, who rules on them, and what arbitrators have at stake: family ``disputes``.

Amounts are in the credit's smallest unit, times in microseconds of venue time.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from exchange.messages.base import MAX_AMOUNT, Command, Event, Outcome, PositiveAmount, Query, Result

__all__ = [
    "ArbitratorAbsent",
    "ArbitratorSeated",
    "DisputeDecided",
    "DisputeId",
    "DisputeOpened",
    "DisputeOutcome",
    "DisputeResult",
    "DisputeVerdict",
    "DisputeView",
    "DisputesResult",
    "GetDispute",
    "GetMyStake",
    "ListDisputes",
    "MyStakeResult",
    "OpenDispute",
    "Rule",
    "RulingView",
    "Stake",
    "StakeChanged",
    "StakeOutcome",
    "Unstake",
]

DisputeId = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
Statement = Annotated[str, Meta(max_length=4_096)]
DisputeVerdict = Literal["upheld", "rejected", "no_majority"]


class Stake(Command, tag="disputes.stake", kw_only=True):
    """Put credits at stake as an arbitrator; who has enough of them there for long enough is drawn for panels."""

    amount: PositiveAmount


class Unstake(Command, tag="disputes.unstake", kw_only=True):
    """Take credits back that are at stake, the youngest first; not while the arbitrator has a seat."""

    amount: PositiveAmount


class StakeOutcome(Outcome, tag="outcome"):
    """Answer ``Stake`` and ``Unstake``: what is at stake now."""

    stake: int = 0


class OpenDispute(Command, tag="disputes.open", kw_only=True):
    """Dispute what ``family`` knows as ``number``, such as a settlement, for a deposit; once, and within its window."""

    family: Annotated[str, Meta(min_length=1, max_length=32)]
    number: Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
    statement: Statement = ""


class DisputeOutcome(Outcome, tag="outcome"):
    """Answer ``OpenDispute``: its number, and what was deposited."""

    dispute: int = 0
    deposit: int = 0


class Rule(Command, tag="disputes.rule", kw_only=True):
    """Rule, as a member of the panel; once. Nobody sees it before the dispute is decided."""

    dispute: DisputeId
    upheld: bool
    statement: Statement = ""


class RulingView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe what one arbitrator did; ``upheld`` is None where it did not rule."""

    arbitrator: str
    upheld: bool | None = None
    statement: str = ""


# ── events ──────────────────────────────────────────────────────────────────────────────────────


class DisputeOpened(Event, tag="disputes.opened", kw_only=True):
    """Tell both parties that something is disputed; ``disputer`` gets its way if the dispute is upheld."""

    dispute: int
    family: str
    number: int
    disputer: str
    respondent: str
    deposit: int
    statement: str = ""


class ArbitratorSeated(Event, tag="disputes.seated", kw_only=True):
    """Tell an arbitrator that it was drawn for a panel, and that it has to rule before ``rule_by_us``."""

    dispute: int
    family: str
    number: int
    disputer: str
    respondent: str
    amount: int
    rule_by_us: int
    statement: str = ""


class ArbitratorAbsent(Event, tag="disputes.absent", kw_only=True):
    """Tell an arbitrator that it did not rule in time: it forfeits a part of its stake when the dispute is decided."""

    dispute: int


class DisputeDecided(Event, tag="disputes.decided", kw_only=True):
    """Tell parties and panel how a dispute was decided, and who ruled what.

    ``rejected`` and ``no_majority`` leave it at what silence would have brought. ``fee`` is what the panel is due, from
    the disputer's deposit or, when ``upheld``, from the respondent.
    """

    dispute: int
    family: str
    number: int
    verdict: DisputeVerdict
    fee: int
    rulings: list[RulingView]


class StakeChanged(Event, tag="disputes.stake_changed", kw_only=True):
    """Tell an arbitrator what it has at stake now; ``dispute`` is the one for which it forfeited some, or 0."""

    stake: int
    change: int
    dispute: int = 0


# ── queries and their results ───────────────────────────────────────────────────────────────────


class GetDispute(Query, tag="disputes.get"):
    """Ask for one dispute: as a party, of the panel, or as an operator. Of decided ones the last 1,000 are known."""

    dispute: DisputeId


class ListDisputes(Query, tag="disputes.list"):
    """Ask for the undecided disputes in which the agent is a party or has to rule, by number, paged."""

    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 500


class GetMyStake(Query, tag="disputes.my_stake"):
    """Ask what the agent has at stake as an arbitrator."""


class DisputeView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a dispute: who rules and what, only once it is decided."""

    dispute: int
    family: str
    number: int
    disputer: str
    respondent: str
    amount: int
    deposit: int
    opened_us: int
    statement: str = ""
    rule_by_us: int | None = None
    """Until when the asker has to rule, if it does."""
    verdict: DisputeVerdict | None = None
    decided_us: int | None = None
    rulings: list[RulingView] = msgspec.field(default_factory=list)


class DisputeResult(Result, tag="dispute", kw_only=True):
    """Answer ``GetDispute``."""

    dispute: DisputeView


class DisputesResult(Result, tag="disputes", kw_only=True):
    """Answer ``ListDisputes``; ``next`` is the ``after`` of the next page, if there is one."""

    disputes: list[DisputeView]
    next: int | None = None


class MyStakeResult(Result, tag="my_stake", kw_only=True):
    """Answer ``GetMyStake``: what is at stake, how much of it counts already, and the disputes that keep it there."""

    stake: int
    counts: int
    disputes: list[int]

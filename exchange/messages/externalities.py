"""Speak about what agents do to others, and what that costs them: family ``externalities``.

Amounts are in the credit's smallest unit, times in microseconds of venue time.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from exchange.messages.base import MAX_AMOUNT, AgentId, Command, Event, Outcome, PositiveAmount, Query, Result
from exchange.messages.base import TimestampUs as Timestamp

__all__ = [
    "AcceptExternality",
    "AffectedModule",
    "AffectedView",
    "ChangeEnded",
    "ChangeOutcome",
    "ChangeView",
    "ChangesResult",
    "DeclareChange",
    "ExternalitiesResult",
    "ExternalityEnded",
    "ExternalityKind",
    "ExternalityOutcome",
    "ExternalityReported",
    "ExternalityResult",
    "ExternalityState",
    "ExternalityView",
    "GetExternality",
    "GetRates",
    "HowFinal",
    "ListChanges",
    "ListExternalities",
    "RateView",
    "RatesResult",
    "ReportExternality",
    "SharePaid",
]

Number = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
# Where a module is only named, an unknown name is a rejection, so its length is enough.
ModuleId = Annotated[str, Meta(min_length=1, max_length=64)]
Severity = Annotated[int, Meta(ge=1, le=100)]
Units = Annotated[int, Meta(ge=1, le=1_000_000)]
Reference = Annotated[str, Meta(min_length=1, max_length=500)]
Digest = Annotated[str, Meta(max_length=128)]

ExternalityKind = Literal["coupling", "context_switch", "blocking", "debt", "knowledge_hoarding"]
ExternalityState = Literal["open", "disputed", "final", "overturned"]
HowFinal = Literal["accepted", "undisputed", "dispute_lost", "overturned"]


# ── commands ────────────────────────────────────────────────────────────────────────────────────


class AffectedModule(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Name a module that suffers, and how badly: ``severity`` 100 is all of it."""

    module: ModuleId
    severity: Severity


class DeclareChange(Command, tag="externalities.declare", kw_only=True):
    """Say, before a module is changed, that it will be, and put up a bond that pays first for what the change breaks.

    What is left of the bond returns after the venue's ``change_bond_seconds``.
    """

    module: ModuleId
    bond: PositiveAmount


class ReportExternality(Command, tag="externalities.report", kw_only=True):
    """Attest what ``source`` did to others, with a stake; what it costs is held from ``source`` until that is final.

    ``units`` count interruptions (``context_switch``), started hours (``blocking``), hours of interest (``debt``) or
    months (``knowledge_hoarding``) of ``module``; coupling is counted by the ``severity`` of every module ``affected``.
    ``target`` is the agent that suffers, where it is no owner of a module. ``change`` is the number of a declared
    change (default: what fits); ``changed_us`` when it was done (default: now). The same ``reference`` of the same
    kind, source, module and target is reported once.
    """

    kind: ExternalityKind
    source: AgentId
    reference: Reference
    digest: Digest = ""
    module: ModuleId | None = None
    affected: Annotated[list[AffectedModule], Meta(max_length=256)] = msgspec.field(default_factory=list)
    target: AgentId | None = None
    units: Units | None = None
    change: Number | None = None
    changed_us: Timestamp | None = None


class AcceptExternality(Command, tag="externalities.accept", kw_only=True):
    """Let a levy be final, as its source or another agent of the same owner."""

    externality: Number


class ChangeOutcome(Outcome, tag="outcome"):
    """Answer ``DeclareChange``: the number of the change, and when its bond returns."""

    change: int = 0
    returns_us: int = 0


class ExternalityOutcome(Outcome, tag="outcome"):
    """Answer ``ReportExternality``: its number, what it costs, how much of that could be held, and the stake."""

    externality: int = 0
    amount: int = 0
    held: int = 0
    stake: int = 0
    final_at_us: int = 0


# ── events ──────────────────────────────────────────────────────────────────────────────────────


class ExternalityReported(Event, tag="externalities.reported", kw_only=True):
    """Tell source, attester and those to be compensated of a levy; its source may dispute it until ``final_at_us``.

    ``share`` is what this agent is to get.
    """

    externality: int
    kind: str
    source: str
    attester: str
    amount: int
    held: int
    reference: str
    final_at_us: int
    is_doubled: bool = False
    share: int = 0


class ExternalityEnded(Event, tag="externalities.ended", kw_only=True):
    """Tell how a levy ended; ``paid`` is what this agent got of it, ``owed`` what it is owed as a lien."""

    externality: int
    kind: str
    source: str
    outcome: HowFinal
    amount: int
    paid: int = 0
    owed: int = 0


class ChangeEnded(Event, tag="externalities.change_ended", kw_only=True):
    """Tell who declared a change that its bond is over, and what of it returned."""

    change: int
    module: str
    bond: int
    returned: int = 0


# ── queries and their results ───────────────────────────────────────────────────────────────────


class GetExternality(Query, tag="externalities.get"):
    """Ask for one levy; anybody may. Of those that ended the last 1,000 are known."""

    externality: Number


class ListExternalities(Query, tag="externalities.list"):
    """Ask for the levies that are not final, by number, paged: yours (as source, attester, or who is compensated)."""

    everybodys: bool = False
    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 200


class ListChanges(Query, tag="externalities.changes"):
    """Ask for the changes of a ``module`` that were declared, else for your owner's, by number, paged."""

    module: ModuleId | None = None
    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 200


class GetRates(Query, tag="externalities.rates"):
    """Ask what each kind of externality costs now, and what a report puts at stake."""


class AffectedView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a module that suffers; ``beneficiary`` is who owned it, None if it does not count."""

    module: str
    severity: int
    beneficiary: str | None = None
    share: int = 0


class SharePaid(msgspec.Struct, kw_only=True):
    """Say who is compensated, an agent or ``public_fund``, and by how much."""

    beneficiary: str
    share: int
    units: int


class ExternalityView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a levy: ``held`` is what waits in escrow, ``owed`` what its source could not pay yet."""

    externality: int
    kind: ExternalityKind
    source: str
    state: ExternalityState
    units: int
    rate: int
    amount: int
    shares: list[SharePaid]
    reference: str
    reported_us: int
    changed_us: int
    attester: str | None = None
    stake: int = 0
    digest: str = ""
    module: str | None = None
    affected: list[AffectedView] = msgspec.field(default_factory=list)
    target: str | None = None
    change: int | None = None
    is_doubled: bool = False
    held: int = 0
    owed: int = 0
    from_bond: int = 0
    final_at_us: int | None = None
    dispute: int | None = None
    outcome: HowFinal | None = None


class ExternalityResult(Result, tag="externality", kw_only=True):
    """Answer ``GetExternality``."""

    externality: ExternalityView


class ExternalitiesResult(Result, tag="externalities", kw_only=True):
    """Answer ``ListExternalities``; ``next`` is the ``after`` of the next page, if there is one."""

    externalities: list[ExternalityView]
    next: int | None = None


class ChangeView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a declared change: ``left`` is what of the bond can still pay, ``externality`` what it paid for."""

    change: int
    module: str
    agent: str
    bond: int
    left: int
    declared_us: int
    returns_us: int
    is_open: bool = True
    externality: int | None = None


class ChangesResult(Result, tag="changes", kw_only=True):
    """Answer ``ListChanges``; ``next`` is the ``after`` of the next page, if there is one."""

    changes: list[ChangeView]
    next: int | None = None


class RateView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Say what one unit of a kind costs: for coupling, one module with a severity of 100, and at most ``cap``."""

    kind: ExternalityKind
    rate: int
    unit: str
    cap: int | None = None


class RatesResult(Result, tag="rates", kw_only=True):
    """Answer ``GetRates``; ``stake`` is what a report puts at stake, ``bond_min`` what a declared change at least."""

    rates: list[RateView]
    stake: int
    bond_min: int

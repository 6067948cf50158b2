"""Speak about conditional contracts: family ``contracts``.

Amounts are in the credit's smallest unit, times in microseconds of venue time.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from exchange.messages.base import MAX_AMOUNT, AgentId, Amount, Command, Event, Outcome, PositiveAmount, Query, Result
from exchange.messages.base import TimestampUs as Timestamp

__all__ = [
    "AcceptAttestation",
    "All",
    "Any",
    "AtLeast",
    "Attest",
    "Condition",
    "ContractAttested",
    "ContractBound",
    "ContractEnded",
    "ContractOutcome",
    "ContractPart",
    "ContractProposed",
    "ContractResult",
    "ContractSigned",
    "ContractState",
    "ContractView",
    "ContractsResult",
    "DeclineContract",
    "GetContract",
    "ListContracts",
    "PartDelivered",
    "PartView",
    "PredictionResolved",
    "ProposeContract",
    "SignContract",
    "Statement",
    "StatementView",
    "TaskCompleted",
    "TimeReached",
]

ContractId = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
PartName = Annotated[str, Meta(min_length=1, max_length=64)]
StatementText = Annotated[str, Meta(min_length=1, max_length=200)]
ContractState = Literal["proposed", "bound", "met", "not_met", "lapsed"]
EndReason = Literal["met", "not_met", "unsigned", "declined", "revoked", "dead_man"]

_NESTING_MAX = 16
"""Deeper conditions are not even read: whoever reads them back from the journal must never run out of stack."""


# ── conditions ──────────────────────────────────────────────────────────────────────────────────


class PartDelivered(msgspec.Struct, tag_field="type", tag="part", forbid_unknown_fields=True, kw_only=True):
    """Hold when a part was delivered before ``by_us`` (default: in its own time), and that is final."""

    part: PartName
    by_us: Timestamp | None = None


class TaskCompleted(msgspec.Struct, tag_field="type", tag="task", forbid_unknown_fields=True, kw_only=True):
    """Hold when a task of the venue was completed for good."""

    task: Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]


class PredictionResolved(msgspec.Struct, tag_field="type", tag="prediction", forbid_unknown_fields=True, kw_only=True):
    """Hold when a prediction market of the venue ended for good with ``outcome``."""

    market: Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
    outcome: Annotated[str, Meta(min_length=1, max_length=64)]


class Statement(msgspec.Struct, tag_field="type", tag="statement", forbid_unknown_fields=True, kw_only=True):
    """Hold when ``attester`` has attested a statement, and that is final."""

    statement: StatementText
    attester: AgentId


class TimeReached(msgspec.Struct, tag_field="type", tag="time", forbid_unknown_fields=True, kw_only=True):
    """Hold from a time on."""

    at_us: Timestamp


class All(msgspec.Struct, tag_field="type", tag="all", forbid_unknown_fields=True, kw_only=True):
    """Hold when all of these do."""

    of: Annotated[list[Condition], Meta(min_length=1, max_length=32)]


class Any(msgspec.Struct, tag_field="type", tag="any", forbid_unknown_fields=True, kw_only=True):
    """Hold when any of these does."""

    of: Annotated[list[Condition], Meta(min_length=1, max_length=32)]


class AtLeast(msgspec.Struct, tag_field="type", tag="at_least", forbid_unknown_fields=True, kw_only=True):
    """Hold when at least ``count`` of these do."""

    count: Annotated[int, Meta(ge=1, le=32)]
    of: Annotated[list[Condition], Meta(min_length=1, max_length=32)]


Condition = PartDelivered | TaskCompleted | PredictionResolved | Statement | TimeReached | All | Any | AtLeast


def _check_nesting(condition: Condition) -> None:
    """Raise ValueError for a condition that is nested too deeply; without recursion, for it may be very deep."""
    level: list[Condition] = [condition]
    for _ in range(_NESTING_MAX + 1):
        level = [below for each in level if isinstance(each, (All, Any, AtLeast)) for below in each.of]
        if not level:
            return
    message = f"the condition is nested deeper than {_NESTING_MAX}"
    raise ValueError(message)


# ── commands ────────────────────────────────────────────────────────────────────────────────────


class ContractPart(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Say what one assignee does for its ``share``; ``bond`` defaults to 20 % of it, rounded up."""

    name: PartName
    assignee: AgentId
    share: PositiveAmount
    deliver_by_us: Timestamp
    bond: Amount | None = None
    attester: AgentId | None = None


class ProposeContract(Command, tag="contracts.propose", kw_only=True):
    """Offer to pay all shares if ``condition`` holds, as far as is final at ``evaluate_by_us``.

    It binds when every assignee has signed, and lapses at ``sign_by_us``. The shares are in escrow from now on.
    """

    title: Annotated[str, Meta(min_length=1, max_length=200)]
    parts: Annotated[list[ContractPart], Meta(min_length=1, max_length=32)]
    condition: Condition
    sign_by_us: Timestamp
    evaluate_by_us: Timestamp
    detail: Annotated[str, Meta(max_length=8_192)] = ""

    def __post_init__(self) -> None:
        """Refuse what is nested too deeply before it is in the journal."""
        _check_nesting(self.condition)


class SignContract(Command, tag="contracts.sign", kw_only=True):
    """Agree, as an assignee; the bonds of its parts go into escrow."""

    contract: ContractId


class DeclineContract(Command, tag="contracts.decline", kw_only=True):
    """Let a contract lapse before it binds: its payer or any assignee may."""

    contract: ContractId


class Attest(Command, tag="contracts.attest", kw_only=True):
    """Say, as the attester that the condition names, whether a statement holds; once."""

    contract: ContractId
    statement: StatementText
    holds: bool


class AcceptAttestation(Command, tag="contracts.accept_attestation", kw_only=True):
    """Make an attestation that goes against the payer final, as the payer."""

    contract: ContractId
    statement: StatementText


class ContractOutcome(Outcome, tag="outcome"):
    """Answer ``ProposeContract``: the number of the contract."""

    contract: int = 0


# ── events ──────────────────────────────────────────────────────────────────────────────────────


class ContractProposed(Event, tag="contracts.proposed", kw_only=True):
    """Tell payer and assignees of a contract that waits for signatures."""

    contract: int
    title: str
    payer: str
    total: int
    sign_by_us: int
    evaluate_by_us: int


class ContractSigned(Event, tag="contracts.signed", kw_only=True):
    """Tell payer and assignees that one of them has signed."""

    contract: int
    agent: str


class ContractBound(Event, tag="contracts.bound", kw_only=True):
    """Tell payer and assignees that all have signed; a settlement for each part follows."""

    contract: int


class ContractAttested(Event, tag="contracts.attested", kw_only=True):
    """Tell of an attestation; ``attestation`` is the number to dispute it by, until ``final_at_us``."""

    contract: int
    attestation: int
    statement: str
    holds: bool
    final_at_us: int


class ContractEnded(Event, tag="contracts.ended", kw_only=True):
    """Tell how a contract ended; ``paid`` is what this agent got for its shares or its refund, bonds aside."""

    contract: int
    outcome: EndReason
    paid: int = 0


# ── queries and their results ───────────────────────────────────────────────────────────────────


class GetContract(Query, tag="contracts.get"):
    """Ask for one contract in which the agent has a part. Of ended ones the last 1,000 are known."""

    contract: ContractId


class ListContracts(Query, tag="contracts.list"):
    """Ask for the contracts that have not ended in which the agent has a part, by number, paged."""

    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 200


class PartView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a part; ``delivered``: None while that is not final."""

    name: str
    assignee: str
    share: int
    bond: int
    deliver_by_us: int
    signed: bool
    attester: str | None = None
    settlement: int | None = None
    delivered: bool | None = None


class StatementView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe an attestation."""

    statement: str
    attestation: int
    holds: bool
    is_final: bool


class ContractView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a contract; ``holds``: what the condition comes to by the facts that are final, if that is certain."""

    contract: int
    title: str
    payer: str
    total: int
    state: ContractState
    sign_by_us: int
    evaluate_by_us: int
    parts: list[PartView]
    condition: Condition
    detail: str = ""
    holds: bool | None = None
    statements: list[StatementView] = msgspec.field(default_factory=list)


class ContractResult(Result, tag="contract", kw_only=True):
    """Answer ``GetContract``."""

    contract: ContractView


class ContractsResult(Result, tag="contracts", kw_only=True):
    """Answer ``ListContracts``; ``next`` is the ``after`` of the next page, if there is one."""

    contracts: list[ContractView]
    next: int | None = None

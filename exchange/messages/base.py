"""Define what every message shares: field types, limits, commands, outcomes, refusals, events."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from exchange.messages.reasons import Reason, RefusalReason

__all__ = [
    "CREDIT",
    "CREDIT_DECIMALS",
    "MAX_AMOUNT",
    "MAX_ARRAY_COMMANDS",
    "MAX_VALIDITY_US",
    "PROTOCOL",
    "RESERVED_AGENT_IDS",
    "SUBJECT_PREFIX",
    "VENUE_AGENT",
    "WINDOW_OUTCOMES",
    "AgentId",
    "Amount",
    "AssetId",
    "ClientOrderId",
    "Command",
    "CommandId",
    "Event",
    "MarketId",
    "OrderId",
    "Outcome",
    "OutcomeStatus",
    "OwnerId",
    "PositiveAmount",
    "Query",
    "Refusal",
    "Result",
    "Role",
    "TimestampUs",
]

PROTOCOL: Final = 1
"""The version of the wire vocabulary; additions do not change it."""

SUBJECT_PREFIX: Final = "exchange.v1"
"""The first tokens of every subject of the venue."""

CREDIT: Final = "credit"
"""The asset in which everything is priced."""

CREDIT_DECIMALS: Final = 6
"""One credit is 10**6 of its smallest unit."""

MAX_AMOUNT: Final = 2**53 - 1
"""The largest integer on the wire: every JSON reader holds it exactly."""

MAX_VALIDITY_US: Final = 60_000_000
"""A command may be valid for at most 60 s of venue time."""

MAX_ARRAY_COMMANDS: Final = 1_000
"""A message holds one command or an array of at most so many."""

WINDOW_OUTCOMES: Final = 1_024
"""So many outcomes are remembered per session; an SDK keeps at most so many commands in flight."""

VENUE_AGENT: Final = "$venue"
"""Who sends the venue's own commands; not a legal agent id, so nobody can claim it."""

RESERVED_AGENT_IDS: Final = frozenset({"gateway", "journal", "system", "_venue"})
"""Names of the venue's own credentials; an agent of that name could read the venue's mail."""

AgentId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
OwnerId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
AssetId = Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,32}$")]
NewMarketId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
# Where a market is only named, not created, an unknown name is a rejection, so its length is enough.
MarketId = Annotated[str, Meta(min_length=1, max_length=32)]
CommandId = Annotated[str, Meta(min_length=3, max_length=48)]
ClientOrderId = Annotated[str, Meta(min_length=1, max_length=64)]
OrderId = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
Amount = Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]
PositiveAmount = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
TimestampUs = Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]
BasisPoints = Annotated[int, Meta(ge=0, le=10_000)]

Role = Literal["trader", "attester", "arbitrator", "operator", "observer"]
OutcomeStatus = Literal["accepted", "rejected"]


class Command(
    msgspec.Struct,
    tag_field="type",
    tag="command",
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
    kw_only=True,
):
    """Ask the venue to do something, once.

    ``id`` is ``<session>.<n>``; ``valid_until_us`` is in microseconds of venue time.
    """

    id: CommandId
    valid_until_us: TimestampUs


class Outcome(msgspec.Struct, tag_field="type", tag="outcome", omit_defaults=True, gc=False):
    """Tell what became of one command. Mechanisms extend it with what they have to say."""

    id: str
    status: OutcomeStatus
    venue_time_us: int
    reason: Reason | None = None
    detail: str | None = None


class Refusal(msgspec.Struct, tag_field="type", tag="refusal", omit_defaults=True, gc=False):
    """Answer a message that was refused before the journal: nothing was done, nothing is remembered."""

    reason: RefusalReason
    detail: str
    venue_time_us: int = 0
    id: str | None = None


class Event(msgspec.Struct, tag_field="type", tag="event", omit_defaults=True, gc=False, kw_only=True):
    """Tell one agent what happened to it. ``seq`` is dense per agent: 1, 2, 3, …

    A default is left out by its identity, so it must be None, a truth value, an empty text or a small number: the text
    that a snapshot brings back is another object than the one in the source, and would be written out.
    """

    seq: int = 0
    venue_time_us: int = 0


class Query(
    msgspec.Struct,
    tag_field="type",
    tag="query",
    forbid_unknown_fields=True,
    omit_defaults=True,
    kw_only=True,
):
    """Ask the venue for what it knows; changes nothing and is not journaled."""


class Result(msgspec.Struct, tag_field="type", tag="result", kw_only=True):
    """Answer a query. ``index`` is the journal index whose state was read; it is durable."""

    index: int = 0
    venue_time_us: int = 0

"""Speak about what is to be delivered, confirmed and paid: family ``settlements``.

Amounts are in the credit's smallest unit, times in microseconds of venue time.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from exchange.messages.base import MAX_AMOUNT, Command, Event, Query, Result

__all__ = [
    "AcceptFailure",
    "Confirm",
    "Deliver",
    "GetSettlement",
    "GiveUp",
    "ListSettlements",
    "RenewWorkLease",
    "SettlementDelivered",
    "SettlementDisputed",
    "SettlementEnded",
    "SettlementFailing",
    "SettlementId",
    "SettlementOpened",
    "SettlementResult",
    "SettlementState",
    "SettlementView",
    "SettlementsResult",
    "WorkLeaseRenewed",
]

SettlementId = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
FencingToken = Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]
Score = Annotated[int, Meta(ge=0, le=100)]
SettlementState = Literal["open", "delivered", "failing", "disputed", "completed", "failed", "called_off"]
SettlementOutcome = Literal["completed", "failed", "called_off"]
FailureCause = Literal["undelivered", "lease_lapsed", "given_up", "dispute"]


class Deliver(Command, tag="settlements.deliver", kw_only=True):
    """Say that what was agreed on is delivered: by the provider, or by the attester in its place.

    ``reference`` says where it is and ``digest`` what it is; the venue keeps both as they are. The provider gives the
    ``fencing_token`` of its work lease, if it has one.
    """

    settlement: SettlementId
    reference: Annotated[str, Meta(max_length=1_024)] = ""
    digest: Annotated[str, Meta(max_length=128)] = ""
    fencing_token: FencingToken = 0


class Confirm(Command, tag="settlements.confirm", kw_only=True):
    """Accept a delivery and pay for it: by the payer, or by the attester, who may score it."""

    settlement: SettlementId
    score: Score | None = None


class AcceptFailure(Command, tag="settlements.accept_failure", kw_only=True):
    """Accept, as the provider, that a settlement failed: it is final at once, and not when the window has passed."""

    settlement: SettlementId


class GiveUp(Command, tag="settlements.give_up", kw_only=True):
    """Say, as the provider, that nothing will be delivered: the settlement fails, and that is final."""

    settlement: SettlementId
    fencing_token: FencingToken = 0
    detail: Annotated[str, Meta(max_length=1_024)] = ""


class RenewWorkLease(Command, tag="settlements.renew", kw_only=True):
    """Keep the work lease of a settlement for its whole length from now on."""

    settlement: SettlementId
    fencing_token: FencingToken


# ── events ──────────────────────────────────────────────────────────────────────────────────────


class SettlementOpened(Event, tag="settlements.opened", kw_only=True):
    """Tell payer, provider and attester what was agreed; ``origin`` says by what, such as ``tasks:17``."""

    settlement: int
    origin: str
    payer: str
    provider: str
    price: int
    bond: int
    deliver_by_us: int
    title: str = ""
    attester: str | None = None
    asset: str = ""
    quantity: int = 0
    fencing_token: int = 0
    lease_until_us: int | None = None


class SettlementDelivered(Event, tag="settlements.delivered", kw_only=True):
    """Tell of a delivery: silence until ``confirm_by_us`` confirms it. ``late_fee`` goes off the price."""

    settlement: int
    origin: str
    by: str
    confirm_by_us: int
    reference: str = ""
    digest: str = ""
    late_fee: int = 0


class SettlementFailing(Event, tag="settlements.failing", kw_only=True):
    """Tell that a settlement failed; it is final at ``final_at_us`` unless the provider disputes it before."""

    settlement: int
    origin: str
    cause: FailureCause
    final_at_us: int
    detail: str = ""


class SettlementDisputed(Event, tag="settlements.disputed", kw_only=True):
    """Tell that a settlement is frozen until a dispute over it is decided."""

    settlement: int
    origin: str
    dispute: int


class SettlementEnded(Event, tag="settlements.final", kw_only=True):
    """Tell how a settlement ended for good: ``paid`` to the provider, ``refunded`` and ``forfeited`` to the payer."""

    settlement: int
    origin: str
    outcome: SettlementOutcome
    paid: int = 0
    refunded: int = 0
    forfeited: int = 0
    score: int | None = None


class WorkLeaseRenewed(Event, tag="settlements.lease_renewed", kw_only=True):
    """Tell a provider until when its work lease lasts now."""

    settlement: int
    fencing_token: int
    lease_until_us: int


# ── queries and their results ───────────────────────────────────────────────────────────────────


class GetSettlement(Query, tag="settlements.get"):
    """Ask for one settlement: as an agent of a party's owner, attester or operator. Ended: the last 1,000 are known."""

    settlement: SettlementId


class ListSettlements(Query, tag="settlements.list"):
    """Ask for the settlements that are not final in which the agent is a party or attester, by number, paged."""

    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 500


class SettlementView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a settlement."""

    settlement: int
    origin: str
    payer: str
    provider: str
    price: int
    bond: int
    deliver_by_us: int
    state: SettlementState
    opened_us: int
    title: str = ""
    attester: str | None = None
    late_hours: int = 0
    late_per_hour: int = 0
    asset: str = ""
    quantity: int = 0
    fencing_token: int = 0
    lease_until_us: int | None = None
    delivered_us: int | None = None
    reference: str = ""
    digest: str = ""
    late_fee: int = 0
    until_us: int | None = None
    """When the state changes by silence: the delivery fails, is confirmed, or the failure is final."""
    cause: FailureCause | None = None
    dispute: int | None = None
    score: int | None = None


class SettlementResult(Result, tag="settlement", kw_only=True):
    """Answer ``GetSettlement``."""

    settlement: SettlementView


class SettlementsResult(Result, tag="settlements", kw_only=True):
    """Answer ``ListSettlements``; ``next`` is the ``after`` of the next page, if there is one."""

    settlements: list[SettlementView]
    next: int | None = None

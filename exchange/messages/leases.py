"""Speak about leases of capacity: rent, renewal, revocation, and whose turn is next: family ``leases``.

A lease begins with a trade in a market whose ``settlement`` is ``lease``. Its ``fencing_token`` grows from lease to
lease, so that whoever guards the resource can tell the present holder from one whose time is over.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from exchange.messages.base import (
    AgentId,
    AssetId,
    Command,
    Event,
    MarketId,
    OrderId,
    Outcome,
    PositiveAmount,
    Query,
    Result,
)

__all__ = [
    "AcquireLeases",
    "AcquireOutcome",
    "AcquiredLeg",
    "BidTurn",
    "CollectOutcome",
    "CollectRent",
    "GetLease",
    "GetLeaseHolder",
    "GetLeaseMarket",
    "LeaseDecided",
    "LeaseDisputed",
    "LeaseEnded",
    "LeaseHolderResult",
    "LeaseId",
    "LeaseLeg",
    "LeaseMarketResult",
    "LeaseOpened",
    "LeaseOutcome",
    "LeaseRenewed",
    "LeaseView",
    "LeasesResult",
    "ListLeases",
    "ListTurnBids",
    "OfferRenewal",
    "ReleaseLease",
    "RenewLease",
    "RentPaid",
    "RevokeLease",
    "TurnBidView",
    "TurnBidsResult",
    "TurnEnded",
    "WithdrawRenewal",
    "WithdrawTurn",
]

LeaseId = OrderId
FencingToken = OrderId
LeaseEnd = Literal["ended", "released", "revoked", "disputed"]
LeaseState = Literal["running", "disputed"]


# ── commands ────────────────────────────────────────────────────────────────────────────────────


class LeaseLeg(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Ask for ``quantity`` units in one lease market, at no more than ``max_price`` per whole unit and term."""

    market: MarketId
    quantity: PositiveAmount
    max_price: PositiveAmount


class AcquireLeases(Command, tag="leases.acquire", kw_only=True):
    """Lease from several markets, each once: all of it at once, or nothing."""

    legs: Annotated[list[LeaseLeg], Meta(min_length=1, max_length=8)]


class ReleaseLease(Command, tag="leases.release", kw_only=True):
    """Give a lease back early: the rent up to the end of the notice is due, the rest is refunded (the lessee)."""

    lease: LeaseId
    fencing_token: FencingToken


class RenewLease(Command, tag="leases.renew", kw_only=True):
    """Extend a lease by one term at the lessor's standing offer, if that is at most ``max_price`` (the lessee)."""

    lease: LeaseId
    fencing_token: FencingToken
    max_price: PositiveAmount


class RevokeLease(Command, tag="leases.revoke", kw_only=True):
    """End a lease at once and pay the compensation (the lessor)."""

    lease: LeaseId


class CollectRent(Command, tag="leases.collect", kw_only=True):
    """Pay out the rent that has accrued so far (the lessor)."""

    lease: LeaseId


class OfferRenewal(Command, tag="leases.offer_renewal", kw_only=True):
    """Offer to let again at ``price`` per whole unit and term: one lease, or all of the agent's in a ``market``.

    It stands until it is withdrawn or replaced; that of a lease goes before that of its market.
    """

    price: PositiveAmount
    lease: LeaseId | None = None
    market: MarketId | None = None


class WithdrawRenewal(Command, tag="leases.withdraw_renewal", kw_only=True):
    """Withdraw a standing offer: that of one lease, or that of a ``market``."""

    lease: LeaseId | None = None
    market: MarketId | None = None


class BidTurn(Command, tag="leases.bid_turn", kw_only=True):
    """Bid, sealed, for the next turn of a leased ``resource``: an asset of which only one whole unit exists.

    It replaces the agent's bid, if it has one.
    """

    resource: AssetId
    amount: PositiveAmount


class WithdrawTurn(Command, tag="leases.withdraw_turn", kw_only=True):
    """Withdraw the agent's bid for the next turn of a ``resource``."""

    resource: AssetId


# ── outcomes ────────────────────────────────────────────────────────────────────────────────────


class AcquiredLeg(msgspec.Struct, gc=False):
    """Say what one leg cost: the rent for the whole term, and the fee."""

    market: str
    order_id: int
    quantity: int
    rent: int
    fee: int = 0


class AcquireOutcome(Outcome, tag="outcome"):
    """Answer ``AcquireLeases``; the leases follow as events."""

    legs: list[AcquiredLeg] = msgspec.field(default_factory=list)


class LeaseOutcome(Outcome, tag="outcome"):
    """Answer what changed or ended one lease: what the lessor was ``paid``, and what went back to the lessee."""

    lease: int = 0
    paid: int = 0
    refunded: int = 0
    ends_us: int = 0


class CollectOutcome(Outcome, tag="outcome"):
    """Answer ``CollectRent``: what was ``paid`` now, and what rent is still to accrue."""

    lease: int = 0
    paid: int = 0
    left: int = 0


# ── events ──────────────────────────────────────────────────────────────────────────────────────


class LeaseOpened(Event, tag="leases.opened", kw_only=True):
    """Tell both sides that a lease runs; ``trade_id`` is 0 when it was a turn that was won."""

    lease: int
    market: str
    trade_id: int
    asset: str
    quantity: int
    lessee: str
    lessor: str
    price: int
    rent: int
    compensation: int
    ends_us: int
    fencing_token: int


class LeaseRenewed(Event, tag="leases.renewed", kw_only=True):
    """Tell both sides that a lease was extended for ``rent``."""

    lease: int
    price: int
    rent: int
    ends_us: int


class RentPaid(Event, tag="leases.rent_paid", kw_only=True):
    """Tell both sides that accrued rent was paid to the lessor; ``paid`` is all that it was paid so far."""

    lease: int
    amount: int
    paid: int


class LeaseEnded(Event, tag="leases.ended", kw_only=True):
    """Tell both sides that a lease is over, and what came of its money.

    ``paid`` is all the rent that the lessor was ever paid, ``refunded`` what rent the lessee got back, and
    ``compensation`` what the lessee was paid of the lessor's.
    """

    lease: int
    how: LeaseEnd
    fencing_token: int
    paid: int
    refunded: int = 0
    compensation: int = 0


class LeaseDisputed(Event, tag="leases.disputed", kw_only=True):
    """Tell both sides that rent accrues no more until a dispute is decided."""

    lease: int
    dispute: int
    disputer: str


class LeaseDecided(Event, tag="leases.decided", kw_only=True):
    """Tell both sides how the dispute came out; not ``upheld``: all is as if it had never been."""

    lease: int
    dispute: int
    upheld: bool


class TurnEnded(Event, tag="leases.turn_ended", kw_only=True):
    """Tell a bidder that the next turn of a resource was given, or that nobody gets one; ``price`` is the winner's."""

    resource: str
    won: bool
    lease: int | None = None
    price: int | None = None


# ── queries and their results ───────────────────────────────────────────────────────────────────


class GetLease(Query, tag="leases.get"):
    """Ask for one running lease (its sides, agents of their owners, operators)."""

    lease: LeaseId


class ListLeases(Query, tag="leases.list"):
    """Ask for the running leases of the agent, as lessee or lessor, by id, a page at a time (operators: all)."""

    market: MarketId | None = None
    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class GetLeaseHolder(Query, tag="leases.holder"):
    """Ask who holds what a fencing token stands for, or who has an exclusive ``resource`` now (anybody may)."""

    fencing_token: FencingToken | None = None
    resource: AssetId | None = None


class GetLeaseMarket(Query, tag="leases.market"):
    """Ask how much of a lease market's capacity is leased (anybody may)."""

    market: MarketId


class ListTurnBids(Query, tag="leases.turn_bids"):
    """Ask for the agent's own bids for turns."""


class LeaseView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a lease; ``accrued`` is the rent due to the lessor up to now, ``paid`` what it was paid of that.

    ``renewal_price`` is the lessor's standing offer. ``units_returned``: only a dispute about the money is left.
    """

    lease: int
    market: str
    trade_id: int
    asset: str
    quantity: int
    lessee: str
    lessor: str
    state: LeaseState
    price: int
    rent: int
    accrued: int
    paid: int
    compensation: int
    started_us: int
    ends_us: int
    fencing_token: int
    renewal_price: int | None = None
    dispute: int | None = None
    units_returned: bool = False


class LeasesResult(Result, tag="leases", kw_only=True):
    """Answer ``GetLease`` and ``ListLeases``; ``next`` is the ``after`` of the next page, if there is one."""

    leases: list[LeaseView]
    next: int | None = None


class LeaseHolderResult(Result, tag="lease_holder", kw_only=True):
    """Answer ``GetLeaseHolder``: until ``ends_us``, and no longer, ``holder`` may use ``quantity`` of ``asset``."""

    lease: int
    fencing_token: int
    market: str
    asset: str
    quantity: int
    holder: str
    owner: AgentId
    ends_us: int


class LeaseMarketResult(Result, tag="lease_market", kw_only=True):
    """Answer ``GetLeaseMarket``: ``offered`` is what is ``leased`` and what sell orders offer.

    ``utilisation_bp`` is leased ÷ offered in basis points, rounded down; absent when nothing is offered.
    """

    market: str
    leased: int
    offered: int
    utilisation_bp: int | None = None


class TurnBidView(msgspec.Struct):
    """Describe a bid for the next turn of a resource."""

    resource: str
    amount: int


class TurnBidsResult(Result, tag="turn_bids", kw_only=True):
    """Answer ``ListTurnBids``."""

    bids: list[TurnBidView]

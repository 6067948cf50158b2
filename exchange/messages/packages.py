"""Speak about auctions of several things at once, with bids for packages: family ``packages``.

Amounts are in the credit's smallest unit, times in microseconds of venue time.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from exchange.messages.base import MAX_AMOUNT, AgentId, Amount, Command, Event, Outcome, PositiveAmount, Query, Result
from exchange.messages.base import TimestampUs as Timestamp

__all__ = [
    "Alternative",
    "BidOnPackages",
    "CancelPackages",
    "DeterminePackages",
    "GetPackages",
    "ListPackageBids",
    "ListPackages",
    "OpenPackages",
    "PackageBidDropped",
    "PackageBidOutcome",
    "PackageBidView",
    "PackageBidsResult",
    "PackageItem",
    "PackageWinner",
    "PackagesClosed",
    "PackagesEnded",
    "PackagesListResult",
    "PackagesOpened",
    "PackagesOutcome",
    "PackagesResult",
    "PackagesState",
    "PackagesView",
    "Share",
    "SignPackageBid",
    "SignatureRequested",
    "WinnerView",
    "WithdrawPackageBid",
]

AuctionId = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
BidId = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
Version = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
ItemName = Annotated[str, Meta(min_length=1, max_length=64)]
Direction = Literal["procurement", "sale"]
Pricing = Literal["vcg", "pay_as_bid"]
PackagesState = Literal["open", "determining", "awarded", "unawarded", "canceled"]
EndReason = Literal["awarded", "no_bids", "canceled", "revoked"]
DropReason = Literal["unsigned", "canceled", "revoked", "dead_man", "forced_debit", "withdrawn"]


# ── commands ────────────────────────────────────────────────────────────────────────────────────


class PackageItem(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Name one thing that is auctioned; ``reserve`` is what is paid for it at most, or asked for it at least."""

    name: ItemName
    reserve: Amount


class OpenPackages(Command, tag="packages.open", kw_only=True):
    """Auction items until ``closes_at_us``: work to be bought (``procurement``) or rights to be sold (``sale``).

    A procurement puts the sum of the reserves into escrow. What is awarded is delivered by ``deliver_by_us``.
    """

    title: Annotated[str, Meta(min_length=1, max_length=200)]
    items: Annotated[list[PackageItem], Meta(min_length=1, max_length=200)]
    closes_at_us: Timestamp
    deliver_by_us: Timestamp
    direction: Direction = "procurement"
    pricing: Pricing = "vcg"
    detail: Annotated[str, Meta(max_length=8_192)] = ""
    attester: AgentId | None = None


class CancelPackages(Command, tag="packages.cancel", kw_only=True):
    """Take an auction back before its close: nobody learns whether anybody bid."""

    auction: AuctionId


class Alternative(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Ask or offer ``price`` for all of these items together."""

    items: Annotated[list[ItemName], Meta(min_length=1, max_length=200)]
    price: PositiveAmount


class Share(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Say which weight a member has in what its team is paid or pays."""

    agent: AgentId
    weight: Annotated[int, Meta(ge=1, le=1_000_000)]


class BidOnPackages(Command, tag="packages.bid", kw_only=True):
    """Bid, sealed: at most one of the ``alternatives`` is awarded. It takes the place of the agent's earlier bid.

    With ``team``, which has the bidder in it, too, every other member has to sign before the close.
    """

    auction: AuctionId
    alternatives: Annotated[list[Alternative], Meta(min_length=1, max_length=32)]
    team: Annotated[list[Share], Meta(max_length=16)] = msgspec.field(default_factory=list)


class SignPackageBid(Command, tag="packages.sign", kw_only=True):
    """Agree, as a member of a team, to one's share of its bid; in a sale it is held.

    ``version`` is that of the bid which was read: a later one of the same bidder is another bid.
    """

    auction: AuctionId
    bidder: AgentId
    version: Version


class WithdrawPackageBid(Command, tag="packages.withdraw_bid", kw_only=True):
    """Withdraw a bid before the close: any of its members may, the bidder itself by default."""

    auction: AuctionId
    bidder: AgentId | None = None


class PackageWinner(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Award one alternative of a bid, counted from 0, at a payment. Only the venue knows the numbers of bids."""

    bid: BidId
    alternative: Annotated[int, Meta(ge=0, le=31)]
    payment: Amount


class DeterminePackages(Command, tag="packages.determine", kw_only=True):
    """Say who wins, as the venue itself. It is checked before anything is done.

    ``revision`` is that of the problem which was solved; ``optimal`` says that the solver found nothing better to
    exist, and a ``pricing`` of ``vcg`` that it solved every problem without a winner, too.
    """

    auction: AuctionId
    revision: int
    pricing: Pricing
    optimal: bool
    winners: Annotated[list[PackageWinner], Meta(max_length=200)]


# ── outcomes ────────────────────────────────────────────────────────────────────────────────────


class PackagesOutcome(Outcome, tag="outcome"):
    """Answer ``OpenPackages``: the number of the auction, and what is in escrow for it."""

    auction: int = 0
    escrow: int = 0


class PackageBidOutcome(Outcome, tag="outcome"):
    """Answer ``BidOnPackages`` and ``SignPackageBid``: the version of the bid, and what is held of the agent for it.

    Versions count the bids of one bidder in one auction, and say nothing about other bids.
    """

    version: int = 0
    held: int = 0


# ── events ──────────────────────────────────────────────────────────────────────────────────────


class PackagesOpened(Event, tag="packages.opened", kw_only=True):
    """Tell the poster that bids are taken until ``closes_at_us``."""

    auction: int
    closes_at_us: int


class SignatureRequested(Event, tag="packages.signature_requested", kw_only=True):
    """Tell a member of a team that there is a bid to sign before ``closes_at_us``."""

    auction: int
    bidder: str
    version: int
    closes_at_us: int


class PackageBidDropped(Event, tag="packages.bid_dropped", kw_only=True):
    """Tell the members of a bid that it counts no more."""

    auction: int
    bidder: str
    version: int
    reason: DropReason


class WinnerView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe an award, and why its payment is what it is.

    ``price`` was bid for the items. ``discount`` is what VCG pays a provider more, or takes from a buyer less, than
    that: how much better all are off because of this bid. ``parts`` are the members' parts of the payment.
    """

    bidder: str
    alternative: int
    items: list[str]
    price: int
    payment: int
    discount: int
    parts: dict[str, int]


class PackagesClosed(Event, tag="packages.closed", kw_only=True):
    """Tell poster and bidders that no bid can change any more, and the winners are being determined."""

    auction: int
    until_us: int


class PackagesEnded(Event, tag="packages.ended", kw_only=True):
    """Tell poster and bidders how an auction ended; the settlements follow to the parties.

    ``winners``: the poster is told all, everybody else what it won itself; ``packages.get`` tells the rest.
    """

    auction: int
    outcome: EndReason
    pricing: Pricing | None = None
    winners: list[WinnerView] = msgspec.field(default_factory=list)


# ── queries and their results ───────────────────────────────────────────────────────────────────


class GetPackages(Query, tag="packages.get"):
    """Ask for one auction, and why it was awarded as it was. Of ended ones the last 1,000 are known."""

    auction: AuctionId


class ListPackages(Query, tag="packages.list"):
    """Ask for the auctions that have not ended, by number, paged."""

    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 200


class ListPackageBids(Query, tag="packages.bids"):
    """Ask for the sealed bids of which the agent is a member, by auction.

    Auctions are never split: a page ends with the auction that makes it ``limit`` bids or more.
    """

    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 200


class PackagesView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe an auction. Before it ended nothing tells of bids.

    ``surplus`` is by how much all awards together are better than the reserves, ``greedy_surplus`` what the simple
    rule would have found. ``optimal``: the leader's solver found that nothing is better. ``priced``: how the winners
    pay, which is as bid where ``pricing`` could not be had.
    """

    auction: int
    poster: str
    title: str
    state: PackagesState
    direction: Direction
    pricing: Pricing
    items: list[PackageItem]
    closes_at_us: int
    deliver_by_us: int
    detail: str = ""
    attester: str | None = None
    outcome: EndReason | None = None
    bids: int | None = None
    priced: Pricing | None = None
    optimal: bool | None = None
    surplus: int | None = None
    greedy_surplus: int | None = None
    winners: list[WinnerView] = msgspec.field(default_factory=list)


class PackagesResult(Result, tag="packages_auction", kw_only=True):
    """Answer ``GetPackages``."""

    auction: PackagesView


class PackagesListResult(Result, tag="packages_auctions", kw_only=True):
    """Answer ``ListPackages``; ``next`` is the ``after`` of the next page, if there is one."""

    auctions: list[PackagesView]
    next: int | None = None


class PackageBidView(msgspec.Struct, kw_only=True):
    """Describe a sealed bid to its members."""

    auction: int
    bidder: str
    version: int
    alternatives: list[Alternative]
    team: list[Share]
    signed: list[str]
    held: int
    """Of the agent that asks."""


class PackageBidsResult(Result, tag="package_bids", kw_only=True):
    """Answer ``ListPackageBids``; ``next`` is the ``after`` of the next page, if there is one."""

    bids: list[PackageBidView]
    next: int | None = None

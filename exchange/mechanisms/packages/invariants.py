"""Check what must always be true of package auctions, bids and their money (slow: it counts everything)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.mechanisms.cashier import escrow_of
from exchange.messages.base import CREDIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.mechanisms.packages.auction import Auction
    from exchange.mechanisms.packages.mechanism import Packages

__all__ = ["broken_invariants"]


def broken_invariants(packages: Packages) -> list[str]:
    """Return the broken invariants by name, with what breaks them."""
    broken: list[str] = []
    held: dict[tuple[str, str], int] = {}
    sealed: dict[tuple[str, int], int] = {}
    for auction in packages.auctions.values():
        broken.extend(f"{name}: {auction.number}" for name in _problems(packages, auction))
        for bid in auction.bids.values():
            for agent in bid.weights:
                sealed[agent, bid.number] = auction.number
            for agent, amount in bid.held.items():
                if amount:
                    key = (agent, auction.cause)
                    held[key] = held.get(key, 0) + amount
    booked = {
        (agent, cause): amount
        for agent, holds in packages.context.cashier.holds.items()
        for (cause, asset), amount in holds.items()
        if cause.startswith("packages:") and asset == CREDIT
    }
    if booked != held:
        broken.append("holds_equal_package_bids")
    if {(agent, bid): number for agent, rows in packages.bids_of.items() for bid, number in rows.items()} != sealed:
        broken.append("package_bids_are_indexed_by_agent")
    determining = [number for number, auction in packages.auctions.items() if auction.state == "determining"]
    if sorted(packages.determining) != sorted(determining):
        broken.append("what_is_determined_is_listed")
    return broken


def _problems(packages: Packages, auction: Auction) -> Iterator[str]:
    cashier, deadlines, terms = packages.context.cashier, packages.context.deadlines, auction.terms
    if cashier.in_escrow(escrow_of(auction.cause)) != terms.budget:
        yield "escrow_equals_the_reserves"
    if auction.state not in ("open", "determining"):
        yield "live_auctions_are_open_or_determining"
    if not auction.deadline_id or deadlines.due_us(auction.deadline_id) is None:
        yield "package_auctions_close"
    poster_owner = packages.context.agents[terms.poster].owner
    for bid in auction.bids.values():
        if poster_owner in bid.owners:
            yield "nobody_bids_in_its_owners_auction"
        if bid.bidder not in bid.held or any(agent not in bid.weights for agent in bid.held):
            yield "who_holds_has_signed"
        if auction.state == "determining" and not bid.is_signed:
            yield "unsigned_bids_are_void_at_the_close"
        if any(auction.surplus_of(choice) < 0 for choice in bid.choices):
            yield "bids_keep_the_reserves"
    if auction.by_bidder != {bid.bidder: bid.number for bid in auction.bids.values()}:
        yield "one_bid_per_bidder"

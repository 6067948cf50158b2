"""Answer what may be known of package auctions: of bids nothing but one's own before the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exchange.mechanisms.base import NotFound
from exchange.messages.packages import (
    Alternative,
    GetPackages,
    ListPackageBids,
    ListPackages,
    PackageBidsResult,
    PackageBidView,
    PackageItem,
    PackagesListResult,
    PackagesResult,
    PackagesView,
    Share,
    WinnerView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.packages.auction import Auction
    from exchange.mechanisms.packages.mechanism import Packages
    from exchange.messages.base import Query, Result

__all__ = ["Queries", "winners_of"]


class Queries:
    """Read the auctions."""

    def __init__(self, packages: Packages) -> None:
        self._packages = packages

    def readers(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return {GetPackages: self._get, ListPackages: self._list, ListPackageBids: self._bids}

    def _get(self, agent: AgentRecord, query: GetPackages) -> PackagesResult:
        del agent
        packages = self._packages
        auction = packages.auctions.get(query.auction) or packages.ended.get(query.auction)
        if auction is None:
            message = f"no package auction {query.auction}"
            raise NotFound(message)
        return PackagesResult(auction=_view(auction))

    def _list(self, agent: AgentRecord, query: ListPackages) -> PackagesListResult:
        del agent
        auctions = self._packages.auctions
        numbers = sorted(number for number in auctions if number > query.after)[: query.limit + 1]
        page = numbers[: query.limit]
        following = page[-1] if len(numbers) > query.limit else None
        return PackagesListResult(auctions=[_view(auctions[number]) for number in page], next=following)

    def _bids(self, agent: AgentRecord, query: ListPackageBids) -> PackageBidsResult:
        found = self._packages.bids_of.get(agent.agent_id, {})
        by_auction: dict[int, list[int]] = {}
        for number, auction in found.items():
            if auction > query.after:
                by_auction.setdefault(auction, []).append(number)
        bids: list[PackageBidView] = []
        last = query.after
        for auction in sorted(by_auction):
            if len(bids) >= query.limit:
                return PackageBidsResult(bids=bids, next=last)
            bids.extend([self._bid_view(auction, number, agent.agent_id) for number in sorted(by_auction[auction])])
            last = auction
        return PackageBidsResult(bids=bids)

    def _bid_view(self, auction_number: int, number: int, agent: str) -> PackageBidView:
        auction = self._packages.auctions[auction_number]
        bid, names = auction.bids[number], auction.terms.names
        return PackageBidView(
            auction=auction_number,
            bidder=bid.bidder,
            version=bid.version,
            alternatives=[
                Alternative(items=[names[item] for item in choice.items], price=choice.price) for choice in bid.choices
            ],
            team=[Share(agent=member, weight=weight) for member, weight in bid.weights.items()],
            signed=list(bid.held),
            held=bid.held.get(agent, 0),
        )


def winners_of(auction: Auction) -> list[WinnerView]:
    """Describe the awards of an auction."""
    names = auction.terms.names
    return [
        WinnerView(
            bidder=award.bidder,
            alternative=award.alternative,
            items=[names[item] for item in award.items],
            price=award.price,
            payment=award.payment,
            discount=abs(award.payment - award.price),
            parts=dict(award.parts),
        )
        for award in auction.awards
    ]


def _view(auction: Auction) -> PackagesView:
    terms = auction.terms
    return PackagesView(
        auction=auction.number,
        poster=terms.poster,
        title=terms.title,
        state=auction.state,
        direction=terms.direction,
        pricing=terms.pricing,
        items=[
            PackageItem(name=name, reserve=reserve) for name, reserve in zip(terms.names, terms.reserves, strict=True)
        ],
        closes_at_us=terms.closes_at_us,
        deliver_by_us=terms.deliver_by_us,
        detail=terms.detail,
        attester=terms.attester,
        outcome=auction.outcome,
        bids=auction.count,
        priced=auction.priced,
        optimal=auction.optimal,
        surplus=auction.surplus,
        greedy_surplus=auction.greedy_surplus,
        winners=winners_of(auction),
    )

"""Auction several things at once, and bid for packages of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_sdk.markets import credits_from
from agent_sdk.money import to_credits
from agent_sdk.package_models import OpenedPackages, PackageAuction, PackageBid, PlacedPackageBid
from agent_sdk.reading import Namespace, page_through, read
from exchange.messages import packages as wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent_sdk.money import Number
    from agent_sdk.package_models import Package

__all__ = ["Packages"]


def _auction(view: wire.PackagesView) -> PackageAuction:
    return read(PackageAuction, view, id=view.auction)


class Packages(Namespace):
    """Auction packages. Every method raises like `Agent.place`: ``Rejected`` says which rule said no."""

    # ── posting ─────────────────────────────────────────────────────────────────────────────────

    async def open(
        self,
        title: str,
        items: Mapping[str, Number],
        *,
        deliver_in: float,
        closes_in: float = 65.0,
        direction: wire.Direction = "procurement",
        pricing: wire.Pricing = "vcg",
        detail: str = "",
        attester: str | None = None,
    ) -> OpenedPackages:
        """Auction items, by default for 65 s: the venue wants a minute at least. All is due in ``deliver_in`` seconds.

        ``items`` gives each its reserve: the most that is paid for it, in a sale the least that is asked. In a
        procurement the sum of the reserves goes into escrow.

        Raises:
            InsufficientCredits: The reserves are not there.
            InvalidPackageTerms: The detail says what does not fit.

        """
        outcome = await self._give(
            wire.OpenPackages,
            wire.PackagesOutcome,
            title=title,
            items=[wire.PackageItem(name=name, reserve=_reserve(reserve)) for name, reserve in items.items()],
            closes_at_us=self._at(closes_in),
            deliver_by_us=self._at(deliver_in),
            direction=direction,
            pricing=pricing,
            detail=detail,
            attester=attester,
        )
        return OpenedPackages(id=outcome.auction, escrow=credits_from(outcome.escrow))

    async def cancel(self, auction: int) -> None:
        """Take an auction back while it is open; nobody learns whether anybody bid."""
        await self._give(wire.CancelPackages, auction=auction)

    # ── bidding ─────────────────────────────────────────────────────────────────────────────────

    async def bid(
        self, auction: int, alternatives: Sequence[Package], *, team: Mapping[str, int] | None = None
    ) -> PlacedPackageBid:
        """Bid, sealed: at most one of the ``alternatives`` is awarded; a later bid takes the place of an earlier one.

        ``team`` gives the weight of every member in what is paid, this agent among them; all others have to `sign`
        before the close. With ``vcg`` pricing the best price is the true one: what it costs, or in a sale is worth.
        """
        outcome = await self._give(
            wire.BidOnPackages,
            wire.PackageBidOutcome,
            auction=auction,
            alternatives=[
                wire.Alternative(items=list(package.items), price=to_credits(package.price, "price"))
                for package in alternatives
            ],
            team=[wire.Share(agent=name, weight=weight) for name, weight in (team or {}).items()],
        )
        return PlacedPackageBid(version=outcome.version, held=credits_from(outcome.held))

    async def sign(self, auction: int, bidder: str, *, version: int) -> PlacedPackageBid:
        """Agree, as a member of its team, to the bid of ``bidder`` that was read as ``version``."""
        fields = {"auction": auction, "bidder": bidder, "version": version}
        outcome = await self._give(wire.SignPackageBid, wire.PackageBidOutcome, **fields)
        return PlacedPackageBid(version=outcome.version, held=credits_from(outcome.held))

    async def withdraw_bid(self, auction: int, bidder: str | None = None) -> None:
        """Take a bid back before the close, the own one by default, or that of a team which the agent is in."""
        await self._give(wire.WithdrawPackageBid, auction=auction, bidder=bidder)

    # ── asking ──────────────────────────────────────────────────────────────────────────────────

    async def get(self, auction: int) -> PackageAuction:
        """Return one auction, and once it was awarded why.

        Raises:
            NotFound: There is none, or it ended long ago.

        """
        return _auction((await self._connection.query(wire.GetPackages(auction=auction), wire.PackagesResult)).auction)

    async def bids(self) -> list[PackageBid]:
        """Return the sealed bids of which the agent is a member, those among them that it may sign."""

        async def ask(after: int) -> wire.PackageBidsResult:
            return await self._connection.query(wire.ListPackageBids(after=after), wire.PackageBidsResult)

        return [read(PackageBid, view) for view in await page_through(ask, "bids")]

    async def list(self) -> list[PackageAuction]:
        """Return the auctions that have not ended, the oldest first."""

        async def ask(after: int) -> wire.PackagesListResult:
            return await self._connection.query(wire.ListPackages(after=after), wire.PackagesListResult)

        return [_auction(view) for view in await page_through(ask, "auctions")]


def _reserve(reserve: Number) -> int:
    return 0 if reserve == 0 else to_credits(reserve, "reserve")

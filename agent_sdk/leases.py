"""Lease capacity, and bid for turns. Offers and leases at a price are orders in a market that settles by lease."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_sdk.agreement_models import (
    AcquiredLease,
    Lease,
    LeaseChange,
    LeaseHolder,
    LeaseUse,
    LeaseWish,
    TurnBid,
)
from agent_sdk.markets import credits_from
from agent_sdk.money import from_units, to_credits, to_units
from agent_sdk.reading import Namespace, page_through, read
from exchange.messages import leases as wire

if TYPE_CHECKING:
    from decimal import Decimal

    from agent_sdk.money import Number

__all__ = ["Leases"]


class Leases(Namespace):
    """Lease capacity. Every method raises like `Agent.place`: ``Rejected`` says which rule said no."""

    async def _units(self, asset: str, units: int) -> Decimal:
        return from_units(units, await self._catalog.decimals(asset))

    # ── the lessee ──────────────────────────────────────────────────────────────────────────────

    async def acquire(self, *wishes: LeaseWish) -> tuple[AcquiredLease, ...]:
        """Lease from several markets, all of it at once or nothing.

        The leases themselves follow as events `LeaseOpened`, and are in `list`.
        """
        terms = {wish.market: await self._catalog.terms(wish.market) for wish in wishes}
        legs = [
            wire.LeaseLeg(
                market=wish.market,
                quantity=to_units(wish.quantity, terms[wish.market].decimals, "quantity"),
                max_price=to_credits(wish.max_price, "max_price"),
            )
            for wish in wishes
        ]
        outcome = await self._give(wire.AcquireLeases, wire.AcquireOutcome, legs=legs)
        return tuple(
            read(AcquiredLease, leg, quantity=terms[leg.market].quantity(leg.quantity)) for leg in outcome.legs
        )

    async def release(self, lease: int, *, fencing_token: int) -> LeaseChange:
        """Give a lease back early: what is unused, less the notice, is refunded.

        Raises:
            StaleFencingToken: The token is of another lease.

        """
        fields = {"lease": lease, "fencing_token": fencing_token}
        return read(LeaseChange, await self._give(wire.ReleaseLease, wire.LeaseOutcome, **fields))

    async def renew(self, lease: int, *, fencing_token: int, max_price: Number) -> LeaseChange:
        """Add a term at the lessor's standing offer, if that is at most ``max_price`` per whole unit and term."""
        fields = {"lease": lease, "fencing_token": fencing_token, "max_price": to_credits(max_price, "max_price")}
        return read(LeaseChange, await self._give(wire.RenewLease, wire.LeaseOutcome, **fields))

    async def bid_turn(self, resource: str, amount: Number) -> None:
        """Bid, sealed, for the next turn of a busy exclusive resource; a later bid replaces an earlier one."""
        await self._give(wire.BidTurn, resource=resource, amount=to_credits(amount, "amount"))

    async def withdraw_turn(self, resource: str) -> None:
        """Take the bid for the next turn of a resource back."""
        await self._give(wire.WithdrawTurn, resource=resource)

    # ── the lessor ──────────────────────────────────────────────────────────────────────────────

    async def revoke(self, lease: int) -> LeaseChange:
        """End a lease at once, and pay the compensation."""
        return read(LeaseChange, await self._give(wire.RevokeLease, wire.LeaseOutcome, lease=lease))

    async def collect(self, lease: int) -> Decimal:
        """Have the rent that has accrued so far paid out, and return it."""
        return credits_from((await self._give(wire.CollectRent, wire.CollectOutcome, lease=lease)).paid)

    async def offer_renewal(self, price: Number, *, lease: int | None = None, market: str | None = None) -> None:
        """Offer to let again at ``price`` per whole unit and term: one lease, or all of the agent's in a market."""
        fields: dict[str, Any] = {"price": to_credits(price, "price"), "lease": lease, "market": market}
        await self._give(wire.OfferRenewal, **fields)

    async def withdraw_renewal(self, *, lease: int | None = None, market: str | None = None) -> None:
        """Withdraw a standing offer to let again."""
        await self._give(wire.WithdrawRenewal, lease=lease, market=market)

    # ── asking ──────────────────────────────────────────────────────────────────────────────────

    async def _lease(self, view: wire.LeaseView) -> Lease:
        return read(Lease, view, id=view.lease, quantity=await self._units(view.asset, view.quantity))

    async def get(self, lease: int) -> Lease:
        """Return one running lease in which the agent, or another of its owner, has a side.

        Raises:
            NotFound: There is none, or it is over.

        """
        result = await self._connection.query(wire.GetLease(lease=lease), wire.LeasesResult)
        return await self._lease(result.leases[0])

    async def list(self, market: str | None = None) -> list[Lease]:
        """Return the agent's running leases, as lessee or lessor."""

        async def ask(after: int) -> wire.LeasesResult:
            return await self._connection.query(wire.ListLeases(market=market, after=after), wire.LeasesResult)

        return [await self._lease(view) for view in await page_through(ask, "leases")]

    async def holder(self, *, fencing_token: int | None = None, resource: str | None = None) -> LeaseHolder:
        """Return who holds what a token stands for, or who has an exclusive resource: for whoever guards it.

        Raises:
            NotFound: Nobody does: that lease is over.

        """
        query = wire.GetLeaseHolder(fencing_token=fencing_token, resource=resource)
        result = await self._connection.query(query, wire.LeaseHolderResult)
        return read(LeaseHolder, result, quantity=await self._units(result.asset, result.quantity))

    async def use(self, market: str) -> LeaseUse:
        """Return how much of a lease market's capacity is leased."""
        terms = await self._catalog.terms(market)
        result = await self._connection.query(wire.GetLeaseMarket(market=market), wire.LeaseMarketResult)
        return read(LeaseUse, result, leased=terms.quantity(result.leased), offered=terms.quantity(result.offered))

    async def turn_bids(self) -> tuple[TurnBid, ...]:
        """Return the agent's own sealed bids for turns."""
        result = await self._connection.query(wire.ListTurnBids(), wire.TurnBidsResult)
        return tuple(read(TurnBid, view) for view in result.bids)

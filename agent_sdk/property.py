"""Own modules: register, sell, auction, let and claim them, state what they are worth, and ask who may write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_sdk.money import to_credits
from agent_sdk.property_models import (
    AttestedModule,
    ClaimedModule,
    Module,
    ModuleAuction,
    ModuleBid,
    ModuleDeposit,
    ModuleRental,
    RentalChange,
    WriteAccess,
)
from agent_sdk.reading import Namespace, page_through, read
from exchange.messages import property as wire
from exchange.messages import property_views as asked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent_sdk.money import Number
    from exchange.messages.base import Command

__all__ = ["Property"]


def _credits(amount: Number, name: str) -> int:
    """Return an amount that may be 0."""
    return 0 if amount == 0 else to_credits(amount, name)


def _module(view: asked.ModuleView) -> Module:
    return read(Module, view, id=view.module)


class Property(Namespace):
    """Own modules. Every method raises like `Agent.place`: ``Rejected`` says which rule said no.

    What changes who may write returns the module's fencing token: guards refuse tokens below the highest that they have
    seen.
    """

    # ── modules and who may write ───────────────────────────────────────────────────────────────

    async def register(
        self,
        module: str,
        *,
        dependencies: Iterable[str] = (),
        owner: str | None = None,
        regime: wire.Regime = "private",
    ) -> int:
        """Register a module; it is nobody's, unless an operator gives it to an ``owner``. Return its fencing token."""
        names = list(dependencies)
        return await self._change(wire.RegisterModule, module=module, dependencies=names, owner=owner, regime=regime)

    async def set_dependencies(self, module: str, dependencies: Iterable[str]) -> int:
        """Say what a module depends on; what stays keeps its age."""
        return await self._change(wire.SetDependencies, module=module, dependencies=list(dependencies))

    async def allocate(self, module: str, agent: str) -> int:
        """Give a module to an agent (operators)."""
        return await self._change(wire.AllocateModule, module=module, agent=agent)

    async def set_regime(self, module: str, regime: wire.Regime) -> int:
        """Put a module under another regime (operators)."""
        return await self._change(wire.SetRegime, module=module, regime=regime)

    async def release(self, module: str) -> int:
        """Give a module up: it belongs to nobody then."""
        return await self._change(wire.ReleaseModule, module=module)

    async def grant(self, module: str, agent: str) -> int:
        """Let another agent write, too."""
        return await self._change(wire.GrantAccess, module=module, agent=agent)

    async def revoke_grant(self, module: str, agent: str) -> int:
        """Let an agent write no longer."""
        return await self._change(wire.RevokeGrant, module=module, agent=agent)

    async def _change(self, kind: type[Command], **fields: object) -> int:
        outcome: wire.ModuleOutcome = await self._give(kind, wire.ModuleOutcome, **fields)
        return outcome.fencing_token

    async def may_write(self, module: str, agent: str | None = None) -> WriteAccess:
        """Return whether an agent, by default this one, may write to a module now.

        Raises:
            NotFound: There is no such module.

        """
        query = asked.MayWrite(module=module, agent=agent)
        return read(WriteAccess, await self._connection.query(query, asked.MayWriteResult))

    # ── selling ─────────────────────────────────────────────────────────────────────────────────

    async def offer(
        self, module: str, price: Number, *, buyer: str | None = None, expires_in: float | None = None
    ) -> int:
        """Offer a module for sale, to one agent or to anybody; return the number of the offer."""
        until_us = None if expires_in is None else self._at(expires_in)
        fields = {"module": module, "price": _credits(price, "price"), "buyer": buyer, "until_us": until_us}
        outcome: wire.OfferOutcome = await self._give(wire.OfferModule, wire.OfferOutcome, **fields)
        return outcome.offer

    async def withdraw_offer(self, module: str) -> None:
        """Take an offer back."""
        await self._give(wire.WithdrawModuleOffer, module=module)

    async def buy(self, module: str, *, max_price: Number, new_value: Number | None = None, deposit: Number = 0) -> int:
        """Buy a module that is offered or, under the harberger regime, at the value that its owner has stated.

        There ``new_value`` is what you state, with a ``deposit`` of your own. Returns the fencing token.
        """
        value = None if new_value is None else _credits(new_value, "new_value")
        limits = {"max_price": _credits(max_price, "max_price"), "deposit": _credits(deposit, "deposit")}
        outcome = await self._give(wire.BuyModule, wire.DepositOutcome, module=module, new_value=value, **limits)
        token: int = outcome.fencing_token
        return token

    # ── auctions ────────────────────────────────────────────────────────────────────────────────

    async def auction(self, module: str, *, reserve: Number, closes_in: float) -> None:
        """Auction a module: the highest sealed bid gets it at the second, or at the reserve."""
        closes_at_us = self._at(closes_in)
        await self._give(
            wire.AuctionModule, module=module, reserve=_credits(reserve, "reserve"), closes_at_us=closes_at_us
        )

    async def cancel_auction(self, module: str) -> None:
        """Take an auction back before it closes."""
        await self._give(wire.CancelModuleAuction, module=module)

    async def bid(self, module: str, price: Number) -> None:
        """Bid, sealed, in the auction of a module, in the place of the owner's earlier bid."""
        await self._give(wire.BidOnModule, module=module, price=_credits(price, "price"))

    async def withdraw_bid(self, module: str) -> None:
        """Take a bid back before the close."""
        await self._give(wire.WithdrawModuleBid, module=module)

    # ── homesteads, and what is attested ────────────────────────────────────────────────────────

    async def claim(self, module: str) -> ClaimedModule:
        """Claim a module that belongs to nobody: whoever's work there is attested first owns it."""
        return read(ClaimedModule, await self._give(wire.ClaimModule, wire.ClaimOutcome, module=module))

    async def abandon_claim(self, module: str) -> None:
        """Give a claim up."""
        await self._give(wire.AbandonClaim, module=module)

    async def attest_work(self, module: str, agent: str, reference: str = "") -> AttestedModule:
        """Attest that an agent has worked on a module that it claims, or uses one that it has homesteaded."""
        fields = {"module": module, "agent": agent, "reference": reference}
        return read(AttestedModule, await self._give(wire.AttestWork, wire.AttestationOutcome, **fields))

    async def attest_check(self, module: str, score: int, reference: str = "") -> AttestedModule:
        """Attest the quality of a module, 0 to 100: it counts for its owner's reputation when it is final."""
        fields = {"module": module, "score": score, "reference": reference}
        return read(AttestedModule, await self._give(wire.AttestCheck, wire.AttestationOutcome, **fields))

    async def accept_check(self, attestation: int) -> None:
        """Accept an attestation that is about an own module, instead of letting the window pass."""
        await self._give(wire.AcceptCheck, attestation=attestation)

    # ── rentals ─────────────────────────────────────────────────────────────────────────────────

    async def offer_rental(
        self, module: str, price: Number, *, term_seconds: int, exclusive: bool = False, renter: str | None = None
    ) -> int:
        """Offer write access for a term, to one agent or to anybody; return the number of the offer."""
        fields = {"module": module, "price": to_credits(price, "price"), "term_seconds": term_seconds}
        outcome = await self._give(wire.OfferRental, wire.OfferOutcome, **fields, exclusive=exclusive, renter=renter)
        offer: int = outcome.offer
        return offer

    async def withdraw_rental_offer(self, offer: int) -> None:
        """Take an offer of a rental back; rentals that run go on."""
        await self._give(wire.WithdrawRentalOffer, offer=offer)

    async def rent(self, offer: int) -> RentalChange:
        """Take an offer of a rental: the rent for the whole term goes into escrow."""
        return read(RentalChange, await self._give(wire.RentModule, wire.RentalOutcome, offer=offer))

    async def end_rental(self, rental: int) -> RentalChange:
        """End a rental early; the unused rent comes back."""
        return read(RentalChange, await self._give(wire.EndRental, wire.RentalOutcome, rental=rental))

    async def collect_rent(self, rental: int) -> RentalChange:
        """Have the rent paid out that has accrued so far."""
        return read(RentalChange, await self._give(wire.CollectModuleRent, wire.RentalOutcome, rental=rental))

    # ── value and tax ───────────────────────────────────────────────────────────────────────────

    async def state_value(self, module: str, value: Number, *, deposit: Number = 0) -> ModuleDeposit:
        """State what a module is worth: it is taxed on that from the deposit, and anybody may buy it for that."""
        fields = {"module": module, "value": _credits(value, "value"), "deposit": _credits(deposit, "deposit")}
        return read(ModuleDeposit, await self._give(wire.StateValue, wire.DepositOutcome, **fields))

    async def top_up(self, module: str, amount: Number) -> ModuleDeposit:
        """Add to the deposit from which the tax is taken."""
        fields = {"module": module, "amount": to_credits(amount, "amount")}
        return read(ModuleDeposit, await self._give(wire.TopUpDeposit, wire.DepositOutcome, **fields))

    async def withdraw_deposit(self, module: str, amount: Number) -> ModuleDeposit:
        """Take back what the deposit has above the least one for its value."""
        fields = {"module": module, "amount": to_credits(amount, "amount")}
        return read(ModuleDeposit, await self._give(wire.WithdrawDeposit, wire.DepositOutcome, **fields))

    # ── asking ──────────────────────────────────────────────────────────────────────────────────

    async def get(self, module: str) -> Module:
        """Return one module.

        Raises:
            NotFound: There is no such module.

        """
        return _module((await self._connection.query(asked.GetModule(module=module), asked.ModuleResult)).module)

    async def auctions(self) -> list[ModuleAuction]:
        """Return the auctions that are open."""

        async def ask(after: int) -> asked.ModuleAuctionsResult:
            return await self._connection.query(asked.ListModuleAuctions(after=after), asked.ModuleAuctionsResult)

        return [read(ModuleAuction, view, id=view.auction) for view in await page_through(ask, "auctions")]

    async def bids(self) -> list[ModuleBid]:
        """Return the agent's own sealed bids."""
        result = await self._connection.query(asked.ListModuleBids(), asked.ModuleBidsResult)
        return [read(ModuleBid, view) for view in result.bids]

    async def rentals(self) -> list[ModuleRental]:
        """Return the running rentals in which the agent is owner or renter."""

        async def ask(after: int) -> asked.RentalsResult:
            return await self._connection.query(asked.ListModuleRentals(after=after), asked.RentalsResult)

        return [read(ModuleRental, view, id=view.rental) for view in await page_through(ask, "rentals")]

    async def list(self, *, owner: str | None = None, unowned: bool = False) -> list[Module]:
        """Return the modules by name: all, those of one agent, or those of nobody."""
        found: list[Module] = []
        after: str | None = ""
        while after is not None:
            query = asked.ListModules(owner=owner, unowned=unowned, after=after, limit=500)
            page = await self._connection.query(query, asked.ModulesResult)
            found += [_module(view) for view in page.modules]
            after = page.next
        return found

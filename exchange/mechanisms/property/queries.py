"""Answer queries about modules: anybody may know whose they are and who may write."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final

from exchange.mechanisms.base import AgentRecord, NotFound
from exchange.messages.property_views import (
    CheckView,
    ClaimView,
    DependencyView,
    GetModule,
    ListModuleAuctions,
    ListModuleBids,
    ListModuleRentals,
    ListModules,
    MayWrite,
    MayWriteResult,
    ModuleAuctionsResult,
    ModuleAuctionView,
    ModuleBidsResult,
    ModuleBidView,
    ModuleResult,
    ModulesResult,
    ModuleView,
    RentalOfferView,
    RentalsResult,
    RentalView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exchange.mechanisms.property.auctioning import Auction
    from exchange.mechanisms.property.mechanism import Property
    from exchange.mechanisms.property.module import Module
    from exchange.messages.base import Query, Result

__all__ = ["Queries"]

_LOOKED_AT: Final = 10_000
"""A page of modules without an owner looks at no more than so many."""


class Queries:
    """Read the modules; change nothing."""

    def __init__(self, ownership: Property) -> None:
        self._property = ownership
        self._context = ownership.context

    def readers(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader of each query."""
        return {
            MayWrite: self.may_write,
            GetModule: self.get_module,
            ListModules: self.list_modules,
            ListModuleAuctions: self.list_auctions,
            ListModuleBids: self.list_bids,
            ListModuleRentals: self.list_rentals,
        }

    def _find(self, name: str) -> Module:
        module = self._property.modules.get(name)
        if module is None:
            message = f"no module {name} is registered"
            raise NotFound(message)
        return module

    def may_write(self, agent: AgentRecord, query: MayWrite) -> MayWriteResult:
        """Say to anybody whether an agent may write to a module now."""
        module = self._find(query.module)
        name = query.agent or agent.agent_id
        return MayWriteResult(
            module=module.name,
            agent=name,
            may_write=self._property.access.may_write(module, name),
            fencing_token=module.token,
            owner=module.owner or None,
            until_us=self._until_us(module),
        )

    def _until_us(self, module: Module) -> int | None:
        """Return when the write access changes by itself: the first deadline of all that may move it."""
        ownership, due_us = self._property, self._context.deadlines.due_us
        ends = [ownership.regime.exhausted_at_us(module), due_us(module.lapse_id), due_us(module.grace_id)]
        if module.writer:
            ends.append(due_us(module.handover_id))
        ends += [ownership.renting.rentals[number].ends_us for number in module.rentals]
        ends += [due_us(ownership.homesteads.claims[number].deadline_id) for number in module.claims.values()]
        if module.auction:
            ends.append(due_us(ownership.auctions.open[module.auction].deadline_id))
        known = [end_us for end_us in ends if end_us is not None]
        return min(known) if known else None

    def get_module(self, agent: AgentRecord, query: GetModule) -> ModuleResult:
        """Describe one module."""
        del agent
        return ModuleResult(module=self._view(self._find(query.module)))

    def list_modules(self, agent: AgentRecord, query: ListModules) -> ModulesResult:
        """Describe modules by name, a page at a time."""
        del agent
        ownership = self._property
        names = ownership.registry.names
        if query.owner is not None:
            names = sorted(ownership.by_owner.get(query.owner, ()))
        at = bisect_right(names, query.after)
        end = min(len(names), at + _LOOKED_AT)
        page: list[str] = []
        while at < end and len(page) < query.limit:
            if not query.unowned or not ownership.modules[names[at]].owner:
                page.append(names[at])
            at += 1
        views = [self._view(ownership.modules[name]) for name in page]
        return ModulesResult(modules=views, next=names[at - 1] if at < len(names) else None)

    def list_auctions(self, agent: AgentRecord, query: ListModuleAuctions) -> ModuleAuctionsResult:
        """Describe the open auctions by number, a page at a time; nothing of their bids."""
        del agent
        auctions = self._property.auctions
        numbers = sorted(number for number in auctions.open if number > query.after)
        page = numbers[: query.limit]
        views: list[ModuleAuctionView] = []
        for number in page:
            auction = auctions.open[number]
            view = ModuleAuctionView(
                auction=number,
                module=auction.module,
                reserve=auction.reserve,
                closes_at_us=self._closes_at_us(auction),
                seller=auction.seller or None,
            )
            views.append(view)
        return ModuleAuctionsResult(auctions=views, next=page[-1] if len(numbers) > query.limit else None)

    def _closes_at_us(self, auction: Auction) -> int:
        """Return when an auction closes, as far as is known: halts and outages move that."""
        due_us = self._context.deadlines.due_us(auction.deadline_id)
        return auction.closes_at_us if due_us is None else due_us

    def list_bids(self, agent: AgentRecord, query: ListModuleBids) -> ModuleBidsResult:
        """Tell an agent its own sealed bids, the oldest first."""
        del query
        auctions = self._property.auctions
        bids: list[ModuleBidView] = []
        for number in auctions.bids_of.get(agent.agent_id, ()):
            auction = auctions.open[number]
            bids.append(ModuleBidView(auction.module, number, auction.bids[agent.owner].price))
        return ModuleBidsResult(bids=bids)

    def list_rentals(self, agent: AgentRecord, query: ListModuleRentals) -> RentalsResult:
        """Describe the rentals of an agent, as owner or renter, by number, a page at a time."""
        ownership = self._property
        mine = list(ownership.renting.by_renter.get(agent.agent_id, ()))
        for name in ownership.by_owner.get(agent.agent_id, ()):
            mine += ownership.modules[name].rentals
        numbers = sorted(number for number in mine if number > query.after)
        page = numbers[: query.limit]
        views = [self._rental_view(number) for number in page]
        return RentalsResult(rentals=views, next=page[-1] if len(numbers) > query.limit else None)

    def _rental_view(self, number: int) -> RentalView:
        rental = self._property.renting.rentals[number]
        return RentalView(
            rental=number,
            module=rental.module,
            owner=self._property.modules[rental.module].owner,
            renter=rental.renter,
            rent=rental.rent,
            accrued=rental.accrued(self._context.time_us),
            paid=rental.paid,
            started_us=rental.started_us,
            ends_us=rental.ends_us,
            exclusive=rental.is_exclusive,
        )

    def _view(self, module: Module) -> ModuleView:
        deadlines, regime = self._context.deadlines, self._property.regime
        view = ModuleView(
            module=module.name,
            regime=module.regime,
            registered_us=module.registered_us,
            fencing_token=module.token,
            owner=module.owner or None,
            owner_since_us=module.owner_since_us or None,
            title=module.title,
            dependencies=[DependencyView(name, since_us) for name, since_us in module.dependencies.items()],
            grants=list(module.grants),
            writer=module.writer or None,
            handover_us=deadlines.due_us(module.handover_id),
            value_due_us=deadlines.due_us(module.grace_id),
            lapses_at_us=deadlines.due_us(module.lapse_id),
            last_price=module.last_price,
            exclusive_rental=module.exclusive or None,
            rental_offers=[
                RentalOfferView(
                    offer=offer.number,
                    price=offer.price,
                    term_seconds=offer.term_seconds,
                    exclusive=offer.is_exclusive,
                    renter=offer.renter,
                )
                for offer in module.rental_offers.values()
            ],
            claims=[self._claim_view(number) for number in module.claims.values()],
            attestations=self._attestation_views(module),
        )
        if module.offer is not None:
            view.price, view.offer = module.offer.price, module.offer.number
            view.buyer, view.until_us = module.offer.buyer, module.offer.until_us
        if module.auction:
            auction = self._property.auctions.open[module.auction]
            view.auction, view.reserve = module.auction, auction.reserve
            view.closes_at_us = self._closes_at_us(auction)
            view.is_foreclosure = not auction.seller
        if module.holding is not None:
            view.value, view.deposit = module.holding.value, regime.left(module)
            view.exhausted_at_us = regime.exhausted_at_us(module)
        return view

    def _claim_view(self, number: int) -> ClaimView:
        claim = self._property.homesteads.claims[number]
        return ClaimView(
            claim=number,
            agent=claim.agent,
            attested=bool(claim.attestation),
            lapses_at_us=self._context.deadlines.due_us(claim.deadline_id),
        )

    def _attestation_views(self, module: Module) -> list[CheckView]:
        attesting, numbers = self._property.attesting, list(module.checks)
        if module.attested:
            numbers.append(self._property.homesteads.claims[module.attested].attestation)
        views: list[CheckView] = []
        for number in numbers:
            each = attesting.waiting[number]
            views.append(
                CheckView(
                    attestation=number,
                    kind=each.kind,
                    agent=each.agent,
                    attester=each.attester,
                    final_at_us=self._context.deadlines.due_us(each.deadline_id),
                    score=each.score if each.kind == "check" else None,
                    reference=each.reference,
                    dispute=each.dispute,
                )
            )
        return views

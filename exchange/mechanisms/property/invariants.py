"""Check what must always be true of modules and what is under way with them (slow: it counts everything)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.property.tax import accrued, exhausts_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.mechanisms.property.mechanism import Property
    from exchange.mechanisms.property.module import Module

__all__ = ["broken_invariants"]


def broken_invariants(ownership: Property) -> list[str]:
    """Return the broken invariants by name, with what breaks them."""
    broken: list[str] = []
    for module in ownership.modules.values():
        broken.extend(f"{name}: {module.name}" for name in _ownership_problems(ownership, module))
        broken.extend(f"{name}: {module.name}" for name in _holding_problems(ownership, module))
        broken.extend(f"{name}: {module.name}" for name in _renting_problems(ownership, module))
        broken.extend(f"{name}: {module.name}" for name in _claim_problems(ownership, module))
    broken.extend(_index_problems(ownership))
    broken.extend(_exhaustion_problems(ownership))
    broken.extend(_auction_problems(ownership))
    broken.extend(_attestation_problems(ownership))
    return broken


def _ownership_problems(ownership: Property, module: Module) -> Iterator[str]:
    agents, deadlines = ownership.context.agents, ownership.context.deadlines
    if module.owner and module.name not in ownership.by_owner.get(module.owner, ()):
        yield "modules_are_indexed_by_owner"
    if module.owner and agents[module.owner].state == "revoked":
        yield "owners_are_not_revoked"
    if any(module.former[place][0] > module.former[place + 1][0] for place in range(len(module.former) - 1)):
        yield "earlier_owners_come_first"
    if not module.owner and module.grants:
        yield "only_owners_grant"
    if any(module.name not in ownership.granted.get(name, ()) for name in module.grants):
        yield "grants_are_indexed_by_agent"
    if bool(module.writer) != (deadlines.due_us(module.handover_id) is not None):
        yield "write_tokens_are_handed_over"


def _index_problems(ownership: Property) -> Iterator[str]:
    modules = ownership.modules
    if ownership.registry.names != sorted(modules):
        yield "modules_are_listed_by_name"
    owned = sum(1 for module in modules.values() if module.owner)
    if sum(ownership.owned.values()) != owned or sum(map(len, ownership.by_owner.values())) != owned:
        yield "modules_are_indexed_by_owner"
    if sum(map(len, ownership.granted.values())) != sum(len(module.grants) for module in modules.values()):
        yield "grants_are_indexed_by_agent"
    rentals = ownership.renting.rentals
    if sum(map(len, ownership.renting.by_renter.values())) != len(rentals):
        yield "rentals_are_indexed_by_renter"
    if sum(len(module.rentals) for module in modules.values()) != len(rentals):
        yield "rentals_are_of_a_module"
    offers = sum(len(module.rental_offers) for module in modules.values())
    if len(ownership.renting.offers) != offers:
        yield "offers_of_rentals_are_listed"
    offering = [
        name
        for name, module in modules.items()
        if (module.offer is not None or module.rental_offers) and name not in ownership.offering.get(module.owner, ())
    ]
    if offering:
        yield f"offers_are_indexed_by_owner: {offering[0]}"


def _holding_problems(ownership: Property, module: Module) -> Iterator[str]:
    """Yield what is wrong with values, deposits, taxes and the times that go with them."""
    cashier, deadlines, regime = ownership.context.cashier, ownership.context.deadlines, ownership.regime
    holding = module.holding
    in_escrow = cashier.in_escrow(escrow_of(module.cause))
    if in_escrow != (0 if holding is None else holding.deposit - holding.collected):
        yield "escrow_equals_deposit_less_tax"
    has_grace = deadlines.due_us(module.grace_id) is not None
    if has_grace != (module.regime == "harberger" and bool(module.owner) and holding is None):
        yield "owners_state_a_value_in_time"
    if (deadlines.due_us(module.lapse_id) is not None) != (module.title == "homesteaded"):
        yield "homesteads_lapse"
    if module.regime == "harberger" and (module.offer is not None or (module.auction and module.owner)):
        yield "what_is_taxed_is_not_offered"
    if (module.number in regime.due) != (holding is not None):
        yield "taxes_are_collected"
    if holding is None:
        return
    if not 0 <= holding.collected <= accrued(holding, regime.now()) <= holding.deposit:
        yield "no_more_tax_is_collected_than_has_accrued"
    if not module.owner or module.regime != "harberger":
        yield "values_are_stated_by_owners_under_the_regime"
    # Where the mechanism was suspended until now, the deadline is due and has not fired.
    if regime.is_exhausted(module) and deadlines.due_us(regime.exhaust_id) is None:
        yield "exhausted_deposits_are_foreclosed"


def _exhaustion_problems(ownership: Property) -> Iterator[str]:
    regime, deadlines = ownership.regime, ownership.context.deadlines
    expected: dict[int, int] = {}
    for module in ownership.modules.values():
        index = None if module.holding is None else exhausts_at(module.holding)
        if index is not None:
            expected[module.number] = index
    if expected != regime.exhaustions.at:
        yield "exhaustions_are_in_order_of_the_index"
    numbers = {module.number: module.holding for module in ownership.modules.values() if module.holding is not None}
    unwarned = {number: index for number, index in expected.items() if not numbers[number].is_warned}
    if unwarned != regime.warnings.at:
        yield "owners_are_warned_once"
    first_us = regime.next_exhaustion_us()
    if first_us != (deadlines.due_us(regime.exhaust_id) if regime.exhaust_id else None):
        yield "a_deadline_stands_for_the_first_exhaustion"
    if regime.next_warning_us() != (deadlines.due_us(regime.warn_id) if regime.warn_id else None):
        yield "a_deadline_stands_for_the_next_warning"
    if bool(regime.due) and not regime.collect_id:
        yield "a_deadline_stands_for_the_next_collection"
    if list(regime.due.values()) != sorted(regime.due.values()):
        yield "collections_are_in_order_of_time"


def _renting_problems(ownership: Property, module: Module) -> Iterator[str]:
    cashier, renting = ownership.context.cashier, ownership.renting
    for number in module.rentals:
        rental = renting.rentals[number]
        if cashier.in_escrow(rental.escrow) != rental.rent - rental.paid:
            yield "escrow_equals_rent_that_is_not_paid"
        if rental.paid > rental.accrued(ownership.context.time_us):
            yield "no_more_rent_is_paid_than_has_accrued"
        if ownership.context.deadlines.due_us(rental.deadline_id) != rental.ends_us:
            yield "rentals_end"
        if rental.is_exclusive and list(module.rentals) != [number]:
            yield "an_exclusive_rental_is_the_only_one"
        if rental.is_exclusive != (module.exclusive == number):
            yield "an_exclusive_rental_is_known_as_such"
    if module.rentals and not module.owner:
        yield "rentals_have_an_owner"
    if (module.offer is not None or module.rental_offers) and not module.owner:
        yield "offers_have_an_owner"


def _claim_problems(ownership: Property, module: Module) -> Iterator[str]:
    homesteads, deadlines = ownership.homesteads, ownership.context.deadlines
    if module.claims and (module.owner or module.auction):
        yield "claims_are_to_what_belongs_to_nobody"
    for owner, number in module.claims.items():
        claim = homesteads.claims[number]
        if claim.owner != owner or claim.module != module.name:
            yield "claims_are_indexed_by_module"
        if (deadlines.due_us(claim.deadline_id) is None) != bool(claim.attestation):
            yield "claims_lapse_unless_work_is_attested"
        if bool(claim.attestation) != (module.attested == number):
            yield "one_claim_is_attested"


def _auction_problems(ownership: Property) -> Iterator[str]:
    auctions, cashier = ownership.auctions, ownership.context.cashier
    held = {
        (agent, cause): amount
        for agent, holds in cashier.holds.items()
        for (cause, _), amount in holds.items()
        if cause.startswith("property:auction:")
    }
    bids = {
        (bid.agent, auction.cause): bid.price for auction in auctions.open.values() for bid in auction.bids.values()
    }
    if held != {key: price for key, price in bids.items() if price}:
        yield "bids_are_held"
    if sum(map(len, auctions.bids_of.values())) != len(bids):
        yield "bids_are_indexed_by_agent"
    for auction in auctions.open.values():
        module = ownership.modules[auction.module]
        if module.auction != auction.number or module.owner != auction.seller:
            yield f"auctions_are_of_the_sellers_module: {auction.number}"
        if ownership.context.deadlines.due_us(auction.deadline_id) is None:
            yield f"auctions_close: {auction.number}"
    if sum(1 for module in ownership.modules.values() if module.auction) != len(auctions.open):
        yield "auctions_are_known_from_both_sides"


def _attestation_problems(ownership: Property) -> Iterator[str]:
    attesting, homesteads, deadlines = ownership.attesting, ownership.homesteads, ownership.context.deadlines
    for attestation in attesting.waiting.values():
        module = ownership.modules[attestation.module]
        if (deadlines.due_us(attestation.deadline_id) is None) != (attestation.dispute is not None):
            yield f"attestations_are_final_in_time: {attestation.number}"
        if attestation.kind == "check":
            is_known = attestation.number in module.checks
        else:
            claim = homesteads.claims.get(module.attested)
            is_known = claim is not None and claim.attestation == attestation.number
        if not is_known:
            yield f"attestations_are_known_by_their_module: {attestation.number}"
    if sum(map(len, homesteads.by_agent.values())) != len(homesteads.claims):
        yield "claims_are_indexed_by_agent"
    if sum(homesteads.by_owner.values()) != len(homesteads.claims):
        yield "claims_are_counted_by_owner"

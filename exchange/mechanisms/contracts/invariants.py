"""Check what must always be true of contracts and their escrows (slow: it counts everything)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.mechanisms.cashier import escrow_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.mechanisms.contracts.contract import Contract
    from exchange.mechanisms.contracts.mechanism import Contracts

__all__ = ["broken_invariants"]


def broken_invariants(contracts: Contracts) -> list[str]:
    """Return the broken invariants by name, with what breaks them."""
    broken: list[str] = []
    waiting = 0
    for contract in contracts.live.values():
        broken.extend(f"{name}: {contract.number}" for name in _problems(contracts, contract))
        waiting += sum(not attestation.is_final for attestation in contract.attestations.values())
    if waiting != len(contracts.attesting.waiting):
        broken.append("attestations_that_are_not_final_are_listed")
    if _parties(contracts) != contracts.parties:
        broken.append("parties_of_contracts_about_markets_are_counted")
    return broken


def _parties(contracts: Contracts) -> dict[int, dict[str, int]]:
    """Count anew in how many contracts about each market an owner pays, or has signed."""
    counts: dict[int, dict[str, int]] = {}
    for contract in contracts.live.values():
        for name in (contract.payer, *contract.signed):
            owner = contracts.context.agents[name].owner
            for market in contract.predictions:
                parties = counts.setdefault(market, {})
                parties[owner] = parties.get(owner, 0) + 1
    return counts


def _problems(contracts: Contracts, contract: Contract) -> Iterator[str]:
    cashier, deadlines = contracts.context.cashier, contracts.context.deadlines
    if cashier.in_escrow(escrow_of(contract.cause)) != contract.in_escrow():
        yield "escrow_equals_shares_and_signed_bonds"
    waits = bool(contract.deadline_id) and deadlines.due_us(contract.deadline_id) is not None
    if waits == contract.is_overdue:
        yield "contracts_end"
    if contract.state == "bound" and len(contract.signed) != len(contract.assignees()):
        yield "all_have_signed_what_binds"
    if contract.state == "bound" and not all(part.settlement for part in contract.parts):
        yield "every_part_has_a_settlement"
    if contract.is_overdue and not _is_on_its_way(contracts, contract):
        yield "what_is_certain_is_settled"


def _is_on_its_way(contracts: Contracts, contract: Contract) -> bool:
    waits = any(not attestation.is_final for attestation in contract.attestations.values())
    return waits or any(contracts.is_undecided(contract, part) for part in contract.parts)

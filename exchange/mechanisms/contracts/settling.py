"""Say what a part comes to as a settlement, and who gets forfeited bonds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.mechanisms.facts import SettlementTerms
from exchange.mechanisms.shares import largest_remainder

if TYPE_CHECKING:
    from collections.abc import Callable

    from exchange.mechanisms.contracts.contract import Contract, Part

__all__ = ["forfeits", "part_terms"]


def part_terms(contract: Contract, part: Part, confirm_seconds: int) -> SettlementTerms:
    """Return the terms of a part's settlement: it has no money of its own, the contract pays."""
    return SettlementTerms(
        payer=contract.payer,
        provider=part.assignee,
        price=0,
        bond=0,
        deliver_by_us=part.deliver_by_us,
        confirm_seconds=confirm_seconds,
        attester=part.attester,
        title=f"{contract.title}: {part.name}",
    )


def forfeits(contract: Contract, owner_of: Callable[[str], str]) -> list[tuple[str, int]]:
    """Return who gets the bonds of the parts that failed: who delivered, by share; if nobody did, the payer.

    An owner with a part that failed gets nothing: its bonds must not come back by another part.
    """
    failed = [part for part in contract.parts if part.state == "failed"]
    pot = sum(part.bond for part in failed)
    at_fault = {owner_of(part.assignee): None for part in failed}
    shares: dict[str, int] = {}
    for part in contract.parts:
        if part.state == "completed" and owner_of(part.assignee) not in at_fault:
            shares[part.assignee] = shares.get(part.assignee, 0) + part.share
    if not pot or not shares:
        return [(contract.payer, pot)]
    return largest_remainder(pot, shares)

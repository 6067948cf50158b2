"""Check what must always be true of settlements and their escrows (slow: it counts everything)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.mechanisms.settlements.settlement import REMEMBERED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.mechanisms.settlements.mechanism import Settlements
    from exchange.mechanisms.settlements.settlement import Settlement

__all__ = ["broken_invariants"]


def broken_invariants(settlements: Settlements) -> list[str]:
    """Return the broken invariants by name, with what breaks them."""
    broken: list[str] = []
    indexed = 0
    for settlement in settlements.live.values():
        broken.extend(f"{name}: {settlement.number}" for name in _problems(settlements, settlement))
        indexed += len(settlement.listeners())
    if indexed != sum(len(numbers) for numbers in settlements.by_agent.values()):
        broken.append("live_settlements_are_indexed_by_agent")
    if len(settlements.ended) > REMEMBERED:
        broken.append("few_ended_settlements_are_remembered")
    return broken


def _problems(settlements: Settlements, settlement: Settlement) -> Iterator[str]:
    cashier, terms, deadlines = settlements.context.cashier, settlement.terms, settlements.context.deadlines
    if cashier.in_escrow(settlement.escrow) != terms.price + terms.bond:
        yield "escrow_equals_price_and_bond"
    if terms.quantity and cashier.in_escrow(settlement.escrow, terms.asset) != terms.quantity:
        yield "escrow_has_the_units"
    if settlement.is_final:
        yield "live_settlements_are_not_final"
    waits = settlement.deadline_id and deadlines.due_us(settlement.deadline_id) is not None
    if bool(waits) != (settlement.state != "disputed"):
        yield "silence_ends_what_is_not_disputed"
    has_lease = settlement.lease_id and deadlines.due_us(settlement.lease_id) is not None
    if bool(has_lease) != (settlement.state == "open" and terms.lease_seconds > 0):
        yield "open_work_is_leased"
    if any(settlement.number not in settlements.by_agent.get(name, ()) for name in settlement.listeners()):
        yield "live_settlements_are_indexed_by_agent"

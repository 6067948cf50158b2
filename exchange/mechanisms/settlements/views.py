"""Describe settlements to who may know of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.messages.settlements import SettlementView

if TYPE_CHECKING:
    from exchange.mechanisms.base import Scheduler
    from exchange.mechanisms.settlements.settlement import Settlement

__all__ = ["view_of"]


def view_of(settlement: Settlement, deadlines: Scheduler) -> SettlementView:
    """Return what a settlement is like now."""
    terms = settlement.terms
    return SettlementView(
        settlement=settlement.number,
        origin=settlement.origin,
        payer=terms.payer,
        provider=terms.provider,
        price=terms.price,
        bond=terms.bond + terms.unsecured_bond,
        deliver_by_us=terms.deliver_by_us,
        state=settlement.state,
        opened_us=settlement.opened_us,
        title=terms.title,
        attester=terms.attester,
        late_hours=terms.late_hours,
        late_per_hour=terms.late_per_hour,
        asset=terms.asset,
        quantity=terms.quantity,
        fencing_token=settlement.fencing_token,
        lease_until_us=deadlines.due_us(settlement.lease_id) if settlement.lease_id else None,
        delivered_us=settlement.delivered_us,
        reference=settlement.reference,
        digest=settlement.digest,
        late_fee=settlement.late_fee,
        until_us=deadlines.due_us(settlement.deadline_id) if settlement.deadline_id else None,
        cause=settlement.cause,
        dispute=settlement.dispute,
        score=settlement.score,
    )

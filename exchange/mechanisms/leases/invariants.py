"""Check what must always be true of leases, their escrows and the bids for turns (slow: it counts everything)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.mechanisms.leases.lease import Lease
    from exchange.mechanisms.leases.mechanism import Leases

__all__ = ["broken_invariants"]


def broken_invariants(leases: Leases) -> list[str]:
    """Return the broken invariants by name, with what breaks them."""
    broken: list[str] = []
    leased: dict[str, int] = {}
    tokens: dict[int, int] = {}
    for number, lease in leases.leases.items():
        broken.extend(f"{name}: {number}" for name in _problems(leases, lease))
        if not lease.units_returned:
            tokens[lease.fencing_token] = number
            leased[lease.market] = leased.get(lease.market, 0) + lease.quantity
    if tokens != leases.by_token or leased != leases.leased:
        broken.append("what_is_held_is_indexed")
    broken.extend(leases.turns.problems(leases.whole))
    return broken


def _problems(leases: Leases, lease: Lease) -> Iterator[str]:
    cashier, now_us = leases.context.cashier, leases.context.time_us
    if not 0 <= lease.paid <= lease.past_rent + sum(period.accrued(now_us) for period in lease.periods):
        yield "rent_is_paid_as_it_accrues"
    if cashier.in_escrow(lease.escrow) != lease.rent - lease.paid + lease.compensation:
        yield "escrow_equals_rent_and_compensation"
    if cashier.in_escrow(lease.escrow, lease.asset) != (0 if lease.units_returned else lease.quantity):
        yield "escrow_has_the_units"
    if lease.frozen_us is None and lease.units_returned:
        yield "only_disputes_outlast_the_units"

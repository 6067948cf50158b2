"""Check what must always be true of debts and their escrows (slow: it counts everything)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.mechanisms.debts.mechanism import Debts
    from exchange.mechanisms.debts.token import Paydown, Sale, Token

__all__ = ["broken_invariants"]


def broken_invariants(debts: Debts) -> list[str]:
    """Return the broken invariants by name, with what breaks them."""
    broken = [*_sums(debts), *_indexes(debts)]
    for token in debts.live.values():
        broken.extend(f"{name}: {token.number}" for name in _problems(debts, token))
        if token.sale is not None:
            broken.extend(f"{name}: {token.number}" for name in _sale_problems(debts, token, token.sale))
        if token.paydown is not None:
            broken.extend(f"{name}: {token.number}" for name in _paydown_problems(debts, token, token.paydown))
    return broken


def _sums(debts: Debts) -> Iterator[str]:
    issued = [token for token in debts.live.values() if token.state != "proposed"]
    if sum(token.owed for token in issued) != debts.outstanding:
        yield "outstanding_equals_hours_owed"
    if sum(token.owed for token in issued if token.state == "overdue") != debts.overdue.hours:
        yield "overdue_equals_hours_owed_past_maturity"
    if sum(debts.issued.values()) != len(debts.live):
        yield "debts_are_counted_by_issuer"
    if bool(len(debts.overdue)) and debts.context.deadlines.due_us(debts.paydowns.check_id) is None:
        yield "what_is_overdue_is_looked_at_daily"


def _indexes(debts: Debts) -> Iterator[str]:
    live = debts.live.items()
    if sum(len(token.listeners()) for _, token in live) != sum(len(numbers) for numbers in debts.by_agent.values()):
        yield "debts_are_indexed_by_agent"
    sales = [(number, token.sale) for number, token in live if token.sale is not None]
    if sorted(debts.trading.for_sale) != sorted(number for number, _ in sales):
        yield "sales_are_listed"
    sealed = [(bid.agent, number) for number, sale in sales for bid in sale.bids.values()]
    listed = [(agent, number) for agent, numbers in debts.trading.bids_of.items() for number in numbers]
    if sorted(sealed) != sorted(listed):
        yield "sealed_bids_are_indexed_by_agent"
    if {token.claim.number: number for number, token in live if token.claim is not None} != debts.repaying.claims:
        yield "claims_are_indexed"


def _problems(debts: Debts, token: Token) -> Iterator[str]:
    cashier, deadlines, claim = debts.context.cashier, debts.context.deadlines, token.claim
    if token.sale is None and cashier.in_escrow(token.sale_escrow):
        yield "escrow_equals_what_is_offered"
    if token.state == "proposed" and (cashier.in_escrow(token.escrow) or cashier.owed_to.get(token.escrow)):
        yield "what_does_not_exist_has_no_escrow"
    if token.principal < 0 or token.accrued < 0 or not token.owed:
        yield "live_debts_are_owed"
    if deadlines.due_us(token.deadline_id) is None:
        yield "debts_have_a_next_month"
    if token.state != "paydown" and (token.state == "open") != (deadlines.due_us(token.maturity_id) is not None):
        yield "open_debts_mature"
    liens = [cashier.liens[number] for number in cashier.owed_to.get(token.escrow, ())]
    if token.state != "paydown" and any(lien.cause == token.cause for lien in liens):
        yield "liens_end_with_their_paydown"
    if (token.state == "overdue") != (token.number in debts.overdue):
        yield "overdue_debts_are_listed"
    if (token.state == "paydown") != (token.paydown is not None):
        yield "paydowns_stand_with_their_debts"
    if claim is not None and (claim.state == "disputed") != (deadlines.due_us(claim.deadline_id) is None):
        yield "silence_ends_what_is_not_disputed"


def _sale_problems(debts: Debts, token: Token, sale: Sale) -> Iterator[str]:
    if debts.context.cashier.in_escrow(token.sale_escrow) != sale.pay:
        yield "escrow_equals_what_is_offered"
    if token.state not in ("open", "overdue") or token.claim is not None or sale.seller != token.holder:
        yield "only_the_holder_sells"
    if debts.context.deadlines.due_us(sale.deadline_id) is None:
        yield "sales_end"
    if any(owner == debts.owner_of(token.holder) for owner in sale.bids):
        yield "holders_do_not_bid"


def _paydown_problems(debts: Debts, token: Token, paydown: Paydown) -> Iterator[str]:
    is_collecting = debts.context.deadlines.due_us(paydown.deadline_id) is not None
    waits = is_collecting + (paydown.is_due and token.claim is not None) + bool(paydown.task)
    if waits != 1:
        yield "paydowns_wait_for_one_thing"
    if any(lien.amount > paydown.advances[name] for name, lien in paydown.liens.items()):
        yield "beneficiaries_are_owed_what_they_paid"

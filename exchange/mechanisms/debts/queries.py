"""Answer queries about debts: everybody may know all of them, but for sealed bids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exchange.mechanisms.base import AgentRecord, NotFound
from exchange.messages.debts import (
    ClaimView,
    DebtResult,
    DebtsResult,
    DebtTotalsResult,
    DebtView,
    GetDebt,
    GetDebtTotals,
    ListDebts,
    PaydownView,
    SaleView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exchange.mechanisms.debts.mechanism import Debts
    from exchange.mechanisms.debts.token import Token
    from exchange.messages.base import Query, Result

__all__ = ["Queries"]


class Queries:
    """Read the debts; change nothing."""

    def __init__(self, debts: Debts) -> None:
        self._debts = debts

    def readers(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader of each query."""
        return {GetDebt: self.get_debt, ListDebts: self.list_debts, GetDebtTotals: self.get_totals}

    def get_debt(self, agent: AgentRecord, query: GetDebt) -> DebtResult:
        """Describe one debt, live or ended."""
        token = self._debts.live.get(query.token) or self._debts.ended.get(query.token)
        if token is None:
            message = f"no debt {query.token}"
            raise NotFound(message)
        return DebtResult(debt=self._view(token, agent))

    def list_debts(self, agent: AgentRecord, query: ListDebts) -> DebtsResult:
        """Describe an agent's live debts, or those for sale, by number, a page at a time."""
        debts = self._debts
        found = debts.trading.for_sale if query.for_sale else debts.by_agent.get(agent.agent_id, {})
        numbers = sorted(number for number in found if number > query.after)
        page = numbers[: query.limit]
        views = [self._view(debts.live[number], agent) for number in page]
        return DebtsResult(debts=views, next=page[-1] if len(numbers) > query.limit else None)

    def get_totals(self, agent: AgentRecord, query: GetDebtTotals) -> DebtTotalsResult:
        """Return what all debts come to."""
        del agent, query
        debts, context = self._debts, self._debts.context
        return DebtTotalsResult(
            debts=len(debts.live),
            outstanding_hours_milli=debts.outstanding,
            overdue_hours_milli=debts.overdue.hours,
            crisis_overdue_hours_milli=context.settings.crisis_overdue_hours_milli,
            crisis_overdue_bp=context.settings.crisis_overdue_bp,
            is_crisis=debts.is_crisis(),
            checked_at_us=context.deadlines.due_us(debts.paydowns.check_id),
        )

    def _view(self, token: Token, agent: AgentRecord) -> DebtView:
        is_proposed = token.state == "proposed"
        is_live = token.outcome is None and not is_proposed
        return DebtView(
            token=token.number,
            feature=token.feature,
            issuer=token.issuer,
            holder=token.holder,
            state=token.state,
            principal_hours_milli=token.original,
            interest_hours_milli_per_month=token.interest,
            maturity_us=token.maturity_us,
            hour_rate=token.hour_rate,
            beneficiaries=dict(token.beneficiaries),
            detail=token.detail,
            attester=token.attester,
            skills=list(token.skills),
            signed=list(token.signed),
            sign_by_us=token.sign_by_us if is_proposed else None,
            issued_us=token.issued_us or None,
            owed_hours_milli=token.owed if is_live else 0,
            accrued_hours_milli=token.accrued if is_live else 0,
            interest_due_us=token.month_ends_us if is_live else None,
            is_interest_paid=token.is_paid,
            in_escrow=self._debts.context.cashier.in_escrow(token.escrow),
            sale=self._sale(token, agent),
            claim=self._claim(token),
            paydown=self._paydown(token),
            outcome=token.outcome,
        )

    def _sale(self, token: Token, agent: AgentRecord) -> SaleView | None:
        sale = token.sale
        if sale is None:
            return None
        own, is_offer = sale.bids.get(agent.owner), sale.closes_at_us is None
        return SaleView(
            kind="offer" if is_offer else "auction",
            pay=sale.pay,
            offer=sale.offer or None,
            taker=sale.taker,
            until_us=self._debts.context.deadlines.due_us(sale.deadline_id) if is_offer else None,
            closes_at_us=sale.closes_at_us,
            own_bid=None if own is None else own.pay,
        )

    def _claim(self, token: Token) -> ClaimView | None:
        claim = token.claim
        if claim is None:
            return None
        return ClaimView(
            claim=claim.number,
            by=claim.by,
            hours_milli=claim.hours,
            state=claim.state,
            reference=claim.reference,
            confirmed_by=list(claim.confirmed),
            until_us=self._debts.context.deadlines.due_us(claim.deadline_id),
            dispute=claim.dispute,
        )

    def _paydown(self, token: Token) -> PaydownView | None:
        paydown = token.paydown
        if paydown is None:
            return None
        return PaydownView(
            hours_milli=token.owed,
            amount=self._debts.paydowns.amount_of(token),
            collect_until_us=self._debts.context.deadlines.due_us(paydown.deadline_id),
            task=paydown.task or None,
            advances=dict(paydown.advances),
        )

"""Technical debt by the SDK, on the exchange in memory: whole hours, whole credits, typed events."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from agent_sdk import (
    DebtAuctionClosed,
    DebtEnded,
    DebtInterestDue,
    DebtIssued,
    DebtOffered,
    DebtPaydownBegun,
    DebtProposed,
    DebtTransferred,
    NotFound,
    Rejected,
    RepaymentClaimed,
    RepaymentFinal,
)
from exchange.testing import LocalExchange
from tests.sdk.test_agreements import DAY, HOUR, heard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_sdk import Agent

MONTH = 30 * DAY


@contextlib.asynccontextmanager
async def debtors() -> AsyncIterator[tuple[LocalExchange, Agent, Agent, Agent]]:
    """Yield a venue with who issues a debt, who suffers from it, and who does the work; each has 100."""
    async with LocalExchange() as exchange:
        issuer, ann, cid = [await exchange.agent(name, credits=100) for name in ("issuer", "ann", "cid")]
        yield exchange, issuer, ann, cid


async def issue(issuer: Agent, ann: Agent, **terms: Any) -> int:
    fields = {"interest_hours_per_month": "2.5", "beneficiaries": {"ann": 1}, "matures_in": 6 * MONTH, **terms}
    token = await issuer.debts.issue("the parser", 20, **fields)
    await ann.debts.sign(token)
    return token


async def test_a_debt_is_issued_sold_and_repaid() -> None:
    async with debtors() as (_, issuer, ann, cid):
        token = await issue(issuer, ann)
        debt = await cid.debts.get(token)
        assert (debt.principal_hours, debt.interest_hours_per_month, debt.owed_hours) == (20, Decimal("2.5"), 20)
        assert (debt.hour_rate, debt.beneficiaries, debt.signed) == (5, {"ann": 1}, ("ann",))
        offer = await issuer.debts.offer(token, "15.5", taker="cid", lasts=3_600)
        (listed,) = await cid.debts.list(for_sale=True)
        assert listed.sale is not None
        assert (listed.sale.kind, listed.sale.pay, listed.sale.offer, listed.sale.taker) == (
            "offer", Decimal("15.5"), offer, "cid",
        )  # fmt: skip
        assert listed.sale.until_us is not None
        assert listed.sale.until_us < debt.maturity_us
        await cid.debts.take(token, offer)
        claim = await cid.debts.repay(token, "20", "pr/8")
        seen = (await ann.debts.get(token)).claim
        assert seen is not None
        assert (seen.claim, seen.hours, seen.state, seen.reference) == (claim, 20, "claimed", "pr/8")
        await ann.debts.confirm(claim)
        assert (await issuer.debts.get(token)).outcome == "repaid"
        assert (await cid.balances())["credit"].available == Decimal("115.5")
        assert await issuer.debts.list() == []


async def test_events_are_in_whole_hours_and_credits() -> None:
    async with debtors() as (exchange, issuer, ann, cid):
        token = await issue(issuer, ann)
        await issuer.debts.choose_interest(token, is_paid=True)
        await exchange.advance(MONTH)
        await issuer.debts.choose_interest(token, is_paid=False)
        await exchange.advance(MONTH)
        offer = await issuer.debts.offer(token, 1, taker="cid")
        await cid.debts.take(token, offer)
        await ann.debts.confirm(await cid.debts.repay(token, "22.5"))
        (proposed,) = await heard(ann, DebtProposed)
        assert (proposed.principal_hours, proposed.interest_hours_per_month) == (20, Decimal("2.5"))
        assert [event.hours for event in await heard(ann, DebtIssued)] == [20]
        due = await heard(ann, DebtInterestDue)
        assert [(event.hours, event.paid, event.owed_hours) for event in due] == [
            (Decimal("2.5"), Decimal("12.5"), 20),
            (Decimal("2.5"), 0, Decimal("22.5")),
        ]
        assert [(event.pay, event.owed_hours) for event in await heard(cid, DebtOffered)] == [(1, Decimal("22.5"))]
        assert [(event.by, event.holder, event.pay) for event in await heard(ann, DebtTransferred)] == [
            ("issuer", "cid", 1)
        ]
        assert [event.hours for event in await heard(ann, RepaymentClaimed)] == [Decimal("22.5")]
        (final,) = await heard(cid, RepaymentFinal)
        assert (final.hours, final.paid, final.owed_hours) == (Decimal("22.5"), 1, 0)
        assert [event.outcome for event in await heard(issuer, DebtEnded)] == ["repaid"]


async def test_a_debt_is_auctioned() -> None:
    async with debtors() as (exchange, issuer, ann, cid):
        dan = await exchange.agent("dan", credits=100)
        token = await issue(issuer, ann)
        await issuer.debts.auction(token, 30)
        await cid.debts.bid(token, 12)
        await dan.debts.bid(token, 20)
        sale = (await cid.debts.get(token)).sale
        assert sale is not None
        assert (sale.kind, sale.pay, sale.own_bid) == ("auction", 30, 12)
        await exchange.advance(66)
        debt = await ann.debts.get(token)
        assert (debt.holder, debt.in_escrow) == ("cid", 20)
        (closed,) = await heard(dan, DebtAuctionClosed)
        assert (closed.winner, closed.pay, closed.bids) == ("cid", 20, 2)
        await cid.debts.auction(token, 0)
        await dan.debts.bid(token, 0)
        await dan.debts.withdraw_bid(token)
        await cid.debts.withdraw_sale(token)
        assert (await ann.debts.get(token)).sale is None


async def test_an_overdue_debt_is_paid_down_in_a_crisis() -> None:
    async with debtors() as (exchange, issuer, ann, _):
        token = await issue(issuer, ann, matures_in=10 * MONTH)
        await exchange.advance(10 * MONTH)
        totals = await ann.debts.totals()
        assert (totals.outstanding_hours, totals.overdue_hours, totals.is_crisis) == (45, 45, True)
        assert (totals.crisis_overdue_hours, totals.crisis_overdue_bp, totals.debts) == (40, 2_000, 1)
        await exchange.advance(DAY)
        debt = await issuer.debts.get(token)
        assert debt.state == "paydown"
        assert debt.paydown is not None
        assert (debt.paydown.hours, debt.paydown.amount, debt.paydown.advances) == (45, 225, {})
        (begun,) = await heard(ann, DebtPaydownBegun)
        # What is left of 100 after issuing it cost the externality of 2.5 hours of interest.
        assert (begun.hours, begun.amount, begun.collected) == (45, 225, Decimal("97.5"))
        await exchange.advance(7 * DAY)
        debt = await issuer.debts.get(token)
        assert debt.paydown is not None
        assert debt.paydown.advances == {"ann": Decimal("102.5")}
        task = await ann.tasks.get(debt.paydown.task or 0)
        assert (task.origin, task.reserve, task.poster) == (f"debts:{token}", 200, "ann")


async def test_what_is_not_there_and_what_is_not_allowed() -> None:
    async with debtors() as (_, issuer, ann, cid):
        with pytest.raises(NotFound):
            await ann.debts.get(1)
        token = await issuer.debts.issue("x", 1, beneficiaries={"ann": 1}, matures_in=MONTH, sign_in=HOUR)
        with pytest.raises(Rejected, match="neither a beneficiary nor the attester"):
            await cid.debts.sign(token)
        await ann.debts.decline(token)
        with pytest.raises(TypeError, match="float"):
            await issuer.debts.repay(token, 0.5)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="more than the 3 decimals"):
            await issuer.debts.repay(token, "0.0005")

"""What technical debt exports."""

from __future__ import annotations

from exchange.messages.admin import Settings
from exchange.messages.debts import AuctionDebt, BidOnDebt, ChooseInterest
from tests.core.debtors import Debtors
from tests.core.work import CREDIT, MINUTE_US
from tests.metrics.test_work import Watched

HOUR_S = 3_600


def test_hours_and_what_is_paid_for_them() -> None:
    """20 h, 2 a month: a month is paid with 10, one is added; taken over for 15, and 5 h of it are repaid."""
    venue = Debtors()
    read = Watched(venue)
    assert read("debts_interest_seconds_total", how="paid") == 0
    venue.issue()
    venue.must("poster", ChooseInterest, token=1, is_paid=True)
    venue.months(1)
    venue.sell("cid", 15)
    venue.months(2)
    venue.repay(5_000)
    assert read("debts_live", state="open") == 1
    assert read("debts_outstanding_seconds") == 17 * HOUR_S
    assert read("debts_overdue_seconds") == 0
    assert read("debts_interest_seconds_total", how="paid") == 2 * HOUR_S
    assert read("debts_interest_seconds_total", how="accrued") == 2 * HOUR_S
    assert read("debts_interest_paid_credits_total") == 10
    assert read("debts_transfers_total", reason="offer") == 1
    assert read("debts_transfer_pay_credits_total") == 15
    assert read("debts_repaid_seconds_total") == 5 * HOUR_S


def test_crises_and_paydowns() -> None:
    venue = Debtors(settings=Settings(crisis_overdue_hours_milli=0, crisis_overdue_bp=0))
    read = Watched(venue)
    assert read("debts_paydowns_total", outcome="failed") == 0
    venue.issue()
    venue.advance_to(venue.debt().maturity_us)
    assert read("debts_overdue_seconds") == 32 * HOUR_S
    venue.advance(86_400)
    assert read("debts_overdue_seconds") == 0
    assert read("debts_crises_total") == 1
    assert read("debts_live", state="paydown") == 1
    for days in (7, 1):
        venue.advance(days * 86_400)
    # 32 h at 5 are 160: 100 of the poster's and 60 of the beneficiaries'; nobody bids.
    assert read("debts_paydown_credits_total") == 160
    assert read("debts_paydowns_total", outcome="failed") == 1


def test_of_bids_nothing_shows_before_the_close() -> None:
    venue = Debtors()
    read = Watched(venue)
    venue.issue()
    closes_at_us = venue.time_us + MINUTE_US
    venue.must("poster", AuctionDebt, token=1, max_pay=30 * CREDIT, closes_at_us=closes_at_us)
    before = read.metrics.render("text/plain")[0]
    venue.must("cid", BidOnDebt, token=1, pay=CREDIT)
    after = read.metrics.render("text/plain")[0]
    lines = [line for line in before.splitlines() if line.startswith(b"exchange_debts")]
    assert lines == [line for line in after.splitlines() if line.startswith(b"exchange_debts")]
    venue.advance_to(closes_at_us)
    assert read("debts_transfers_total", reason="auction") == 1

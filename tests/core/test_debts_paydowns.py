"""Overdue debts are paid down by force in a crisis: who pays, who does the work, and what goes back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from exchange.messages.admin import RevokeAgent, SetSpendLimit, Settings
from exchange.messages.debts import (
    AuctionDebt,
    BidOnDebt,
    ChooseInterest,
    ConfirmRepayment,
    OfferDebt,
    RepayDebt,
    SignDebt,
)
from exchange.messages.payments import GetLiens, PayLiens
from exchange.messages.reasons import Reason
from exchange.messages.settlements import Confirm, GiveUp
from exchange.testing import OPERATOR, assert_rejected
from tests.core.debtors import MONTH_US, Debtors
from tests.core.work import CREDIT, DAY_US, MINUTE_US

EVERYTHING = Settings(crisis_overdue_hours_milli=0, crisis_overdue_bp=0)
"""Whatever is overdue is a crisis."""


@pytest.fixture
def venue() -> Debtors:
    return Debtors(settings=EVERYTHING)


def issue(venue: Debtors, hours: int = 20, **terms: Any) -> int:
    """Issue a debt of so many hours without interest that matures in a month."""
    fields = {
        "principal_hours_milli": hours * 1_000,
        "interest_hours_milli_per_month": 0,
        "maturity_us": venue.time_us + MONTH_US,
        **terms,
    }
    return venue.issue(**fields)


def begin(venue: Debtors, token: int = 1) -> None:
    """Let a debt mature, and the daily check come."""
    venue.advance_to(max(venue.debt(token).maturity_us, venue.time_us))
    venue.advance_to(venue.totals().checked_at_us or 0)


def order(venue: Debtors, token: int = 1) -> int:
    """Let collecting end; return the task."""
    paydown = venue.debt(token).paydown
    assert paydown is not None
    venue.advance_to(paydown.collect_until_us or 0)
    paydown = venue.debt(token).paydown
    assert paydown is not None
    assert paydown.task is not None
    return paydown.task


def do(venue: Debtors, agent: str, credits_: int, task: int = 1) -> None:
    """Let an agent win the task, do the work, and the beneficiary of the most weight confirm it."""
    assert venue.bid(agent, credits_, task=task).accepted
    number = venue.close(task).settlement or 0
    venue.deliver(number)
    venue.confirm(number, by=venue.view_task(task).poster)


def spend(venue: Debtors, agent: str, left: int = 0) -> None:
    """Leave an agent ``left`` credits; the rest goes to ``eve``."""
    ledger = venue.engine.ledger
    source = ledger.balance(agent, "credit")
    ledger.transfer(source, ledger.balance("eve", "credit"), source.available - left * CREDIT)


def earn(venue: Debtors, agent: str, amount: int) -> None:
    ledger = venue.engine.ledger
    ledger.transfer(ledger.balance("eve", "credit"), ledger.balance(agent, "credit"), amount * CREDIT)


def liens(venue: Debtors) -> list[tuple[str, str, int]]:
    found = venue.engine.query(OPERATOR, GetLiens()).liens  # type: ignore[attr-defined]
    return [(lien.debtor, lien.creditor, lien.amount // CREDIT) for lien in found]


# ── thresholds ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("overdue", "other", "is_crisis"),
    [
        (40_000, 0, True),
        (39_999, 0, False),
        # More than a fifth: 40 of 200 is not.
        (40_000, 160_000, False),
        (40_000, 159_999, True),
        (40_001, 160_000, True),
    ],
)
def test_a_crisis_begins_at_40_overdue_hours_that_are_more_than_a_fifth(
    overdue: int, other: int, is_crisis: bool
) -> None:
    venue = Debtors()
    issue(venue, principal_hours_milli=overdue)
    if other:
        venue.issue("dan", principal_hours_milli=other, interest_hours_milli_per_month=0)
    venue.advance_to(venue.debt().maturity_us)
    assert venue.totals().is_crisis == is_crisis
    assert venue.debt().state == "overdue"
    venue.advance_to(venue.totals().checked_at_us or 0)
    assert venue.debt().state == ("paydown" if is_crisis else "overdue")
    assert (venue.totals().checked_at_us is None) == is_crisis


def test_the_check_is_daily_at_midnight_and_only_while_something_is_overdue(venue: Debtors) -> None:
    issue(venue)
    assert venue.totals().checked_at_us is None
    venue.advance_to(venue.debt().maturity_us)
    midnight_us = venue.totals().checked_at_us or 0
    assert midnight_us % DAY_US == 0
    assert 0 < midnight_us - venue.time_us <= DAY_US
    venue.advance_to(midnight_us - 1)
    assert venue.debt().state == "overdue"
    venue.reload()
    venue.advance_to(midnight_us)
    assert venue.debt().state == "paydown"


def test_a_day_begins_one_paydown_of_what_is_overdue_for_longest(venue: Debtors) -> None:
    first_us = venue.time_us + MONTH_US
    for maturity_us in (first_us + MINUTE_US, first_us, first_us):
        issue(venue, hours=1, maturity_us=maturity_us)
    begin(venue)
    states = []
    for _ in range(3):
        states.append([venue.debt(number).state for number in (1, 2, 3)])
        venue.advance(86_400)
    assert states == [
        ["overdue", "paydown", "overdue"],
        ["overdue", "paydown", "paydown"],
        ["paydown", "paydown", "paydown"],
    ]


def test_the_limits_are_those_of_the_day(venue: Debtors) -> None:
    issue(venue)
    venue.advance_to(venue.debt().maturity_us)
    venue.engine.context.settings = Settings()
    venue.advance(86_400)
    assert venue.debt().state == "overdue"


# ── who pays ────────────────────────────────────────────────────────────────────────────────────


def test_the_escrow_pays_first_then_the_holder_then_the_issuer(venue: Debtors) -> None:
    """20 h at 5 are 100: 15 from the escrow, 25 that cid has, 60 of the poster's 85."""
    issue(venue)
    venue.sell("cid", 15)
    spend(venue, "cid", 25)
    begin(venue)
    assert venue.credits_of("cid", "poster", "ann", "ben") == [0, 25, 100, 100]
    assert venue.debt().in_escrow == 100 * CREDIT
    # Who pays for somebody has a lien on it.
    assert liens(venue) == [("cid", "poster", 60)]
    task = order(venue)
    assert venue.view_task(task).reserve == 100 * CREDIT
    assert venue.debt().in_escrow == 0
    assert venue.credits_of("ann", "ben") == [100, 100]


def test_what_nobody_has_is_a_lien_that_is_collected_for_seven_days(venue: Debtors) -> None:
    issue(venue)
    spend(venue, "poster", 30)
    begin(venue)
    assert liens(venue) == [("poster", "escrow:debts:1", 70)]
    earn(venue, "poster", 10)
    venue.must("poster", PayLiens, amount=10 * CREDIT)
    venue.reload()
    assert venue.debt().in_escrow == 40 * CREDIT
    assert venue.credits_of("ann", "ben") == [100, 100]
    paydown = venue.debt().paydown
    assert paydown is not None
    venue.advance_to((paydown.collect_until_us or 0) - 1)
    assert venue.debt().in_escrow == 40 * CREDIT
    task = order(venue)
    # Of the other 60 ann pays three quarters, and both receive the lien on it.
    assert venue.credits_of("ann", "ben") == [55, 85]
    assert liens(venue) == [("poster", "ann", 45), ("poster", "ben", 15)]
    assert venue.view_task(task).reserve == 100 * CREDIT


def test_what_a_debtor_earns_meanwhile_goes_to_the_paydown(venue: Debtors) -> None:
    """A quarter of what it is paid for work, by the settlement's own posting."""
    issue(venue)
    spend(venue, "poster", 4)
    begin(venue)
    venue.post("dan", reserve=40 * CREDIT, bond=0)
    venue.bid("poster", 40)
    number = venue.close().settlement or 0
    venue.deliver(number)
    venue.confirm(number, by="dan")
    # It has paid the 4 it had; of the 40 a quarter, and what is more than 20 then.
    assert venue.debt().in_escrow == (4 + 10 + 10) * CREDIT
    assert venue.credits_of("poster") == [20]


def test_beneficiaries_pay_what_they_have_and_owe_nothing(venue: Debtors) -> None:
    issue(venue)
    spend(venue, "poster")
    spend(venue, "ann", 7)
    begin(venue)
    task = order(venue)
    assert venue.view_task(task).reserve == 32 * CREDIT
    assert venue.credits_of("ann", "ben") == [0, 75]
    # Each is owed what it has paid; what nobody paid is still owed to whoever repays the debt.
    assert liens(venue) == [("poster", "escrow:debts:1", 68), ("poster", "ann", 7), ("poster", "ben", 25)]


def test_who_keeps_its_money_from_a_paydown_gets_none_of_its_debtors(venue: Debtors) -> None:
    """What nobody paid and the work did not cost is owed by nobody, so it is no use to be poor on that day."""
    issue(venue)
    spend(venue, "poster", 40)
    begin(venue)
    spend(venue, "ann")
    task = order(venue)
    assert venue.view_task(task).reserve == 55 * CREDIT
    do(venue, "dan", 50, task=task)
    assert venue.debt().outcome == "paid_down"
    assert liens(venue) == [("poster", "ben", 15)]
    earn(venue, "poster", 60)
    venue.must("poster", PayLiens, amount=15 * CREDIT)
    assert venue.credits_of("poster", "ann", "ben") == [45, 0, 100]


def test_what_debtors_pay_while_the_work_is_done_is_for_those_who_paid_in_their_place(venue: Debtors) -> None:
    """Of 68 that nobody paid 20 come in late: they are the beneficiaries', who are owed that much less."""
    issue(venue)
    venue.sell("cid", 0)
    spend(venue, "poster")
    spend(venue, "cid")
    spend(venue, "ann", 7)
    begin(venue)
    task = order(venue)
    earn(venue, "poster", 20)
    venue.must("poster", PayLiens, amount=20 * CREDIT)
    venue.reload()
    do(venue, "dan", 32, task=task)
    found = {lien.creditor: lien.amount for lien in venue.engine.context.cashier.liens.values()}
    # The holder answers to the issuer for what that has paid, and still owes.
    assert found == {"poster": 32 * CREDIT, "ann": 2_625_000, "ben": 9_375_000}
    assert [venue.balance(name)[0] for name in ("ann", "ben")] == [4_375_000, 90_625_000]
    assert venue.engine.check_invariants() == []


def test_who_never_signed_pays_nothing(venue: Debtors) -> None:
    """An attester may name beneficiaries, but not take their money."""
    number = venue.propose(
        principal_hours_milli=20_000,
        interest_hours_milli_per_month=0,
        maturity_us=venue.time_us + MONTH_US,
        attester="ci",
    )
    venue.must("ben", SignDebt, token=number)
    venue.must("ci", SignDebt, token=number)
    spend(venue, "poster", 40)
    begin(venue)
    task = order(venue)
    assert venue.credits_of("ann", "ben") == [100, 85]
    assert venue.view_task(task).reserve == 55 * CREDIT
    assert liens(venue) == [("poster", "escrow:debts:1", 45), ("poster", "ben", 15)]


def test_resting_orders_and_sealed_bids_of_debtors_are_freed(venue: Debtors) -> None:
    issue(venue)
    venue.post("dan", reserve=80 * CREDIT, bond=40 * CREDIT, deadline_us=venue.time_us + 300 * DAY_US,
               closes_at_us=venue.time_us + 200 * DAY_US)  # fmt: skip
    venue.bid("poster", 60)
    assert venue.purse("poster") == (60, 40)
    begin(venue)
    assert venue.purse("poster") == (0, 0)
    assert venue.debt().in_escrow == 100 * CREDIT


def test_spend_limits_do_not_matter(venue: Debtors) -> None:
    issue(venue)
    venue.must(OPERATOR, SetSpendLimit, agent="poster", total=0)
    begin(venue)
    assert venue.debt().in_escrow == 100 * CREDIT


def test_a_rich_escrow_pays_alone_and_keeps_the_rest(venue: Debtors) -> None:
    issue(venue, hours=2)
    venue.sell("cid", 15)
    begin(venue)
    assert venue.credits_of("poster", "cid") == [85, 100]
    task = order(venue)
    assert venue.view_task(task).reserve == 10 * CREDIT
    assert venue.debt().in_escrow == 5 * CREDIT


def test_nothing_at_all_is_collected(venue: Debtors) -> None:
    """Then there is no task, nobody owes anything, and the next day it begins again."""
    issue(venue)
    for name in ("poster", "ann", "ben"):
        spend(venue, name)
    begin(venue)
    venue.advance(7 * 86_400)
    assert venue.debt().state == "overdue"
    assert liens(venue) == []
    assert venue.told("poster", "debts.paydown_ended")[0].outcome == "failed"
    venue.advance(86_400)
    assert venue.debt().state == "paydown"


# ── the work ────────────────────────────────────────────────────────────────────────────────────


def test_the_work_is_auctioned_and_what_is_not_spent_goes_back(venue: Debtors) -> None:
    """Of 100 that poster (40) and the beneficiaries (60) paid, 30 are not spent: they are the beneficiaries'."""
    issue(venue)
    spend(venue, "poster", 40)
    begin(venue)
    task = order(venue)
    assert venue.credits_of("ann", "ben") == [55, 85]
    venue.bid("dan", 50, task=task)
    venue.reload()
    venue.bid("cid", 70, task=task)
    number = venue.close(task).settlement or 0
    assert venue.debt().state == "paydown"
    venue.deliver(number)
    venue.confirm(number, by="ann")
    assert venue.debt().outcome == "paid_down"
    assert venue.credits_of("ann", "ben", "dan", "poster") == [77, 92, 170, 0]
    # What came back is owed no more; what was spent is.
    assert [(debtor, creditor) for debtor, creditor, _ in liens(venue)] == [("poster", "ann"), ("poster", "ben")]
    assert sum(lien.amount for lien in venue.engine.context.cashier.liens.values()) == 30 * CREDIT
    assert venue.totals().outstanding_hours_milli == 0


def test_what_is_not_spent_goes_back_in_the_reverse_order_of_payment(venue: Debtors) -> None:
    """Cid paid 25, the poster 60 for it, the escrow 15; done for 10: 60 go to the poster, 25 to cid, 5 are left."""
    issue(venue)
    venue.sell("cid", 15)
    spend(venue, "cid", 25)
    begin(venue)
    task = order(venue)
    venue.bid("dan", 9, task=task)
    venue.bid("eve", 10, task=task)
    number = venue.close(task).settlement or 0
    venue.deliver(number)
    venue.confirm(number, by="ann")
    # The issuer, that paid cid 15 to take it, has the 5 that nobody else paid.
    assert venue.credits_of("poster", "cid") == [90, 25]
    assert liens(venue) == []
    assert venue.engine.check_invariants() == []


def test_debtors_and_their_sisters_may_not_do_the_work(venue: Debtors) -> None:
    venue.register("sister", owner="poster", endowment=0)
    issue(venue)
    venue.sell("cid", 0)
    begin(venue)
    task = order(venue)
    for name in ("cid", "poster", "sister"):
        assert_rejected(venue.bid(name, 20, task=task), Reason.NOT_PERMITTED)
    # Who confirms the work does not do it.
    assert_rejected(venue.bid("ann", 20, task=task), Reason.SAME_OWNER)
    venue.bid("ben", 20, task=task)
    assert venue.close(task).winner == "ben"


@pytest.mark.parametrize("is_of_debtor", [True, False])
def test_an_attester_of_the_holders_owner_does_not_attest_the_work(venue: Debtors, is_of_debtor: bool) -> None:
    """Or a friend of the holder would be paid by issuer and beneficiaries for nothing."""
    venue.register("sister", owner="cid" if is_of_debtor else "else", roles=["attester"], endowment=0)
    issue(venue, attester="sister")
    venue.sell("cid", 0)
    begin(venue)
    task = order(venue)
    assert venue.view_task(task).attester == (None if is_of_debtor else "sister")
    venue.bid("dan", 100, task=task)
    number = venue.close(task).settlement or 0
    venue.deliver(number)
    answer = venue.submit("sister", Confirm, settlement=number)
    if is_of_debtor:
        assert_rejected(answer, Reason.NOT_PERMITTED)
    else:
        assert venue.debt().outcome == "paid_down"


@pytest.mark.parametrize("how", ["no bids", "failed"])
def test_work_that_is_not_done_leaves_the_debt_overdue_and_what_debtors_paid_in_its_escrow(
    venue: Debtors, how: str
) -> None:
    """The beneficiaries have back what they paid, and the bond goes to whoever does the work in the end."""
    issue(venue)
    spend(venue, "poster", 40)
    begin(venue)
    task = order(venue)
    if how == "failed":
        venue.bid("dan", 50, task=task)
    number = venue.close(task).settlement
    if number is not None:
        venue.must("dan", GiveUp, settlement=number, fencing_token=venue.settlement(number).fencing_token)
    view = venue.debt()
    assert (view.state, view.paydown) == ("overdue", None)
    assert view.in_escrow == (50 if how == "failed" else 40) * CREDIT
    assert venue.credits_of("ann", "ben", "poster") == [100, 100, 0]
    assert liens(venue) == []
    venue.reload()
    # The poster may still do it itself, and has what is there for that.
    venue.repay(20_000)
    assert venue.credits_of("poster") == [50 if how == "failed" else 40]


def test_a_second_attempt_asks_for_what_is_missing_only(venue: Debtors) -> None:
    issue(venue)
    spend(venue, "poster", 40)
    begin(venue)
    venue.close(order(venue))
    earn(venue, "poster", 70)
    begin(venue)
    assert venue.credits_of("poster") == [10]
    assert venue.debt().in_escrow == 100 * CREDIT
    do(venue, "dan", 100, task=order(venue))
    assert venue.debt().outcome == "paid_down"


def test_a_bond_that_a_worker_owes_still_reaches_somebody_when_the_debt_is_no_more(venue: Debtors) -> None:
    venue.register("poor", endowment=CREDIT, skills=["python"])
    issue(venue)
    begin(venue)
    task = order(venue)
    venue.bid("poor", 50, task=task)
    number = venue.close(task).settlement or 0
    venue.must("poor", GiveUp, settlement=number, fencing_token=venue.settlement(number).fencing_token)
    assert liens(venue) == [("poor", "escrow:debts:1", 9)]
    venue.repay(20_000)
    assert liens(venue) == [("poor", "poster", 9)]
    earn(venue, "poor", 9)
    venue.must("poor", PayLiens, amount=9 * CREDIT)
    assert venue.credits_of("poster") == [110]


def test_while_it_is_paid_down_nobody_disposes_of_it_and_no_interest_accrues(venue: Debtors) -> None:
    issue(venue, interest_hours_milli_per_month=2_000)
    begin(venue)
    assert venue.debt().owed_hours_milli == 22_000
    for kind, fields in (
        (OfferDebt, {"pay": 0}),
        (AuctionDebt, {"max_pay": 0, "closes_at_us": venue.time_us + MINUTE_US}),
        (RepayDebt, {"hours_milli": 1}),
        (ChooseInterest, {"is_paid": True}),
    ):
        assert_rejected(venue.submit("poster", kind, token=1, **fields), Reason.WRONG_STATE)
    venue.advance_to((venue.debt().interest_due_us or 0) - 1)
    venue.advance(1)
    assert venue.debt().owed_hours_milli == 22_000


def test_what_is_for_sale_is_so_no_more(venue: Debtors) -> None:
    issue(venue)
    closes_at_us = venue.time_us + 40 * DAY_US
    venue.must("poster", AuctionDebt, token=1, max_pay=60 * CREDIT, closes_at_us=closes_at_us)
    venue.must("cid", BidOnDebt, token=1, pay=CREDIT)
    begin(venue)
    assert venue.told("cid", "debts.sale_ended")[0].reason == "paydown"
    # What was offered is charged, too.
    assert venue.debt().in_escrow == 100 * CREDIT


# ── claims that were open ───────────────────────────────────────────────────────────────────────


def claimed(venue: Debtors, hours_milli: int) -> int:
    """Let a debt of 20 h with 15 in escrow mature with an open claim, and its paydown begin."""
    issue(venue, confirm_seconds=20 * 86_400)
    venue.sell("cid", 15)
    venue.advance_to(venue.debt().maturity_us)
    claim = venue.claim(hours_milli)
    begin(venue)
    return claim


def test_a_claim_that_was_open_makes_it_less(venue: Debtors) -> None:
    """5 of 20 h are confirmed while it is collected: a quarter of the 15 is cid's, and the task is about 15 h."""
    claim = claimed(venue, 5_000)
    venue.must("ann", ConfirmRepayment, claim=claim)
    assert venue.told("cid", "debts.repayment_final")[0].paid == 3_750_000
    task = order(venue)
    assert venue.view_task(task).reserve == 75 * CREDIT
    do(venue, "dan", 75, task=task)
    # cid paid 85, and got 3.75 for its 5 h; 21.25 were collected for nothing.
    assert venue.balance("cid")[0] == (100 - 85) * CREDIT + 3_750_000 + 21_250_000
    assert venue.engine.check_invariants() == []


def test_a_claim_of_everything_ends_the_paydown(venue: Debtors) -> None:
    claim = claimed(venue, 20_000)
    assert venue.credits_of("cid") == [15]
    venue.must("ann", ConfirmRepayment, claim=claim)
    assert venue.debt().outcome == "repaid"
    assert venue.credits_of("cid", "poster") == [115, 85]
    assert liens(venue) == []


@pytest.mark.parametrize("counts", [True, False])
def test_a_claim_is_waited_for(venue: Debtors, counts: bool) -> None:
    claim = claimed(venue, 10_000)
    venue.advance(8 * 86_400)
    paydown = venue.debt().paydown
    assert paydown is not None
    assert (paydown.task, paydown.collect_until_us) == (None, None)
    venue.reload()
    if counts:
        venue.must("ann", ConfirmRepayment, claim=claim)
    else:
        for state in ("claimed", "refused"):
            view = venue.debt().claim
            assert view is not None
            assert view.state == state
            venue.advance_to(view.until_us or 0)
    paydown = venue.debt().paydown
    assert paydown is not None
    assert paydown.task == 1
    assert venue.view_task().reserve == (50 if counts else 100) * CREDIT
    assert venue.engine.check_invariants() == []


def test_liens_on_hours_that_are_repaid_are_owed_by_nobody(venue: Debtors) -> None:
    issue(venue, confirm_seconds=20 * 86_400)
    venue.sell("cid", 0)
    spend(venue, "cid")
    spend(venue, "poster")
    venue.advance_to(venue.debt().maturity_us)
    claim = venue.claim(16_000)
    begin(venue)
    assert liens(venue) == [("cid", "poster", 100), ("poster", "escrow:debts:1", 100)]
    venue.must("ann", ConfirmRepayment, claim=claim)
    order(venue)
    assert liens(venue) == [("cid", "poster", 20), ("poster", "ann", 15), ("poster", "ben", 5)]


# ── ends of agents ──────────────────────────────────────────────────────────────────────────────


def test_the_debts_that_a_revoked_agent_owes_itself_are_paid_down_at_once() -> None:
    """From what it has, before that goes to anybody else."""
    venue = Debtors()
    issue(venue)
    venue.must(OPERATOR, RevokeAgent, agent="poster")
    assert venue.debt().state == "paydown"
    assert venue.debt().in_escrow == 100 * CREDIT
    do(venue, "dan", 60, task=order(venue))
    assert venue.debt().outcome == "paid_down"


def test_the_owner_of_a_revoked_issuer_answers_for_it() -> None:
    venue = Debtors()
    venue.register("heir", owner="poster", endowment=100 * CREDIT)
    issue(venue)
    spend(venue, "poster", 40)
    venue.must(OPERATOR, RevokeAgent, agent="poster")
    assert venue.credits_of("heir") == [40]
    assert venue.debt().in_escrow == 100 * CREDIT


def test_a_debt_that_returns_to_a_revoked_issuer_is_paid_down() -> None:
    venue = Debtors()
    issue(venue)
    venue.sell("cid", 15)
    venue.must(OPERATOR, RevokeAgent, agent="poster")
    assert venue.debt().state == "open"
    venue.must(OPERATOR, RevokeAgent, agent="cid")
    view = venue.debt()
    assert (view.state, view.holder, view.in_escrow) == ("paydown", "poster", 15 * CREDIT)
    # Nobody is left who owes anything: the beneficiaries pay for it.
    assert liens(venue) == []
    task = order(venue)
    assert venue.view_task(task).reserve == 100 * CREDIT
    assert venue.engine.check_invariants() == []


def test_what_nobody_does_and_nobody_owes_is_written_off() -> None:
    """What is left in its escrow is the beneficiaries'."""
    venue = Debtors()
    issue(venue)
    spend(venue, "poster", 40)
    venue.must(OPERATOR, RevokeAgent, agent="poster")
    venue.close(order(venue))
    assert (venue.debt().state, venue.debt().outcome) == ("written_off", "written_off")
    assert venue.credits_of("ann", "ben") == [130, 110]
    assert venue.engine.check_invariants() == []


def test_a_holder_that_is_revoked_while_it_is_paid_down(venue: Debtors) -> None:
    issue(venue)
    venue.sell("cid", 15)
    begin(venue)
    venue.must(OPERATOR, RevokeAgent, agent="cid")
    assert (venue.debt().holder, venue.debt().state) == ("poster", "paydown")
    venue.close(order(venue))
    assert (venue.debt().holder, venue.debt().state) == ("poster", "overdue")


def test_a_holder_pays_alone_for_an_issuer_that_is_gone(venue: Debtors) -> None:
    issue(venue)
    venue.sell("cid", 0)
    spend(venue, "cid", 30)
    venue.must(OPERATOR, RevokeAgent, agent="poster")
    begin(venue)
    assert liens(venue) == [("cid", "escrow:debts:1", 70)]
    task = order(venue)
    assert [lien[:2] for lien in liens(venue)] == [("cid", "ann"), ("cid", "ben")]
    do(venue, "dan", 100, task=task)
    assert venue.engine.check_invariants() == []


def test_beneficiaries_that_are_gone_pay_nothing_and_somebody_else_confirms(venue: Debtors) -> None:
    issue(venue)
    spend(venue, "poster")
    venue.must(OPERATOR, RevokeAgent, agent="ann")
    begin(venue)
    task = order(venue)
    assert venue.view_task(task).poster == "ben"
    assert venue.view_task(task).reserve == 25 * CREDIT
    assert venue.credits_of("ben") == [75]


def test_a_leader_that_takes_over_goes_on_with_a_paydown(venue: Debtors) -> None:
    issue(venue)
    spend(venue, "poster", 40)
    begin(venue)
    venue.change_leader(outage_seconds=3_600)
    task = order(venue)
    venue.bid("dan", 50, task=task)
    venue.change_leader(outage_seconds=3_600)
    venue.reload()
    number = venue.close(task).settlement or 0
    venue.deliver(number)
    venue.change_leader(outage_seconds=2 * 86_400)
    venue.advance(86_400)
    assert venue.debt().outcome == "paid_down"


# ── whatever anybody has ────────────────────────────────────────────────────────────────────────

PURSES = st.integers(0, 100)


@hypothesis_settings(max_examples=80, deadline=None)
@given(
    bounty=st.integers(0, 100),
    purses=st.tuples(PURSES, PURSES, PURSES, PURSES),
    hours=st.integers(1, 30),
    earned=st.integers(0, 60),
    price=st.integers(1, 150),
    is_done=st.booleans(),
)
def test_what_leaves_debtors_and_beneficiaries_is_spent_on_the_work_or_there_for_it(
    bounty: int, purses: tuple[int, int, int, int], hours: int, earned: int, price: int, is_done: bool
) -> None:
    """Whatever they have, and whatever the issuer earns while it is collected.

    If nobody does the work, the beneficiaries are as they were, and nobody owes what was not collected.
    """
    venue = Debtors(settings=EVERYTHING)
    issue(venue, hours)
    venue.sell("cid", bounty)
    names = ("cid", "poster", "ann", "ben")
    for name, left in zip(names, purses, strict=True):
        spend(venue, name, min(left, venue.purse(name)[0]))
    before = {name: venue.balance(name)[0] for name in names}
    begin(venue)
    earn(venue, "poster", earned)
    before["poster"] += earned * CREDIT
    venue.submit("poster", PayLiens, amount=max(venue.balance("poster")[0], 1))
    paydown = venue.debt().paydown
    assert paydown is not None
    venue.advance_to(paydown.collect_until_us or 0)
    paydown = venue.debt().paydown
    if paydown is not None and paydown.task is not None:
        if is_done:
            venue.bid("dan", price, task=paydown.task)
        number = venue.close(paydown.task).settlement
        if number is not None:
            venue.deliver(number)
            venue.confirm(number, by="ann")
    assert venue.engine.check_invariants() == []
    after = {name: venue.balance(name)[0] for name in names}
    gone = sum(before.values()) - sum(after.values())
    # Nobody is paid for not having done what it was paid for.
    assert after["cid"] <= before["cid"]
    if venue.debt().outcome == "paid_down":
        assert gone + bounty * CREDIT == venue.balance("dan")[0] - 100 * CREDIT
        # Whoever paid for the debtors is owed just that, and nobody owes more than the work has cost.
        cashier = venue.engine.context.cashier
        owed = {lien.creditor: lien.amount for lien in cashier.liens.values() if lien.debtor == "poster"}
        assert owed == {name: before[name] - after[name] for name in ("ann", "ben") if before[name] > after[name]}
        recourse = sum(lien.amount for lien in cashier.liens.values() if lien.debtor == "cid")
        assert recourse <= max(before["poster"] - after["poster"], 0) + sum(owed.values())
    else:
        assert venue.debt().state == "overdue"
        assert (after["ann"], after["ben"]) == (before["ann"], before["ben"])
        assert [lien for lien in liens(venue) if lien[:2] != ("cid", "poster")] == []
        assert venue.debt().in_escrow == gone + bounty * CREDIT

"""Technical debt: how it is issued, its interest, how it is repaid, and what becomes of it when agents end."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.mechanisms.debts.token import GROWTH_MAX, Token, credits_for
from exchange.mechanisms.facts import DebtIssued
from exchange.mechanisms.governance import Governance
from exchange.messages import tag_of
from exchange.messages.admin import HaltAgent, RevokeAgent, Settings, SuspendAgent
from exchange.messages.debts import (
    ChooseInterest,
    ConfirmRepayment,
    DeclineDebt,
    IssueDebt,
    ListDebts,
    OfferDebt,
    RepayDebt,
    SignDebt,
)
from exchange.messages.disputes import OpenDispute, Rule, Stake
from exchange.messages.orders import CancelAllAfter
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, assert_rejected
from tests.core.debtors import MONTH_US, Debtors
from tests.core.work import CREDIT, DAY_US, HOUR_US

CALM = Settings(crisis_overdue_hours_milli=10**9)
"""There is no crisis, whatever is overdue."""


@pytest.fixture
def venue() -> Debtors:
    return Debtors()


def set_parameter(venue: Debtors, name: str, value: int) -> None:
    """Let a parameter have another value, as an enacted vote would."""
    governance = venue.engine.mechanisms["governance"]
    assert isinstance(governance, Governance)
    assert governance.rates.set(name, value)
    venue.engine._run_follow_ups()


# ── the example ─────────────────────────────────────────────────────────────────────────────────


def test_a_debt_of_20_hours_is_taken_over_for_15_and_repaid_in_full(venue: Debtors) -> None:
    """20 h, 2 h a month, 6 months: the poster pays cid 15 to take it; cid does it, has all confirmed, keeps the 15."""
    venue.issue()
    venue.sell("cid", 15)
    assert venue.credits_of("poster", "cid") == [85, 100]
    assert venue.debt().in_escrow == 15 * CREDIT
    venue.repay(20_000)
    assert venue.credits_of("poster", "cid") == [85, 115]
    assert (venue.debt().state, venue.debt().outcome, venue.totals().outstanding_hours_milli) == ("repaid", "repaid", 0)


# ── issuing ─────────────────────────────────────────────────────────────────────────────────────


def test_it_exists_when_all_beneficiaries_have_signed(venue: Debtors) -> None:
    venue.propose()
    venue.must("ann", SignDebt, token=1)
    assert (venue.debt().state, venue.debt().owed_hours_milli) == ("proposed", 0)
    assert_rejected(venue.submit("ann", SignDebt, token=1), Reason.NO_CHANGE)
    assert_rejected(venue.submit("cid", SignDebt, token=1), Reason.NOT_PERMITTED)
    venue.must("ben", SignDebt, token=1)
    assert (venue.debt().state, venue.debt().owed_hours_milli) == ("open", 20_000)
    assert_rejected(venue.submit("ben", SignDebt, token=1), Reason.WRONG_STATE)
    assert_rejected(venue.submit("ben", DeclineDebt, token=1), Reason.WRONG_STATE)
    assert venue.totals().outstanding_hours_milli == 20_000


def test_its_attester_signs_for_all_beneficiaries(venue: Debtors) -> None:
    venue.propose(attester="ci")
    venue.must("ci", SignDebt, token=1)
    assert venue.debt().state == "open"
    assert venue.debt().signed == ["ci"]


def test_that_it_was_issued_is_announced(venue: Debtors) -> None:
    heard: list[DebtIssued] = []
    venue.engine.context.react(DebtIssued, heard.append)
    venue.issue()
    assert heard == [DebtIssued(1, "poster", 2_000, (("ann", 3), ("ben", 1)))]


def test_it_lapses_unsigned_to_the_microsecond(venue: Debtors) -> None:
    venue.propose()
    venue.must("ann", SignDebt, token=1)
    sign_by_us = venue.debt().sign_by_us or 0
    venue.advance_to(sign_by_us - 1)
    assert venue.debt().state == "proposed"
    venue.advance_to(sign_by_us)
    assert (venue.debt().state, venue.debt().outcome) == ("lapsed", "unsigned")
    assert_rejected(venue.submit("ben", SignDebt, token=1), Reason.WRONG_STATE)


@pytest.mark.parametrize("agent", ["poster", "ann", "ci"])
def test_who_has_to_do_with_it_may_decline_it(venue: Debtors, agent: str) -> None:
    venue.propose(attester="ci")
    assert_rejected(venue.submit("cid", DeclineDebt, token=1), Reason.NOT_PERMITTED)
    venue.must(agent, DeclineDebt, token=1)
    assert venue.debt().outcome == "declined"
    assert_rejected(venue.submit(agent, DeclineDebt, token=1), Reason.WRONG_STATE)


def test_an_outage_gives_more_time_to_sign_but_not_past_maturity(venue: Debtors) -> None:
    venue.propose(maturity_us=venue.time_us + HOUR_US + 1)
    venue.must("ann", SignDebt, token=1)
    venue.change_leader(outage_seconds=7_200)
    assert_rejected(venue.submit("ben", SignDebt, token=1), Reason.WRONG_STATE)
    venue.propose()
    venue.advance_to((venue.debt(2).sign_by_us or 0) - 1)
    venue.change_leader(outage_seconds=3_600)
    venue.must("ann", SignDebt, token=2)
    venue.must("ben", SignDebt, token=2)
    assert venue.debt(2).state == "open"


def test_what_may_not_be_issued(venue: Debtors) -> None:
    now_us = venue.time_us
    venue.register("sister", owner="poster", endowment=0)
    terms = Reason.INVALID_DEBT_TERMS
    for reason, fields in (
        (terms, {"sign_by_us": now_us}),
        (terms, {"sign_by_us": now_us + 367 * DAY_US, "maturity_us": now_us + 400 * DAY_US}),
        (terms, {"maturity_us": now_us + HOUR_US}),
        (terms, {"maturity_us": now_us + 11 * 366 * DAY_US}),
        (terms, {"interest_hours_milli_per_month": 20_001}),
        (Reason.UNKNOWN_AGENT, {"beneficiaries": {"nobody": 1}}),
        (Reason.SAME_OWNER, {"beneficiaries": {"ann": 1, "sister": 1}}),
        (Reason.SAME_OWNER, {"beneficiaries": {"poster": 1}}),
        (Reason.UNKNOWN_AGENT, {"attester": "ann"}),
    ):
        assert_rejected(venue.try_to_issue(**fields), reason)


def test_what_may_be_owed_at_most_fits_the_wire() -> None:
    venue = Debtors(settings=Settings(debt_hour_rate=100_000_000_000_000))
    assert_rejected(venue.try_to_issue(), Reason.NOTIONAL_TOO_LARGE)


def test_an_owner_issues_so_many_at_a_time() -> None:
    venue = Debtors(settings=Settings(max_open_debts=1))
    venue.issue()
    assert_rejected(venue.try_to_issue(), Reason.TOO_MANY_DEBTS)
    venue.repay(20_000)
    venue.issue()


# ── interest ────────────────────────────────────────────────────────────────────────────────────


def owed_after(venue: Debtors, months: int) -> tuple[int, int]:
    venue.months(months)
    view = venue.debt()
    return view.owed_hours_milli, view.accrued_hours_milli


def test_interest_is_simple_until_maturity_then_twice_as_much_and_compounds() -> None:
    """Months 1 to 6: 2 h of 20 h. Then twice a tenth of what is owed, rounded down to thousandths."""
    venue = Debtors(settings=CALM)
    venue.issue()
    assert [owed_after(venue, month)[0] for month in range(4)] == [20_000, 22_000, 24_000, 26_000]
    venue.reload()
    assert [owed_after(venue, month)[0] for month in (4, 5, 6)] == [28_000, 30_000, 32_000]
    # 32 h × 1.2 = 38.4; × 1.2 = 46.08; × 1.2 = 55.296; × 1.2 = 66.3552, rounded down.
    assert [owed_after(venue, month)[0] for month in range(7, 11)] == [38_400, 46_080, 55_296, 66_355]
    assert [event.owed_hours_milli for event in venue.told("ann", "debts.interest_due")][-2:] == [55_296, 66_355]


def test_a_month_ends_at_its_microsecond(venue: Debtors) -> None:
    venue.issue()
    venue.advance_to((venue.debt().interest_due_us or 0) - 1)
    assert venue.debt().owed_hours_milli == 20_000
    venue.advance_to(venue.debt().interest_due_us or 0)
    assert venue.debt().owed_hours_milli == 22_000


def test_it_is_overdue_at_the_microsecond_of_its_maturity(venue: Debtors) -> None:
    venue.issue(maturity_us=venue.time_us + 45 * DAY_US)
    due_us = venue.debt().maturity_us
    venue.advance_to(due_us - 1)
    assert (venue.debt().state, venue.totals().overdue_hours_milli) == ("open", 0)
    venue.advance_to(due_us)
    assert (venue.debt().state, venue.totals().overdue_hours_milli) == ("overdue", 22_000)
    # The month in which it matures began before: it is simple. The next one is not.
    assert [owed_after(venue, month)[0] for month in (2, 3)] == [24_000, 28_800]
    assert venue.totals().overdue_hours_milli == 28_800


def test_an_outage_across_maturity_gives_five_minutes(venue: Debtors) -> None:
    venue.issue(maturity_us=venue.time_us + 45 * DAY_US)
    venue.advance_to(venue.debt().maturity_us - 1)
    venue.change_leader(outage_seconds=3_600)
    venue.advance(299)
    assert venue.debt().state == "open"
    venue.repay(22_000)
    assert venue.debt().outcome == "repaid"


def test_interest_on_what_is_left_of_the_principal_is_rounded_down(venue: Debtors) -> None:
    venue.issue(principal_hours_milli=7, interest_hours_milli_per_month=3)
    assert owed_after(venue, 1) == (10, 3)
    # The interest is repaid first, then 2 of the principal: 3 × 5 ÷ 7 = 2.14.
    venue.repay(5)
    assert owed_after(venue, 2) == (7, 2)


def test_it_never_exceeds_ten_times_the_principal() -> None:
    venue = Debtors(settings=CALM)
    venue.issue(interest_hours_milli_per_month=20_000, maturity_us=venue.time_us + 2 * HOUR_US)
    # The first month began before maturity; then × 3, as far as 200 h.
    assert [owed_after(venue, month)[0] for month in (1, 2, 3, 4)] == [40_000, 120_000, 200_000, 200_000]


def test_interest_is_paid_to_the_beneficiaries_by_weight_if_the_holder_says_so(venue: Debtors) -> None:
    venue.issue()
    assert_rejected(venue.submit("ann", ChooseInterest, token=1, is_paid=True), Reason.NOT_PERMITTED)
    venue.must("poster", ChooseInterest, token=1, is_paid=True)
    assert_rejected(venue.submit("poster", ChooseInterest, token=1, is_paid=True), Reason.NO_CHANGE)
    # 2 h at 5 each; of the 10, ann gets three quarters.
    assert owed_after(venue, 1) == (20_000, 0)
    assert [venue.balance(name)[0] for name in ("poster", "ann", "ben")] == [90_000_000, 107_500_000, 102_500_000]
    venue.must("poster", ChooseInterest, token=1, is_paid=False)
    assert owed_after(venue, 2) == (22_000, 2_000)
    assert venue.credits_of("poster") == [90]


def test_the_last_unit_of_interest_has_an_owner(venue: Debtors) -> None:
    """0.001 h at 5.000001 is 5,000.001 smallest units, rounded up; 2 : 1 of 5,001 is 3,334 and 1,667."""
    venue = Debtors(settings=Settings(debt_hour_rate=5_000_001))
    venue.issue(principal_hours_milli=1, interest_hours_milli_per_month=1, beneficiaries={"ann": 2, "ben": 1})
    venue.must("poster", ChooseInterest, token=1, is_paid=True)
    venue.months(1)
    assert [venue.balance(name)[0] for name in ("poster", "ann", "ben")] == [99_994_999, 100_003_334, 100_001_667]


def test_who_cannot_pay_a_months_interest_owes_it_in_hours(venue: Debtors) -> None:
    """To the last unit: interest is not debited by force, and not paid in part."""
    venue.issue()
    venue.must("poster", ChooseInterest, token=1, is_paid=True)
    ledger = venue.engine.ledger
    ledger.transfer(ledger.balance("poster", "credit"), ledger.balance("eve", "credit"), 80 * CREDIT + 1)
    assert owed_after(venue, 1) == (20_000, 0)
    assert owed_after(venue, 2) == (22_000, 2_000)
    assert venue.balance("poster")[0] == 10 * CREDIT - 1


def test_a_suspended_holder_owes_its_interest_in_hours(venue: Debtors) -> None:
    venue.issue()
    venue.must("poster", ChooseInterest, token=1, is_paid=True)
    venue.must(OPERATOR, SuspendAgent, agent="poster")
    assert owed_after(venue, 1) == (22_000, 2_000)


def test_terms_are_those_of_the_issue(venue: Debtors) -> None:
    venue.issue()
    context = venue.engine.context
    context.settings = Settings(debt_hour_rate=7)
    venue.must("poster", ChooseInterest, token=1, is_paid=True)
    venue.months(1)
    assert venue.credits_of("poster") == [90]


@given(
    principal=st.integers(1, 10**10),
    interest=st.integers(0, 10**10),
    late_from=st.integers(0, 24),
    repaid=st.lists(st.integers(0, 10**9), max_size=24),
)
def test_interest_is_never_negative_and_bounded(
    principal: int, interest: int, late_from: int, repaid: list[int]
) -> None:
    """Simple interest never exceeds what was agreed on; what is owed never exceeds its bound, and hours are whole."""
    interest = min(interest, principal)
    token = Token(1, "a", "f", "", principal, interest, late_from * MONTH_US, {"b": 1}, None, (), 5, 60, 0)
    for month in range(24):
        hours = token.interest_of_month()
        assert hours >= 0
        if month < late_from:
            assert hours <= interest
        token.accrued += hours
        token.months += 1
        assert token.owed <= GROWTH_MAX * principal
        if month < len(repaid):
            before, part = token.owed, min(repaid[month], token.owed)
            token.repay(part)
            assert token.owed == before - part
            assert token.principal >= 0
            assert token.accrued >= 0


@given(hours=st.integers(0, 10**12), rate=st.integers(0, 10**12))
def test_hours_in_credits_are_rounded_up(hours: int, rate: int) -> None:
    amount = credits_for(hours, rate)
    assert 0 <= amount * 1_000 - hours * rate < 1_000


# ── repaying ────────────────────────────────────────────────────────────────────────────────────


def test_it_counts_when_more_than_half_of_the_weight_confirms(venue: Debtors) -> None:
    venue.issue(beneficiaries={"ann": 1, "ben": 1, "cid": 2})
    claim = venue.claim(5_000)
    venue.must("ann", ConfirmRepayment, claim=claim)
    assert_rejected(venue.submit("ann", ConfirmRepayment, claim=claim), Reason.NO_CHANGE)
    venue.must("ben", ConfirmRepayment, claim=claim)
    # Half is not more than half.
    assert venue.debt().owed_hours_milli == 20_000
    venue.must("cid", ConfirmRepayment, claim=claim)
    assert venue.debt().owed_hours_milli == 15_000
    assert_rejected(venue.submit("ann", ConfirmRepayment, claim=claim), Reason.UNKNOWN_REPAYMENT)


def test_who_may_confirm(venue: Debtors) -> None:
    venue.register("sister", owner="cid", roles=["trader", "attester"], endowment=0)
    venue.issue(beneficiaries={"ann": 1, "cid": 9}, attester="sister")
    venue.sell("cid", 1)
    claim = venue.claim(5_000)
    for name in ("cid", "sister"):
        assert_rejected(venue.submit(name, ConfirmRepayment, claim=claim), Reason.SAME_OWNER)
    for name in ("dan", "ci", "poster"):
        assert_rejected(venue.submit(name, ConfirmRepayment, claim=claim), Reason.NOT_PERMITTED)
    # The holder's own weight does not count.
    venue.must("ann", ConfirmRepayment, claim=claim)
    assert venue.debt().owed_hours_milli == 15_000


def test_what_the_attester_confirms_is_final_when_nobody_disputes_it(venue: Debtors) -> None:
    venue.issue(attester="ci")
    venue.must("ci", ConfirmRepayment, claim=venue.claim(20_000))
    view = venue.debt().claim
    assert view is not None
    assert view.state == "attested"
    venue.reload()
    venue.advance_to((view.until_us or 0) - 1)
    assert venue.debt().state == "open"
    venue.advance_to(view.until_us or 0)
    assert venue.debt().state == "repaid"


def test_beneficiaries_that_confirm_do_not_let_an_attester_wait(venue: Debtors) -> None:
    venue.issue(attester="ci")
    claim = venue.claim(20_000)
    venue.must("ci", ConfirmRepayment, claim=claim)
    assert_rejected(venue.submit("ci", ConfirmRepayment, claim=claim), Reason.NO_CHANGE)
    venue.must("ann", ConfirmRepayment, claim=claim)
    assert venue.debt().state == "repaid"


def test_silence_confirms_nothing(venue: Debtors) -> None:
    venue.issue(confirm_seconds=3_600)
    claim = venue.claim(5_000)
    confirm_by_us = venue.time_us + HOUR_US
    venue.advance_to(confirm_by_us - 1)
    assert_rejected(venue.submit("ann", OpenDispute, family="debts", number=claim), Reason.WRONG_STATE)
    venue.advance_to(confirm_by_us)
    view = venue.debt().claim
    assert view is not None
    assert view.state == "refused"
    assert_rejected(venue.submit("ann", ConfirmRepayment, claim=claim), Reason.WRONG_STATE)
    assert_rejected(venue.submit("poster", RepayDebt, token=1, hours_milli=1), Reason.WRONG_STATE)
    venue.advance_to(view.until_us or 0)
    assert venue.debt().claim is None
    assert venue.debt().owed_hours_milli == 20_000
    assert venue.told("poster", "debts.repayment_final")[-1].hours_milli == 0
    venue.claim(5_000)


def test_an_outage_gives_more_time_to_confirm(venue: Debtors) -> None:
    venue.issue(confirm_seconds=3_600)
    claim = venue.claim(5_000)
    venue.change_leader(outage_seconds=7_200)
    venue.advance(299)
    venue.must("ann", ConfirmRepayment, claim=claim)
    assert venue.debt().owed_hours_milli == 15_000


def test_a_stopped_holder_may_repay_and_another_of_its_owner_for_it(venue: Debtors) -> None:
    venue.register("sister", owner="poster", endowment=0)
    venue.issue()
    assert_rejected(venue.submit("sister", RepayDebt, token=1, hours_milli=1_000), Reason.NOT_PERMITTED)
    venue.must(OPERATOR, HaltAgent, agent="poster")
    venue.must("sister", RepayDebt, token=1, hours_milli=1_000)
    venue.must(OPERATOR, HaltAgent, agent="ann")
    venue.must("ann", ConfirmRepayment, claim=1)
    assert venue.debt().owed_hours_milli == 19_000


def test_no_more_is_repaid_than_is_owed_and_one_claim_at_a_time(venue: Debtors) -> None:
    venue.propose()
    assert_rejected(venue.submit("poster", RepayDebt, token=1, hours_milli=1), Reason.WRONG_STATE)
    for name in ("ann", "ben"):
        venue.must(name, SignDebt, token=1)
    assert_rejected(venue.submit("ann", RepayDebt, token=1, hours_milli=1), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("poster", RepayDebt, token=1, hours_milli=20_001), Reason.INVALID_QUANTITY)
    assert_rejected(venue.submit("poster", RepayDebt, token=2, hours_milli=1), Reason.UNKNOWN_DEBT)
    venue.claim(20_000)
    assert_rejected(venue.submit("poster", RepayDebt, token=1, hours_milli=1), Reason.WRONG_STATE)


def test_who_repays_is_paid_per_hour_and_the_remainder_at_the_last(venue: Debtors) -> None:
    venue.issue(principal_hours_milli=3_000, interest_hours_milli_per_month=0)
    venue.sell("cid", 10)
    paid = []
    for _ in range(3):
        before = venue.balance("cid")[0]
        venue.repay(1_000)
        paid.append(venue.balance("cid")[0] - before)
    assert paid == [3_333_333, 3_333_333, 3_333_334]


# ── disputes ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def court() -> Debtors:
    """Return a venue with three arbitrators that have a stake."""
    venue = Debtors(settings=Settings(arbitrator_stake_seconds=0))
    for name in ("j1", "j2", "j3"):
        venue.register(name, roles=["arbitrator"], endowment=100 * CREDIT)
        venue.must(name, Stake, amount=50 * CREDIT)
    return venue


def rule(venue: Debtors, *, upheld: bool) -> None:
    venue.advance(10)
    venue.advance(1)
    for name in ("j1", "j2", "j3"):
        venue.must(name, Rule, dispute=1, upheld=upheld)


@pytest.mark.parametrize("upheld", [True, False])
def test_a_beneficiary_disputes_what_the_attester_confirmed(court: Debtors, upheld: bool) -> None:
    court.issue(attester="ci")
    claim = court.claim(20_000)
    court.must("ci", ConfirmRepayment, claim=claim)
    for name in ("poster", "cid"):
        assert_rejected(court.submit(name, OpenDispute, family="debts", number=claim), Reason.NOT_PERMITTED)
    court.must("ben", OpenDispute, family="debts", number=claim)
    assert_rejected(court.submit("ann", OpenDispute, family="debts", number=claim), Reason.ALREADY_DISPUTED)
    assert_rejected(court.submit("ann", ConfirmRepayment, claim=claim), Reason.WRONG_STATE)
    court.reload()
    # The window of what is disputed is over, and nothing comes of that.
    court.advance(86_400)
    assert court.debt().state == "open"
    rule(court, upheld=upheld)
    assert court.debt().state == ("open" if upheld else "repaid")
    assert court.debt().claim is None


@pytest.mark.parametrize("upheld", [True, False])
def test_who_repaid_disputes_that_nobody_confirms(court: Debtors, upheld: bool) -> None:
    court.issue()
    court.sell("cid", 15)
    claim = court.claim(20_000)
    court.advance(86_400)
    for name in ("ann", "poster"):
        assert_rejected(court.submit(name, OpenDispute, family="debts", number=claim), Reason.NOT_PERMITTED)
    court.must("cid", OpenDispute, family="debts", number=claim)
    rule(court, upheld=upheld)
    assert court.debt().state == ("repaid" if upheld else "open")
    assert court.debt().in_escrow == (0 if upheld else 15 * CREDIT)


@pytest.mark.parametrize("way", ["attested", "refused"])
def test_a_claim_can_be_disputed_for_as_long_as_when_the_debt_was_issued(venue: Debtors, way: str) -> None:
    """Whatever is voted for later: those who signed it knew no other window."""
    venue.issue(attester="ci")
    venue.advance(1)
    set_parameter(venue, "dispute_window_seconds", 3_600)
    venue.issue(attester="ci")
    venue.reload()
    windows = []
    for token in (1, 2):
        claim = venue.claim(1_000, token)
        if way == "attested":
            venue.must("ci", ConfirmRepayment, claim=claim)
        else:
            venue.advance(86_400)
        view = venue.debt(token).claim
        assert view is not None
        assert view.state == way
        windows.append((view.until_us or 0) - venue.time_us)
    assert windows == [DAY_US, HOUR_US]


def test_there_is_no_claim_to_dispute(venue: Debtors) -> None:
    venue.issue()
    assert_rejected(venue.submit("ann", OpenDispute, family="debts", number=1), Reason.UNKNOWN_REPAYMENT)


# ── ends of agents ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("agent", ["poster", "ann", "ci"])
def test_a_proposal_lapses_with_any_of_its_agents(venue: Debtors, agent: str) -> None:
    venue.propose(attester="ci")
    venue.must(OPERATOR, RevokeAgent, agent=agent)
    assert venue.debt().outcome == "revoked"


@pytest.mark.parametrize(("agent", "outcome"), [("poster", "dead_man"), ("ann", "dead_man"), ("ben", None)])
def test_a_proposal_lapses_with_the_switch_of_issuer_or_signer(venue: Debtors, agent: str, outcome: str | None) -> None:
    venue.propose()
    venue.must("ann", SignDebt, token=1)
    venue.must(agent, CancelAllAfter, seconds=10)
    venue.advance(10)
    assert venue.debt().outcome == outcome


def test_the_debt_of_a_revoked_holder_returns_to_its_issuer_with_what_is_paid_for_it(venue: Debtors) -> None:
    venue.issue()
    venue.sell("cid", 15)
    venue.must("cid", ChooseInterest, token=1, is_paid=True)
    venue.must(OPERATOR, RevokeAgent, agent="cid")
    view = venue.debt()
    assert (view.holder, view.in_escrow, view.is_interest_paid) == ("poster", 15 * CREDIT, False)
    venue.repay(20_000)
    assert venue.credits_of("poster") == [100]


def test_a_claim_of_a_revoked_holder_still_counts_for_its_owner(venue: Debtors) -> None:
    venue.register("heir", owner="cid", endowment=0)
    venue.issue()
    venue.sell("cid", 15)
    claim = venue.claim(10_000)
    venue.must(OPERATOR, RevokeAgent, agent="cid")
    venue.must("ann", ConfirmRepayment, claim=claim)
    assert venue.debt().owed_hours_milli == 10_000
    assert venue.credits_of("heir") == [107]


def test_a_revoked_beneficiary_is_missed_by_nobody(venue: Debtors) -> None:
    """Its weight does not count any more where nobody of its owner is left; its interest goes to ``treasury``."""
    venue.issue()
    venue.must("poster", ChooseInterest, token=1, is_paid=True)
    venue.must(OPERATOR, RevokeAgent, agent="ann")
    venue.months(1)
    assert venue.balance("ben")[0] == 102_500_000
    venue.repay(20_000, by="ben")
    assert venue.debt().state == "repaid"


def test_another_agent_of_a_revoked_beneficiarys_owner_confirms_for_it(venue: Debtors) -> None:
    venue.register("sister", owner="ann", endowment=0)
    venue.issue()
    venue.must(OPERATOR, RevokeAgent, agent="ann")
    venue.repay(20_000, by="sister")
    assert venue.debt().state == "repaid"


# ── asking ──────────────────────────────────────────────────────────────────────────────────────


def test_who_has_to_do_with_debts_finds_them(venue: Debtors) -> None:
    for _ in range(3):
        venue.issue()
    venue.sell("cid", 1, token=2)

    def mine(agent: str, **fields: int) -> tuple[list[int], int | None]:
        result = venue.engine.query(agent, ListDebts(**fields))  # type: ignore[arg-type]
        return [view.token for view in result.debts], result.next  # type: ignore[attr-defined]

    assert mine("ann") == ([1, 2, 3], None)
    assert mine("ann", limit=2) == ([1, 2], 2)
    assert mine("ann", after=2) == ([3], None)
    assert mine("cid") == ([2], None)
    venue.sell("dan", 1, token=2)
    assert mine("cid") == ([], None)
    venue.repay(20_000, token=1)
    assert mine("poster") == ([2, 3], None)


def test_few_ended_debts_are_remembered() -> None:
    venue = Debtors(check_every=10_000)
    for number in range(1, 1_002):
        venue.propose()
        venue.must("poster", DeclineDebt, token=number)
    assert (len(venue.debts.ended), next(iter(venue.debts.ended))) == (1_000, 2)
    assert venue.submit("ann", SignDebt, token=1).reason == Reason.UNKNOWN_DEBT


def test_beneficiaries_are_few(venue: Debtors) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"length <= 32"):
        msgspec.convert(
            {
                "type": "debts.issue", "id": "s.1", "valid_until_us": 1, "feature": "f", "principal_hours_milli": 1,
                "interest_hours_milli_per_month": 0, "maturity_us": 3, "sign_by_us": 2,
                "beneficiaries": {f"a{number}": 1 for number in range(33)},
            },
            IssueDebt,
        )  # fmt: skip


def test_any_number_of_debts_goes_back_a_page_at_a_time(venue: Debtors) -> None:
    """Others may propose and sell it as many as they like; orders come in between."""
    for _ in range(5):
        venue.issue("dan")
    for token in range(1, 6):
        venue.sell("cid", 1, token=token)
    for _ in range(2):
        venue.propose("eve", beneficiaries={"cid": 1})
    venue.debts.page = 3
    venue.must(OPERATOR, RevokeAgent, agent="cid")
    assert [venue.debt(token).holder for token in range(1, 6)] == ["dan"] * 3 + ["cid"] * 2
    venue.reload()
    venue.debts.page = 3
    venue.advance_to(venue.time_us + 1)
    assert [venue.debt(token).holder for token in range(1, 6)] == ["dan"] * 5
    assert [venue.debt(token).outcome for token in (6, 7)] == ["revoked", None]
    venue.advance_to(venue.time_us + 1)
    assert venue.debt(7).outcome == "revoked"
    assert "cid" not in venue.debts.by_agent
    assert venue.engine.check_invariants() == []


def test_what_a_revoked_agent_has_itself_pays_all_of_its_own_debts(venue: Debtors) -> None:
    """However many others' it has: what is left of it goes to the treasury in the same batch."""
    for _ in range(3):
        venue.issue(principal_hours_milli=1_000, interest_hours_milli_per_month=0)
    venue.debts.page = 1
    venue.must(OPERATOR, RevokeAgent, agent="poster")
    assert [venue.debt(token).in_escrow for token in (1, 2, 3)] == [5 * CREDIT] * 3
    assert [venue.debt(token).state for token in (1, 2, 3)] == ["paydown"] * 3


def test_what_a_dead_mans_switch_withdraws_is_withdrawn_a_page_at_a_time(venue: Debtors) -> None:
    for _ in range(3):
        venue.must("poster", OfferDebt, token=venue.issue(), pay=1)
    venue.propose()
    venue.debts.page = 2
    venue.must("poster", CancelAllAfter, seconds=10)
    venue.advance(10)
    assert [venue.debt(token).sale is None for token in (1, 2, 3)] == [True, True, False]
    venue.advance_to(venue.time_us + 1)
    assert (venue.debt(3).sale, venue.debt(4).outcome) == (None, "dead_man")
    venue.advance_to(venue.time_us + 1)


@pytest.mark.parametrize("is_loaded", [False, True])
def test_the_debts_of_who_is_revoked_go_back_in_their_order_also_after_a_load(is_loaded: bool) -> None:
    """Nobody can tell by the order of events whether a leader has replayed the journal or begun with a snapshot."""
    venue = Debtors()
    for _ in range(2):
        venue.issue()
    for token in (2, 1):
        venue.sell("cid", 5, token=token)
    if is_loaded:
        venue.reload()
    venue.must(OPERATOR, RevokeAgent, agent="cid")
    told = [event.token for event in venue.events("poster") if tag_of(type(event)) == "debts.transferred"]
    assert told == [2, 1, 1, 2]

"""Debts under any history: interest by a model of its own, and the edges of a crisis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.mechanisms.governance import Governance
from exchange.messages.admin import RevokeAgent, Settings
from exchange.messages.debts import AuctionDebt, BidOnDebt, ChooseInterest, ConfirmRepayment, OfferDebt, TakeDebt
from exchange.messages.disputes import GetDispute, OpenDispute, Stake
from exchange.testing import OPERATOR
from tests.core.debtors import MONTH_US, Debtors
from tests.core.work import CREDIT, DAY_US, HOUR_US, MINUTE_US

if TYPE_CHECKING:
    from collections.abc import Sequence

CALM = Settings(crisis_overdue_hours_milli=10**9)
"""There is no crisis, whatever is overdue."""

EVERYTHING = Settings(crisis_overdue_hours_milli=0, crisis_overdue_bp=0)
"""Whatever is overdue is a crisis."""

NAMES = ("poster", "cid", "dan")
"""Who may hold the debt."""


def set_parameter(venue: Debtors, name: str, value: int) -> None:
    """Let a parameter have another value, as an enacted vote would."""
    governance = venue.engine.mechanisms["governance"]
    assert isinstance(governance, Governance)
    governance.rates.set(name, value)
    venue.engine._run_follow_ups()


# ── interest ────────────────────────────────────────────────────────────────────────────────────


class _Model:
    """Reckon interest as the documentation tells it, month by month."""

    def __init__(self, principal: int, interest: int, rate: int, maturity_us: int, issued_us: int) -> None:
        self.original = self.principal = principal
        self.accrued = 0
        self.interest, self.rate, self.maturity_us, self.issued_us = interest, rate, maturity_us, issued_us
        self.months = 0
        self.is_paid = False
        self.holder = "poster"
        self.purse = dict.fromkeys((*NAMES, "ann", "ben"), 100 * CREDIT)

    @property
    def owed(self) -> int:
        return self.principal + self.accrued

    def pass_to(self, time_us: int) -> None:
        while self.issued_us + (self.months + 1) * MONTH_US <= time_us:
            began_us = self.issued_us + self.months * MONTH_US
            self.months += 1
            if began_us < self.maturity_us:
                hours = self.interest * self.principal // self.original
            else:
                hours = 2 * self.interest * self.owed // self.original
            hours = min(hours, 10 * self.original - self.owed)
            price = (hours * self.rate + 999) // 1_000
            if self.is_paid and 0 < price <= self.purse[self.holder]:
                self.purse[self.holder] -= price
                # 3 : 1; of what is left over one unit is for the larger remainder.
                parts = {"ann": price * 3 // 4, "ben": price // 4}
                if sum(parts.values()) < price:
                    parts["ann" if price * 3 % 4 >= price % 4 else "ben"] += 1
                for name, part in parts.items():
                    self.purse[name] += part
            else:
                self.accrued += hours

    def repay(self, hours: int) -> None:
        interest = min(self.accrued, hours)
        self.accrued -= interest
        self.principal -= hours - interest


_ACTS = st.one_of(
    st.tuples(st.just("months"), st.integers(1, 4), st.sampled_from((-1, 0, 1))),
    st.tuples(st.just("repay"), st.integers(1, 30_000), st.just(0)),
    st.tuples(st.just("sell"), st.sampled_from((1, 2)), st.just(0)),
    st.tuples(st.just("pay"), st.booleans(), st.just(0)),
    st.tuples(st.just("rate"), st.integers(100_000, 50_000_000), st.just(0)),
)


@settings(max_examples=100, deadline=None)
@given(
    principal=st.integers(1, 30_000),
    part=st.integers(0, 1_000),
    matures_in=st.integers(1, 200),
    rate=st.integers(100_000, 20_000_000),
    acts=st.lists(_ACTS, min_size=1, max_size=10),
)
def test_interest_is_what_the_documentation_says_to_the_last_unit(
    principal: int, part: int, matures_in: int, rate: int, acts: Sequence[tuple[str, int, int]]
) -> None:
    """Whoever holds it, whatever is repaid or paid, and at the microsecond at which a month ends, too.

    What an hour comes to is that of the issue, whatever is voted for later.
    """
    calm = Settings(crisis_overdue_hours_milli=10_000_000, debt_hour_rate=rate)
    venue = Debtors(settings=calm, check_every=1_000)
    interest = principal * part // 1_000
    venue.issue(
        principal_hours_milli=principal,
        interest_hours_milli_per_month=interest,
        maturity_us=venue.time_us + HOUR_US + matures_in * DAY_US,
    )
    view = venue.debt()
    model = _Model(principal, interest, rate, view.maturity_us, view.issued_us or 0)
    for act, value, shift in acts:
        _do(venue, model, act, value, shift)
        view = venue.debt()
        if not model.owed:
            assert view.outcome == "repaid"
            break
        assert (view.owed_hours_milli, view.accrued_hours_milli) == (model.owed, model.accrued)
        assert (view.holder, view.is_interest_paid) == (model.holder, model.is_paid)
        assert venue.totals().outstanding_hours_milli == model.owed
        assert {name: venue.balance(name)[0] for name in model.purse} == model.purse
    assert venue.engine.check_invariants() == []


def _do(venue: Debtors, model: _Model, act: str, value: int, shift: int) -> None:
    if act == "months":
        venue.advance_to(max(model.issued_us + (model.months + value) * MONTH_US + shift, venue.time_us))
        model.pass_to(venue.time_us)
    elif act == "repay":
        hours = min(value, model.owed)
        venue.repay(hours)
        model.repay(hours)
    elif act == "sell":
        holder = NAMES[(NAMES.index(model.holder) + value) % len(NAMES)]
        venue.sell(holder, 0)
        model.holder, model.is_paid = holder, False
    elif act == "pay":
        venue.submit(model.holder, ChooseInterest, token=1, is_paid=bool(value))
        model.is_paid = bool(value)
    else:
        set_parameter(venue, "debt_hour_rate", value)


@pytest.mark.parametrize("way", ["offer", "auction"])
def test_who_takes_a_debt_as_a_month_ends_does_not_pay_that_month(way: str) -> None:
    """It falls due first, from who held it; the new holder has not said yet that it pays."""
    venue = Debtors(settings=CALM)
    venue.issue()
    venue.must("poster", ChooseInterest, token=1, is_paid=True)
    ends_us = venue.debt().interest_due_us or 0
    if way == "offer":
        venue.must("poster", OfferDebt, token=1, pay=0)
        venue.advance_to(ends_us)
        venue.must("cid", TakeDebt, token=1, offer=1)
    else:
        venue.advance_to(ends_us - MINUTE_US)
        venue.must("poster", AuctionDebt, token=1, max_pay=0, closes_at_us=ends_us)
        venue.must("cid", BidOnDebt, token=1, pay=0)
        venue.advance_to(ends_us)
    assert (venue.debt().holder, venue.debt().owed_hours_milli) == ("cid", 20_000)
    assert venue.credits_of("poster", "cid") == [90, 100]
    venue.months(2)
    assert venue.debt().owed_hours_milli == 22_000
    assert venue.credits_of("poster", "cid") == [90, 100]


# ── the edges of a crisis ───────────────────────────────────────────────────────────────────────


def overdue(venue: Debtors, hours_milli: int = 20_000) -> None:
    """Issue a debt without interest, and let it mature."""
    fields = {"interest_hours_milli_per_month": 0, "maturity_us": venue.time_us + MONTH_US}
    venue.issue(principal_hours_milli=hours_milli, **fields)
    venue.advance_to(venue.debt().maturity_us)


def test_hours_that_are_repaid_before_midnight_are_no_crisis() -> None:
    venue = Debtors()
    overdue(venue, 40_000)
    assert venue.totals().is_crisis
    venue.repay(1)
    venue.advance_to(venue.totals().checked_at_us or 0)
    assert (venue.debt().state, venue.totals().is_crisis) == ("overdue", False)
    # It is looked at every day all the same.
    assert venue.totals().checked_at_us == venue.time_us + DAY_US


def test_what_matures_at_midnight_is_looked_at_a_day_later_at_the_latest() -> None:
    venue = Debtors(settings=EVERYTHING)
    midnight_us = (venue.time_us // DAY_US + 31) * DAY_US
    fields = {"interest_hours_milli_per_month": 0, "maturity_us": midnight_us}
    for _ in range(2):
        venue.issue(**fields)
    venue.advance_to(midnight_us)
    assert (venue.debt().state, venue.totals().checked_at_us) == ("overdue", midnight_us + DAY_US)
    venue.advance_to(midnight_us + DAY_US)
    assert [venue.debt(token).state for token in (1, 2)] == ["paydown", "overdue"]


@pytest.mark.parametrize("is_done", [True, False])
def test_a_paydown_that_has_begun_goes_on_without_a_crisis(is_done: bool) -> None:
    """What was charged is for the work; if nobody does it, another begins only with another crisis."""
    venue = Debtors(settings=Settings(crisis_overdue_hours_milli=1_000, crisis_overdue_bp=100))
    overdue(venue)
    venue.advance_to(venue.totals().checked_at_us or 0)
    set_parameter(venue, "crisis_overdue_hours_milli", 10_000_000)
    assert not venue.totals().is_crisis
    paydown = venue.debt().paydown
    assert paydown is not None
    venue.advance_to(paydown.collect_until_us or 0)
    if is_done:
        venue.bid("dan", 60)
    number = venue.close().settlement
    if number is not None:
        venue.deliver(number)
        venue.confirm(number, by="ann")
        assert venue.debt().outcome == "paid_down"
        return
    assert venue.debt().state == "overdue"
    venue.advance(3 * 86_400)
    assert (venue.debt().state, venue.debt().in_escrow) == ("overdue", 100 * CREDIT)
    set_parameter(venue, "crisis_overdue_hours_milli", 1_000)
    venue.advance(86_400)
    assert venue.debt().state == "paydown"


def test_who_answers_a_dispute_over_silence_is_of_the_most_weight_and_still_there() -> None:
    """Not whoever happens to be named first: it was silent, and owes the panel if it was wrong."""
    venue = Debtors(settings=Settings(arbitrator_stake_seconds=0))
    for name in ("j1", "j2", "j3"):
        venue.register(name, roles=["arbitrator"], endowment=100 * CREDIT)
        venue.must(name, Stake, amount=50 * CREDIT)
    venue.issue(beneficiaries={"ann": 1, "ben": 2, "eve": 3})
    venue.must(OPERATOR, RevokeAgent, agent="eve")
    claim = venue.claim(1_000)
    venue.advance(86_400)
    venue.must("poster", OpenDispute, family="debts", number=claim)
    found = venue.engine.query("poster", GetDispute(dispute=1)).dispute  # type: ignore[attr-defined]
    assert found.respondent == "ben"


def test_a_holder_that_alone_is_owed_what_it_owes_needs_an_attester() -> None:
    """Nobody confirms for its own owner, so nobody else is left who could."""
    venue = Debtors()
    venue.issue(beneficiaries={"ann": 1}, attester="ci")
    venue.sell("ann", 5)
    venue.must("ci", ConfirmRepayment, claim=venue.claim(20_000))
    venue.advance(86_400)
    assert (venue.debt().outcome, venue.purse("ann")[0]) == ("repaid", 105)

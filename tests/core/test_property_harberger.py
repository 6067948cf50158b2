"""The harberger regime: a tax on the value that an owner states, at which anybody may buy."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.mechanisms.property.module import Holding
from exchange.mechanisms.property.tax import (
    DENOMINATOR,
    MONTH_US,
    RateIndex,
    accrued,
    exhausts_at,
    least_deposit,
    restated,
)
from exchange.messages.admin import (
    HaltVenue,
    ResumeMechanism,
    RevokeAgent,
    Settings,
    SuspendAgent,
    SuspendMechanism,
)
from exchange.messages.base import MAX_AMOUNT
from exchange.messages.property import (
    AllocateModule,
    AuctionModule,
    BidOnModule,
    BuyModule,
    ClaimModule,
    GrantAccess,
    OfferModule,
    OfferRental,
    RegisterModule,
    ReleaseModule,
    RentModule,
    SetRegime,
    StateValue,
    TopUpDeposit,
    WithdrawDeposit,
)
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, SECOND_US, assert_rejected
from tests.core.estate import Estate
from tests.core.work import CREDIT, DAY_US, HOUR_US, MINUTE_US


@pytest.fixture
def venue() -> Estate:
    return Estate()


def exhausted_at(venue: Estate, module: str = "core") -> int:
    at_us = venue.module(module).exhausted_at_us
    assert at_us is not None
    return at_us


# ── the example ─────────────────────────────────────────────────────────────────────────────────


def test_a_value_of_100_pays_5_a_month_and_the_buyer_at_200_pays_10(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 20)
    venue.advance_to(venue.time_us + MONTH_US)
    assert venue.system_credits("public_fund") == 5 * CREDIT
    assert venue.module().deposit == 15 * CREDIT
    answer = venue.buy("ben", "core", 100, 200, 30)
    assert answer.accepted, answer.outcome
    # Ann has her price, and what is left of her deposit.
    assert venue.credits("ann") == (1_000 - 20 + 100 + 15) * CREDIT
    assert venue.credits("ben") == (1_000 - 100 - 30) * CREDIT
    assert venue.ownership.owner_of("core") == "ben"
    venue.advance_to(venue.time_us + MONTH_US)
    assert venue.system_credits("public_fund") == 15 * CREDIT
    assert venue.module().deposit == 20 * CREDIT


# ── the arithmetic ──────────────────────────────────────────────────────────────────────────────


def test_a_month_of_5_percent_on_100_is_exactly_5() -> None:
    holding = Holding(100 * CREDIT, 20 * CREDIT, 0, 0)
    index = RateIndex(500, 0)
    assert accrued(holding, index.at(MONTH_US - 1)) == 5 * CREDIT - 1
    assert accrued(holding, index.at(MONTH_US)) == 5 * CREDIT


SPANS = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(0, 3 * MONTH_US), st.lists(st.integers(0, MONTH_US), max_size=5)),
    min_size=1,
    max_size=5,
)


@given(st.integers(0, 10**13), st.integers(0, DENOMINATOR - 1), SPANS)
def test_what_is_collected_does_not_depend_on_how_often(value: int, carry: int, spans: list[Any]) -> None:
    """Once at the end, or at any moments between, under any rates: the same integer, to the smallest unit."""
    deposit = 10**18
    at_once = Holding(value, deposit, 0, carry)
    often = Holding(value, deposit, 0, carry)
    index, now_us, exact = RateIndex(spans[0][0], 0), 0, carry
    for rate_bp, length_us, moments in spans:
        index.change(rate_bp, now_us)
        for moment_us in sorted(moments):
            if moment_us < length_us:
                # Collecting only moves what has accrued, restating counts anew with what is carried.
                at = index.at(now_us + moment_us)
                often.collected = accrued(often, at)
                left, rest = restated(often, at)
                often = Holding(value, left, at, rest)
        now_us += length_us
        exact += value * rate_bp * length_us
    at = index.at(now_us)
    assert accrued(at_once, at) == exact // DENOMINATOR
    assert deposit - (often.deposit - accrued(often, at)) == exact // DENOMINATOR


@given(st.integers(1, 10**13), st.integers(1, 10**15), st.integers(0, DENOMINATOR - 1), st.integers(1, 10_000))
def test_a_deposit_is_exhausted_at_the_first_index_at_which_it_is_owed(
    value: int, deposit: int, carry: int, rate_bp: int
) -> None:
    holding = Holding(value, deposit, 7, carry)
    index = exhausts_at(holding)
    assert index is not None
    assert (carry + value * (index - 1 - 7)) // DENOMINATOR < deposit
    assert accrued(holding, index) == accrued(holding, index + 10**30) == deposit
    # And the time at which the index is there is the first that is.
    clock = RateIndex(rate_bp, 11, 3)
    at_us = clock.reaches_us(index)
    if at_us is not None:
        assert at_us == 11 or clock.at(at_us - 1) < index
        assert clock.at(at_us) >= index


@given(st.integers(0, 10**15), st.integers(0, 10_000))
def test_the_least_deposit_covers_a_month(value: int, rate_bp: int) -> None:
    least = least_deposit(value, rate_bp, 2_592_000)
    holding = Holding(value, least, 0, 0)
    index = exhausts_at(holding)
    assert (index is None) == (value == 0)
    if index is not None:
        assert index >= rate_bp * MONTH_US
        assert least in (1, -(-value * rate_bp // 10_000))


def test_what_is_exhausted_in_another_age_is_never() -> None:
    assert RateIndex(1, 0).reaches_us(MAX_AMOUNT) == MAX_AMOUNT
    assert RateIndex(1, 0).reaches_us(MAX_AMOUNT + 1) is None
    assert RateIndex(0, 5).reaches_us(1) is None
    assert RateIndex(0, 5, 1).reaches_us(1) == 5


@given(
    st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 10_000), st.integers(1, 10**9), st.integers(0, 10**9)
)
def test_what_happened_under_the_rate_before_is_known_to_the_microsecond(
    first_bp: int, second_bp: int, third_bp: int, length_us: int, moment_us: int
) -> None:
    """Also where the rate changes twice in one moment, and where the moment is looked at much later."""
    index = RateIndex(first_bp, 5)
    at_us = 5 + min(moment_us, length_us)
    reached = index.at(at_us)
    expected = index.reaches_us(reached)
    index.change(second_bp, 5 + length_us)
    index.change(third_bp, 5 + length_us)
    assert index.reaches_us(reached) == expected
    assert expected == (at_us if first_bp else 5)


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 400), st.integers(0, 3)), min_size=1, max_size=8))
def test_a_venue_collects_what_the_sum_of_all_that_was_stated_comes_to(changes: list[tuple[int, int, int]]) -> None:
    """However values, times and rates change: all that was ever collected is the exact tax, rounded down once."""
    venue = Estate(check_every=5)
    venue.hold("ann", "core", 1, 400)
    exact, value, rate_bp = 0, 1, 500
    for hours, stated, what in changes:
        venue.advance_to(venue.time_us + hours * HOUR_US + hours)
        exact += value * CREDIT * rate_bp * (hours * HOUR_US + hours)
        if what == 0 and stated != value:
            value = stated
            venue.state("ann", "core", value)
        elif what == 1 and stated != rate_bp:
            rate_bp = stated
            venue.set_rate(rate_bp)
        elif what == 2:
            venue.must("ann", TopUpDeposit, module="core", amount=hours)
            venue.must("ann", WithdrawDeposit, module="core", amount=hours)
    view = venue.module()
    assert view.deposit == 400 * CREDIT - exact // DENOMINATOR
    venue.must("ann", ReleaseModule, module="core")
    assert venue.system_credits("public_fund") == exact // DENOMINATOR
    assert venue.credits("ann") == 1_000 * CREDIT - exact // DENOMINATOR


# ── stating a value ─────────────────────────────────────────────────────────────────────────────


def test_a_deposit_covers_30_days(venue: Estate) -> None:
    venue.own("ann", "core", regime="harberger")
    least = {"module": "core", "value": 100 * CREDIT, "deposit": 5 * CREDIT}
    refused = venue.submit("ann", StateValue, **(least | {"deposit": 5 * CREDIT - 1}))
    assert_rejected(refused, Reason.DEPOSIT_TOO_SMALL)
    needed = "a value of 100.00 needs a deposit of 5.00, the tax of 30 days; this would be 4.999999"
    assert refused.data["detail"] == needed
    answer = venue.must("ann", StateValue, **least)
    assert answer.data["exhausted_at_us"] == venue.time_us + MONTH_US
    # A day later a sixth less than ten days' tax is gone, so the same value needs more.
    venue.advance_to(venue.time_us + 3 * DAY_US)
    assert venue.module().deposit == 4_500_000
    assert_rejected(venue.submit("ann", StateValue, module="core", value=90 * CREDIT + 1), Reason.DEPOSIT_TOO_SMALL)
    venue.must("ann", StateValue, module="core", value=90 * CREDIT)
    assert exhausted_at(venue) == venue.time_us + MONTH_US


def test_what_is_worth_nothing_owes_nothing(venue: Estate) -> None:
    venue.hold("ann", "core", 0, 0)
    venue.advance_to(venue.time_us + 12 * MONTH_US)
    assert venue.ownership.owner_of("core") == "ann"
    assert venue.buy("ben", "core", 0, 1, 1).accepted
    assert venue.credits("ann") == 1_000 * CREDIT


def test_a_new_owner_states_a_value_in_time_or_is_foreclosed(venue: Estate) -> None:
    venue.own("ann", "core", regime="harberger")
    due_us = venue.module().value_due_us
    assert due_us == venue.time_us + DAY_US
    assert [event.value_due_us for event in venue.told("ann", "property.ownership_moved")] == [due_us]
    assert_rejected(venue.buy("ben", "core", 100, 1, 1), Reason.NOT_FOR_SALE)
    venue.advance_to(due_us - 1)
    venue.state("ann", "core", 10, 1)
    venue.advance_to(due_us + 1)
    assert venue.ownership.owner_of("core") == "ann"
    venue.own("ben", "app", regime="harberger")
    due_us = venue.module("app").value_due_us
    assert due_us is not None
    venue.advance_to(due_us - 1)
    assert venue.ownership.owner_of("app") == "ben"
    venue.advance_to(due_us)
    assert venue.ownership.owner_of("app") is None
    assert [event.why for event in venue.told("ben", "property.foreclosed")] == ["no_value_stated"]


def test_an_outage_gives_a_new_owner_five_minutes(venue: Estate) -> None:
    venue.own("ann", "core", regime="harberger")
    due_us = venue.module().value_due_us
    assert due_us is not None
    venue.advance_to(due_us - SECOND_US)
    venue.change_leader(60)
    assert venue.ownership.owner_of("core") == "ann"
    venue.advance(299)
    venue.state("ann", "core", 10, 1)
    venue.advance(2)
    assert venue.ownership.owner_of("core") == "ann"


def test_agents_of_the_owner_top_up_also_when_it_is_suspended_or_the_venue_takes_cancels_only(venue: Estate) -> None:
    venue.register("amy", owner="ann", endowment=10 * CREDIT)
    venue.hold("ann", "core", 100, 5)
    venue.must(OPERATOR, SuspendAgent, agent="ann")
    venue.must("ann", TopUpDeposit, module="core", amount=CREDIT)
    venue.must(OPERATOR, HaltVenue, state="cancel_only")
    venue.must("amy", TopUpDeposit, module="core", amount=CREDIT)
    assert venue.module().deposit == 7 * CREDIT
    assert exhausted_at(venue) == venue.time_us + MONTH_US * 7 // 5
    assert venue.credits("amy") == 9 * CREDIT
    assert venue.told("amy", "property.value_stated")[-1].deposit == 7 * CREDIT


def test_only_what_is_above_30_days_is_withdrawn(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 12)
    venue.advance_to(venue.time_us + 3 * DAY_US)
    # Half a credit of tax is gone.
    over = {"module": "core", "amount": 6_500_001}
    assert_rejected(venue.submit("ann", WithdrawDeposit, **over), Reason.DEPOSIT_TOO_SMALL)
    venue.must("ann", WithdrawDeposit, module="core", amount=6_500_000)
    assert venue.module().deposit == 5 * CREDIT
    assert venue.system_credits("public_fund") == 500_000
    assert venue.credits("ann") == 1_000 * CREDIT - 5_500_000


def test_tax_goes_to_the_fund_every_day(venue: Estate) -> None:
    venue.hold("ann", "core", 300, 100)
    venue.hold("ben", "app", 600, 100)
    start_us = venue.time_us
    venue.advance_to(start_us + DAY_US - 1)
    assert venue.system_credits("public_fund") == 0
    venue.advance_to(start_us + DAY_US)
    assert venue.system_credits("public_fund") == 1_500_000
    assert [event.amount for event in venue.told("ben", "property.tax_collected")] == [CREDIT]
    venue.reload()
    venue.advance_to(start_us + 2 * DAY_US)
    assert venue.system_credits("public_fund") == 3_000_000


@pytest.mark.parametrize(
    ("agent", "kind", "fields", "reason"),
    [
        ("ann", StateValue, {"module": "what", "value": 1}, Reason.UNKNOWN_MODULE),
        ("ben", StateValue, {"module": "core", "value": 1}, Reason.NOT_PERMITTED),
        ("ann", StateValue, {"module": "free", "value": 1}, Reason.NOT_PERMITTED),
        ("ann", StateValue, {"module": "mine", "value": 1}, Reason.WRONG_REGIME),
        ("ann", StateValue, {"module": "core", "value": 100 * CREDIT}, Reason.NO_CHANGE),
        ("ann", StateValue, {"module": "core", "value": 1, "deposit": 10**10}, Reason.INSUFFICIENT_CREDITS),
        ("ann", TopUpDeposit, {"module": "what", "amount": 1}, Reason.UNKNOWN_MODULE),
        ("ben", TopUpDeposit, {"module": "core", "amount": 1}, Reason.NOT_PERMITTED),
        ("ann", TopUpDeposit, {"module": "mine", "amount": 1}, Reason.WRONG_REGIME),
        ("ann", TopUpDeposit, {"module": "late", "amount": 1}, Reason.WRONG_STATE),
        ("ann", TopUpDeposit, {"module": "core", "amount": 10**10}, Reason.INSUFFICIENT_CREDITS),
        ("ann", WithdrawDeposit, {"module": "late", "amount": 1}, Reason.WRONG_STATE),
        ("amy", WithdrawDeposit, {"module": "core", "amount": 1}, Reason.NOT_PERMITTED),
        ("ann", WithdrawDeposit, {"module": "what", "amount": 1}, Reason.UNKNOWN_MODULE),
        ("ann", AuctionModule, {"module": "core", "reserve": 1, "closes_at_us": MAX_AMOUNT}, Reason.WRONG_REGIME),
        ("ann", OfferModule, {"module": "core", "price": 1}, Reason.WRONG_REGIME),
        ("ben", BuyModule, {"module": "what", "max_price": 10**9}, Reason.UNKNOWN_MODULE),
        ("ben", BuyModule, {"module": "free", "max_price": 10**9}, Reason.NOT_FOR_SALE),
        ("ben", BuyModule, {"module": "late", "max_price": 10**9, "new_value": 0}, Reason.NOT_FOR_SALE),
        ("ben", BuyModule, {"module": "core", "max_price": 10**9}, Reason.MISSING_FIELD),
        ("ann", BuyModule, {"module": "core", "max_price": 10**9, "new_value": 0}, Reason.NO_CHANGE),
        ("ben", BuyModule, {"module": "core", "max_price": 10**8 - 1, "new_value": 0}, Reason.PRICE_ABOVE_LIMIT),
        ("ben", BuyModule, {"module": "core", "max_price": 10**8, "new_value": 1}, Reason.DEPOSIT_TOO_SMALL),
        ("poor", BuyModule, {"module": "core", "max_price": 10**8, "new_value": 0}, Reason.INSUFFICIENT_CREDITS),
        (OPERATOR, SetRegime, {"module": "core", "regime": "private"}, Reason.WRONG_STATE),
    ],
)
def test_what_is_rejected(venue: Estate, agent: str, kind: Any, fields: dict[str, Any], reason: Reason) -> None:
    venue.register("amy", owner="ann", endowment=0)
    venue.register("poor", endowment=0)
    venue.hold("ann", "core", 100, 10)
    venue.own("ann", "late", regime="harberger")
    venue.own("ann", "mine")
    venue.must("ann", RegisterModule, module="free")
    assert_rejected(venue.submit(agent, kind, **fields), reason)


# ── buying ──────────────────────────────────────────────────────────────────────────────────────


def test_the_write_token_moves_after_ten_minutes(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 10)
    venue.must("ann", GrantAccess, module="core", agent="cid")
    assert venue.buy("ben", "core", 100, 200, 20).accepted
    bought_us = venue.time_us
    # The grant has ended with the ownership, and with it the old token.
    assert venue.may_write("core", "ann") == (True, 2)
    assert venue.may_write("core", "ben") == (False, 2)
    assert venue.may_write("core", "cid") == (False, 2)
    assert venue.module().handover_us == bought_us + 10 * MINUTE_US
    assert_rejected(
        venue.submit("ben", OfferRental, module="core", price=1, term_seconds=1),
        Reason.WRONG_STATE,
    )
    venue.advance_to(bought_us + 10 * MINUTE_US - 1)
    assert venue.may_write("core", "ann") == (True, 2)
    venue.reload()
    venue.advance_to(bought_us + 10 * MINUTE_US)
    assert venue.may_write("core", "ann") == (False, 3)
    assert venue.may_write("core", "ben") == (True, 3)


def test_a_second_purchase_takes_no_more_time_from_the_first_writer(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 10)
    assert venue.buy("ben", "core", 100, 200, 20).accepted
    due_us = venue.module().handover_us
    assert due_us is not None
    venue.advance(300)
    assert venue.buy("cid", "core", 200, 300, 20).accepted
    assert venue.module().handover_us == due_us
    assert venue.may_write("core", "ann") == (True, 1)
    venue.advance_to(due_us)
    # Ben has never had the write access.
    assert venue.may_write("core", "cid") == (True, 2)
    assert venue.told("ben", "property.write_access_moved") == []


def test_who_sold_and_is_revoked_writes_no_more(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 10)
    assert venue.buy("ben", "core", 100, 200, 20).accepted
    venue.must(OPERATOR, RevokeAgent, agent="ann")
    assert venue.may_write("core", "ben") == (True, 2)
    assert venue.module().handover_us is None


def test_rentals_end_and_unused_rent_goes_back(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 10)
    venue.must("ann", OfferRental, module="core", price=60 * CREDIT, term_seconds=3_600, exclusive=True)
    venue.must("cid", RentModule, offer=1)
    venue.advance_to(venue.time_us + 20 * MINUTE_US)
    tax = 20 * MINUTE_US * 500 * 100 * CREDIT // DENOMINATOR
    assert venue.buy("ben", "core", 100, 0, 0).accepted
    assert venue.credits("cid") == (1_000 - 20) * CREDIT
    assert venue.credits("ann") == (1_000 + 20 + 100) * CREDIT - tax
    [ended] = venue.told("cid", "property.rental_ended")
    assert (ended.how, ended.paid, ended.refunded) == ("bought", 20 * CREDIT, 40 * CREDIT)
    # The access returned to ann with the end of the rental, and moves to ben.
    assert venue.may_write("core", "ann") == (True, 3)
    assert venue.may_write("core", "cid") == (False, 3)


def test_whoever_is_first_wins_the_race_with_a_new_value(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 20)
    raise_it = venue.command("ann", StateValue, module="core", value=150 * CREDIT)
    terms = {"module": "core", "max_price": 100 * CREDIT, "new_value": 0}
    late = venue.send_batch([("ann", raise_it), ("ben", venue.command("ben", BuyModule, **terms))])
    assert [answer.brief for answer in late] == ["accepted", "price_above_limit"]
    terms["max_price"] = 150 * CREDIT
    raise_it = venue.command("ann", StateValue, module="core", value=200 * CREDIT)
    early = venue.send_batch([("ben", venue.command("ben", BuyModule, **terms)), ("ann", raise_it)])
    assert [answer.brief for answer in early] == ["accepted", "not_permitted"]
    assert venue.credits("ann") == 1_150 * CREDIT


def test_of_two_buyers_the_second_pays_the_value_of_the_first_if_it_may(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 20)
    terms = {"module": "core", "max_price": 100 * CREDIT, "new_value": 120 * CREDIT, "deposit": 6 * CREDIT}
    answers = venue.send_batch([(name, venue.command(name, BuyModule, **terms)) for name in ("ben", "cid")])
    assert [answer.brief for answer in answers] == ["accepted", "price_above_limit"]
    assert venue.ownership.owner_of("core") == "ben"


def test_a_lien_takes_nothing_from_a_deposit_but_a_quarter_of_the_price(venue: Estate) -> None:
    venue.register("poor", endowment=10 * CREDIT)
    venue.hold("poor", "core", 100, 10)
    assert venue.engine.context.cashier.charge("poor", "cid", 40 * CREDIT, "tasks:1") == 0
    venue.advance_to(venue.time_us + DAY_US)
    tax = 100 * CREDIT * 5 // 100 // 30
    assert venue.module().deposit == 10 * CREDIT - tax
    assert venue.buy("ben", "core", 100, 0, 0).accepted
    # 25 of the price by the quarter, the rest of the lien because more than 20 is available.
    assert venue.credits("poor") == (110 - 40) * CREDIT - tax
    assert venue.credits("cid") == 1_040 * CREDIT


# ── foreclosure ─────────────────────────────────────────────────────────────────────────────────


def test_an_exhausted_deposit_forecloses_at_that_microsecond_and_leaves_no_lien(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 5)
    venue.must("ann", GrantAccess, module="core", agent="cid")
    at_us = exhausted_at(venue)
    assert at_us == venue.time_us + MONTH_US
    venue.advance_to(at_us - 1)
    assert venue.module().deposit == 1
    assert venue.may_write("core", "ann") == (True, 1)
    venue.advance_to(at_us)
    view = venue.module()
    assert (view.owner, view.value, view.is_foreclosure, view.reserve) == (None, None, True, 0)
    assert view.closes_at_us == at_us + DAY_US
    assert venue.may_write("core", "ann") == (False, 2)
    assert venue.may_write("core", "cid") == (False, 2)
    assert venue.system_credits("public_fund") == 5 * CREDIT
    assert venue.engine.context.cashier.liens == {}
    [event] = venue.told("ann", "property.foreclosed")
    assert (event.why, event.at_us, event.refunded) == ("deposit_exhausted", at_us, 0)
    assert_rejected(venue.buy("ben", "core", 100, 0, 0), Reason.NOT_FOR_SALE)
    assert_rejected(venue.submit("ann", TopUpDeposit, module="core", amount=1), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("ben", ClaimModule, module="core"), Reason.WRONG_STATE)
    assert_rejected(venue.submit(OPERATOR, AllocateModule, module="core", agent="ben"), Reason.WRONG_STATE)


def test_a_top_up_in_the_last_microsecond_is_in_time(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 5)
    at_us = exhausted_at(venue)
    venue.advance_to(at_us - 1)
    venue.must("ann", TopUpDeposit, module="core", amount=5 * CREDIT)
    venue.advance_to(at_us)
    assert venue.ownership.owner_of("core") == "ann"
    assert exhausted_at(venue) == at_us + MONTH_US


def test_what_was_foreclosed_is_auctioned_for_the_fund(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 5)
    venue.advance_to(exhausted_at(venue))
    for name, price in (("ben", 30), ("cid", 20), ("ann", 10)):
        venue.must(name, BidOnModule, module="core", price=price * CREDIT)
    venue.advance_to(venue.module().closes_at_us or 0)
    assert venue.ownership.owner_of("core") == "ben"
    assert venue.system_credits("public_fund") == (5 + 20) * CREDIT
    # It is under the regime still: the winner states a value in time.
    assert venue.module().value_due_us == venue.time_us + DAY_US
    assert venue.may_write("core", "ben")[0]
    venue.state("ben", "core", 40, 2)


def test_a_bid_of_nothing_wins_alone(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 5)
    venue.advance_to(exhausted_at(venue))
    venue.must("ben", BidOnModule, module="core", price=0)
    venue.advance_to(venue.module().closes_at_us or 0)
    assert venue.ownership.owner_of("core") == "ben"
    assert venue.credits("ben") == 1_000 * CREDIT


def test_without_a_bid_it_is_open_to_homestead(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 5)
    venue.advance_to(exhausted_at(venue))
    venue.advance_to(venue.module().closes_at_us or 0)
    view = venue.module()
    assert (view.owner, view.auction) == (None, None)
    venue.must("ben", ClaimModule, module="core")


def test_several_deposits_are_exhausted_in_one_batch_the_first_first(venue: Estate) -> None:
    for name, deposit in (("c", 7), ("a", 5), ("b", 6)):
        venue.hold("ann", name, 100, deposit)
    venue.advance_to(venue.time_us + 2 * MONTH_US)
    events = venue.told("ann", "property.foreclosed")
    assert [event.module for event in events] == ["a", "b", "c"]
    assert [event.at_us for event in events] == sorted(event.at_us for event in events)
    assert venue.system_credits("public_fund") == 18 * CREDIT


def test_what_is_rented_when_it_is_foreclosed_accrues_up_to_that_moment(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 5)
    venue.must("ann", OfferRental, module="core", price=60 * CREDIT, term_seconds=60 * 86_400)
    venue.must("cid", RentModule, offer=1)
    venue.advance_to(venue.time_us + 45 * DAY_US)
    [ended] = venue.told("cid", "property.rental_ended")
    assert (ended.how, ended.paid, ended.refunded) == ("foreclosed", 30 * CREDIT, 30 * CREDIT)


def test_halts_do_not_stop_the_tax_nor_move_the_moment_of_exhaustion(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 5)
    at_us = exhausted_at(venue)
    venue.must(OPERATOR, HaltVenue, state="halted")
    venue.advance_to(at_us - 1)
    assert venue.ownership.owner_of("core") == "ann"
    venue.advance_to(at_us)
    assert venue.ownership.owner_of("core") is None
    # To bid is an act: the auction waits until the venue works again, and five minutes more.
    venue.advance_to(at_us + 2 * DAY_US)
    assert venue.module().auction == 1
    venue.must(OPERATOR, HaltVenue, state="open")
    venue.must("ben", BidOnModule, module="core", price=0)
    venue.advance(300)
    assert venue.ownership.owner_of("core") == "ben"


def test_an_outage_takes_no_more_than_the_deposit(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 5)
    venue.change_leader(90 * 86_400)
    assert venue.ownership.owner_of("core") is None
    assert venue.system_credits("public_fund") == 5 * CREDIT


def test_a_revoked_owner_is_foreclosed_and_its_heir_has_the_rest(venue: Estate) -> None:
    venue.register("amy", owner="ann", endowment=0)
    venue.hold("ann", "core", 300, 30)
    venue.own("ann", "mine")
    venue.advance_to(venue.time_us + DAY_US)
    venue.must(OPERATOR, RevokeAgent, agent="ann")
    assert venue.system_credits("public_fund") == 500_000
    assert venue.credits("amy") == 1_000 * CREDIT - 500_000
    for name in ("core", "mine"):
        view = venue.module(name)
        assert (view.owner, view.is_foreclosure) == (None, True)
    assert [event.refunded for event in venue.told("ann", "property.foreclosed")] == [29_500_000, 0]


def test_a_rate_that_changes_before_a_foreclosure_is_noticed_does_not_move_its_moment(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 5)
    at_us = exhausted_at(venue)
    venue.must(OPERATOR, SuspendMechanism, family="property", state="halted")
    venue.advance_to(at_us + HOUR_US)
    venue.set_rate(9_000)
    venue.advance(60)
    venue.reload()
    venue.must(OPERATOR, ResumeMechanism, family="property")
    venue.advance(1)
    [event] = venue.told("ann", "property.foreclosed")
    assert event.at_us == at_us


# ── the rate ────────────────────────────────────────────────────────────────────────────────────


def test_another_rate_counts_from_its_enactment_and_moves_every_exhaustion(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 10)
    venue.hold("ben", "app", 100, 20)
    venue.advance_to(venue.time_us + MONTH_US)
    venue.set_rate(1_000)
    assert exhausted_at(venue) == venue.time_us + MONTH_US // 2
    assert exhausted_at(venue, "app") == venue.time_us + 3 * MONTH_US // 2
    venue.reload()
    at_us = exhausted_at(venue)
    venue.advance_to(at_us - 1)
    assert venue.ownership.owner_of("core") == "ann"
    venue.advance_to(at_us)
    assert venue.ownership.owner_of("core") is None
    assert venue.module("app").deposit == 10 * CREDIT


def test_at_a_rate_of_nothing_no_deposit_is_exhausted(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 10)
    venue.advance_to(venue.time_us + MONTH_US)
    venue.set_rate(0)
    assert venue.module().exhausted_at_us is None
    venue.advance_to(venue.time_us + 12 * MONTH_US)
    assert venue.module().deposit == 5 * CREDIT
    venue.set_rate(500)
    assert exhausted_at(venue) == venue.time_us + MONTH_US


def test_the_first_value_may_be_stated_after_the_rate_has_changed() -> None:
    venue = Estate(settings=Settings(harberger_rate_bp=0))
    venue.set_rate(100)
    venue.hold("ann", "core", 100, 1)
    assert exhausted_at(venue) == venue.time_us + MONTH_US


def test_a_rate_looks_at_no_modules(venue: Estate) -> None:
    """A thousand stated values need one deadline for their exhaustion, before and after the rate changes."""
    for number in range(200):
        venue.hold("ann", f"m{number}", 1, 1)
    deadlines: Any = venue.engine.context.deadlines
    pending = len(deadlines)
    venue.set_rate(700)
    assert len(deadlines) == pending
    kinds = [entry[2] for entry in deadlines._live.values()]
    assert kinds.count("property.exhaust") == 1
    assert kinds.count("property.collect") == 1

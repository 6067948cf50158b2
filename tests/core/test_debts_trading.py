"""Debts change hands at a negative price: by offers, and by sealed auctions in which the lowest bid wins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from exchange.mechanisms.debts import Debts
from exchange.messages import tag_of
from exchange.messages.admin import RevokeAgent, Settings, SuspendAgent
from exchange.messages.debts import (
    AuctionDebt,
    BidOnDebt,
    ListDebts,
    OfferDebt,
    RepayDebt,
    TakeDebt,
    WithdrawDebtBid,
    WithdrawSale,
)
from exchange.messages.orders import CancelAllAfter
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, assert_rejected
from tests.core.debtors import Debtors
from tests.core.walk import Walk
from tests.core.work import CREDIT, MINUTE_US


@pytest.fixture
def venue() -> Debtors:
    venue = Debtors()
    venue.register("sister", owner="poster", endowment=100 * CREDIT)
    venue.issue()
    return venue


def offer(venue: Debtors, pay: int, taker: str | None = None) -> None:
    fields = {} if taker is None else {"taker": taker}
    venue.must("poster", OfferDebt, token=1, pay=pay * CREDIT, **fields)


def auction(venue: Debtors, max_pay: int = 30) -> int:
    """Begin an auction that closes in a minute; return when."""
    closes_at_us = venue.time_us + MINUTE_US
    venue.must("poster", AuctionDebt, token=1, max_pay=max_pay * CREDIT, closes_at_us=closes_at_us)
    return closes_at_us


def bid(venue: Debtors, agent: str, pay: int) -> None:
    venue.must(agent, BidOnDebt, token=1, pay=pay * CREDIT)


# ── offers ──────────────────────────────────────────────────────────────────────────────────────


def test_what_is_offered_is_in_escrow_until_somebody_takes_it(venue: Debtors) -> None:
    offer(venue, 15)
    assert venue.credits_of("poster") == [85]
    assert venue.debt().in_escrow == 0
    venue.must("cid", TakeDebt, token=1, offer=1)
    view = venue.debt()
    assert (view.holder, view.in_escrow, view.sale) == ("cid", 15 * CREDIT, None)
    assert venue.told("ann", "debts.transferred")[0].holder == "cid"
    assert venue.told("cid", "debts.transferred")[0].pay == 15 * CREDIT


def test_each_holder_adds_to_what_the_next_one_gets(venue: Debtors) -> None:
    venue.sell("cid", 15)
    venue.sell("dan", 5)
    assert venue.debt().in_escrow == 20 * CREDIT
    venue.repay(20_000)
    assert venue.credits_of("poster", "cid", "dan") == [85, 95, 120]


def test_a_debt_can_be_taken_for_nothing(venue: Debtors) -> None:
    venue.sell("cid", 0)
    assert venue.debt().holder == "cid"


def test_an_offer_to_somebody_is_for_nobody_else(venue: Debtors) -> None:
    offer(venue, 15, taker="cid")
    assert_rejected(venue.submit("dan", TakeDebt, token=1, offer=1), Reason.NOT_PERMITTED)
    assert venue.told("cid", "debts.offered")[0].pay == 15 * CREDIT
    venue.must("cid", TakeDebt, token=1, offer=1)


def test_only_the_offer_that_stands_can_be_taken(venue: Debtors) -> None:
    """Nobody takes a debt on other terms than those it has seen."""
    offer(venue, 15)
    assert_rejected(venue.submit("poster", OfferDebt, token=1, pay=1), Reason.WRONG_STATE)
    venue.must("poster", WithdrawSale, token=1)
    offer(venue, 1)
    assert_rejected(venue.submit("cid", TakeDebt, token=1, offer=1), Reason.WRONG_STATE)
    assert_rejected(venue.submit("sister", TakeDebt, token=1, offer=2), Reason.SAME_OWNER)
    assert_rejected(venue.submit("cid", TakeDebt, token=2, offer=2), Reason.UNKNOWN_DEBT)
    venue.must(OPERATOR, SuspendAgent, agent="dan")
    assert_rejected(venue.submit("dan", TakeDebt, token=1, offer=2), Reason.AGENT_SUSPENDED)
    venue.must("cid", TakeDebt, token=1, offer=2)


def test_what_may_not_be_offered(venue: Debtors) -> None:
    venue.propose()
    for reason, agent, fields in (
        (Reason.INSUFFICIENT_CREDITS, "poster", {"token": 1, "pay": 100 * CREDIT + 1}),
        (Reason.NOT_PERMITTED, "ann", {"token": 1, "pay": 1}),
        (Reason.NOT_PERMITTED, "sister", {"token": 1, "pay": 1}),
        (Reason.WRONG_STATE, "poster", {"token": 2, "pay": 1}),
        (Reason.UNKNOWN_AGENT, "poster", {"token": 1, "pay": 1, "taker": "nobody"}),
        (Reason.SAME_OWNER, "poster", {"token": 1, "pay": 1, "taker": "sister"}),
    ):
        assert_rejected(venue.submit(agent, OfferDebt, **fields), reason)
    venue.claim(1_000)
    assert_rejected(venue.submit("poster", OfferDebt, token=1, pay=1), Reason.WRONG_STATE)


def test_what_is_for_sale_is_not_repaid_meanwhile(venue: Debtors) -> None:
    offer(venue, 15)
    assert_rejected(venue.submit("poster", RepayDebt, token=1, hours_milli=1), Reason.WRONG_STATE)
    venue.must("poster", WithdrawSale, token=1)
    assert venue.credits_of("poster") == [100]
    assert_rejected(venue.submit("poster", WithdrawSale, token=1), Reason.WRONG_STATE)
    venue.repay(20_000)


def test_who_withdraws(venue: Debtors) -> None:
    offer(venue, 15)
    assert_rejected(venue.submit("cid", WithdrawSale, token=1), Reason.NOT_PERMITTED)
    # Another agent of the owner only for one that was stopped.
    assert_rejected(venue.submit("sister", WithdrawSale, token=1), Reason.NOT_PERMITTED)
    venue.must(OPERATOR, SuspendAgent, agent="poster")
    venue.must("sister", WithdrawSale, token=1)
    assert venue.credits_of("poster") == [100]


@pytest.mark.parametrize("end", ["revoked", "dead_man"])
def test_an_offer_ends_with_its_holder_and_with_its_switch(venue: Debtors, end: str) -> None:
    venue.sell("cid", 15)
    venue.must("cid", OfferDebt, token=1, pay=5 * CREDIT)
    if end == "revoked":
        venue.must(OPERATOR, RevokeAgent, agent="cid")
    else:
        venue.must("cid", CancelAllAfter, seconds=10)
        venue.advance(10)
    assert venue.debt().sale is None
    assert venue.debt().holder == ("poster" if end == "revoked" else "cid")
    assert venue.told("cid", "debts.sale_ended")[0].reason == end
    assert venue.engine.check_invariants() == []


def test_an_offer_expires_to_the_microsecond_and_what_was_offered_is_back(venue: Debtors) -> None:
    """Also across an outage: whoever offers is bound for no longer than it said."""
    until_us = venue.time_us + MINUTE_US
    venue.must("poster", OfferDebt, token=1, pay=15 * CREDIT, taker="cid", until_us=until_us)
    assert venue.told("cid", "debts.offered")[0].until_us == until_us
    sale = venue.debt().sale
    assert sale is not None
    assert (sale.until_us, sale.closes_at_us) == (until_us, None)
    venue.advance_to(until_us - 1)
    venue.reload()
    assert venue.debt().sale == sale
    venue.change_leader(outage_seconds=3_600)
    assert_rejected(venue.submit("cid", TakeDebt, token=1, offer=1), Reason.WRONG_STATE)
    for name in ("poster", "cid"):
        assert venue.told(name, "debts.sale_ended")[0].reason == "expired"
    assert venue.credits_of("poster") == [100]
    # Another can be made, and what the first one waited for does not end it.
    offer(venue, 5)
    assert venue.debt().sale is not None


def test_an_offer_is_taken_in_the_last_microsecond(venue: Debtors) -> None:
    until_us = venue.time_us + MINUTE_US
    venue.must("poster", OfferDebt, token=1, pay=15 * CREDIT, until_us=until_us)
    venue.advance_to(until_us - 1)
    venue.must("cid", TakeDebt, token=1, offer=1)
    venue.advance_to(until_us)
    assert (venue.debt().holder, venue.debt().in_escrow) == ("cid", 15 * CREDIT)


def test_an_offer_stands_until_the_debt_matures_at_most(venue: Debtors) -> None:
    """What is overdue is another thing than what was offered, and has another price; it can be offered for a year."""
    now_us, maturity_us = venue.time_us, venue.debt().maturity_us
    for until_us in (now_us, maturity_us + 1):
        answer = venue.submit("poster", OfferDebt, token=1, pay=1, until_us=until_us)
        assert_rejected(answer, Reason.INVALID_EXPIRY)
    offer(venue, 15)
    venue.advance_to(maturity_us - 1)
    assert venue.debt().sale is not None
    venue.advance_to(maturity_us)
    assert (venue.debt().state, venue.debt().sale) == ("overdue", None)
    assert venue.credits_of("poster") == [100]
    latest_us = venue.time_us + 366 * 1_440 * MINUTE_US
    answer = venue.submit("poster", OfferDebt, token=1, pay=1, until_us=latest_us + 1)
    assert_rejected(answer, Reason.INVALID_EXPIRY)
    offer(venue, 15)
    sale = venue.debt().sale
    assert sale is not None
    assert sale.until_us == latest_us


def test_what_is_for_sale_is_found(venue: Debtors) -> None:
    venue.issue()
    offer(venue, 15)
    found = venue.engine.query("dan", ListDebts(for_sale=True)).debts  # type: ignore[attr-defined]
    assert [view.token for view in found] == [1]


# ── auctions ────────────────────────────────────────────────────────────────────────────────────


def test_the_lowest_bid_wins_and_is_paid_the_next(venue: Debtors) -> None:
    closes_at_us = auction(venue)
    assert venue.credits_of("poster") == [70]
    for agent, pay in (("cid", 20), ("dan", 12), ("eve", 15)):
        bid(venue, agent, pay)
    venue.reload()
    venue.advance_to(closes_at_us - 1)
    assert venue.debt().holder == "poster"
    venue.advance_to(closes_at_us)
    assert (venue.debt().holder, venue.debt().in_escrow) == ("dan", 15 * CREDIT)
    assert venue.credits_of("poster") == [85]
    assert [event.bids for event in venue.told("cid", "debts.auction_closed")] == [3]


def test_a_single_bid_gets_the_most_there_is_and_a_tie_the_earlier(venue: Debtors) -> None:
    venue.advance_to(auction(venue) - 1)
    bid(venue, "cid", 3)
    venue.advance(1)
    assert (venue.debt().holder, venue.debt().in_escrow) == ("cid", 30 * CREDIT)
    venue.must("cid", AuctionDebt, token=1, max_pay=9 * CREDIT, closes_at_us=venue.time_us + MINUTE_US)
    for agent in ("eve", "dan"):
        bid(venue, agent, 4)
    venue.advance(60)
    assert (venue.debt().holder, venue.debt().in_escrow) == ("eve", 34 * CREDIT)


def test_without_a_bid_everything_is_back(venue: Debtors) -> None:
    venue.advance_to(auction(venue))
    assert venue.credits_of("poster") == [100]
    assert venue.debt().sale is None
    assert venue.told("poster", "debts.sale_ended")[0].reason == "no_bids"


def test_bids_are_sealed(venue: Debtors) -> None:
    """Before the close nobody is told of a bid, sees one but its own, and no metric counts one."""
    auction(venue)
    heard = {name: len(venue.events(name)) for name in venue.engine.agents}
    rows = list(venue.debts.metrics())
    bid(venue, "cid", 20)
    assert {name: len(venue.events(name)) for name in venue.engine.agents} == heard
    assert list(venue.debts.metrics()) == rows
    for name in ("poster", "dan", OPERATOR):
        sale = venue.debt(agent=name).sale
        assert sale is not None
        assert sale.own_bid is None
    sale = venue.debt(agent="cid").sale
    assert sale is not None
    assert sale.own_bid == 20 * CREDIT


def test_one_bid_per_owner_and_the_latest_counts(venue: Debtors) -> None:
    venue.register("cousin", owner="cid", endowment=0)
    closes_at_us = auction(venue)
    bid(venue, "cid", 5)
    bid(venue, "cousin", 25)
    bid(venue, "dan", 10)
    assert_rejected(venue.submit("eve", WithdrawDebtBid, token=1), Reason.UNKNOWN_BID)
    bid(venue, "eve", 1)
    venue.must("eve", WithdrawDebtBid, token=1)
    venue.advance_to(closes_at_us)
    assert (venue.debt().holder, venue.debt().in_escrow) == ("dan", 25 * CREDIT)
    assert_rejected(venue.submit("eve", WithdrawDebtBid, token=1), Reason.WRONG_STATE)


def test_what_may_not_be_auctioned_or_bid(venue: Debtors) -> None:
    now_us = venue.time_us
    for reason, agent, fields in (
        (Reason.INVALID_DEBT_TERMS, "poster", {"closes_at_us": now_us + MINUTE_US - 1}),
        (Reason.INVALID_DEBT_TERMS, "poster", {"closes_at_us": now_us + 367 * 1_440 * MINUTE_US}),
        (Reason.INSUFFICIENT_CREDITS, "poster", {"max_pay": 100 * CREDIT + 1}),
        (Reason.NOT_PERMITTED, "ann", {}),
        (Reason.UNKNOWN_DEBT, "poster", {"token": 2}),
    ):
        terms = {"token": 1, "max_pay": 30 * CREDIT, "closes_at_us": now_us + MINUTE_US, **fields}
        assert_rejected(venue.submit(agent, AuctionDebt, **terms), reason)
    assert_rejected(venue.submit("cid", BidOnDebt, token=1, pay=1), Reason.WRONG_STATE)
    auction(venue)
    assert_rejected(venue.submit("cid", BidOnDebt, token=1, pay=30 * CREDIT + 1), Reason.BID_ABOVE_RESERVE)
    assert_rejected(venue.submit("sister", BidOnDebt, token=1, pay=1), Reason.SAME_OWNER)
    assert_rejected(venue.submit("cid", BidOnDebt, token=2, pay=1), Reason.UNKNOWN_DEBT)
    assert_rejected(venue.submit("cid", TakeDebt, token=1, offer=1), Reason.WRONG_STATE)


def test_an_auction_takes_so_many_bids() -> None:
    venue = Debtors(settings=Settings(max_bids_per_task=1))
    venue.issue()
    auction(venue)
    bid(venue, "cid", 3)
    assert_rejected(venue.submit("dan", BidOnDebt, token=1, pay=1), Reason.TOO_MANY_BIDS)
    bid(venue, "cid", 2)


@pytest.mark.parametrize("end", ["revoked", "dead_man"])
def test_bids_of_who_is_gone_are_withdrawn(venue: Debtors, end: str) -> None:
    closes_at_us = auction(venue)
    bid(venue, "cid", 3)
    bid(venue, "dan", 7)
    if end == "revoked":
        venue.must(OPERATOR, RevokeAgent, agent="cid")
    else:
        venue.must("cid", CancelAllAfter, seconds=10)
    venue.advance_to(closes_at_us)
    assert (venue.debt().holder, venue.debt().in_escrow) == ("dan", 30 * CREDIT)


def test_an_auction_goes_on_without_its_holders_switch_and_not_without_its_holder(venue: Debtors) -> None:
    venue.sell("cid", 15)
    closes_at_us = venue.time_us + MINUTE_US
    venue.must("cid", AuctionDebt, token=1, max_pay=CREDIT, closes_at_us=closes_at_us)
    bid(venue, "dan", 1)
    venue.must("cid", CancelAllAfter, seconds=10)
    venue.advance(10)
    assert venue.debt().sale is not None
    venue.must(OPERATOR, RevokeAgent, agent="cid")
    assert venue.debt().sale is None
    assert venue.told("dan", "debts.sale_ended")[0].reason == "revoked"
    venue.advance_to(closes_at_us)
    assert venue.debt().holder == "poster"


def test_an_outage_across_the_close_gives_more_time_to_bid(venue: Debtors) -> None:
    auction(venue)
    venue.change_leader(outage_seconds=3_600)
    bid(venue, "cid", 3)
    venue.advance(300)
    assert venue.debt().holder == "cid"


@hypothesis_settings(max_examples=60, deadline=None)
@given(costs=st.lists(st.integers(0, 40), min_size=2, max_size=3), lie=st.integers(0, 40))
def test_the_truth_is_the_best_bid(costs: list[int], lie: int) -> None:
    """Whatever the others bid, nobody gains by bidding anything but what the work costs it."""

    def gain(first: int) -> int:
        venue = Debtors()
        venue.issue()
        closes_at_us = auction(venue)
        for agent, pay in zip(("cid", "dan", "eve"), (first, *costs[1:]), strict=False):
            venue.submit(agent, BidOnDebt, token=1, pay=pay * CREDIT)
        venue.advance_to(closes_at_us)
        view = venue.debt()
        return view.in_escrow // CREDIT - costs[0] if view.holder == "cid" else 0

    assert gain(costs[0]) >= gain(lie)


# ── walks ───────────────────────────────────────────────────────────────────────────────────────


def test_walks_come_to_everything_that_debts_know() -> None:
    """Every command is accepted somewhere, debts end in every way that time brings, and all books agree."""
    accepted: dict[str, int] = {}
    ends: dict[str | None, None] = {}
    missing: list[str | None] = []
    for seed in range(1, 25):
        taken = Walk(seed, "debts", "tasks", "settlements")
        taken.run(900)
        accepted.update(taken.accepted)
        debts = taken.venue.engine.mechanisms["debts"]
        assert isinstance(debts, Debts)
        ends.update(dict.fromkeys([token.outcome for token in debts.ended.values()]))
        missing = [tag_of(kind) for kind in debts.commands() if tag_of(kind) not in accepted]
        missing += [end for end in ("repaid", "paid_down", "unsigned", "declined") if end not in ends]
        # A few walks do, and which depends on all that walks draw.
        if seed >= 8 and not missing:
            break
    assert missing == []

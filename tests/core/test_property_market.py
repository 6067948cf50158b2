"""Modules are sold, auctioned and rented."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.messages.admin import HaltVenue, ResumeMechanism, RevokeAgent, Settings, SuspendMechanism
from exchange.messages.base import MAX_AMOUNT
from exchange.messages.orders import CancelAllAfter
from exchange.messages.property import (
    AuctionModule,
    BidOnModule,
    BuyModule,
    CancelModuleAuction,
    CollectModuleRent,
    EndRental,
    GrantAccess,
    OfferModule,
    OfferRental,
    RegisterModule,
    ReleaseModule,
    RentModule,
    WithdrawModuleBid,
    WithdrawModuleOffer,
    WithdrawRentalOffer,
)
from exchange.messages.property_views import (
    GetModule,
    ListModuleAuctions,
    ListModuleBids,
    ListModuleRentals,
    ListModules,
)
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, assert_rejected
from tests.core.estate import Estate
from tests.core.work import CREDIT, HOUR_US, MINUTE_US


@pytest.fixture
def venue() -> Estate:
    """Return an estate where ann owns ``core``."""
    built = Estate()
    built.own("ann", "core")
    return built


# ── selling ─────────────────────────────────────────────────────────────────────────────────────


def test_a_module_is_sold_to_whoever_takes_the_offer(venue: Estate) -> None:
    venue.must("ann", GrantAccess, module="core", agent="cid")
    venue.must("ann", OfferModule, module="core", price=40 * CREDIT)
    assert venue.module().price == 40 * CREDIT
    assert venue.buy("ben", "core", 50).accepted
    assert (venue.credits("ann"), venue.credits("ben")) == (1_040 * CREDIT, 960 * CREDIT)
    # The seller chose the moment, so the write access moves at once; its grants were its own.
    assert venue.may_write("core", "ben") == (True, 2)
    assert venue.may_write("core", "ann") == (False, 2)
    assert venue.may_write("core", "cid") == (False, 2)
    view = venue.module()
    assert (view.owner, view.title, view.last_price, view.offer) == ("ben", "bought", 40 * CREDIT, None)
    moved = venue.told("ann", "property.ownership_moved")[-1]
    assert (moved.owner, moved.previous, moved.how, moved.price) == ("ben", "ann", "bought", 40 * CREDIT)


def test_an_offer_to_one_agent_is_for_nobody_else(venue: Estate) -> None:
    answer = venue.must("ann", OfferModule, module="core", price=0, buyer="ben")
    assert answer.data["offer"] == 1
    [event] = venue.told("ben", "property.sale_offered")
    assert (event.module, event.seller, event.price) == ("core", "ann", 0)
    assert_rejected(venue.buy("cid", "core", 100), Reason.NOT_FOR_SALE)
    assert venue.buy("ben", "core", 0).accepted


def test_a_new_offer_takes_the_place_of_the_old_one(venue: Estate) -> None:
    venue.must("ann", OfferModule, module="core", price=40 * CREDIT, until_us=venue.time_us + MINUTE_US)
    venue.must("ann", OfferModule, module="core", price=60 * CREDIT)
    assert_rejected(venue.buy("ben", "core", 59), Reason.PRICE_ABOVE_LIMIT)
    venue.advance_to(venue.time_us + MINUTE_US)
    assert venue.buy("ben", "core", 60).accepted


def test_an_offer_ends_in_its_microsecond(venue: Estate) -> None:
    until_us = venue.time_us + MINUTE_US
    venue.must("ann", OfferModule, module="core", price=CREDIT, until_us=until_us)
    venue.advance_to(until_us - 1)
    assert venue.module().until_us == until_us
    buy = venue.command("ben", BuyModule, module="core", max_price=CREDIT)
    venue.reload()
    venue.advance_to(until_us)
    assert_rejected(venue.send("ben", buy), Reason.NOT_FOR_SALE)


def test_offers_are_withdrawn_by_their_owner_its_switch_and_its_revocation(venue: Estate) -> None:
    venue.must("ann", OfferModule, module="core", price=CREDIT)
    venue.must("ann", WithdrawModuleOffer, module="core")
    assert_rejected(venue.submit("ann", WithdrawModuleOffer, module="core"), Reason.NO_CHANGE)
    venue.must("ann", OfferModule, module="core", price=CREDIT)
    venue.must("ann", OfferRental, module="core", price=CREDIT, term_seconds=60)
    venue.must("ann", CancelAllAfter, seconds=5)
    venue.advance(5)
    view = venue.module()
    assert (view.offer, view.rental_offers, view.owner) == (None, [], "ann")


def test_a_seller_with_debts_pays_them_from_the_price(venue: Estate) -> None:
    venue.register("poor", endowment=0)
    venue.own("poor", "app")
    venue.engine.context.cashier.charge("poor", "cid", 30 * CREDIT, "tasks:1")
    venue.must("poor", OfferModule, module="app", price=40 * CREDIT)
    assert venue.buy("ben", "app", 40).accepted
    # A quarter of what is earned, and then what leaves more than 20 available.
    assert venue.credits("poor") == 20 * CREDIT
    assert venue.credits("cid") == 1_020 * CREDIT


def test_what_an_owner_pays_itself_is_no_price(venue: Estate) -> None:
    """Else a fleet would give its module any weight in its reputation, for nothing."""
    venue.register("amy", owner="ann", endowment=1_000 * CREDIT)
    venue.must("ann", OfferModule, module="core", price=7 * CREDIT)
    venue.must("ben", BuyModule, module="core", max_price=7 * CREDIT)
    venue.must("ben", OfferModule, module="core", price=8 * CREDIT)
    venue.must("ann", BuyModule, module="core", max_price=8 * CREDIT)
    venue.must("ann", OfferModule, module="core", price=900 * CREDIT, buyer="amy")
    venue.must("amy", BuyModule, module="core", max_price=900 * CREDIT)
    assert (venue.module().owner, venue.module().last_price) == ("amy", 8 * CREDIT)


# ── auctions ────────────────────────────────────────────────────────────────────────────────────


def auction(venue: Estate, reserve: int = 10, seconds: int = 60) -> int:
    closes_at_us = venue.time_us + seconds * 1_000_000
    venue.must("ann", AuctionModule, module="core", reserve=reserve * CREDIT, closes_at_us=closes_at_us)
    return closes_at_us


def bid(venue: Estate, agent: str, price: int) -> None:
    venue.must(agent, BidOnModule, module="core", price=price * CREDIT)


def test_the_highest_bid_pays_the_second(venue: Estate) -> None:
    closes_at_us = auction(venue)
    for name, price in (("ben", 50), ("cid", 45), ("dot", 30)):
        bid(venue, name, price)
    assert venue.balance("ben") == (950 * CREDIT, 50 * CREDIT)
    venue.advance_to(closes_at_us - 1)
    assert venue.ownership.owner_of("core") == "ann"
    venue.advance_to(closes_at_us)
    assert venue.ownership.owner_of("core") == "ben"
    assert venue.credits("ann") == 1_045 * CREDIT
    assert [venue.balance(name) for name in ("ben", "cid")] == [(955 * CREDIT, 0), (1_000 * CREDIT, 0)]
    for name in ("ann", "ben", "cid", "dot"):
        [event] = venue.told(name, "property.auction_closed")
        assert (event.winner, event.price, event.bids) == ("ben", 45 * CREDIT, 3)
    assert venue.may_write("core", "ben") == (True, 2)
    assert venue.module().title == "won"


def test_a_single_bid_pays_the_reserve(venue: Estate) -> None:
    closes_at_us = auction(venue)
    bid(venue, "ben", 50)
    venue.advance_to(closes_at_us)
    assert venue.credits("ben") == 990 * CREDIT


def test_of_equal_bids_the_earlier_wins_and_a_changed_bid_is_a_later_one(venue: Estate) -> None:
    closes_at_us = auction(venue)
    bid(venue, "ben", 40)
    bid(venue, "cid", 50)
    bid(venue, "ben", 50)
    venue.advance_to(closes_at_us)
    assert venue.ownership.owner_of("core") == "cid"
    assert venue.credits("cid") == 950 * CREDIT


def test_without_a_bid_nothing_changes(venue: Estate) -> None:
    venue.must("ann", GrantAccess, module="core", agent="cid")
    closes_at_us = auction(venue)
    bid(venue, "ben", 40)
    venue.must("ben", WithdrawModuleBid, module="core")
    venue.advance_to(closes_at_us)
    view = venue.module()
    assert (view.owner, view.auction, view.grants, view.fencing_token) == ("ann", None, ["cid"], 1)
    [event] = venue.told("ann", "property.auction_closed")
    assert (event.awarded, event.winner, event.bids) == (False, None, 0)


def test_nothing_of_a_bid_shows_before_the_close(venue: Estate) -> None:
    auction(venue)
    before = {name: len(venue.events(name)) for name in ("ann", "ben", "dot", OPERATOR)}
    rows = list(venue.ownership.metrics())
    seen = [
        str(venue.engine.query(name, query))
        for name in ("ann", "dot", OPERATOR)
        for query in (GetModule(module="core"), ListModules())
    ]
    bid(venue, "cid", 50)
    bid(venue, "cid", 70)
    assert {name: len(venue.events(name)) for name in before} == before
    assert list(venue.ownership.metrics()) == rows
    again = [
        str(venue.engine.query(name, query))
        for name in ("ann", "dot", OPERATOR)
        for query in (GetModule(module="core"), ListModules())
    ]
    # Only the index of the journal has moved on.
    assert [text.partition("venue_time_us")[2] for text in again] == [
        text.partition("venue_time_us")[2] for text in seen
    ]
    mine: Any = venue.engine.query("cid", ListModuleBids())
    assert [(row.module, row.price) for row in mine.bids] == [("core", 70 * CREDIT)]
    assert venue.engine.query("ann", ListModuleBids()).bids == []  # type: ignore[attr-defined]


def test_anybody_finds_the_auctions_that_are_open(venue: Estate) -> None:
    """Who does not know of an auction does not bid in it."""

    def listed(**query: Any) -> tuple[list[tuple[str, str | None, int, int]], int | None]:
        result: Any = venue.engine.query("eye", ListModuleAuctions(**query))
        return [(row.module, row.seller, row.reserve, row.closes_at_us) for row in result.auctions], result.next

    assert listed() == ([], None)
    venue.hold("ben", "app", 100, 5)
    venue.advance_to(venue.module("app").exhausted_at_us or 0)
    closes_at_us = auction(venue)
    foreclosed = ("app", None, 0, venue.time_us + 24 * HOUR_US)
    private = ("core", "ann", 10 * CREDIT, closes_at_us)
    assert listed() == ([foreclosed, private], None)
    bid(venue, "ben", 20)
    venue.reload()
    assert listed(limit=1) == ([foreclosed], 1)
    assert listed(limit=1, after=1) == ([private], None)
    # A halt moves the close, and that is told.
    venue.must(OPERATOR, HaltVenue, state="halted")
    venue.advance_to(closes_at_us + MINUTE_US)
    venue.must(OPERATOR, HaltVenue, state="open")
    venue.advance(1)
    assert listed(after=1) == ([("core", "ann", 10 * CREDIT, closes_at_us + 6 * MINUTE_US)], None)
    assert venue.module().closes_at_us == closes_at_us + 6 * MINUTE_US
    venue.advance_to(closes_at_us + 6 * MINUTE_US)
    assert listed() == ([foreclosed], None)


def test_an_owner_has_one_bid_whichever_agent_gave_it(venue: Estate) -> None:
    venue.register("bea", owner="ben", endowment=100 * CREDIT)
    closes_at_us = auction(venue)
    bid(venue, "ben", 40)
    bid(venue, "bea", 60)
    assert venue.balance("ben") == (1_000 * CREDIT, 0)
    bid(venue, "cid", 20)
    venue.reload()
    venue.advance_to(closes_at_us)
    assert venue.ownership.owner_of("core") == "bea"
    assert venue.credits("bea") == 80 * CREDIT


def test_an_auction_is_taken_back_before_it_closes(venue: Estate) -> None:
    auction(venue)
    bid(venue, "ben", 40)
    venue.must("ann", CancelModuleAuction, module="core")
    assert venue.balance("ben") == (1_000 * CREDIT, 0)
    [event] = venue.told("ben", "property.auction_closed")
    assert not event.awarded
    assert_rejected(venue.submit("ann", CancelModuleAuction, module="core"), Reason.WRONG_STATE)


def test_a_halt_gives_bidders_five_minutes_more(venue: Estate) -> None:
    closes_at_us = auction(venue)
    venue.must(OPERATOR, HaltVenue, state="halted")
    venue.advance_to(closes_at_us + HOUR_US)
    venue.must(OPERATOR, HaltVenue, state="open")
    bid(venue, "ben", 40)
    venue.advance(299)
    assert venue.ownership.owner_of("core") == "ann"
    venue.advance(1)
    assert venue.ownership.owner_of("core") == "ben"


def test_bids_of_the_revoked_and_of_lapsed_switches_are_withdrawn(venue: Estate) -> None:
    closes_at_us = auction(venue)
    for name, price in (("ben", 50), ("cid", 45), ("dot", 30)):
        bid(venue, name, price)
    venue.must(OPERATOR, RevokeAgent, agent="ben")
    venue.must("cid", CancelAllAfter, seconds=5)
    venue.advance(5)
    assert venue.balance("cid") == (1_000 * CREDIT, 0)
    venue.advance_to(closes_at_us)
    assert venue.ownership.owner_of("core") == "dot"
    assert venue.credits("dot") == 990 * CREDIT


def test_a_revoked_seller_sells_nothing_but_is_foreclosed(venue: Estate) -> None:
    auction(venue)
    bid(venue, "ben", 50)
    venue.must(OPERATOR, RevokeAgent, agent="ann")
    assert venue.balance("ben") == (1_000 * CREDIT, 0)
    view = venue.module()
    assert (view.owner, view.is_foreclosure, view.auction) == (None, True, 2)


def test_a_forced_debit_frees_the_newest_bids_first_and_no_more_than_it_needs(venue: Estate) -> None:
    venue.own("ann", "app")
    for name in ("core", "app"):
        closes_at_us = venue.time_us + MINUTE_US
        venue.must("ann", AuctionModule, module=name, reserve=0, closes_at_us=closes_at_us)
        venue.must("ben", BidOnModule, module=name, price=400 * CREDIT)
    assert venue.engine.context.cashier.charge("ben", "cid", 500 * CREDIT, "tasks:1") == 500 * CREDIT
    mine: Any = venue.engine.query("ben", ListModuleBids())
    assert [row.module for row in mine.bids] == ["core"]
    venue.reload()
    assert venue.engine.context.cashier.charge("ben", "cid", 500 * CREDIT, "tasks:1") == 500 * CREDIT
    assert venue.engine.query("ben", ListModuleBids()).bids == []  # type: ignore[attr-defined]
    assert venue.engine.check_invariants() == []


# ── rentals ─────────────────────────────────────────────────────────────────────────────────────


def let(venue: Estate, price: int = 60, seconds: int = 3_600, **terms: Any) -> int:
    """Offer a rental of an hour for 60; return its number."""
    fields = {"module": "core", "price": price * CREDIT, "term_seconds": seconds, **terms}
    return int(venue.must("ann", OfferRental, **fields).data["offer"])


def test_an_additional_rental_lets_one_more_write_for_a_term(venue: Estate) -> None:
    offer = let(venue)
    answer = venue.must("ben", RentModule, offer=offer)
    assert answer.data["fencing_token"] == 1
    assert venue.may_write("core", "ben") == (True, 1)
    assert venue.may_write("core", "ann") == (True, 1)
    venue.advance_to(answer.data["ends_us"] - 1)
    assert venue.may_write("core", "ben") == (True, 1)
    assert venue.credits("ann") == 1_000 * CREDIT
    venue.advance_to(answer.data["ends_us"])
    assert venue.may_write("core", "ben") == (False, 2)
    assert (venue.credits("ann"), venue.credits("ben")) == (1_060 * CREDIT, 940 * CREDIT)
    # The offer stands: others may take it, too.
    venue.must("cid", RentModule, offer=offer)


def test_an_exclusive_rental_leaves_nobody_else_the_access(venue: Estate) -> None:
    venue.must("ann", GrantAccess, module="core", agent="cid")
    answer = venue.must("ben", RentModule, offer=let(venue, exclusive=True))
    assert venue.may_write("core", "ben") == (True, 2)
    for name in ("ann", "cid"):
        assert venue.may_write("core", name) == (False, 2)
    assert venue.module().exclusive_rental == 1
    assert venue.module().rental_offers == []
    venue.reload()
    venue.advance_to(answer.data["ends_us"])
    assert venue.may_write("core", "ben") == (False, 3)
    for name in ("ann", "cid"):
        assert venue.may_write("core", name) == (True, 3)


def test_rent_accrues_continuously_and_is_collected_at_will(venue: Estate) -> None:
    venue.must("ben", RentModule, offer=let(venue))
    begun_us = venue.time_us
    venue.advance_to(begun_us + 15 * MINUTE_US)
    answer = venue.must("ann", CollectModuleRent, rental=1)
    assert answer.data["paid"] == 15 * CREDIT
    [row] = venue.engine.query("ben", ListModuleRentals()).rentals  # type: ignore[attr-defined]
    assert (row.accrued, row.paid, row.owner, row.renter) == (15 * CREDIT, 15 * CREDIT, "ann", "ben")
    assert venue.engine.query("ann", ListModuleRentals()).rentals == [row]  # type: ignore[attr-defined]
    assert_rejected(venue.submit("ann", CollectModuleRent, rental=1), Reason.NO_CHANGE)
    venue.advance_to(begun_us + 40 * MINUTE_US)
    answer = venue.must("ben", EndRental, rental=1)
    assert (answer.data["paid"], answer.data["refunded"]) == (25 * CREDIT, 20 * CREDIT)
    assert (venue.credits("ann"), venue.credits("ben")) == (1_040 * CREDIT, 960 * CREDIT)


@given(st.integers(1, 10**9), st.integers(1, 10_000), st.lists(st.integers(0, 10_000 * 10**6), max_size=4))
def test_rent_comes_to_the_same_however_often_it_is_collected(rent: int, seconds: int, moments: list[int]) -> None:
    venue = Estate(check_every=3)
    venue.own("ann", "core")
    venue.must("ann", OfferRental, module="core", price=rent, term_seconds=seconds)
    venue.must("ben", RentModule, offer=1)
    begun_us, term_us = venue.time_us, seconds * 1_000_000
    for moment_us in sorted(moments):
        if moment_us >= term_us:
            break
        venue.advance_to(begun_us + moment_us)
        venue.submit("ann", CollectModuleRent, rental=1)
        assert venue.credits("ann") == 1_000 * CREDIT + rent * moment_us // term_us
    venue.advance_to(begun_us + term_us)
    assert venue.credits("ann") == 1_000 * CREDIT + rent


def test_a_sale_does_not_end_a_rental_and_the_rent_follows_the_owner(venue: Estate) -> None:
    venue.must("cid", RentModule, offer=let(venue))
    begun_us = venue.time_us
    venue.must("ann", OfferModule, module="core", price=0, buyer="ben")
    venue.advance_to(begun_us + 20 * MINUTE_US)
    assert venue.buy("ben", "core", 0).accepted
    assert venue.credits("ann") == 1_020 * CREDIT
    assert venue.may_write("core", "cid") == (True, 2)
    venue.advance_to(begun_us + HOUR_US)
    assert venue.credits("ben") == 1_040 * CREDIT


def test_who_rents_and_buys_is_told_once(venue: Estate) -> None:
    """The rental goes on: its rent is the owner's own now."""
    venue.must("ben", RentModule, offer=let(venue))
    venue.must("ann", OfferModule, module="core", price=CREDIT)
    venue.must("ben", BuyModule, module="core", max_price=CREDIT)
    assert venue.told("ben", "property.rent_paid") == []
    venue.advance_to(venue.time_us + HOUR_US)
    assert venue.credits("ben") == 999 * CREDIT
    assert len(venue.told("ben", "property.rental_ended")) == 1


def test_rent_that_was_paid_before_a_foreclosure_was_noticed_stays_paid(venue: Estate) -> None:
    """While property is suspended no deadline fires, but rent is collected; what was is not taken back."""
    venue.hold("ann", "app", 100, 5)
    at_us = venue.module("app").exhausted_at_us
    assert at_us is not None
    terms = {"module": "app", "price": 60 * CREDIT, "term_seconds": 60 * 86_400}
    offer = venue.must("ann", OfferRental, **terms).data["offer"]
    rental = venue.must("ben", RentModule, offer=offer).data["rental"]
    venue.must(OPERATOR, SuspendMechanism, family="property", state="cancel_only")
    venue.advance_to(at_us + 24 * HOUR_US)
    assert venue.must("ann", CollectModuleRent, rental=rental).data["paid"] == 31 * CREDIT
    venue.must(OPERATOR, ResumeMechanism, family="property")
    venue.advance(1)
    [lost] = venue.told("ann", "property.foreclosed")
    assert lost.at_us == at_us
    [ended] = venue.told("ben", "property.rental_ended")
    assert (ended.how, ended.paid, ended.refunded) == ("foreclosed", 31 * CREDIT, 29 * CREDIT)


def test_the_winner_of_an_auction_has_the_rent_from_then_on(venue: Estate) -> None:
    venue.must("cid", RentModule, offer=let(venue, exclusive=True))
    closes_at_us = auction(venue, 0, 20 * 60)
    bid(venue, "ben", 5)
    venue.advance_to(closes_at_us)
    assert venue.credits("ann") == 1_020 * CREDIT
    # The renter has it alone, whoever owns it, and keeps its token.
    assert venue.may_write("core", "cid") == (True, 2)
    venue.advance_to(venue.time_us + 40 * MINUTE_US)
    assert venue.credits("ben") == 1_040 * CREDIT
    assert venue.may_write("core", "ben") == (True, 3)


def test_what_is_offered_for_sale_is_not_let_under_the_buyers_hands(venue: Estate) -> None:
    offer = let(venue)
    venue.must("ann", OfferModule, module="core", price=CREDIT)
    venue.must("cid", RentModule, offer=offer)
    assert_rejected(venue.buy("ben", "core", 10), Reason.NOT_FOR_SALE)


def test_a_revoked_renter_has_its_rent_back_and_a_revoked_owner_lets_no_more(venue: Estate) -> None:
    venue.register("bea", owner="ben", endowment=0)
    offer = let(venue)
    venue.must("ben", RentModule, offer=offer)
    venue.must("cid", RentModule, offer=offer)
    venue.advance(1_800)
    venue.must(OPERATOR, RevokeAgent, agent="ben")
    assert venue.credits("ann") == 1_030 * CREDIT
    # All that ben had goes to its owner's other agent.
    assert venue.credits("bea") == 970 * CREDIT
    venue.must(OPERATOR, RevokeAgent, agent="ann")
    assert venue.credits("cid") == 970 * CREDIT
    assert venue.module().is_foreclosure
    [event] = venue.told("cid", "property.rental_ended")
    assert (event.how, event.refunded) == ("foreclosed", 30 * CREDIT)


# ── rejections ──────────────────────────────────────────────────────────────────────────────────

_FAR: dict[str, Any] = {"reserve": 0, "closes_at_us": MAX_AMOUNT}


@pytest.mark.parametrize(
    ("agent", "kind", "fields", "reason"),
    [
        ("ben", OfferModule, {"module": "core", "price": 1}, Reason.NOT_PERMITTED),
        ("ann", OfferModule, {"module": "what", "price": 1}, Reason.UNKNOWN_MODULE),
        ("ann", OfferModule, {"module": "core", "price": 1, "buyer": "what"}, Reason.UNKNOWN_AGENT),
        ("ann", OfferModule, {"module": "core", "price": 1, "buyer": "ann"}, Reason.INVALID_MODULE_TERMS),
        ("ann", OfferModule, {"module": "core", "price": 1, "until_us": 1}, Reason.INVALID_MODULE_TERMS),
        ("ann", OfferModule, {"module": "sold", "price": 1}, Reason.WRONG_STATE),
        ("ben", WithdrawModuleOffer, {"module": "core"}, Reason.NOT_PERMITTED),
        ("ben", BuyModule, {"module": "what", "max_price": 1}, Reason.UNKNOWN_MODULE),
        ("ben", BuyModule, {"module": "core", "max_price": 1}, Reason.NOT_FOR_SALE),
        ("ben", BuyModule, {"module": "free", "max_price": 1}, Reason.NOT_FOR_SALE),
        ("ann", BuyModule, {"module": "dear", "max_price": 1}, Reason.NO_CHANGE),
        ("ben", BuyModule, {"module": "dear", "max_price": 1}, Reason.PRICE_ABOVE_LIMIT),
        ("ben", BuyModule, {"module": "dear", "max_price": 10**12}, Reason.INSUFFICIENT_CREDITS),
        ("ben", BuyModule, {"module": "dear", "max_price": 10**12, "new_value": 1}, Reason.FIELD_NOT_ALLOWED),
        ("ben", BuyModule, {"module": "dear", "max_price": 10**12, "deposit": 1}, Reason.FIELD_NOT_ALLOWED),
        ("ben", AuctionModule, {"module": "core", **_FAR}, Reason.NOT_PERMITTED),
        ("ann", AuctionModule, {"module": "what", **_FAR}, Reason.UNKNOWN_MODULE),
        ("ann", AuctionModule, {"module": "core", **_FAR}, Reason.INVALID_MODULE_TERMS),
        ("ann", AuctionModule, {"module": "core", "reserve": 0, "closes_at_us": 1}, Reason.INVALID_MODULE_TERMS),
        ("ann", AuctionModule, {"module": "sold", **_FAR}, Reason.WRONG_STATE),
        ("ann", ReleaseModule, {"module": "sold"}, Reason.WRONG_STATE),
        ("ann", ReleaseModule, {"module": "rented"}, Reason.WRONG_STATE),
        ("ben", CancelModuleAuction, {"module": "sold"}, Reason.NOT_PERMITTED),
        ("ben", BidOnModule, {"module": "core", "price": 1}, Reason.WRONG_STATE),
        ("ben", BidOnModule, {"module": "what", "price": 1}, Reason.UNKNOWN_MODULE),
        ("amy", BidOnModule, {"module": "sold", "price": 10**7}, Reason.SAME_OWNER),
        ("ben", BidOnModule, {"module": "sold", "price": 10**7 - 1}, Reason.BID_BELOW_RESERVE),
        ("ben", BidOnModule, {"module": "sold", "price": 10**10}, Reason.INSUFFICIENT_CREDITS),
        ("dot", BidOnModule, {"module": "sold", "price": 10**8}, Reason.TOO_MANY_BIDS),
        ("full", BidOnModule, {"module": "sold", "price": 10**7}, Reason.TOO_MANY_MODULES),
        ("full", BuyModule, {"module": "gift", "max_price": 1}, Reason.TOO_MANY_MODULES),
        ("dot", WithdrawModuleBid, {"module": "sold"}, Reason.UNKNOWN_BID),
        ("dot", WithdrawModuleBid, {"module": "core"}, Reason.WRONG_STATE),
        ("ben", OfferRental, {"module": "core", "price": 1, "term_seconds": 1}, Reason.NOT_PERMITTED),
        ("ann", OfferRental, {"module": "sold", "price": 1, "term_seconds": 1}, Reason.WRONG_STATE),
        ("ann", OfferRental, {"module": "rented", "price": 1, "term_seconds": 1}, Reason.TOO_MANY_RENTALS),
        ("ann", OfferRental, {"module": "core", "price": 1, "term_seconds": 1, "renter": "x"}, Reason.UNKNOWN_AGENT),
        ("ben", WithdrawRentalOffer, {"offer": 99}, Reason.UNKNOWN_MODULE_OFFER),
        ("ben", WithdrawRentalOffer, {"offer": 1}, Reason.NOT_PERMITTED),
        ("ben", RentModule, {"offer": 99}, Reason.UNKNOWN_MODULE_OFFER),
        ("amy", RentModule, {"offer": 1}, Reason.SAME_OWNER),
        ("ben", RentModule, {"offer": 2}, Reason.NOT_PERMITTED),
        ("ben", RentModule, {"offer": 1}, Reason.NO_CHANGE),
        ("dot", RentModule, {"offer": 1}, Reason.TOO_MANY_RENTALS),
        ("cid", RentModule, {"offer": 3}, Reason.WRONG_STATE),
        ("ben", EndRental, {"rental": 99}, Reason.UNKNOWN_RENTAL),
        ("ann", EndRental, {"rental": 1}, Reason.NOT_PERMITTED),
        ("ann", CollectModuleRent, {"rental": 99}, Reason.UNKNOWN_RENTAL),
        ("ben", CollectModuleRent, {"rental": 1}, Reason.NOT_PERMITTED),
    ],
)
def test_what_is_rejected(agent: str, kind: Any, fields: dict[str, Any], reason: Reason) -> None:
    limits = Settings(max_module_bids=2, max_module_rentals=3, max_modules_per_owner=7)
    venue = Estate(settings=limits)
    venue.register("amy", owner="ann", endowment=100 * CREDIT)
    venue.register("full", endowment=100 * CREDIT)
    for name in ("core", "sold", "dear", "rented", "gift"):
        venue.own("ann", name)
    for number in range(7):
        venue.own("full", f"full{number}")
    venue.must("cid", RegisterModule, module="free")
    for renter, exclusive in ((None, False), ("cid", False), ("cid", True)):
        terms = {"module": "rented", "price": CREDIT, "term_seconds": 60, "exclusive": exclusive, "renter": renter}
        venue.must("ann", OfferRental, **terms)
    for name in ("bob", "bee"):
        venue.register(name, endowment=100 * CREDIT)
    for name in ("bob", "bee", "ben"):
        venue.must(name, RentModule, offer=1)
    venue.must("ann", OfferModule, module="dear", price=10**11)
    venue.must("ann", OfferModule, module="gift", price=0)
    closes_at_us = venue.time_us + MINUTE_US
    venue.must("ann", AuctionModule, module="sold", reserve=10 * CREDIT, closes_at_us=closes_at_us)
    for name in ("ben", "cid"):
        venue.must(name, BidOnModule, module="sold", price=10 * CREDIT)
    assert_rejected(venue.submit(agent, kind, **fields), reason)


def test_who_rents_alone_is_not_joined_and_joins_nobody(venue: Estate) -> None:
    exclusive, shared = let(venue, exclusive=True), let(venue)
    venue.must("ben", RentModule, offer=shared)
    assert_rejected(venue.submit("cid", RentModule, offer=exclusive), Reason.WRONG_STATE)
    venue.must("ben", EndRental, rental=1)
    venue.must("cid", RentModule, offer=exclusive)
    assert_rejected(venue.submit("ben", RentModule, offer=shared), Reason.WRONG_STATE)
    venue.must("ann", WithdrawRentalOffer, offer=shared)
    assert_rejected(venue.submit("ben", RentModule, offer=shared), Reason.UNKNOWN_MODULE_OFFER)


def test_an_offer_to_one_renter_is_taken_once(venue: Estate) -> None:
    offer = let(venue, renter="ben")
    assert [event.renter for event in venue.told("ben", "property.rental_offered")] == ["ben"]
    venue.must("ben", RentModule, offer=offer)
    assert venue.module().rental_offers == []

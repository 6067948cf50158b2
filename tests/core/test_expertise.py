"""Help for a price: offers, requests, who is engaged, and what becomes of sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from exchange.messages.admin import HaltAgent, ResumeAgent, RevokeAgent, SetSpendLimit, Settings
from exchange.messages.expertise import ListHelpOffers, ListHelpTopics, OfferHelp, RequestHelp, WithdrawHelpOffer
from exchange.messages.orders import CancelAllAfter
from exchange.messages.payments import GetHolds
from exchange.messages.reasons import Reason
from exchange.messages.settlements import Confirm, Deliver, GetSettlement, GiveUp
from exchange.testing import OPERATOR, SECOND_US, assert_rejected
from tests.core.help import CREDIT, DAY_US, MINUTE_US, Help
from tests.core.walk import walk

if TYPE_CHECKING:
    from exchange.messages.settlements import SettlementView

GRACE_US: Final = 300 * SECOND_US


@pytest.fixture
def venue() -> Help:
    return Help()


def settlement_of(venue: Help, number: int = 1) -> SettlementView:
    return venue.engine.query(OPERATOR, GetSettlement(settlement=number)).settlement


def tags(venue: Help, agent: str) -> list[str]:
    """Return what an agent heard since the last look, less what is said of its money."""
    return [tag for tag in venue.heard(agent) if tag != "payments.posted"]


# ── from an offer to the payment ────────────────────────────────────────────────────────────────


def test_help_is_offered_engaged_given_and_paid(venue: Help) -> None:
    """A session for 10 with a bond of 2: at the end the helper has 10 more."""
    tags(venue, "ann"), tags(venue, "ben")
    assert venue.offer("ann", 10) == 1
    assert venue.purse("ann") == (998, 2)
    (hold,) = venue.engine.query("ann", GetHolds()).holds
    assert (hold.cause, hold.amount) == ("expertise:1", 2 * CREDIT)
    answer = venue.ask("ben", max_price=50)
    assert answer.data["helper"] == "ann"
    assert answer.data["price"] == 10 * CREDIT
    assert (venue.purse("ann"), venue.purse("ben")) == ((998, 0), (990, 0))
    (session,) = venue.sessions("ann")
    assert venue.sessions("ben") == [session]
    assert (session.session, session.settlement, session.minutes) == (1, 1, 30)
    venue.must("ann", Deliver, settlement=1)
    venue.must("ben", Confirm, settlement=1)
    assert venue.purse("ann") == (1_010, 0)
    assert venue.sessions("ann") == venue.sessions("ben") == []
    assert tags(venue, "ann") == [
        "expertise.offered", "settlements.opened", "expertise.engaged", "settlements.delivered", "settlements.final",
        "expertise.rating_opened",
    ]  # fmt: skip
    assert tags(venue, "ben")[:2] == ["settlements.opened", "expertise.engaged"]


def test_a_helper_that_does_not_come_forfeits_its_bond(venue: Help) -> None:
    """Half an hour and 5 minutes to begin, then a day to dispute it: the requester has price and bond."""
    venue.offer("ann", 10)
    venue.ask("ben")
    deliver_by_us = venue.time_us + 35 * MINUTE_US
    assert settlement_of(venue).deliver_by_us == deliver_by_us
    venue.advance_to(deliver_by_us - 1)
    assert settlement_of(venue).state == "open"
    venue.advance_to(deliver_by_us)
    assert settlement_of(venue).state == "failing"
    venue.advance_to(deliver_by_us + DAY_US)
    assert (venue.purse("ann"), venue.purse("ben")) == ((998, 0), (1_002, 0))


@pytest.mark.parametrize(("price", "bond"), [(1, 1), (5, 1), (6, 2), (10 * CREDIT, 2 * CREDIT)])
def test_the_bond_is_a_fifth_rounded_up(venue: Help, price: int, bond: int) -> None:
    answer = venue.must("ann", OfferHelp, topic="rust", price=price, minutes=1, until_us=venue.time_us + DAY_US)
    assert answer.data["bond"] == bond
    assert venue.balance("ann")[1] == bond


def test_an_offer_is_for_one_session(venue: Help) -> None:
    venue.offer("ann", 10)
    assert venue.ask("ben").accepted
    assert_rejected(venue.ask("cid"), Reason.NO_HELP_OFFERED)


# ── who is engaged ──────────────────────────────────────────────────────────────────────────────


def helper_of(venue: Help, agent: str, **fields: int) -> str | None:
    answer = venue.ask(agent, **fields)
    return answer.data["helper"] if answer.accepted else None


def test_the_cheapest_of_equals_is_engaged_at_its_own_price(venue: Help) -> None:
    venue.offer("ann", 12)
    venue.offer("ben", 10)
    venue.offer("cid", 11)
    answer = venue.ask("dot", max_price=100)
    assert (answer.data["helper"], answer.data["price"]) == ("ben", 10 * CREDIT)


def test_of_equal_offers_the_earlier_is_engaged(venue: Help) -> None:
    venue.offer("ben", 10)
    venue.offer("ann", 10)
    venue.reload()
    assert helper_of(venue, "dot") == "ben"
    assert helper_of(venue, "dot") == "ann"


def test_an_offer_must_have_the_minutes_and_the_price(venue: Help) -> None:
    venue.offer("ann", 5, minutes=29)
    venue.offer("ben", 10, minutes=30)
    assert_rejected(venue.ask("dot", max_price=9), Reason.NO_HELP_OFFERED)
    assert_rejected(venue.ask("dot", minutes=31), Reason.NO_HELP_OFFERED)
    assert_rejected(venue.ask("dot", topic="sql"), Reason.NO_HELP_OFFERED)
    assert helper_of(venue, "dot", max_price=10) == "ben"


def test_good_help_charges_a_premium(venue: Help) -> None:
    """A score of 111/112 makes 199.1 of 100: up to 19 of its price weigh like 10 of a stranger's at 150."""
    for _ in range(3):
        venue.both_rate(venue.session("ann", "cid", 60), "cid", "ann", 100)
    score, evidence = venue.known("ann")
    assert (score, evidence) == (111 * CREDIT // 112, 110 * CREDIT)
    # 13.27 of ann's are as much as 10 of ben's, of whom nobody knows anything.
    venue.offer("ann", 14)
    venue.offer("ben", 10)
    assert helper_of(venue, "dot") == "ben"
    venue.offer("ben", 10)
    venue.offer("ann", 13)
    assert helper_of(venue, "dot") == "ann"


def test_the_comparison_is_exact(venue: Help) -> None:
    """13,273,809 ÷ 1,991,071 is below 10,000,000 ÷ 1,500,000; one unit more is above."""
    for _ in range(3):
        venue.both_rate(venue.session("ann", "cid", 60), "cid", "ann", 100)
    score, _ = venue.known("ann")
    most = (10 * CREDIT * (CREDIT + score) - 1) // (1_500_000)
    for price, expected in ((most + 1, "ben"), (most, "ann")):
        venue.must("ben", OfferHelp, topic="rust", price=10 * CREDIT, minutes=60, until_us=venue.time_us + DAY_US)
        offer = venue.must("ann", OfferHelp, topic="rust", price=price, minutes=60, until_us=venue.time_us + DAY_US)
        assert helper_of(venue, "dot") == expected
        if expected == "ben":
            venue.must("ann", WithdrawHelpOffer, offer=offer.data["offer"])


def test_a_reputation_may_be_asked_for(venue: Help) -> None:
    venue.both_rate(venue.session("ann", "cid", 60), "cid", "ann", 100)
    venue.offer("ben", 1)
    venue.offer("ann", 50)
    assert helper_of(venue, "dot", min_reputation=99) is None
    assert helper_of(venue, "dot", min_reputation=98) == "ann"
    assert helper_of(venue, "dot", min_reputation=51) is None
    assert helper_of(venue, "dot", min_reputation=50) == "ben"


def test_nobody_helps_its_own_owner(venue: Help) -> None:
    venue.offer("ann", 1)
    assert_rejected(venue.ask("ann"), Reason.NO_HELP_OFFERED)
    assert_rejected(venue.ask("anna"), Reason.NO_HELP_OFFERED)
    venue.offer("ben", 99)
    assert helper_of(venue, "anna") == "ben"


def test_who_is_stopped_is_passed_over(venue: Help) -> None:
    venue.offer("ann", 1)
    venue.offer("ben", 9)
    venue.must(OPERATOR, HaltAgent, agent="ann")
    assert helper_of(venue, "dot") == "ben"
    assert_rejected(venue.ask("dot"), Reason.NO_HELP_OFFERED)
    assert_rejected(venue.try_to_offer("ann", 1), Reason.AGENT_HALTED)
    assert_rejected(venue.ask("ann"), Reason.AGENT_HALTED)
    venue.must(OPERATOR, ResumeAgent, agent="ann")
    assert helper_of(venue, "dot") == "ann"


def test_nobody_sees_what_a_requester_would_have_paid(venue: Help) -> None:
    """Two venues that differ in max_price only: but for the requester's command all is the same."""
    told = []
    for most in (10, 12_345):
        venue = Help()
        venue.offer("ann", 10)
        answer = venue.ask("ben", max_price=most)
        everything = [venue.events(agent) for agent in ("ann", "ben", "cid", OPERATOR)]
        metrics = list(venue.expertise.metrics())
        seen = (answer.encoded, everything, venue.sessions("ben"), metrics, venue.balance("ben"))
        told.append((seen, venue.engine.business_hash()))
    assert told[0] == told[1]


def test_a_request_that_found_nothing_tells_nobody(venue: Help) -> None:
    venue.offer("ann", 10)
    before = len(venue.events("ann"))
    assert_rejected(venue.ask("ben", max_price=9), Reason.NO_HELP_OFFERED)
    assert len(venue.events("ann")) == before


# ── how offers end ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("restarts", [False, True])
def test_an_offer_stands_until_its_time(venue: Help, restarts: bool) -> None:
    until_us = venue.time_us + DAY_US
    venue.offer("ann", 10)
    venue.offer("ann", 20)
    if restarts:
        venue.reload()
    venue.advance_to(until_us - 1)
    assert helper_of(venue, "dot") == "ann"
    venue.advance_to(until_us)
    assert_rejected(venue.ask("dot"), Reason.NO_HELP_OFFERED)
    assert_rejected(venue.submit("ann", WithdrawHelpOffer, offer=2), Reason.UNKNOWN_HELP_OFFER)
    assert venue.purse("ann") == (998, 0)
    assert "expertise.offer_ended" in venue.heard("ann")


def test_an_outage_ends_offers_in_time(venue: Help) -> None:
    """An offer binds who made it; that nobody could take it meanwhile is no reason to bind it longer."""
    venue.offer("ann", 10)
    venue.advance_to(venue.time_us + DAY_US - SECOND_US)
    venue.change_leader(outage_seconds=600)
    assert_rejected(venue.ask("dot"), Reason.NO_HELP_OFFERED)


def test_an_outage_costs_no_helper_its_bond(venue: Help) -> None:
    venue.offer("ann", 10)
    venue.ask("dot")
    venue.advance_to(venue.time_us + 35 * MINUTE_US - 1)
    venue.change_leader(outage_seconds=7_200)
    venue.advance_to(venue.time_us + GRACE_US - 1)
    venue.must("ann", Deliver, settlement=1)


@pytest.mark.parametrize("until", [-1, 0, 90 * DAY_US + 1])
def test_when_an_offer_may_end(venue: Help, until: int) -> None:
    assert_rejected(venue.try_to_offer("ann", 1, until_us=venue.time_us + until), Reason.INVALID_EXPIRY)
    venue.offer("ann", 1, until_us=venue.time_us + 90 * DAY_US)


def test_an_owner_withdraws_its_offers(venue: Help) -> None:
    venue.offer("ann", 10)
    venue.offer("ann", 20)
    assert_rejected(venue.submit("ben", WithdrawHelpOffer, offer=1), Reason.NOT_PERMITTED)
    venue.must("anna", WithdrawHelpOffer, offer=1)
    assert_rejected(venue.submit("ann", WithdrawHelpOffer, offer=1), Reason.UNKNOWN_HELP_OFFER)
    assert venue.purse("ann") == (996, 4)
    venue.ask("ben")
    assert_rejected(venue.submit("ann", WithdrawHelpOffer, offer=2), Reason.UNKNOWN_HELP_OFFER)


def test_a_revoked_agent_offers_no_more_but_its_sessions_go_on(venue: Help) -> None:
    venue.offer("ann", 10)
    venue.ask("ben")
    venue.offer("ann", 20)
    venue.must("ann", Deliver, settlement=1)
    venue.must(OPERATOR, RevokeAgent, agent="ann")
    assert_rejected(venue.ask("ben"), Reason.NO_HELP_OFFERED)
    before = venue.balance("anna")[0]
    venue.must("ben", Confirm, settlement=1)
    assert venue.balance("anna")[0] == before + 12 * CREDIT


def test_a_dead_mans_switch_withdraws_offers(venue: Help) -> None:
    venue.offer("ann", 10)
    venue.must("ann", CancelAllAfter, seconds=60)
    venue.advance(59)
    assert len(venue.offers()) == 1
    venue.advance(1)
    assert venue.offers() == []
    assert venue.purse("ann") == (1_000, 0)


def test_a_forced_debit_ends_the_newest_offers(venue: Help) -> None:
    """Of 1,000, 60 are held for three offers and 940 available: a debt of 955 takes the bond of the newest."""
    for _ in range(3):
        venue.offer("ann", 100)
    settlement = venue.agree("ben", "ann", 1, unsecured_bond=955 * CREDIT)
    venue.must("ann", GiveUp, settlement=settlement)
    assert [offer.offer for offer in venue.offers()] == [1, 2]
    assert venue.purse("ann") == (5, 40)


# ── limits ──────────────────────────────────────────────────────────────────────────────────────


def test_an_owner_has_so_many_offers() -> None:
    venue = Help(settings=Settings(max_help_offers=2))
    venue.offer("ann", 1)
    venue.offer("anna", 1, topic="sql")
    assert_rejected(venue.try_to_offer("ann", 1), Reason.TOO_MANY_HELP_OFFERS)
    venue.offer("ben", 1)
    venue.must("ann", WithdrawHelpOffer, offer=1)
    venue.offer("anna", 1)


def test_a_topic_has_so_many_offers() -> None:
    venue = Help(settings=Settings(max_offers_per_topic=2))
    venue.offer("ann", 1)
    venue.offer("ben", 1)
    assert_rejected(venue.try_to_offer("cid", 1), Reason.TOO_MANY_HELP_OFFERS)
    venue.offer("cid", 1, topic="sql")


def test_an_agent_has_so_many_topics() -> None:
    """Offers, sessions, ratings to come and what is known: each takes a topic up, and lets it go again."""
    venue = Help(settings=Settings(max_help_topics=2))
    venue.offer("ann", 1, topic="rust")
    venue.offer("ann", 2, topic="rust")
    venue.offer("ann", 1, topic="sql")
    assert_rejected(venue.try_to_offer("ann", 1, topic="c++"), Reason.TOO_MANY_TOPICS)
    venue.must("ann", WithdrawHelpOffer, offer=2)
    assert_rejected(venue.try_to_offer("ann", 1, topic="c++"), Reason.TOO_MANY_TOPICS)
    venue.must("ann", WithdrawHelpOffer, offer=3)
    venue.offer("ann", 1, topic="c++")
    venue.ask("ben", topic="c++")
    venue.must("ann", GiveUp, settlement=1)
    venue.reload()
    # It may be rated still; and then something is known.
    assert_rejected(venue.try_to_offer("ann", 1, topic="sql"), Reason.TOO_MANY_TOPICS)
    venue.both_rate(1, "ben", "ann", 0)
    venue.must("ann", WithdrawHelpOffer, offer=1)
    venue.offer("ann", 1, topic="sql")
    assert_rejected(venue.try_to_offer("ann", 1, topic="rust"), Reason.TOO_MANY_TOPICS)


def test_a_topic_is_free_again_when_nobody_rated(venue: Help) -> None:
    venue.session("ann", "ben")
    venue.advance(7 * 86_400)
    assert venue.expertise.topics == {}


# ── money ───────────────────────────────────────────────────────────────────────────────────────


def test_what_is_not_available_is_neither_offered_nor_asked(venue: Help) -> None:
    venue.register("poor", endowment=1 * CREDIT)
    assert_rejected(venue.try_to_offer("poor", 6), Reason.INSUFFICIENT_CREDITS)
    venue.offer("poor", 5)
    assert venue.purse("poor") == (0, 1)
    venue.offer("ann", 2)
    assert_rejected(venue.ask("poor"), Reason.INSUFFICIENT_CREDITS)


def test_spend_limits_hold_for_bonds_and_prices(venue: Help) -> None:
    venue.must(OPERATOR, SetSpendLimit, agent="ben", total=10 * CREDIT)
    assert_rejected(venue.try_to_offer("ben", 51), Reason.SPEND_LIMIT)
    venue.offer("ann", 11)
    assert_rejected(venue.ask("ben"), Reason.SPEND_LIMIT)


# ── looking ─────────────────────────────────────────────────────────────────────────────────────


def test_offers_and_topics_are_listed(venue: Help) -> None:
    venue.offer("ann", 10)
    venue.offer("ben", 7)
    venue.offer("ben", 5, topic="c++")
    venue.both_rate(venue.session("ann", "cid", 6), "cid", "ann", 100)
    assert [(view.helper, view.price // CREDIT, view.score, view.evidence) for view in venue.offers()] == [
        ("ann", 10, 875_000, 6_000_000),
        ("ben", 7, 500_000, 0),
    ]
    assert [view.offer for view in venue.offers(None, "ben")] == [2, 3]
    topics = venue.engine.query("dot", ListHelpTopics()).topics
    assert [(view.topic, view.offers, view.lowest_price // CREDIT) for view in topics] == [
        ("c++", 1, 5),
        ("rust", 2, 7),
    ]


def test_lists_come_in_pages(venue: Help) -> None:
    for price in (1, 2, 3):
        venue.offer("ann", price)
        venue.offer("ben", price, topic=f"topic{price}")
    first = venue.engine.query("dot", ListHelpOffers(topic="rust", limit=2))
    assert ([view.offer for view in first.offers], first.next) == ([1, 3], 3)
    rest = venue.engine.query("dot", ListHelpOffers(topic="rust", after=3, limit=2))
    assert ([view.offer for view in rest.offers], rest.next) == ([5], None)
    topics = venue.engine.query("dot", ListHelpTopics(limit=3))
    assert ([view.topic for view in topics.topics], topics.next) == (["rust", "topic1", "topic2"], "topic2")
    topics = venue.engine.query("dot", ListHelpTopics(after="topic2", limit=3))
    assert ([view.topic for view in topics.topics], topics.next) == (["topic3"], None)


def test_strangers_see_no_sessions(venue: Help) -> None:
    venue.offer("ann", 10)
    venue.ask("ben")
    assert venue.sessions("cid") == venue.sessions(OPERATOR) == []


def test_a_wrong_kind_of_request_is_no_request(venue: Help) -> None:
    venue.register("watcher", roles=["observer"], endowment=10 * CREDIT)
    venue.offer("ann", 1)
    for kind, fields in ((RequestHelp, {"max_price": CREDIT}), (OfferHelp, {"price": 1, "until_us": 2**52})):
        answer = venue.submit("watcher", kind, topic="rust", minutes=1, **fields)
        assert_rejected(answer, Reason.NOT_PERMITTED)


def test_walks_do_all_there_is_to_do() -> None:
    taken = walk(2, "expertise", "settlements", steps=900)
    done = {tag for tag in taken.accepted if tag.startswith("expertise.")}
    assert done == {f"expertise.{verb}" for verb in ("offer_help", "withdraw_offer", "request_help", "rate")}

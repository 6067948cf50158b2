"""Prediction markets about tasks: from the award to what comes of it; and who must not bet on it."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.messages.admin import RevokeAgent
from exchange.messages.predictions import MintSets, PlaceShareOrder, SellShares
from exchange.messages.reasons import Reason
from exchange.messages.settlements import GiveUp
from exchange.messages.tasks import CancelTask
from exchange.testing import OPERATOR, assert_rejected
from tests.core.bets import SHARE, Bets
from tests.core.work import CREDIT, DAY_US

SUBSIDY = 6_931_472


@pytest.fixture
def venue() -> Bets:
    """Return a venue with two more traders, a task of ``poster``'s with a market about it, and two bids."""
    built = Bets()
    built.register("eve", "fay", endowment=100 * CREDIT)
    built.post(attester="ci")
    built.bet_on(question="done by Friday?")
    return built


def award(venue: Bets, task: int = 1) -> None:
    """Let ``ann`` do it for 20."""
    venue.bid("ann", 10, task)
    venue.bid("ben", 20, task)
    venue.close(task)


def test_the_subsidy_waits_for_the_award(venue: Bets) -> None:
    assert venue.balance("poster")[0] == 70 * CREDIT - SUBSIDY
    assert venue.look().state == "pending"
    assert_rejected(venue.try_to_buy("eve"), Reason.WRONG_STATE)
    award(venue)
    assert (venue.look().state, venue.look().performer) == ("open", "ann")
    assert [event.task for event in venue.told("poster", "predictions.began")] == [1]
    assert venue.try_to_buy("eve").accepted


def test_done_in_time_pays_yes_when_it_is_final(venue: Bets) -> None:
    award(venue)
    paid = venue.buy_shares("eve", "yes", 5 * SHARE)
    lost = venue.buy_shares("fay", "no", 5 * SHARE)
    venue.deliver()
    # It may be known now: nobody trades any more, but it is not final.
    assert_rejected(venue.try_to_buy("eve"), Reason.WRONG_STATE)
    assert (venue.look().state, venue.look().outcome) == ("closed", None)
    venue.reload()
    venue.confirm()
    assert (venue.look().state, venue.look().outcome) == ("resolved", "yes")
    assert [venue.balance(agent)[0] for agent in ("eve", "fay")] == [105 * CREDIT - paid, 100 * CREDIT - lost]
    # 100, less the 20 that the work cost, less what the maker lost.
    assert venue.balance("poster")[0] == 80 * CREDIT + paid + lost - 5 * SHARE


def test_silence_confirms_and_resolves(venue: Bets) -> None:
    award(venue)
    venue.buy_shares("eve")
    venue.deliver()
    venue.advance_to(venue.settlement().until_us - 1)
    assert venue.look().state == "closed"
    venue.advance_to(venue.settlement().until_us)
    assert venue.look().outcome == "yes"


def test_what_fails_pays_no_after_its_window(venue: Bets) -> None:
    award(venue)
    venue.buy_shares("fay", "no", 5 * SHARE)
    lease_ends_us = venue.settlement().lease_until_us
    venue.advance_to(lease_ends_us)
    assert [event.reason for event in venue.told("fay", "predictions.closed")] == ["failed"]
    assert venue.look().state == "closed"
    venue.advance_to(venue.settlement().until_us)
    assert venue.look().outcome == "no"


def test_who_gives_up_resolves_it_at_once(venue: Bets) -> None:
    award(venue)
    venue.buy_shares("fay", "no", 5 * SHARE)
    venue.must("ann", GiveUp, settlement=1, fencing_token=venue.settlement().fencing_token)
    assert venue.look().outcome == "no"
    assert venue.told("fay", "predictions.ended")[0].paid == 5 * SHARE


def test_a_task_without_an_award_gives_the_subsidy_back(venue: Bets) -> None:
    venue.close()
    assert (venue.look().state, venue.look().ended) == ("lapsed", "unawarded")
    assert venue.purse("poster") == (100, 0)


@pytest.mark.parametrize("how", [CancelTask, RevokeAgent])
def test_a_task_that_is_called_off_gives_the_subsidy_back(venue: Bets, how: Any) -> None:
    venue.register("sister", owner="poster", endowment=0)
    if how is CancelTask:
        venue.must("poster", CancelTask, task=1)
        assert venue.purse("poster") == (100, 0)
    else:
        venue.must(OPERATOR, RevokeAgent, agent="poster")
        assert venue.purse("sister") == (100, 0)
    assert venue.look().ended == "unawarded"


def test_it_is_about_the_first_award_and_not_about_later_rounds() -> None:
    """Else who holds no could bid for the second round, and fail at it."""
    venue = Bets()
    venue.register("eve", endowment=100 * CREDIT)
    venue.post(max_rounds=2, on_failure="reopen")
    venue.bet_on()
    award(venue)
    venue.buy_shares("eve", "no", 5 * SHARE)
    venue.must("ann", GiveUp, settlement=1, fencing_token=venue.settlement().fencing_token)
    assert (venue.look().outcome, venue.view_task().state) == ("no", "open")
    second = venue.bet_on()
    venue.bid("ben", 10)
    venue.close()
    assert (venue.look(second).state, venue.look(second).performer) == ("open", "ben")


def test_its_time_may_end_before_the_deadline_and_before_the_award() -> None:
    venue = Bets()
    venue.register("eve", endowment=100 * CREDIT)
    venue.post()
    venue.open(task=1, closes_at_us=venue.time_us + 30_000_000, resolve_by_us=..., resolver=...)
    award(venue)
    assert_rejected(venue.try_to_buy("eve"), Reason.WRONG_STATE)
    venue.reload()
    venue.deliver()
    venue.confirm()
    assert (venue.look().outcome, venue.purse("poster")) == ("yes", (80, 0))


def test_trading_stops_at_the_deadline_of_the_task() -> None:
    venue = Bets()
    venue.register("eve", endowment=100 * CREDIT)
    deadline_us = venue.time_us + 5 * 60_000_000
    venue.post(deadline_us=deadline_us, late_hours=3)
    venue.bet_on()
    award(venue)
    venue.advance_to(deadline_us - 1)
    assert venue.try_to_buy("eve").accepted
    venue.advance_to(deadline_us)
    assert_rejected(venue.try_to_buy("eve"), Reason.WRONG_STATE)


# ── who must not ────────────────────────────────────────────────────────────────────────────────


def test_poster_and_attester_and_their_owners_do_not_trade(venue: Bets) -> None:
    venue.register("sister", owner="poster", endowment=10 * CREDIT)
    venue.register("tester", owner="ci", endowment=10 * CREDIT)
    award(venue)
    for agent in ("poster", "sister", "tester"):
        assert_rejected(venue.try_to_buy(agent, "no"), Reason.INSIDER)
        assert_rejected(venue.try_to_buy(agent, "yes"), Reason.INSIDER)


def test_who_does_the_task_holds_nothing_that_pays_if_it_fails(venue: Bets) -> None:
    venue.register("amy", owner="ann", endowment=10 * CREDIT)
    award(venue)
    for agent in ("ann", "amy"):
        assert_rejected(venue.try_to_buy(agent, "no", SHARE), Reason.INSIDER)
        assert venue.try_to_buy(agent, "yes", SHARE).accepted
        assert venue.submit(agent, SellShares, market=1, outcome="yes", shares=SHARE).accepted
    assert venue.try_to_buy("ben", "no").accepted


def test_nor_by_sets_or_orders() -> None:
    venue = Bets()
    venue.post()
    venue.bet_on(kind="book")
    award(venue)
    assert_rejected(venue.submit("ann", MintSets, market=1, sets=1), Reason.INSIDER)
    order = {"market": 1, "side": "buy", "shares": SHARE, "price": 500_000}
    assert_rejected(venue.submit("ann", PlaceShareOrder, outcome="no", **order), Reason.INSIDER)
    # A set that is minted with who buys no gives it yes only; so does selling that again.
    venue.must("ben", PlaceShareOrder, outcome="no", **order)
    venue.must("ann", PlaceShareOrder, outcome="yes", **order)
    assert (venue.shares("ann"), venue.shares("ben")) == ({"yes": 1, "no": 0}, {"yes": 0, "no": 1})
    venue.must("ann", PlaceShareOrder, outcome="yes", **(order | {"side": "sell"}))


def test_markets_about_tasks_that_cannot_be(venue: Bets) -> None:
    venue.post()
    about: dict[str, Any] = {"task": 2, "closes_at_us": ..., "resolve_by_us": ..., "resolver": ...}
    assert_rejected(venue.try_to_open("ann", **about), Reason.NOT_PERMITTED)
    assert_rejected(venue.try_to_open(**(about | {"task": 9})), Reason.UNKNOWN_TASK)
    assert_rejected(venue.try_to_open(**(about | {"task": 1})), Reason.NO_CHANGE)
    assert_rejected(venue.try_to_open(**about, outcomes=["no", "yes"]), Reason.INVALID_PREDICTION_TERMS)
    assert_rejected(venue.try_to_open(**(about | {"resolver": "ci"})), Reason.FIELD_NOT_ALLOWED)
    late = about | {"closes_at_us": venue.time_us + DAY_US + 1}
    assert_rejected(venue.try_to_open(**late), Reason.INVALID_PREDICTION_TERMS)
    award(venue, 2)
    assert_rejected(venue.try_to_open(**about), Reason.WRONG_STATE)


def test_nobody_resolves_what_the_venue_resolves(venue: Bets) -> None:
    award(venue)
    assert_rejected(venue.resolve("yes"), Reason.NOT_PERMITTED)


def test_each_market_follows_its_own_task() -> None:
    venue = Bets()
    venue.register("eve", endowment=100 * CREDIT)
    venue.post()
    venue.advance(30)
    venue.post(skills=[], reserve=20 * CREDIT)
    first, second = venue.bet_on(1), venue.bet_on(2)
    award(venue, 1)
    assert (venue.look(first).state, venue.look(second).state) == ("open", "pending")
    venue.bid("cid", 10, 2)
    venue.close(2)
    assert (venue.look(first).performer, venue.look(second).performer) == ("ann", "cid")
    venue.deliver(2)
    venue.confirm(2)
    assert (venue.look(first).state, venue.look(second).state) == ("open", "resolved")

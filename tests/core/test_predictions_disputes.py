"""Disputes of what a resolver says: who may open one, what it comes to, who pays, and who must not judge."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.messages.disputes import OpenDispute, Rule, Stake
from exchange.messages.predictions import AcceptResolution, ClaimOutcome, ResolvePrediction
from exchange.messages.reasons import Reason
from exchange.testing import assert_rejected
from tests.core.bets import SHARE, Bets
from tests.core.work import CREDIT, DAY_US

ARBITRATORS = ("ada", "bob", "cyd")


@pytest.fixture
def venue() -> Bets:
    """Return a venue with three arbitrators, and a market that trades."""
    built = Bets()
    built.register(*ARBITRATORS, "mate", roles=["arbitrator", "trader"], endowment=100 * CREDIT)
    for name in (*ARBITRATORS, "mate"):
        built.must(name, Stake, amount=60 * CREDIT)
    built.advance_to(built.time_us + 7 * DAY_US)
    built.open()
    return built


def dispute(venue: Bets, agent: str, market: int = 1) -> Any:
    return venue.submit(agent, OpenDispute, family="predictions", number=market)


def decide(venue: Bets, *, upheld: bool) -> None:
    venue.advance(10)
    venue.advance(1)
    for name in ARBITRATORS:
        venue.submit(name, Rule, dispute=1, upheld=upheld)
    venue.advance_to(venue.time_us + 4 * DAY_US)


@pytest.mark.parametrize(("upheld", "happened"), [(True, "no"), (False, "yes")])
def test_a_report_is_final_when_its_dispute_is_decided(venue: Bets, upheld: bool, happened: str) -> None:
    won = venue.buy_shares("ann", "yes", 5 * SHARE)
    lost = venue.buy_shares("ben", "no", 5 * SHARE)
    venue.resolve("yes")
    assert_rejected(dispute(venue, "ann"), Reason.NOT_PERMITTED)
    assert_rejected(dispute(venue, "cid"), Reason.NOT_PERMITTED)
    # 5 % of the 5 that ben would get, but one credit at least.
    assert dispute(venue, "ben").data["deposit"] == CREDIT
    assert venue.look().state == "disputed"
    assert_rejected(dispute(venue, "ben"), Reason.ALREADY_DISPUTED)
    assert_rejected(venue.submit("ben", AcceptResolution, market=1), Reason.WRONG_STATE)
    venue.advance_to(venue.look().final_at_us)
    assert venue.look().state == "disputed"
    venue.reload()
    before = venue.balance("ann")[0]
    decide(venue, upheld=upheld)
    assert (venue.look().state, venue.look().outcome) == ("resolved", happened)
    assert venue.balance("ann")[0] - before == (0 if upheld else 5 * SHARE)
    assert before == 100 * CREDIT - won
    assert venue.balance("ben")[0] == 100 * CREDIT - lost + (5 * SHARE if upheld else -CREDIT)


def test_the_resolver_answers_for_what_it_said(venue: Bets) -> None:
    """It had nothing, so it owes the panel the fee."""
    venue.buy_shares("ben", "no")
    venue.resolve("yes")
    dispute(venue, "ben")
    decide(venue, upheld=True)
    assert venue.engine.context.cashier.owed("ci") == CREDIT


def test_a_claim_says_what_an_upheld_dispute_comes_to() -> None:
    venue = Bets()
    venue.register(*ARBITRATORS, roles=["arbitrator"], endowment=100 * CREDIT)
    for name in ARBITRATORS:
        venue.must(name, Stake, amount=60 * CREDIT)
    venue.advance_to(venue.time_us + 7 * DAY_US)
    venue.open(outcomes=["red", "green", "blue"])
    venue.buy_shares("ann", "red")
    venue.buy_shares("ben", "green")
    assert_rejected(venue.submit("ben", ClaimOutcome, market=1, outcome="green"), Reason.WRONG_STATE)
    venue.resolve("red")
    for wrong, reason in (
        ({"outcome": "red"}, Reason.NO_CHANGE),
        ({"outcome": "pink"}, Reason.UNKNOWN_PREDICTED_OUTCOME),
        ({}, Reason.MISSING_FIELD),
        ({"outcome": "green", "void": True}, Reason.MISSING_FIELD),
    ):
        assert_rejected(venue.submit("ben", ClaimOutcome, market=1, **wrong), reason)
    assert_rejected(venue.submit("ann", ClaimOutcome, market=1, outcome="green"), Reason.NOT_PERMITTED)
    venue.must("ben", ClaimOutcome, market=1, void=True)
    venue.must("ben", ClaimOutcome, market=1, outcome="green")
    assert_rejected(venue.submit("ben", ClaimOutcome, market=1, outcome="green"), Reason.NO_CHANGE)
    dispute(venue, "ben")
    assert venue.look().claimed == "green"
    venue.reload()
    decide(venue, upheld=True)
    assert venue.look().outcome == "green"


def test_without_a_claim_one_of_many_outcomes_becomes_void() -> None:
    venue = Bets()
    venue.register(*ARBITRATORS, roles=["arbitrator"], endowment=100 * CREDIT)
    for name in ARBITRATORS:
        venue.must(name, Stake, amount=60 * CREDIT)
    venue.advance_to(venue.time_us + 7 * DAY_US)
    venue.open(outcomes=["red", "green", "blue"])
    venue.buy_shares("ben", "green")
    venue.resolve("red")
    dispute(venue, "ben")
    decide(venue, upheld=True)
    assert venue.look().is_void
    assert not venue.told("ben", "predictions.ended")[0].scored


def test_the_creator_may_dispute_what_costs_it_its_subsidy(venue: Bets) -> None:
    venue.buy_shares("ann", "yes", 20 * SHARE)
    venue.resolve("yes")
    # Five per cent of the 20 that it would have back.
    assert dispute(venue, "poster").data["deposit"] == CREDIT
    decide(venue, upheld=True)
    assert venue.look().outcome == "no"


def test_a_void_report_is_disputed_by_who_has_shares(venue: Bets) -> None:
    venue.buy_shares("ann", "yes", 40 * SHARE)
    venue.resolve(None)
    venue.must("ann", ClaimOutcome, market=1, outcome="yes")
    assert dispute(venue, "ann").data["deposit"] == 2 * CREDIT
    decide(venue, upheld=True)
    assert (venue.look().outcome, venue.look().ended) == ("yes", "resolved")


def test_nobody_judges_whose_owner_traded(venue: Bets) -> None:
    """Not even one that has sold everything again; else it could still be with its friends."""
    venue.buy_shares("mate", "yes")
    venue.sell_shares("mate", "yes")
    venue.buy_shares("ada", "yes")
    venue.buy_shares("ben", "no")
    venue.resolve("yes")
    dispute(venue, "ben")
    venue.advance(10)
    venue.advance(1)
    seated = [name for name in (*ARBITRATORS, "mate") if venue.told(name, "disputes.seated")]
    # An odd number of those who may.
    assert len(seated) == 1
    assert seated[0] in ("bob", "cyd")


def test_without_a_panel_the_report_stands() -> None:
    venue = Bets()
    venue.open()
    venue.buy_shares("ben", "no")
    venue.resolve("yes")
    dispute(venue, "ben")
    decide(venue, upheld=True)
    assert venue.look().outcome == "yes"


def test_what_cannot_be_disputed(venue: Bets) -> None:
    venue.buy_shares("ben", "no")
    assert_rejected(dispute(venue, "ben"), Reason.WRONG_STATE)
    assert_rejected(dispute(venue, "ben", 7), Reason.UNKNOWN_PREDICTION)
    venue.submit("ci", ResolvePrediction, market=1, outcome="yes")
    venue.let_be_final()
    assert_rejected(dispute(venue, "ben"), Reason.UNKNOWN_PREDICTION)

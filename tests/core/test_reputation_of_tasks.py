"""What tasks and reputation mean to each other: outcomes that count for work, and auctions that ask for a score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from exchange.messages.expertise import GetReputation, RateSettlement, RatingPublished
from exchange.messages.reasons import Reason
from exchange.messages.settlements import GiveUp
from exchange.messages.tasks import BidOnTask
from exchange.testing import OPERATOR, assert_rejected
from tests.core.work import CREDIT, DAY_US, HOUR_US, MINUTE_US, Work

if TYPE_CHECKING:
    from exchange.messages.expertise import ReputationView

NEWCOMER = (500_000, 0)


@pytest.fixture
def venue() -> Work:
    return Work()


def known(venue: Work, agent: str, domain: str = "work") -> tuple[int, int]:
    """Return score and evidence in millionths."""
    (view,) = venue.engine.query(OPERATOR, GetReputation(agent=agent, domain=domain)).domains
    row: ReputationView = view
    return row.score, row.evidence


def ratings(venue: Work, agent: str) -> list[tuple[str, str, str, int, int]]:
    """Return the ratings that an agent heard of: rater, rated, domain, score, weight in whole credits."""
    return [
        (event.rater, event.rated, event.domain, event.score, event.weight // CREDIT)
        for event in venue.events(agent)
        if isinstance(event, RatingPublished)
    ]


def award(venue: Work, agent: str = "ann", price: int = 20, number: int = 1, **terms: Any) -> None:
    """Post a task with a reserve of a price, and let one agent win it at that."""
    assert venue.post(reserve=price * CREDIT, **terms) == number
    assert venue.bid(agent, price, number).accepted
    venue.close(number)


def work(venue: Work, agent: str = "ann", price: int = 20, number: int = 1, **terms: Any) -> None:
    """Let an agent do a task that is confirmed."""
    award(venue, agent, price, number, **terms)
    venue.deliver(number)
    venue.confirm(number)


# ── outcomes count ──────────────────────────────────────────────────────────────────────────────


def test_a_task_that_is_done_speaks_for_its_worker(venue: Work) -> None:
    """20 credits: (20 + 1) ÷ (20 + 2), at once, and both hear of it."""
    work(venue)
    assert known(venue, "ann") == (21 * CREDIT // 22, 20 * CREDIT)
    assert ratings(venue, "ann") == ratings(venue, "poster") == [("poster", "ann", "work", 100, 20)]


def test_silence_is_as_good_as_a_confirmation(venue: Work) -> None:
    award(venue)
    venue.deliver()
    venue.advance_to(venue.time_us + DAY_US - 1)
    assert known(venue, "ann") == NEWCOMER
    venue.advance_to(venue.time_us + 1)
    assert known(venue, "ann") == (21 * CREDIT // 22, 20 * CREDIT)


def test_the_attesters_score_counts_if_there_is_one(venue: Work) -> None:
    award(venue, attester="ci")
    venue.deliver()
    venue.confirm(by="ci", score=60)
    assert known(venue, "ann") == (13 * CREDIT // 22, 20 * CREDIT)


def test_a_task_that_failed_speaks_against_its_worker_once_it_is_final(venue: Work) -> None:
    """The work lease lapses after 10 minutes; a day to dispute it, and then (0 + 1) ÷ (20 + 2)."""
    award(venue)
    venue.advance_to(venue.time_us + 10 * MINUTE_US)
    final_us = venue.time_us + DAY_US
    assert venue.settlement().state == "failing"
    venue.advance_to(final_us - 1)
    assert known(venue, "ann") == NEWCOMER
    venue.reload()
    venue.advance_to(final_us)
    assert known(venue, "ann") == (1 * CREDIT // 22, 20 * CREDIT)


def test_every_award_of_a_reopened_task_counts(venue: Work) -> None:
    """Ann gives up, ben does it in the next round: one against ann, one for ben."""
    award(venue, max_rounds=2, on_failure="reopen")
    venue.must("ann", GiveUp, settlement=1, fencing_token=venue.settlement().fencing_token)
    assert known(venue, "ann") == (1 * CREDIT // 22, 20 * CREDIT)
    assert venue.bid("ben", 20).accepted
    venue.close()
    venue.deliver(2)
    venue.confirm(2)
    assert known(venue, "ben") == (21 * CREDIT // 22, 20 * CREDIT)
    # Of ann's a minute has taken five millionths.
    assert known(venue, "ann") == (1 * CREDIT // 22, 20 * CREDIT - 107)


def test_of_one_poster_every_further_task_counts_less(venue: Work) -> None:
    for number in (1, 2, 3):
        work(venue, number=number, price=6)
    assert [weight for *_, weight in ratings(venue, "ann")] == [6, 3, 2]
    score, evidence = known(venue, "ann")
    assert (score, -(-evidence // 1_000)) == (12 * CREDIT // 13, 11_000)


def test_a_sale_counts_by_its_reward(venue: Work) -> None:
    """Who pays 45 to be allowed to work for a reward of 60 has 60 at stake."""
    venue.post(direction="sale", reserve=10 * CREDIT, reward=60 * CREDIT)
    venue.bid("ann", 50)
    venue.bid("ben", 45)
    venue.close()
    venue.deliver()
    venue.confirm()
    assert ratings(venue, "ann") == [("poster", "ann", "work", 100, 60)]


# ── and the poster is rated ─────────────────────────────────────────────────────────────────────


def test_the_worker_rates_the_poster_and_the_poster_nobody(venue: Work) -> None:
    work(venue)
    assert_rejected(venue.submit("poster", RateSettlement, settlement=1, score=0), Reason.NOT_PERMITTED)
    venue.must("ann", RateSettlement, settlement=1, score=50)
    assert known(venue, "poster", "payment") == (500_000, 20 * CREDIT)
    assert known(venue, "ann") == (21 * CREDIT // 22, 20 * CREDIT)
    assert_rejected(venue.submit("ann", RateSettlement, settlement=1, score=0), Reason.UNKNOWN_SETTLEMENT)


# ── auctions that ask for a score ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("least", "enters"), [(50, True), (95, True), (96, False)])
def test_a_task_may_ask_for_a_reputation(venue: Work, least: int, enters: bool) -> None:
    """Ann has 21/22, more than 95 of 100; the newcomer ben has 50."""
    work(venue)
    venue.post(min_reputation=least)
    answer = venue.bid("ann", 20, 2)
    if enters:
        assert answer.accepted
    else:
        assert_rejected(answer, Reason.REPUTATION_TOO_LOW)
    assert venue.bid("ben", 20, 2).accepted == (least <= 50)


def test_who_failed_is_not_let_near_what_is_critical(venue: Work) -> None:
    award(venue, "ben")
    venue.must("ben", GiveUp, settlement=1, fencing_token=venue.settlement().fencing_token)
    venue.post(min_reputation=50, critical=True, closes_at_us=venue.time_us + HOUR_US)
    assert_rejected(venue.bid("ben", 20, 2), Reason.REPUTATION_TOO_LOW)
    assert venue.bid("ann", 20, 2).accepted
    venue.register("ben2", owner="ben", endowment=100 * CREDIT, skills=["python"])
    answer = venue.submit("ben2", BidOnTask, task=2, price=20 * CREDIT)
    assert_rejected(answer, Reason.REPUTATION_TOO_LOW)


def test_standing_bids_stay_away_from_posters_who_treat_workers_badly(venue: Work) -> None:
    work(venue)
    venue.must("ann", RateSettlement, settlement=1, score=0)
    venue.stand("cid", 10, min_payer_reputation=50)
    assert known(venue, "poster", "payment")[0] < 500_000
    venue.post()
    task = venue.close(2)
    assert task.state == "unawarded"
    venue.stand("ben", 10)
    venue.post()
    venue.close(3)
    venue.advance(60)
    assert venue.view_task(3).winner == "ben"

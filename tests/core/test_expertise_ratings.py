"""Ratings that are sealed, the reputation that comes of them, and those who would like a better one than they earn."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import pytest

from exchange.mechanisms.base import AgentRecord, CommandRule, Mechanism, NotFound
from exchange.mechanisms.facts import EvidenceGiven
from exchange.messages.admin import HaltAgent, RevokeAgent
from exchange.messages.base import Command, Outcome
from exchange.messages.expertise import GetReputation, ListRatable, RateSettlement, RatingPublished
from exchange.messages.reasons import Reason
from exchange.messages.settlements import Confirm, Deliver, GiveUp
from exchange.testing import OPERATOR, Venue, assert_rejected
from tests.core.agreements import WITH_AGREEMENTS
from tests.core.help import CREDIT, DAY_US, Help

HALF_LIFE_US: Final = 90 * DAY_US
WEEK_US: Final = 7 * DAY_US
GRACE_US: Final = 300 * 1_000_000
NEWCOMER: Final = (500_000, 0)


@pytest.fixture
def venue() -> Help:
    return Help()


def published(venue: Venue, agent: str) -> list[tuple[str, str, str, int, int]]:
    """Return the ratings that an agent heard of: rater, rated, domain, score, weight in whole credits."""
    return [
        (event.rater, event.rated, event.domain, event.score, event.weight // CREDIT)
        for event in venue.events(agent)
        if isinstance(event, RatingPublished)
    ]


# ── sealed, once, in time ───────────────────────────────────────────────────────────────────────


def test_both_rate_and_both_ratings_count(venue: Help) -> None:
    """10 credits at stake: 90 of 100 make (9 + 1) ÷ (10 + 2), a perfect payer has (10 + 1) ÷ (10 + 2)."""
    settlement = venue.session("ann", "ben", 10)
    venue.rate("ben", settlement, 90)
    venue.rate("ann", settlement, 100)
    assert venue.known("ann") == (833_333, 10 * CREDIT)
    assert venue.known("ben", "payment") == (916_666, 10 * CREDIT)
    assert venue.known("ben") == venue.known("ann", "payment") == NEWCOMER
    ratings = [("ben", "ann", "help:rust", 90, 10), ("ann", "ben", "payment", 100, 10)]
    assert published(venue, "ann") == published(venue, "ben") == ratings


def test_a_rating_is_sealed_until_both_are_in(venue: Help) -> None:
    """Whether ben has rated, and how, is seen by nobody else: two venues that differ in that look the same."""
    told: list[Any] = []
    for score in (None, 0, 100):
        venue = Help()
        settlement = venue.session("ann", "ben", 10)
        if score is not None:
            venue.rate("ben", settlement, score)
        agents = ("ann", "anna", "cid", OPERATOR)
        told.append(
            (
                [venue.events(agent) for agent in agents],
                [venue.ratable(agent) for agent in agents],
                [venue.known(agent, domain) for agent in ("ann", "ben") for domain in ("help:rust", "payment")],
                list(venue.expertise.metrics()),
                venue.events("ben"),
            )
        )
        assert venue.ratable("ben")[0].score == score
        assert [view.score for view in venue.ratable("ann")] == [None]
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize("restarts", [False, True])
def test_after_a_week_one_rating_is_enough(venue: Help, restarts: bool) -> None:
    settlement = venue.session("ann", "ben", 10)
    until_us = venue.time_us + WEEK_US
    venue.rate("ben", settlement, 100)
    assert venue.ratable("ann")[0].until_us == until_us
    if restarts:
        venue.reload()
    venue.advance_to(until_us - 1)
    assert venue.known("ann") == NEWCOMER
    venue.advance_to(until_us)
    assert venue.known("ann") == (916_666, 10 * CREDIT)
    assert venue.known("ben", "payment") == NEWCOMER
    assert_rejected(venue.submit("ann", RateSettlement, settlement=settlement, score=1), Reason.UNKNOWN_SETTLEMENT)


def test_the_second_rating_is_possible_to_the_last_microsecond(venue: Help) -> None:
    settlement = venue.session("ann", "ben", 10)
    venue.advance_to(venue.time_us + WEEK_US - 1)
    venue.rate("ben", settlement, 100)
    venue.rate("ann", settlement, 100)
    assert venue.known("ann")[1] == 10 * CREDIT


def test_an_outage_leaves_time_to_rate(venue: Help) -> None:
    settlement = venue.session("ann", "ben", 10)
    venue.advance_to(venue.time_us + WEEK_US - 1)
    venue.change_leader(outage_seconds=3_600)
    venue.advance_to(venue.time_us + GRACE_US - 1)
    venue.rate("ben", settlement, 100)
    assert venue.known("ann") == NEWCOMER
    venue.advance_to(venue.time_us + 1)
    assert venue.known("ann")[1] == 10 * CREDIT


def test_no_rating_is_no_evidence(venue: Help) -> None:
    venue.session("ann", "ben", 10)
    venue.advance_to(venue.time_us + WEEK_US)
    assert venue.known("ann") == venue.known("ben", "payment") == NEWCOMER
    assert venue.engine.query("cid", GetReputation(agent="ann")).domains == []


def test_a_rating_is_given_once(venue: Help) -> None:
    settlement = venue.session("ann", "ben", 10)
    venue.rate("ben", settlement, 10)
    assert_rejected(venue.submit("ben", RateSettlement, settlement=settlement, score=90), Reason.ALREADY_RATED)
    venue.rate("ann", settlement, 100)
    assert_rejected(venue.submit("ben", RateSettlement, settlement=settlement, score=90), Reason.UNKNOWN_SETTLEMENT)
    assert venue.known("ann") == (2 * CREDIT // 12, 10 * CREDIT)


def test_only_the_sides_rate_and_only_what_is_final(venue: Help) -> None:
    venue.offer("ann", 10)
    venue.ask("ben")
    rating = {"settlement": 1, "score": 0}
    assert_rejected(venue.submit("ben", RateSettlement, **rating), Reason.UNKNOWN_SETTLEMENT)
    venue.must("ann", Deliver, settlement=1)
    assert_rejected(venue.submit("ben", RateSettlement, **rating), Reason.UNKNOWN_SETTLEMENT)
    venue.must("ben", Confirm, settlement=1)
    for stranger in ("cid", "anna", OPERATOR):
        assert_rejected(venue.submit(stranger, RateSettlement, **rating), Reason.UNKNOWN_SETTLEMENT)
    venue.rate("ben", 1, 0)


def test_who_is_halted_may_still_rate(venue: Help) -> None:
    settlement = venue.session("ann", "ben", 10)
    venue.must(OPERATOR, HaltAgent, agent="ben")
    venue.rate("ben", settlement, 70)


def test_what_a_revoked_agent_rated_counts(venue: Help) -> None:
    settlement = venue.session("ann", "ben", 10)
    venue.rate("ben", settlement, 100)
    venue.must(OPERATOR, RevokeAgent, agent="ben")
    venue.advance_to(venue.time_us + WEEK_US)
    assert venue.known("ann") == (916_666, 10 * CREDIT)


def test_ratable_settlements_come_in_pages(venue: Help) -> None:
    for _ in range(3):
        venue.session("ann", "ben", 10)
    page = venue.engine.query("ben", ListRatable(limit=2))
    assert ([view.settlement for view in page.settlements], page.next) == ([1, 2], 2)
    page = venue.engine.query("ben", ListRatable(after=2, limit=2))
    assert ([(view.settlement, view.other, view.domain) for view in page.settlements], page.next) == (
        [(3, "ann", "help:rust")],
        None,
    )
    assert [view.domain for view in venue.ratable("ann")] == ["payment"] * 3


# ── what counts, and for how much ───────────────────────────────────────────────────────────────


def test_a_failed_session_is_rated_like_any_other(venue: Help) -> None:
    venue.offer("ann", 10)
    venue.ask("ben")
    venue.must("ann", GiveUp, settlement=1)
    venue.both_rate(1, "ben", "ann", 0)
    assert venue.known("ann") == (1 * CREDIT // 12, 10 * CREDIT)


def test_no_rating_counts_for_more_than_100_credits(venue: Help) -> None:
    venue.both_rate(venue.session("ann", "ben", 400), "ben", "ann", 100)
    assert venue.known("ann") == (101 * CREDIT // 102, 100 * CREDIT)


def test_other_settlements_count_for_work(venue: Help) -> None:
    settlement = venue.agreed("ben", "ann", 10)
    venue.both_rate(settlement, "ben", "ann", 50)
    assert venue.known("ann", "work") == (500_000, 10 * CREDIT)
    assert venue.known("ben", "payment") == (916_666, 10 * CREDIT)


def test_what_costs_nothing_is_not_rated(venue: Help) -> None:
    settlement = venue.agreed("ben", "ann", 0)
    assert_rejected(venue.submit("ben", RateSettlement, settlement=settlement, score=1), Reason.UNKNOWN_SETTLEMENT)


def test_evidence_halves_in_90_days(venue: Help) -> None:
    """(8 + 1) ÷ (8 + 2), then (4 + 1) ÷ (4 + 2), then (2 + 1) ÷ (2 + 2): little evidence looks like little."""
    venue.both_rate(venue.session("ann", "ben", 8), "ben", "ann", 100)
    start_us = venue.time_us
    for half_lives, known in (
        (0, (900_000, 8_000_000)),
        (1, (833_333, 4_000_000)),
        (2, (750_000, 2_000_000)),
        (3, (666_666, 1_000_000)),
    ):
        venue.advance_to(start_us + half_lives * HALF_LIFE_US)
        assert venue.known("ann") == known


def test_nothing_is_left_after_ten_half_lives(venue: Help) -> None:
    venue.both_rate(venue.session("ann", "ben", 100), "ben", "ann", 100)
    start_us = venue.time_us
    venue.advance_to(start_us + 10 * HALF_LIFE_US - 1)
    assert venue.known("ann")[1] > 0
    venue.advance_to(start_us + 10 * HALF_LIFE_US)
    assert venue.known("ann") == NEWCOMER
    # The next ratings clear away what is forgotten, and the pair begins anew.
    venue.both_rate(venue.session("cid", "ben", 100), "ben", "cid", 100)
    venue.both_rate(venue.session("ann", "ben", 100), "ben", "ann", 100)
    assert venue.known("ann")[1] == 100 * CREDIT
    reputations = venue.expertise.reputations
    assert sorted(reputations.agents.rows) == [("ann", "help:rust"), ("ben", "payment"), ("cid", "help:rust")]
    assert sorted(reputations.pairs.rows) == [("ann", "ben"), ("ben", "ann"), ("ben", "cid"), ("cid", "ben")]


def test_everybody_may_ask_for_anybodys_reputation(venue: Help) -> None:
    venue.both_rate(venue.session("ann", "ben", 10, topic="sql"), "ben", "ann", 100)
    venue.both_rate(venue.session("ben", "ann", 10), "ann", "ben", 100)
    result = venue.engine.query("cid", GetReputation(agent="ann"))
    assert [(view.domain, view.inherited) for view in result.domains] == [("help:sql", False), ("payment", False)]
    assert [view.domain for view in venue.engine.query("ben", GetReputation()).domains] == ["help:rust", "payment"]
    with pytest.raises(NotFound, match="nobody is not registered"):
        venue.engine.query("cid", GetReputation(agent="nobody"))


# ── those who would like a better one ───────────────────────────────────────────────────────────


def test_nobody_rates_its_own_owner(venue: Help) -> None:
    """Dealing with oneself brings no rating, and an attempt to rate it is refused."""
    settlement = venue.agreed("anna", "ann", 50)
    for agent in ("ann", "anna"):
        answer = venue.submit(agent, RateSettlement, settlement=settlement, score=100)
        assert_rejected(answer, Reason.UNKNOWN_SETTLEMENT)
    venue.agreed("anna", "ann", 50, origin="tasks")
    assert venue.known("ann", "work") == NEWCOMER


def test_wash_sessions_give_less_and_less(venue: Help) -> None:
    """Of one pair of owners the k-th rating counts for 1/k: ten times 12 credits give 12 × (1 + 1/2 + … + 1/10)."""
    weights = [12, 6, 4, 3, 2, 2, 1, 1, 1, 1]
    for _ in weights:
        venue.both_rate(venue.session("ann", "ben", 12), "ben", "ann", 100)
    assert [weight for *_, weight in published(venue, "ann")[::2]] == weights
    assert venue.known("ann")[1] == sum(12 * CREDIT * 1_000 // k for k in range(1, 11)) // 1_000
    # A stranger's single rating speaks louder than the eleventh.
    venue.both_rate(venue.session("ann", "cid", 12), "cid", "ann", 0)
    assert published(venue, "ann")[-2] == ("cid", "ann", "help:rust", 0, 12)


def test_other_agents_of_the_two_owners_are_the_same_pair(venue: Help) -> None:
    venue.register("bea", owner="ben", endowment=100 * CREDIT)
    venue.both_rate(venue.session("ann", "ben", 12), "ben", "ann", 100)
    venue.both_rate(venue.session("anna", "bea", 12), "bea", "anna", 100)
    assert published(venue, "bea")[0] == ("bea", "anna", "help:rust", 100, 6)


def test_other_domains_are_the_same_pair(venue: Help) -> None:
    venue.both_rate(venue.session("ann", "ben", 12), "ben", "ann", 100)
    venue.both_rate(venue.session("ann", "ben", 12, topic="sql"), "ben", "ann", 100)
    venue.both_rate(venue.agreed("ben", "ann", 12), "ben", "ann", 100)
    assert [weight for *_, weight in published(venue, "ben")[::2]] == [12, 6, 4]


def test_a_ring_gains_no_more_than_its_pairs(venue: Help) -> None:
    """Three owners who go round ten times: each is rated by one other only, and has what a pair has."""
    ring = ("ann", "ben", "cid")
    for _ in range(10):
        for helper, requester in zip(ring, (*ring[1:], ring[0]), strict=True):
            venue.both_rate(venue.session(helper, requester, 12), requester, helper, 100)
    harmonic = sum(12 * CREDIT * 1_000 // k for k in range(1, 11)) // 1_000
    for agent in ring:
        assert venue.known(agent)[1] == harmonic


def test_a_new_name_is_no_new_start(venue: Help) -> None:
    """Of ann's 10 bad credits a new agent of its owner has 5: (0 + 1) ÷ (5 + 2)."""
    venue.both_rate(venue.session("ann", "ben", 10), "ben", "ann", 0)
    venue.must(OPERATOR, RevokeAgent, agent="ann")
    venue.register("ann2", owner="ann", endowment=100 * CREDIT)
    assert venue.known("ann2") == (142_857, 5 * CREDIT)
    assert venue.reputation("ann2").inherited
    assert [view.inherited for view in venue.engine.query("dot", GetReputation(agent="ann2")).domains] == [True]


def test_a_spare_name_is_no_new_start_either(venue: Help) -> None:
    """Anna was there before ann earned anything; as long as nothing is known of it, it has half of what ann has."""
    venue.both_rate(venue.session("ann", "ben", 10), "ben", "ann", 0)
    assert venue.known("anna") == (142_857, 5 * CREDIT)
    venue.both_rate(venue.session("anna", "cid", 10), "cid", "anna", 100)
    assert venue.known("anna") == (11 * CREDIT // 17, 15 * CREDIT)
    assert not venue.reputation("anna").inherited
    # What was inherited is no evidence for the owner a second time.
    venue.register("ann3", owner="ann")
    assert venue.known("ann3") == (6 * CREDIT // 12, 10 * CREDIT)


def test_what_is_inherited_fades_with_what_it_is_from(venue: Help) -> None:
    venue.both_rate(venue.session("ann", "ben", 8), "ben", "ann", 100)
    venue.advance_to(venue.time_us + HALF_LIFE_US)
    assert venue.known("anna") == (750_000, 2 * CREDIT)


# ── what other mechanisms know ──────────────────────────────────────────────────────────────────


class Tell(Command, tag="telling.tell", kw_only=True):
    """State a fact about an agent."""

    agent: str
    domain: str
    score: int
    stake: int
    rater: str | None = None


class Telling(Mechanism):
    """Announce evidence."""

    family: ClassVar[str] = "telling"
    summary: ClassVar[str] = "evidence for tests"

    def commands(self) -> Any:
        return {Tell: CommandRule(self.tell, None, opens=False)}

    def tell(self, agent: AgentRecord, command: Tell) -> Outcome:
        del agent
        fact = EvidenceGiven(command.agent, command.domain, command.score, command.stake, command.rater)
        self.context.announce(fact)
        return self.context.accept(command)

    def dump(self) -> object:
        return []

    def load(self, state: Any) -> None:
        del state


def test_facts_of_other_mechanisms_count() -> None:
    venue = Venue(mechanisms=(*WITH_AGREEMENTS, Telling))
    venue.register("ann", "ben")
    venue.register("anna", owner="ann")
    expertise: Any = venue.engine.mechanisms["expertise"]
    for _ in range(2):
        venue.must("ben", Tell, agent="ann", domain="forecast", score=75, stake=4 * CREDIT)
    assert expertise.score_of("ann", "forecast") == (700_000, 8 * CREDIT)
    for rater in ("ben", "ben", "anna"):
        venue.must("ben", Tell, agent="ann", domain="module", score=100, stake=4 * CREDIT, rater=rater)
    assert expertise.score_of("ann", "module") == (875_000, 6 * CREDIT)
    rows = [(labels, value) for name, _, labels, value in expertise.metrics() if name == "ratings_total" and value]
    assert rows == [({"domain": "forecast"}, 2), ({"domain": "module"}, 2)]

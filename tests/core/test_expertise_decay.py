"""Evidence that fades, in integers, against exact arithmetic; and what holds of scores whatever the ratings were."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.engine import Engine
from exchange.mechanisms import REGISTRY
from exchange.mechanisms.base import AgentRecord
from exchange.mechanisms.expertise.decay import FORGOTTEN_US, HALF_LIFE_US, decayed
from exchange.mechanisms.expertise.reputation import ONE, Reputations

CREDIT: Final = 1_000_000
_LARGEST: Final = 2 * 10**17
"""More evidence than there can be: 100,000 owners, each of which rates for 100 credits, again and again."""

amounts = st.integers(0, _LARGEST)
times = st.integers(0, 12 * HALF_LIFE_US)
scores = st.integers(0, 100)


def exact(amount: int, elapsed_us: int) -> Decimal:
    """Return what is left to 60 digits."""
    with localcontext() as context:
        context.prec = 60
        return Decimal(amount) * Decimal(2) ** (-Decimal(elapsed_us) / Decimal(HALF_LIFE_US))


def bound(amount: int) -> Fraction:
    return 1 + Fraction(amount, 2**46)


@pytest.mark.parametrize("half_lives", range(12))
def test_whole_half_lives_are_exact(half_lives: int) -> None:
    assert decayed(1 << 57, half_lives * HALF_LIFE_US) == 1 << (57 - half_lives)


@given(amounts, times)
def test_fading_is_right_within_the_stated_bound(amount: int, elapsed_us: int) -> None:
    assert abs(Fraction(exact(amount, elapsed_us)) - decayed(amount, elapsed_us)) <= bound(amount)


@given(amounts, st.lists(times, min_size=1, max_size=12))
def test_fading_often_or_seldom_comes_to_the_same(amount: int, steps: list[int]) -> None:
    left = amount
    for step in steps:
        left = decayed(left, step)
    assert abs(left - decayed(amount, sum(steps))) <= (len(steps) + 1) * bound(amount)


@given(amounts, amounts, times, times)
def test_fading_keeps_the_order(first: int, second: int, early: int, late: int) -> None:
    """More stays at least as much, and later nothing is more."""
    low, high = sorted((first, second))
    assert decayed(low, early) <= decayed(high, early)
    early, late = sorted((early, late))
    assert decayed(high, late) <= decayed(high, early) <= high


def test_nothing_is_left_in_the_end() -> None:
    assert decayed(_LARGEST, 64 * HALF_LIFE_US) == 0
    assert decayed(_LARGEST, 10**30) == 0


# ── scores ──────────────────────────────────────────────────────────────────────────────────────

AGENTS: Final = ("a0", "a1", "b0", "b1", "c0")


def reputations() -> tuple[Any, Reputations]:
    """Return the reputations of agents of the owners a, b and c, and the context that has their time."""
    context = Engine(REGISTRY).context
    for name in AGENTS:
        context.agents[name] = AgentRecord(name, name[0], ("trader",), ())
    return context, Reputations(context)


ratings = st.lists(
    st.tuples(
        st.integers(0, 3 * HALF_LIFE_US),
        st.sampled_from((None, *AGENTS)),
        st.sampled_from(AGENTS),
        scores,
        st.integers(0, 200 * CREDIT),
    ),
    max_size=25,
)


def rate_all(history: list[tuple[int, str | None, str, int, int]]) -> tuple[Any, Reputations]:
    context, known = reputations()
    for wait_us, rater, rated, score, stake in history:
        context.time_us += wait_us
        known.rate(rater, rated, "work", score, stake)
    return context, known


@given(ratings)
def test_a_score_is_a_share_and_all_invariants_hold(history: list[Any]) -> None:
    _, known = rate_all(history)
    assert list(known.problems()) == []
    for agent in AGENTS:
        score, evidence = known.score_of(agent, "work")
        assert 0 < score < ONE
        assert evidence >= 0


@given(ratings, st.integers(0, 24), scores)
def test_a_better_rating_never_makes_a_score_worse(history: list[Any], place: int, other: int) -> None:
    if not history:
        return
    place %= len(history)
    wait_us, rater, rated, score, stake = history[place]
    worse, better = sorted((score, other))
    results = []
    for value in (worse, better):
        changed = [*history[:place], (wait_us, rater, rated, value, stake), *history[place + 1 :]]
        _, known = rate_all(changed)
        results.append([known.score_of(agent, "work") for agent in AGENTS])
    for low, high in zip(*results, strict=True):
        # By at most what is rounded off on the way.
        assert low[0] <= high[0] + 1
        assert abs(low[1] - high[1]) <= 1


@given(ratings, st.permutations([("b0", 90), ("c0", 20), (None, 55)]), st.integers(1, 150 * CREDIT))
def test_at_the_same_time_the_order_does_not_matter(history: list[Any], order: list[Any], stake: int) -> None:
    """Ratings of one agent by different owners, in whatever order within a batch."""
    known = []
    for chosen in (order, sorted(order, key=str)):
        _, reached = rate_all(history)
        for rater, score in chosen:
            reached.rate(rater, "a0", "work", score, stake)
        known.append((reached.score_of("a0", "work"), reached.owners.rows["a", "work"]))
    assert known[0] == known[1]


@given(ratings)
def test_a_snapshot_goes_on_as_if_nothing_had_been(history: list[Any]) -> None:
    context, known = rate_all(history)
    other, loaded = reputations()
    loaded.load(known.dump())
    assert loaded.dump() == known.dump()
    for time_us in (context.time_us, context.time_us + HALF_LIFE_US // 3, context.time_us + FORGOTTEN_US):
        context.time_us = other.time_us = time_us
        for agent in AGENTS:
            assert known.score_of(agent, "work") == loaded.score_of(agent, "work")
            assert known.domains_of(agent) == loaded.domains_of(agent)
        assert known.rate("b0", "a0", "work", 70, CREDIT) == loaded.rate("b0", "a0", "work", 70, CREDIT)
        assert loaded.dump() == known.dump()


@given(ratings)
def test_evidence_agrees_with_an_account_in_fractions(history: list[Any]) -> None:
    """The same rules in exact arithmetic, from the beginning of the history, without any state that fades."""
    context, known = rate_all(history)
    model = _Model()
    for wait_us, rater, rated, score, stake in history:
        model.time_us += wait_us
        model.rate(rater, rated, score, stake)
    for agent in AGENTS:
        good, bad = model.known(agent)
        score, evidence = known.score_of(agent, "work")
        assert abs(evidence - (good + bad) * ONE) <= 1
        assert abs(score - (good + 1) / (good + bad + 2) * ONE) <= 2
    assert context.time_us == model.time_us


class _Model:
    """Be the rules again, with every rating kept, to fifty digits."""

    def __init__(self) -> None:
        self.time_us = 0
        self.agents: dict[str, tuple[Fraction, Fraction, int]] = {}
        self.owners: dict[str, tuple[Fraction, Fraction, int]] = {}
        self.pairs: dict[tuple[str, str], tuple[int, int]] = {}

    def _find(self, rows: dict[str, tuple[Fraction, Fraction, int]], key: str) -> tuple[Fraction, Fraction] | None:
        if key not in rows or self.time_us - rows[key][2] >= FORGOTTEN_US:
            return None
        good, bad, since_us = rows[key]
        left = Fraction(exact(1, self.time_us - since_us))
        return good * left, bad * left

    def known(self, agent: str) -> tuple[Fraction, Fraction]:
        own = self._find(self.agents, agent)
        if own is not None:
            return own
        good, bad = self._find(self.owners, agent[0]) or (Fraction(0), Fraction(0))
        return good / 2, bad / 2

    def rate(self, rater: str | None, rated: str, score: int, stake: int) -> None:
        weight = Fraction(min(stake, 100 * CREDIT), CREDIT)
        if not weight or (rater is not None and rater[0] == rated[0]):
            return
        if rater is not None:
            pair = (rater[0], rated[0])
            total, last_us = self.pairs.get(pair, (0, 0))
            total = 1 if self.time_us - last_us >= FORGOTTEN_US else total + 1
            self.pairs[pair] = (total, self.time_us)
            weight /= total
        good, bad = weight * score / 100, weight * (100 - score) / 100
        own = self.known(rated)
        owner = self._find(self.owners, rated[0]) or (Fraction(0), Fraction(0))
        self.agents[rated] = (own[0] + good, own[1] + bad, self.time_us)
        self.owners[rated[0]] = (owner[0] + good, owner[1] + bad, self.time_us)

"""Forecasters: what their moves are worth, what counts for their reputation, and what does not."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from exchange.messages.admin import Settings
from exchange.messages.expertise import GetReputation
from exchange.messages.predictions import AcceptResolution, BuyShares, MintSets, PlaceShareOrder, SellShares
from exchange.messages.tasks import PostTask
from exchange.testing import SECOND_US, encode_command
from tests.core.bets import SHARE, Bets
from tests.core.work import CREDIT

if TYPE_CHECKING:
    from exchange.messages.base import Command


@pytest.fixture
def venue() -> Bets:
    return Bets()


def score(venue: Bets, agent: str) -> tuple[int, int]:
    """Return score and evidence in the domain of forecasts, in millionths."""
    for view in venue.engine.query(agent, GetReputation(agent=agent)).domains:  # type: ignore[attr-defined]
        if view.domain == "forecast":
            return view.score, view.evidence
    return 500_000, 0


def ended(venue: Bets, agent: str) -> tuple[bool, int, int]:
    event = venue.told(agent, "predictions.ended")[-1]
    return event.scored, event.brier, event.log


def test_who_moves_prices_towards_what_happens_gains(venue: Bets) -> None:
    """From 0.5 to 0.622: the Brier score falls from 0.5 to 0.285, of which 0.5 are 50 points; ln 2 of the logarithm."""
    venue.open()
    cost = venue.buy_shares("ann", "yes", 5 * SHARE)
    venue.resolve("yes")
    venue.let_be_final()
    # 50 + 50 × (0.5 - 2 × 0.377541²) ÷ 0.5 = 71.49; 50 + 50 × ln(0.6225 ÷ 0.5) ÷ ln 2 = 65.8.
    assert ended(venue, "ann") == (True, 71, 66)
    # 2.809299 at stake, 71 % of it good: (1.99460 + 1) ÷ (2.809299 + 2).
    assert score(venue, "ann") == (622_669, cost)


def test_who_moves_them_away_loses(venue: Bets) -> None:
    venue.open()
    venue.buy_shares("ann", "yes", 5 * SHARE)
    venue.resolve("no")
    venue.let_be_final()
    assert ended(venue, "ann") == (True, 23, 30)
    assert score(venue, "ann")[0] < 500_000


def test_there_and_back_is_no_forecast(venue: Bets) -> None:
    venue.open()
    venue.buy_shares("ann", "yes", 5 * SHARE)
    venue.sell_shares("ann", "yes", 5 * SHARE)
    venue.resolve("yes")
    venue.let_be_final()
    assert ended(venue, "ann") == (True, 50, 50)


def test_late_certainty_is_worth_little(venue: Bets) -> None:
    """Whoever only repeats what the price says already moves next to nothing, however much it stakes."""
    venue.open()
    venue.buy_shares("ann", "yes", 40 * SHARE)
    venue.buy_shares("ben", "yes", 20 * SHARE)
    venue.resolve("yes")
    venue.let_be_final()
    assert ended(venue, "ann")[1] > 95
    assert ended(venue, "ben")[1] == 50


def test_the_weight_is_what_was_at_stake(venue: Bets) -> None:
    """A small move in the wrong direction does not undo a great one in the right one."""
    venue.open()
    venue.buy_shares("ann", "yes", 20 * SHARE)
    venue.buy_shares("ann", "no", SHARE // 10)
    venue.resolve("yes")
    venue.let_be_final()
    assert ended(venue, "ann")[1] > 85


def test_in_markets_of_its_own_owner_nobody_is_scored(venue: Bets) -> None:
    venue.register("sister", owner="poster", endowment=100 * CREDIT)
    venue.open()
    venue.buy_shares("sister", "yes", 5 * SHARE)
    venue.buy_shares("poster", "yes", 5 * SHARE)
    venue.resolve("yes")
    venue.let_be_final()
    for agent in ("sister", "poster"):
        assert ended(venue, agent) == (False, 0, 0)
        assert score(venue, agent) == (500_000, 0)


def test_who_does_a_task_is_not_scored_for_knowing_whether_it_will_be_done() -> None:
    """Nor is another agent of its owner; others are, for they can only guess."""
    venue = Bets()
    venue.register("ann-2", owner="ann", endowment=100 * CREDIT)
    venue.post()
    venue.bet_on()
    venue.bid("ann", 20)
    venue.close()
    for name in ("ann", "ann-2", "ben"):
        venue.buy_shares(name, "yes")
    venue.deliver()
    venue.confirm()
    scored = {name: venue.told(name, "predictions.ended")[0].scored for name in ("ann", "ann-2", "ben")}
    assert scored == {"ann": False, "ann-2": False, "ben": True}


def test_one_creator_counts_less_each_time(venue: Bets) -> None:
    """The creator is on the other side, so the second market of the same pair of owners counts half."""
    evidence = []
    for number in (1, 2):
        venue.open()
        venue.buy_shares("ann", "yes", 5 * SHARE, market=number)
        venue.resolve("yes", market=number)
        venue.must("poster", AcceptResolution, market=number)
        evidence.append(score(venue, "ann")[1])
    assert evidence[1] - evidence[0] == pytest.approx(evidence[0] / 2, abs=2)


def test_void_markets_score_nobody(venue: Bets) -> None:
    venue.open()
    venue.buy_shares("ann", "yes", 5 * SHARE)
    venue.resolve(None)
    venue.let_be_final()
    assert ended(venue, "ann") == (False, 0, 0)
    assert score(venue, "ann") == (500_000, 0)


def test_scores_survive_a_snapshot_in_the_middle(venue: Bets) -> None:
    venue.open(outcomes=["a", "b", "c"])
    venue.buy_shares("ann", "a", 3 * SHARE)
    venue.buy_shares("ben", "b", 4 * SHARE)
    venue.reload()
    venue.buy_shares("ann", "a", 2 * SHARE)
    venue.reload()
    venue.resolve("a")
    venue.let_be_final()
    assert ended(venue, "ann")[1] > 50 > ended(venue, "ben")[1]


# ── what a trade costs ──────────────────────────────────────────────────────────────────────────


def calls_of(venue: Bets, agent: str, kind: type[Command], **fields: Any) -> int:
    """Return how many functions run for one command, in a batch of its own, without the tests' own proofs."""
    command = venue.command(agent, kind, **fields)
    batch = venue._batch(venue.time_us, [(agent, command, encode_command(command))])
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        outputs = venue.engine.apply(batch)
    finally:
        sys.setprofile(None)
    assert b'"status":"accepted"' in outputs.outcomes[0]
    venue.digests.append(outputs.digest())
    return calls


def busy(markets: int, traders: int) -> Bets:
    """Return a venue with so many markets of each kind, in the first of which so many agents have traded."""
    venue = Bets(check_every=10_000)
    names = [f"agent{number}" for number in range(traders)]
    venue.register(*names, endowment=5 * CREDIT)
    lmsr, book = venue.open(liquidity=10_000), venue.open(kind="book")
    for _ in range(markets):
        venue.open(liquidity=10_000)
        venue.open(kind="book")
    for name in names:
        venue.buy_shares(name, "yes", 7, market=lmsr, max_cost=CREDIT)
        venue.order(name, "buy", 1, 10, "no", market=book)
    venue.buy_shares("ann", "yes", 7, market=lmsr)
    venue.order("ann", "buy", 1, 11, "no", market=book)
    return venue


def test_a_thousand_open_markets_and_many_traders_do_not_change_what_a_trade_costs() -> None:
    """As many functions run, but for terms and logarithms that are remembered or not: nothing is walked through."""
    few, many = busy(0, 3), busy(499, 60)
    place: dict[str, Any] = {"market": 2, "outcome": "yes", "side": "buy", "shares": SHARE, "price": 50_000}
    for kind, fields in (
        (BuyShares, {"market": 1, "outcome": "yes", "shares": 5, "max_cost": CREDIT}),
        (SellShares, {"market": 1, "outcome": "yes", "shares": 5}),
        (MintSets, {"market": 2, "sets": 1}),
        (PlaceShareOrder, place),
        (PlaceShareOrder, {**place, "price": 890_000}),
        (PostTask, {
            "title": "mend it", "effort_minutes": 60, "reserve": CREDIT, "closes_at_us": few.time_us + 60 * SECOND_US,
            "deadline_us": few.time_us + 7_200 * SECOND_US,
        }),
    ):  # fmt: skip
        assert abs(calls_of(few, "ann", kind, **fields) - calls_of(many, "ann", kind, **fields)) < 40, kind


@pytest.mark.alone
def test_the_payout_of_a_full_market_does_not_hold_up_a_venue() -> None:
    """All of the 500 agents that may trade are paid, told and scored in one step."""
    venue = Bets(check_every=10_000, settings=Settings(max_agents=1_000))
    names = [f"agent{number}" for number in range(500)]
    venue.register(*names, endowment=2 * CREDIT)
    venue.open(liquidity=100 * CREDIT)
    for name in names:
        venue.buy_shares(name, "yes", SHARE, max_cost=2 * CREDIT)
    venue.resolve("yes")
    began = time.perf_counter()
    venue.let_be_final()
    took = time.perf_counter() - began
    assert venue.look().ended == "resolved"
    assert took < 0.5, "in Python; some tens of milliseconds where nothing else runs"

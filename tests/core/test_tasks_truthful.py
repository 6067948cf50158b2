"""Truth is the best bid in a second-price auction, and is not in a first-price one; and what is sealed stays so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.mechanisms.tasks.pricing import Ranked, price_of, rank
from exchange.messages.settlements import ListSettlements
from exchange.messages.tasks import (
    BidOnTask,
    CancelTask,
    GetStandingBid,
    GetTask,
    ListBids,
    ListTasks,
    SetStandingBid,
    WithdrawTaskBid,
)
from exchange.testing import OPERATOR
from tests.core.work import CREDIT, WORKERS, Work

if TYPE_CHECKING:
    from exchange.messages.tasks import Direction, Pricing

RESERVE = 30

amounts = st.integers(1, 60)


def utility(mine: int, value: int, others: list[int], direction: Direction, pricing: Pricing, place: int) -> int:
    """Return what a bidder gains by bidding ``mine``, as the ``place``-th to bid, when the work is worth ``value``.

    In a procurement ``value`` is its cost, in a sale what it is ready to pay.
    """
    bids = [*others[:place], mine, *others[place:]]
    is_within = (lambda bid: bid <= RESERVE) if direction == "procurement" else (lambda bid: bid >= RESERVE)
    entered = [Ranked(bid, number) for number, bid in enumerate(bids) if is_within(bid)]
    if not any(bid.bid == place for bid in entered):
        return 0
    ranked = rank(entered, direction)
    if ranked[0].bid != place:
        return 0
    price = price_of(ranked, direction, pricing, RESERVE)
    return price - value if direction == "procurement" else value - price


@settings(max_examples=600)
@given(
    value=amounts,
    lie=amounts,
    others=st.lists(amounts, max_size=5),
    direction=st.sampled_from(["procurement", "sale"]),
    place=st.integers(0, 5),
)
def test_no_lie_beats_the_truth_at_the_second_price(
    value: int, lie: int, others: list[int], direction: Direction, place: int
) -> None:
    place = min(place, len(others))
    truth = utility(value, value, others, direction, "second_price", place)
    assert utility(lie, value, others, direction, "second_price", place) <= truth
    assert truth >= 0


@given(value=st.integers(1, 20), others=st.lists(st.integers(22, 29), min_size=1, max_size=4))
def test_at_the_first_price_it_pays_to_ask_for_more_than_the_cost(value: int, others: list[int]) -> None:
    """Who says the truth gains nothing; who asks for just less than the next best gains the difference."""
    shaded = min(others) - 1
    assert utility(value, value, others, "procurement", "first_price", 0) == 0
    assert utility(shaded, value, others, "procurement", "first_price", 0) == shaded - value > 0


@given(value=st.integers(40, 60), others=st.lists(st.integers(31, 38), min_size=1, max_size=4))
def test_at_the_first_price_it_pays_to_offer_less_than_the_value(value: int, others: list[int]) -> None:
    shaded = max(others) + 1
    assert utility(value, value, others, "sale", "first_price", 0) == 0
    assert utility(shaded, value, others, "sale", "first_price", 0) == value - shaded > 0


@settings(max_examples=25, deadline=None)
@given(costs=st.lists(st.integers(1, 29), min_size=3, max_size=3), lie=st.integers(1, 30), liar=st.integers(0, 2))
def test_the_venue_prices_as_the_arithmetic_says(costs: list[int], lie: int, liar: int) -> None:
    """The same through the real auction: what the liar has in the end is never more than by the truth."""

    def worth(bids: list[int]) -> int:
        venue = Work()
        venue.post()
        for agent, bid in zip(WORKERS, bids, strict=True):
            assert venue.bid(agent, bid).accepted
        task = venue.close()
        if task.winner != WORKERS[liar]:
            return 0
        assert task.price is not None
        return task.price // CREDIT - costs[liar]

    told = [*costs[:liar], lie, *costs[liar + 1 :]]
    assert worth(told) <= worth(costs)


@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.integers(31, 60), min_size=3, max_size=3), lie=st.integers(30, 60), liar=st.integers(0, 2))
def test_so_it_does_in_a_sale(values: list[int], lie: int, liar: int) -> None:
    """What the liar has paid is on its account: its gain is the value of the work less that."""

    def worth(bids: list[int]) -> int:
        venue = Work()
        venue.post(direction="sale")
        for agent, bid in zip(WORKERS, bids, strict=True):
            assert venue.bid(agent, bid).accepted
        won = venue.close().winner == WORKERS[liar]
        return (values[liar] if won else 0) + sum(venue.purse(WORKERS[liar])) - 100

    told = [*values[:liar], lie, *values[liar + 1 :]]
    assert worth(told) <= worth(values)


# ── sealed ──────────────────────────────────────────────────────────────────────────────────────


def seen_by_others(venue: Work, bidder: str) -> dict[str, Any]:
    """Return all that anybody but a bidder may find out: events, answers to queries, metrics, the ledger's totals."""
    engine = venue.engine
    seen: dict[str, Any] = {}
    for name in (*engine.agents, OPERATOR):
        if name == bidder:
            continue
        seen[name] = [msgspec.to_builtins(event) for event in venue.events(name)]
        for query in (GetTask(task=1), ListTasks(), ListTasks(mine=True), ListTasks(skill="python"), ListSettlements()):
            found = msgspec.to_builtins(engine.query(name, query))
            # The bid was a record of its own; that a record was written is no secret, its sender is.
            found.pop("index")
            seen[name, query.__class__.__name__, str(query)] = found
    for family, mechanism in engine.mechanisms.items():
        seen["metrics", family] = [(name, labels, value) for name, _, labels, value in mechanism.metrics()]
    for asset in engine.ledger.assets.values():
        seen["ledger", asset.name] = {kind: total.amount for kind, total in asset.totals.items()}
    return seen


def test_nothing_shows_before_the_close_that_somebody_bid() -> None:
    """With and without a bid, a standing bid, a replaced and a withdrawn one, all others see the same."""
    for direction in ("procurement", "sale"):
        quiet, loud = Work(), Work()
        for venue in (quiet, loud):
            venue.post(direction=direction)
        loud.bid("ann", 30)
        loud.bid("ann", 30)
        assert seen_by_others(quiet, "ann") == seen_by_others(loud, "ann")
        loud.must("ann", WithdrawTaskBid, task=1)
        loud.stand("ann", 10)
        assert seen_by_others(quiet, "ann") == seen_by_others(loud, "ann")


@pytest.mark.parametrize("direction", ["procurement", "sale"])
@pytest.mark.parametrize("restarts", [False, True])
def test_no_other_bidder_learns_of_a_bid_from_its_own(direction: str, restarts: bool) -> None:
    """Whoever bids, looks, withdraws, or is refused after a bid of another gets the very same answers as without it."""

    def run(*, is_loud: bool) -> list[object]:
        venue = Work()
        venue.post(direction=direction)
        venue.post(direction=direction)
        heard: list[object] = []
        for step in range(4):
            if is_loud:
                venue.bid("ann", 30)
                venue.stand("ann", 10)
            if restarts and step == 2:
                venue.reload()
            for agent, command, fields in (
                ("ben", BidOnTask, {"task": 1, "price": 30 * CREDIT}),
                ("ben", BidOnTask, {"task": 2, "price": 30 * CREDIT}),
                ("ben", SetStandingBid, {"fixed_price": 5, "skills": ["python"]}),
                ("cid", WithdrawTaskBid, {"task": 1}),
                ("poster", BidOnTask, {"task": 1, "price": 30 * CREDIT}),
            ):
                answer = venue.submit(agent, command, **fields)
                heard.append(without_places(answer.data))
            for query in (ListBids(), GetTask(task=1), GetStandingBid()):
                heard.append(without_places(msgspec.to_builtins(venue.engine.query("ben", query))))
        if is_loud:
            venue.must("ann", WithdrawTaskBid, task=1)
        venue.must("poster", CancelTask, task=1)
        heard.append(without_places(seen_by_others(venue, "ann")))
        return heard

    assert run(is_loud=False) == run(is_loud=True)


def without_places(found: Any) -> Any:
    """Return an answer without its place in the journal and its time: that something was written is no secret."""
    if isinstance(found, dict):
        return {key: without_places(value) for key, value in found.items() if key not in ("index", "id", "stamp")}
    return [without_places(value) for value in found] if isinstance(found, list | tuple) else found


def test_without_an_award_nothing_shows_after_the_close_either() -> None:
    quiet, loud = Work(), Work()
    for venue in (quiet, loud):
        venue.post()
    loud.bid("ann", 30)
    loud.must("ann", WithdrawTaskBid, task=1)
    for venue in (quiet, loud):
        venue.close()
    assert seen_by_others(quiet, "ann") == seen_by_others(loud, "ann")


def test_an_offer_that_waits_shows_to_nobody_else() -> None:
    quiet, loud = Work(), Work()
    for venue, price in ((quiet, 31), (loud, 10)):
        venue.post(max_rounds=2)
        venue.stand("ann", price)
        venue.advance_to(venue.view_task().closes_at_us)
    assert loud.told("ann", "tasks.offered")
    assert "offered" not in str(seen_by_others(loud, "ann"))
    assert loud.engine.query("cid", ListTasks()).tasks == []


def test_after_the_award_everybody_sees_why() -> None:
    venue = Work()
    venue.post()
    venue.bid("ann", 20)
    venue.bid("ben", 18)
    venue.close()
    for name in ("ann", "ben", "cid", "poster"):
        task = venue.view_task(agent=name)
        assert (task.winner, task.price, task.bids) == ("ben", 20 * CREDIT, 2)
    # What the others bid, nobody sees.
    assert "18" not in str(msgspec.to_builtins(venue.view_task(agent="cid")))

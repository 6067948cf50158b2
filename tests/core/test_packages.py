"""Package auctions: who wins, who pays what, and what the rules refuse of an answer."""

from __future__ import annotations

from itertools import product
from random import Random
from typing import Any

import pytest

from exchange.daemon.determiner import solve_apart
from exchange.messages.admin import RevokeAgent, Settings
from exchange.messages.packages import (
    CancelPackages,
    DeterminePackages,
    ListPackageBids,
    PackageWinner,
    SignPackageBid,
    WithdrawPackageBid,
)
from exchange.messages.reasons import Reason
from exchange.solver import determine
from exchange.testing import OPERATOR, SECOND_US, assert_rejected
from tests.core.house import House
from tests.core.work import CREDIT, HOUR_US, MINUTE_US


@pytest.fixture
def house() -> House:
    venue = House()
    venue.open()
    return venue


def test_the_worked_example_of_the_document(house: House) -> None:
    """Ann and Ben ask 18 each, the team 30 for both: it is paid 36, 18 each; 4 go back."""
    house.register("dot", endowment=0)
    house.offer("ann", ("a", 18))
    house.offer("ben", ("b", 18))
    house.offer("cid", ("ab", 30), team={"cid": 1, "dot": 1})
    house.must("dot", SignPackageBid, auction=1, bidder="cid", version=1)
    assert house.purse("poster") == (60, 0)
    house.close_bids()
    assert house.auction().state == "determining"
    assert house.answer().accepted
    view = house.auction()
    assert (view.state, view.priced, view.optimal, view.surplus, view.greedy_surplus) == (
        "awarded",
        "vcg",
        True,
        10 * CREDIT,
        10 * CREDIT,
    )
    assert view.winners[0].parts == {"cid": 18 * CREDIT, "dot": 18 * CREDIT}
    assert house.purse("poster") == (64, 0)
    for number in (1, 2):
        house.deliver(number)
        house.confirm(number)
    assert house.purse("cid") == (118, 0)
    assert house.purse("dot") == (18, 0)


def test_a_sale_holds_and_the_buyers_pay_into_settlements() -> None:
    """Ann offers 30 for both and pays 25, as much as the others would have paid; the poster delivers."""
    house = House()
    house.open(direction="sale", items=[{"name": "a", "reserve": 0}, {"name": "b", "reserve": 0}])
    assert house.offer("ann", ("ab", 30)).data["held"] == 30 * CREDIT
    house.offer("ben", ("a", 15), ("b", 12))
    house.offer("cid", ("b", 10))
    house.close_bids()
    assert house.answer().accepted
    assert house.purse("ann") == (75, 0)
    assert house.purse("ben") == (100, 0)
    settlement = house.settlement()
    assert (settlement.payer, settlement.provider, settlement.price) == ("ann", "poster", 25 * CREDIT)


def test_without_an_answer_the_greedy_choice_pays_as_bid(house: House) -> None:
    """One microsecond before the deadline an answer still counts; at it the simple rule wins, also after a reload."""
    house.offer("ann", ("a", 10))
    house.offer("ben", ("b", 12))
    house.close_bids()
    house.reload()
    house.advance_to(house.auction().closes_at_us + 30 * SECOND_US - 1)
    assert house.auction().state == "determining"
    house.advance_to(house.auction().closes_at_us + 30 * SECOND_US)
    view = house.auction()
    assert (view.state, view.priced, view.optimal) == ("awarded", "pay_as_bid", False)
    assert [winner.payment for winner in view.winners] == [10 * CREDIT, 12 * CREDIT]


def test_a_new_leader_has_time_to_determine(house: House) -> None:
    """The deadline moves over an outage; the problem is still open."""
    house.offer("ann", ("a", 10))
    house.close_bids()
    house.change_leader(3_600)
    assert house.auction().state == "determining"
    assert house.answer().accepted


def test_what_is_not_signed_is_void(house: House) -> None:
    house.offer("ann", ("ab", 10), team={"ann": 1, "ben": 2})
    house.close_bids()
    assert house.auction().state == "unawarded"
    assert house.purse("poster") == (100, 0)
    assert house.told("ben", "packages.bid_dropped")[0].reason == "unsigned"


def test_bids_are_sealed(house: House) -> None:
    """Neither the poster nor a stranger sees that there is a bid."""
    before, heard = house.auction(), len(house.events("poster"))
    rows = list(house.packages.metrics())
    house.offer("ann", ("a", 10))
    assert house.auction() == before
    assert len(house.events("poster")) == heard
    assert list(house.packages.metrics()) == rows
    assert house.engine.query("ben", ListPackageBids()).bids == []  # type: ignore[attr-defined]
    assert house.engine.query("ann", ListPackageBids()).bids  # type: ignore[attr-defined]


def test_a_signature_is_for_the_bid_that_was_read(house: House) -> None:
    """Ann bids anew after Ben was asked, and even takes it back: what Ben read is no more."""
    house.offer("ann", ("ab", 30), team={"ann": 1, "ben": 1})
    house.offer("ann", ("ab", 5), team={"ann": 1, "ben": 1})
    assert_rejected(house.submit("ben", SignPackageBid, auction=1, bidder="ann", version=1), Reason.UNKNOWN_BID)
    house.must("ann", WithdrawPackageBid, auction=1)
    house.offer("ann", ("ab", 4), team={"ann": 1, "ben": 1})
    house.reload()
    assert_rejected(house.submit("ben", SignPackageBid, auction=1, bidder="ann", version=2), Reason.UNKNOWN_BID)
    house.must("ben", SignPackageBid, auction=1, bidder="ann", version=3)


def test_lies_are_refused(house: House) -> None:
    house.offer("ann", ("a", 10), ("ab", 25))
    house.offer("ben", ("a", 12), ("b", 12))
    house.close_bids()
    lies: list[dict[str, Any]] = [
        {"winners": []},
        {"winners": [{"bid": 9, "alternative": 0, "payment": 1}]},
        {"winners": [{"bid": 1, "alternative": 2, "payment": 1}]},
        {"winners": [{"bid": 1, "alternative": 0, "payment": 1}]},
        {"winners": [{"bid": 1, "alternative": 0, "payment": 21 * CREDIT}]},
        {"winners": [{"bid": 1, "alternative": 0, "payment": 10 * CREDIT}] * 2},
        {"winners": [{"bid": n, "alternative": 0, "payment": (8 + 2 * n) * CREDIT} for n in (1, 2)]},
        {"pricing": "pay_as_bid"},
    ]
    for lie in lies:
        winners = lie.get("winners")
        changes = lie if winners is None else {**lie, "winners": [PackageWinner(**row) for row in winners]}
        assert_rejected(house.answer(**changes), Reason.INVALID_DETERMINATION)
    assert_rejected(house.answer(revision=2), Reason.WRONG_STATE)
    assert_rejected(house.answer(auction=2), Reason.UNKNOWN_AUCTION)
    stranger = house.submit("ann", DeterminePackages, auction=1, revision=1, pricing="vcg", optimal=True, winners=[])
    assert_rejected(stranger, Reason.NOT_PERMITTED)
    assert house.answer().accepted


def test_rules_of_bidding(house: House) -> None:
    assert_rejected(house.offer("ann", ("c", 1)), Reason.INVALID_PACKAGE_BID)
    assert_rejected(house.offer("ann", ("aa", 1)), Reason.INVALID_PACKAGE_BID)
    assert_rejected(house.offer("ann", ("a", 21)), Reason.BID_ABOVE_RESERVE)
    assert_rejected(house.offer("ann", ("a", 1), team={"ben": 1}), Reason.INVALID_PACKAGE_BID)
    assert_rejected(house.offer("poster", ("a", 1)), Reason.SAME_OWNER)
    house.offer("ann", ("a", 10), team={"ann": 1, "ben": 1})
    assert_rejected(house.submit("cid", SignPackageBid, auction=1, bidder="ann", version=1), Reason.UNKNOWN_BID)
    assert_rejected(house.submit("cid", WithdrawPackageBid, auction=1, bidder="ann"), Reason.UNKNOWN_BID)
    assert_rejected(house.submit("ann", SignPackageBid, auction=1, bidder="ann", version=1), Reason.NO_CHANGE)
    assert_rejected(house.submit("ann", CancelPackages, auction=1), Reason.NOT_PERMITTED)
    house.must("ben", WithdrawPackageBid, auction=1, bidder="ann")
    house.must("poster", CancelPackages, auction=1)
    assert house.purse("poster") == (100, 0)
    assert_rejected(house.offer("ann", ("a", 10)), Reason.WRONG_STATE)


def test_rules_of_opening(house: House) -> None:
    late = house.time_us + MINUTE_US
    item = {"name": "a", "reserve": CREDIT}
    for wrong in (
        {"closes_at_us": late - 1},
        {"deliver_by_us": late + 30 * SECOND_US},
        {"deliver_by_us": house.time_us + 367 * 24 * HOUR_US},
        {"items": [item, item]},
        {"items": [{"name": "a", "reserve": 0}]},
    ):
        assert_rejected(house.open(**wrong), Reason.INVALID_PACKAGE_TERMS)
    assert_rejected(house.open(attester="ann"), Reason.UNKNOWN_AGENT)
    assert_rejected(house.open(items=[{"name": "a", "reserve": 61 * CREDIT}]), Reason.INSUFFICIENT_CREDITS)


def test_an_owner_has_so_many_auctions() -> None:
    house = House(settings=Settings(max_package_auctions=1))
    house.open()
    assert_rejected(house.open(), Reason.TOO_MANY_AUCTIONS)


def test_a_member_that_is_revoked_while_winners_are_determined_ends_its_bids() -> None:
    """Its hold is free at once, and an answer to the old problem comes too late."""
    house = House()
    house.open(direction="sale", items=[{"name": "a", "reserve": 0}])
    house.offer("ann", ("a", 30))
    house.offer("ben", ("a", 20))
    house.close_bids()
    house.must(OPERATOR, RevokeAgent, agent="ann")
    assert house.purse("ann") == (0, 0)
    assert_rejected(house.answer(revision=1), Reason.WRONG_STATE)
    assert house.answer().accepted
    assert [winner.bidder for winner in house.auction().winners] == ["ben"]


def test_of_all_bids_of_an_owner_one_wins(house: House) -> None:
    """Ann is in two bids that do not overlap."""
    house.offer("ann", ("a", 10))
    house.offer("ben", ("b", 1), team={"ben": 1, "ann": 1})
    house.must("ann", SignPackageBid, auction=1, bidder="ben", version=1)
    house.close_bids()
    assert house.answer().accepted
    assert [(winner.bidder, winner.payment) for winner in house.auction().winners] == [("ben", 20 * CREDIT)]


# ── the solver ──────────────────────────────────────────────────────────────────────────────────


def _exhaustive(bids: list[Any]) -> tuple[int, list[tuple[int, int]]]:
    """Try every choice; of equal ones the earliest bid wins, by its first alternative."""
    best: tuple[int, list[tuple[int, int]]] = (-1, [])
    # The first found of equal ones is the one wanted: alternatives in order, and none last.
    for places in product(*([*range(len(bid[2])), None] for bid in bids)):
        taken: list[Any] = []
        surplus, picks = 0, []
        for bid, place in zip(bids, places, strict=True):
            if place is not None:
                taken += [*bid[2][place][0], *bid[1]]
                surplus += bid[2][place][1]
                picks.append((bid[0], place))
        if len(taken) == len(set(taken)) and surplus > best[0]:
            best = surplus, picks
    return best


def _problem(random: Random) -> list[Any]:
    high = random.choice((3, 50, 10**11))
    bids = []
    for number in range(1, random.randint(2, 6)):
        owners = random.sample("pqrst", random.choice((1, 1, 1, 2)))
        choices = []
        for _ in range(random.randint(1, 3)):
            items = sorted(random.sample(range(4), random.randint(1, 3)))
            choices.append((items, random.randint(0, high), 10**12))
        bids.append((number, owners, choices))
    return bids


def test_winners_and_payments_are_those_of_exhaustive_search() -> None:
    random = Random(7)
    for round_ in range(500):
        bids, is_sale = _problem(random), round_ % 2 == 0
        surplus, picks = _exhaustive(bids)
        answer = determine((1, 1, is_sale, True, bids))
        assert (answer.pricing, answer.optimal) == ("vcg", True)
        assert [(bid, place) for bid, place, _ in answer.winners] == picks
        for bid, _, payment in answer.winners:
            owners = set(bids[bid - 1][1])
            gain = surplus - _exhaustive([other for other in bids if owners.isdisjoint(other[1])])[0]
            assert payment == (10**12 - gain if is_sale else 10**12 + gain)


def test_no_misreport_beats_the_truth() -> None:
    """Whatever the others bid, an owner with one bid gains most by its true costs: 300 times, in exact integers."""
    random = Random(11)
    for _ in range(300):
        reserve = 12
        others = [(number, [f"o{number}"], _priced(random, reserve)) for number in range(2, random.randint(3, 6))]
        costs = _priced(random, reserve)
        lie = [(items, len(items) * reserve - price, price) for items, _, price in costs]
        for place, (items, _, _) in enumerate(lie):
            price = random.randint(1, len(items) * reserve)
            lie[place] = (items, len(items) * reserve - price, price)
        assert _gain(costs, lie, others) <= _gain(costs, costs, others)


def _priced(random: Random, reserve: int) -> list[tuple[list[int], int, int]]:
    found = []
    for _ in range(random.randint(1, 3)):
        items = sorted(random.sample(range(3), random.randint(1, 3)))
        price = random.randint(1, len(items) * reserve)
        found.append((items, len(items) * reserve - price, price))
    return found


def _gain(costs: list[Any], said: list[Any], others: list[Any]) -> int:
    answer = determine((1, 1, False, True, [(1, ["me"], said), *others]))
    assert answer.pricing == "vcg"
    return sum(payment - costs[place][2] for bid, place, payment in answer.winners if bid == 1)


async def test_a_process_of_its_own_solves() -> None:
    """What the daemon starts comes to what the same function comes to here."""
    problem = (1, 3, True, True, [(1, ["p"], [([0], 5, 7), ([0, 1], 8, 9)]), (2, ["q"], [([1], 4, 4)])])
    assert await solve_apart(problem) == determine(problem)

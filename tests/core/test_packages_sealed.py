"""Sealed means sealed: with and without a bid, everybody else sees and hears the very same, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from exchange.messages.admin import GetBalances, RevokeAgent
from exchange.messages.orders import CancelAllAfter
from exchange.messages.packages import (
    CancelPackages,
    GetPackages,
    ListPackageBids,
    ListPackages,
    SignPackageBid,
    WithdrawPackageBid,
)
from exchange.messages.settlements import ListSettlements
from exchange.testing import OPERATOR
from tests.core.house import House
from tests.core.work import CREDIT

if TYPE_CHECKING:
    from collections.abc import Callable

Step = tuple[str, str, dict[str, Any]]

QUERIES: Final = (
    GetPackages(auction=1), GetPackages(auction=2), ListPackages(), ListPackages(after=1), ListPackageBids(),
    ListSettlements(), GetBalances(),
)  # fmt: skip


def seen_by_others(house: House, *bidders: str) -> dict[Any, Any]:
    """Return all that anybody else may find out: events, answers to queries, metrics, the ledger's totals."""
    engine, seen = house.engine, {}
    for name in (*engine.agents, OPERATOR):
        if name in bidders:
            continue
        seen[name] = [without_places(msgspec.to_builtins(event)) for event in house.events(name)]
        for query in QUERIES:
            seen[name, str(query)] = without_places(msgspec.to_builtins(engine.query(name, query)))
    for family, mechanism in engine.mechanisms.items():
        seen["metrics", family] = [(name, labels, value) for name, _, labels, value in mechanism.metrics()]
    for asset in engine.ledger.assets.values():
        seen["ledger", asset.name] = {kind: total.amount for kind, total in asset.totals.items()}
    return seen


def without_places(found: Any) -> Any:
    """Leave out the place in the journal and the command's own id: that something was written is no secret."""
    if isinstance(found, dict):
        return {key: without_places(value) for key, value in found.items() if key not in ("index", "id")}
    return [without_places(value) for value in found] if isinstance(found, list | tuple) else found


def houses(direction: str, endowed: tuple[str, ...] = ("dot", "eve")) -> list[House]:
    """Return two houses of two auctions, each with two more agents."""
    found = []
    for _ in range(2):
        house = House()
        house.register(*endowed, endowment=100 * CREDIT)
        for _ in range(2):
            reserve = 20 * CREDIT if direction == "procurement" else 0
            house.open(direction=direction, items=[{"name": name, "reserve": reserve} for name in "ab"])
        found.append(house)
    return found


def bid(house: House) -> None:
    house.offer("ann", ("a", 10), ("ab", 15))


def bid_twice(house: House) -> None:
    bid(house)
    house.offer("ann", ("b", 3))


def bid_as_a_team(house: House) -> None:
    house.offer("ann", ("ab", 10), team={"ann": 1, "dot": 2})
    house.sign("dot", "ann")


def withdraw(house: House) -> None:
    bid_as_a_team(house)
    house.must("dot", WithdrawPackageBid, auction=1, bidder="ann")


def bid_and_be_silent(house: House) -> None:
    bid_as_a_team(house)
    house.must("dot", CancelAllAfter, seconds=5)
    house.advance(5)


ACTS: Final = (bid, bid_twice, bid_as_a_team, withdraw, bid_and_be_silent)


@pytest.mark.parametrize("direction", ["procurement", "sale"])
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_nothing_shows_before_the_close_that_somebody_bid(direction: str, act: Callable[[House], None]) -> None:
    quiet, loud = houses(direction)
    act(loud)
    quiet.advance_to(loud.time_us)
    assert seen_by_others(quiet, "ann", "dot") == seen_by_others(loud, "ann", "dot")
    loud.reload()
    quiet.reload()
    assert seen_by_others(quiet, "ann", "dot") == seen_by_others(loud, "ann", "dot")


@pytest.mark.parametrize("direction", ["procurement", "sale"])
@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("ends", ["canceled", "closed"])
def test_no_other_bidder_learns_of_a_bid_from_its_own(direction: str, ends: str, *, restarts: bool) -> None:
    """Ben bids, with Cid and alone, signs, withdraws, is refused: his answers are those that he gets without Ann."""

    def steps(house: House) -> list[Any]:
        return [
            house.offer("ben", ("a", 10)).data,
            house.offer("ben", ("ab", 10), team={"ben": 1, "cid": 1}).data,
            house.sign("cid", "ben", 1).data,
            house.sign("cid", "ben", 2).data,
            house.offer("ben", ("a", 9), auction=2).data,
            house.offer("poster", ("a", 10)).data,
            # Whether Ann has a bid, and whether one of hers can be signed or withdrawn, nobody can try out.
            house.submit("eve", SignPackageBid, auction=1, bidder="ann", version=1).data,
            house.submit("eve", WithdrawPackageBid, auction=1, bidder="ann").data,
            house.submit("eve", WithdrawPackageBid, auction=1, bidder="ben").data,
            house.submit("poster", WithdrawPackageBid, auction=1, bidder="ann").data,
            *(msgspec.to_builtins(house.engine.query("ben", query)) for query in QUERIES),
        ]

    quiet, loud = houses(direction)
    heard: tuple[list[Any], list[Any]] = ([], [])
    for round_ in range(3):
        for act in (bid, bid_twice, bid_as_a_team):
            act(loud)
        for house, answers in zip((quiet, loud), heard, strict=True):
            if restarts and round_ == 1:
                house.reload()
            answers.extend(without_places(each) for each in steps(house))
            house.must("ben", WithdrawPackageBid, auction=1)
    loud.must("ann", WithdrawPackageBid, auction=1)
    for house in (quiet, loud):
        if ends == "canceled":
            house.must("poster", CancelPackages, auction=1)
            house.must("ben", WithdrawPackageBid, auction=2)
        else:
            house.must("ben", WithdrawPackageBid, auction=2)
            house.close_bids()
    assert heard[0] == heard[1]
    assert seen_by_others(quiet, "ann", "dot") == seen_by_others(loud, "ann", "dot")


def test_a_canceled_auction_tells_nobody_whether_somebody_bid() -> None:
    quiet, loud = houses("sale")
    bid_as_a_team(loud)
    for house in (quiet, loud):
        house.must("poster", CancelPackages, auction=1)
    assert seen_by_others(quiet, "ann", "dot") == seen_by_others(loud, "ann", "dot")


def test_a_poster_that_is_revoked_takes_the_secret_along() -> None:
    quiet, loud = houses("procurement")
    bid_as_a_team(loud)
    for house in (quiet, loud):
        house.must(OPERATOR, RevokeAgent, agent="poster")
    assert seen_by_others(quiet, "ann", "dot") == seen_by_others(loud, "ann", "dot")


def test_who_may_be_a_member_sees_no_more_of_others_bids_than_before() -> None:
    """Dot was asked to sign Ann's bid: of Ben's she sees nothing, and Ann sees who has signed."""
    quiet, loud = houses("sale")
    for house in (quiet, loud):
        house.offer("ann", ("ab", 10), team={"ann": 1, "dot": 2})
    loud.offer("ben", ("a", 30))
    assert seen_by_others(quiet, "ben") == seen_by_others(loud, "ben")
    assert "30000000" not in str(seen_by_others(loud, "ben"))


def test_after_the_award_losing_bids_stay_sealed() -> None:
    """Everybody sees who won what at which price, and how many bids there were; no price of a loser."""
    house = House()
    house.open(items=[{"name": "a", "reserve": 20 * CREDIT}], pricing="pay_as_bid")
    house.offer("ann", ("a", 11))
    house.offer("ben", ("a", 13))
    house.offer("cid", ("a", 17))
    house.close_bids()
    # Between the close and the award as little as before.
    assert house.auction().bids is None
    assert house.auction().winners == []
    assert house.answer().accepted
    for name in ("poster", "ben", "cid"):
        shown = str(msgspec.to_builtins(house.engine.query(name, GetPackages(auction=1))))
        shown += str([msgspec.to_builtins(event) for event in house.told(name, "packages.ended")])
        assert "'bids': 3" in shown
        assert "'payment': 11000000" in shown
        assert "13000000" not in shown
        assert "17000000" not in shown

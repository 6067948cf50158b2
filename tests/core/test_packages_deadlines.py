"""Deadlines of package auctions, to the microsecond and over outages; and what drops a bid before they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from exchange.messages.admin import HaltAgent, RevokeAgent, Settings
from exchange.messages.orders import CancelAllAfter
from exchange.messages.packages import CancelPackages, WithdrawPackageBid
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, SECOND_US, assert_rejected
from tests.core.house import House
from tests.core.work import CREDIT, MINUTE_US

if TYPE_CHECKING:
    from collections.abc import Callable

GRACE_US: Final = 300 * SECOND_US
DETERMINE_US: Final = 30 * SECOND_US


def stay(house: House) -> None:
    """Let nothing happen."""


def change_leader(house: House) -> None:
    house.change_leader(3_600)


restarts: Final = pytest.mark.parametrize(
    "restart", [stay, House.reload, change_leader], ids=lambda each: each.__name__
)


def sale(**terms: object) -> House:
    """Return a house that sells ``a`` and ``b`` without reserves."""
    house = House()
    house.open(direction="sale", items=[{"name": "a", "reserve": 0}, {"name": "b", "reserve": 0}], **terms)
    return house


def due_us(house: House, number: int = 1) -> int:
    """Return when the auction's next deadline is; after an outage that is not what its terms say."""
    found = house.engine.context.deadlines.due_us(house.packages.auctions[number].deadline_id)
    assert found is not None
    return found


# ── the close ───────────────────────────────────────────────────────────────────────────────────


@restarts
def test_until_the_last_microsecond_one_may_bid_sign_and_withdraw(restart: Callable[[House], None]) -> None:
    house = sale()
    house.offer("cid", ("b", 8), team={"cid": 1, "ben": 1})
    house.offer("ben", ("b", 3))
    began_us = house.time_us
    restart(house)
    closes_at_us = due_us(house)
    expected = house.time_us + GRACE_US if restart is change_leader else began_us + MINUTE_US
    assert closes_at_us == expected
    house.advance_to(closes_at_us - 1)
    assert house.offer("ann", ("a", 5)).accepted
    assert house.sign("ben", "cid").accepted
    house.must("ben", WithdrawPackageBid, auction=1)
    house.advance_to(closes_at_us)
    assert house.auction().state == "determining"
    assert due_us(house) == closes_at_us + DETERMINE_US
    assert house.answer().accepted
    assert [winner.bidder for winner in house.auction().winners] == ["cid", "ann"]


@restarts
def test_at_the_close_nothing_of_a_bid_can_change(restart: Callable[[House], None]) -> None:
    """What was signed by all counts as it stands; what was not is void, and its holds are free."""
    house = sale()
    house.offer("ann", ("a", 5))
    house.offer("cid", ("b", 8), team={"cid": 1, "ben": 1})
    assert house.purse("cid") == (96, 4)
    restart(house)
    house.advance_to(due_us(house))
    assert_rejected(house.offer("ben", ("a", 9)), Reason.WRONG_STATE)
    assert_rejected(house.offer("ann", ("a", 9)), Reason.WRONG_STATE)
    assert_rejected(house.sign("ben", "cid"), Reason.WRONG_STATE)
    assert_rejected(house.submit("ann", WithdrawPackageBid, auction=1), Reason.WRONG_STATE)
    assert_rejected(house.submit("poster", CancelPackages, auction=1), Reason.WRONG_STATE)
    assert house.purse("cid") == (100, 0)
    assert [event.reason for event in house.told("cid", "packages.bid_dropped")] == ["unsigned"]
    assert house.answer().accepted
    assert [winner.bidder for winner in house.auction().winners] == ["ann"]


def test_a_command_in_the_batch_of_the_close_comes_too_late() -> None:
    """Deadlines of a batch go before its commands."""
    house = sale()
    command = house.command("ann", WithdrawPackageBid, auction=1)
    house.offer("ann", ("a", 5))
    house.close_bids()
    assert_rejected(house.send("ann", command), Reason.EXPIRED)
    assert_rejected(house.submit("ann", WithdrawPackageBid, auction=1), Reason.WRONG_STATE)


def test_an_auction_is_canceled_until_the_last_microsecond() -> None:
    house = sale()
    house.offer("ann", ("a", 5))
    house.advance_to(due_us(house) - 1)
    house.must("poster", CancelPackages, auction=1)
    assert house.purse("ann") == (100, 0)
    view = house.auction()
    assert (view.state, view.outcome, view.bids) == ("canceled", "canceled", None)
    assert [event.outcome for event in house.told("ann", "packages.ended")] == ["canceled"]


# ── the determination ───────────────────────────────────────────────────────────────────────────


@restarts
def test_until_the_last_microsecond_an_answer_counts(restart: Callable[[House], None]) -> None:
    """Ann's 16 for both is more than Ben's 15 for one and nothing for the other; she pays what Ben would."""
    house = sale()
    house.offer("ann", ("ab", 16))
    house.offer("ben", ("a", 15))
    house.close_bids()
    until_us = due_us(house)
    restart(house)
    assert due_us(house) == (house.time_us + GRACE_US if restart is change_leader else until_us)
    house.advance_to(due_us(house) - 1)
    assert house.answer().accepted
    view = house.auction()
    assert (view.state, view.priced, view.optimal) == ("awarded", "vcg", True)
    assert [(winner.bidder, winner.payment) for winner in view.winners] == [("ann", 15 * CREDIT)]


@restarts
def test_at_the_deadline_the_simple_rule_has_decided(restart: Callable[[House], None]) -> None:
    """By surplus² per item Ben's 15² for one is more than Ann's 16² for two: he wins, and pays what he bid."""
    house = sale()
    house.offer("ann", ("ab", 16))
    house.offer("ben", ("a", 15))
    house.close_bids()
    restart(house)
    problem = house.packages.open_problems()[0]
    house.advance_to(due_us(house))
    view = house.auction()
    assert (view.state, view.priced, view.optimal) == ("awarded", "pay_as_bid", False)
    assert [(winner.bidder, winner.payment) for winner in view.winners] == [("ben", 15 * CREDIT)]
    assert_rejected(house.answer(problem=problem), Reason.WRONG_STATE)
    assert house.purse("ann") == (100, 0)
    assert house.purse("ben") == (85, 0)


def test_an_auction_has_as_long_to_determine_as_the_venue_gave_it() -> None:
    house = House(settings=Settings(determine_seconds=1))
    house.open()
    house.offer("ann", ("a", 5))
    house.close_bids()
    assert due_us(house) == house.time_us + SECOND_US


# ── what drops a bid ────────────────────────────────────────────────────────────────────────────


def test_the_dead_mans_switch_of_a_member_drops_its_sealed_bids() -> None:
    """The holds of all members are free at once; who bid without it is not touched."""
    house = sale()
    house.offer("ann", ("a", 10), team={"ann": 1, "ben": 1})
    house.sign("ben", "ann")
    house.offer("cid", ("b", 4))
    house.must("ben", CancelAllAfter, seconds=30)
    heard = len(house.events("poster"))
    house.advance_to(house.time_us + 30 * SECOND_US - 1)
    assert (house.purse("ann"), house.purse("ben")) == ((95, 5), (95, 5))
    house.advance(1)
    assert (house.purse("ann"), house.purse("ben"), house.purse("cid")) == ((100, 0), (100, 0), (96, 4))
    for name in ("ann", "ben"):
        dropped = house.told(name, "packages.bid_dropped")
        assert [(event.bidder, event.reason) for event in dropped] == [("ann", "dead_man")]
    assert len(house.events("poster")) == heard
    house.close_bids()
    assert house.answer().accepted
    assert [winner.bidder for winner in house.auction().winners] == ["cid"]


def test_while_winners_are_determined_the_dead_mans_switch_drops_nothing() -> None:
    """The bid binds from the close on."""
    house = sale()
    house.offer("ann", ("a", 10))
    house.must("ann", CancelAllAfter, seconds=65)
    house.close_bids()
    house.advance(10)
    assert house.told("ann", "packages.bid_dropped") == []
    assert house.purse("ann") == (90, 10)
    assert house.answer().accepted
    assert [winner.bidder for winner in house.auction().winners] == ["ann"]


def three_sales() -> House:
    """Return three auctions in which Ann holds 10, 20 with Ben, and 30."""
    house = sale()
    for _ in range(2):
        house.open(direction="sale", items=[{"name": "a", "reserve": 0}])
    house.offer("ann", ("a", 10))
    house.offer("ann", ("a", 40), team={"ann": 1, "ben": 1}, auction=2)
    house.sign("ben", "ann", auction=2)
    house.offer("ann", ("a", 30), auction=3)
    assert (house.purse("ann"), house.purse("ben")) == ((40, 60), (80, 20))
    return house


@pytest.mark.parametrize(
    ("debt", "ann", "ben", "left"),
    [
        (40, (0, 60), (80, 20), [1, 2, 3]),
        (41, (29, 30), (80, 20), [1, 2]),
        (70, (0, 30), (80, 20), [1, 2]),
        (71, (19, 10), (100, 0), [1]),
        (91, (9, 0), (100, 0), []),
        (100, (0, 0), (100, 0), []),
    ],
)
def test_a_forced_debit_drops_a_debtors_bids_the_newest_first(
    debt: int, ann: tuple[int, int], ben: tuple[int, int], left: list[int]
) -> None:
    """No more bids go than the debt needs; of a team's bid all members' holds are free."""
    house = three_sales()
    house.engine.context.cashier.charge("ann", "public_fund", debt * CREDIT, "test:1")
    house.advance(0)
    assert (house.purse("ann"), house.purse("ben")) == (ann, ben)
    assert sorted(house.packages.bids_of.get("ann", {}).values()) == left
    dropped = [(event.auction, event.reason) for event in house.told("ann", "packages.bid_dropped")]
    assert dropped == [(number, "forced_debit") for number in (3, 2, 1) if number not in left]


def test_a_forced_debit_leaves_what_is_being_determined_and_what_holds_nothing() -> None:
    """From the close on a bid binds, and an offer to do work for money frees none."""
    house = sale()
    house.offer("ann", ("a", 60))
    house.close_bids()
    house.open(items=[{"name": "a", "reserve": CREDIT}])
    house.offer("ann", ("a", 1), auction=2)
    house.engine.context.cashier.charge("ann", "public_fund", 70 * CREDIT, "test:1")
    house.advance(0)
    assert house.purse("ann") == (0, 60)
    assert sorted(house.packages.bids_of["ann"].values()) == [1, 2]
    assert house.answer().accepted
    assert [winner.bidder for winner in house.auction().winners] == ["ann"]


def test_a_later_bid_needs_only_what_is_missing_and_frees_what_its_team_held() -> None:
    """Ann holds 50 of a team's 100, and has 50 more: a bid of her own for 100 is covered, one for 101 is not."""
    house = sale()
    house.offer("ann", ("a", 100), team={"ann": 1, "ben": 1})
    house.sign("ben", "ann")
    assert_rejected(house.offer("ann", ("a", 101)), Reason.INSUFFICIENT_CREDITS)
    assert house.offer("ann", ("a", 100)).data["version"] == 2
    assert (house.purse("ann"), house.purse("ben")) == ((0, 100), (100, 0))
    assert [(event.version, event.reason) for event in house.told("ben", "packages.bid_dropped")] == [(1, "withdrawn")]


def test_who_is_halted_takes_on_nothing_but_may_withdraw() -> None:
    house = sale()
    house.offer("ann", ("a", 10), team={"ann": 1, "ben": 1})
    house.must(OPERATOR, HaltAgent, agent="ben")
    assert_rejected(house.sign("ben", "ann"), Reason.AGENT_HALTED)
    assert_rejected(house.offer("ben", ("a", 1)), Reason.AGENT_HALTED)
    house.must("ben", WithdrawPackageBid, auction=1, bidder="ann")
    assert house.purse("ann") == (100, 0)


# ── who ends while winners are determined ───────────────────────────────────────────────────────


@pytest.mark.parametrize("direction", ["procurement", "sale"])
@pytest.mark.parametrize("is_solved", [True, False])
def test_an_auction_whose_poster_is_revoked_while_winners_are_determined_ends_as_it_would(
    direction: str, *, is_solved: bool
) -> None:
    """What was bid binds, and so does the auction: all is awarded and settled, and the rest is the venue's."""
    house = sale() if direction == "sale" else House()
    if direction != "sale":
        house.open()
    house.offer("ann", ("a", 10))
    house.offer("cid", ("b", 8), team={"cid": 1, "ben": 1})
    house.sign("ben", "cid")
    house.close_bids()
    house.must(OPERATOR, RevokeAgent, agent="poster")
    if is_solved:
        assert house.answer().accepted
    else:
        house.advance_to(due_us(house))
    assert [winner.bidder for winner in house.auction().winners] == ["ann", "cid"]
    for number in (1, 2, 3):
        parties = house.settlement(number)
        assert "poster" in (parties.payer, parties.provider)
    assert house.purse("poster") == (0, 0)


def test_an_auction_whose_bids_all_end_while_winners_are_determined_ends_without_an_award() -> None:
    house = sale()
    house.offer("ann", ("a", 10))
    house.close_bids()
    house.must(OPERATOR, RevokeAgent, agent="ann")
    assert house.answer().accepted
    view = house.auction()
    assert (view.state, view.outcome, view.winners) == ("unawarded", "no_bids", [])
    assert [event.outcome for event in house.told("poster", "packages.ended")] == ["no_bids"]

"""Test stops and stop-limits: when they are set off, in which order, as what."""

from __future__ import annotations

import pytest

from exchange.messages.admin import Settings
from exchange.messages.orders import AmendOrder, CancelOrder
from exchange.messages.reasons import Reason
from exchange.testing import Venue, assert_rejected
from tests.core.scenes import scene


def trade_at(venue: Venue, price: int) -> None:
    """Let carol and dave trade one unit at a price."""
    venue.sell("carol", 1, price)
    assert venue.buy("dave", 1, price).brief == "filled 1+0"
    for agent in ("carol", "dave"):
        venue.heard(agent)


def test_a_stop_waits_unseen_with_its_worst_case_on_hold(venue: Venue) -> None:
    """It is in no book; a buy holds its protection price, here given; a sell holds its units."""
    buy = venue.buy("alice", 3, 120, order_type="stop", trigger_price=110)
    sell = venue.sell("bob", 4, order_type="stop", trigger_price=90)
    assert (buy.brief, sell.brief) == ("new 0+3", "new 0+4")
    assert venue.book() == ([], [])
    assert venue.balance("alice") == (10_000 - 360, 360)
    assert venue.balance("bob", "cpu") == (996, 4)


def test_a_trade_at_the_trigger_sets_it_off(venue: Venue) -> None:
    """At 109 nothing happens; at 110 the stop takes what the book offers."""
    venue.buy("alice", 2, 120, order_type="stop", trigger_price=110)
    venue.sell("bob", 5, 115)
    trade_at(venue, 109)
    assert venue.heard("alice") == ["#1 placed"]
    trade_at(venue, 110)
    assert venue.heard("alice") == ["#1 triggered", "#1 taker 2@115 left 0"]
    assert venue.balance("alice") == (10_000 - 230, 0)


def test_a_sell_stop_is_set_off_by_a_fall(venue: Venue) -> None:
    """A falling price at or under the trigger sets it off; what finds no buyer expires."""
    venue.sell("alice", 3, order_type="stop", trigger_price=90)
    venue.buy("bob", 2, 85)
    trade_at(venue, 90)
    assert venue.heard("alice") == [
        "#1 placed",
        "#1 triggered",
        "#1 taker 2@85 left 1",
        "#1 expired 1 time_in_force",
    ]
    assert venue.balance("alice", "cpu") == (998, 0)


def test_a_stop_limit_rests_after_it_is_set_off(venue: Venue) -> None:
    """It becomes a limit order of its price."""
    venue.buy("alice", 3, 111, order_type="stop_limit", trigger_price=110)
    trade_at(venue, 110)
    assert venue.heard("alice") == ["#1 placed", "#1 triggered"]
    assert venue.book() == ([(111, 3)], [])
    assert venue.balance("alice") == (10_000 - 333, 333)


def test_stops_go_by_trigger_then_by_age(venue: Venue) -> None:
    """A rise through 103 sets off 101 before 102, and of the two at 102 the older first."""
    venue.buy("alice", 1, 200, order_type="stop", trigger_price=102)  # 1
    venue.buy("bob", 1, 200, order_type="stop", trigger_price=101)  # 2
    venue.buy("alice", 1, 200, order_type="stop", trigger_price=102)  # 3
    for price in (120, 121, 122):
        venue.sell("carol", 1, price)
    venue.sell("carol", 1, 103)
    venue.buy("dave", 1, 103)
    assert venue.heard("bob")[-1] == "#2 taker 1@120 left 0"
    assert [line for line in venue.heard("alice") if "taker" in line] == [
        "#1 taker 1@121 left 0", "#3 taker 1@122 left 0",
    ]  # fmt: skip


def test_stops_cascade(venue: Venue) -> None:
    """What one stop trades sets off the next, all in the same command."""
    venue.sell("alice", 1, order_type="stop", trigger_price=90)
    venue.sell("bob", 1, order_type="stop", trigger_price=85)
    venue.buy("carol", 1, 85)
    venue.buy("carol", 1, 80)
    venue.buy("carol", 1, 90)
    venue.sell("dave", 1, 90)
    assert venue.heard("alice")[-1].endswith("1@85 left 0")
    assert venue.heard("bob")[-1].endswith("1@80 left 0")


def test_a_cascade_beyond_the_cap_of_one_command_goes_on_later() -> None:
    """With a cap of 3, five stops at one trigger are run three at once and two in a next batch."""
    venue = scene(Venue(settings=Settings(max_fills_per_command=3)))
    for _ in range(5):
        venue.sell("alice", 1, order_type="stop", trigger_price=90)
    for _ in range(5):
        venue.buy("bob", 1, 80)
    venue.heard("alice")
    trade_at(venue, 90)
    assert sum("triggered" in line for line in venue.heard("alice")) == 3
    assert len(venue.orders("alice")) == 2
    venue.advance(1)
    assert sum("triggered" in line for line in venue.heard("alice")) == 2
    assert venue.orders("alice") == []


@pytest.mark.parametrize(
    ("side", "trigger", "expected"),
    [
        ("buy", 100, "trigger_already_met"),
        ("buy", 101, "new 0+1"),
        ("sell", 100, "trigger_already_met"),
        ("sell", 99, "new 0+1"),
    ],
)
def test_a_trigger_that_the_last_trade_meets_is_refused(venue: Venue, side: str, trigger: int, expected: str) -> None:
    """After a trade at 100 a buy stop must lie above and a sell stop below."""
    trade_at(venue, 100)
    price = 200 if side == "buy" else 1
    answer = venue.place("alice", side, 1, price, order_type="stop", trigger_price=trigger)
    assert answer.brief == expected
    assert answer.accepted or answer.unchanged


def test_a_stop_without_a_price_is_protected_by_the_band_around_its_trigger() -> None:
    """With 10 % of band and trigger 200 a buy pays at most 220 and holds that."""
    venue = scene(reference_price=200, price_band_bp=1_000)
    venue.buy("alice", 2, order_type="stop", trigger_price=200)
    assert venue.balance("alice") == (10_000 - 440, 440)


def test_a_waiting_stop_can_be_canceled_and_frees_its_hold(venue: Venue) -> None:
    """It ends like any order."""
    venue.buy("alice", 2, 120, order_type="stop", trigger_price=110)
    assert venue.submit("alice", CancelOrder, order_id=1).brief == "canceled 0+0"
    assert venue.balance("alice") == (10_000, 0)
    trade_at(venue, 115)
    assert venue.heard("alice")[-1] == "#1 canceled 2 requested"


def test_a_waiting_stop_can_be_amended(venue: Venue) -> None:
    """Trigger, price and quantity change together, and so does the hold."""
    venue.buy("alice", 2, 120, order_type="stop_limit", trigger_price=110)
    assert venue.submit("alice", AmendOrder, order_id=1, trigger_price=105, price=107, quantity=3).accepted
    assert venue.balance("alice") == (10_000 - 321, 321)
    trade_at(venue, 105)
    assert venue.heard("alice")[-1] == "#1 triggered"
    assert venue.book() == ([(107, 3)], [])


def test_a_stop_amended_away_is_not_set_off_by_its_old_trigger(venue: Venue) -> None:
    """Only the newest trigger counts; amended back, it is set off once."""
    venue.buy("alice", 1, 200, order_type="stop", trigger_price=110)
    venue.submit("alice", AmendOrder, order_id=1, trigger_price=150)
    trade_at(venue, 120)
    assert len(venue.orders("alice")) == 1
    venue.submit("alice", AmendOrder, order_id=1, trigger_price=130)
    venue.submit("alice", AmendOrder, order_id=1, trigger_price=140)
    venue.submit("alice", AmendOrder, order_id=1, trigger_price=130)
    trade_at(venue, 130)
    assert sum("triggered" in line for line in venue.heard("alice")) == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"trigger_price": 119}, Reason.TRIGGER_ALREADY_MET),
        ({"trigger_price": 121}, None),
        ({"price": 5_001, "quantity": 2}, Reason.INSUFFICIENT_CREDITS),
    ],
)
def test_amending_a_stop_is_guarded(venue: Venue, fields: dict[str, int], reason: Reason | None) -> None:
    """A met trigger or a hold that is not there is refused."""
    trade_at(venue, 120)
    venue.buy("alice", 1, 200, order_type="stop", trigger_price=130)
    answer = venue.submit("alice", AmendOrder, order_id=3, **fields)
    if reason is None:
        assert answer.accepted
    else:
        assert_rejected(answer, reason)


def test_a_resting_order_takes_no_trigger(venue: Venue) -> None:
    """Only a stop that still waits has one."""
    venue.buy("alice", 1, 100)
    assert_rejected(venue.submit("alice", AmendOrder, order_id=1, trigger_price=120), Reason.FIELD_NOT_ALLOWED)


def test_a_rejected_order_sets_nothing_off(venue: Venue) -> None:
    """An unfillable order at the trigger leaves the stop waiting."""
    venue.buy("alice", 1, 200, order_type="stop", trigger_price=110)
    venue.sell("bob", 1, 110)
    assert_rejected(venue.buy("carol", 2, 110, time_in_force="fok"), Reason.UNFILLABLE)
    assert [order.trigger_price for order in venue.orders("alice")] == [110]


def test_the_stop_of_a_trader_without_luck_follows_its_own_order(venue: Venue) -> None:
    """An agent's own trade may set off its own stop; self-trade prevention still holds."""
    venue.sell("alice", 1, order_type="stop", trigger_price=100, self_trade_prevention="expire_taker")
    venue.buy("bob", 1, 100)
    venue.buy("alice", 1, 95)
    assert venue.sell("alice", 1, 100).brief == "filled 1+0"
    assert venue.heard("alice")[-2:] == ["#1 triggered", "#1 expired 1 self_trade"]
    assert venue.book() == ([(95, 1)], [])

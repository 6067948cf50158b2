"""Test amending and canceling: places in the queue, mass cancel, the dead man's switch."""

from __future__ import annotations

import pytest

from exchange.messages.admin import HaltAgent, Settings, SuspendAgent
from exchange.messages.orders import AmendOrder, CancelAllAfter, CancelOrder, MassCancel
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, Venue, assert_rejected
from tests.core.scenes import scene


@pytest.mark.parametrize(
    ("change", "first_filled"),
    [
        ({"quantity": 4}, "alice"),  # less: keeps its place
        ({"quantity": 5}, "alice"),  # no change
        ({"price": 100}, "alice"),  # no change
        ({"quantity": 6}, "bob"),  # more: loses it
        ({"price": 101, "quantity": 5}, "alice"),  # better price: first at its own
    ],
)
def test_only_less_quantity_keeps_the_place(venue: Venue, change: dict[str, int], first_filled: str) -> None:
    """A new price or more quantity goes to the end of its price."""
    venue.buy("alice", 5, 100)
    venue.buy("bob", 5, 100)
    venue.submit("alice", AmendOrder, order_id=1, **change)
    venue.sell("carol", 1, 100)
    filled = [agent for agent in ("alice", "bob") if "maker" in venue.heard(agent)[-1]]
    assert filled == [first_filled]


def test_a_price_changed_and_changed_back_has_lost_its_place(venue: Venue) -> None:
    """Each change of price is a new arrival."""
    venue.buy("alice", 5, 100)
    venue.buy("bob", 5, 100)
    venue.submit("alice", AmendOrder, order_id=1, price=99)
    venue.submit("alice", AmendOrder, order_id=1, price=100)
    venue.sell("carol", 5, 100)
    assert venue.heard("bob")[-1] == "#2 maker 5@100 left 0"


def test_amending_is_atomic_and_may_trade(venue: Venue) -> None:
    """A buy moved up to the ask trades at once at the maker's price."""
    venue.sell("bob", 2, 105)
    venue.buy("alice", 5, 100)
    answer = venue.submit("alice", AmendOrder, order_id=2, price=110, quantity=6)
    assert answer.brief == "partially_filled 2+4"
    assert venue.heard("alice")[1:] == ["orders.amended", "#2 taker 2@105 left 4"]
    assert venue.balance("alice") == (10_000 - 210 - 440, 440)
    assert venue.book() == ([(110, 4)], [])


def test_the_new_quantity_is_the_total_with_what_is_filled(venue: Venue) -> None:
    """Of 5, two filled; amended to 3, one is left; 2 or less is refused."""
    venue.buy("alice", 5, 100)
    venue.sell("bob", 2, 100)
    for quantity in (1, 2):
        answer = venue.submit("alice", AmendOrder, order_id=1, quantity=quantity)
        assert_rejected(answer, Reason.QUANTITY_NOT_ABOVE_FILLED)
    assert venue.submit("alice", AmendOrder, order_id=1, quantity=3).brief == "partially_filled 2+1"
    assert venue.balance("alice") == (9_700, 100)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"order_id": 99, "price": 1}, Reason.UNKNOWN_ORDER),
        ({"order_id": 2, "price": 1}, Reason.UNKNOWN_ORDER),  # bob's
        ({"order_id": 1}, Reason.MISSING_FIELD),
        ({"order_id": 1, "price": 101}, Reason.INVALID_PRICE),
        ({"order_id": 1, "quantity": 15}, Reason.INVALID_QUANTITY),
        ({"order_id": 1, "quantity": 510}, Reason.INVALID_QUANTITY),
        ({"order_id": 1, "price": 202}, Reason.INSUFFICIENT_CREDITS),  # 50 × 202 > 10,000
        ({"order_id": 1, "price": 2**53 - 2, "quantity": 500}, Reason.INSUFFICIENT_CREDITS),
        ({"order_id": 1, "price": 2**53 - 2, "quantity": 500_000}, Reason.INVALID_QUANTITY),
    ],
)
def test_amending_is_guarded(fields: dict[str, int], reason: Reason) -> None:
    """Whose order, which fields, ticks, lots, sizes, money: all before anything changes."""
    venue = scene(tick=2, lot=10, max_quantity=500)
    venue.buy("alice", 50, 100)
    venue.buy("bob", 50, 100)
    assert_rejected(venue.submit("alice", AmendOrder, **fields), reason)
    assert venue.book() == ([(100, 100)], [])


def test_amending_may_not_pass_the_largest_notional(venue: Venue) -> None:
    """Price × quantity stays within 2**63 − 1."""
    venue.sell("alice", 10, 100)
    answer = venue.submit("alice", AmendOrder, order_id=1, price=2**53 - 1, quantity=1_025)
    assert_rejected(answer, Reason.NOTIONAL_TOO_LARGE)


def test_a_sellers_amendment_needs_the_units(venue: Venue) -> None:
    """1,000 are there; 1,001 are not."""
    venue.sell("alice", 10, 100)
    assert_rejected(venue.submit("alice", AmendOrder, order_id=1, quantity=1_001), Reason.INSUFFICIENT_ASSET)
    assert venue.submit("alice", AmendOrder, order_id=1, quantity=1_000).accepted


def test_a_post_only_order_cannot_be_amended_into_a_trade(venue: Venue) -> None:
    """It stays what it promised to be."""
    venue.sell("bob", 1, 105)
    venue.buy("alice", 1, 100, post_only=True)
    assert_rejected(venue.submit("alice", AmendOrder, order_id=2, price=105), Reason.POST_ONLY_WOULD_TRADE)
    assert venue.submit("alice", AmendOrder, order_id=2, price=104).accepted


def test_cancel_takes_either_id_and_releases_the_hold(venue: Venue) -> None:
    """Exactly one of the two ids names the order."""
    venue.buy("alice", 5, 100)
    venue.sell("alice", 5, 110, client_order_id="x")
    assert venue.submit("alice", CancelOrder, order_id=1).brief == "canceled 0+0"
    assert venue.submit("alice", CancelOrder, client_order_id="x").brief == "canceled 0+0"
    assert venue.balance("alice") == (10_000, 0)
    assert venue.balance("alice", "cpu") == (1_000, 0)
    assert venue.heard("alice")[-2:] == ["#1 canceled 5 requested", "#2 canceled 5 requested"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, Reason.MISSING_FIELD),
        ({"order_id": 1, "client_order_id": "x"}, Reason.MISSING_FIELD),
        ({"order_id": 2}, Reason.UNKNOWN_ORDER),
        ({"client_order_id": "y"}, Reason.UNKNOWN_ORDER),
    ],
)
def test_cancel_is_guarded(venue: Venue, fields: dict[str, object], reason: Reason) -> None:
    """Another's order is as unknown as one that does not exist."""
    venue.buy("alice", 5, 100, client_order_id="x")
    venue.buy("bob", 5, 100, client_order_id="y")
    assert_rejected(venue.submit("alice", CancelOrder, **fields), reason)


@pytest.mark.parametrize(
    ("scope", "canceled", "left"),
    [
        ({}, 4, 0),
        ({"market": "cpu"}, 3, 0),
        ({"side": "buy"}, 2, 0),
        ({"market": "cpu", "side": "sell"}, 2, 0),
        ({"owner": "alice"}, 5, 0),
        ({"owner": "alice", "side": "buy"}, 3, 0),
        ({"market": "nowhere"}, None, Reason.UNKNOWN_MARKET),
        ({"owner": "bob"}, None, Reason.NOT_PERMITTED),
    ],
)
def test_mass_cancel_scopes(venue: Venue, scope: dict[str, str], canceled: int | None, left: object) -> None:
    """By market, side and owner; others' orders only for an operator."""
    venue.market("two")
    venue.register("alma", owner="alice", endowment=1_000)
    venue.buy("alice", 1, 50)
    venue.sell("alice", 1, 200)
    venue.sell("alice", 1, order_type="stop", trigger_price=20)
    venue.buy("alice", 1, 50, market="two")
    venue.buy("alma", 1, 40)
    venue.buy("bob", 1, 50)
    answer = venue.submit("alice", MassCancel, **scope)
    if canceled is None:
        assert_rejected(answer, Reason(str(left)))
    else:
        assert (answer.outcome.canceled, answer.outcome.left) == (canceled, left)
        assert len(venue.orders("bob")) == 1


def test_an_operator_cancels_for_any_owner(venue: Venue) -> None:
    """The kill switch reaches everybody's orders."""
    venue.buy("alice", 1, 50)
    answer = venue.submit(OPERATOR, MassCancel, owner="alice")
    assert (answer.outcome.canceled, venue.orders("alice")) == (1, [])
    assert venue.heard("alice")[-1] == "#1 canceled 1 mass_cancel"


def test_mass_cancel_is_capped_and_tells_what_is_left() -> None:
    """With a cap of 2, five orders need three commands, the oldest go first."""
    venue = scene(Venue(settings=Settings(max_cancels_per_command=2)))
    for _ in range(5):
        venue.buy("alice", 1, 50)
    counts = [venue.submit("alice", MassCancel).outcome for _ in range(3)]
    assert [(outcome.canceled, outcome.left) for outcome in counts] == [(2, 3), (2, 1), (1, 0)]
    assert [line for line in venue.heard("alice") if "canceled" in line][:2] == [
        "#1 canceled 1 mass_cancel", "#2 canceled 1 mass_cancel",
    ]  # fmt: skip


def test_the_dead_mans_switch_cancels_everything_unless_renewed(venue: Venue) -> None:
    """Renewed at 20 s it holds until 50 s; then orders and stops are gone."""
    venue.buy("alice", 1, 50)
    venue.sell("alice", 1, order_type="stop", trigger_price=20)
    venue.submit("alice", CancelAllAfter, seconds=30)
    venue.advance(20)
    venue.submit("alice", CancelAllAfter, seconds=30)
    venue.advance(29)
    assert len(venue.orders("alice")) == 2
    venue.advance(1)
    assert venue.orders("alice") == []
    assert venue.heard("alice")[-2:] == ["#1 canceled 1 dead_man", "#2 canceled 1 dead_man"]
    # It has fired; orders placed since live on.
    venue.buy("alice", 1, 50)
    venue.advance(100)
    assert len(venue.orders("alice")) == 1


def test_zero_seconds_disarm_the_switch(venue: Venue) -> None:
    """Nothing fires any more."""
    venue.buy("alice", 1, 50)
    venue.submit("alice", CancelAllAfter, seconds=30)
    venue.submit("alice", CancelAllAfter, seconds=0)
    venue.advance(100)
    assert len(venue.orders("alice")) == 1


def test_the_switch_goes_on_beyond_the_cap_of_one_step() -> None:
    """With a cap of 2 cancels, five orders are gone within three batches."""
    venue = scene(Venue(settings=Settings(max_cancels_per_command=2)))
    for _ in range(5):
        venue.buy("alice", 1, 50)
    venue.submit("alice", CancelAllAfter, seconds=30)
    venue.advance(30)
    venue.advance(1)
    venue.advance(1)
    assert venue.orders("alice") == []


@pytest.mark.parametrize("stop", [SuspendAgent, HaltAgent])
def test_who_may_not_trade_may_still_cancel(venue: Venue, stop: type) -> None:
    """Suspension and halt stop new obligations only."""
    venue.buy("alice", 1, 50)
    venue.buy("alice", 1, 50)
    venue.submit(OPERATOR, stop, agent="alice")
    assert venue.submit("alice", CancelOrder, order_id=1).accepted
    assert venue.submit("alice", CancelAllAfter, seconds=5).accepted
    assert venue.submit("alice", MassCancel).outcome.canceled == 1

"""Test the guards: each reason an order can be rejected for, each with the state proven unchanged."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.messages.admin import HaltAgent, HaltMarket, RevokeAgent, SetSpendLimit, Settings, SuspendAgent
from exchange.messages.base import MAX_AMOUNT
from exchange.messages.orders import CancelOrder, CreateMarket, PlaceOrder
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, SECOND_US, Venue, assert_rejected
from tests.core.scenes import scene

GOOD: dict[str, Any] = {"market": "cpu", "side": "buy", "quantity": 10, "price": 100}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"market": "nowhere"}, Reason.UNKNOWN_MARKET),
        ({"price": None}, Reason.MISSING_FIELD),
        ({"quantity": None}, Reason.MISSING_FIELD),
        ({"time_in_force": "gtd"}, Reason.MISSING_FIELD),
        ({"order_type": "stop"}, Reason.MISSING_FIELD),
        ({"order_type": "stop_limit", "trigger_price": 102, "price": None}, Reason.MISSING_FIELD),
        ({"trigger_price": 100}, Reason.FIELD_NOT_ALLOWED),
        ({"display_quantity": 10}, Reason.FIELD_NOT_ALLOWED),
        ({"budget": 100}, Reason.FIELD_NOT_ALLOWED),
        ({"expires_at_us": 2**52}, Reason.FIELD_NOT_ALLOWED),
        ({"post_only": True, "time_in_force": "ioc"}, Reason.FIELD_NOT_ALLOWED),
        ({"post_only": True, "time_in_force": "fok"}, Reason.FIELD_NOT_ALLOWED),
        ({"order_type": "stop", "trigger_price": 102, "post_only": True}, Reason.FIELD_NOT_ALLOWED),
        ({"order_type": "stop", "trigger_price": 102, "time_in_force": "ioc"}, Reason.FIELD_NOT_ALLOWED),
        ({"order_type": "stop_limit", "trigger_price": 102, "post_only": True}, Reason.FIELD_NOT_ALLOWED),
        ({"price": 101}, Reason.INVALID_PRICE),
        ({"order_type": "stop", "trigger_price": 101}, Reason.INVALID_PRICE),
        ({"quantity": 15}, Reason.INVALID_QUANTITY),
        ({"quantity": 10_010}, Reason.INVALID_QUANTITY),
        ({"quantity": 5}, Reason.INVALID_QUANTITY),
        ({"order_type": "iceberg", "display_quantity": 5}, Reason.INVALID_DISPLAY_QUANTITY),
        ({"order_type": "iceberg", "display_quantity": 20}, Reason.INVALID_DISPLAY_QUANTITY),
        ({"quantity": 10_000, "price": MAX_AMOUNT - 1}, Reason.NOTIONAL_TOO_LARGE),
        ({"order_type": "market", "price": None}, Reason.NO_REFERENCE_PRICE),
        ({"quantity": 10_000}, Reason.INSUFFICIENT_CREDITS),
        ({"quantity": 1_010, "side": "sell"}, Reason.INSUFFICIENT_ASSET),
    ],
)
def test_an_order_that_breaks_a_rule_is_rejected_and_changes_nothing(change: dict[str, Any], reason: Reason) -> None:
    """In a market with tick 2, lot 10 and sizes 10 … 10,000, one thing is wrong at a time."""
    venue = scene(tick=2, lot=10, min_quantity=10, max_quantity=10_000)
    assert_rejected(venue.submit("alice", PlaceOrder, **{**GOOD, **change}), reason)
    assert venue.submit("alice", PlaceOrder, **GOOD).accepted


def test_the_smallest_size_is_a_rule_of_its_own() -> None:
    """30 is whole lots but under the smallest order."""
    venue = scene(lot=10, min_quantity=40)
    assert_rejected(venue.buy("alice", 30, 1), Reason.INVALID_QUANTITY)
    assert venue.buy("alice", 40, 1).accepted


def test_live_client_order_ids_are_unique_per_agent(venue: Venue) -> None:
    """A second live order of the same name is refused; another agent may use it."""
    venue.buy("alice", 1, 100, client_order_id="x")
    assert_rejected(venue.buy("alice", 1, 100, client_order_id="x"), Reason.DUPLICATE_CLIENT_ORDER_ID)
    assert venue.buy("bob", 1, 100, client_order_id="x").accepted
    venue.submit("alice", CancelOrder, client_order_id="x")
    assert venue.buy("alice", 1, 100, client_order_id="x").accepted


def test_open_orders_per_agent_are_capped() -> None:
    """Stops count; what is no longer live does not."""
    venue = scene(Venue(settings=Settings(max_open_orders=2)))
    venue.buy("alice", 1, 100)
    venue.buy("alice", 1, 120, order_type="stop", trigger_price=110)
    assert_rejected(venue.buy("alice", 1, 100), Reason.TOO_MANY_OPEN_ORDERS)
    venue.submit("alice", CancelOrder, order_id=2)
    assert venue.buy("alice", 1, 100).accepted


def test_the_senders_state_is_checked(venue: Venue) -> None:
    """Strangers, other roles, halted, suspended and revoked agents place no orders."""
    venue.register("watcher", roles=["observer"])
    assert_rejected(venue.buy("nobody", 1, 1), Reason.UNKNOWN_AGENT)
    assert_rejected(venue.buy("watcher", 1, 1), Reason.NOT_PERMITTED)
    for agent, kind, reason in (
        ("alice", HaltAgent, Reason.AGENT_HALTED),
        ("bob", SuspendAgent, Reason.AGENT_SUSPENDED),
        ("carol", RevokeAgent, Reason.AGENT_REVOKED),
    ):
        venue.must(OPERATOR, kind, agent=agent)
        assert_rejected(venue.buy(agent, 1, 1), reason)


def test_a_spend_limit_refuses_before_the_balance_does(venue: Venue) -> None:
    """What is affordable but over the limit is refused as such."""
    venue.must(OPERATOR, SetSpendLimit, agent="alice", total=500)
    assert_rejected(venue.buy("alice", 6, 100), Reason.SPEND_LIMIT)
    assert venue.buy("alice", 5, 100).accepted


def test_a_guard_that_fails_after_the_period_rolled_changes_nothing(venue: Venue) -> None:
    """Looking at a limit is not a change, even when spending has just left its period."""
    venue.must(OPERATOR, SetSpendLimit, agent="alice", per_period=500, period_seconds=60)
    venue.sell("bob", 4, 100)
    venue.buy("alice", 4, 100)
    venue.advance(300)
    assert_rejected(venue.buy("alice", 6, 100), Reason.SPEND_LIMIT)
    assert_rejected(venue.buy("alice", 1, 100, time_in_force="fok"), Reason.UNFILLABLE)
    assert venue.buy("alice", 5, 100).accepted


@pytest.mark.parametrize(
    ("terms", "halt", "reason"),
    [
        # Two things are wrong; the one that comes first in the list of reasons is told.
        ({"price": 101}, True, Reason.INVALID_PRICE),
        ({"client_order_id": "x"}, True, Reason.MARKET_HALTED),
        ({"client_order_id": "x", "price": 101}, False, Reason.INVALID_PRICE),
        ({"client_order_id": "x", "quantity": 500_000}, False, Reason.DUPLICATE_CLIENT_ORDER_ID),
        ({"price": 101, "quantity": 15}, False, Reason.INVALID_PRICE),
        ({"quantity": 15, "time_in_force": "gtd", "expires_at_us": 1}, False, Reason.INVALID_EXPIRY),
        ({"quantity": 500_000, "time_in_force": "fok"}, False, Reason.INSUFFICIENT_CREDITS),
        ({"trigger_price": 102, "market": "nowhere"}, False, Reason.UNKNOWN_MARKET),
        ({"price": None, "client_order_id": "x"}, False, Reason.MISSING_FIELD),
    ],
)
def test_the_reasons_are_in_order_of_precedence(terms: dict[str, Any], halt: bool, reason: Reason) -> None:
    """The list of reasons says which one is told when several hold."""
    venue = scene(tick=2, lot=10)
    venue.buy("alice", 10, 100, client_order_id="x")
    if halt:
        venue.must(OPERATOR, HaltMarket, market="cpu", state="halted")
    assert_rejected(venue.submit("alice", PlaceOrder, **{**GOOD, **terms}), reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"market": "cpu"}, Reason.MARKET_EXISTS),
        ({"base": "credit"}, Reason.UNKNOWN_ASSET),
        ({"base": "gold"}, Reason.UNKNOWN_ASSET),
        ({"price_band_bp": 1_000}, Reason.INVALID_MARKET_TERMS),
        ({"lot": 10, "max_quantity": 9}, Reason.INVALID_MARKET_TERMS),
        ({"min_quantity": 10, "max_quantity": 9}, Reason.INVALID_MARKET_TERMS),
        ({"tick": 3, "reference_price": 100}, Reason.INVALID_MARKET_TERMS),
        ({"base": "fine", "tick": 5, "lot": 10}, Reason.INVALID_MARKET_TERMS),  # 50 is no multiple of 1,000
    ],
)
def test_the_terms_of_a_market_are_checked(venue: Venue, change: dict[str, Any], reason: Reason) -> None:
    """Names are unique, assets exist, values come out exact."""
    venue.asset("fine", decimals=3)
    good = {"market": "new", "base": "cpu", "tick": 1, "price_band_bp": 0}
    assert_rejected(venue.submit(OPERATOR, CreateMarket, **{**good, **change}), reason)
    assert venue.submit(OPERATOR, CreateMarket, **good).accepted


def test_markets_are_opened_by_operators_and_capped() -> None:
    """A trader may not; the second of one allowed is refused."""
    venue = scene(Venue(settings=Settings(max_markets=1)))
    terms = {"market": "new", "base": "cpu", "tick": 1, "price_band_bp": 0}
    assert_rejected(venue.submit("alice", CreateMarket, **terms), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit(OPERATOR, CreateMarket, **terms), Reason.TOO_MANY_MARKETS)


def test_volume_beyond_64_bits_does_not_break_the_state() -> None:
    """However much changes hands, the state can be hashed and the market described."""
    venue = Venue(check_every=10_000)
    venue.register("alice", "bob", endowment=5_000_000_000)
    # The largest trade there can be, there and back, until the sum passes 2**64; the least credit there
    # can be for it: with 9 decimals and tick 1, 2**53 units are worth 9,007,199.
    venue.market(decimals=9, lot=1_000_000_000)
    quantity = MAX_AMOUNT // 10**9 * 10**9
    venue.issue("alice", quantity)
    for _ in range(1_030):
        venue.sell("alice", quantity, 1)
        venue.buy("bob", quantity, 1)
        venue.sell("bob", quantity, 1)
        venue.buy("alice", quantity, 1)
        venue.advance_to(venue.time_us + SECOND_US)
    # 2,060 × quantity is more than 2**64; the counter stops at the largest integer on the wire.
    assert (venue.view().trades, venue.view().volume) == (2_060, MAX_AMOUNT)
    assert len(venue.engine.state_hash()) == 64

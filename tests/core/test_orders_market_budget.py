"""Test orders that take what the book offers: market and budget orders, with fees."""

from __future__ import annotations

import pytest

from exchange.messages.orders import PlaceOrder
from exchange.messages.reasons import Reason
from exchange.testing import Venue, assert_rejected
from tests.core.scenes import scene


def test_a_market_buy_without_a_band_needs_a_protection_price(venue: Venue) -> None:
    """Without a band nothing says what it might cost."""
    assert_rejected(venue.buy("bob", 1, order_type="market"), Reason.NO_REFERENCE_PRICE)
    venue.sell("alice", 1, 100)
    assert venue.buy("bob", 1, 120, order_type="market").brief == "filled 1+0"


def test_a_market_sell_needs_no_protection(venue: Venue) -> None:
    """A seller holds units, so any price protects it from owing."""
    venue.buy("alice", 2, 100)
    venue.buy("alice", 2, 3)
    assert venue.sell("bob", 5, order_type="market").brief == "expired 4+0"
    assert venue.balance("bob") == (10_000 + 206, 0)
    assert venue.heard("bob")[-1] == "#3 expired 1 time_in_force"


def test_a_market_buy_is_protected_by_the_edge_of_the_band() -> None:
    """With reference 100 and 10 % it holds 110 each and takes nothing above."""
    venue = scene(reference_price=100, price_band_bp=1_000)
    venue.sell("alice", 1, 105)
    venue.sell("alice", 1, 111)
    assert venue.buy("bob", 2, order_type="market").brief == "expired 1+0"
    assert venue.balance("bob") == (10_000 - 105, 0)
    # 91 × 110 = 10,010 is more than the 9,895 that bob has left.
    assert_rejected(venue.buy("bob", 91, order_type="market"), Reason.INSUFFICIENT_CREDITS)


def test_a_market_order_never_rests(venue: Venue) -> None:
    """On an empty book it expires with nothing done."""
    assert venue.sell("bob", 5, order_type="market").brief == "expired 0+0"
    assert venue.balance("bob", "cpu") == (1_000, 0)


def test_a_budget_order_buys_whole_lots_for_at_most_its_budget(venue: Venue) -> None:
    """350 buy 2 at 100 and 1 at 110; the 40 that are left go back at once."""
    venue.sell("alice", 2, 100)
    venue.sell("alice", 5, 110)
    answer = venue.buy("bob", price=200, order_type="budget", budget=350)
    assert answer.brief == "filled 3+0"
    assert answer.order.filled_value == 310
    assert venue.balance("bob") == (10_000 - 310, 0)
    assert venue.balance("bob", "cpu") == (1_003, 0)


def test_a_budget_order_counts_the_fee_into_its_budget() -> None:
    """At 3 % the 9th unit at 100 would cost 27 of fee: 900 + 27 > 926; so 8 units for 800 + 24."""
    venue = scene(taker_fee_bp=300)
    venue.sell("alice", 50, 100)
    assert venue.buy("bob", price=200, order_type="budget", budget=926).order.filled == 8
    assert venue.balance("bob") == (10_000 - 824, 0)
    assert venue.system_credits("fees") == 24
    # With 927 it is 9 units, to the last credit.
    assert venue.buy("carol", price=200, order_type="budget", budget=927).order.filled == 9
    assert venue.balance("carol") == (10_000 - 927, 0)


def test_a_budget_orders_fee_is_rounded_up_once_over_its_fills() -> None:
    """1 % of 33 + 33 + 34 is 1, not 1 + 1 + 1."""
    venue = scene(taker_fee_bp=100)
    for price in (33, 33, 34):
        venue.sell("alice", 1, price)
    venue.sell("alice", 1, 35)
    answer = venue.buy("bob", price=200, order_type="budget", budget=101)
    assert (answer.order.filled, answer.order.filled_value, answer.order.fee) == (3, 100, 1)
    assert answer.order.status == "filled"


def test_a_budget_spent_to_the_last_credit_is_filled(venue: Venue) -> None:
    """Whether another seller stands behind the last one does not matter: nothing is left to spend."""
    venue.sell("alice", 2, 100)
    assert venue.buy("bob", price=100, order_type="budget", budget=200).brief == "filled 2+0"
    venue.sell("alice", 3, 100)
    assert venue.buy("bob", price=100, order_type="budget", budget=200).brief == "filled 2+0"


def test_a_budget_that_the_book_cannot_use_expires(venue: Venue) -> None:
    """What is left of the budget when the book ends is released, and the order tells it expired."""
    venue.sell("alice", 2, 100)
    assert venue.buy("bob", price=100, order_type="budget", budget=500).brief == "expired 2+0"
    assert venue.balance("bob") == (9_800, 0)


def test_a_budget_too_small_for_one_lot_buys_nothing(venue: Venue) -> None:
    """It expires for its budget, nothing held."""
    venue.sell("alice", 2, 100)
    assert venue.buy("bob", price=100, order_type="budget", budget=99).brief == "expired 0+0"
    assert venue.heard("bob")[-1].endswith("budget_spent")
    assert venue.balance("bob") == (10_000, 0)


def test_a_budget_respects_the_protection_price(venue: Venue) -> None:
    """It buys nothing above its price."""
    venue.sell("alice", 1, 100)
    venue.sell("alice", 1, 130)
    assert venue.buy("bob", price=120, order_type="budget", budget=500).brief == "expired 1+0"


def test_a_budget_buys_whole_lots_only() -> None:
    """With lots of 10 at 7 each, 200 buy 20 units (140); 30 would be 210."""
    venue = scene(lot=10)
    venue.sell("alice", 100, 7)
    assert venue.buy("bob", price=7, order_type="budget", budget=200).brief == "filled 20+0"


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"order_type": "market"}, Reason.MISSING_FIELD),
        ({"order_type": "budget", "price": 10}, Reason.MISSING_FIELD),
        ({"order_type": "budget", "price": 10, "budget": 9, "quantity": 1}, Reason.FIELD_NOT_ALLOWED),
        ({"order_type": "budget", "price": 10, "budget": 9, "side": "sell"}, Reason.FIELD_NOT_ALLOWED),
        (
            {"order_type": "budget", "price": 10, "budget": 9, "time_in_force": "fok"},
            Reason.FIELD_NOT_ALLOWED,
        ),
        (
            {"order_type": "market", "quantity": 1, "price": 10, "time_in_force": "gtd"},
            Reason.FIELD_NOT_ALLOWED,
        ),
        ({"order_type": "market", "quantity": 1, "price": 10, "post_only": True}, Reason.FIELD_NOT_ALLOWED),
        ({"order_type": "budget", "price": 10, "budget": 10_001}, Reason.INSUFFICIENT_CREDITS),
    ],
)
def test_their_fields_are_checked(venue: Venue, terms: dict[str, object], reason: Reason) -> None:
    """Each type takes its own fields and no others."""
    answer = venue.submit("bob", PlaceOrder, **{"market": "cpu", "side": "buy", **terms})
    assert_rejected(answer, reason)

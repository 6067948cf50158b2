"""Test icebergs: what is shown, how slices refresh and lose their place."""

from __future__ import annotations

import pytest

from exchange.messages.orders import AmendOrder
from exchange.messages.reasons import Reason
from exchange.testing import Venue, assert_rejected


def test_only_the_display_quantity_is_shown_and_all_is_held(venue: Venue) -> None:
    """The book shows 3 of 10; the hold is for all 10."""
    assert venue.sell("alice", 10, 100, order_type="iceberg", display_quantity=3).brief == "new 0+10"
    assert venue.book() == ([], [(100, 3)])
    assert venue.balance("alice", "cpu") == (990, 10)


def test_a_refreshed_slice_goes_to_the_end_of_its_price(venue: Venue) -> None:
    """Three shown first, then the order behind, then the next slice."""
    venue.sell("alice", 6, 100, order_type="iceberg", display_quantity=3)
    venue.sell("bob", 2, 100)
    venue.buy("carol", 7, 100)
    fills = [line for line in venue.heard("carol") if "taker" in line]
    assert fills == ["#3 taker 3@100 left 4", "#3 taker 2@100 left 2", "#3 taker 2@100 left 0"]
    assert venue.heard("alice")[1:] == ["#1 maker 3@100 left 3", "#1 maker 2@100 left 1"]
    assert venue.book() == ([], [(100, 1)])


def test_a_slice_taken_in_part_keeps_its_place(venue: Venue) -> None:
    """Two of three taken: the third still stands before the order behind."""
    venue.sell("alice", 6, 100, order_type="iceberg", display_quantity=3)
    venue.sell("bob", 2, 100)
    venue.buy("carol", 2, 100)
    assert venue.book() == ([], [(100, 3)])
    venue.buy("carol", 1, 100)
    # The slice is gone; the next one stands behind bob's.
    assert venue.book() == ([], [(100, 5)])
    venue.buy("carol", 2, 100)
    assert venue.heard("bob")[-1] == "#2 maker 2@100 left 0"


def test_the_last_slice_is_what_is_left(venue: Venue) -> None:
    """Of 7 in slices of 3 the last shows 1."""
    venue.sell("alice", 7, 100, order_type="iceberg", display_quantity=3)
    venue.buy("bob", 6, 100)
    assert venue.book() == ([], [(100, 1)])
    venue.buy("bob", 1, 100)
    assert venue.book() == ([], [])


def test_an_iceberg_takes_with_all_of_it_and_shows_the_rest_in_slices(venue: Venue) -> None:
    """As a taker it trades like any limit order."""
    venue.buy("bob", 4, 100)
    assert venue.sell("alice", 10, 100, order_type="iceberg", display_quantity=5).brief == "partially_filled 4+6"
    assert venue.book() == ([], [(100, 5)])


def test_reducing_takes_what_is_hidden_first_and_keeps_the_place(venue: Venue) -> None:
    """From 10 to 4 nothing shown changes; to 2 the shown part shrinks; the place stays."""
    venue.sell("alice", 10, 100, order_type="iceberg", display_quantity=3)
    venue.sell("bob", 1, 100)
    assert venue.submit("alice", AmendOrder, order_id=1, quantity=4).accepted
    assert venue.book() == ([], [(100, 4)])
    assert venue.submit("alice", AmendOrder, order_id=1, quantity=2).accepted
    assert venue.book() == ([], [(100, 3)])
    assert venue.balance("alice", "cpu") == (998, 2)
    venue.buy("carol", 2, 100)
    assert venue.heard("alice")[-1] == "#1 maker 2@100 left 0"


def test_a_new_price_shows_a_fresh_slice(venue: Venue) -> None:
    """Moved to another price it shows its display quantity there."""
    venue.sell("alice", 10, 100, order_type="iceberg", display_quantity=3)
    venue.buy("bob", 2, 100)
    venue.submit("alice", AmendOrder, order_id=1, price=101)
    assert venue.book() == ([], [(101, 3)])


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({}, Reason.MISSING_FIELD),
        ({"display_quantity": 11}, Reason.INVALID_DISPLAY_QUANTITY),
        ({"display_quantity": 3, "time_in_force": "ioc"}, Reason.FIELD_NOT_ALLOWED),
        ({"display_quantity": 3, "time_in_force": "fok"}, Reason.FIELD_NOT_ALLOWED),
        ({"display_quantity": 3, "trigger_price": 90}, Reason.FIELD_NOT_ALLOWED),
        ({"display_quantity": 3, "budget": 90}, Reason.FIELD_NOT_ALLOWED),
    ],
)
def test_its_fields_are_checked(venue: Venue, terms: dict[str, object], reason: Reason) -> None:
    """It needs a display quantity of whole lots, at most its quantity, and must be able to rest."""
    assert_rejected(venue.sell("alice", 10, 100, order_type="iceberg", **terms), reason)

"""Test how long orders live: gtc, gtd, ioc, fok, post-only."""

from __future__ import annotations

import pytest

from exchange.messages.admin import Settings
from exchange.messages.reasons import Reason
from exchange.testing import SECOND_US, Venue, assert_rejected
from tests.core.scenes import scene


def test_ioc_trades_what_it_can_and_expires_the_rest(venue: Venue) -> None:
    """Nothing of an ioc order stays, and nothing stays on hold."""
    venue.sell("alice", 3, 100)
    assert venue.buy("bob", 5, 100, time_in_force="ioc").brief == "expired 3+0"
    assert venue.balance("bob") == (9_700, 0)
    assert venue.book() == ([], [])
    assert venue.heard("bob") == ["#2 placed", "#2 taker 3@100 left 2", "#2 expired 2 time_in_force"]


def test_ioc_that_fills_is_filled_and_one_that_meets_nothing_expires(venue: Venue) -> None:
    """The status tells which."""
    venue.sell("alice", 3, 100)
    assert venue.buy("bob", 3, 100, time_in_force="ioc").brief == "filled 3+0"
    assert venue.buy("bob", 3, 100, time_in_force="ioc").brief == "expired 0+0"
    assert venue.balance("bob") == (9_700, 0)


@pytest.mark.parametrize(
    ("quantity", "limit", "expected"),
    [
        (5, 101, "filled 5+0"),  # 3 at 100, 2 at 101
        (7, 101, "filled 7+0"),  # all there is within the limit
        (8, 101, "unfillable"),
        (4, 100, "unfillable"),
        (9, 102, "filled 9+0"),
    ],
)
def test_fok_trades_in_full_or_not_at_all(venue: Venue, quantity: int, limit: int, expected: str) -> None:
    """A fill-or-kill order counts what stands within its limit before anything happens."""
    venue.sell("alice", 3, 100)
    venue.sell("carol", 4, 101)
    venue.sell("alice", 2, 102)
    answer = venue.buy("bob", quantity, limit, time_in_force="fok")
    assert answer.brief == expected
    if not answer.accepted:
        assert_rejected(answer, Reason.UNFILLABLE)
        assert venue.heard("bob") == []


def test_fok_counts_what_icebergs_hide(venue: Venue) -> None:
    """The hidden part of an iceberg trades, so it counts."""
    venue.sell("alice", 10, 100, order_type="iceberg", display_quantity=3)
    assert_rejected(venue.buy("bob", 11, 100, time_in_force="fok"), Reason.UNFILLABLE)
    assert venue.buy("bob", 10, 100, time_in_force="fok").brief == "filled 10+0"


def test_fok_counts_no_more_fills_than_one_command_may_cause() -> None:
    """With a cap of 3 fills, three makers can be taken and four cannot."""
    venue = scene(Venue(settings=Settings(max_fills_per_command=3)))
    for _ in range(4):
        venue.sell("alice", 1, 100)
    assert_rejected(venue.buy("bob", 4, 100, time_in_force="fok"), Reason.UNFILLABLE)
    assert venue.buy("bob", 3, 100, time_in_force="fok").brief == "filled 3+0"


def test_fok_counts_the_slices_of_an_iceberg_as_fills() -> None:
    """Ten units shown three at a time need four fills."""
    venue = scene(Venue(settings=Settings(max_fills_per_command=3)))
    venue.sell("alice", 10, 100, order_type="iceberg", display_quantity=3)
    assert_rejected(venue.buy("bob", 10, 100, time_in_force="fok"), Reason.UNFILLABLE)
    assert venue.buy("bob", 9, 100, time_in_force="fok").brief == "filled 9+0"


def test_an_order_over_the_cap_of_effects_expires_with_what_is_left() -> None:
    """A gtc order that meets more makers than one command may fill ends there, uncrossed."""
    venue = scene(Venue(settings=Settings(max_fills_per_command=3)))
    for _ in range(4):
        venue.sell("alice", 1, 100)
    assert venue.buy("bob", 4, 100).brief == "expired 3+0"
    assert venue.heard("bob")[-1] == "#5 expired 1 effects_cap"
    assert venue.balance("bob") == (9_700, 0)


def test_fok_counts_nothing_outside_the_band() -> None:
    """With reference 100 and 5 %, what stands at 106 cannot be traded and does not count."""
    venue = scene(reference_price=100, price_band_bp=500)
    venue.sell("alice", 2, 105)
    venue.sell("alice", 2, 106)
    assert_rejected(venue.buy("bob", 3, 106, time_in_force="fok"), Reason.UNFILLABLE)
    assert venue.buy("bob", 2, 106, time_in_force="fok").brief == "filled 2+0"
    assert venue.view().phase == "open"


def test_gtd_expires_at_its_time_and_releases_its_hold(venue: Venue) -> None:
    """At ``expires_at_us`` the order is gone: t ≥ deadline means passed."""
    at = venue.time_us + 30 * SECOND_US
    venue.buy("alice", 5, 100, time_in_force="gtd", expires_at_us=at)
    venue.advance_to(at - 1)
    assert venue.balance("alice") == (9_500, 500)
    venue.advance_to(at)
    assert venue.balance("alice") == (10_000, 0)
    assert venue.heard("alice")[-1] == "#1 expired 5 gtd"
    assert venue.sell("bob", 1, 90).brief == "new 0+1"


def test_gtd_does_not_expire_twice_after_it_filled(venue: Venue) -> None:
    """A filled order's deadline is forgotten with it."""
    venue.buy("alice", 5, 100, time_in_force="gtd", expires_at_us=venue.time_us + SECOND_US)
    venue.sell("bob", 5, 100)
    venue.advance(5)
    assert venue.heard("alice") == ["#1 placed", "#1 maker 5@100 left 0"]


@pytest.mark.parametrize("offset", [0, -1, 367 * 86_400 * SECOND_US])
def test_gtd_must_end_in_the_future_and_within_a_year(venue: Venue, offset: int) -> None:
    """An expiry now, in the past or over a year ahead is refused."""
    answer = venue.buy("alice", 1, 100, time_in_force="gtd", expires_at_us=venue.time_us + offset)
    assert_rejected(answer, Reason.INVALID_EXPIRY)


def test_post_only_rests_or_is_refused(venue: Venue) -> None:
    """It never takes: at or through the opposite best it is rejected, one tick away it rests."""
    venue.sell("alice", 1, 100)
    assert_rejected(venue.buy("bob", 1, 100, post_only=True), Reason.POST_ONLY_WOULD_TRADE)
    assert_rejected(venue.buy("bob", 1, 105, post_only=True), Reason.POST_ONLY_WOULD_TRADE)
    assert venue.buy("bob", 1, 99, post_only=True).brief == "new 0+1"
    assert_rejected(venue.sell("carol", 1, 99, post_only=True), Reason.POST_ONLY_WOULD_TRADE)
    assert venue.sell("carol", 1, 100, post_only=True).brief == "new 0+1"

"""Test self-trade prevention: by owner, the taker's mode decides, one maker at a time."""

from __future__ import annotations

import pytest

from exchange.messages.admin import Settings
from exchange.messages.orders import AmendOrder
from exchange.messages.reasons import Reason
from exchange.testing import Venue, assert_rejected
from tests.core.scenes import scene


@pytest.fixture
def fleet(venue: Venue) -> Venue:
    """Return the common scene with a second agent of alice's owner, alma."""
    venue.register("alma", owner="alice", endowment=10_000)
    venue.issue("alma", 1_000)
    venue.heard("alma")
    return venue


@pytest.mark.parametrize(
    ("mode", "outcome", "asks", "alma_heard"),
    [
        # The book: alma 3 at 100, bob 2 at 100, alma 2 at 101. alice takes 6 at 101.
        ("none", "filled 6+0", [(101, 1)], ["#1 maker 3@100 left 0", "#3 maker 1@101 left 1"]),
        ("expire_taker", "expired 0+0", [(100, 5), (101, 2)], []),
        ("expire_maker", "partially_filled 2+4", [], ["#1 expired 3 self_trade", "#3 expired 2 self_trade"]),
        ("expire_both", "expired 0+0", [(100, 2), (101, 2)], ["#1 expired 3 self_trade"]),
        ("decrement", "expired 2+0", [(101, 1)], ["#1 expired 0 self_trade", "#3 reduced 1 left 1"]),
    ],
)
def test_each_mode(fleet: Venue, mode: str, outcome: str, asks: list[tuple[int, int]], alma_heard: list[str]) -> None:
    """What happens to a taker of 6 that meets 3 of its own owner, 2 of another, 2 of its own again."""
    fleet.sell("alma", 3, 100)
    fleet.sell("bob", 2, 100)
    fleet.sell("alma", 2, 101)
    fleet.heard("alma")
    assert fleet.buy("alice", 6, 101, self_trade_prevention=mode).brief == outcome
    assert fleet.book()[1] == asks
    assert fleet.heard("alma") == alma_heard


def test_owners_are_what_counts(fleet: Venue) -> None:
    """An agent of another owner trades; one of the same owner does not, by default."""
    fleet.sell("alma", 1, 100)
    assert fleet.buy("alice", 1, 100).brief == "expired 0+0"
    assert fleet.buy("bob", 1, 100).brief == "filled 1+0"


def test_expired_takers_keep_what_they_traded_before(fleet: Venue) -> None:
    """Bob's two are bought; the rest ends where the owner's own order stands."""
    fleet.sell("bob", 2, 99)
    fleet.sell("alma", 2, 100)
    assert fleet.buy("alice", 5, 100).brief == "expired 2+0"
    assert fleet.heard("alice")[-1] == "#3 expired 3 self_trade"
    assert fleet.balance("alice") == (10_000 - 198, 0)


def test_decrement_releases_holds_on_both_sides(fleet: Venue) -> None:
    """3 of 5 and 3 of 3 vanish: the taker rests with 2, its quantity is 2, holds follow."""
    fleet.sell("alma", 3, 100)
    assert fleet.buy("alice", 5, 100, self_trade_prevention="decrement").brief == "new 0+2"
    assert fleet.heard("alice") == ["#2 placed", "#2 reduced 3 left 2"]
    assert fleet.balance("alice") == (9_800, 200)
    assert fleet.balance("alma", "cpu") == (1_000, 0)
    assert [(order.quantity, order.remaining) for order in fleet.orders("alice")] == [(2, 2)]


def test_the_end_of_a_taker_that_is_decremented_away_is_told(fleet: Venue) -> None:
    """It traded 2, lost 3 to decrement: its events must not leave it alive with 3 remaining."""
    fleet.sell("bob", 2, 99)
    fleet.sell("alma", 9, 100)
    answer = fleet.buy("alice", 5, 100, self_trade_prevention="decrement")
    assert answer.order.filled == 2
    last = fleet.events("alice")[-1]
    assert getattr(last, "remaining", None) == 0, fleet.heard("alice")


def test_a_taker_decremented_to_nothing_without_a_trade_expires(fleet: Venue) -> None:
    """Nothing was filled, nothing remains: expired because of self-trade prevention."""
    fleet.sell("alma", 5, 100)
    assert fleet.buy("alice", 5, 100, self_trade_prevention="decrement").brief == "expired 0+0"
    assert fleet.heard("alice")[-1] == "#2 expired 0 self_trade"
    assert fleet.book() == ([], [])


def test_decrement_eats_an_iceberg_slice_by_slice(fleet: Venue) -> None:
    """A taker of 5 against 7 shown in threes: 3, then 2 of the next 3."""
    fleet.sell("alma", 7, 100, order_type="iceberg", display_quantity=3)
    fleet.heard("alma")
    assert fleet.buy("alice", 5, 100, self_trade_prevention="decrement").brief == "expired 0+0"
    assert fleet.heard("alma") == ["#1 reduced 3 left 4", "#1 reduced 2 left 2"]
    assert fleet.book() == ([], [(100, 1)])


@pytest.mark.parametrize(
    ("mode", "quantity", "expected"),
    [
        # bob 2 at 100, alma 3 at 100, bob 2 at 101.
        ("expire_taker", 2, "filled 2+0"),
        ("expire_taker", 3, "unfillable"),
        ("expire_both", 3, "unfillable"),
        ("decrement", 3, "unfillable"),
        ("expire_maker", 4, "filled 4+0"),
        ("expire_maker", 5, "unfillable"),
        ("none", 7, "filled 7+0"),
    ],
)
def test_fok_counts_only_what_it_may_really_trade(fleet: Venue, mode: str, quantity: int, expected: str) -> None:
    """Its owner's orders do not count, and where they would end it, neither does what is behind."""
    fleet.sell("bob", 2, 100)
    fleet.sell("alma", 3, 100)
    fleet.sell("bob", 2, 101)
    fleet.heard("alma")
    answer = fleet.buy("alice", quantity, 101, time_in_force="fok", self_trade_prevention=mode)
    assert answer.brief == expected
    if not answer.accepted:
        assert_rejected(answer, Reason.UNFILLABLE)
        assert fleet.heard("alma") == []


def test_an_amended_order_is_a_taker_with_the_mode_it_was_placed_with(fleet: Venue) -> None:
    """Moved into its owner's ask, the mode of the moved order decides."""
    fleet.sell("alma", 2, 100)
    fleet.buy("alice", 2, 90, self_trade_prevention="expire_maker")
    assert fleet.submit("alice", AmendOrder, order_id=2, price=100).brief == "new 0+2"
    assert fleet.heard("alma")[-1] == "#1 expired 2 self_trade"


def test_an_amended_order_that_meets_itself_expires(fleet: Venue) -> None:
    """By default the taker ends; its hold is released."""
    fleet.sell("alma", 2, 100)
    fleet.buy("alice", 2, 90)
    assert fleet.submit("alice", AmendOrder, order_id=2, price=100).brief == "expired 0+0"
    assert fleet.balance("alice") == (10_000, 0)


def test_expiring_makers_counts_as_effects_of_the_command() -> None:
    """With a cap of 2 effects the third own maker is not reached."""
    venue = scene(Venue(settings=Settings(max_fills_per_command=2)))
    venue.register("alma", owner="alice", endowment=0)
    venue.issue("alma", 10)
    for _ in range(3):
        venue.sell("alma", 1, 100)
    assert venue.buy("alice", 5, 100, self_trade_prevention="expire_maker").brief == "expired 0+0"
    assert venue.book() == ([], [(100, 1)])


def test_in_an_auction_the_newer_order_is_the_taker(fleet: Venue) -> None:
    """Crossed orders of one owner meet at the uncrossing: the newer one's mode decides."""
    fleet.market("call", auction_seconds=10)
    fleet.sell("alma", 2, 100, market="call")  # 1, the older
    fleet.buy("alice", 2, 100, market="call", self_trade_prevention="expire_maker")  # 2
    fleet.sell("bob", 1, 100, market="call")  # 3
    fleet.advance(10)
    assert fleet.heard("alma")[-1] == "#1 expired 2 self_trade"
    assert fleet.heard("alice")[-1] == "#2 auction 1@100 left 1"
    assert fleet.view("call").phase == "open"

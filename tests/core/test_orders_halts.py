"""Test when markets do not trade: price bands, call auctions, halts by operators."""

from __future__ import annotations

import pytest

from exchange.messages.admin import HaltMarket, HaltVenue, Settings
from exchange.messages.orders import AmendOrder, CancelAllAfter, CancelOrder, MassCancel
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, SECOND_US, Venue, assert_rejected
from tests.core.scenes import scene


@pytest.fixture
def banded() -> Venue:
    """Return the common scene with reference 100 and a band of 10 %: 90 … 110, halts of 60 s."""
    return scene(reference_price=100, price_band_bp=1_000)


# ── the price band ──────────────────────────────────────────────────────────────────────────────


def test_an_order_is_stopped_at_the_edge_of_the_band(banded: Venue) -> None:
    """It trades at 105, not at 111; what is left waits for the auction, which begins at once."""
    banded.sell("alice", 1, 105)
    banded.sell("alice", 1, 111)
    assert banded.buy("bob", 3, 120).brief == "partially_filled 1+2"
    view = banded.view()
    assert (view.phase, view.phase_until_us) == ("auction", banded.time_us + 60 * SECOND_US)
    assert banded.book() == ([(120, 2)], [(111, 1)])
    assert banded.balance("bob") == (10_000 - 105 - 240, 240)


@pytest.mark.parametrize(("price", "trades"), [(90, 1), (110, 1), (89, 0), (111, 0)])
def test_the_edges_belong_to_the_band(banded: Venue, price: int, trades: int) -> None:
    """90 and 110 trade; 89 and 111 do not."""
    banded.sell("alice", 1, price)
    banded.buy("bob", 1, price)
    assert banded.view().trades == trades
    assert banded.view().phase == ("open" if trades else "auction")


def test_an_order_outside_of_the_band_may_rest(banded: Venue) -> None:
    """Only a trade outside is stopped."""
    assert banded.sell("alice", 1, 500).brief == "new 0+1"
    assert banded.buy("bob", 1, 1).brief == "new 0+1"
    assert banded.view().phase == "open"


def test_an_order_that_cannot_rest_expires_at_the_band(banded: Venue) -> None:
    """The market halts all the same."""
    banded.sell("alice", 1, 111)
    assert banded.buy("bob", 1, 120, time_in_force="ioc").brief == "expired 0+0"
    assert banded.heard("bob")[-1] == "#2 expired 1 price_band"
    assert banded.view().phase == "auction"


def test_the_halted_market_reopens_by_a_call_auction(banded: Venue) -> None:
    """After 60 s the crossed orders trade at one price, which is the new reference."""
    banded.sell("alice", 1, 111)
    banded.buy("bob", 2, 120)
    banded.sell("carol", 3, 115)
    banded.advance_to(banded.time_us + 60 * SECOND_US - 1)
    assert banded.view().trades == 0
    banded.advance_to(banded.time_us + 1)
    # Two can trade at 115 … 120, with one more offered; 115 is nearest to the reference of 100.
    view = banded.view()
    assert (view.phase, view.last_price, view.volume, view.reference_price) == ("open", 115, 2, 115)
    assert banded.balance("bob") == (10_000 - 230, 0)
    assert banded.book() == ([], [(115, 2)])
    # The band is now 103.5 … 126.5, inside it: 104 … 126.
    banded.sell("alice", 1, 126)
    assert banded.buy("bob", 3, 126).brief == "filled 3+0"


def test_the_reference_follows_the_last_trade_once_a_minute(banded: Venue) -> None:
    """Within a minute steps add up to no more than the band around the same reference."""
    banded.sell("alice", 1, 108)
    banded.buy("bob", 1, 108)
    banded.sell("alice", 1, 112)
    banded.advance(59)
    assert banded.buy("bob", 1, 112, time_in_force="ioc").brief == "expired 0+0"
    banded.advance(60)
    # The auction ended without a trade; the minute is over, so the reference is 108 and 112 is fine.
    assert banded.view().phase == "open"
    assert banded.buy("bob", 1, 112).brief == "filled 1+0"


def test_a_stop_that_is_set_off_is_stopped_by_the_band_too(banded: Venue) -> None:
    """A cascade ends in a halt; stops still waiting go on after the auction."""
    banded.sell("alice", 1, 1, order_type="stop", trigger_price=95)  # 1
    banded.sell("alice", 1, 80, order_type="stop_limit", trigger_price=95)  # 2
    banded.buy("bob", 1, 95)
    banded.buy("bob", 2, 85)
    banded.sell("carol", 1, 95)
    assert banded.heard("alice")[-2:] == ["#1 triggered", "#1 expired 1 price_band"]
    assert banded.view().phase == "auction"
    banded.advance(60)
    # The auction found nothing crossed; the second stop is set off now and 85 is under the band of 95.
    assert banded.heard("alice")[0] == "#2 triggered"


# ── call auctions ───────────────────────────────────────────────────────────────────────────────


def test_a_market_may_open_by_call_auction() -> None:
    """Orders collect, crossed; then the most volume trades at one price, best prices first."""
    venue = scene(auction_seconds=10)
    assert venue.buy("alice", 10, 102).brief == "new 0+10"
    venue.buy("bob", 10, 101)
    venue.sell("carol", 5, 100)
    venue.sell("dave", 10, 101)
    venue.advance(10)
    # At 100: 5; at 101: min(20, 15) = 15; at 102: 10.
    view = venue.view()
    assert (view.phase, view.last_price, view.volume) == ("open", 101, 15)
    assert venue.balance("alice") == (10_000 - 1_010, 0)
    assert venue.balance("bob") == (10_000 - 505 - 505, 505)
    assert venue.balance("carol") == (10_505, 0)
    assert venue.balance("dave") == (11_010, 0)
    assert venue.heard("alice")[-1].startswith("#1 auction")


@pytest.mark.parametrize(
    ("reference", "price"),
    [(None, 102), (100, 102), (104, 104), (200, 105)],
)
def test_ties_go_to_the_least_imbalance_then_to_the_reference(reference: int | None, price: int) -> None:
    """10 trade anywhere from 100 to 105; from 102 on nothing is left over; then the reference decides."""
    terms = {} if reference is None else {"reference_price": reference, "price_band_bp": 0}
    venue = scene(auction_seconds=10, **terms)
    venue.buy("alice", 10, 105)
    venue.buy("bob", 5, 101)
    venue.sell("carol", 10, 100)
    venue.advance(10)
    assert (venue.view().last_price, venue.view().volume) == (price, 10)


def test_auction_trades_pay_the_maker_fee() -> None:
    """Nobody takes in an auction; both sides pay 50 bp of 1,000."""
    venue = scene(auction_seconds=10, maker_fee_bp=50, taker_fee_bp=500)
    venue.buy("alice", 10, 100)
    venue.sell("bob", 10, 100)
    venue.advance(10)
    assert venue.balance("alice") == (10_000 - 1_005, 0)
    assert venue.balance("bob") == (10_000 + 995, 0)


def test_icebergs_trade_their_hidden_part_in_an_auction() -> None:
    """The volume counts what is hidden."""
    venue = scene(auction_seconds=10)
    venue.sell("alice", 9, 100, order_type="iceberg", display_quantity=2)
    venue.buy("bob", 9, 100)
    venue.advance(10)
    assert venue.view().volume == 9
    assert venue.orders("alice") == []


def test_an_auction_beyond_the_cap_goes_on_at_the_same_price() -> None:
    """With a cap of 3 trades, seven need three steps; nobody may enter in between."""
    venue = scene(Venue(settings=Settings(max_fills_per_command=3)), auction_seconds=10)
    for _ in range(7):
        venue.sell("alice", 1, 100)
    venue.buy("bob", 7, 110)
    venue.advance(10)
    assert (venue.view().volume, venue.view().phase) == (3, "halted")
    assert_rejected(venue.sell("carol", 1, 100), Reason.MARKET_HALTED)
    venue.advance(1)
    venue.advance(1)
    view = venue.view()
    assert (view.volume, view.phase) == (7, "open")
    prices = [event.price for event in venue.events("bob") if hasattr(event, "trade_id")]  # type: ignore[attr-defined]
    assert len(set(prices)) == 1


def test_orders_that_cannot_wait_are_refused_in_an_auction() -> None:
    """ioc, fok, market and budget orders need a trade now; limits, icebergs and stops may wait."""
    venue = scene(auction_seconds=10)
    for terms in (
        {"quantity": 1, "price": 10, "time_in_force": "ioc"},
        {"quantity": 1, "price": 10, "time_in_force": "fok"},
        {"quantity": 1, "price": 10, "order_type": "market"},
        {"budget": 10, "price": 10, "order_type": "budget"},
    ):
        assert_rejected(venue.buy("alice", **terms), Reason.MARKET_IN_AUCTION)  # type: ignore[arg-type]
    assert venue.buy("alice", 1, 10).accepted
    assert venue.buy("alice", 2, 10, order_type="iceberg", display_quantity=1).accepted
    assert venue.buy("alice", 1, 30, order_type="stop", trigger_price=20).accepted


def test_orders_may_be_amended_and_canceled_in_an_auction() -> None:
    """Until it ends nothing binds."""
    venue = scene(auction_seconds=10)
    venue.buy("alice", 5, 100)
    venue.sell("bob", 5, 100)
    assert venue.submit("alice", AmendOrder, order_id=1, price=90).brief == "new 0+5"
    assert venue.submit("bob", CancelOrder, order_id=2).brief == "canceled 0+0"
    venue.advance(10)
    assert (venue.view().trades, venue.view().phase) == (0, "open")


def test_an_auction_sets_off_stops_when_the_market_opens() -> None:
    """The auction price is a last price like any other."""
    venue = scene(auction_seconds=10)
    venue.sell("alice", 1, order_type="stop", trigger_price=95)
    venue.buy("bob", 2, 90)
    venue.sell("carol", 1, 90)
    venue.advance(10)
    assert venue.heard("alice")[1:] == ["#1 triggered", "#1 taker 1@90 left 0"]


# ── halts ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("state", "place", "cancel"),
    [
        ("halted", Reason.MARKET_HALTED, Reason.MARKET_HALTED),
        ("cancel_only", Reason.MARKET_CANCEL_ONLY, None),
    ],
)
def test_a_market_halt(venue: Venue, state: str, place: Reason, cancel: Reason | None) -> None:
    """Halted: nothing moves. Cancel-only: orders may go, none may come or change. Other markets go on."""
    venue.market("two")
    venue.buy("alice", 1, 50)
    venue.buy("alice", 1, 50, market="two")
    venue.must(OPERATOR, HaltMarket, market="cpu", state=state)
    assert_rejected(venue.buy("alice", 1, 50), place)
    assert_rejected(venue.buy("alice", 1, 50, order_type="stop", trigger_price=40), place)
    assert_rejected(venue.submit("alice", AmendOrder, order_id=1, quantity=2), place)
    assert venue.buy("alice", 1, 50, market="two").accepted
    answer = venue.submit("alice", CancelOrder, order_id=1)
    if cancel is None:
        assert answer.accepted
    else:
        assert_rejected(answer, cancel)
        assert venue.submit("alice", MassCancel).outcome.canceled == 2
    venue.must(OPERATOR, HaltMarket, market="cpu", state="open")
    assert venue.buy("alice", 1, 50).accepted


def test_a_halt_ends_by_call_auction_when_the_operator_says_so(venue: Venue) -> None:
    """``auction_seconds`` collects orders before it opens."""
    venue.must(OPERATOR, HaltMarket, market="cpu", state="halted")
    venue.must(OPERATOR, HaltMarket, market="cpu", state="open", auction_seconds=5)
    venue.buy("alice", 1, 100)
    venue.sell("bob", 1, 90)
    assert venue.view().trades == 0
    venue.advance(5)
    assert venue.view().trades == 1


def test_a_halt_in_an_auction_stops_it_and_opening_uncrosses(banded: Venue) -> None:
    """What collected crossed is uncrossed by an opening without an auction, too."""
    banded.sell("alice", 1, 111)
    banded.buy("bob", 1, 120)
    banded.must(OPERATOR, HaltMarket, market="cpu", state="halted")
    banded.advance(120)
    assert (banded.view().trades, banded.view().phase) == (0, "halted")
    banded.must(OPERATOR, HaltMarket, market="cpu", state="open")
    assert (banded.view().trades, banded.view().last_price, banded.view().phase) == (1, 111, "open")


@pytest.mark.parametrize(
    ("state", "reason"), [("halted", Reason.VENUE_HALTED), ("cancel_only", Reason.VENUE_CANCEL_ONLY)]
)
def test_a_venue_halt_stops_new_obligations_everywhere(venue: Venue, state: str, reason: Reason) -> None:
    """No order comes in or changes; cancel-only lets orders go, halted holds still but for operators."""
    venue.buy("alice", 1, 50)
    venue.must(OPERATOR, HaltVenue, state=state)
    assert_rejected(venue.buy("alice", 1, 50), reason)
    assert_rejected(venue.submit("alice", AmendOrder, order_id=1, quantity=2), reason)
    answer = venue.submit("alice", CancelOrder, order_id=1)
    if state == "halted":
        assert_rejected(answer, reason)
        answer = venue.submit(OPERATOR, MassCancel, owner="alice")
    assert answer.accepted
    assert venue.orders("alice") == []
    assert_rejected(venue.submit(OPERATOR, HaltVenue, state=state), Reason.NO_CHANGE)
    venue.must(OPERATOR, HaltVenue, state="open")
    assert venue.buy("alice", 1, 50).accepted


def test_nothing_trades_while_the_venue_is_halted() -> None:
    """A call auction whose end falls into a halt of the venue does not trade in it."""
    venue = scene(auction_seconds=10)
    venue.buy("alice", 1, 100)
    venue.sell("bob", 1, 100)
    venue.must(OPERATOR, HaltVenue, state="halted")
    venue.advance(20)
    assert venue.view().trades == 0
    venue.must(OPERATOR, HaltVenue, state="open")
    venue.advance(600)
    assert (venue.view().trades, venue.view().phase) == (1, "open")


def test_a_dead_mans_switch_starts_anew_after_a_halt_of_the_venue(venue: Venue) -> None:
    """It cannot be renewed while everything is refused, so it does not lapse in or right after the halt."""
    venue.buy("alice", 1, 100)
    venue.must("alice", CancelAllAfter, seconds=30)
    venue.must(OPERATOR, HaltVenue, state="halted")
    venue.advance(100)
    assert len(venue.orders("alice")) == 1
    venue.must(OPERATOR, HaltVenue, state="open")
    venue.advance(29)
    assert len(venue.orders("alice")) == 1
    venue.advance(1)
    assert venue.orders("alice") == []


def test_opening_a_market_in_a_halted_venue_trades_nothing() -> None:
    """The halt of the venue is the stronger one: what is crossed trades once the venue is open."""
    venue = scene(auction_seconds=10)
    venue.buy("alice", 1, 100)
    venue.sell("bob", 1, 100)
    venue.must(OPERATOR, HaltVenue, state="halted")
    venue.submit(OPERATOR, HaltMarket, market="cpu", state="open")
    assert venue.view().trades == 0

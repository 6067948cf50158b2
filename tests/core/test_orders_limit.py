"""Test limit orders: price-time priority, the maker's price, holds, what is told to whom."""

from __future__ import annotations

from random import Random

from exchange.messages.orders import AmendOrder, CancelOrder, GetOrder, OrderFilled, PlaceOrder
from exchange.testing import Venue
from tests.core.scenes import scene


def test_a_lone_order_rests_and_holds_its_worst_case(venue: Venue) -> None:
    """Buyers hold limit × quantity, sellers hold the units."""
    assert venue.buy("alice", 5, 100).brief == "new 0+5"
    assert venue.sell("bob", 7, 110).brief == "new 0+7"
    assert venue.balance("alice") == (9_500, 500)
    assert venue.balance("bob", "cpu") == (993, 7)
    assert venue.book() == ([(100, 5)], [(110, 7)])


def test_a_trade_happens_at_the_makers_price_and_improvement_is_released(venue: Venue) -> None:
    """A buyer with limit 120 pays the seller's 100 and has the other 20 back at once."""
    venue.sell("alice", 3, 100)  # 1
    assert venue.buy("bob", 5, 120).brief == "partially_filled 3+2"  # 2
    # Bob paid 3 × 100 and holds 2 × 120.
    assert venue.balance("bob") == (10_000 - 300 - 240, 240)
    assert venue.balance("bob", "cpu") == (1_003, 0)
    assert venue.balance("alice") == (10_300, 0)
    assert venue.balance("alice", "cpu") == (997, 0)
    assert venue.heard("alice") == ["#1 placed", "#1 maker 3@100 left 0"]
    assert venue.heard("bob") == ["#2 placed", "#2 taker 3@100 left 2"]


def test_a_maker_buyers_hold_shrinks_by_what_it_pays(venue: Venue) -> None:
    """A resting buy that fills in parts keeps holding limit × remaining exactly."""
    venue.buy("alice", 10, 50)
    venue.sell("bob", 4, 45)
    assert venue.balance("alice") == (9_500, 300)
    assert venue.balance("bob") == (10_200, 0)
    assert [(o.status, o.filled, o.remaining, o.held) for o in venue.orders("alice")] == [
        ("partially_filled", 4, 6, 300)
    ]


def test_the_better_price_goes_first(venue: Venue) -> None:
    """A taker walks the asks from the cheapest, whatever the order of arrival."""
    venue.sell("alice", 1, 102)
    venue.sell("bob", 1, 100)
    venue.sell("carol", 1, 101)
    venue.buy("dave", 3, 102)
    fills = [line for line in venue.heard("dave") if "taker" in line]
    assert fills == ["#4 taker 1@100 left 2", "#4 taker 1@101 left 1", "#4 taker 1@102 left 0"]


def test_at_one_price_the_earlier_order_goes_first(venue: Venue) -> None:
    """Orders of one price trade in order of arrival; the last stays with what is left of it."""
    venue.buy("alice", 2, 100)
    venue.buy("bob", 2, 100)
    venue.buy("carol", 2, 100)
    venue.sell("dave", 3, 90)
    assert venue.heard("alice")[-1] == "#1 maker 2@100 left 0"
    assert venue.heard("bob")[-1] == "#2 maker 1@100 left 1"
    assert venue.heard("carol") == ["#3 placed"]
    assert venue.book() == ([(100, 3)], [])


def test_a_level_that_empties_and_fills_again_keeps_price_order(venue: Venue) -> None:
    """Prices that emptied, away from the best too, are as good as new when orders come back."""
    first = venue.sell("alice", 1, 105).order_id
    venue.sell("alice", 1, 103)
    venue.submit("alice", CancelOrder, order_id=first)
    venue.sell("bob", 2, 105)
    venue.sell("bob", 1, 104)
    assert venue.book() == ([], [(103, 1), (104, 1), (105, 2)])
    venue.buy("carol", 3, 105)
    assert venue.book() == ([], [(105, 1)])


def test_values_are_exact_with_a_base_of_many_decimals() -> None:
    """With 3 decimals, tick 10 and lot 100, price × quantity ÷ 1,000 is always whole."""
    venue = scene(decimals=3, tick=10, lot=100)
    venue.sell("alice", 300, 70)
    venue.buy("bob", 200, 80)
    # 70 × 200 / 1,000 = 14.
    assert venue.balance("bob") == (9_986, 0)
    assert venue.balance("alice") == (10_014, 0)
    assert venue.balance("alice", "cpu") == (700, 100)


def test_orders_are_found_by_either_id_and_forgotten_when_filled(venue: Venue) -> None:
    """GetOrder finds a live order by order_id or client_order_id; a filled one is no longer live."""
    venue.sell("alice", 2, 100, client_order_id="mine")
    by_name = venue.engine.query("alice", GetOrder(client_order_id="mine"))
    by_id = venue.engine.query("alice", GetOrder(order_id=1))
    assert by_name == by_id
    venue.buy("bob", 2, 100)
    assert venue.orders("alice") == []
    # The name is free again.
    assert venue.sell("alice", 1, 100, client_order_id="mine").accepted


def test_client_order_ids_stand_on_every_event(venue: Venue) -> None:
    """What an agent called its order comes back with each event about it."""
    venue.sell("alice", 5, 100, client_order_id="mine")
    venue.buy("bob", 2, 100)
    venue.submit("alice", AmendOrder, order_id=1, quantity=4)
    venue.submit("alice", CancelOrder, client_order_id="mine")
    told = [event for event in venue.events("alice") if hasattr(event, "order_id")]
    assert [event.client_order_id for event in told] == ["mine"] * 4  # type: ignore[attr-defined]


def test_public_market_view_counts_trades_and_volume(venue: Venue) -> None:
    """Last price, volume, trades, best prices and open orders are what the trades made them."""
    venue.sell("alice", 5, 100)
    venue.sell("alice", 5, 102)
    venue.buy("bob", 6, 102)
    view = venue.view()
    assert (view.last_price, view.volume, view.trades) == (102, 6, 2)
    assert (view.best_bid, view.best_ask, view.open_orders, view.phase) == (None, 102, 1, "open")


def test_an_order_sent_in_the_same_batch_comes_after_the_earlier(venue: Venue) -> None:
    """Within a batch commands run in order, and each sees what the one before did."""
    answers = venue.send_batch(
        [
            (agent, venue.command(agent, PlaceOrder, market="cpu", side=side, quantity=1, price=100))
            for agent, side in (("alice", "sell"), ("bob", "buy"), ("carol", "buy"))
        ]
    )
    assert [answer.brief for answer in answers] == ["new 0+1", "filled 1+0", "new 0+1"]


def test_a_price_keeps_its_queue_whatever_leaves_it(venue: Venue) -> None:
    """Of 400 orders at one price every tenth stays, then 30 more come: they trade in order of arrival."""
    placed = [venue.buy("alice", 1, 10).order.order_id for _ in range(400)]
    stay = placed[7::10]
    leave = [order_id for order_id in placed if order_id not in stay]
    Random(1).shuffle(leave)
    for order_id in leave:
        venue.must("alice", CancelOrder, order_id=order_id)
    stay += [venue.buy("alice", 1, 10).order.order_id for _ in range(30)]
    venue.heard("alice")
    venue.sell("bob", len(stay), 10)
    filled = [event.order_id for event in venue.events("alice") if isinstance(event, OrderFilled)]
    assert filled == stay

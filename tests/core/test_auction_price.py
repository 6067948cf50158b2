"""Test the price of a call auction against the plainest search: every tick, the rules word by word."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from exchange.testing import Venue

LEVELS = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 9)), min_size=0, max_size=8)


def plain_price(
    bids: list[tuple[int, int]], asks: list[tuple[int, int]], reference: int | None, tick: int
) -> tuple[int, int] | None:
    """Return (price, volume) by trying every tick: most volume, least imbalance, nearest, lowest."""
    if not bids or not asks or max(bids)[0] < min(asks)[0]:
        return None
    anchor = reference if reference is not None else (max(bids)[0] + min(asks)[0]) // 2
    found = None
    for price in range(tick, 41 * tick, tick):
        demand = sum(quantity for limit, quantity in bids if limit >= price)
        supply = sum(quantity for limit, quantity in asks if limit <= price)
        rank = (-min(demand, supply), abs(demand - supply), abs(price - anchor), price)
        if found is None or rank < found:
            found = rank
    assert found is not None
    return found[3], -found[0]


def auction(
    bids: list[tuple[int, int]],
    asks: list[tuple[int, int]],
    reference: int | None,
    tick: int,
    *,
    icebergs: bool,
) -> Venue:
    """Return a venue after a call auction over these orders, each as (price, quantity)."""
    venue = Venue(check_every=4)
    venue.register("buyer", "seller", endowment=100_000)
    terms = {} if reference is None else {"reference_price": reference, "price_band_bp": 0}
    venue.market(auction_seconds=10, tick=tick, **terms)
    venue.issue("seller", 1_000)
    shape = {"order_type": "iceberg", "display_quantity": 1} if icebergs else {}
    for price, quantity in bids:
        assert venue.buy("buyer", quantity, price, **shape).accepted
    for price, quantity in asks:
        assert venue.sell("seller", quantity, price, **shape).accepted
    venue.advance(10)
    return venue


@settings(max_examples=300)
@given(LEVELS, LEVELS, st.none() | st.integers(0, 45), st.sampled_from([1, 3]), st.booleans())
@example([(10, 1)], [(1, 1)], None, 1, False)
@example([(10, 1), (2, 1)], [(1, 1), (9, 1)], 40, 1, False)
@example([(20, 3), (10, 2)], [(5, 3), (15, 2)], 12, 3, False)
def test_the_price_is_the_one_that_a_search_over_every_tick_finds(
    bids: list[tuple[int, int]],
    asks: list[tuple[int, int]],
    reference: int | None,
    tick: int,
    icebergs: bool,
) -> None:
    """Price and volume are those of the plain search; the book that is left is not crossed."""
    bids = [(price * tick, quantity) for price, quantity in bids]
    asks = [(price * tick, quantity) for price, quantity in asks]
    anchor = None if not reference else reference * tick
    venue = auction(bids, asks, anchor, tick, icebergs=icebergs)
    view = venue.view()
    expected = plain_price(bids, asks, anchor, tick)
    if expected is None:
        assert (view.trades, view.last_price) == (0, None)
    else:
        assert (view.last_price, view.volume) == expected
    assert view.phase == "open"
    left_bids, left_asks = venue.book()
    assert not left_bids or not left_asks or left_bids[0][0] < left_asks[0][0]


@settings(max_examples=100)
@given(LEVELS, LEVELS)
def test_an_auction_fills_the_better_prices_first(bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
    """No buyer is left over whose limit is above that of one who traded; sellers alike."""
    venue = auction(bids, asks, None, 1, icebergs=False)
    left = {order.order_id: order for agent in ("buyer", "seller") for order in venue.orders(agent)}
    for first, levels, better in ((1, bids, 1), (1 + len(bids), asks, -1)):
        filled = [
            better * price
            for at, (price, quantity) in enumerate(levels)
            if first + at not in left or left[first + at].filled
        ]
        waiting = [better * price for at, (price, _) in enumerate(levels) if first + at in left]
        assert not filled or not waiting or min(filled) >= max(waiting)

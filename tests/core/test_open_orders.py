"""Test the table of a trader's live orders against a dictionary."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.mechanisms.orders.market import Market
from exchange.mechanisms.orders.open_orders import OpenOrders
from exchange.mechanisms.orders.order import Order, Trader
from exchange.testing import Venue
from tests.core.scenes import scene


def make(order_id: int, trader: Trader, market: Market) -> Order:
    """Return an order that stands in no book."""
    return Order(order_id, trader, market, trader.credit, True, 1, 1, 1, "limit", "gtc", "none", None)


@pytest.fixture(scope="module")
def parts() -> tuple[Trader, Market]:
    """Return somebody and somewhere that an order belongs to."""
    orders = scene(Venue()).engine.mechanisms["orders"]
    return orders.traders["alice"], orders.markets["cpu"]  # type: ignore[attr-defined]


# Ids as they come: dense, of every 128th trader, far apart, near the end of the machine word; and gone again.
STRIDES = st.sampled_from([1, 2, 128, 4_096, 2**20, 2**28, 2**40])
ADDED = st.lists(st.booleans(), min_size=1, max_size=300)


@given(STRIDES, st.integers(1, 2**50), ADDED, st.randoms(use_true_random=False))
def test_it_finds_what_is_in_and_nothing_else(
    parts: tuple[Trader, Market], stride: int, first: int, added: list[bool], chance: object
) -> None:
    """Adding and forgetting in any order, with any distance between ids, is what a dictionary does."""
    table = OpenOrders()
    known: dict[int, Order] = {}
    order_id = first
    for is_added in added:
        if is_added or not known:
            order_id = order_id % 2**53 + stride
            if order_id not in known:
                known[order_id] = make(order_id, *parts)
                table.add(known[order_id])
        else:
            gone = known.pop(cast("int", chance.choice(list(known))))  # type: ignore[attr-defined]
            table.discard(gone)
            assert table.get(gone.order_id) is None
        assert len(table) == len(known)
        for each, order in known.items():
            assert table.get(each) is order
            assert table.get(each + 1) is known.get(each + 1)
    assert table.sorted() == [known[each] for each in sorted(known)]


def test_it_grows_and_shrinks_with_what_is_in_it(parts: tuple[Trader, Market]) -> None:
    """Ten thousand orders that came and went leave a table of the smallest size."""
    table = OpenOrders()
    orders = [make(order_id, *parts) for order_id in range(1, 10_001)]
    for order in orders:
        table.add(order)
    assert len(table._slots) == 32_768
    for order in orders:
        table.discard(order)
    assert len(table) == 0
    assert len(table._slots) == 8


def test_what_is_not_in_cannot_be_forgotten(parts: tuple[Trader, Market]) -> None:
    """It is an error of the caller, and changes nothing."""
    table = OpenOrders()
    table.add(make(1, *parts))
    with pytest.raises(KeyError):
        table.discard(make(1, *parts))
    with pytest.raises(KeyError):
        table.discard(make(2, *parts))
    assert len(table) == 1


@pytest.mark.parametrize("stride", [1, 64, 100, 128, 1_000, 4_096])
def test_ids_at_regular_distances_do_not_pile_up(parts: tuple[Trader, Market], stride: int) -> None:
    """The orders of one of many traders who take turns stand near where they are looked for."""
    table = OpenOrders()
    for n in range(1, 4_001):
        table.add(make(n * stride, *parts))
    mask = len(table._slots) - 1
    from exchange.mechanisms.orders.open_orders import _home

    away = [(at - _home(order.order_id, mask)) & mask for at, order in enumerate(table._slots) if order is not None]
    assert max(away) <= 16

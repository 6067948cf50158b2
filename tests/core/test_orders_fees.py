"""Test fees: rounded up once per order over all its fills, the worst case held, the rest released."""

from __future__ import annotations

import pytest

from exchange.messages.admin import Settings
from exchange.messages.base import MAX_AMOUNT
from exchange.messages.orders import AmendOrder
from exchange.messages.reasons import Reason
from exchange.testing import Venue, assert_rejected
from tests.core.scenes import scene


def test_an_orders_fee_is_rounded_up_once_over_all_its_fills() -> None:
    """Ten fills of 1 at 100 and 25 bp: 0.25 each, 2.5 in all, so 3 and not 10."""
    venue = scene(taker_fee_bp=25)
    for _ in range(10):
        venue.sell("alice", 1, 100)
    answer = venue.buy("bob", 10, 100)
    assert (answer.order.filled_value, answer.order.fee) == (1_000, 3)
    assert venue.balance("bob") == (10_000 - 1_003, 0)
    assert venue.system_credits("fees") == 3
    # 0.25 → 1, 0.5 → 1, 0.75 → 1, 1 → 1, 1.25 → 2, …, 2.25 → 3: the growth is what each fill cost.
    fees = [event.fee for event in venue.events("bob") if hasattr(event, "trade_id")]  # type: ignore[attr-defined]
    assert fees == [1, 0, 0, 0, 1, 0, 0, 0, 1, 0]


def test_maker_and_taker_fees_of_one_order_are_rounded_together() -> None:
    """3 × 100 taken at 30 bp and 2 × 100 made at 10 bp: ceil(0.9 + 0.2) = 2."""
    venue = scene(taker_fee_bp=30, maker_fee_bp=10)
    venue.sell("alice", 3, 100)
    assert venue.buy("bob", 5, 100).order.fee == 1
    venue.sell("carol", 2, 100)
    fees = [event.fee for event in venue.events("bob") if hasattr(event, "trade_id")]  # type: ignore[attr-defined]
    assert fees == [1, 1]
    assert venue.balance("bob") == (10_000 - 500 - 2, 0)
    # alice made 300 at 10 bp: 1; carol took 200 at 30 bp: 1.
    assert venue.balance("alice") == (10_299, 0)
    assert venue.balance("carol") == (10_199, 0)
    assert venue.system_credits("fees") == 4


def test_buyers_hold_the_worst_fee_and_get_back_what_it_was_not() -> None:
    """Resting at 1,000 with 2 % taker and 0.5 % maker fee: 1,020 are held, 1,005 are paid."""
    venue = scene(taker_fee_bp=200, maker_fee_bp=50)
    venue.buy("alice", 10, 100)
    assert venue.balance("alice") == (10_000 - 1_020, 1_020)
    venue.sell("bob", 4, 100)
    # Paid 400 + 2. Still to come at worst: 600 + ceil(400·0.5 % + 600·2 %) − 2 = 600 + 14 − 2.
    assert venue.balance("alice") == (10_000 - 402 - 612, 612)
    venue.sell("bob", 6, 100)
    assert venue.balance("alice") == (10_000 - 1_005, 0)


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        (99, "new 0+99"),  # 9,900 + 99 = 9,999
        (100, "insufficient_credits"),  # 10,000 + 100
    ],
)
def test_a_buyer_must_afford_the_worst_fee_too(quantity: int, expected: str) -> None:
    """With 10,000 credits and 1 % of fee, 99 units at 100 are the most."""
    assert scene(maker_fee_bp=100).buy("alice", quantity, 100).brief == expected


def test_sellers_pay_their_fee_out_of_what_they_get() -> None:
    """A seller with no credits can sell: the fee is taken from the value."""
    venue = scene(taker_fee_bp=100)
    venue.register("poor", endowment=0)
    venue.issue("poor", 5)
    venue.buy("alice", 5, 100)
    assert venue.sell("poor", 5, 100).order.fee == 5
    assert venue.balance("poor") == (495, 0)


def test_a_fee_of_the_whole_value_leaves_the_seller_nothing_and_never_less() -> None:
    """At 10,000 bp everything goes to the fees account, one unit of 1 after the other."""
    venue = scene(maker_fee_bp=10_000, taker_fee_bp=10_000)
    venue.register("poor", endowment=0)
    venue.issue("poor", 3)
    venue.sell("poor", 3, 1)
    for _ in range(3):
        venue.buy("alice", 1, 1)
    assert venue.balance("poor") == (0, 0)
    assert venue.system_credits("fees") == 6


def test_rounding_stays_within_the_hold_however_the_fills_fall() -> None:
    """Seven units at 3 with 1 bp: any split of the fills costs 21 + 1, as was held."""
    venue = scene(maker_fee_bp=1, taker_fee_bp=1)
    venue.buy("alice", 7, 3)
    assert venue.balance("alice") == (9_978, 22)
    for quantity in (1, 2, 1, 3):
        venue.sell("bob", quantity, 3)
    assert venue.balance("alice") == (9_978, 0)


def test_an_amended_order_keeps_counting_the_same_fee() -> None:
    """After a maker fill at 10 bp, amended into a taker at 30 bp: ceil(0.1 + 0.66) = 1, paid once."""
    venue = scene(taker_fee_bp=30, maker_fee_bp=10)
    venue.buy("alice", 3, 100)
    venue.sell("bob", 1, 100)
    venue.sell("carol", 2, 110)
    answer = venue.submit("alice", AmendOrder, order_id=1, price=110)
    assert answer.brief == "filled 3+0"
    assert (answer.order.filled_value, answer.order.fee) == (320, 1)
    assert venue.balance("alice") == (10_000 - 321, 0)


def test_the_fee_counts_when_an_amendment_must_be_afforded() -> None:
    """Raising the price needs the fee on the new value as well."""
    venue = scene(taker_fee_bp=100)
    venue.buy("alice", 90, 100)
    # 90 × 111 = 9,990 would be there, but not the 100 of fee.
    assert_rejected(venue.submit("alice", AmendOrder, order_id=1, price=111), Reason.INSUFFICIENT_CREDITS)
    # 90 × 110 = 9,900 and 99.
    assert venue.submit("alice", AmendOrder, order_id=1, price=110).accepted
    assert venue.balance("alice") == (1, 9_999)


def test_the_largest_fees_break_neither_hash_nor_wire() -> None:
    """With nearly all credits there can be in one order at 100 %, value × basis points passes 2**64."""
    venue = Venue(supply=MAX_AMOUNT, settings=Settings(owner_endowment_cap=MAX_AMOUNT))
    venue.register("whale", endowment=MAX_AMOUNT - 1_000)
    venue.register("seller", endowment=0)
    venue.market(taker_fee_bp=10_000, maker_fee_bp=10_000)
    venue.issue("seller", 2)
    price = MAX_AMOUNT // 4 - 1_000
    venue.sell("seller", 1, price)
    # Two at this price and as much again in fees; one is bought, one rests.
    assert venue.buy("whale", 2, price).brief == "partially_filled 1+1"
    assert price * 10_000 > 2**64
    assert len(venue.engine.state_hash()) == 64
    assert venue.orders("whale")[0].fee == price

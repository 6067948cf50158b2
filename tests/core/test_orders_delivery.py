"""Test markets whose trades are settled later: what sellers pledge, and what goes into escrow."""

from __future__ import annotations

from typing import Any, Final

import pytest

from exchange.engine import Engine
from exchange.mechanisms import REGISTRY
from exchange.mechanisms.admin import Admin
from exchange.mechanisms.orders import Orders
from exchange.mechanisms.payments import Payments
from exchange.messages.admin import HaltMarket, RevokeAgent, SetSpendLimit
from exchange.messages.orders import AmendOrder, CancelOrder, CreateMarket, MassCancel
from exchange.messages.reasons import Reason
from exchange.messages.settlements import Confirm, Deliver
from exchange.testing import OPERATOR, SECOND_US, Venue, assert_rejected
from tests.core.scenes import scene

DELIVERY: Final[dict[str, Any]] = {"settlement": "delivery", "deliver_seconds": 3_600, "reference_price": 100}
"""The band is 90 … 110, so a unit is pledged for at 110, and 10 % of that is 11."""


@pytest.fixture
def venue() -> Venue:
    return scene(**DELIVERY)


def live(venue: Venue, agent: str) -> Any:
    (order,) = venue.orders(agent)
    return order


def settlements(venue: Venue) -> list[Any]:
    mechanism: Any = venue.engine.mechanisms["settlements"]
    return [settlement.terms for settlement in mechanism.live.values()]


def test_a_sell_holds_its_units_and_a_bond_at_the_worst_price_of_the_band(venue: Venue) -> None:
    """10 units, each at most at 110: 10 % of 1,100."""
    venue.sell("alice", 10, 100)
    assert venue.balance("alice", "cpu") == (990, 10)
    assert venue.balance("alice") == (9_890, 110)
    assert (live(venue, "alice").held, live(venue, "alice").pledged) == (10, 110)
    # A limit beyond the band is worse than the band.
    venue.sell("bob", 10, 200)
    assert venue.balance("bob") == (9_800, 200)
    # A buy holds what it always holds.
    venue.buy("carol", 10, 90)
    assert venue.balance("carol") == (9_100, 900)


def test_a_trade_opens_a_settlement(venue: Venue) -> None:
    """4 of 10 units trade at 100: 400, the bond of 40 and the units are in escrow; the rest of the pledge is 66."""
    venue.sell("alice", 10, 100)
    assert venue.buy("bob", 4, 105).brief == "filled 4+0"
    assert venue.balance("bob") == (9_600, 0)
    assert venue.balance("bob", "cpu") == (1_000, 0)
    assert venue.balance("alice") == (10_000 - 40 - 66, 66)
    assert venue.balance("alice", "cpu") == (990, 6)
    (found,) = settlements(venue)
    assert (found.payer, found.provider, found.asset) == ("bob", "alice", "cpu")
    assert (found.price, found.bond, found.quantity) == (400, 40, 4)
    cashier = venue.engine.context.cashier
    assert cashier.in_escrow("escrow:orders:cpu:1") == 440
    assert cashier.in_escrow("escrow:orders:cpu:1", "cpu") == 4


def test_delivered_and_confirmed_everybody_has_its_own(venue: Venue) -> None:
    venue.sell("alice", 4, 100)
    venue.buy("bob", 4, 100)
    venue.must("alice", Deliver, settlement=1, reference="r", digest="d")
    venue.must("bob", Confirm, settlement=1)
    assert venue.balance("alice") == (10_400, 0)
    assert venue.balance("bob", "cpu") == (1_004, 0)
    assert not venue.engine.context.cashier.escrows


def test_undelivered_the_bond_is_the_payers(venue: Venue) -> None:
    """Nothing by the deadline: after the dispute window 400 and the bond of 40 are bob's, the units alice's."""
    venue.sell("alice", 4, 100)
    venue.buy("bob", 4, 100)
    venue.advance(3_600)
    venue.advance(86_400)
    assert venue.balance("alice") == (9_960, 0)
    assert venue.balance("alice", "cpu") == (1_000, 0)
    assert venue.balance("bob") == (10_040, 0)


def test_a_seller_may_be_the_taker(venue: Venue) -> None:
    """It takes 3 at 105 and 3 at 103: bonds of 31 (rounded down from 31.5) and 30; 4 rest at 100."""
    venue.buy("bob", 3, 105)
    venue.buy("carol", 3, 103)
    assert venue.sell("alice", 10, 100).brief == "partially_filled 6+4"
    assert venue.balance("alice") == (10_000 - 31 - 30 - 44, 44)
    assert [(each.price, each.bond) for each in settlements(venue)] == [(315, 31), (309, 30)]
    posted = [
        e for e in venue.events("alice") if e.__struct_config__.tag == "payments.posted" and e.cause == "orders:cpu"
    ]  # type: ignore[attr-defined]
    assert [(e.available, e.held) for e in posted] == [(-105, 44)]  # type: ignore[attr-defined]


def test_without_the_bond_there_is_no_order(venue: Venue) -> None:
    venue.register("poor", endowment=109)
    venue.issue("poor", 100)
    assert_rejected(venue.sell("poor", 10, 100), Reason.INSUFFICIENT_CREDITS)
    venue.must(OPERATOR, SetSpendLimit, agent="poor", total=50)
    assert_rejected(venue.sell("poor", 5, 100), Reason.SPEND_LIMIT)
    assert venue.sell("poor", 4, 100).accepted
    assert_rejected(venue.submit("poor", AmendOrder, order_id=1, quantity=5), Reason.SPEND_LIMIT)
    venue.must(OPERATOR, SetSpendLimit, agent="poor")
    venue.must("poor", AmendOrder, order_id=1, quantity=9)
    assert_rejected(venue.submit("poor", AmendOrder, order_id=1, quantity=10), Reason.INSUFFICIENT_CREDITS)
    assert_rejected(venue.submit("poor", AmendOrder, order_id=1, price=125), Reason.INSUFFICIENT_CREDITS)
    assert venue.balance("poor") == (10, 99)


def test_amending_and_canceling_keep_the_pledge_right(venue: Venue) -> None:
    venue.sell("alice", 10, 100)
    venue.must("alice", AmendOrder, order_id=1, quantity=6)
    assert venue.balance("alice")[1] == 66
    venue.must("alice", AmendOrder, order_id=1, price=150, quantity=10)
    assert venue.balance("alice")[1] == 150
    venue.must("alice", CancelOrder, order_id=1)
    assert venue.balance("alice") == (10_000, 0)
    venue.sell("alice", 10, 90, order_type="stop_limit", trigger_price=95)
    assert venue.balance("alice")[1] == 110
    venue.must("alice", AmendOrder, order_id=2, quantity=20, price=120)
    assert venue.balance("alice")[1] == 240
    venue.must("alice", MassCancel)
    assert venue.balance("alice") == (10_000, 0)


@pytest.mark.parametrize(
    ("terms", "left"),
    [
        ({"time_in_force": "ioc"}, 0),
        ({"order_type": "market", "price": None}, 0),
        ({"order_type": "iceberg", "display_quantity": 2}, 44),
        ({}, 44),
    ],
)
def test_every_type_of_sell_pledges_for_what_stays(venue: Venue, terms: dict[str, Any], left: int) -> None:
    """6 of 10 trade at 100."""
    venue.buy("bob", 6, 100)
    venue.sell("alice", 10, **{"price": 95, **terms})
    assert venue.balance("alice") == (10_000 - 60 - left, left)


def test_a_fok_that_cannot_trade_pledges_nothing(venue: Venue) -> None:
    venue.buy("bob", 6, 100)
    assert_rejected(venue.sell("alice", 7, 100, time_in_force="fok"), Reason.UNFILLABLE)
    assert venue.sell("alice", 6, 100, time_in_force="fok").brief == "filled 6+0"
    assert venue.balance("alice") == (9_940, 0)


def test_an_auction_price_above_the_worst_price_is_pledged_at_the_worst_price(venue: Venue) -> None:
    """The auction trades at 150, but a unit was pledged for at 110: bonds are 10 % of that."""
    venue.must(OPERATOR, HaltMarket, market="cpu", state="open", auction_seconds=60)
    venue.sell("alice", 10, 100)
    venue.sell("dave", 10, 150)
    venue.buy("bob", 15, 160)
    venue.advance(60)
    assert [(each.provider, each.price, each.bond) for each in settlements(venue)] == [
        ("alice", 1_500, 110),
        ("dave", 750, 75),
    ]
    assert venue.balance("alice") == (9_890, 0)
    assert venue.balance("dave") == (9_850, 75)
    assert venue.balance("bob") == (10_000 - 2_250, 0)


def test_only_the_buyer_pays_fees(venue: Venue) -> None:
    """1 % of 400 for the taker who buys; the maker, who sells, has nothing yet to pay from; and the other way round."""
    venue = scene(**DELIVERY, maker_fee_bp=200, taker_fee_bp=100)
    venue.sell("alice", 4, 100)
    venue.buy("bob", 4, 100)
    assert venue.balance("bob") == (9_596, 0)
    assert venue.balance("alice") == (9_960, 0)
    venue.buy("bob", 4, 100)
    venue.sell("alice", 4, 100)
    assert venue.balance("bob") == (9_596 - 408, 0)
    assert venue.balance("alice") == (9_920, 0)
    assert venue.system_credits("fees") == 12


def test_nobody_owes_itself_a_delivery(venue: Venue) -> None:
    venue.register("alice2", owner="alice", endowment=10_000)
    venue.sell("alice", 10, 100)
    assert_rejected(venue.buy("alice2", 4, 100, self_trade_prevention="none"), Reason.FIELD_NOT_ALLOWED)
    venue.buy("alice2", 4, 100, self_trade_prevention="decrement")
    assert venue.balance("alice")[1] == 66
    venue.buy("alice2", 4, 100, self_trade_prevention="expire_maker")
    assert venue.balance("alice") == (10_000, 0)
    assert settlements(venue) == []


def test_a_revoked_sellers_orders_free_the_pledge(venue: Venue) -> None:
    venue.register("heir", owner="alice", endowment=0)
    venue.sell("alice", 10, 100)
    venue.must(OPERATOR, RevokeAgent, agent="alice")
    assert venue.balance("heir") == (10_000, 0)
    assert venue.balance("heir", "cpu") == (1_000, 0)


def test_a_forced_debit_frees_pledges_of_sells(venue: Venue) -> None:
    """Alice has 9,890 available and 110 pledged; a debit of 9,900 needs the newer order, not the older."""
    venue.sell("alice", 10, 100)
    venue.sell("alice", 10, 101)
    engine = venue.engine
    engine.context.cashier.charge("alice", "public_fund", 9_790, "test:1")
    assert [order.price for order in venue.orders("alice")] == [100]
    assert venue.balance("alice") == (100, 110)


@pytest.mark.parametrize(
    "terms",
    [
        {"settlement": "delivery"},
        {"settlement": "lease"},
        {"settlement": "delivery", "deliver_seconds": 60, "price_band_bp": 0, "reference_price": None},
        {"settlement": "lease", "term_seconds": 60, "price_band_bp": 0, "reference_price": None},
        {"settlement": "delivery", "deliver_seconds": 60, "term_seconds": 60},
        {"settlement": "lease", "term_seconds": 60, "bond_bp": 100},
        {"settlement": "lease", "term_seconds": 60, "attester": "alice"},
        {"settlement": "delivery", "deliver_seconds": 60, "attester": "nobody"},
        {"settlement": "delivery", "deliver_seconds": 60, "attester": "alice"},
        {"deliver_seconds": 60},
        {"compensation_bp": 100},
    ],
)
def test_terms_that_contradict_each_other(terms: dict[str, Any]) -> None:
    venue = scene()
    given = {"market": "new", "base": "cpu", "tick": 1, "reference_price": 100, **terms}
    answer = venue.submit(OPERATOR, CreateMarket, **{name: value for name, value in given.items() if value is not None})
    assert_rejected(answer, Reason.INVALID_MARKET_TERMS)


def test_a_venue_without_the_mechanism_has_no_such_market() -> None:
    venue = Venue(mechanisms=(Admin, Orders, Payments))
    venue.asset("cpu")
    answer = venue.submit(OPERATOR, CreateMarket, market="cpu", base="cpu", tick=1, **DELIVERY)
    assert_rejected(answer, Reason.INVALID_MARKET_TERMS)
    assert "no mechanism settlements" in (answer.outcome.detail or "")


def test_terms_are_told(venue: Venue) -> None:
    told = venue.view()
    assert (told.settlement, told.deliver_seconds, told.bond_bp, told.compensation_bp) == (
        "delivery",
        3_600,
        1_000,
        None,
    )


def test_pledges_survive_a_snapshot(venue: Venue) -> None:
    venue.sell("alice", 10, 100)
    venue.sell("bob", 10, 90, order_type="stop", trigger_price=95)
    venue.buy("carol", 4, 100)
    copy = Engine(REGISTRY)
    copy.load(venue.engine.dump())
    assert copy.dump() == venue.engine.dump()
    assert copy.check_invariants() == []
    batches = len(venue.batches)
    venue.must("alice", AmendOrder, order_id=1, quantity=6)
    venue.advance_to(venue.time_us + 90_000 * SECOND_US)
    for batch, digest in zip(venue.batches[batches:], venue.digests[batches:], strict=True):
        assert copy.apply(batch).digest() == digest

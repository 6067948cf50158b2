"""Prediction markets of complete sets: minting and merging, orders for shares, matching across outcomes, holds."""

from __future__ import annotations

from random import Random

import pytest

from exchange.messages.admin import RevokeAgent, Settings
from exchange.messages.orders import CancelAllAfter
from exchange.messages.predictions import (
    BuyShares,
    CancelShareOrder,
    ListShareOrders,
    MergeSets,
    MintSets,
    PlaceShareOrder,
    QuoteShares,
)
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, assert_rejected
from tests.core.bets import SHARE, Bets
from tests.core.work import CREDIT, DAY_US, HOUR_US

THREE = ["red", "green", "blue"]


@pytest.fixture
def venue() -> Bets:
    """Return a venue with one market of complete sets, which costs its creator nothing."""
    built = Bets()
    built.open(kind="book")
    assert built.purse("poster") == (100, 0)
    return built


def of_three() -> Bets:
    built = Bets()
    built.open(kind="book", outcomes=THREE)
    return built


# ── sets ────────────────────────────────────────────────────────────────────────────────────────


def test_a_credit_is_a_share_of_every_outcome_and_back(venue: Bets) -> None:
    venue.must("ann", MintSets, market=1, sets=10)
    assert (venue.purse("ann"), venue.shares("ann")) == ((90, 0), {"yes": 10, "no": 10})
    venue.must("ann", MergeSets, market=1, sets=4)
    assert (venue.purse("ann"), venue.shares("ann")) == ((94, 0), {"yes": 6, "no": 6})
    assert_rejected(venue.submit("ann", MergeSets, market=1, sets=7), Reason.INSUFFICIENT_SHARES)
    assert_rejected(venue.submit("ben", MergeSets, market=1, sets=1), Reason.INSUFFICIENT_SHARES)
    assert_rejected(venue.submit("ben", MintSets, market=1, sets=101), Reason.INSUFFICIENT_CREDITS)


def test_the_last_set_leaves_an_escrow_that_is_closed(venue: Bets) -> None:
    venue.must("ann", MintSets, market=1, sets=1)
    venue.must("ann", MergeSets, market=1, sets=1)
    assert venue.purse("ann") == (100, 0)
    venue.must("ann", MintSets, market=1, sets=2)
    assert venue.look().in_escrow == 2 * CREDIT


# ── orders ──────────────────────────────────────────────────────────────────────────────────────


def test_who_waits_sets_the_price(venue: Bets) -> None:
    venue.must("ann", MintSets, market=1, sets=10)
    assert venue.order("ann", "sell", 5, 60).data["remaining"] == 5 * SHARE
    answer = venue.order("ben", "buy", 3, 65)
    assert (answer.data["filled"], answer.data["value"]) == (3 * SHARE, 1_800_000)
    assert venue.shares("ben") == {"yes": 3, "no": 0}
    assert venue.balance("ann")[0] == 90 * CREDIT + 1_800_000
    assert venue.look().outcomes[0].probability == 600_000_000
    sold = venue.told("ann", "predictions.traded")[0]
    assert (sold.side, sold.shares, sold.value, sold.remaining) == ("sell", 3 * SHARE, 1_800_000, 2 * SHARE)


def test_better_prices_come_first_and_then_older_orders(venue: Bets) -> None:
    for agent in ("ann", "ben", "cid"):
        venue.must(agent, MintSets, market=1, sets=2)
    venue.order("ann", "sell", 2, 61)
    venue.order("ben", "sell", 2, 60)
    venue.order("cid", "sell", 2, 60)
    assert venue.order("poster", "buy", 5, 61).data["value"] == 2 * 600_000 + 2 * 600_000 + 610_000
    assert [venue.shares(agent)["yes"] for agent in ("ann", "ben", "cid")] == [1, 0, 0]


def test_an_order_to_buy_holds_what_it_may_cost_and_frees_what_it_did_not(venue: Bets) -> None:
    venue.must("ann", MintSets, market=1, sets=10)
    venue.order("ann", "sell", 2, 50)
    venue.order("ben", "buy", 5, 60)
    # Two for 0.50 each, three on hold at 0.60.
    assert venue.balance("ben") == (97_200_000, 1_800_000)
    orders = venue.engine.query("ben", ListShareOrders(market=1)).orders  # type: ignore[attr-defined]
    assert [(order.order, order.remaining, order.price) for order in orders] == [(2, 3 * SHARE, 600_000)]
    venue.must("ben", CancelShareOrder, market=1, order=2)
    assert venue.balance("ben") == (99 * CREDIT, 0)


def test_what_is_offered_is_not_offered_twice(venue: Bets) -> None:
    venue.must("ann", MintSets, market=1, sets=3)
    venue.order("ann", "sell", 2, 60)
    assert_rejected(venue.order("ann", "sell", 2, 60), Reason.INSUFFICIENT_SHARES)
    assert_rejected(venue.submit("ann", MergeSets, market=1, sets=2), Reason.INSUFFICIENT_SHARES)
    venue.must("ann", MergeSets, market=1, sets=1)
    assert_rejected(venue.order("ben", "sell", 1, 60), Reason.INSUFFICIENT_SHARES)


def test_yes_at_sixty_meets_no_at_forty(venue: Bets) -> None:
    """A set is minted for them."""
    venue.order("ann", "buy", 5, 60, "yes")
    answer = venue.order("ben", "buy", 3, 45, "no")
    assert (answer.data["filled"], answer.data["value"]) == (3 * SHARE, 1_200_000)
    assert venue.shares("ann") == {"yes": 3, "no": 0}
    assert venue.shares("ben") == {"yes": 0, "no": 3}
    assert (venue.look().in_escrow, venue.balance("ann")) == (3 * CREDIT, (97 * CREDIT, 1_200_000))


def test_yes_at_sixty_does_not_meet_no_at_thirty_nine(venue: Bets) -> None:
    venue.order("ann", "buy", 5, 60, "yes")
    assert "filled" not in venue.order("ben", "buy", 3, 39, "no").data


def test_who_sells_all_outcomes_together_merges_a_set(venue: Bets) -> None:
    venue.order("ann", "buy", 5, 60, "yes")
    venue.order("ben", "buy", 5, 40, "no")
    venue.order("ann", "sell", 2, 55, "yes")
    answer = venue.order("ben", "sell", 5, 30, "no")
    # 1 - 0.55 for each of the two.
    assert (answer.data["filled"], answer.data["value"]) == (2 * SHARE, 900_000)
    assert venue.look().in_escrow == 3 * CREDIT
    assert venue.balance("ann")[0] == 97 * CREDIT + 1_100_000


def test_an_order_takes_whichever_is_better(venue: Bets) -> None:
    venue.must("cid", MintSets, market=1, sets=5)
    venue.order("cid", "sell", 5, 62, "yes")
    venue.order("ann", "buy", 5, 39, "no")
    # 0.61 by a new set, 0.62 of cid; and of cid when that is alike.
    assert venue.order("ben", "buy", 5, 65).data["value"] == 5 * 610_000
    venue.order("ann", "buy", 5, 38, "no")
    assert venue.order("ben", "buy", 5, 65).data["value"] == 5 * 620_000
    assert venue.shares("cid") == {"yes": 0, "no": 5}


def test_three_buyers_share_a_set() -> None:
    venue = of_three()
    venue.order("ann", "buy", 4, 30, "red")
    venue.order("ben", "buy", 2, 40, "green")
    answer = venue.order("cid", "buy", 4, 35, "blue")
    assert (answer.data["filled"], answer.data["value"]) == (2 * SHARE, 600_000)
    assert (venue.look().in_escrow, venue.look().outcomes[2].probability) == (2 * CREDIT, 300_000_000)


def test_buyers_of_all_others_may_pay_for_the_last_outcome() -> None:
    """They offer 1.20 for what is worth 1 at most: the difference is the taker's."""
    venue = of_three()
    venue.order("ann", "buy", 1, 60, "red")
    venue.order("ben", "buy", 1, 60, "green")
    answer = venue.order("cid", "buy", 1, 1, "blue")
    assert answer.data["value"] == -200_000
    assert venue.balance("cid") == (100 * CREDIT + 200_000, 0)
    assert (venue.look().in_escrow, venue.look().outcomes[2].probability) == (CREDIT, 0)


def test_what_does_not_wait_is_gone(venue: Bets) -> None:
    venue.must("ann", MintSets, market=1, sets=1)
    venue.order("ann", "sell", 1, 60)
    answer = venue.order("ben", "buy", 5, 60, time_in_force="ioc")
    assert (answer.data["filled"], "remaining" in answer.data) == (SHARE, False)
    assert venue.balance("ben") == (99_400_000, 0)
    assert [event.reason for event in venue.told("ben", "predictions.order_canceled")] == ["immediate"]


def test_orders_that_cannot_be(venue: Bets) -> None:
    fields = {"market": 1, "outcome": "yes", "side": "buy", "price": 500_000}
    assert_rejected(venue.submit("ann", PlaceShareOrder, **fields, shares=SHARE // 2), Reason.INVALID_QUANTITY)
    assert_rejected(
        venue.submit("ann", PlaceShareOrder, **fields, shares=2**52 // SHARE * SHARE), Reason.INSUFFICIENT_CREDITS
    )
    assert_rejected(venue.order("ann", "buy", 201, 50), Reason.INSUFFICIENT_CREDITS)
    assert_rejected(venue.order("ann", "buy", 1, 50, "perhaps"), Reason.UNKNOWN_PREDICTED_OUTCOME)
    assert_rejected(venue.order("ann", "buy", 1, 50, market=2), Reason.UNKNOWN_PREDICTION)
    assert_rejected(venue.order("ci", "buy", 1, 50), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("ann", BuyShares, market=1, outcome="yes", shares=1, max_cost=1), Reason.WRONG_STATE)
    venue.order("ann", "buy", 1, 50)
    assert_rejected(venue.submit("ben", CancelShareOrder, market=1, order=1), Reason.UNKNOWN_ORDER)
    assert_rejected(venue.submit("ann", CancelShareOrder, market=1, order=7), Reason.UNKNOWN_ORDER)


def test_more_sets_than_a_message_could_name_are_refused() -> None:
    top = 2**53 - 1
    venue = Bets(supply=top, settings=Settings(owner_endowment_cap=top))
    venue.register("rich", endowment=top // SHARE * SHARE - 10**12)
    venue.open(kind="book")
    venue.must("rich", MintSets, market=1, sets=(top - 2 * 10**12) // SHARE)
    assert_rejected(venue.submit("rich", MintSets, market=1, sets=4 * 10**6), Reason.NOTIONAL_TOO_LARGE)
    assert_rejected(venue.order("rich", "buy", 4 * 10**6, 1), Reason.NOTIONAL_TOO_LARGE)


def test_so_many_orders_and_no_more() -> None:
    venue = Bets(settings=Settings(max_share_orders=3, max_share_orders_per_owner=2))
    venue.register("amy", owner="ann", endowment=100 * CREDIT)
    venue.open(kind="book")
    venue.order("ann", "buy", 1, 10)
    venue.order("amy", "buy", 1, 10)
    assert_rejected(venue.order("ann", "buy", 1, 10), Reason.TOO_MANY_SHARE_ORDERS)
    assert venue.order("ann", "buy", 1, 10, time_in_force="ioc").accepted
    venue.order("ben", "buy", 1, 10)
    assert_rejected(venue.order("cid", "buy", 1, 10), Reason.TOO_MANY_SHARE_ORDERS)
    venue.must("ann", CancelShareOrder, market=1, order=1)
    assert venue.order("cid", "buy", 1, 10).accepted


def test_an_owner_does_not_trade_with_itself(venue: Bets) -> None:
    """Its waiting order that would trade is canceled; one that would not stays."""
    venue.register("amy", owner="ann", endowment=100 * CREDIT)
    venue.must("ann", MintSets, market=1, sets=4)
    venue.order("ann", "sell", 1, 50)
    venue.order("ann", "sell", 1, 70)
    venue.must("ben", MintSets, market=1, sets=4)
    venue.order("ben", "sell", 1, 60)
    answer = venue.order("amy", "buy", 2, 65)
    assert (answer.data["filled"], answer.data["value"], answer.data["remaining"]) == (SHARE, 600_000, SHARE)
    assert [(event.order, event.reason) for event in venue.told("ann", "predictions.order_canceled")] == [
        (1, "self_trade")
    ]
    # Nor does it mint a set with itself.
    venue.order("amy", "buy", 1, 30, "no")
    assert len(venue.told("amy", "predictions.order_canceled")) == 0
    venue.order("amy", "buy", 1, 40, "no")
    assert [event.order for event in venue.told("amy", "predictions.order_canceled")] == [4]


def test_an_order_fills_so_often_and_no_more() -> None:
    venue = Bets(settings=Settings(max_fills_per_command=2))
    venue.open(kind="book")
    venue.must("ann", MintSets, market=1, sets=4)
    for _ in range(4):
        venue.order("ann", "sell", 1, 50)
    answer = venue.order("ben", "buy", 4, 50)
    assert (answer.data["filled"], "remaining" in answer.data) == (2 * SHARE, False)
    assert venue.balance("ben") == (99 * CREDIT, 0)
    assert [event.reason for event in venue.told("ben", "predictions.order_canceled")] == ["too_many_fills"]


# ── orders that end ─────────────────────────────────────────────────────────────────────────────


def test_orders_end_with_trading(venue: Bets) -> None:
    venue.must("ann", MintSets, market=1, sets=4)
    venue.order("ann", "sell", 1, 60)
    venue.order("ben", "buy", 1, 50)
    venue.advance_to(venue.look().closes_at_us)
    assert venue.purse("ben") == (100, 0)
    for agent in ("ann", "ben"):
        assert [event.reason for event in venue.told(agent, "predictions.order_canceled")] == ["closed"]
    assert_rejected(venue.submit("ann", MergeSets, market=1, sets=1), Reason.WRONG_STATE)


@pytest.mark.parametrize("how", ["revoked", "dead_man"])
def test_orders_end_with_who_cannot_be_reached(venue: Bets, how: str) -> None:
    venue.must("ann", MintSets, market=1, sets=4)
    venue.order("ann", "sell", 1, 60)
    venue.order("ann", "buy", 1, 40, "no")
    venue.reload()
    if how == "revoked":
        venue.must(OPERATOR, RevokeAgent, agent="ann")
    else:
        venue.must("ann", CancelAllAfter, seconds=5)
        venue.advance(5)
    assert [event.reason for event in venue.told("ann", "predictions.order_canceled")] == [how, how]
    assert venue.look().outcomes[0].asks == []
    # Its shares stay, and nobody else's orders go.
    assert venue.look().in_escrow == 4 * CREDIT


def test_a_forced_debit_frees_orders_to_buy_the_newest_first(venue: Bets) -> None:
    venue.must("ann", MintSets, market=1, sets=1)
    venue.order("ann", "sell", 1, 90)
    for _ in range(3):
        venue.order("ann", "buy", 50, 60)
    assert venue.purse("ann") == (9, 90)
    venue.engine.context.cashier.charge("ann", "poster", 35 * CREDIT, "test")
    assert venue.purse("ann") == (4, 60)
    venue.advance(1)
    assert [event.order for event in venue.told("ann", "predictions.order_canceled")] == [4]


# ── resolution ──────────────────────────────────────────────────────────────────────────────────


def test_what_happens_pays_every_set_exactly(venue: Bets) -> None:
    venue.order("ann", "buy", 5, 60, "yes")
    venue.order("ben", "buy", 5, 40, "no")
    venue.resolve("no")
    venue.let_be_final()
    assert [venue.purse(agent) for agent in ("ann", "ben", "poster")] == [(97, 0), (103, 0), (100, 0)]


def test_void_without_a_trade_pays_one_nth_and_the_crumbs_to_the_creator() -> None:
    """Who minted has 333333 of each of three back, and the creator the last millionth."""
    venue = of_three()
    venue.must("ann", MintSets, market=1, sets=1)
    venue.order("ann", "sell", 1, 99, "red")
    venue.order("ben", "buy", 1, 99, "red")
    paid = 990_000
    # The trade took no time.
    venue.resolve(None)
    venue.let_be_final()
    assert venue.balance("ann")[0] == 99 * CREDIT + paid + 666_666
    assert venue.balance("ben")[0] == 100 * CREDIT - paid + 333_333
    assert venue.balance("poster")[0] == 100 * CREDIT + 1


def test_void_pays_the_average_of_last_prices(venue: Bets) -> None:
    """Half of the hour at ½, half at 0.8: 0.65."""
    venue.advance_to(venue.time_us + HOUR_US // 2)
    venue.order("ann", "buy", 10, 80, "yes")
    venue.order("ben", "buy", 10, 20, "no")
    venue.advance_to(venue.look().closes_at_us)
    venue.advance_to(venue.look().resolve_by_us)  # type: ignore[arg-type]
    assert venue.balance("ann")[0] == 92 * CREDIT + 6_500_000
    assert venue.balance("ben")[0] == 98 * CREDIT + 3_500_000


def test_other_outcomes_keep_their_proportions() -> None:
    venue = of_three()
    venue.must("ann", MintSets, market=1, sets=9)
    for outcome, cents in (("red", 20), ("green", 60)):
        venue.order("ann", "sell", 1, cents, outcome)
        venue.order("ben", "buy", 1, cents, outcome)
    # 0.20 and 0.40 and 0.40, then green at 0.60 leaves red and blue 0.40 in the proportion of 1 to 2.
    assert [each.probability for each in venue.look().outcomes] == [133_333_334, 600_000_000, 266_666_666]


def test_only_who_takes_is_scored(venue: Bets) -> None:
    venue.order("ann", "buy", 5, 60, "yes")
    venue.order("ben", "buy", 5, 40, "no")
    venue.resolve("yes")
    venue.let_be_final()
    assert not venue.told("ann", "predictions.ended")[0].scored
    # From ½ to 0.40 for what did not happen, so a tenth in the right direction.
    ended = venue.told("ben", "predictions.ended")[0]
    assert (ended.scored, ended.brier) == (True, 68)


def test_there_is_no_quote_without_a_maker(venue: Bets) -> None:
    with pytest.raises(Exception, match="no market maker quotes"):
        venue.engine.query("ann", QuoteShares(market=1, outcome="yes", shares=1))


@pytest.mark.parametrize("seed", range(4))
def test_any_orders_at_all_lose_and_make_nothing(seed: int) -> None:
    """Whatever is ordered, by whom: sets, shares, holds and the escrow add up (by the invariants), and all is paid."""
    random = Random(seed)
    venue = of_three()
    agents = ("ann", "ben", "cid", "poster")
    for step in range(150):
        agent, outcome = random.choice(agents), random.choice(THREE)
        if step % 12 == 0:
            venue.submit(agent, MintSets, market=1, sets=random.randint(1, 5))
        elif step % 17 == 0:
            venue.submit(agent, MergeSets, market=1, sets=1)
        else:
            side, cents = random.choice(("buy", "sell")), random.randint(10, 60)
            venue.order(agent, side, random.randint(1, 6), cents, outcome, time_in_force=random.choice(("gtc", "ioc")))
    assert venue.look().trades > 10
    venue.resolve(random.choice([*THREE, None]))
    venue.advance_to(venue.time_us + DAY_US)
    assert venue.look().in_escrow == 0
    assert abs(sum(venue.balance(agent)[0] for agent in agents) - 400 * CREDIT) == 0

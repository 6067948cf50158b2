"""Prediction markets with a maker: opening, trading, the end of trading, resolution, void, and who may do what."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.mechanisms.base import NotFound
from exchange.messages.admin import HaltAgent, HaltVenue, RegisterAgent, RevokeAgent, Settings, SuspendMechanism
from exchange.messages.base import MAX_AMOUNT
from exchange.messages.orders import CancelAllAfter
from exchange.messages.predictions import (
    AcceptResolution,
    GetPrediction,
    ListPredictions,
    ListShares,
    MintSets,
    QuoteShares,
    SellShares,
)
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, SECOND_US, assert_rejected
from tests.core.bets import SHARE, Bets
from tests.core.work import CREDIT, DAY_US, HOUR_US, MINUTE_US

SUBSIDY = 6_931_472
"""``ceil(10 ln 2)`` credits, in millionths."""


@pytest.fixture
def venue() -> Bets:
    return Bets()


def credits_of(venue: Bets, *agents: str) -> list[int]:
    return [venue.balance(agent)[0] for agent in agents]


# ── opening ─────────────────────────────────────────────────────────────────────────────────────


def test_a_market_takes_what_its_maker_can_lose(venue: Bets) -> None:
    answer = venue.try_to_open()
    assert answer.data["subsidy"] == SUBSIDY
    assert credits_of(venue, "poster") == [100 * CREDIT - SUBSIDY]
    view = venue.look()
    assert [(each.name, each.probability, each.shares) for each in view.outcomes] == [
        ("yes", 500_000_000, 0),
        ("no", 500_000_000, 0),
    ]
    assert (view.state, view.liquidity, view.in_escrow) == ("open", 10 * CREDIT, SUBSIDY)
    assert [event.market for event in venue.told("ci", "predictions.opened")] == [1]


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"outcomes": ["a", "a"]}, Reason.INVALID_PREDICTION_TERMS),
        ({"kind": "book", "liquidity": 5 * CREDIT}, Reason.FIELD_NOT_ALLOWED),
        ({"closes_at_us": ...}, Reason.MISSING_FIELD),
        ({"resolve_by_us": ...}, Reason.MISSING_FIELD),
        ({"resolver": ...}, Reason.MISSING_FIELD),
        ({"resolver": "ann"}, Reason.UNKNOWN_AGENT),
        ({"resolver": "nobody"}, Reason.UNKNOWN_AGENT),
        ({"resolver": "own"}, Reason.SAME_OWNER),
        ({"liquidity": 10**15}, Reason.INSUFFICIENT_CREDITS),
        ({"task": 7}, Reason.FIELD_NOT_ALLOWED),
        ({"task": 7, "resolver": ..., "resolve_by_us": ...}, Reason.UNKNOWN_TASK),
    ],
)
def test_what_is_no_market(venue: Bets, terms: dict[str, Any], reason: Reason) -> None:
    venue.register("own", owner="poster", roles=["attester"], endowment=0)
    assert_rejected(venue.try_to_open(**terms), reason)


def test_a_market_closes_in_the_future_and_is_resolved_after(venue: Bets) -> None:
    now_us = venue.time_us
    wrong = (
        {"closes_at_us": now_us},
        {"closes_at_us": now_us + 5, "resolve_by_us": now_us + 5},
        {"resolve_by_us": now_us + 367 * DAY_US},
    )
    for terms in wrong:
        assert_rejected(venue.try_to_open(**terms), Reason.INVALID_PREDICTION_TERMS)
    assert venue.try_to_open(closes_at_us=now_us + 1, resolve_by_us=now_us + 2).accepted


def test_a_subsidy_that_no_message_could_name_is_refused(venue: Bets) -> None:
    terms = {"liquidity": 10**15, "outcomes": [str(each) for each in range(16)]}
    assert MAX_AMOUNT > 10**15 * 2.77, "the largest liquidity of all fits, so this is refused for want of credits"
    assert_rejected(venue.try_to_open(**terms), Reason.INSUFFICIENT_CREDITS)


def test_an_owner_opens_so_many_markets_and_no_more() -> None:
    venue = Bets(settings=Settings(max_open_predictions=2))
    venue.register("sister", owner="poster", endowment=100 * CREDIT)
    venue.open()
    venue.open("sister")
    assert_rejected(venue.try_to_open(), Reason.TOO_MANY_PREDICTIONS)
    venue.resolve()
    assert venue.try_to_open().accepted


# ── trading ─────────────────────────────────────────────────────────────────────────────────────


def test_shares_cost_what_the_rule_says(venue: Bets) -> None:
    """5 shares for 10 ln((e^½ + 1) ÷ 2) = 2.809298…, then 3 for 10 ln((e^½ + e^³⁄₁₀) ÷ (e^½ + 1)) = 1.240618…"""
    venue.open()
    assert venue.buy_shares("ann", "yes", 5 * SHARE) == 2_809_299
    assert venue.buy_shares("ben", "no", 3 * SHARE) == 1_240_619
    yes, no = venue.look().outcomes
    assert (yes.probability, no.probability) == (549_833_997, 450_166_003)
    assert venue.look().in_escrow == SUBSIDY + 2_809_299 + 1_240_619
    assert venue.shares("ann") == {"yes": 5, "no": 0}
    event = venue.told("ann", "predictions.traded")[0]
    assert (event.outcome, event.side, event.shares, event.value) == ("yes", "buy", 5 * SHARE, 2_809_299)


def test_what_was_bought_is_sold_again_for_a_millionth_less(venue: Bets) -> None:
    venue.open()
    cost = venue.buy_shares("ann")
    assert venue.sell_shares("ann") == cost - 1
    assert venue.look().outcomes[0].probability == 500_000_000


def test_a_quote_is_what_a_trade_comes_to(venue: Bets) -> None:
    venue.open()
    venue.buy_shares("ben", "no", 7 * SHARE)
    query = QuoteShares(market=1, outcome="yes", shares=3 * SHARE)
    quote = venue.engine.query("ann", query)
    assert venue.buy_shares("ann", "yes", 3 * SHARE) == quote.amount  # type: ignore[attr-defined]
    assert venue.look().outcomes[0].probability == quote.probability  # type: ignore[attr-defined]


def test_limits_of_price_hold_to_the_millionth(venue: Bets) -> None:
    venue.open()
    assert_rejected(venue.try_to_buy("ann", max_cost=2_809_298), Reason.PRICE_MOVED)
    assert venue.try_to_buy("ann", max_cost=2_809_299).accepted
    fields = {"market": 1, "outcome": "yes", "shares": 5 * SHARE}
    assert_rejected(venue.submit("ann", SellShares, **fields, min_proceeds=2_809_299), Reason.PRICE_MOVED)
    assert venue.submit("ann", SellShares, **fields, min_proceeds=2_809_298).accepted


def test_nobody_sells_what_it_does_not_have(venue: Bets) -> None:
    venue.open()
    venue.buy_shares("ann", "yes", 2 * SHARE)
    assert_rejected(
        venue.submit("ann", SellShares, market=1, outcome="yes", shares=2 * SHARE + 1), Reason.INSUFFICIENT_SHARES
    )
    assert_rejected(venue.submit("ann", SellShares, market=1, outcome="no", shares=1), Reason.INSUFFICIENT_SHARES)
    assert_rejected(venue.submit("ben", SellShares, market=1, outcome="yes", shares=1), Reason.INSUFFICIENT_SHARES)


def test_trades_that_cannot_be(venue: Bets) -> None:
    venue.open()
    assert_rejected(venue.try_to_buy("ann", market=9), Reason.UNKNOWN_PREDICTION)
    assert_rejected(venue.try_to_buy("ann", "perhaps"), Reason.UNKNOWN_PREDICTED_OUTCOME)
    assert_rejected(venue.try_to_buy("ann", shares=200 * SHARE, max_cost=MAX_AMOUNT), Reason.INSUFFICIENT_CREDITS)
    assert_rejected(venue.try_to_buy("ann", shares=MAX_AMOUNT + 1 - 1), Reason.INVALID_QUANTITY)
    assert_rejected(venue.submit("ann", MintSets, market=1, sets=1), Reason.WRONG_STATE)
    assert_rejected(venue.order("ann", "buy", 1, 50), Reason.WRONG_STATE)


def test_nothing_is_sold_of_what_is_known_for_certain(venue: Bets) -> None:
    venue.open(liquidity=CREDIT)
    assert_rejected(venue.try_to_buy("ann", shares=32 * SHARE + 1), Reason.INVALID_QUANTITY)
    assert venue.try_to_buy("ann", shares=32 * SHARE).accepted
    assert_rejected(venue.try_to_buy("ben", shares=1), Reason.INVALID_QUANTITY)
    # What is next to impossible is next to free, and may be bought.
    assert venue.buy_shares("ben", "no", SHARE) == 1


def test_shares_beyond_what_a_message_could_name_are_refused() -> None:
    rich = MAX_AMOUNT // 2
    venue = Bets(supply=MAX_AMOUNT, settings=Settings(owner_endowment_cap=MAX_AMOUNT))
    venue.register("rich", endowment=rich)
    venue.register("maker", endowment=10**15)
    venue.open("maker", liquidity=10**15)
    assert_rejected(venue.try_to_buy("rich", shares=MAX_AMOUNT, max_cost=MAX_AMOUNT), Reason.INSUFFICIENT_CREDITS)
    assert venue.try_to_buy("rich", shares=10**15, max_cost=MAX_AMOUNT).accepted
    assert_rejected(venue.try_to_buy("rich", shares=MAX_AMOUNT, max_cost=MAX_AMOUNT), Reason.NOTIONAL_TOO_LARGE)
    with pytest.raises(NotFound):
        venue.engine.query("rich", QuoteShares(market=1, outcome="yes", shares=MAX_AMOUNT))


def test_insiders_do_not_trade(venue: Bets) -> None:
    """Nor does any agent of the owner of who says what happened."""
    venue.register("helper", owner="ci", endowment=10 * CREDIT)
    venue.open()
    assert_rejected(venue.try_to_buy("helper"), Reason.INSIDER)
    assert_rejected(venue.try_to_buy("ci"), Reason.NOT_PERMITTED)
    # Its creator may: it plays with its own subsidy, and is not scored for it.
    assert venue.try_to_buy("poster").accepted


def test_so_many_agents_trade_and_no_more() -> None:
    venue = Bets(settings=Settings(max_prediction_traders=2))
    venue.open()
    venue.buy_shares("ann")
    venue.buy_shares("ben")
    assert_rejected(venue.try_to_buy("cid"), Reason.TOO_MANY_TRADERS)
    venue.sell_shares("ann")
    # A place is not free again: the forecast of who had it still waits for its score.
    assert_rejected(venue.try_to_buy("cid"), Reason.TOO_MANY_TRADERS)
    assert venue.try_to_buy("ann").accepted


def test_who_is_halted_does_not_trade(venue: Bets) -> None:
    venue.open()
    venue.buy_shares("ann")
    venue.must(OPERATOR, HaltAgent, agent="ann")
    assert_rejected(venue.try_to_buy("ann"), Reason.AGENT_HALTED)
    assert_rejected(venue.submit("ann", SellShares, market=1, outcome="yes", shares=1), Reason.AGENT_HALTED)


# ── the end of trading ──────────────────────────────────────────────────────────────────────────


def test_trading_stops_at_its_time_to_the_microsecond(venue: Bets) -> None:
    venue.open()
    venue.advance_to(venue.look().closes_at_us - 1)
    venue.buy_shares("ann")
    venue.advance_to(venue.look().closes_at_us)
    assert_rejected(venue.try_to_buy("ann"), Reason.WRONG_STATE)
    assert venue.look().state == "closed"
    assert [event.reason for event in venue.told("ann", "predictions.closed")] == ["closes_at"]


def test_a_halt_does_not_let_anybody_trade_longer(venue: Bets) -> None:
    """What is asked may be known by then: the time belongs to nobody, and is not moved."""
    venue.open()
    closes_at_us = venue.look().closes_at_us
    venue.must(OPERATOR, HaltVenue, state="halted")
    assert_rejected(venue.try_to_buy("ann"), Reason.VENUE_HALTED)
    venue.advance_to(closes_at_us + 1)
    venue.must(OPERATOR, HaltVenue, state="open")
    assert_rejected(venue.try_to_buy("ann"), Reason.WRONG_STATE)


def test_nobody_trades_after_the_time_that_passed_while_the_mechanism_was_suspended(venue: Bets) -> None:
    venue.open()
    venue.must(OPERATOR, SuspendMechanism, family="predictions", state="cancel_only")
    venue.advance_to(venue.look().closes_at_us + 5)
    assert_rejected(venue.try_to_buy("ann"), Reason.MECHANISM_SUSPENDED)


def test_a_report_stops_trading(venue: Bets) -> None:
    venue.open()
    venue.buy_shares("ann")
    assert venue.resolve().accepted
    assert_rejected(venue.try_to_buy("ann"), Reason.WRONG_STATE)
    assert [event.reason for event in venue.told("ann", "predictions.closed")] == ["reported"]


# ── resolution ──────────────────────────────────────────────────────────────────────────────────


def test_a_report_pays_when_its_window_has_passed(venue: Bets) -> None:
    venue.open()
    paid = venue.buy_shares("ann", "yes", 5 * SHARE)
    lost = venue.buy_shares("ben", "no", 3 * SHARE)
    venue.resolve("yes")
    final_at_us = venue.look().final_at_us
    assert final_at_us == venue.time_us + DAY_US
    venue.advance_to(final_at_us - 1)
    assert credits_of(venue, "ann") == [100 * CREDIT - paid]
    venue.reload()
    venue.change_leader()
    venue.advance_to(final_at_us)
    assert credits_of(venue, "ann", "ben", "poster") == [
        105 * CREDIT - paid,
        100 * CREDIT - lost,
        95 * CREDIT + paid + lost,
    ]
    assert (venue.look().state, venue.look().outcome, venue.look().in_escrow) == ("resolved", "yes", 0)
    assert [event.paid for event in venue.told("ann", "predictions.ended")] == [5 * SHARE]


def test_an_outage_moves_the_window_but_not_by_itself(venue: Bets) -> None:
    venue.open()
    venue.buy_shares("ann")
    venue.resolve("no")
    venue.advance_to(venue.time_us + DAY_US - SECOND_US)
    venue.change_leader(outage_seconds=3_600)
    assert venue.look().state == "reported"
    venue.advance(300)
    assert venue.look().state == "resolved"


def test_without_anybody_it_goes_against_a_report_is_final_at_once(venue: Bets) -> None:
    venue.open()
    assert venue.resolve("no").accepted
    assert venue.look().state == "resolved"
    assert credits_of(venue, "poster") == [100 * CREDIT]


def test_who_loses_may_accept_and_then_it_is_final_at_once(venue: Bets) -> None:
    venue.open()
    venue.buy_shares("ann", "yes")
    venue.buy_shares("ben", "no")
    venue.buy_shares("cid", "no", SHARE)
    venue.resolve("yes")
    assert_rejected(venue.submit("ann", AcceptResolution, market=1), Reason.NOT_PERMITTED)
    venue.must("ben", AcceptResolution, market=1)
    assert_rejected(venue.submit("ben", AcceptResolution, market=1), Reason.NO_CHANGE)
    venue.must("cid", AcceptResolution, market=1)
    assert venue.look().state == "resolved"
    assert_rejected(venue.submit("ben", AcceptResolution, market=1), Reason.WRONG_STATE)


def test_who_may_report_and_when(venue: Bets) -> None:
    venue.register("other", roles=["attester"], endowment=0)
    venue.open()
    venue.buy_shares("ann")
    assert_rejected(venue.resolve(by="other"), Reason.NOT_PERMITTED)
    assert_rejected(venue.resolve(by="ann"), Reason.NOT_PERMITTED)
    assert_rejected(venue.resolve("perhaps"), Reason.UNKNOWN_PREDICTED_OUTCOME)
    assert_rejected(venue.submit("ann", AcceptResolution, market=1), Reason.WRONG_STATE)
    venue.resolve("no")
    assert_rejected(venue.resolve("yes"), Reason.WRONG_STATE)
    venue.let_be_final()
    assert_rejected(venue.resolve("yes"), Reason.WRONG_STATE)


# ── void ────────────────────────────────────────────────────────────────────────────────────────


def test_void_pays_the_average_price_over_the_time_of_trading(venue: Bets) -> None:
    """At ½ for a quarter of the hour, then at 622459331 billionths: 591.8 thousandths on average."""
    venue.open()
    venue.advance_to(venue.time_us + 15 * MINUTE_US)
    paid = venue.buy_shares("ann", "yes", 5 * SHARE)
    price = venue.look().outcomes[0].probability
    assert price == 622_459_331
    venue.advance_to(venue.look().closes_at_us)
    assert venue.look().outcomes[0].average == (500_000_000 + 3 * price) // 4
    # How long nobody says anything makes no difference.
    venue.advance_to(venue.time_us + HOUR_US)
    venue.resolve(None)
    venue.let_be_final()
    due = 5 * (500_000_000 + 3 * price) // 4_000
    assert credits_of(venue, "ann", "poster") == [100 * CREDIT - paid + due, 100 * CREDIT + paid - due]
    assert (venue.look().state, venue.look().is_void, venue.look().ended) == ("void", True, "void")


def test_who_resolves_until_then_resolves_and_after_that_nobody(venue: Bets) -> None:
    venue.open()
    paid = venue.buy_shares("ann", "yes", 5 * SHARE)
    resolve_by_us = venue.look().resolve_by_us
    assert resolve_by_us is not None
    venue.advance_to(resolve_by_us - 1)
    assert venue.look().state == "closed"
    venue.advance_to(resolve_by_us)
    assert (venue.look().state, venue.look().ended) == ("void", "unresolved")
    assert_rejected(venue.resolve(), Reason.WRONG_STATE)
    # It stood at 622459331 all the time that trading took.
    assert credits_of(venue, "ann") == [100 * CREDIT - paid + 3_112_296]


def test_an_outage_across_the_last_time_to_resolve_gives_five_minutes(venue: Bets) -> None:
    venue.open()
    venue.buy_shares("ann")
    venue.advance_to(venue.look().resolve_by_us - SECOND_US)  # type: ignore[operator]
    venue.change_leader(outage_seconds=7_200)
    assert venue.resolve().accepted


def test_void_before_any_time_has_passed_pays_one_nth(venue: Bets) -> None:
    venue.open(outcomes=["a", "b", "c"])
    paid = venue.buy_shares("ann", "a", 9 * SHARE)
    venue.resolve(None)
    venue.let_be_final()
    assert credits_of(venue, "ann") == [103 * CREDIT - paid]


def test_a_resolver_that_is_revoked_leaves_a_void_market(venue: Bets) -> None:
    venue.open()
    venue.buy_shares("ann")
    venue.must(OPERATOR, RevokeAgent, agent="ci")
    venue.advance_to(venue.look().resolve_by_us)  # type: ignore[arg-type]
    assert venue.look().ended == "unresolved"


# ── agents that go ──────────────────────────────────────────────────────────────────────────────


def test_shares_of_a_revoked_agent_pay_its_heir(venue: Bets) -> None:
    venue.register("amy", owner="ann", endowment=0)
    venue.open()
    venue.buy_shares("ann", "yes", 5 * SHARE)
    venue.must(OPERATOR, RevokeAgent, agent="ann")
    before = venue.balance("amy")[0]
    venue.resolve("yes")
    venue.let_be_final()
    assert venue.balance("amy")[0] == before + 5 * SHARE


def test_the_rest_of_a_revoked_creator_goes_to_its_heir(venue: Bets) -> None:
    venue.register("sister", owner="poster", endowment=0)
    venue.open()
    venue.must(OPERATOR, RevokeAgent, agent="poster")
    before = venue.balance("sister")[0]
    venue.resolve("no")
    venue.let_be_final()
    assert venue.balance("sister")[0] == before + SUBSIDY


def test_a_dead_mans_switch_sells_nothing(venue: Bets) -> None:
    venue.open()
    venue.buy_shares("ann", "yes", 5 * SHARE)
    venue.must("ann", CancelAllAfter, seconds=5)
    venue.advance(5)
    assert venue.shares("ann") == {"yes": 5, "no": 0}


# ── asking ──────────────────────────────────────────────────────────────────────────────────────


def test_lists_are_paged_and_show_nobody_elses_shares(venue: Bets) -> None:
    for _ in range(3):
        venue.open()
    venue.buy_shares("ann", market=2)
    first = venue.engine.query("ben", ListPredictions(limit=2))
    assert ([view.market for view in first.predictions], first.next) == ([1, 2], 2)  # type: ignore[attr-defined]
    rest = venue.engine.query("ben", ListPredictions(after=2))
    assert ([view.market for view in rest.predictions], rest.next) == ([3], None)  # type: ignore[attr-defined]
    assert venue.engine.query("ben", ListShares()).shares == []  # type: ignore[attr-defined]
    mine = venue.engine.query("ann", ListShares()).shares  # type: ignore[attr-defined]
    assert [(view.market, view.shares) for view in mine] == [(2, {"yes": 5 * SHARE, "no": 0})]
    assert "ann" not in str(venue.engine.query("ben", GetPrediction(market=2)))


def test_ended_markets_are_remembered_for_a_while() -> None:
    venue = Bets(check_every=500)
    for _ in range(1_001):
        number = venue.open(kind="book")
        venue.resolve("yes", market=number)
    assert len(venue.predictions.ended) == 1_000
    assert next(iter(venue.predictions.ended)) == 2
    assert venue.try_to_buy("ann", market=2).reason is Reason.WRONG_STATE
    assert venue.try_to_buy("ann", market=1).reason is Reason.UNKNOWN_PREDICTION


def test_new_agents_of_an_insiders_owner_are_insiders(venue: Bets) -> None:
    venue.open()
    venue.must(OPERATOR, RegisterAgent, agent="late", owner="ci", endowment=10 * CREDIT)
    assert_rejected(venue.try_to_buy("late"), Reason.INSIDER)

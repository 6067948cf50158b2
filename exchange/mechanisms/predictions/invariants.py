"""Check what must always be true of prediction markets and their escrows (slow: it counts everything)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.predictions import lmsr
from exchange.mechanisms.predictions.opening import NO
from exchange.messages.base import CREDIT
from exchange.messages.predictions import SHARE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.mechanisms.predictions.market import Market
    from exchange.mechanisms.predictions.mechanism import Predictions

__all__ = ["broken_invariants"]


def broken_invariants(predictions: Predictions) -> list[str]:
    """Return the broken invariants by name, with what breaks them."""
    broken: list[str] = []
    for market in predictions.live.values():
        broken.extend(f"{name}: {market.number}" for name in _problems(predictions, market))
    broken.extend(_index_problems(predictions))
    return broken


def _problems(predictions: Predictions, market: Market) -> Iterator[str]:
    if predictions.context.cashier.in_escrow(escrow_of(market.cause)) != market.pot:
        yield "escrow_equals_subsidy_and_what_was_paid"
    yield from _share_problems(market)
    yield from _price_problems(market)
    yield from _order_problems(predictions, market)
    yield from _holding_problems(predictions, market)
    yield from _state_problems(predictions, market)
    if dict.fromkeys(predictions.owner_of(name) for name in market.traders) != market.owners:
        yield "owners_are_those_of_the_traders"
    owners = {predictions.owner_of(name): None for name, trader in market.traders.items() if any(trader.shares)}
    if any(owner in owners for owner in market.barred):
        yield "insiders_have_no_shares"
    for name, trader in market.traders.items():
        if predictions.owner_of(name) == market.performer_owner and trader.shares[NO]:
            yield "who_does_a_task_has_nothing_that_pays_if_it_fails"


def _share_problems(market: Market) -> Iterator[str]:
    for place, total in enumerate(market.sold):
        if total != sum(trader.shares[place] for trader in market.traders.values()):
            yield "every_share_is_somebodys"
    if market.kind == "book" and any(total != market.pot for total in market.sold):
        yield "every_set_has_its_credit"
    if market.kind == "lmsr" and market.pot < lmsr.cost_of_all(market.liquidity, market.sold):
        yield "the_maker_was_paid_what_its_shares_cost"
    if market.pot < max(market.sold):
        yield "escrow_covers_every_outcome"
    for trader in market.traders.values():
        if not all(0 <= offered <= shares for offered, shares in zip(trader.offered, trader.shares, strict=True)):
            yield "what_is_offered_is_there"


def _price_problems(market: Market) -> Iterator[str]:
    if sum(market.prices) != lmsr.ONE or min(market.prices) < 0:
        yield "prices_add_up_to_one"
    if sum(market.averages) != lmsr.ONE * (market.priced_us - market.began_us):
        yield "averages_cover_the_time_of_trading"
    if market.kind == "lmsr" and market.prices != lmsr.prices_of(market.liquidity, market.sold):
        yield "prices_follow_what_was_sold"


def _order_problems(predictions: Predictions, market: Market) -> Iterator[str]:
    book = market.book
    if book.orders and market.state != "open":
        yield "orders_end_with_trading"
    for order in book.orders.values():
        if order.remaining <= 0 or order.remaining % SHARE:
            yield "orders_are_for_whole_shares"
        if predictions.orders_of.get(order.agent, {}).get(order.number) != market.number:
            yield "orders_are_found_by_their_agent"
    for place in range(len(market.outcomes)):
        bid, ask = book.best(place, "buy"), book.best(place, "sell")
        if bid is not None and ask is not None and bid.price >= ask.price:
            yield "no_two_orders_could_trade"


def _holding_problems(predictions: Predictions, market: Market) -> Iterator[str]:
    offered: dict[tuple[str, int], int] = {}
    held: dict[str, int] = {}
    for order in market.book.orders.values():
        if order.side == "sell":
            key = (order.agent, order.outcome)
            offered[key] = offered.get(key, 0) + order.remaining
        else:
            held[order.agent] = held.get(order.agent, 0) + order.held
    holds = predictions.context.cashier.holds
    for name, trader in market.traders.items():
        if holds.get(name, {}).get((market.cause, CREDIT), 0) != held.get(name, 0):
            yield "orders_to_buy_hold_what_they_may_cost"
        if any(offered.get((name, place), 0) != count for place, count in enumerate(trader.offered)):
            yield "offered_shares_are_in_orders"


def _state_problems(predictions: Predictions, market: Market) -> Iterator[str]:
    deadlines = predictions.context.deadlines
    trades_end = bool(market.closes_id) and deadlines.due_us(market.closes_id) is not None
    if trades_end != (market.state in ("pending", "open")):
        yield "trading_ends"
    waits = bool(market.deadline_id) and deadlines.due_us(market.deadline_id) is not None
    if waits != (market.task is None and market.state != "disputed"):
        yield "markets_end"
    if (market.resolution is not None) != (market.state in ("reported", "disputed")):
        yield "what_was_reported_is_not_final"
    if market.task is not None and predictions.by_task.get(market.task) != market.number:
        yield "markets_are_found_by_their_task"


def _index_problems(predictions: Predictions) -> Iterator[str]:
    live = predictions.live.values()
    if sum(len(numbers) for numbers in predictions.by_agent.values()) != sum(len(each.traders) for each in live):
        yield "markets_are_found_by_their_traders"
    if sum(len(each) for each in predictions.orders_of.values()) != sum(len(each.book.orders) for each in live):
        yield "only_open_orders_are_listed"
    if len(predictions.by_task) != sum(each.task is not None for each in live):
        yield "only_live_markets_are_about_tasks"
    if sum(predictions.opened_by.values()) != len(predictions.live):
        yield "markets_are_counted_by_owner"

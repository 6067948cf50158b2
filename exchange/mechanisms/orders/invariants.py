"""Check what must always be true of markets, orders and their holds (slow: it counts everything)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.ledger import Balance
    from exchange.mechanisms.orders.market import Market
    from exchange.mechanisms.orders.mechanism import Orders
    from exchange.mechanisms.orders.order import Order

__all__ = ["broken_invariants"]


def broken_invariants(orders: Orders) -> list[str]:
    """Return the broken invariants by name, with what breaks them."""
    broken: list[str] = []
    held: dict[Balance, int] = {}
    cashier = orders.context.cashier
    indexed = [order.order_id for trader in orders.traders.values() for order in trader.orders.sorted()]
    seen: list[int] = []
    for market in orders.markets.values():
        broken.extend(_check_market(market))
        if market.pledges is not None:
            sells = {order.order_id: order for order in _live_orders(market) if not order.is_buy}
            broken.extend(market.pledges.problems(sells))
            for order in sells.values():
                credit = order.trader.credit
                held[credit] = held.get(credit, 0) + market.pledges.held(order)
        for order in _live_orders(market):
            seen.append(order.order_id)
            trader = order.trader
            balance = trader.credit if order.is_buy else order.base
            held[balance] = held.get(balance, 0) + order.hold
            if trader.orders.get(order.order_id) is not order:
                broken.append(f"live_orders_are_found: {order.order_id}")
            broken.extend(_check_order(market, order))
    if sorted(seen) != sorted(indexed):
        broken.append("live_orders_are_indexed_once")
    for trader in orders.traders.values():
        balances = [trader.credit, *trader.base.values()]
        broken.extend(
            f"held_equals_holds_of_live_orders: {trader.agent.agent_id}/{balance.asset.name}"
            for balance in dict.fromkeys(balances)
            if balance.held - cashier.held(balance.account.name, balance.asset.name) != held.get(balance, 0)
        )
    return broken


def _live_orders(market: Market) -> Iterator[Order]:
    yield from market.bids.orders()
    yield from market.asks.orders()
    yield from market.stops.orders()
    yield from market.triggered


def _check_market(market: Market) -> Iterator[str]:
    if market.phase == "open" and market.is_crossed():
        yield f"open_book_is_not_crossed: {market.market_id}"
    if market.open_orders != sum(1 for _ in _live_orders(market)):
        yield f"open_orders_are_counted: {market.market_id}"
    for side in (market.bids, market.asks):
        displayed: dict[int, int] = {}
        for order in side.orders():
            displayed[order.price] = displayed.get(order.price, 0) + order.shown
        if any(side.displayed(price) != quantity for price, quantity in displayed.items()):
            yield f"levels_sum_their_orders: {market.market_id}"


def _check_order(market: Market, order: Order) -> Iterator[str]:
    if order.quantity != order.filled + order.remaining or order.remaining <= 0:
        yield f"quantity_is_filled_plus_remaining: {order.order_id}"
    if not 0 < order.shown <= order.remaining:
        yield f"shown_is_within_remaining: {order.order_id}"
    if order.hold != market.needed_hold(order):
        yield f"hold_covers_the_worst_case: {order.order_id}"

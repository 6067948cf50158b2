"""Answer queries about markets, books and orders from the state of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exchange.mechanisms.base import AgentRecord, NotFound
from exchange.messages.base import MAX_AMOUNT
from exchange.messages.orders import (
    BookResult,
    GetBook,
    GetOrder,
    ListMarkets,
    ListOrders,
    MarketsResult,
    MarketView,
    OrdersResult,
    OrderView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exchange.mechanisms.orders.market import Market
    from exchange.mechanisms.orders.mechanism import Orders
    from exchange.mechanisms.orders.order import Order
    from exchange.messages.base import Query, Result

__all__ = ["Queries", "view_order"]

_MARKETS_PER_PAGE = 500
_ORDERS_PER_PAGE = 500
"""However long the client's ids are, so many orders stay below the size of a message."""


class Queries:
    """Read the books; change nothing."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def readers(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader of each query."""
        return {
            ListMarkets: self.list_markets,
            GetBook: self.get_book,
            ListOrders: self.list_orders,
            GetOrder: self.get_order,
        }

    def list_markets(self, agent: AgentRecord, query: ListMarkets) -> MarketsResult:
        """Describe the markets, in order of creation."""
        del agent
        markets = self._orders.markets
        if query.market is not None:
            return MarketsResult(markets=[view_market(self._market(query.market))])
        names = list(markets)
        start = 0
        if query.after is not None:
            if query.after not in markets:
                message = f"no market {query.after}"
                raise NotFound(message)
            start = names.index(query.after) + 1
        page = names[start : start + _MARKETS_PER_PAGE]
        more = start + len(page) < len(names)
        return MarketsResult(markets=[view_market(markets[name]) for name in page], next=page[-1] if more else None)

    def _market(self, market_id: str) -> Market:
        market = self._orders.markets.get(market_id)
        if market is None:
            message = f"no market {market_id}"
            raise NotFound(message)
        return market

    def get_book(self, agent: AgentRecord, query: GetBook) -> BookResult:
        """Return the best levels of a market."""
        del agent
        market = self._market(query.market)
        return BookResult(
            market=query.market,
            phase=market.phase,
            bids=market.bids.depth(query.depth),
            asks=market.asks.depth(query.depth),
        )

    def list_orders(self, agent: AgentRecord, query: ListOrders) -> OrdersResult:
        """Return a page of the agent's live orders, by ascending id."""
        limit = min(query.limit, _ORDERS_PER_PAGE)
        page: list[Order] = []
        more = False
        for order in self._orders.traders[agent.agent_id].orders.sorted():
            if order.order_id <= query.after or query.market not in (None, order.market.market_id):
                continue
            if len(page) == limit:
                more = True
                break
            page.append(order)
        return OrdersResult(orders=[view_order(order) for order in page], next=page[-1].order_id if more else None)

    def get_order(self, agent: AgentRecord, query: GetOrder) -> OrdersResult:
        """Return one live order of the agent."""
        trader = self._orders.traders[agent.agent_id]
        order = (
            trader.orders.get(query.order_id)
            if query.order_id is not None
            else trader.by_client_id.get(query.client_order_id or "")
        )
        if order is None:
            message = f"no live order {query.order_id or query.client_order_id} of yours"
            raise NotFound(message)
        return OrdersResult(orders=[view_order(order)])


def view_market(market: Market) -> MarketView:
    """Describe a market to everybody."""
    terms, pledges = market.terms, market.pledges
    return MarketView(
        market=market.market_id,
        base=terms.base,
        base_decimals=market.base.decimals,
        tick=terms.tick,
        lot=terms.lot,
        min_quantity=terms.min_quantity or terms.lot,
        max_quantity=terms.max_quantity,
        maker_fee_bp=terms.maker_fee_bp,
        taker_fee_bp=terms.taker_fee_bp,
        price_band_bp=terms.price_band_bp,
        settlement=terms.settlement,
        phase=market.phase,
        phase_until_us=market.phase_until_us,
        reference_price=market.reference_price,
        last_price=market.last_price,
        best_bid=market.bids.best_price,
        best_ask=market.asks.best_price,
        open_orders=market.open_orders,
        volume=min(market.volume, MAX_AMOUNT),
        trades=market.trades,
        deliver_seconds=terms.deliver_seconds,
        confirm_seconds=terms.confirm_seconds,
        bond_bp=terms.bond_bp if pledges is None or terms.settlement != "delivery" else pledges.share_bp,
        late_hours=terms.late_hours,
        late_bp_per_hour=terms.late_bp_per_hour,
        attester=terms.attester,
        term_seconds=terms.term_seconds,
        compensation_bp=terms.compensation_bp if pledges is None or terms.settlement != "lease" else pledges.share_bp,
    )


def view_order(order: Order) -> OrderView:
    """Describe a live order to its agent."""
    pledges = order.market.pledges
    return OrderView(
        order_id=order.order_id,
        market=order.market.market_id,
        side=order.side,
        order_type=order.order_type,
        quantity=order.quantity,
        price=order.price,
        status=order.live_status(),
        filled=order.filled,
        remaining=order.remaining,
        filled_value=order.filled_value,
        fee=order.fee,
        held=order.hold,
        time_in_force=order.time_in_force,
        expires_at_us=order.expires_at_us,
        trigger_price=order.trigger_price,
        display_quantity=order.display or None,
        client_order_id=order.client_order_id,
        pledged=0 if order.is_buy or pledges is None else pledges.held(order),
    )

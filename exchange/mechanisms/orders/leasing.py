"""Let the mechanism ``leases`` see and take what lease markets offer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.mechanisms.orders.guards import NOTIONAL_MAX, Violation, check_price, check_quantity
from exchange.mechanisms.orders.matching import fillable
from exchange.mechanisms.orders.order import Order
from exchange.messages.orders import OrderPlaced
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.orders.mechanism import Orders

__all__ = ["Leasing"]


class Leasing:
    """Check first what would be taken, then take it: so several markets give all or nothing."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def tick(self, market_id: str) -> int | None:
        """Return the tick of a lease market, None if there is no such."""
        market = self._orders.markets.get(market_id)
        return None if market is None or market.terms.settlement != "lease" else market.tick

    def offered(self, market_id: str) -> int:
        """Return what the sell orders of a market offer."""
        market = self._orders.markets.get(market_id)
        return 0 if market is None or market.pledges is None else market.pledges.offered

    def check_take(
        self, agent: AgentRecord, market_id: str, quantity: int, price: int, share: int
    ) -> int | tuple[Reason, str]:
        """Return what taking ``quantity`` at once at no more than ``price`` can cost, or why it cannot be.

        ``share`` markets share the fills of one command.
        """
        context, market = self._orders.context, self._orders.markets.get(market_id)
        if market is None or market.terms.settlement != "lease":
            return Reason.UNKNOWN_MARKET, f"no lease market {market_id}"
        problem: Violation | None = check_price(market, price) or check_quantity(market, quantity)
        if problem is not None:
            return problem
        if price * quantity > NOTIONAL_MAX:
            return Reason.NOTIONAL_TOO_LARGE, f"price × quantity exceeds {NOTIONAL_MAX}"
        if market.phase != "open" and (problem := self._orders.phases.check_entry(market, needs_trade=True)):
            return problem
        effects = max(context.settings.max_fills_per_command // share, 1)
        if not fillable(market, self._order(agent, market_id, quantity, price, 0), price, context.time_us, effects):
            return Reason.UNFILLABLE, f"market {market_id} does not offer {quantity} at up to {price} at once"
        return market.worst_cost(price, quantity)

    def take(
        self, agent: AgentRecord, command_id: str, market_id: str, quantity: int, price: int
    ) -> tuple[int, int, int]:
        """Trade what was checked; return the order's id, its value and its fee."""
        market = self._orders.markets[market_id]
        order_id = self._orders.next_order_id()
        order = self._order(agent, market_id, quantity, price, order_id)
        self._orders.context.emit(
            agent,
            OrderPlaced(
                order_id=order_id, command_id=command_id, market=market_id, side="buy", quantity=quantity, price=price
            ),
        )
        self._orders.execute(market, order, rests=False)
        return order_id, order.filled_value, order.fee

    def _order(self, agent: AgentRecord, market_id: str, quantity: int, price: int, order_id: int) -> Order:
        market, trader = self._orders.markets[market_id], self._orders.traders[agent.agent_id]
        base = trader.base.get(market_id) or self._orders.open_base(trader, market)
        return Order(
            order_id, trader, market, base, True, quantity, price, 0, "limit", "fok", "expire_taker", None,
        )  # fmt: skip

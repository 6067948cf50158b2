"""Hold orders, and the traders who place them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mypy_extensions import mypyc_attr

from exchange.mechanisms.orders.open_orders import OpenOrders

if TYPE_CHECKING:
    from exchange.ledger import Balance
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.orders.book import Level
    from exchange.mechanisms.orders.market import Market
    from exchange.messages.orders import OrderStatus, OrderType, SelfTradePrevention, Side, TimeInForce

__all__ = ["Order", "Trader"]


class Trader:
    """Hold what one agent has in the order books."""

    __slots__ = (
        "agent", "base", "by_client_id", "credit", "orders", "owner", "switch_id", "switch_seconds",
    )  # fmt: skip

    def __init__(self, agent: AgentRecord, credit: Balance) -> None:
        self.agent = agent
        self.owner = agent.owner
        self.credit = credit
        self.base: dict[str, Balance] = {}
        """Its balance in the base asset of each market in which it ever sold or bought."""
        self.orders = OpenOrders()
        self.by_client_id: dict[str, Order] = {}
        self.switch_seconds = 0
        self.switch_id = 0


@mypyc_attr(acyclic=True)
class Order:
    """Be one live order: resting in a book, or a stop that waits for its trigger.

    ``price`` is the limit (for a stop: the limit or protection price once triggered). ``hold`` is
    what it holds: credits for a buy, base units for a sell. ``base`` is the trader's balance in the
    base asset. ``level`` and ``slot`` say where it stands in its book, which owns them and clears
    ``level`` when the order leaves, so that no cycle is left for the collector to find.
    """

    __slots__ = (
        "base", "client_order_id", "deadline_id", "display", "expires_at_us", "fee", "fee_numerator", "filled",
        "filled_value", "hold", "is_buy", "level", "market", "order_id", "order_type", "post_only", "price",
        "quantity", "remaining", "self_trade", "shown", "slot", "time_in_force", "trader", "trigger_price",
    )  # fmt: skip

    def __init__(
        self,
        order_id: int,
        trader: Trader,
        market: Market,
        base: Balance,
        is_buy: bool,  # noqa: FBT001 - by place, because this is the way of every order
        quantity: int,
        price: int,
        hold: int,
        order_type: OrderType,
        time_in_force: TimeInForce,
        self_trade: SelfTradePrevention,
        client_order_id: str | None,
    ) -> None:
        # In the order in which a cancel or a fill looks at them: they share cache lines.
        self.order_id = order_id
        self.remaining = quantity
        self.shown = quantity
        self.price = price
        self.hold = hold
        self.is_buy = is_buy
        self.level: Level | None = None
        self.slot = 0
        self.trader = trader
        self.market = market
        self.base = base
        self.filled = 0
        self.filled_value = 0
        self.fee = 0
        self.deadline_id = 0
        self.client_order_id = client_order_id
        self.quantity = quantity
        self.display = 0
        self.fee_numerator = 0
        self.self_trade: SelfTradePrevention = self_trade
        self.order_type: OrderType = order_type
        self.time_in_force: TimeInForce = time_in_force
        self.post_only = False
        self.expires_at_us: int | None = None
        self.trigger_price: int | None = None

    @property
    def side(self) -> Side:
        """Return the side in the words of the wire."""
        return "buy" if self.is_buy else "sell"

    def live_status(self) -> OrderStatus:
        """Return the status of a live order."""
        return "partially_filled" if self.filled else "new"

    @staticmethod
    def load(state: Any, trader: Trader, market: Market, base: Balance) -> Order:
        """Return the order of which ``dump`` gave the state; it stands in no book yet."""
        (
            order_id, _, is_buy, quantity, price, remaining, shown, display, hold, filled, filled_value, fee,
            fee_numerator, order_type, time_in_force, self_trade, post_only, expires_at_us, deadline_id,
            trigger_price, client_order_id,
        ) = state  # fmt: skip
        order = Order(
            order_id, trader, market, base, is_buy, quantity, price, hold, order_type, time_in_force, self_trade,
            client_order_id,
        )  # fmt: skip
        order.remaining, order.shown, order.display = remaining, shown, display
        order.filled, order.filled_value = filled, filled_value
        order.fee, order.fee_numerator = fee, int(fee_numerator)
        order.post_only, order.expires_at_us, order.deadline_id = post_only, expires_at_us, deadline_id
        order.trigger_price = trigger_price
        return order

    def dump(self) -> list[object]:
        """Return the state as plain data; numbers that can outgrow 64 bits as text."""
        return [
            self.order_id, self.trader.agent.agent_id, self.is_buy, self.quantity, self.price, self.remaining,
            self.shown, self.display, self.hold, self.filled, self.filled_value, self.fee, str(self.fee_numerator),
            self.order_type, self.time_in_force, self.self_trade, self.post_only, self.expires_at_us,
            self.deadline_id, self.trigger_price, self.client_order_id,
        ]  # fmt: skip

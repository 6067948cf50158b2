"""Hold orders, and the traders who place them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from exchange.ledger import Balance
    from exchange.mechanisms.base import AgentRecord
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
        self.orders: dict[int, Order] = {}
        """Its live orders by id; ids ascend."""
        self.by_client_id: dict[str, Order] = {}
        self.switch_seconds = 0
        self.switch_id = 0


class Order(msgspec.Struct, eq=False, gc=False):
    """Be one live order: resting in a book, or a stop that waits for its trigger.

    ``price`` is the limit (for a stop: the limit or protection price once triggered). ``hold`` is
    what it holds: credits for a buy, base units for a sell. It is a struct because that is the
    cheapest object to make, and never encoded.
    """

    order_id: int
    trader: Trader
    market: Market
    base: Balance
    """The trader's balance in the base asset."""
    is_buy: bool
    quantity: int
    price: int
    remaining: int
    shown: int
    order_type: OrderType = "limit"
    time_in_force: TimeInForce = "gtc"
    self_trade: SelfTradePrevention = "expire_taker"
    client_order_id: str | None = None
    hold: int = 0
    filled: int = 0
    filled_value: int = 0
    fee: int = 0
    fee_numerator: int = 0
    display: int = 0
    post_only: bool = False
    expires_at_us: int | None = None
    deadline_id: int = 0
    trigger_price: int | None = None
    # Where it stands in its book; owned by the book.
    level: Any = None
    prev: Order | None = None
    next: Order | None = None

    @property
    def side(self) -> Side:
        """Return the side in the words of the wire."""
        return "buy" if self.is_buy else "sell"

    def live_status(self) -> OrderStatus:
        """Return the status of a live order."""
        return "partially_filled" if self.filled else "new"

    def dump(self) -> list[object]:
        """Return the state as plain data; numbers that can outgrow 64 bits as text."""
        return [
            self.order_id, self.trader.agent.agent_id, self.is_buy, self.quantity, self.price, self.remaining,
            self.shown, self.display, self.hold, self.filled, self.filled_value, self.fee, str(self.fee_numerator),
            self.order_type, self.time_in_force, self.self_trade, self.post_only, self.expires_at_us,
            self.deadline_id, self.trigger_price, self.client_order_id,
        ]  # fmt: skip

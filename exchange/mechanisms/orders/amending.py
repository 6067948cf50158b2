"""Amend live orders in one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.mechanisms.orders.guards import NOTIONAL_MAX, Violation, check_price, check_quantity
from exchange.mechanisms.orders.matching import crosses
from exchange.messages.orders import AmendOrder, OrderAmended, OrderOutcome, OrderResult
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.orders.mechanism import Orders
    from exchange.mechanisms.orders.order import Order
    from exchange.messages.base import Outcome

__all__ = ["Amending"]


class Amending:
    """Change price, quantity or trigger of an order; only less quantity keeps its place in the queue."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._context = orders.context

    def amend_order(self, agent: AgentRecord, command: AmendOrder) -> Outcome:
        """Change an order in one step: less quantity keeps its place, anything else loses it and may trade."""
        context = self._context
        order = self._orders.traders[agent.agent_id].orders.get(command.order_id)
        if order is None:
            return context.reject(command, Reason.UNKNOWN_ORDER, f"no live order {command.order_id} of yours")
        price = order.price if command.price is None else command.price
        quantity = order.quantity if command.quantity is None else command.quantity
        problem = self._check_amend(order, command, price, quantity)
        if problem is not None:
            return context.reject(command, *problem)
        waits = order.trigger_price is not None
        keeps_place = waits or (price == order.price and quantity <= order.quantity)
        if waits:
            self._amend_waiting(order, command, price, quantity)
        elif keeps_place:
            self._reduce(order, quantity)
        else:
            order.market.side_of(order).remove(order)
            order.price = price
            order.remaining = quantity - order.filled
            order.quantity = quantity
            if order.market.pledges is not None and not order.is_buy:
                order.market.pledges.open(order)
        self._tell_amended(order, command)
        context.touched[order.market] = None
        status = (
            order.live_status() if keeps_place else self._orders.execute(order.market, order, rests=True, known=True)
        )
        return OrderOutcome(
            command.id, "accepted", context.time_us, None, None,
            OrderResult(
                order.order_id, status, order.filled, order.remaining, order.filled_value, order.fee
            ),
        )  # fmt: skip

    def _check_amend(  # noqa: C901 - a list of guards
        self, order: Order, command: AmendOrder, price: int, quantity: int
    ) -> Violation | None:
        market = order.market
        if command.price is None and command.quantity is None and command.trigger_price is None:
            return Violation(Reason.MISSING_FIELD, "give a new price, quantity or trigger_price")
        if command.trigger_price is not None and (problem := _check_new_trigger(order, command.trigger_price)):
            return problem
        if order in market.triggered:
            return Violation(Reason.TRIGGER_ALREADY_MET, "this stop was just set off")
        if (problem := check_price(market, price)) or (problem := check_quantity(market, quantity)):
            return problem
        if quantity <= order.filled:
            return Violation(Reason.QUANTITY_NOT_ABOVE_FILLED, f"{order.filled} are filled; cancel the rest instead")
        if price * quantity > NOTIONAL_MAX:
            return Violation(Reason.NOTIONAL_TOO_LARGE, f"price × quantity exceeds {NOTIONAL_MAX}")
        if market.phase != "open" and (problem := self._orders.phases.check_entry(market, needs_trade=False)):
            return problem
        if order.post_only and market.phase == "open":
            best = (market.asks if order.is_buy else market.bids).best_price
            if best is not None and crosses(order, price, best) and price != order.price:
                return Violation(Reason.POST_ONLY_WOULD_TRADE, f"the best opposite price is {best}")
        remaining = quantity - order.filled
        trader = order.trader
        if order.is_buy:
            needed = market.worst_cost(price, remaining, order.fee_numerator, order.fee)
            return self._orders.check_funds(trader.credit, needed - order.hold, is_buy=True)
        return self._orders.check_funds(order.base, remaining - order.hold, is_buy=False) or self._check_pledge(
            order, price, quantity
        )

    def _check_pledge(self, order: Order, price: int, quantity: int) -> Violation | None:
        """Check what a sell must pledge more in a market whose settlement is not instant."""
        pledges = order.market.pledges
        if pledges is None:
            return None
        if order.trigger_price is None and price == order.price and quantity <= order.quantity:
            # It keeps its place and its worst price.
            return None
        needed = pledges.needed(pledges.worst_price(price), quantity - order.filled)
        return self._orders.check_funds(order.trader.credit, needed - pledges.held(order), is_buy=True)

    def _amend_waiting(self, order: Order, command: AmendOrder, price: int, quantity: int) -> None:
        """Change a stop that still waits."""
        order.price = price
        order.quantity = order.remaining = order.shown = quantity
        self._orders.hold_more(order, order.market.needed_hold(order) - order.hold)
        pledges = order.market.pledges
        if pledges is not None and not order.is_buy:
            pledges.open(order)
            pledges.adjust(order)
        if command.trigger_price is not None and command.trigger_price != order.trigger_price:
            order.trigger_price = command.trigger_price
            order.market.stops.move(order, command.trigger_price)

    def _reduce(self, order: Order, quantity: int) -> None:
        """Take quantity off a resting order, which keeps its place."""
        market = order.market
        if quantity == order.quantity:
            return
        market.side_of(order).reduce(order, order.quantity - quantity)
        order.quantity = quantity
        self._orders.hold_more(order, market.needed_hold(order) - order.hold)
        if market.pledges is not None:
            market.pledges.adjust(order)

    def _tell_amended(self, order: Order, command: AmendOrder) -> None:
        self._context.emit(
            order.trader.agent,
            OrderAmended(
                order_id=order.order_id,
                command_id=command.id,
                market=order.market.market_id,
                quantity=order.quantity,
                remaining=order.remaining,
                price=order.price,
                trigger_price=order.trigger_price,
                client_order_id=order.client_order_id,
            ),
        )


def _check_new_trigger(order: Order, trigger_price: int) -> Violation | None:
    market = order.market
    if order.trigger_price is None:
        return Violation(Reason.FIELD_NOT_ALLOWED, "only a stop that still waits has a trigger_price")
    if trigger_price % market.tick:
        return Violation(Reason.INVALID_PRICE, f"trigger_price {trigger_price} is off the tick {market.tick}")
    last = market.last_price
    if last is not None and (last >= trigger_price if order.is_buy else last <= trigger_price):
        return Violation(Reason.TRIGGER_ALREADY_MET, f"the last trade was at {last}")
    return None

"""Cancel orders: one, many, by the dead man's switch, at the end of an agent; expire what is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exchange.mechanisms.base import EngineBroken
from exchange.mechanisms.facts import SwitchLapsed
from exchange.messages.orders import (
    CancelAllAfter,
    CancelOrder,
    MassCancel,
    MassCancelOutcome,
    OrderCanceled,
    OrderOutcome,
    OrderResult,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.facts import AgentEnded, VenueReopened
    from exchange.mechanisms.orders.mechanism import Orders
    from exchange.mechanisms.orders.order import Order, Trader
    from exchange.messages.base import Outcome
    from exchange.messages.orders import CancelReason

__all__ = ["Canceling"]

# What is made per cancel. As constants these are at hand; as names they would be looked up at each use.
_order_canceled: Final = OrderCanceled
_order_outcome: Final = OrderOutcome
_order_result: Final = OrderResult

_SECOND_US: Final = 1_000_000


class Canceling:
    """Take orders out of their books and release what they hold."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._context = orders.context

    def cancel_order(self, agent: AgentRecord, command: CancelOrder) -> Outcome:
        """Cancel one live order of the agent."""
        context = self._context
        trader = self._orders.traders[agent.agent_id]
        order_id, client_order_id = command.order_id, command.client_order_id
        if (order_id is None) == (client_order_id is None):
            return context.reject(command, Reason.MISSING_FIELD, "give order_id or client_order_id, not both")
        order = trader.orders.get(order_id) if order_id is not None else trader.by_client_id.get(client_order_id or "")
        if order is None:
            detail = f"no live order {order_id or client_order_id} of yours"
            return context.reject(command, Reason.UNKNOWN_ORDER, detail)
        if order.market.phase == "halted":
            return context.reject(command, Reason.MARKET_HALTED, f"market {order.market.market_id} is halted")
        self.cancel(order, "requested")
        return _order_outcome(
            command.id, "accepted", context.stamp, None, None,
            _order_result(order.order_id, "canceled", order.filled, 0, order.filled_value, order.fee),
        )  # fmt: skip

    def cancel(self, order: Order, reason: CancelReason) -> None:
        """Cancel a live order: out of the book, its hold released, its agent told."""
        self._remove(order)
        agent = order.trader.agent
        agent.seq = seq = agent.seq + 1
        self._context.deliver(
            agent,
            _order_canceled(
                seq=seq,
                venue_time_us=self._context.stamp,
                order_id=order.order_id,
                market=order.market.market_id,
                remaining=order.remaining,
                reason=reason,
                client_order_id=order.client_order_id,
            ),
        )

    def _remove(self, order: Order) -> None:
        market = order.market
        if order.level is not None:
            (market.bids if order.is_buy else market.asks).remove(order)
        elif order in market.triggered:
            market.triggered.remove(order)
        else:
            market.stops.remove(order)
        trader = order.trader
        context = self._context
        context.ledger.hold(trader.credit if order.is_buy else order.base, -order.hold)
        order.hold = 0
        if market.pledges is not None:
            market.pledges.cancel(order)
        self._orders.forget(order)
        context.touched[market] = None

    def mass_cancel(self, agent: AgentRecord, command: MassCancel) -> Outcome:
        """Cancel all matching orders of the agent or of its owner, up to the cap of one command."""
        context = self._context
        owner = command.owner
        if owner is not None and owner != agent.owner and "operator" not in agent.roles:
            return context.reject(command, Reason.NOT_PERMITTED, "only an operator cancels for another owner")
        if command.market is not None and command.market not in self._orders.markets:
            return context.reject(command, Reason.UNKNOWN_MARKET, f"no market {command.market}")
        if owner is None:
            traders: Iterable[Trader] = (self._orders.traders[agent.agent_id],)
        else:
            traders = self._orders.fleets.get(owner, ())
        canceled, left = self._cancel_all(traders, "mass_cancel", command)
        return MassCancelOutcome(command.id, "accepted", context.time_us, None, None, canceled, left)

    def _cancel_all(
        self, traders: Iterable[Trader], reason: CancelReason, scope: MassCancel | None = None
    ) -> tuple[int, int]:
        """Cancel the traders' orders in scope, in order; return how many were, and how many are left."""
        matching = [
            order
            for trader in traders
            for order in trader.orders.sorted()
            if scope is None
            or (
                scope.market in (None, order.market.market_id)
                and scope.side in (None, order.side)
                and order.market.phase != "halted"
            )
        ]
        count = min(len(matching), self._context.settings.max_cancels_per_command)
        for order in matching[:count]:
            self.cancel(order, reason)
        return count, len(matching) - count

    # ── dead man's switch ───────────────────────────────────────────────────────────────────────

    def cancel_all_after(self, agent: AgentRecord, command: CancelAllAfter) -> Outcome:
        """Arm, renew or (0 seconds) disarm the agent's dead man's switch."""
        trader = self._orders.traders[agent.agent_id]
        self._arm(trader, command.seconds)
        return self._context.accept(command)

    def _arm(self, trader: Trader, seconds: int) -> None:
        deadlines = self._context.deadlines
        if trader.switch_id:
            deadlines.cancel(trader.switch_id)
            trader.switch_id = 0
        trader.switch_seconds = seconds
        if seconds:
            trader.switch_id = deadlines.schedule(
                self._context.time_us + seconds * _SECOND_US, "orders.cancel_all", trader.agent.agent_id
            )

    def switch_lapsed(self, agent_id: str) -> None:
        """Cancel everything of an agent that did not renew its switch; fires as a deadline."""
        trader = self._orders.traders[agent_id]
        trader.switch_id = 0
        if self._context.venue_state == "halted":
            # It could not be renewed: its period starts anew.
            self._arm(trader, trader.switch_seconds)
            return
        self._context.announce(SwitchLapsed(agent_id))
        _, left = self._cancel_all((trader,), "dead_man")
        if left:
            trader.switch_id = self._context.deadlines.schedule(
                self._context.time_us + 1, "orders.cancel_all", agent_id
            )

    # ── other ends ──────────────────────────────────────────────────────────────────────────────

    def expire_order(self, agent_id: str, order_id: int) -> None:
        """End a good-till-date order; fires as a deadline."""
        order = self._orders.traders[agent_id].orders.get(order_id)
        if order is None:
            message = f"order {order_id} of {agent_id} expires, but is not live"
            raise EngineBroken(message)
        order.deadline_id = 0
        self._remove(order)
        self._orders.tell_expired(order, "gtd")

    def wind_up(self, fact: AgentEnded) -> None:
        """Cancel everything of a revoked agent at once: nobody can come back for what is left."""
        trader = self._orders.traders[fact.agent]
        self._arm(trader, 0)
        for order in trader.orders.sorted():
            self.cancel(order, "revoked")

    def release_for(self, agent_id: str, amount: int) -> None:
        """Cancel a debtor's newest orders that hold credits, until ``amount`` is available or none is left."""
        trader = self._orders.traders[agent_id]
        for order in reversed(trader.orders.sorted()):
            if trader.credit.available >= amount:
                return
            pledges = order.market.pledges
            if order.hold if order.is_buy else pledges is not None and pledges.held(order):
                self.cancel(order, "forced_debit")

    def rearm_switches(self, fact: VenueReopened | None = None) -> None:
        """Start every armed switch anew: it could not be renewed."""
        del fact
        for trader in self._orders.traders.values():
            if trader.switch_id:
                self._arm(trader, trader.switch_seconds)

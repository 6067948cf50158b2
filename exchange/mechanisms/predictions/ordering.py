"""Match orders for shares: with each other, or with orders for all other outcomes, which mints or merges sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.predictions.book import ShareOrder
from exchange.mechanisms.predictions.market import Market
from exchange.messages.base import CREDIT, MAX_AMOUNT
from exchange.messages.predictions import SHARE, ShareOrderCanceled, ShareOrderOutcome, SharesTraded
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.cashier import Posting
    from exchange.mechanisms.predictions.market import Trader
    from exchange.mechanisms.predictions.mechanism import Predictions
    from exchange.messages.base import Event, Outcome
    from exchange.messages.predictions import CancelShareOrder, PlaceShareOrder, ShareOrderEnd, Side

__all__ = ["Ordering"]

Violation = tuple[Reason, str]


class Taking:
    """Be what one order comes to while it is matched: all that is posted and told in the end."""

    __slots__ = ("events", "fills", "order", "posting", "trader", "value")

    def __init__(self, order: ShareOrder, trader: Trader, posting: Posting) -> None:
        self.order = order
        self.trader = trader
        self.posting = posting
        self.value = 0
        """What the taker pays for what it buys, or gets for what it sells."""
        self.fills = 0
        self.events: list[tuple[str, Event]] = []


class Ordering:
    """Take orders, match them and let the rest wait."""

    def __init__(self, predictions: Predictions) -> None:
        self._predictions = predictions
        self._context = predictions.context

    # ── placing ─────────────────────────────────────────────────────────────────────────────────

    def place(self, agent: AgentRecord, command: PlaceShareOrder) -> Outcome:
        """Trade what can be traded at the price or better; the rest waits."""
        context, predictions = self._context, self._predictions
        market = predictions.find(command, command.market)
        if not isinstance(market, Market):
            return market
        trading = predictions.trading
        problem = trading.check_market(market, "book") or trading.check_trader(market, agent)
        if problem is not None:
            return context.reject(command, *problem)
        place = market.place_of(command.outcome)
        if place is None:
            return trading.reject_outcome(command, market, command.outcome)
        problem = self._check_order(market, agent, command, place)
        if problem is not None:
            return context.reject(command, *problem)
        predictions.last_order = number = predictions.last_order + 1
        order = ShareOrder(number, agent.agent_id, agent.owner, place, command.side, command.price, command.shares)
        taking = Taking(order, trading.know(market, agent), context.cashier.posting(market.cause))
        before = market.prices
        market.accrue(context.time_us)
        self._match(market, taking)
        why = self._leave(market, taking, command)
        taking.posting.post()
        filled = command.shares - order.remaining
        if filled and trading.is_scored(market, agent):
            taking.trader.note_move(before, market.prices, abs(taking.value))
        self._tell(market, taking, filled, why)
        # What is left of an order that does not wait is not open.
        left = order.remaining if why is None else 0
        return ShareOrderOutcome(
            command.id,
            "accepted",
            context.stamp,
            order_number=number,
            filled=filled,
            remaining=left,
            value=taking.value,
        )

    def _check_order(
        self, market: Market, agent: AgentRecord, command: PlaceShareOrder, place: int
    ) -> Violation | None:
        context, settings = self._context, self._context.settings
        sets, rest = divmod(command.shares, SHARE)
        if rest:
            return Reason.INVALID_QUANTITY, f"orders are for whole shares, a multiple of {SHARE}"
        if market.pot + command.shares > MAX_AMOUNT:
            return Reason.NOTIONAL_TOO_LARGE, f"there would be more than {MAX_AMOUNT} of these shares"
        if command.side == "buy":
            problem = self._predictions.trading.check_hope(market, agent, place)
            if problem is not None:
                return problem
        if command.time_in_force == "gtc":
            cap = settings.max_share_orders_per_owner
            if market.book.by_owner.get(agent.owner, 0) >= cap:
                return Reason.TOO_MANY_SHARE_ORDERS, f"an owner has at most {cap} open orders in a market"
            if len(market.book.orders) >= settings.max_share_orders:
                return Reason.TOO_MANY_SHARE_ORDERS, f"a market has at most {settings.max_share_orders} open orders"
        if command.side == "buy":
            return context.cashier.check(agent, command.price * sets)
        trader = market.traders.get(agent.agent_id)
        has = 0 if trader is None else trader.free(place)
        if command.shares > has:
            return Reason.INSUFFICIENT_SHARES, f"{has} of {command.outcome} are there"
        return None

    # ── matching ────────────────────────────────────────────────────────────────────────────────

    def _match(self, market: Market, taking: Taking) -> None:
        """Trade until nothing fits any more; orders of the taker's own owner that would trade are canceled."""
        order, cap = taking.order, self._context.settings.max_fills_per_command
        while order.remaining and taking.fills < cap:
            makers, price = _next_makers(market, order)
            if not makers:
                return
            taking.fills += len(makers)
            own = [maker for maker in makers if maker.owner == order.owner]
            for maker in own:
                self._drop(market, maker, taking.posting)
                taking.events.append((maker.agent, _canceled(market, maker, "self_trade")))
            if not own:
                self._fill(market, taking, makers, price)

    def _fill(self, market: Market, taking: Taking, makers: list[ShareOrder], price: int) -> None:
        """Trade as much as all of them have left, at the makers' prices; ``price`` is the taker's."""
        order = taking.order
        shares = min([order.remaining, *[maker.remaining for maker in makers]])
        sets = shares // SHARE
        taking.value += price * sets
        is_direct = makers[0].outcome == order.outcome
        if not is_direct:
            # All buy: a set is minted for each of their shares. All sell: one is merged.
            change = shares if order.side == "buy" else -shares
            market.pot += change
            market.sold = [each + change for each in market.sold]
        for maker in makers:
            self._fill_maker(market, taking, maker, shares)
        taking.trader.shares[order.outcome] += shares if order.side == "buy" else -shares
        order.remaining -= shares
        market.reprice(order.outcome, price)
        market.trades += 1
        self._predictions.trading.count(market, order.side, price * sets)

    def _fill_maker(self, market: Market, taking: Taking, maker: ShareOrder, shares: int) -> None:
        escrow, value = escrow_of(market.cause), maker.price * (shares // SHARE)
        has = market.traders[maker.agent]
        if maker.side == "buy":
            taking.posting.fund_held(maker.agent, escrow, value)
            has.shares[maker.outcome] += shares
        else:
            taking.posting.give_back(escrow, maker.agent, value)
            has.shares[maker.outcome] -= shares
            has.offered[maker.outcome] -= shares
        maker.remaining -= shares
        if not maker.remaining:
            self._forget(market, maker)
        event = SharesTraded(
            market=market.number,
            outcome=market.outcomes[maker.outcome],
            side=maker.side,
            shares=shares,
            value=value,
            order=maker.number,
            remaining=maker.remaining,
        )
        taking.events.append((maker.agent, event))

    def _leave(self, market: Market, taking: Taking, command: PlaceShareOrder) -> ShareOrderEnd | None:
        """Pay for what was filled and let the rest wait; return why it does not."""
        order, posting, escrow = taking.order, taking.posting, escrow_of(market.cause)
        due = taking.value if order.side == "buy" else -taking.value
        if due > 0:
            posting.fund(order.agent, escrow, due)
        elif due < 0:
            posting.give_back(escrow, order.agent, -due)
        if not order.remaining:
            return None
        if command.time_in_force == "ioc":
            return "immediate"
        if taking.fills >= self._context.settings.max_fills_per_command:
            return "too_many_fills"
        posting.hold(order.agent, order.held)
        if order.side == "sell":
            taking.trader.offered[order.outcome] += order.remaining
        market.book.add(order)
        self._predictions.orders_of.setdefault(order.agent, {})[order.number] = market.number
        return None

    def _tell(self, market: Market, taking: Taking, filled: int, why: ShareOrderEnd | None) -> None:
        context, order = self._context, taking.order
        for name, event in taking.events:
            context.emit(context.agents[name], event)
        agent = context.agents[order.agent]
        if filled:
            event = SharesTraded(
                market=market.number,
                outcome=market.outcomes[order.outcome],
                side=order.side,
                shares=filled,
                value=taking.value,
                order=order.number,
                remaining=order.remaining,
            )
            context.emit(agent, event)
        if why is not None:
            context.emit(agent, _canceled(market, order, why))

    # ── canceling ───────────────────────────────────────────────────────────────────────────────

    def cancel(self, agent: AgentRecord, command: CancelShareOrder) -> Outcome:
        """Take back what is left of an order of the agent's own."""
        market = self._predictions.find(command, command.market)
        if not isinstance(market, Market):
            return market
        order = market.book.orders.get(command.order)
        if order is None or order.agent != agent.agent_id:
            detail = f"{agent.agent_id} has no open order {command.order} in market {market.number}"
            return self._context.reject(command, Reason.UNKNOWN_ORDER, detail)
        self._cancel(market, [order], "canceled")
        return self._context.accept(command)

    def cancel_all(self, market: Market) -> None:
        """Cancel every order of a market in which trading stops."""
        self._cancel(market, list(market.book.orders.values()), "closed")

    def cancel_of(self, agent_id: str, reason: ShareOrderEnd) -> None:
        """Cancel all orders of an agent."""
        for number in dict.fromkeys(self._predictions.orders_of.get(agent_id, {}).values()):
            market = self._predictions.live[number]
            self._cancel(market, market.book.of(agent_id), reason)

    def release_for(self, agent_id: str, amount: int) -> None:
        """Cancel an agent's orders to buy, the newest first, until ``amount`` is available or none is left."""
        balance = self._context.ledger.balance(agent_id, CREDIT)
        orders = self._predictions.orders_of.get(agent_id)
        if orders is None:
            return
        for number, market_number in list(reversed(orders.items())):
            if balance.available >= amount:
                return
            market = self._predictions.live[market_number]
            order = market.book.orders[number]
            if order.side == "buy":
                self._cancel(market, [order], "forced_debit")

    def _cancel(self, market: Market, orders: list[ShareOrder], reason: ShareOrderEnd) -> None:
        context = self._context
        posting = context.cashier.posting(market.cause)
        for order in orders:
            self._drop(market, order, posting)
        posting.post()
        for order in orders:
            context.emit(context.agents[order.agent], _canceled(market, order, reason))

    def _drop(self, market: Market, order: ShareOrder, posting: Posting) -> None:
        """Free what an order holds, and let it wait no more."""
        posting.release(order.agent, order.held)
        if order.side == "sell":
            market.traders[order.agent].offered[order.outcome] -= order.remaining
        self._forget(market, order)

    def _forget(self, market: Market, order: ShareOrder) -> None:
        market.book.remove(order)
        numbers = self._predictions.orders_of[order.agent]
        del numbers[order.number]
        if not numbers:
            del self._predictions.orders_of[order.agent]


def _canceled(market: Market, order: ShareOrder, reason: ShareOrderEnd) -> ShareOrderCanceled:
    return ShareOrderCanceled(market=market.number, order=order.number, reason=reason)


def _next_makers(market: Market, order: ShareOrder) -> tuple[list[ShareOrder], int]:
    """Return whom an order trades with next and the price of its own share then; nobody if nothing fits its limit.

    That is the best order on the other side, or the best ones of its own side for all other outcomes, whose prices
    leave the rest of a credit: whichever is better for it. If both are alike, the order on the other side.
    """
    book, outcome = market.book, order.outcome
    is_buy = order.side == "buy"
    against: Side = "sell" if is_buy else "buy"
    makers: list[ShareOrder] = []
    price = 0
    direct = book.best(outcome, against)
    if direct is not None:
        makers, price = [direct], direct.price
    others: list[ShareOrder] = []
    for place in range(len(market.outcomes)):
        best = book.best(place, order.side) if place != outcome else None
        if best is not None:
            others.append(best)
    if len(others) == len(market.outcomes) - 1:
        rest = SHARE - sum([other.price for other in others])
        if not makers or (rest < price if is_buy else rest > price):
            makers, price = others, rest
    fits = price <= order.price if is_buy else price >= order.price
    return (makers, price) if fits else ([], 0)

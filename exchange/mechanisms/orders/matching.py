"""Match a taker against the book: price–time priority, at the maker's price."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from exchange.messages.orders import OrderExpired, OrderFilled, OrderReduced, Trade

if TYPE_CHECKING:
    from collections.abc import Callable

    from exchange.ledger import Balance, Leg
    from exchange.mechanisms.base import Context
    from exchange.mechanisms.orders.book import BookSide
    from exchange.mechanisms.orders.market import Market
    from exchange.mechanisms.orders.order import Order
    from exchange.messages.orders import ExpireReason

__all__ = ["Matcher", "fillable"]

# What is made per fill. As constants these are at hand; as names they would be looked up at each use.
_order_filled: Final = OrderFilled
_trade: Final = Trade


def crosses(taker: Order, limit: int, price: int) -> bool:
    """Return whether a taker with this limit trades at a price."""
    return price <= limit if taker.is_buy else price >= limit


class Matcher:
    """Execute takers; collect the legs of one posting on the way."""

    def __init__(self, context: Context, fees: Balance, forget: Callable[[Order], None]) -> None:
        self._context = context
        self._fees = fees
        self._forget = forget
        """Takes an order that is no longer live out of every index but the book."""

    def match(
        self, market: Market, taker: Order, limit: int, legs: list[Leg], budget: int | None = None
    ) -> ExpireReason | None:
        """Trade until the taker is filled or nothing crosses; return what else stopped it.

        The makers' legs are appended to ``legs``; those of the taker are the caller's, who knows
        what was held. ``budget`` bounds what a buy may cost, in credits' smallest unit.
        """
        context = self._context
        market.roll_reference(context.time_us)
        band = market.band(context.time_us)
        is_buy = taker.is_buy
        makers = market.asks if is_buy else market.bids
        owner = taker.trader.owner
        may_self_trade = taker.self_trade == "none"
        effects_left = context.settings.max_fills_per_command
        spent_before = taker.filled_value + taker.fee
        while taker.remaining:
            maker = makers.best()
            if maker is None:
                return None
            price = maker.price
            if price > limit if is_buy else price < limit:
                return None
            if band is not None and not band[0] <= price <= band[1]:
                return "price_band"
            if effects_left == 0:
                return "effects_cap"
            effects_left -= 1
            if maker.trader.owner == owner and not may_self_trade:
                if self._prevent_self_trade(market, makers, maker, taker, legs):
                    return "self_trade"
                continue
            quantity = min(taker.remaining, maker.shown)
            if budget is not None:
                left = budget - (taker.filled_value + taker.fee - spent_before)
                quantity = min(quantity, market.affordable(price, left, taker.fee_numerator, taker.fee))
                if quantity == 0:
                    return "budget_spent"
            self._trade(market, makers, maker, taker, quantity, legs)
        return None

    def _trade(
        self, market: Market, makers: BookSide, maker: Order, taker: Order, quantity: int, legs: list[Leg]
    ) -> None:
        context = self._context
        stamp = context.stamp
        price = maker.price
        value = price * quantity // market.scale
        taker.remaining -= quantity
        taker.filled += quantity
        taker.filled_value += value
        taker_fee = 0 if market.fee_free else self._charge(market, taker, value * market.taker_bp)
        market.last_price = price
        market.volume += quantity
        market.trades = trade_id = market.trades + 1
        market_id = market.market_id
        agent = taker.trader.agent
        agent.seq = seq = agent.seq + 1
        context.deliver(
            agent,
            _order_filled(
                seq=seq,
                venue_time_us=stamp,
                order_id=taker.order_id,
                trade_id=trade_id,
                market=market_id,
                side="buy" if taker.is_buy else "sell",
                price=price,
                quantity=quantity,
                value=value,
                # What a budget still buys is not known before it is spent.
                remaining=0 if taker.order_type == "budget" else taker.remaining,
                liquidity="taker",
                fee=taker_fee,
                client_order_id=taker.client_order_id,
            ),
        )
        makers.fill(maker, quantity)
        maker_fee = self.settle_resting(market, maker, quantity, value, market.maker_bp, legs)
        agent = maker.trader.agent
        agent.seq = seq = agent.seq + 1
        context.deliver(
            agent,
            _order_filled(
                seq=seq,
                venue_time_us=stamp,
                order_id=maker.order_id,
                trade_id=trade_id,
                market=market_id,
                side="buy" if maker.is_buy else "sell",
                price=price,
                quantity=quantity,
                value=value,
                remaining=maker.remaining,
                liquidity="maker",
                fee=maker_fee,
                client_order_id=maker.client_order_id,
            ),
        )
        if taker_fee or maker_fee:
            legs.append((self._fees, taker_fee + maker_fee, 0))
        if market.pledges is not None:
            buyer, seller = (taker, maker) if taker.is_buy else (maker, taker)
            market.pledges.settle(trade_id, buyer, seller, price, quantity, value, legs, rests=taker.is_buy)
        if not maker.remaining:
            self._forget(maker)
        context.trades.append(_trade(trade_id, market_id, price, quantity, taker.side, stamp))

    def settle_resting(
        self, market: Market, order: Order, quantity: int, value: int, fee_bp: int, legs: list[Leg]
    ) -> int:
        """Book one fill of a resting order, whose remaining quantity is already reduced; return the fee."""
        order.filled += quantity
        order.filled_value += value
        fee = 0 if market.fee_free else self._charge(market, order, value * fee_bp)
        trader = order.trader
        if order.is_buy:
            hold = market.needed_hold(order) if order.remaining else 0
            freed = order.hold - hold
            order.hold = hold
            legs.append((trader.credit, freed - value - fee, -freed))
            if market.pledges is None:
                legs.append((order.base, quantity, 0))
        else:
            order.hold -= quantity
            if market.pledges is None:
                legs.append((trader.credit, value - fee, 0))
            legs.append((order.base, 0, -quantity))
        return fee

    def _charge(self, market: Market, order: Order, numerator: int) -> int:
        """Add to an order's fee; return by how much the fee, rounded up over all its fills, grew."""
        if not numerator or (market.pledges is not None and not order.is_buy):
            # A seller that was not paid yet has nothing to pay a fee from.
            return 0
        order.fee_numerator += numerator
        due = market.fee_due(order.fee_numerator)
        grown = due - order.fee
        order.fee = due
        return grown

    def trade_at_auction(
        self, market: Market, bid: Order, ask: Order, price: int, quantity: int, legs: list[Leg]
    ) -> None:
        """Trade two resting orders at the uniform price of a call auction; both pay the maker fee."""
        context = self._context
        value = market.value(price, quantity)
        market.last_price = price
        market.volume += quantity
        market.trades = trade_id = market.trades + 1
        for order in (bid, ask):
            market.side_of(order).fill(order, quantity)
            fee = self.settle_resting(market, order, quantity, value, market.maker_bp, legs)
            if fee:
                legs.append((self._fees, fee, 0))
            context.emit(
                order.trader.agent,
                OrderFilled(
                    order_id=order.order_id,
                    trade_id=trade_id,
                    market=market.market_id,
                    side=order.side,
                    price=price,
                    quantity=quantity,
                    value=value,
                    remaining=order.remaining,
                    liquidity="auction",
                    fee=fee,
                    client_order_id=order.client_order_id,
                ),
            )
            if not order.remaining:
                self._forget(order)
        if market.pledges is not None:
            market.pledges.settle(trade_id, bid, ask, price, quantity, value, legs, rests=True)
        context.trades.append(Trade(trade_id, market.market_id, price, quantity, None, context.time_us))

    # ── self-trade prevention ───────────────────────────────────────────────────────────────────

    def _prevent_self_trade(
        self, market: Market, makers: BookSide, maker: Order, taker: Order, legs: list[Leg]
    ) -> bool:
        """Apply the taker's mode to one maker of the same owner; return whether the taker ends."""
        mode = taker.self_trade
        if mode == "decrement":
            quantity = min(taker.remaining, maker.shown)
            taker.remaining -= quantity
            taker.quantity -= quantity
            self.decrement(market, makers, maker, quantity, legs)
            if taker.remaining:
                self._tell_reduced(market, taker, quantity)
            return taker.remaining == 0
        if mode in ("expire_maker", "expire_both"):
            self.expire_resting(market, makers, maker, legs)
        return mode in ("expire_taker", "expire_both")

    def expire_resting(self, market: Market, side: BookSide, order: Order, legs: list[Leg]) -> None:
        """End a resting order because of self-trade prevention."""
        side.remove(order)
        self._release(order, order.hold, legs)
        self._forget(order)
        self._tell_expired(market, order, order.remaining)

    def decrement(self, market: Market, side: BookSide, order: Order, quantity: int, legs: list[Leg]) -> None:
        """Take ``quantity`` off a resting order because of self-trade prevention."""
        order.quantity -= quantity
        side.fill(order, quantity)
        self._release(order, order.hold - (market.needed_hold(order) if order.remaining else 0), legs)
        if order.remaining:
            self._tell_reduced(market, order, quantity)
        else:
            self._forget(order)
            self._tell_expired(market, order, 0)

    def _release(self, order: Order, amount: int, legs: list[Leg]) -> None:
        trader = order.trader
        order.hold -= amount
        legs.append((trader.credit if order.is_buy else order.base, amount, -amount))
        if order.market.pledges is not None:
            order.market.pledges.shrink(order, legs)

    def _tell_reduced(self, market: Market, order: Order, quantity: int) -> None:
        self._context.emit(
            order.trader.agent,
            OrderReduced(
                order_id=order.order_id,
                market=market.market_id,
                quantity=quantity,
                remaining=order.remaining,
                client_order_id=order.client_order_id,
            ),
        )

    def _tell_expired(self, market: Market, order: Order, remaining: int) -> None:
        self._context.emit(
            order.trader.agent,
            OrderExpired(
                order_id=order.order_id,
                market=market.market_id,
                remaining=remaining,
                reason="self_trade",
                client_order_id=order.client_order_id,
            ),
        )


def fillable(market: Market, taker: Order, limit: int, time_us: int, effects_max: int) -> bool:
    """Return whether a fill-or-kill order would trade in full, by walking the book as matching would.

    Counted is only what it may really trade: not its owner's orders, nothing outside the band, no
    more fills than one command may cause. Icebergs refresh at the end of their price's queue.
    """
    band = market.band(time_us)
    makers = market.asks if taker.is_buy else market.bids
    walk = _Walk(taker.remaining, effects_max)
    price: int | None = None
    for maker in makers.orders():
        if maker.price != price:
            if not walk.finish_price():
                break
            price = maker.price
            if not crosses(taker, limit, price) or (band is not None and not band[0] <= price <= band[1]):
                break
        if maker.trader.owner == taker.trader.owner and taker.self_trade != "none":
            if taker.self_trade != "expire_maker" or not walk.skip():
                return False
            continue
        if not walk.take(maker.shown, maker.remaining - maker.shown, maker.display):
            break
    else:
        walk.finish_price()
    return walk.left == 0


class _Walk:
    """Count what a taker would get, price by price; methods return whether it goes on."""

    __slots__ = ("_again", "_effects_left", "left")

    def __init__(self, quantity: int, effects_max: int) -> None:
        self.left = quantity
        self._effects_left = effects_max
        self._again: deque[tuple[int, int]] = deque()

    def skip(self) -> bool:
        """Count an order that expires as an effect."""
        self._effects_left -= 1
        return self._effects_left > 0

    def take(self, shown: int, hidden: int, display: int) -> bool:
        if self._effects_left == 0:
            return False
        self._effects_left -= 1
        self.left = max(self.left - shown, 0)
        if hidden:
            self._again.append((hidden, display))
        return self.left > 0

    def finish_price(self) -> bool:
        while self._again and self.left:
            hidden, display = self._again.popleft()
            shown = min(hidden, display)
            if not self.take(shown, hidden - shown, display):
                break
        return self.left > 0 and self._effects_left > 0

"""Move a market between its phases: open, auction, cancel_only, halted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.mechanisms.orders.auction import clearing_price
from exchange.mechanisms.orders.guards import Violation
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.ledger import Leg
    from exchange.mechanisms.facts import MarketStateOrdered
    from exchange.mechanisms.orders.market import Market
    from exchange.mechanisms.orders.mechanism import Orders
    from exchange.mechanisms.orders.order import Order
    from exchange.messages.orders import Phase

__all__ = ["Phases"]

_SECOND_US = 1_000_000


class Phases:
    """Halt markets and open them by call auction."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def check_entry(self, market: Market, *, needs_trade: bool) -> Violation | None:
        """Return why an order may not enter a market that is not open; ``needs_trade``: it cannot wait."""
        if market.phase == "halted":
            return Violation(Reason.MARKET_HALTED, f"market {market.market_id} is halted")
        if market.phase == "cancel_only":
            return Violation(Reason.MARKET_CANCEL_ONLY, f"market {market.market_id} takes cancels only")
        if needs_trade:
            return Violation(
                Reason.MARKET_IN_AUCTION,
                f"market {market.market_id} collects orders for an auction until {market.phase_until_us}",
            )
        return None

    def order_state(self, fact: MarketStateOrdered) -> None:
        """Do what an operator ordered."""
        market = self._orders.markets[fact.market]
        scope = f"market:{fact.market}"
        if fact.state == "halted":
            self._orders.context.deadlines.stop(scope)
        else:
            self._orders.context.deadlines.work(scope)
        if fact.state != "open":
            self._enter(market, fact.state)
        elif self._orders.context.venue_state != "open":
            # Nothing may trade yet: what crosses does so when the venue is open again.
            self.call_auction(market, max(fact.auction_seconds, 1))
        elif fact.auction_seconds:
            self.call_auction(market, fact.auction_seconds)
        else:
            self._uncross(market)

    def halt_for_band(self, market: Market) -> None:
        """Stop trading because an order reached the edge of the price band; an auction reopens it."""
        self.call_auction(market, market.terms.halt_seconds)

    def call_auction(self, market: Market, seconds: int) -> None:
        """Collect orders for some seconds, then open at one price."""
        self._enter(market, "auction")
        self._end_at(market, self._orders.context.time_us + seconds * _SECOND_US)

    def end_auction(self, market_id: str) -> None:
        """Trade what crosses at the uniform price and open the market; fires as a deadline."""
        market = self._orders.markets[market_id]
        market.phase_deadline = 0
        if self._orders.context.venue_state == "open":
            self._uncross(market)
        else:
            # Nothing trades while the venue does not; the auction goes on collecting.
            self._end_at(market, self._orders.context.time_us + _SECOND_US)

    def _enter(self, market: Market, phase: Phase) -> None:
        context = self._orders.context
        if market.phase_deadline:
            context.deadlines.cancel(market.phase_deadline)
            market.phase_deadline = 0
        market.phase = phase
        market.phase_until_us = market.auction_price = None
        context.touched[market] = None

    def _end_at(self, market: Market, time_us: int) -> None:
        market.phase_until_us = time_us
        market.phase_deadline = self._orders.context.deadlines.schedule(time_us, "orders.end_auction", market.market_id)

    def _uncross(self, market: Market) -> None:
        """Trade one step of the auction; open when nothing crosses any more."""
        price = market.auction_price
        if price is None:
            market.reference_price = market.reference(self._orders.context.time_us)
            price = clearing_price(market)
        if price is None:
            self._open(market)
            return
        finished = self._trade_step(market, price)
        if finished and not market.is_crossed():
            self._open(market)
            return
        # More than one command may do, or self-trade prevention took out what was to trade: nobody
        # may enter in between, and the next step follows at once.
        self._enter(market, "halted")
        market.auction_price = None if finished else price
        self._end_at(market, self._orders.context.time_us + 1)

    def _open(self, market: Market) -> None:
        self._enter(market, "open")
        if len(market.stops) and market.last_price is not None:
            market.triggered.extend(market.stops.take(market.last_price))
        self._orders.queue_triggered(market)

    def _trade_step(self, market: Market, price: int) -> bool:
        """Trade at ``price`` up to the cap of one command; return whether nothing is left to trade there."""
        context, matcher = self._orders.context, self._orders.matcher
        legs: list[Leg] = []
        finished = False
        for _ in range(context.settings.max_fills_per_command):
            bid, ask = market.bids.best(), market.asks.best()
            if bid is None or ask is None or bid.price < price or ask.price > price:
                finished = True
                break
            newer = bid if bid.order_id > ask.order_id else ask
            if bid.trader.owner == ask.trader.owner and newer.self_trade != "none":
                self._prevent_self_trade(market, newer, ask if newer is bid else bid, legs)
                continue
            matcher.trade_at_auction(market, bid, ask, price, min(bid.shown, ask.shown), legs)
            market.reference_price = price
            market.reference_time_us = context.time_us
        if legs:
            context.ledger.post(legs)
        return finished

    def _prevent_self_trade(self, market: Market, newer: Order, older: Order, legs: list[Leg]) -> None:
        """Treat the newer of two orders of one owner as the taker: its mode decides."""
        matcher = self._orders.matcher
        mode = newer.self_trade
        if mode == "decrement":
            quantity = min(newer.shown, older.shown)
            for order in (newer, older):
                matcher.decrement(market, market.side_of(order), order, quantity, legs)
            return
        if mode in ("expire_taker", "expire_both"):
            matcher.expire_resting(market, market.side_of(newer), newer, legs)
        if mode in ("expire_maker", "expire_both"):
            matcher.expire_resting(market, market.side_of(older), older, legs)

"""Run one trader over the exchange: hear the market, ask the strategy, place and amend its one order."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Final

from agent_sdk import ExchangeError, Gap, OrderFilled, OutcomeUnknown, Rejected
from exchange.demo.resilient import follow, insist, settle
from exchange.demo.strategies import MarketState, Shout, make_strategy
from exchange.demo.wire import Fill

if TYPE_CHECKING:
    from agent_sdk import Agent, AnyEvent, Bbo, Trade
    from exchange.demo.audit_trail import AuditTrail
    from exchange.demo.wire import Setup, TraderSpec

__all__ = ["Trader"]

_PAUSE_S: Final = 0.1


class Trader:
    """Trade one unit per period as the strategy says.

    At most one order of one unit is open at any time, and none is placed before it is certain what
    became of the one before: so nobody can trade more than one unit in a period, whatever fails.
    """

    def __init__(self, agent: Agent, spec: TraderSpec, setup: Setup, acks_us: list[int], trail: AuditTrail) -> None:
        self.spec = spec
        self.fills: list[Fill] = []
        self._agent = agent
        self._market = setup.market
        self._pause_s = 1 / setup.turns_per_s
        # Strategy and pace draw from generators of their own: then the one does not shift the other.
        self._pace = Random(f"{spec.seed}/pace")
        strategy_rng = Random(f"{spec.seed}/strategy")
        self._strategy = make_strategy(spec.strategy, spec.side, spec.limit, strategy_rng, setup.price_max)
        self._acks_us = acks_us
        self._trail = trail
        self._bid: int | None = None
        self._ask: int | None = None
        self._order_id: int | None = None
        self._price: int | None = None
        self._seq = 0
        self._heard = asyncio.Event()
        self._sees_market = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stopping.set()

    # ── what it hears ───────────────────────────────────────────────────────────────────────────

    async def listen(self) -> None:
        """Follow the market and the trader's own events for as long as the connection is open."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follow(lambda: self._agent.bbo(self._market), self._on_bbo))
            tasks.create_task(follow(lambda: self._agent.trades(self._market), self._on_trade))
            tasks.create_task(follow(lambda: self._agent.events(self._seq), self._on_event))

    async def sees_market(self) -> None:
        """Wait for the first prices, which may be none at all."""
        await self._sees_market.wait()

    def _on_bbo(self, bbo: Bbo) -> None:
        self._bid = None if bbo.bid is None else int(bbo.bid.price)
        self._ask = None if bbo.ask is None else int(bbo.ask.price)
        self._sees_market.set()

    def _on_trade(self, trade: Trade) -> None:
        if trade.taker_side is not None and not self._stopping.is_set():
            self._strategy.observe(Shout.of_trade(int(trade.price), trade.taker_side))

    def _on_event(self, event: AnyEvent) -> None:
        self._trail.event(self.spec.agent, event)
        if isinstance(event, Gap):
            self._seq = event.account.event_seq
        else:
            self._seq = event.seq
            if isinstance(event, OrderFilled):
                self.fills.append(Fill(event.trade_id, int(event.price)))
                self._traded()
        self._heard.set()

    async def _hear_up_to(self, seq: int) -> None:
        while self._seq < seq:
            self._heard.clear()
            await self._heard.wait()

    def _traded(self) -> None:
        """Take the unit off the strategy: the reply and the event both tell, whichever comes first."""
        self._order_id = self._price = None
        if self._strategy.active:
            self._strategy.filled()

    # ── what it does ────────────────────────────────────────────────────────────────────────────

    async def trade(self) -> None:
        """Trade through one period, until ``stop``; then leave nothing open and know of all fills."""
        self.fills = []
        self._strategy.new_period()
        self._stopping.clear()
        while not await self._rest():
            await self._turn()
        while True:
            try:
                await insist(self._agent, lambda: self._agent.cancel_all(self._market))
            except Rejected:
                await asyncio.sleep(_PAUSE_S)
            await self._reconcile()
            if self._order_id is None:
                return

    def stop(self) -> None:
        """End the period: the turn under way is the last."""
        self._stopping.set()

    async def _rest(self) -> bool:
        """Wait for the next turn, which comes at random; return whether the period ended instead."""
        try:
            async with asyncio.timeout(self._pace.expovariate(1) * self._pause_s):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True

    async def _turn(self) -> None:
        """Look at the standing shouts, and quote anew if the strategy wants another price."""
        if self._bid is not None:
            self._strategy.observe(Shout("buy", self._bid))
        if self._ask is not None:
            self._strategy.observe(Shout("sell", self._ask))
        price = self._strategy.quote(MarketState(self._bid, self._ask, self._price))
        if price is None or price == self._price:
            return
        try:
            await self._quote(price)
        except OutcomeUnknown as unknown:
            with contextlib.suppress(Rejected):  # certain, too
                await settle(self._agent, unknown)
            await self._reconcile()
        except Rejected:
            # Mostly an amendment of an order that was filled meanwhile.
            await self._reconcile()
        except ExchangeError:
            await asyncio.sleep(_PAUSE_S)
            await self._reconcile()

    async def _quote(self, price: int) -> None:
        """Place the order, or move it, and note how long the venue took to answer."""
        started = perf_counter()
        try:
            if self._order_id is None:
                order = await self._agent.place(self._market, self.spec.side, 1, price)
            else:
                order = await self._agent.amend(self._order_id, price=price)
        except Rejected:
            self._acks_us.append(round((perf_counter() - started) * 1_000_000))
            raise
        self._acks_us.append(round((perf_counter() - started) * 1_000_000))
        if order.is_live:
            self._order_id, self._price = order.id, price
        else:
            self._traded()

    async def _reconcile(self) -> None:
        """Ask how the account stands, and hear all that led there."""
        account = await insist(self._agent, self._agent.account)
        if account is None:
            return
        await self._hear_up_to(account.event_seq)
        live = [order for order in account.orders if order.market == self._market]
        self._order_id = live[0].id if live else None
        self._price = int(live[0].price) if live and live[0].price is not None else None

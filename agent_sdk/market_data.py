"""Follow public market data: the best prices, whole books, trades.

Messages of one channel are chained by ``prev``; a break in the chain, a new epoch, a reconnect, or a
heartbeat that knows of more makes the feed ask the venue for what it missed. Books and best prices
are conflated: a slow reader sees the latest, not every one. Trades are delivered one by one.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import msgspec

from agent_sdk.errors import ConnectionFailed, ExchangeError, PermissionDenied
from agent_sdk.models import Bbo, Book, Trade
from agent_sdk.session import Listener
from exchange.messages.base import SUBJECT_PREFIX, Result
from exchange.messages.orders import (
    BboMessage,
    BookMessage,
    BookResult,
    GetBook,
    ListTrades,
    MarketDataMessage,
    TradesMessage,
    TradesResult,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from agent_sdk.markets import Catalog, Terms
    from agent_sdk.session import Connection
    from exchange.messages.orders import Trade as WireTrade
    from exchange.messages.venue import Heartbeat

__all__ = ["BboFeed", "BookFeed", "BookState", "TradesFeed"]

_MARKET: Final = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
_WHOLE_BOOK: Final = 1_000
_BUFFERED_MESSAGES_MAX: Final = 10_000
_BUFFERED_TRADES_MAX: Final = 10_000
_TRADES_PAGE: Final = 1_000

ItemT = TypeVar("ItemT")
MessageT = TypeVar("MessageT", bound=MarketDataMessage)
ResultT = TypeVar("ResultT", bound=Result)


class _Feed(Listener, Generic[MessageT, ResultT, ItemT]):
    """Share what all channels have: subscription, chain, waking up, asking again."""

    channel: str
    _decode: Callable[[bytes], MessageT]

    def __init__(self, connection: Connection, catalog: Catalog, market: str) -> None:
        if not _MARKET.fullmatch(market):
            message = f"{market!r} is no market name"
            raise ValueError(message)
        self._connection = connection
        self._catalog = catalog
        self._market = market
        self._wake = asyncio.Event()
        self._is_behind = True
        self._is_fetching = False
        self._waiting: deque[MessageT] = deque()
        self._epoch = 0
        self._seq = 0
        self._expected_seq = 0
        self._error: PermissionDenied | None = None

    @property
    def _subject(self) -> str:
        return f"{SUBJECT_PREFIX}.md.{self._market}.{self.channel}"

    # ── what comes in ───────────────────────────────────────────────────────────────────────────

    def _on_message(self, _subject: str, payload: bytes) -> None:
        try:
            message = self._decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.on_resync()
            return
        self._connection.clock.observe(message.venue_time_us)
        if self._is_fetching:
            self._wait_with(message)
        else:
            self._accept(message)
        self._wake.set()

    def _wait_with(self, message: MessageT) -> None:
        """Keep a message until the answer is here that it may have to go on top of."""
        if len(self._waiting) >= _BUFFERED_MESSAGES_MAX:
            self._waiting.clear()  # the chain breaks here, and everything is asked for again
        self._waiting.append(message)

    def _accept(self, message: MessageT) -> None:
        if message.epoch < self._epoch or message.seq <= self._seq:
            return  # from a leader that was replaced, or known already
        is_chained = message.epoch == self._epoch and message.prev <= self._seq
        if self._take_in(message, is_chained=is_chained):
            self._epoch, self._seq = message.epoch, message.seq
        else:
            self._is_behind = True

    def _take_in(self, message: MessageT, *, is_chained: bool) -> bool:
        """Apply a message, or return False when something before it is missing."""
        raise NotImplementedError

    def on_resync(self) -> None:
        """Ask again: something may have been missed."""
        self._is_behind = True
        self._wake.set()

    def on_incarnation(self) -> None:
        """Start over."""
        self._epoch = self._seq = self._expected_seq = 0
        self.on_resync()

    def on_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Ask again when the venue knew of more a heartbeat ago than has come since."""
        if 0 < self._seq < self._expected_seq:
            self.on_resync()
        self._expected_seq = max(self._expected_seq, heartbeat.channels.get(f"{self._market}.{self.channel}", 0))

    def on_denied(self, error: PermissionDenied) -> None:
        """End when the agent may not hear this channel."""
        if error.subject.lower() == self._subject.lower():
            self._error = error
            self._wake.set()

    def on_closed(self) -> None:
        """End with the connection."""
        self._wake.set()

    # ── what goes out ───────────────────────────────────────────────────────────────────────────

    async def __aiter__(self) -> AsyncIterator[ItemT]:
        """Yield until the connection is closed."""
        terms = await self._catalog.terms(self._market)
        self._connection.listeners.append(self)
        unsubscribe = await self._connection.transport.subscribe(self._subject, self._on_message)
        pause_s = 0.1
        try:
            while not self._connection.is_closed:
                if self._error is not None:
                    raise self._error
                if self._is_behind:
                    try:
                        await self._catch_up()
                        pause_s = 0.1
                    except (ConnectionFailed, PermissionDenied):
                        if self._connection.is_closed:
                            return
                        raise
                    except ExchangeError:
                        await asyncio.sleep(pause_s * self._connection.chance.spread(0.5, 1.5))
                        pause_s = min(pause_s * 2, 2.0)
                        continue
                for item in self._items(terms):
                    yield item
                if not self._is_behind:
                    await self._wake.wait()
                    self._wake.clear()
        finally:
            self._connection.listeners.remove(self)
            await unsubscribe()

    async def _catch_up(self) -> None:
        """Ask for the present state and put on top what came meanwhile."""
        self._is_behind = False
        self._is_fetching = True
        try:
            result = await self._fetch()
            if result.index >= self._seq:
                self._restart(result)
                self._seq = result.index
                self._epoch = max(self._epoch, self._connection.epoch)
        except BaseException:
            self._is_behind = True
            raise
        finally:
            self._is_fetching = False
            waiting, self._waiting = self._waiting, deque()
            for message in waiting:
                self._accept(message)

    async def _fetch(self) -> ResultT:
        raise NotImplementedError

    def _restart(self, result: ResultT) -> None:
        raise NotImplementedError

    def _items(self, terms: Terms) -> Iterable[ItemT]:
        raise NotImplementedError


class BboFeed(_Feed[BboMessage, BookResult, Bbo]):
    """Follow the best bid and ask. Every message is whole, so only the last one can be missing."""

    channel = "bbo"
    _decode = msgspec.json.Decoder(BboMessage).decode

    def __init__(self, connection: Connection, catalog: Catalog, market: str) -> None:
        super().__init__(connection, catalog, market)
        self._update: tuple[int, int, tuple[int, int] | None, tuple[int, int] | None, str] | None = None

    def _take_in(self, message: BboMessage, *, is_chained: bool) -> bool:  # noqa: ARG002 - whole in any case
        bid = None if message.bid is None else (message.bid, message.bid_quantity)
        ask = None if message.ask is None else (message.ask, message.ask_quantity)
        self._update = (message.seq, message.venue_time_us, bid, ask, message.phase)
        return True

    async def _fetch(self) -> BookResult:
        return await self._connection.query(GetBook(market=self._market, depth=1), BookResult)

    def _restart(self, result: BookResult) -> None:
        bid = result.bids[0] if result.bids else None
        ask = result.asks[0] if result.asks else None
        self._update = (result.index, result.venue_time_us, bid, ask, result.phase)

    def _items(self, terms: Terms) -> Iterable[Bbo]:
        update, self._update = self._update, None
        if update is None:
            return
        index, time_us, bid, ask, phase = update
        yield Bbo(
            market=self._market,
            index=index,
            venue_time_us=time_us,
            bid=None if bid is None else terms.level(bid),
            ask=None if ask is None else terms.level(ask),
            phase=phase,
        )


class BookState:
    """Hold the levels of one book in smallest units.

    Where a snapshot was cut at its depth, levels beyond the cut are unknown and changes to them are
    left out.
    """

    def __init__(self) -> None:
        self._sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._cuts: tuple[int | None, int | None] = (None, None)

    @property
    def is_thin(self) -> bool:
        """Whether a side was cut and has lost half of its levels since."""
        pairs = zip(self._sides, self._cuts, strict=True)
        return any(cut is not None and len(side) < _WHOLE_BOOK // 2 for side, cut in pairs)

    def replace(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]], depth: int | None) -> None:
        """Know exactly these levels; a side of ``depth`` levels was cut there."""
        self._sides = (dict(bids), dict(asks))
        self._cuts = (
            bids[-1][0] if depth is not None and len(bids) >= depth else None,
            asks[-1][0] if depth is not None and len(asks) >= depth else None,
        )

    def change(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
        """Set or (quantity 0) remove levels."""
        bid_cut, ask_cut = self._cuts
        for price, quantity in bids:
            if bid_cut is None or price >= bid_cut:
                _set_level(self._sides[0], price, quantity)
        for price, quantity in asks:
            if ask_cut is None or price <= ask_cut:
                _set_level(self._sides[1], price, quantity)

    def best(self, depth: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return the best levels of each side, the best first."""
        bids, asks = self._sides
        return sorted(bids.items(), reverse=True)[:depth], sorted(asks.items())[:depth]


def _set_level(side: dict[int, int], price: int, quantity: int) -> None:
    if quantity:
        side[price] = quantity
    else:
        side.pop(price, None)


class BookFeed(_Feed[BookMessage, BookResult, Book]):
    """Follow a whole book."""

    channel = "book"
    _decode = msgspec.json.Decoder(BookMessage).decode

    def __init__(self, connection: Connection, catalog: Catalog, market: str, depth: int) -> None:
        super().__init__(connection, catalog, market)
        if not 1 <= depth <= _WHOLE_BOOK:
            message = f"depth {depth} is out of range: 1 to {_WHOLE_BOOK} levels"
            raise ValueError(message)
        self._depth = depth
        self._state = BookState()
        self._has_changed = False
        self._time_us = 0

    def _take_in(self, message: BookMessage, *, is_chained: bool) -> bool:
        if message.snapshot:
            self._state.replace(message.bids, message.asks, None)
        elif is_chained:
            self._state.change(message.bids, message.asks)
            self._is_behind = self._is_behind or self._state.is_thin
        else:
            return False
        self._has_changed = True
        self._time_us = message.venue_time_us
        return True

    async def _fetch(self) -> BookResult:
        return await self._connection.query(GetBook(market=self._market, depth=_WHOLE_BOOK), BookResult)

    def _restart(self, result: BookResult) -> None:
        self._state.replace(result.bids, result.asks, _WHOLE_BOOK)
        self._has_changed = True
        self._time_us = result.venue_time_us

    def _items(self, terms: Terms) -> Iterable[Book]:
        if not self._has_changed:
            return
        self._has_changed = False
        bids, asks = self._state.best(self._depth)
        yield Book(
            market=self._market,
            index=self._seq,
            venue_time_us=self._time_us,
            bids=tuple([terms.level(level) for level in bids]),
            asks=tuple([terms.level(level) for level in asks]),
        )


class TradesFeed(_Feed[TradesMessage, TradesResult, Trade]):
    """Follow the trades of a market after one of them, or from now on, each once and in order."""

    channel = "trades"
    _decode = msgspec.json.Decoder(TradesMessage).decode

    def __init__(self, connection: Connection, catalog: Catalog, market: str, after: int | None = None) -> None:
        super().__init__(connection, catalog, market)
        self._ready: deque[tuple[WireTrade, bool]] = deque()
        self._last_id = after
        self._is_overrun = False

    def _take_in(self, message: TradesMessage, *, is_chained: bool) -> bool:
        if self._last_id is None or not is_chained:
            return False
        self._add(message.trades, gap=False)
        return True

    def _add(self, trades: list[WireTrade], *, gap: bool) -> None:
        for trade in trades:
            if trade.trade_id <= (self._last_id or 0):
                continue
            if len(self._ready) >= _BUFFERED_TRADES_MAX:
                self._ready.popleft()
                self._is_overrun = True
            self._ready.append((trade, gap))
            self._last_id = trade.trade_id
            gap = False

    async def _fetch(self) -> TradesResult:
        return await self._connection.query(ListTrades(market=self._market, limit=_TRADES_PAGE), TradesResult)

    def _restart(self, result: TradesResult) -> None:
        trades = result.trades
        if self._last_id is None:
            self._last_id = trades[-1].trade_id if trades else 0
            return
        # If not even the oldest one is known, there were more between.
        has_gap = len(trades) >= _TRADES_PAGE and trades[0].trade_id > self._last_id
        self._add(trades, gap=has_gap)

    def on_incarnation(self) -> None:
        """Start over from the newest trade of the restored venue."""
        self._last_id = None
        super().on_incarnation()

    def _items(self, terms: Terms) -> Iterable[Trade]:
        while self._ready:
            trade, gap = self._ready.popleft()
            overrun, self._is_overrun = self._is_overrun, False
            yield terms.trade(trade, gap_before=gap or overrun)

"""Make market data: per batch and channel one message, each naming the one before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from exchange.messages.base import SUBJECT_PREFIX
from exchange.messages.orders import BboMessage, BookMessage, Trade, TradesMessage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exchange.engine import Outputs
    from exchange.mechanisms.orders.market import Market

__all__ = ["MarketData"]

_SNAPSHOT_LEVELS: Final = 1_000
"""The first book message of an epoch shows so many levels of each side."""

_CHANNELS_PER_HEARTBEAT: Final = 1_000

_encode = msgspec.json.Encoder().encode


class MarketData:
    """Build the public messages of one epoch; ``seq`` is the journal index of the batch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self._latest: dict[str, int] = {}
        self._bbo: dict[str, tuple[object, ...]] = {}
        self._moved: dict[str, int] = {}

    def begin(self, markets: Iterable[Market], index: int, time_us: int) -> list[tuple[str, bytes]]:
        """Open the epoch: a full snapshot of every channel."""
        messages: list[tuple[str, bytes]] = []
        for market in markets:
            messages.extend(self._publish_market(market, index, time_us))
        return messages

    def collect(self, outputs: Outputs, index: int, time_us: int) -> list[tuple[str, bytes]]:
        """Return the subjects and messages that a batch brings forth."""
        messages: list[tuple[str, bytes]] = []
        for market in outputs.markets:
            messages.extend(self._publish_market(market, index, time_us))
        if outputs.trades:
            by_market: dict[str, list[Trade]] = {}
            for trade in outputs.trades:
                by_market.setdefault(trade.market, []).append(trade)
            for market_id, trades in by_market.items():
                channel = f"{market_id}.trades"
                message = TradesMessage(
                    epoch=self.epoch, seq=index, prev=self._advance(channel, index), market=market_id,
                    venue_time_us=time_us, trades=trades,
                )  # fmt: skip
                messages.append((f"{SUBJECT_PREFIX}.md.{channel}", _encode(message)))
        return messages

    def discard(self, outputs: Outputs) -> None:
        """Forget what a replayed batch touched: nobody is told about it."""
        for market in outputs.markets:
            market.bids.touched.clear()
            market.asks.touched.clear()

    def heartbeat_channels(self) -> Mapping[str, int]:
        """Return the channels that moved since the last heartbeat, at most 1,000, the rest next time."""
        moved = list(self._moved.items())
        self._moved = dict(moved[_CHANNELS_PER_HEARTBEAT:])
        return dict(moved[:_CHANNELS_PER_HEARTBEAT])

    def _advance(self, channel: str, index: int) -> int:
        previous = self._latest.get(channel, 0)
        self._latest[channel] = self._moved[channel] = index
        return previous

    def _publish_market(self, market: Market, index: int, time_us: int) -> list[tuple[str, bytes]]:
        messages: list[tuple[str, bytes]] = []
        market_id = market.market_id
        bids, asks = market.bids, market.asks
        bid, ask = bids.best_price, asks.best_price
        bid_quantity = 0 if bid is None else bids.displayed(bid)
        ask_quantity = 0 if ask is None else asks.displayed(ask)
        best = (market.phase, bid, bid_quantity, ask, ask_quantity)
        if self._bbo.get(market_id) != best:
            self._bbo[market_id] = best
            channel = f"{market_id}.bbo"
            bbo = BboMessage(
                epoch=self.epoch, seq=index, prev=self._advance(channel, index), market=market_id,
                venue_time_us=time_us, phase=market.phase, bid=bid, bid_quantity=bid_quantity, ask=ask,
                ask_quantity=ask_quantity,
            )  # fmt: skip
            messages.append((f"{SUBJECT_PREFIX}.md.{channel}", _encode(bbo)))
        channel = f"{market_id}.book"
        if channel not in self._latest:
            snapshot = True
            bid_levels, ask_levels = bids.depth(_SNAPSHOT_LEVELS), asks.depth(_SNAPSHOT_LEVELS)
        else:
            snapshot = False
            bid_levels = [(price, bids.displayed(price)) for price in bids.touched]
            ask_levels = [(price, asks.displayed(price)) for price in asks.touched]
        bids.touched.clear()
        asks.touched.clear()
        if snapshot or bid_levels or ask_levels:
            book = BookMessage(
                epoch=self.epoch, seq=index, prev=self._advance(channel, index), market=market_id,
                venue_time_us=time_us, snapshot=snapshot, bids=bid_levels, asks=ask_levels,
            )  # fmt: skip
            messages.append((f"{SUBJECT_PREFIX}.md.{channel}", _encode(book)))
        return messages

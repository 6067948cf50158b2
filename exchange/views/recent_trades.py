"""Keep the most recent trades of each market."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exchange.messages.orders import Trade

__all__ = ["RecentTrades"]

_KEPT: Final = 1_000


class RecentTrades:
    """Hold the last 1,000 trades per market."""

    def __init__(self) -> None:
        self._trades: dict[str, deque[Trade]] = {}

    def fold(self, trades: Iterable[Trade]) -> None:
        """Take in the trades of a batch."""
        for trade in trades:
            kept = self._trades.get(trade.market)
            if kept is None:
                kept = self._trades[trade.market] = deque(maxlen=_KEPT)
            kept.append(trade)

    def dump(self) -> list[Trade]:
        """Return what is held, for snapshots."""
        return [trade for kept in self._trades.values() for trade in kept]

    def latest(self, market: str, count: int) -> list[Trade]:
        """Return up to ``count`` trades of a market, the newest last."""
        kept = self._trades.get(market, deque())
        return list(islice(kept, max(len(kept) - count, 0), None))

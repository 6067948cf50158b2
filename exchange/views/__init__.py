"""Read models, folded from what the engine puts out; rebuilt by replay, never written to."""

from __future__ import annotations

from exchange.views.market_data import MarketData
from exchange.views.recent_events import RecentEvents
from exchange.views.recent_trades import RecentTrades

__all__ = ["MarketData", "RecentEvents", "RecentTrades"]

"""Show an experiment while it runs: live on terminals, line by line elsewhere, not at all for programs."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field
from statistics import quantiles
from time import monotonic
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from exchange.demo.report import PeriodReport, PricePlot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rich.console import Console

    from agent_sdk import Bbo, Trade
    from exchange.demo.smith import Schedule

__all__ = ["Board", "percentile_ms", "show"]

_REFRESH_S: Final = 0.125
_WINDOW_S: Final = 2.0
_RECENT_ACKS: Final = 2_000


def percentile_ms(acks_us: list[int] | deque[int], percent: int) -> float | None:
    """Return a percentile of microseconds in milliseconds; None of nothing."""
    if not acks_us:
        return None
    if len(acks_us) == 1:
        return acks_us[0] / 1_000
    return quantiles(acks_us, n=100, method="inclusive")[percent - 1] / 1_000


@dataclass
class Board:
    """Collect what is worth seeing of the market, and what the report is made of."""

    schedule: Schedule
    periods: int
    heading: str
    period: int = 0
    ends_at_s: float = 0.0
    bid: int | None = None
    ask: int | None = None
    last: int | None = None
    prices: list[list[int]] = field(default_factory=list)
    acks_us: list[int] = field(default_factory=list)
    recent_us: deque[int] = field(default_factory=lambda: deque[int](maxlen=_RECENT_ACKS))
    _arrivals: deque[tuple[float, int]] = field(default_factory=deque)

    def begin(self, period: int, seconds: float) -> None:
        """Turn to a period."""
        self.period = period
        self.ends_at_s = monotonic() + seconds
        self.prices.append([])

    def on_bbo(self, bbo: Bbo) -> None:
        """Take in the best prices."""
        self.bid = None if bbo.bid is None else int(bbo.bid.price)
        self.ask = None if bbo.ask is None else int(bbo.ask.price)

    def on_trade(self, trade: Trade) -> None:
        """Take in a trade."""
        self.last = int(trade.price)
        if self.prices:
            self.prices[-1].append(self.last)

    def on_acks(self, acks_us: list[int]) -> None:
        """Take in acknowledged orders."""
        self.acks_us += acks_us
        self.recent_us.extend(acks_us)
        now = monotonic()
        self._arrivals.append((now, len(acks_us)))
        while self._arrivals[0][0] < now - _WINDOW_S:
            self._arrivals.popleft()

    @property
    def orders_per_s(self) -> float:
        """The rate over the last two seconds."""
        since = monotonic() - _WINDOW_S
        return sum(count for at, count in self._arrivals if at >= since) / _WINDOW_S

    def __rich__(self) -> Group:
        """Render the moment: figures above, prices below."""
        table = Table(box=None, pad_edge=False)
        figures = {
            "period": f"{self.period} of {self.periods}",
            "time left": f"{max(self.ends_at_s - monotonic(), 0):.1f} s",
            "bid": _price(self.bid),
            "ask": _price(self.ask),
            "last": _price(self.last),
            "trades": str(sum(map(len, self.prices))),
            "orders/s": f"{self.orders_per_s:,.0f}",
            "ack p50 ms": _ms(percentile_ms(self.recent_us, 50)),
            "ack p99 ms": _ms(percentile_ms(self.recent_us, 99)),
        }
        for name in figures:
            table.add_column(name, justify="right", min_width=len(name))
        table.add_row(*figures.values())
        periods = tuple(
            PeriodReport(number, tuple(prices), None, 0.0, None, 0.0) for number, prices in enumerate(self.prices, 1)
        )
        plot = PricePlot(periods, self.schedule.equilibrium_price)
        return Group(Text(self.heading, style="bold"), "", table, "", plot)


@contextlib.asynccontextmanager
async def show(board: Board, console: Console) -> AsyncIterator[None]:
    """Show the board for the length of the block, if the console is a terminal."""
    if not console.is_terminal:
        yield
        return
    # Rendered from the event loop, not from a thread that would see the board half changed.
    with Live(board, console=console, auto_refresh=False, transient=True) as live:
        refreshing = asyncio.create_task(_refresh(live), name="live-display")
        try:
            yield
        finally:
            refreshing.cancel()
            await asyncio.gather(refreshing, return_exceptions=True)


async def _refresh(live: Live) -> None:
    while True:
        live.refresh()
        await asyncio.sleep(_REFRESH_S)


def _price(price: int | None) -> str:
    return "-" if price is None else str(price)


def _ms(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.2f}"

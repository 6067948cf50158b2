"""``exchange watch``: the book and the trades of a market, live."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from datetime import UTC, datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.columns import Columns
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

from exchange.cli._asking import ForSeconds
from exchange.cli._output import Json, console, print_json
from exchange.cli._venue import Venue

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sdk import Agent, Book, Trade

__all__ = ["watch"]

_FRAMES_PER_S: Final = 10
_TRADES_SHOWN: Final = 20


def watch(
    market: str,
    /,
    *,
    depth: Annotated[int, Parameter(validator=Number(gte=1, lte=1_000))] = 10,
    seconds: ForSeconds = None,
    venue: Venue | None = None,
    json: Json = False,
) -> None:
    """Show a market's book and trades as they change, until Ctrl-C.

    With --json every update is a line of its own, of type `book` or `trade`.

    Parameters
    ----------
    market
        Name of the market.
    depth
        How many price levels of each side (default: 10).
    seconds
        Stop after so many seconds (default: never).
    """
    asyncio.run(_watch(venue or Venue(), market, depth, seconds, json))


async def _watch(venue: Venue, market: str, depth: int, seconds: float | None, json: bool) -> None:
    async with venue.connect() as agent:
        await agent.market(market)
        screen = _Screen(market, depth)
        screen.trades.extend(await agent.recent_trades(market, _TRADES_SHOWN))
        after = screen.trades[-1].id if screen.trades else 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if json:
                    await _follow(agent, market, depth, after, _print_book, _print_trade)
                else:
                    with Live(get_renderable=screen.render, console=console(), refresh_per_second=_FRAMES_PER_S):
                        await _follow(agent, market, depth, after, screen.show_book, screen.trades.append)
        if not json and not sys.stdout.isatty():
            # rich ends the last picture with a new line on terminals only.
            sys.stdout.write("\n")


async def _follow(
    agent: Agent,
    market: str,
    depth: int,
    after: int,
    on_book: Callable[[Book], None],
    on_trade: Callable[[Trade], None],
) -> None:
    """Hand on updates until the connection is closed."""

    async def books() -> None:
        async for book in agent.books(market, depth):
            on_book(book)

    async def trades() -> None:
        async for trade in agent.trades(market, after):
            on_trade(trade)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(books())
            group.create_task(trades())
    except ExceptionGroup as group_error:
        # One feed's failure is what the user has to hear of.
        raise group_error.exceptions[0] from None


def _print_book(book: Book) -> None:
    levels: dict[str, Any] = {
        "bids": [[level.price, level.quantity] for level in book.bids],
        "asks": [[level.price, level.quantity] for level in book.asks],
    }
    print_json(
        {
            "type": "book",
            "market": book.market,
            "index": book.index,
            "venue_time_us": book.venue_time_us,
            **levels,
        }
    )


def _print_trade(trade: Trade) -> None:
    print_json({"type": "trade", **msgspec.to_builtins(trade)})


class _Screen:
    """Hold what is shown, and lay it out."""

    def __init__(self, market: str, depth: int) -> None:
        self.market = market
        self.depth = depth
        self.book: Book | None = None
        self.trades: deque[Trade] = deque(maxlen=_TRADES_SHOWN)

    def show_book(self, book: Book) -> None:
        """Show this book from now on."""
        self.book = book

    def render(self) -> Columns:
        """Return the picture of the moment."""
        return Columns([Panel(self._book(), title=self.market), Panel(self._trades(), title="trades")])

    def _book(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for name, style in (("quantity", ""), ("bid", "green"), ("ask", "red"), ("quantity", "")):
            table.add_column(name, style=style, justify="right", min_width=10)
        bids, asks = (self.book.bids, self.book.asks) if self.book is not None else ((), ())
        for bid, ask in zip_longest(bids, asks):
            table.add_row(
                *((f"{bid.quantity:f}", f"{bid.price:f}") if bid is not None else ("", "")),
                *((f"{ask.price:f}", f"{ask.quantity:f}") if ask is not None else ("", "")),
            )
        for _ in range(self.depth - table.row_count):
            table.add_row()
        return table

    def _trades(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for name in ("time", "price", "quantity"):
            table.add_column(name, justify="right")
        for trade in list(self.trades)[: -self.depth - 1 : -1]:
            time = datetime.fromtimestamp(trade.venue_time_us / 1e6, UTC)
            style = {"buy": "green", "sell": "red"}.get(trade.taker_side or "")
            table.add_row(f"{time:%H:%M:%S.%f}"[:-3], f"{trade.price:f}", f"{trade.quantity:f}", style=style)
        for _ in range(self.depth - table.row_count):
            table.add_row()
        return table

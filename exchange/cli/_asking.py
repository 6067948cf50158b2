"""Ask a venue for what it knows, and show numbers, times and what is missing alike everywhere."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from exchange.cli._output import CliError, print_json, print_pairs, print_table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from agent_sdk import Agent
    from exchange.cli._venue import Venue

__all__ = ["ask", "print_all", "print_one", "when"]

T = TypeVar("T")


def ask(venue: Venue | None, question: Callable[[Agent], Awaitable[T]], missing: str = "") -> T:
    """Return what the SDK answers; ``missing`` is what to say where there is no such thing.

    Raises:
        CliError: there is no such thing.
    """
    from exchange.cli._venue import Venue as AnyVenue

    return asyncio.run(_ask(venue or AnyVenue(), question, missing))


async def _ask(venue: Venue, question: Callable[[Agent], Awaitable[T]], missing: str) -> T:
    from agent_sdk import NotFound

    async with venue.connect() as agent:
        try:
            return await question(agent)
        except NotFound as error:
            raise CliError(missing or str(error)) from None


def when(time_us: int | None) -> str | None:
    """Return a time for people."""
    return None if time_us is None else f"{datetime.fromtimestamp(time_us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"


def print_one(thing: object, json: bool, pairs: Iterable[tuple[str, object]]) -> None:
    """Print one thing: all of it as JSON, or what people want to know; what is absent is left out."""
    if json:
        print_json(msgspec.to_builtins(thing))
    else:
        print_pairs([(name, value) for name, value in pairs if value not in (None, "", ())])


def print_all(
    things: Sequence[Any], json: bool, columns: Sequence[str], row: Callable[[Any], Sequence[object]], *, empty: str
) -> None:
    """Print things: all of each as JSON, or as a table."""
    if json:
        print_json(msgspec.to_builtins(list(things)))
    else:
        print_table(columns, [row(thing) for thing in things], empty=empty)

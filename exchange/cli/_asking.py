"""Ask a venue for what it knows, and show numbers, times and what is missing alike everywhere."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from exchange.cli._output import CliError, print_json, print_pairs, print_table, say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from agent_sdk import Agent
    from exchange.cli._venue import Venue

__all__ = ["ForSeconds", "ask", "follow", "print_all", "print_done", "print_one", "when"]

T = TypeVar("T")

ForSeconds = Annotated[float | None, Parameter(validator=Number(gt=0))]
"""How long to follow something; as long as it takes where it is None."""

_LOOK_S: Final = 0.5


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


def follow(
    venue: Venue | None,
    get: Callable[[Agent], Awaitable[T]],
    line: Callable[[T], str],
    final: Sequence[str],
    *,
    seconds: float | None,
    json: bool,
    missing: str,
) -> None:
    """Tell every change of one thing until its ``state`` is final, or ``seconds`` have passed.

    It looks: only those who have a part in something hear its events, but everybody may see it.

    Raises:
        CliError: there is no such thing.
    """

    async def look(agent: Agent) -> None:
        shown: T | None = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while shown is None or shown.state not in final:  # type: ignore[attr-defined]
                    found = await get(agent)
                    if found == shown:
                        await asyncio.sleep(_LOOK_S)
                        continue
                    shown = found
                    if json:
                        print_json(msgspec.to_builtins(found))
                    else:
                        say(line(found))

    ask(venue, look, missing)


def when(time_us: int | None) -> str | None:
    """Return a time for people."""
    return None if time_us is None else f"{datetime.fromtimestamp(time_us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"


def print_done(thing: object, json: bool, *said: str) -> None:
    """Print what a command has come to: all of it as JSON, or in sentences, a line each."""
    if json:
        print_json(msgspec.to_builtins(thing))
        return
    for line in said:
        say(line)


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

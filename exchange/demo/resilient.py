"""Go on through whatever happens to the venue: repeat what was not done, settle what is unknown.

Nothing here gives up by itself: whoever calls sets the time-out.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from agent_sdk import (
    CredentialsError,
    ExchangeError,
    OutcomeForgotten,
    OutcomeUnknown,
    PermissionDenied,
    Rejected,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from agent_sdk import Agent

__all__ = ["follow", "insist", "settle"]

T = TypeVar("T")

_PAUSE_S: Final = 0.1
_HOPELESS: Final = (CredentialsError, PermissionDenied)


async def insist(agent: Agent, give: Callable[[], Awaitable[T]]) -> T | None:
    """Give a command, or ask a query, again and again until it was done exactly once.

    Return its answer, or None when it was done but the answer was lost.

    Raises:
        Rejected: a rule of the venue said no.
        CredentialsError, PermissionDenied: trying again will not help.
    """
    while True:
        try:
            return await give()
        except OutcomeUnknown as unknown:
            if await settle(agent, unknown):
                return None
        except (Rejected, *_HOPELESS):
            raise
        except ExchangeError:
            pass  # the venue is away, and nothing was done
        await asyncio.sleep(_PAUSE_S)


async def settle(agent: Agent, unknown: OutcomeUnknown) -> bool:
    """Find out whether a command was executed, and wait until that is certain.

    Raises:
        Rejected: it arrived, and a rule of the venue said no.
        CredentialsError, PermissionDenied: trying again will not help.
    """
    while True:
        try:
            settled = await agent.outcome(unknown.id, unknown.valid_until_us)
        except OutcomeForgotten:
            return True
        except _HOPELESS:
            raise
        except ExchangeError:
            await asyncio.sleep(_PAUSE_S)
            continue
        if settled.state == "rejected":
            raise Rejected(settled.reason or "", settled.detail or "", unknown.id)
        return settled.state == "accepted"


async def follow(feed: Callable[[], AsyncIterator[T]], take: Callable[[T], None]) -> None:
    """Hand every item of a feed on, and open it anew when it breaks off.

    Raises:
        CredentialsError, PermissionDenied: opening it again will not help.
    """
    while True:
        try:
            async for item in feed():
                take(item)
        except _HOPELESS:
            raise
        except ExchangeError:
            pass  # the venue is away
        await asyncio.sleep(_PAUSE_S)

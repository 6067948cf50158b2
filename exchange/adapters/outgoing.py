"""Decide what may leave a daemon, and when. No I/O of its own.

Whatever carries the messages (a NATS connection, the memory of a simulation) is a subclass that
publishes them.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Outgoing"]

_REFUSALS_MAX: Final = 20_000


class Outgoing(ABC):
    """Send what may leave. A lost connection loses messages; those who wait for them ask again.

    ``may_refuse`` returns once a refusal may leave.
    """

    def __init__(self, may_refuse: Callable[[], Awaitable[None]]) -> None:
        self._may_refuse = may_refuse
        self._refusals: deque[tuple[str, bytes]] = deque(maxlen=_REFUSALS_MAX)
        self._wake = asyncio.Event()
        self._is_silent = False
        self.lost = 0
        """How many messages could not be sent."""

    @abstractmethod
    async def _publish(self, messages: list[tuple[str, bytes]]) -> int:
        """Publish messages in order, in this very turn of the event loop; return how many could not be."""

    async def send(self, messages: list[tuple[str, bytes]]) -> None:
        """Publish messages in order."""
        if not self._is_silent:
            lost = await self._publish(messages)
            self.lost += lost

    def silence(self) -> None:
        """Let nothing leave any more: whoever leads now answers."""
        self._is_silent = True

    def refuse(self, subject: str, payload: bytes) -> None:
        """Queue a refusal; beyond 20,000 the oldest are given up."""
        self._refusals.append((subject, payload))
        self._wake.set()

    def forget_refusals(self) -> None:
        """Give up the refusals that wait: what they say of the venue may not be so any more."""
        self._refusals.clear()

    async def run(self) -> None:
        """Send refusals as they come, also while a batch waits for the journal."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._may_refuse()
            waiting = list(self._refusals)
            self._refusals.clear()
            await self.send(waiting)

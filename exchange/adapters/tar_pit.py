"""Slow down who floods: a nats-server holds a sender back while a subscriber of what it sends falls behind.

No setting of the server limits how much one connection sends, but it does not let a subscriber's buffer run full
without a fight: above three quarters of `max_pending` it stalls whoever fills it. So one connection subscribes to
what the flooders send, reads it at a rate that costs next to nothing, and throws it away unread. A flood of
millions of messages a second becomes some ten thousand, and the processor that it took is the others' again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

import structlog
from nats.errors import Error as NatsError

from exchange.adapters import bus
from exchange.messages.base import SUBJECT_PREFIX
from exchange.nats_client import NatsClient

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nats.aio.subscription import Subscription

    from exchange.tls import TlsFiles

__all__ = ["TarPit"]

_BYTES_PER_S: Final = 10_000_000
_BEHIND_S: Final = 0.5
_FOREVER: Final = 2**31

log = structlog.get_logger(__name__)


class _Swallow:
    """Take the place of nats-py's parser: read slowly, and look at nothing."""

    def __init__(self) -> None:
        self._due_s = 0.0

    async def parse(self, data: bytes) -> None:
        """Let as much time pass as the bytes are worth.

        What a busy machine makes too long is made up for: the server would cut off who falls behind for good.
        """
        now_s = time.monotonic()
        self._due_s = max(self._due_s, now_s - _BEHIND_S) + len(data) / _BYTES_PER_S
        await asyncio.sleep(max(self._due_s - now_s, 0))

    def reset(self) -> None:
        """Forget nothing: nothing was kept."""


class _Slow(NatsClient):
    """Connect like any client; from then on swallow what comes, the server's pings and errors included."""

    def __init__(self) -> None:
        super().__init__()
        self._ps = _Swallow()  # type: ignore[assignment]


class TarPit:
    """Hold the agents that flood; without any there is no connection."""

    def __init__(self, url: str, creds: Path, tls: TlsFiles) -> None:
        self._url = url
        self._tls = tls
        self._creds = creds
        self._client: _Slow | None = None
        self._held: dict[str, list[Subscription]] = {}

    async def hold(self, agents: Iterable[str]) -> None:
        """Hold these agents and let go of all others. It may fail without harm: then they are only faster."""
        wanted = dict.fromkeys(agents)
        if wanted.keys() == self._held.keys():
            return
        try:
            async with asyncio.timeout(5):
                await self._change(wanted)
        except (bus.BusError, NatsError, OSError, TimeoutError) as error:
            log.warning("who floods cannot be slowed down", error=repr(error))
            await self.close()

    async def close(self) -> None:
        """Let go of everybody."""
        client, self._client = self._client, None
        self._held.clear()
        if client is not None:
            with contextlib.suppress(Exception):
                await client.close()

    async def _change(self, wanted: dict[str, None]) -> None:
        if not wanted:
            await self.close()
            return
        if self._client is None:
            self._client = _Slow()
            # The server's answers to pings are swallowed, so nobody may wait for them.
            await bus.connect(
                self._url, self._creds, "gateway", client=self._client, outstanding_pings=_FOREVER, tls=self._tls
            )
        for agent in [name for name in self._held if name not in wanted]:
            for subscription in self._held.pop(agent):
                await subscription.unsubscribe()
        for agent in wanted:
            if agent not in self._held:
                self._held[agent] = [
                    await self._client.subscribe(f"{SUBJECT_PREFIX}.{kind}.{agent}.>") for kind in ("cmd", "query")
                ]

"""Connect to NATS: one client per purpose, rebuilt by nobody but nats-py, its callbacks never raising."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import nats
import structlog
from nats.errors import Error as NatsError
from nats.errors import SlowConsumerError

from exchange.messages.base import SUBJECT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nats.aio.client import Client
    from nats.aio.msg import Msg

__all__ = ["BusError", "Egress", "connect", "subscribe_commands", "subscribe_queries"]

_PING_S: Final = 2
_RECONNECT_S: Final = 0.25
_REFUSALS_MAX: Final = 20_000
_PENDING_MESSAGES: Final = 1_000_000
_PENDING_BYTES: Final = 512 * 1024 * 1024

log = structlog.get_logger(__name__)


class BusError(Exception):
    """Raised when the server cannot be reached or refuses the credential."""


async def connect(
    url: str,
    creds: Path,
    name: str,
    *,
    on_reconnect: Callable[[], None] = lambda: None,
    on_drop: Callable[[], None] = lambda: None,
) -> Client:
    """Connect one client.

    ``on_drop`` is called for every message that nats-py drops because it comes too fast.

    Raises:
        BusError: the server cannot be reached or refuses the credential.
    """

    # nats-py's read loop dies of a callback that raises; these only log.
    async def error_cb(error: Exception) -> None:
        if isinstance(error, SlowConsumerError):
            on_drop()
            return
        log.warning("bus error", client=name, error=repr(error))

    async def disconnected_cb() -> None:
        log.warning("bus disconnected", client=name)

    async def reconnected_cb() -> None:
        log.info("bus reconnected", client=name)
        on_reconnect()

    try:
        return await nats.connect(
            url,
            name=f"exchange-{name}",
            user_credentials=str(creds),
            inbox_prefix=f"_INBOX.{name}",
            error_cb=error_cb,
            disconnected_cb=disconnected_cb,
            reconnected_cb=reconnected_cb,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RECONNECT_S,
            connect_timeout=5,
            ping_interval=_PING_S,
            max_outstanding_pings=3,
            # What cannot leave now is repeated by who asked; nothing piles up.
            pending_size=0,
        )
    except (NatsError, OSError, TimeoutError) as error:
        message = f"cannot connect {name} to {url} with {creds}: {error or type(error).__name__}"
        raise BusError(message) from error


async def subscribe_commands(client: Client, receive: Callable[[str, str, bytes], None]) -> None:
    """Hand every command message to ``receive(subject, reply, payload)``."""
    await _subscribe(client, f"{SUBJECT_PREFIX}.cmd.>", receive)


async def subscribe_queries(client: Client, receive: Callable[[str, str, bytes], None]) -> None:
    """Hand every query to ``receive(subject, reply, payload)``."""
    await _subscribe(client, f"{SUBJECT_PREFIX}.query.>", receive)


async def _subscribe(client: Client, subject: str, receive: Callable[[str, str, bytes], None]) -> None:
    async def callback(msg: Msg) -> None:
        receive(msg.subject, msg.reply, msg.data)

    # Per-agent limits are the gateway's; these only keep a flood of all from eating the memory.
    await client.subscribe(
        subject, cb=callback, pending_msgs_limit=_PENDING_MESSAGES, pending_bytes_limit=_PENDING_BYTES
    )
    await client.flush()


class Egress:
    """Send what may leave. A lost connection loses messages; those who wait for them ask again."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._refusals: deque[tuple[str, bytes]] = deque(maxlen=_REFUSALS_MAX)
        self._wake = asyncio.Event()
        self.lost = 0
        """How many messages could not be sent."""

    async def send(self, messages: list[tuple[str, bytes]]) -> None:
        """Publish messages in order."""
        publish = self._client.publish
        for subject, payload in messages:
            try:
                await publish(subject, payload)
            except NatsError:
                self.lost += 1

    def refuse(self, subject: str, payload: bytes) -> None:
        """Queue a refusal; beyond 20,000 the oldest are given up."""
        self._refusals.append((subject, payload))
        self._wake.set()

    async def run(self) -> None:
        """Send refusals as they come, also while a batch waits for the journal."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiting = list(self._refusals)
            self._refusals.clear()
            await self.send(waiting)

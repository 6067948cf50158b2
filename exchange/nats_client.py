"""nats-py's client without what it leaves behind: for the daemon and the SDK alike."""

from __future__ import annotations

from typing import Any

from nats.aio.client import Client

__all__ = ["NatsClient"]


class NatsClient(Client):
    """Let go of a socket as soon as its connection is given up.

    nats-py 2.16 closes a connection that it gives up only when all that was written to it has left, which a frozen
    server or a broken network puts off for many minutes; and of an attempt that failed after the socket was open it
    leaves the socket to the garbage collector.
    """

    def _abort(self) -> None:
        for name in ("_io_writer", "_bare_io_writer"):
            writer = getattr(self._transport, name, None)
            if writer is not None:
                writer.transport.abort()

    async def _attempt_reconnect(self) -> None:
        self._abort()
        await super()._attempt_reconnect()

    async def _connect_to_server(self, s: Any) -> None:
        self._abort()
        await super()._connect_to_server(s)

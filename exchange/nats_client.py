"""nats-py's client without what it leaves behind: for the daemon and the SDK alike."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from nats.aio.client import Client
from nats.errors import Error as NatsError

__all__ = ["NatsClient"]

_CLOSE_S: Final = 2.0
_CANCEL_AGAIN_S: Final = 0.1


class NatsClient(Client):
    """Let go of a socket as soon as its connection is given up.

    nats-py 2.16 closes a connection that it gives up only when all that was written to it has left, which a frozen
    server or a broken network puts off for many minutes; and of an attempt that failed after the socket was open it
    leaves the socket to the garbage collector. ``is_cast_off`` says that the server ended it for good, because a
    credential expired, say: nats-py then closes the client, however often it may reconnect.
    """

    def __init__(self) -> None:
        super().__init__()
        self._was_closed_here = False

    @property
    def is_cast_off(self) -> bool:
        """Whether it is closed and nobody here closed it."""
        return self.is_closed and not self._was_closed_here

    async def flush(self, timeout: int = 10) -> None:  # noqa: ASYNC109 - as nats-py has it
        """Return once the server has taken in all that was published and subscribed before.

        nats-py's ping overtakes what still waits to be written, and so comes back too early.
        """
        if self._pending and self._transport is not None and self.is_connected:
            self._transport.writelines(self._pending)
            self._pending = []
            self._pending_data_size = 0
        await super().flush(timeout)

    async def close(self) -> None:
        """Close it, within two seconds whatever the server does; this is what whoever uses it does."""
        self._was_closed_here = True
        try:
            async with asyncio.timeout(_CLOSE_S):
                await super().close()
        except TimeoutError:
            pass
        finally:
            # What had to leave has left; of a handshake that failed nobody else closes the socket.
            self._abort()
            await self._end_tasks()

    async def _end_tasks(self) -> None:
        """End what it still runs: nats-py's reconnection can miss that it is cancelled, and begin new tasks."""
        while running := [task for task in self._tasks() if not task.done()]:
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=_CANCEL_AGAIN_S)
            self._abort()
        self._status = Client.CLOSED

    def _tasks(self) -> list[asyncio.Task[None]]:
        tasks = (self._reconnection_task, self._reading_task, self._ping_interval_task, self._flusher_task)
        return [task for task in tasks if task is not None and task is not asyncio.current_task()]

    async def _close(self, status: int, do_cbs: bool = True) -> None:  # noqa: FBT001, FBT002 - as nats-py has it
        if not self._was_closed_here:
            # Nothing can be sent any more, and trying to would end this before the callbacks are called.
            self._pending.clear()
            self._pending_data_size = 0
            self._abort()
        await super()._close(status, do_cbs)

    def _abort(self) -> None:
        for name in ("_io_writer", "_bare_io_writer"):
            writer = getattr(self._transport, name, None)
            if writer is not None:
                writer.transport.abort()

    async def _process_info(
        self,
        info: dict[str, Any],
        initial_connection: bool = False,  # noqa: FBT001, FBT002 - as nats-py has it
    ) -> None:
        # nats-py would go on in the clear, whatever it was given: whoever sits in between need only say so.
        wants_tls = "tls" in self.options or any(server.uri.scheme == "tls" for server in self._server_pool)
        if initial_connection and wants_tls and not info.get("tls_required"):
            message = "nats: the server does not speak TLS, and this connection must be encrypted"
            raise NatsError(message)
        await super()._process_info(info, initial_connection)

    async def _attempt_reconnect(self) -> None:
        self._abort()
        await super()._attempt_reconnect()

    async def _connect_to_server(self, s: Any) -> None:
        self._abort()
        await super()._connect_to_server(s)

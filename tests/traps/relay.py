"""Stand between a client and a server, and be as unkind as a network can be."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Relay", "running_relay"]

Mode = Literal["pass", "end", "mute"]


class Relay:
    """Pass bytes on between clients and a server, or refuse to.

    ``mode`` says what happens to a connection that is made from now on: its bytes pass; it meets the end of the stream
    where the server's greeting should be; or it hears nothing. ``is_held`` keeps back what clients send meanwhile.
    """

    def __init__(self, target_port: int) -> None:
        self.mode: Mode = "pass"
        self.attempts = 0
        """How many connections were made."""
        self.port = 0
        self._target_port = target_port
        self._flows = asyncio.Event()
        self._flows.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._lost: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def hold(self) -> None:
        """Read no more of what clients send, until `release`."""
        self._flows.clear()

    def release(self) -> None:
        """Read on."""
        self._flows.set()

    def lose_goodbyes(self) -> None:
        """Let the clients that are connected now hear nothing of the end of their server, or anything else."""
        self._lost |= set(self._clients)

    def cut(self) -> None:
        """Cut every connection there is."""
        for writer in self._writers:
            writer.transport.abort()

    async def stop(self) -> None:
        """Cut everything and listen no more."""
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.attempts += 1
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError):
                await self._treat(reader, writer)
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _treat(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "pass":
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
            self._writers.add(server_writer)
            self._clients.add(writer)
            try:
                await asyncio.gather(self._pump(reader, server_writer, is_held=True), self._pump(server_reader, writer))
            finally:
                server_writer.transport.abort()
                self._writers.discard(server_writer)
                self._clients.discard(writer)
            return
        if self.mode == "end":
            writer.write_eof()
        # Until the client lets go.
        while await reader.read(65_536):
            pass

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_held: bool = False) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if is_held:
                    await self._flows.wait()
                writer.write(data)
                await writer.drain()
        if writer not in self._lost:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def running_relay(target_port: int) -> AsyncIterator[Relay]:
    """Run a relay for the length of the block."""
    relay = Relay(target_port)
    await relay.start()
    try:
        yield relay
    finally:
        await relay.stop()

"""Run a nats-server without credentials: what is tried here is the client."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import nats

from exchange.adapters.embedded_server import find_server
from tests.faults.venue_process import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nats.aio.client import Client

__all__ = ["PlainServer", "plain_client", "quiet", "running_server"]

_START_S = 15.0


class PlainServer:
    """Hold a nats-server with JetStream on a port that stays the same."""

    def __init__(self, directory: Path, settings: str = "") -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.process: asyncio.subprocess.Process | None = None
        self._config = directory / "plain.conf"
        self._log = directory / "plain.log"
        store = f'jetstream {{ store_dir: "{directory / "store"}" }}' if "jetstream" not in settings else ""
        self._config.write_text(f"listen: 127.0.0.1:{self.port}\n{store}\n{settings}\n")

    async def start(self) -> None:
        """Start it, and return when it listens."""
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                str(find_server()), "-c", str(self._config), stdout=log, stderr=log
            )
        async with asyncio.timeout(_START_S):
            while True:
                assert self.process.returncode is None, self._log.read_text()
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.transport.abort()
                    return
                await asyncio.sleep(0.01)

    async def kill(self) -> None:
        """Kill it, as a power cut would."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            async with asyncio.timeout(_START_S):
                await self.process.wait()


@contextlib.asynccontextmanager
async def running_server(directory: Path, settings: str = "") -> AsyncIterator[PlainServer]:
    """Run a server for the length of the block."""
    server = PlainServer(directory, settings)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


async def quiet(_error: Exception) -> None:
    """Hear of errors, which are what these tests are about."""


@contextlib.asynccontextmanager
async def plain_client(url: str, **options: Any) -> AsyncIterator[Client]:
    """Connect by nats-py as it is."""
    client = await nats.connect(url, **{"error_cb": quiet, **options})
    try:
        yield client
    finally:
        await client.close()

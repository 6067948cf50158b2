"""Three nats-servers that keep one journal, which tests kill one by one."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import nats
import nats.errors

from exchange.adapters.embedded_server import find_server
from exchange.adapters.journal import JOURNAL_STREAM
from exchange.adapters.venue_files import VenueFiles
from exchange.daemon.creation import create_venue
from tests.deploy.site import CLUSTER, environment, make_site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nats.aio.client import Client

__all__ = ["Cluster"]

_START_S = 30.0
_EXIT_S = 15.0


class Cluster:
    """Hold a cluster of the configurations in deploy/nats, and a venue on it whose journal all three keep."""

    def __init__(self, directory: Path) -> None:
        self.files = VenueFiles(directory / "venue")
        self.keyring = self.files.create_keyring()
        self._site = make_site(directory / "nats", self.keyring)
        self._environment = environment(self._site, len(CLUSTER))
        self._servers: dict[int, asyncio.subprocess.Process] = {}

    def url_of(self, number: int) -> str:
        """Return where one server listens; they count from 0."""
        return f"nats://127.0.0.1:{self._environment[number]['EXCHANGE_NATS_PORT']}"

    def store(self, number: int) -> Path:
        """Return the directory in which one server keeps its data."""
        return Path(self._environment[number]["EXCHANGE_NATS_STORE"])

    @property
    def url(self) -> str:
        """Return where all of them listen."""
        return ",".join(self.url_of(number) for number in range(len(CLUSTER)))

    async def start(self) -> None:
        """Start all servers and create the venue."""
        for number in range(len(CLUSTER)):
            await self.start_one(number)
        async with asyncio.timeout(_START_S):
            while True:
                try:
                    async with self.journal() as client:
                        await create_venue(client, replicas=len(CLUSTER))
                        return
                except (OSError, nats.errors.Error):
                    # Not up yet, or still electing.
                    await asyncio.sleep(0.1)

    async def start_one(self, number: int) -> None:
        """Start one server, and return at once."""
        with (self._site.directory / f"{number}.log").open("ab") as log:
            self._servers[number] = await asyncio.create_subprocess_exec(
                str(find_server()), "--config", str(self._site.directory / CLUSTER[number]),
                env=self._environment[number], stdout=log, stderr=log,
            )  # fmt: skip

    async def kill_one(self, number: int) -> None:
        """Kill one server."""
        server = self._servers.pop(number)
        with contextlib.suppress(ProcessLookupError):
            server.kill()
        await asyncio.wait_for(server.wait(), _EXIT_S)

    async def stop(self) -> None:
        """Kill what runs."""
        for number in list(self._servers):
            await self.kill_one(number)

    async def leader_of_the_journal(self) -> int:
        """Return the number of the server that leads the journal's stream, waiting until there is one."""
        async with asyncio.timeout(_START_S):
            while True:
                try:
                    async with self.journal() as client:
                        info = await client.jetstream(timeout=1).stream_info(JOURNAL_STREAM)
                    if info.cluster is not None and info.cluster.leader:
                        return int(info.cluster.leader.rpartition("-")[2]) - 1
                except (OSError, nats.errors.Error):
                    await asyncio.sleep(0.1)

    async def all_current(self) -> None:
        """Wait until every server has the whole journal, so that any one may be lost again."""
        async with asyncio.timeout(_START_S):
            while True:
                try:
                    async with self.journal() as client:
                        info = await client.jetstream(timeout=1).stream_info(JOURNAL_STREAM)
                    replicas = (info.cluster and info.cluster.replicas) or []
                    if len(replicas) == len(CLUSTER) - 1 and all(peer.current for peer in replicas):
                        return
                except (OSError, nats.errors.Error):
                    pass
                await asyncio.sleep(0.1)

    @contextlib.asynccontextmanager
    async def journal(self) -> AsyncIterator[Client]:
        """Connect to the journal's account."""

        async def ignore(_: Exception) -> None:
            """Wait for the next attempt."""

        client = await nats.connect(
            [self.url_of(number) for number in range(len(CLUSTER))],
            user_credentials=str(self.keyring.journal_creds_path),
            inbox_prefix="_INBOX.journal",
            error_cb=ignore,
            max_reconnect_attempts=2,
            reconnect_time_wait=0.05,
        )
        try:
            yield client
        finally:
            await client.close()

"""Read a journal from outside the daemon and tell, record by record, what was done for whom."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import nats

from exchange.adapters.credentials import Keyring
from exchange.adapters.embedded_server import EmbeddedServer
from exchange.adapters.high_water import HighWaterFile
from exchange.adapters.journal import Journal
from exchange.adapters.records import decode_record
from exchange.daemon import Host
from exchange.daemon.host import decode_batch
from exchange.engine import Engine
from exchange.messages import event_union

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nats.aio.client import Client

    from exchange.adapters.archive import Archive
    from exchange.adapters.venue_files import VenueFiles
    from exchange.messages.base import Command

__all__ = ["Handled", "Replay", "journal_client", "stopped_venue"]

_decode_events = msgspec.json.Decoder(list[event_union()]).decode


@contextlib.asynccontextmanager
async def journal_client(url: str, files: VenueFiles) -> AsyncIterator[Client]:
    """Connect to the journal's account of a server that runs."""
    creds = str(Keyring.load(files.keys).journal_creds_path)
    client = await nats.connect(url, user_credentials=creds, inbox_prefix="_INBOX.journal", allow_reconnect=False)
    try:
        yield client
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def stopped_venue(files: VenueFiles) -> AsyncIterator[str]:
    """Serve the journal of a venue whose daemon is stopped; yield the URL."""
    server = EmbeddedServer(files.nats, Keyring.load(files.keys))
    await server.start()
    try:
        yield server.url
    finally:
        await server.stop()


class Handled(NamedTuple):
    """Say in which record, of which epoch, a command was executed or turned down."""

    command: Command
    index: int
    epoch: int


class Replay:
    """Apply the records of a journal, each once, however often and from wherever more of them are read."""

    def __init__(self) -> None:
        self.host = Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0)
        # The host proves the records and keeps what they bring forth to itself, so they are applied here, too.
        self.engine = Engine()
        self.last = 0
        """The index of the last record."""
        self.began_us: dict[int, int] = {}
        """The venue time of the first record of every epoch."""
        self.commands: dict[tuple[str, str], Handled] = {}
        """Every command by agent and command id, as it came first."""
        self.outcomes: dict[tuple[str, str], set[bytes]] = {}
        """The different outcomes of all copies of a command."""
        self.events: dict[str, list[Any]] = {}
        """The events of every agent, in order, as messages of the wire."""

    async def read(self, client: Client) -> None:
        """Read on, up to the end that the journal has now.

        Raises:
            JournalCorrupt: a record does not follow the last, or brought forth something else.
        """
        journal = Journal(client)
        await journal.open()
        async for _, body in journal.read(self.last + 1, await journal.last_index()):
            self.apply(body)

    def read_archive(self, archive: Archive) -> None:
        """Read on in what a journal was trimmed of."""
        for _, body in archive.read(self.last + 1):
            self.apply(body)

    def apply(self, body: bytes) -> None:
        """Apply the record that follows the last."""
        self.host.replay(body)
        record = decode_record(body)
        batch = decode_batch(record)
        outputs = self.engine.apply(batch)
        for (agent, command, _), outcome in zip(batch.submissions, outputs.outcomes, strict=True):
            self.commands.setdefault((agent, command.id), Handled(command, record.index, record.epoch))
            self.outcomes.setdefault((agent, command.id), set()).add(outcome)
        for agent, first, _, encoded in outputs.events:
            events = self.events.setdefault(agent, [])
            assert first == len(events) + 1
            events += _decode_events(encoded)
        self.last = record.index
        self.began_us.setdefault(record.epoch, record.time_us)

    def prove(self, files: VenueFiles) -> None:
        """Prove of a stopped venue that all it acknowledged is there, and that nothing was created or lost."""
        mark = HighWaterFile(files.high_water)
        try:
            high_water = mark.read()
        finally:
            mark.close()
        assert high_water is not None
        assert high_water[0] <= self.last
        assert self.last - high_water[0] <= 1, "the journal holds at most one record that nobody was told of"
        assert self.host.engine.check_invariants() == []
        assert self.host.engine.conservation_difference() == 0
        assert self.engine.state_hash() == self.host.engine.state_hash()

"""The journal against a real server: what it stores, what it does when the server does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

import nats
import pytest
from nats.js.api import StreamConfig
from nats.js.errors import APIError

from exchange.adapters import journal as journal_module
from exchange.adapters.credentials import Keyring
from exchange.adapters.embedded_server import EmbeddedServer
from exchange.adapters.fenced_log import NoAnswer
from exchange.adapters.journal import (
    JOURNAL_STREAM,
    JOURNAL_SUBJECT,
    Journal,
    JournalGap,
    JournalMissing,
    Replaced,
    create_stream,
)
from tests.daemon.support import freeze

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from nats.aio.client import Client

WAIT_S = 20.0


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    """Return the keyring of a new venue."""
    return Keyring.create(tmp_path_factory.mktemp("venue") / "keys")


@pytest.fixture
async def server(tmp_path: Path, keyring: Keyring) -> AsyncIterator[EmbeddedServer]:
    """Run a server with an empty store."""
    server = EmbeddedServer(tmp_path / "nats", keyring)
    await server.start()
    yield server
    await server.stop()


@contextlib.asynccontextmanager
async def journal_client(server: EmbeddedServer, keyring: Keyring) -> AsyncIterator[Client]:
    """Connect as the daemon does for its journal, but stay patient with a paused server."""

    async def ignore(_: Exception) -> None:
        """Leave it to the journal."""

    client = await nats.connect(
        server.url,
        user_credentials=str(keyring.journal_creds_path),
        inbox_prefix="_INBOX.journal",
        error_cb=ignore,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.1,
    )
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def client(server: EmbeddedServer, keyring: Keyring) -> AsyncIterator[Client]:
    """Connect to the server."""
    async with journal_client(server, keyring) as client:
        yield client


@pytest.fixture
async def journal(client: Client) -> Journal:
    """Return an open journal on a new stream."""
    await create_stream(client)
    journal = Journal(client)
    await journal.open()
    return journal


async def read_all(journal: Journal, first: int = 1) -> list[tuple[int, bytes]]:
    """Return all records from ``first`` on."""
    async with asyncio.timeout(WAIT_S):
        return [record async for record in journal.read(first, await journal.last_index())]


@contextlib.contextmanager
def paused(server: EmbeddedServer) -> Iterator[None]:
    """Stop the server's process for the length of the block: it takes what is sent, and says nothing."""
    assert server.pid is not None
    freeze(server.pid)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


class Stalls(list[bool]):
    """Note the calls of ``on_stall``, and let tests wait for one."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = asyncio.Event()

    def __call__(self, stalled: bool) -> None:
        """Note a call."""
        self.append(stalled)
        self.changed.set()

    async def wait(self) -> None:
        """Wait for the next call."""
        async with asyncio.timeout(WAIT_S):
            await self.changed.wait()
        self.changed.clear()


async def test_what_cannot_be_asked_for_is_not_missing(journal: Journal, client: Client) -> None:
    """A record is missing only if the journal was asked for it; a standby that lost its server follows on."""
    for index in (1, 2):
        await journal.append(index, b"record")
    reading = journal.read_on(1, 1)
    assert [record async for record in reading] == [(1, b"record")]
    await client.close()
    for _ in range(2):
        with pytest.raises(NoAnswer):
            await anext(journal.read(2, 2))


# ── the plain way ───────────────────────────────────────────────────────────────────────────────


async def test_the_stream_keeps_everything(client: Client) -> None:
    """The stream takes no new records when it is full, drops none, and lets nobody delete or roll up."""
    await create_stream(client)
    config = (await client.jetstream().stream_info(JOURNAL_STREAM)).config
    told: dict[str, Any] = config.as_dict()
    assert told["subjects"] == [JOURNAL_SUBJECT]
    assert (told["retention"], told["storage"], told["discard"]) == ("limits", "file", "new")
    assert (told["max_age"], told["max_msgs"], told["max_bytes"], told["max_msgs_per_subject"]) == (0, -1, -1, -1)
    assert told["deny_delete"] is True
    assert not told.get("allow_rollup_hdrs")
    assert not told.get("allow_direct")
    assert not told.get("mirror_direct")
    assert not told.get("allow_msg_ttl")
    assert not told.get("allow_msg_counter")
    assert not told.get("allow_msg_schedules")
    assert not told.get("sources")
    assert not told.get("republish")
    assert not told.get("no_ack")
    assert not told.get("sealed")
    assert told["max_msg_size"] >= 2 * 1024 * 1024
    await create_stream(client)
    stored = await client.jetstream().publish(JOURNAL_SUBJECT, b"x")
    with pytest.raises(APIError, match="message delete not permitted"):
        await client.jetstream().delete_msg(JOURNAL_STREAM, stored.seq)


async def test_records_are_read_back_as_written(journal: Journal) -> None:
    """What was appended is read back byte for byte, from anywhere, across several fetches."""
    bodies = [bytes([n % 256]) * (1 + 37 * n) for n in range(1, 201)]
    assert await journal.last_index() == 0
    assert await read_all(journal) == []
    for index, body in enumerate(bodies, 1):
        await journal.append(index, body)
    assert await journal.last_index() == 200
    assert await read_all(journal) == list(enumerate(bodies, 1))
    assert await read_all(journal, 150) == list(enumerate(bodies, 1))[149:]
    assert [record async for record in journal.read(64, 65)] == [(64, bodies[63]), (65, bodies[64])]
    assert [record async for record in journal.read(5, 4)] == []


async def test_a_large_record_is_stored(journal: Journal) -> None:
    """A record of two megabytes, more than any batch makes, is stored and read back."""
    body = os.urandom(2 * 1024 * 1024)
    await journal.append(1, body)
    assert await read_all(journal) == [(1, body)]


async def test_the_store_survives_its_server(tmp_path: Path, keyring: Keyring) -> None:
    """What was acknowledged is there after SIGKILL of the server."""
    server = EmbeddedServer(tmp_path / "nats", keyring)
    await server.start()
    try:
        async with journal_client(server, keyring) as client:
            await create_stream(client)
            journal = Journal(client)
            await journal.open()
            for index in range(1, 51):
                await journal.append(index, b"%d" % index)
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
    finally:
        await server.stop()
    server = EmbeddedServer(tmp_path / "nats", keyring)
    await server.start()
    try:
        async with journal_client(server, keyring) as client:
            journal = Journal(client)
            await journal.open()
            assert await read_all(journal) == [(index, b"%d" % index) for index in range(1, 51)]
            await journal.append(51, b"51")
    finally:
        await server.stop()


async def test_a_missing_stream_is_said(client: Client) -> None:
    """A server without a journal is told from one that does not answer."""
    with pytest.raises(JournalMissing, match="exchange init"):
        await Journal(client).open()


# ── the fence ───────────────────────────────────────────────────────────────────────────────────


async def test_another_leader_is_noticed(client: Client, journal: Journal) -> None:
    """Whoever wants to write a record that another leader wrote is told that it was replaced."""
    other = Journal(client)
    await other.open()
    await journal.append(1, b"genesis")
    await other.append(2, b"theirs")
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(Replaced, match="another leader wrote record 2"):
            await journal.append(2, b"mine")
    await other.append(3, b"theirs too")
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(Replaced, match="record 2"):
            await journal.append(2, b"mine")
    assert await read_all(other) == [(1, b"genesis"), (2, b"theirs"), (3, b"theirs too")]


async def test_the_same_record_again_is_success(client: Client, journal: Journal) -> None:
    """A repetition of what is stored, as after a lost acknowledgement, succeeds and stores nothing."""
    await journal.append(1, b"genesis")
    async with asyncio.timeout(WAIT_S):
        await journal.append(1, b"genesis")
        again = Journal(client)
        await again.open()
        await again.append(1, b"genesis")
    assert await read_all(journal) == [(1, b"genesis")]


async def test_a_journal_that_ends_early_stops_the_leader(journal: Journal) -> None:
    """A leader whose records are gone does not go on behind the gap."""
    await journal.append(1, b"genesis")
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(Replaced, match="does not continue at record 5"):
            await journal.append(5, b"later")
    assert await read_all(journal) == [(1, b"genesis")]


async def test_two_leaders_race_for_each_record(client: Client, journal: Journal) -> None:
    """When two write at the same moment, one stores its record and the other is replaced, every time."""
    other = Journal(client)
    await other.open()
    for index in range(1, 31):
        async with asyncio.timeout(WAIT_S):
            results = await asyncio.gather(
                journal.append(index, b"a%d" % index), other.append(index, b"b%d" % index), return_exceptions=True
            )
        assert [type(result) for result in results].count(Replaced) == 1, results
        winner = b"a%d" if results[0] is None else b"b%d"
        assert await read_all(journal, index) == [(index, winner % index)]


# ── outcomes that are not known ─────────────────────────────────────────────────────────────────


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the journal wait half a second for an acknowledgement, so that tests need not wait for five."""
    monkeypatch.setattr(journal_module, "_ACK_TIMEOUT_S", 0.5)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("pause_s", [0.2, 0.9, 6.0])
async def test_a_paused_server_stores_the_record_once(server: EmbeddedServer, client: Client, pause_s: float) -> None:
    """Whether or not the time-out passes meanwhile, ``append`` returns once the record is there, once.

    Only a longer silence makes it say that the journal stalls.
    """
    await create_stream(client)
    stalls = Stalls()
    journal = Journal(client, stalls)
    await journal.open()
    await journal.append(1, b"genesis")
    with paused(server):
        appending = asyncio.create_task(journal.append(2, b"paused"))
        done, _ = await asyncio.wait({appending}, timeout=pause_s)
        assert not done, "nothing is durable while the server stands still"
    async with asyncio.timeout(WAIT_S):
        await appending
    assert stalls == ([True, False] if pause_s > 5 else [])
    await journal.append(3, b"after")
    assert await read_all(journal) == [(1, b"genesis"), (2, b"paused"), (3, b"after")]


async def test_a_record_larger_than_the_server_takes_keeps_the_connection(client: Client, journal: Journal) -> None:
    """It is not sent, since the server would cut the connection for it; the journal says that it stalls."""
    assert await journal.last_index() == 0
    stalls = Stalls()
    journal = Journal(client, stalls)
    await journal.open()
    appending = asyncio.create_task(journal.append(1, bytes(client.max_payload + 1)))
    await stalls.wait()
    assert stalls == [True]
    assert client.is_connected
    assert await journal.last_index() == 0
    appending.cancel()
    await asyncio.wait({appending}, timeout=WAIT_S)


@pytest.mark.usefixtures("impatient")
async def test_late_acknowledgements_are_not_mistaken(server: EmbeddedServer, client: Client) -> None:
    """After many pauses each record stands once, in its place: no acknowledgement counts for another."""
    await create_stream(client)
    journal = Journal(client)
    await journal.open()
    for index in range(1, 7):
        with paused(server):
            appending = asyncio.create_task(journal.append(index, b"%d" % index))
            await asyncio.wait({appending}, timeout=0.3 * index % 1.4)
        async with asyncio.timeout(WAIT_S):
            await appending
    assert await read_all(journal) == [(index, b"%d" % index) for index in range(1, 7)]


@pytest.mark.usefixtures("impatient")
async def test_a_lost_acknowledgement_is_found_out(client: Client, journal: Journal) -> None:
    """When the record is stored and the acknowledgement is lost, it is read back and not written again."""

    class Deaf(Journal):
        """Hear no acknowledgement."""

        def _on_ack(self, _subject: str, _reply: str, _data: bytes) -> None:
            """Lose it."""

    deaf = Deaf(client)
    await deaf.open()
    async with asyncio.timeout(WAIT_S):
        await deaf.append(1, b"genesis")
        await deaf.append(2, b"second")
    assert await read_all(journal) == [(1, b"genesis"), (2, b"second")]


async def test_a_restarted_server_is_waited_for(tmp_path: Path, keyring: Keyring) -> None:
    """An append under way while the server is killed and comes back on its port succeeds, once."""
    first = EmbeddedServer(tmp_path / "nats", keyring)
    await first.start()
    port = int(first.url.rpartition(":")[2])
    second = EmbeddedServer(tmp_path / "nats", keyring, port=port)
    try:
        async with journal_client(first, keyring) as client:
            await create_stream(client)
            stalls = Stalls()
            journal = Journal(client, stalls)
            await journal.open()
            await journal.append(1, b"genesis")
            assert first.pid is not None
            os.kill(first.pid, signal.SIGKILL)
            appending = asyncio.create_task(journal.append(2, b"meanwhile"))
            await first.wait_closed()
            await first.stop()
            await second.start()
            async with asyncio.timeout(WAIT_S):
                await appending
                await journal.append(3, b"after")
            assert await read_all(journal) == [(1, b"genesis"), (2, b"meanwhile"), (3, b"after")]
    finally:
        await first.stop()
        await second.stop()


# ── no room ─────────────────────────────────────────────────────────────────────────────────────


async def set_max_bytes(client: Client, max_bytes: int) -> None:
    """Give the stream so much room."""
    context = client.jetstream()
    config = (await context.stream_info(JOURNAL_STREAM)).config
    config.max_bytes = max_bytes
    await context.update_stream(config)


async def test_a_full_store_holds_the_record_back(client: Client) -> None:
    """While there is no room the append waits and says so; once there is, it succeeds, once."""
    await create_stream(client)
    stalls = Stalls()
    journal = Journal(client, stalls)
    await journal.open()
    await journal.append(1, b"x" * 1_000)
    await set_max_bytes(client, 4_000)
    appending = asyncio.create_task(journal.append(2, b"y" * 10_000))
    await stalls.wait()
    assert stalls == [True]
    done, _ = await asyncio.wait({appending}, timeout=0.6)
    assert not done
    assert await journal.last_index() == 1
    await set_max_bytes(client, -1)
    async with asyncio.timeout(WAIT_S):
        await appending
        await journal.append(3, b"z")
    assert stalls == [True, False]
    assert await read_all(journal) == [(1, b"x" * 1_000), (2, b"y" * 10_000), (3, b"z")]


async def test_a_stalled_append_notices_a_new_leader(client: Client) -> None:
    """Whoever waits for room while another leader finds some is replaced."""
    await create_stream(client)
    stalls = Stalls()
    journal, other = Journal(client, stalls), Journal(client)
    await journal.open()
    await other.open()
    await journal.append(1, b"x")
    await set_max_bytes(client, 2_000)
    appending = asyncio.create_task(journal.append(2, b"y" * 5_000))
    await stalls.wait()
    await other.append(2, b"small")
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(Replaced, match="another leader wrote record 2"):
            await appending


# ── damage ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("missing", [1, 40, 70, 99])
async def test_a_gap_is_detected(client: Client, missing: int) -> None:
    """A record that is missing in the middle is noticed and named."""
    await client.jetstream().add_stream(StreamConfig(name=JOURNAL_STREAM, subjects=[JOURNAL_SUBJECT]))
    journal = Journal(client)
    await journal.open()
    for index in range(1, 101):
        await journal.append(index, b"%d" % index)
    await client.jetstream().delete_msg(JOURNAL_STREAM, missing)
    with pytest.raises(JournalGap, match=f"record {missing} is missing"):
        await read_all(journal)


@pytest.mark.parametrize("last", [99, 100])
async def test_a_lost_end_is_detected(client: Client, last: int) -> None:
    """A journal that ends before the record that is asked for is noticed, not waited for."""
    await client.jetstream().add_stream(StreamConfig(name=JOURNAL_STREAM, subjects=[JOURNAL_SUBJECT]))
    journal = Journal(client)
    await journal.open()
    for index in range(1, 101):
        await journal.append(index, b"%d" % index)
    for index in range(last, 101):
        await client.jetstream().delete_msg(JOURNAL_STREAM, index)
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(JournalGap, match=f"record {last} is missing"):
            _ = [record async for record in journal.read(1, 100)]


async def test_a_trimmed_start_is_detected(client: Client, journal: Journal) -> None:
    """Records that were purged from the start are noticed."""
    for index in range(1, 11):
        await journal.append(index, b"%d" % index)
    await client.jetstream().purge_stream(JOURNAL_STREAM, seq=5)
    with pytest.raises(JournalGap, match="record 1 is missing"):
        await read_all(journal)
    assert [index for index, _ in await read_all(journal, 5)] == [5, 6, 7, 8, 9, 10]

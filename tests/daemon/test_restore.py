"""A restore makes a venue of what is left, says what is lost, and begins an incarnation that agents notice."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from nats.js.errors import APIError

from agent_sdk import Agent, Gap, NotSent, OrderPlaced, OutcomeUnknown, connect
from exchange.adapters import bus
from exchange.adapters.archive import Archive
from exchange.adapters.credentials import Keyring
from exchange.adapters.embedded_server import EmbeddedServer
from exchange.adapters.fenced_log import NoAnswer
from exchange.adapters.journal import Journal, Replaced, create_stream, delete_stream
from exchange.adapters.records import encode_record
from exchange.adapters.snapshot_copies import SnapshotCopies
from exchange.adapters.snapshots import SnapshotStore
from exchange.adapters.venue_files import VenueFiles
from exchange.daemon import DaemonError
from exchange.daemon.creation import create_venue
from exchange.daemon.host import EPOCHS_SKIPPED
from exchange.daemon.restore import NothingLeft, Restore
from exchange.daemon.verify import Audit, audit_journal, read_high_water
from exchange.engine import Batch, Outputs
from tests.cli.program import Serving, run, run_json
from tests.daemon.support import WAIT_S, External, running_daemon, set_up_market, wait_until
from tests.daemon.test_snapshots import flip, snapshot_now, trade
from tests.daemon.test_trimming import journal, preserved, settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nats.aio.client import Client


@contextlib.asynccontextmanager
async def served(files: VenueFiles) -> AsyncIterator[Client]:
    """Serve the store of a stopped venue and connect to its journal."""
    keyring = Keyring.load(files.keys)
    server = EmbeddedServer(files.nats, keyring)
    await server.start()
    client = await bus.connect(server.url, keyring.journal_creds_path, "journal")
    try:
        yield client
    finally:
        await client.close()
        await server.stop()


async def audit(files: VenueFiles, archive: Archive | None = None) -> Audit:
    """Audit a stopped venue."""
    async with served(files) as client:
        log, copies = Journal(client), SnapshotCopies(client)
        await log.open()
        await copies.open()
        mark = read_high_water(files.high_water)
        store = SnapshotStore(files.snapshots)
        return await audit_journal(log, high_water=mark, snapshots=store, copies=copies, archive=archive)


async def restored(files: VenueFiles, **options: Any) -> tuple[Restore, int]:
    """Restore a stopped venue; return who did it, and the first record of the new incarnation."""
    async with served(files) as client:
        work = Restore(client, files, **options)
        await work.survey()
        return work, await work.begin()


async def start_fails(data: Path, **options: Any) -> str:
    """Return why a daemon does not start."""
    with pytest.raises(DaemonError) as raised:
        async with running_daemon(settings(data, **options)):
            pass
    return str(raised.value)


async def older_store(data: Path) -> int:
    """Run a venue, and put its server's store back to what it was some records ago; return the last of those."""
    files = VenueFiles(data)
    async with running_daemon(settings(data)) as setting:
        await set_up_market(setting, "alice", "bob")
        await trade(setting, 3)
        await snapshot_now(setting)
        await preserved(setting)
    shutil.copytree(files.nats, data / "older")
    async with running_daemon(settings(data)) as setting:
        await trade(setting, 3)
    shutil.rmtree(files.nats)
    (data / "older").rename(files.nats)
    async with served(files) as client:
        log = Journal(client)
        await log.open()
        return await log.last_index()


def test_what_is_lost_is_said_before_it_is_accepted(tmp_path: Path) -> None:
    """Without the flag nothing changes; with it the venue goes on as the next incarnation, and is proved."""
    data = tmp_path / "venue"
    last = asyncio.run(older_store(data))
    known = read_high_water(data / "high-water")
    assert known is not None
    for _ in range(2):
        said = asyncio.run(start_fails(data))
        assert "exchange restore" in said
        done = run("restore", "--data", data)
        assert done.returncode == 1
        assert f"records {last + 1} to {known[0]} ({known[0] - last}), as far as is known here" in done.stdout
        assert "nothing was changed" in done.stderr
        assert "--accept-loss" in done.stderr
    facts = run_json("restore", "--data", data, "--accept-loss")
    assert (facts["lost_from"], facts["lost_to"]) == (last + 1, known[0])
    assert (facts["incarnation"], facts["begun"]) == (2, last + 1)
    proved = run_json("verify", "--data", data)
    assert (proved["problems"], proved["started_after"], proved["records"]) == ([], 0, last + 1)
    assert proved["incarnation"] == 2
    with Serving(data):
        status = run_json("status", "--data", data)
        assert (status["incarnation"], status["epoch"]) == (2, EPOCHS_SKIPPED + 2)
        done = run("restore", "--data", data, "--accept-loss")
        assert done.returncode == 1
        assert "is in use" in done.stderr


async def test_a_lost_journal_is_begun_anew_behind_a_snapshot(tmp_path: Path) -> None:
    """Also when the restore is killed in its middle, and though a damaged snapshot is newer."""
    data = tmp_path / "venue"
    files = VenueFiles(data)
    async with running_daemon(settings(data)) as setting:
        await set_up_market(setting, "alice", "bob")
        await trade(setting, 3)
        first = await snapshot_now(setting)
        await trade(setting, 3)
        second = await snapshot_now(setting)
        heard = setting.engine.agents["bob"].seq
    shutil.rmtree(files.nats)
    flip(files.snapshots / f"{second}.snapshot")
    async with served(files) as client:
        survey = await Restore(client, files).survey()
    assert (survey.last, survey.keeps_journal) == (first, False)
    assert survey.known >= second
    assert any("keeps no journal" in note for note in survey.notes)
    assert any("do not have the hash" in note for note in survey.notes)
    # As if it had been killed before the mark was written, before the first record was, and before the stream was made.
    mark = files.high_water.read_bytes()
    for is_made in (True, False):
        await restored(files)
        files.high_water.write_bytes(mark)
        async with served(files) as client:
            await delete_stream(client)
            if is_made:
                await create_stream(client, first=first + 1)
    _, begun = await restored(files)
    assert begun == first + 1
    assert (data / "lost-1" / f"{second}.snapshot").exists()
    async with running_daemon(settings(data)) as setting:
        assert await journal(setting).first_index() == first + 1
        assert 0 < setting.engine.agents["bob"].seq < heard
        await trade(setting, 2)
    found = await audit(files)
    assert (found.problems, found.started_after, found.copies) == ([], first, 0)
    assert run("init", "--data", data).returncode == 0


async def test_records_after_a_damaged_one_are_put_aside(tmp_path: Path) -> None:
    """Good ones go to the archive, from which the whole history is proved; the others are kept as they are."""
    data = tmp_path / "venue"
    files = VenueFiles(data)
    async with running_daemon(settings(data)) as setting:
        await set_up_market(setting, "alice", "bob")
        await trade(setting, 2)
        last = setting.engine.index
    async with served(files) as client:
        log = Journal(client)
        await log.open()
        last = await log.last_index()
        lie = Batch(1, last + 1, time.time_ns() // 1_000, [])
        await log.append(last + 1, encode_record(lie, Outputs([], [], [], [], {}), b"x" * 32, 1))
        await log.append(last + 2, b"\xc1garbage")
    assert f"record {last + 1} does not chain" in await start_fails(data)
    work, begun = await restored(files)
    assert (begun, work.lost_directory()) == (last + 1, data / "lost-1")
    kept = (data / "lost-1" / f"{last + 1}-{last + 2}.journal").read_bytes()
    assert kept.endswith(msgspec.msgpack.encode((last + 2, b"\xc1garbage")))
    async with running_daemon(settings(data, archive=data / "archive")) as setting:
        await trade(setting, 1)
    found = await audit(files, Archive(data / "archive"))
    assert (found.problems, found.started_after, found.archived) == ([], 0, last)


def test_a_file_that_is_no_snapshot_is_named(tmp_path: Path) -> None:
    """Which file, and what is wrong with it; nothing is changed."""
    data, file = tmp_path / "venue", tmp_path / "some.file"
    run_json("init", "--data", data)
    file.write_bytes(b"x" * 100)
    done = run("restore", "--data", data, "--snapshot", file)
    assert done.returncode == 1
    assert f"{file} is no good snapshot: its 100 bytes" in done.stderr


async def test_a_backup_begins_an_incarnation_too(tmp_path: Path) -> None:
    """Nothing is known to be lost there, and agents must know all the same that time was turned back."""
    data = tmp_path / "venue"
    async with running_daemon(settings(data)) as setting:
        await set_up_market(setting, "alice", "bob")
    done = run("restore", "--data", data, "--accept-loss")
    assert done.returncode == 0, done.stderr
    assert "nothing that is known here; whatever was acknowledged after record" in done.stdout
    async with running_daemon(settings(data)) as setting:
        assert setting.daemon.host is not None
        assert setting.daemon.host.incarnation == 2
        await trade(setting, 1)


async def test_copies_of_the_lost_history_must_go(tmp_path: Path) -> None:
    """They have higher numbers, so a leader would keep them instead of its own: without that nothing is restored."""
    data = tmp_path / "venue"
    files = VenueFiles(data)
    async with running_daemon(settings(data)) as setting:
        await set_up_market(setting, "alice", "bob")
        index = await snapshot_now(setting)
        await preserved(setting)
        await trade(setting, 1)
    mark = files.high_water.read_bytes()
    async with served(files) as client:
        await SnapshotCopies(client).put(index + 1_000, files.snapshots / f"{index}.snapshot")
        stream = (await client.jetstream().stream_info("OBJ_SNAPSHOTS")).config
        await client.jetstream().update_stream(stream.evolve(sealed=True))
    with pytest.raises(APIError):
        await restored(files)
    assert files.high_water.read_bytes() == mark
    async with served(files) as client:
        await client.jetstream().delete_object_store("SNAPSHOTS")
    await restored(files)
    async with running_daemon(settings(data)) as setting:
        await trade(setting, 1)


class SlowJournal(Journal):
    """Stand for a server that takes too long to deliver: once, nothing comes."""

    calls = 0

    async def _fetch(self, first: int, count: int) -> list[tuple[int, bytes]]:
        self.calls += 1
        return [] if self.calls == 1 else await super()._fetch(first, count)


async def test_a_slow_or_silent_server_has_lost_nothing(tmp_path: Path) -> None:
    """What comes late is read; what cannot be asked for is no reason to go on without it."""
    data = tmp_path / "venue"
    files = VenueFiles(data)
    async with running_daemon(settings(data)) as setting:
        await set_up_market(setting, "alice")
    async with served(files) as client:
        work = Restore(client, files)
        work._journal = SlowJournal(client)
        survey = await work.survey()
        assert survey.journal is not None
        assert (survey.last, survey.lost, survey.notes) == (survey.journal[1], 0, [])
        assert survey.keeps_journal
        again = Restore(client, files)
        await again._look_at_journal()
        await client.close()
        with pytest.raises(NoAnswer):
            await again._replay(None)


async def test_nothing_left_is_said(tmp_path: Path) -> None:
    """Without genesis, snapshot and archive there is no venue to restore."""
    data = tmp_path / "venue"
    files = VenueFiles(data)
    async with running_daemon(settings(data)) as setting:
        await set_up_market(setting, "alice")
    shutil.rmtree(files.nats)
    async with served(files) as client:
        with pytest.raises(NothingLeft, match="neither a genesis nor a good snapshot: the server keeps no journal"):
            await Restore(client, files).survey()


async def test_an_archive_brings_back_what_a_trimmed_journal_cannot(tmp_path: Path) -> None:
    """With no snapshot at all, the state comes from the archive and the journal behind it, and nothing is lost."""
    data = tmp_path / "venue"
    files, archive = VenueFiles(data), Archive(tmp_path / "archive")
    async with running_daemon(settings(data, archive=archive.directory)) as setting:
        await set_up_market(setting, "alice", "bob")
        for _ in range(2):
            await trade(setting, 2)
            await snapshot_now(setting)
            await preserved(setting)
        assert await journal(setting).first_index() > 1
        await journal(setting)._context.delete_object_store("SNAPSHOTS")
    shutil.rmtree(files.snapshots)
    assert "set journal.archive to the directory" in await start_fails(data)
    async with served(files) as client:
        survey = await Restore(client, files, archive=archive).survey()
    assert (survey.start, survey.lost, survey.keeps_journal) == ("genesis", 0, True)
    await restored(files, archive=archive)
    async with running_daemon(settings(data)) as setting:
        await trade(setting, 1)
    assert (await audit(files, archive)).problems == []


async def test_an_archive_goes_on_where_an_older_journal_ends(tmp_path: Path) -> None:
    """A store of some time ago and no snapshots: what was archived since is not lost."""
    data = tmp_path / "venue"
    files, archive = VenueFiles(data), Archive(tmp_path / "archive")
    config = settings(data, archive=archive.directory)
    async with running_daemon(config) as setting:
        await set_up_market(setting, "alice", "bob")
    shutil.copytree(files.nats, data / "older")
    async with running_daemon(config) as setting:
        for _ in range(2):
            await trade(setting, 2)
            await snapshot_now(setting)
            await preserved(setting)
        last = archive.parts()[-1].last
    shutil.rmtree(files.nats)
    shutil.rmtree(files.snapshots)
    (data / "older").rename(files.nats)
    async with served(files) as client:
        survey = await Restore(client, files, archive=archive).survey()
        assert survey.journal is not None
        assert survey.journal[1] < last
        assert (survey.start, survey.last, survey.keeps_journal) == ("genesis", last, False)
    _, begun = await restored(files, archive=archive)
    assert begun == last + 1
    async with running_daemon(config) as setting:
        for _ in range(2):
            await trade(setting, 1)
            await snapshot_now(setting)
        assert (await preserved(setting)).problem == ""
    found = await audit(files, archive)
    assert (found.problems, found.started_after, found.incarnation) == ([], 0, 2)


async def test_connected_agents_notice_a_restore(tmp_path: Path) -> None:
    """They begin a new session, hear of the break with how their account stands, and go on; what was lost is gone."""
    external = External(tmp_path)
    await external.start()
    async with external.journal() as client:
        await create_venue(client)
    events: list[Any] = []
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(external.stop)
        async with running_daemon(external.config()) as setting:
            await set_up_market(setting, "alice")
            alice = await stack.enter_async_context(connect(external.url, setting.creds("alice")))
            listening = asyncio.create_task(listen(alice, events))
            stack.callback(listening.cancel)
            kept = await alice.buy("cpu", 1, "1.00")
        await external.stop()
        shutil.copytree(tmp_path / "store", tmp_path / "older")
        await external.start()
        async with running_daemon(external.config()) as setting:
            lost = [await alice.buy("cpu", 1, "1.01") for _ in range(3)]
            await wait_until(lambda: heard_of(events, lost[-1].id), "events are missing")
            heard = events[-1].seq
        session = alice._connection.session.token
        hanging = asyncio.create_task(alice.buy("cpu", 1, "1.02"))
        await external.stop()
        shutil.rmtree(tmp_path / "store")
        (tmp_path / "older").rename(tmp_path / "store")
        await external.start()
        async with external.journal() as client:
            work = Restore(client, external.files)
            assert (await work.survey()).lost >= 3
            await work.begin()
        async with running_daemon(external.config()) as setting, asyncio.timeout(WAIT_S):
            (came,) = await asyncio.gather(hanging, return_exceptions=True)
            await wait_until(lambda: any(isinstance(event, Gap) for event in events), "nobody was told")
            (gap,) = [event for event in events if isinstance(event, Gap)]
            assert gap.missed_from == heard + 1
            assert gap.missed_to == gap.account.event_seq < heard
            again = await alice.buy("cpu", 1, "1.03")
            assert alice._connection.session.token != session
            await wait_until(lambda: heard_of(events, again.id), "events do not go on")
            assert events[events.index(gap) + 1].seq == gap.missed_to + 1
            open_orders = {order.id for order in await alice.open_orders()}
            # What hung is not known to have run; its copy may have come to the new history before the news of that.
            ran = len(open_orders) - 2
            told_at_most = (OutcomeUnknown,) if ran else (OutcomeUnknown, NotSent)
            assert isinstance(came, told_at_most) or came.id in open_orders
            # Numbers are used anew: other orders have those of orders that are lost.
            assert open_orders == {kept.id, *(order.id for order in lost[: ran + 1])}
            assert again.id == lost[ran].id
            assert [order.id for order in gap.account.orders][:1] == [kept.id]


def heard_of(events: list[Any], order_id: int) -> bool:
    """Return whether the last event is the placing of an order."""
    return bool(events) and isinstance(events[-1], OrderPlaced) and events[-1].order_id == order_id


async def listen(agent: Agent, events: list[Any]) -> None:
    """Note every event."""
    async for event in agent.events(since=0):
        events.append(event)


async def test_a_venue_that_is_led_is_not_restored(tmp_path: Path) -> None:
    """On a server of one's own the data directory says nothing about it, but the journal does."""
    external = External(tmp_path)
    await external.start()
    try:
        async with external.journal() as client:
            await create_venue(client)
        async with running_daemon(external.config()) as setting, external.journal() as client:
            await set_up_market(setting, "alice", "bob")
            work = Restore(client, external.files)
            await work.survey()
            async with asyncio.timeout(WAIT_S):
                while not await work.has_moved():
                    await asyncio.sleep(0.05)
            with pytest.raises(Replaced):
                await work.begin()
            flags = ("--data", external.files.data, "--nats", external.url, "--accept-loss")
            done = await asyncio.to_thread(run, "restore", *flags)
            assert done.returncode == 1
            assert "a daemon leads this venue" in done.stderr
            await trade(setting, 1)
        done = await asyncio.to_thread(run, "restore", *flags)
        assert done.returncode == 0, done.stderr
    finally:
        await external.stop()

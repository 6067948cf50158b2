"""The journal is trimmed behind verified snapshots only; copies and the archive hold what starts and audits need."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from exchange.adapters import bus
from exchange.adapters.archive import Archive, ArchiveCorrupt
from exchange.adapters.journal import JOURNAL_STREAM
from exchange.adapters.snapshot_copies import BUCKET, CopiesMissing, SnapshotCopies
from exchange.adapters.snapshots import MIGRATIONS, SNAPSHOT_FORMAT, SnapshotCorrupt, SnapshotStore, encode_snapshot
from exchange.config import Config, JournalSettings, SnapshotSettings
from exchange.daemon import Daemon, DaemonError
from exchange.daemon.host import Host
from exchange.daemon.preserve import archive_records
from exchange.daemon.replica import FellBehind
from tests.cli.program import run, run_json
from tests.cli.test_verify import Records, good_bodies
from tests.daemon.support import WAIT_S, External, Setting, config, running_daemon, set_up_market, wait_until
from tests.daemon.test_snapshots import flip, snapshot_now, trade
from tests.daemon.test_standby import external, has_caught_up
from tests.daemon.test_standby import settings as external_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from exchange.adapters.journal import Journal
    from exchange.daemon.preserve import Preserved

__all__ = ["external"]


def settings(data: Path, *, trim: str = "archived", archive: Path | None = None, copies: bool = True) -> Config:
    """Return the settings of a daemon that takes snapshots when a test wants one."""
    return msgspec.structs.replace(
        config(data),
        snapshots=SnapshotSettings(every_commands=0, copies=copies),
        journal=JournalSettings(trim=trim, archive=archive),
    )


def journal(setting: Setting) -> Journal:
    """Return the journal of a running daemon."""
    assert setting.daemon._journal is not None
    return setting.daemon._journal


async def preserved(setting: Setting) -> Preserved:
    """Wait until the leader has done what follows a snapshot."""
    preserver = setting.daemon.preserver
    assert preserver is not None
    await wait_until(lambda: not preserver.is_busy, "it does not end")
    assert preserver.last is not None
    return preserver.last


async def snapshot_and_preserve(setting: Setting, trades: int = 3) -> tuple[int, Preserved]:
    """Trade, take a snapshot, and wait for what follows it."""
    await trade(setting, trades)
    return await snapshot_now(setting), await preserved(setting)


@contextlib.asynccontextmanager
async def copies_of(setting: Setting) -> AsyncIterator[SnapshotCopies]:
    """Open the copies on the server of a running daemon."""
    assert setting.daemon._journal_creds is not None
    client = await bus.connect(setting.url, setting.daemon._journal_creds, "journal")
    try:
        copies = SnapshotCopies(client)
        await copies.open()
        yield copies
    finally:
        await client.close()


async def replayed(setting: Setting, archive: Archive, last: int) -> Host:
    """Return a host that has replayed the archive and then the journal, from genesis to record ``last``."""
    host = Host(send=lambda _subject, _payload: None, now_s=time.monotonic)
    for _, body in archive.read():
        host.replay(body)
    async for _, body in journal(setting).read(host.engine.index + 1, last):
        host.replay(body)
    return host


async def test_nothing_is_trimmed_by_default(tmp_path: Path) -> None:
    """History goes only where somebody said so; copies of the snapshots are kept all the same, the newest two."""
    async with running_daemon(settings(tmp_path)) as setting:
        await set_up_market(setting, "alice", "bob")
        taken = [(await snapshot_and_preserve(setting))[0] for _ in range(3)]
        store = SnapshotStore(setting.daemon.files.snapshots)
        async with copies_of(setting) as copies:
            assert await copies.indexes() == taken[:0:-1] == store.indexes()
            for index in store.indexes():
                assert await copies.read(index) == store.path(index).read_bytes()
        assert await journal(setting).first_index() == 1


@pytest.mark.parametrize("copies", [True, False])
async def test_the_journal_is_trimmed_below_the_oldest_kept_snapshot(tmp_path: Path, copies: bool) -> None:
    """Never with fewer than two, and only what is archived; starts go on, and the archive proves it from genesis."""
    archive = Archive(tmp_path / "archive")
    config = settings(tmp_path / "venue", archive=archive.directory, copies=copies)
    async with running_daemon(config) as setting:
        await set_up_market(setting, "alice", "bob")
        first, done = await snapshot_and_preserve(setting)
        assert (done.problem, done.trim_below, archive.parts()) == ("", 0, [])
        second, done = await snapshot_and_preserve(setting)
        assert (done.problem, done.trim_below) == ("", first)
        assert await journal(setting).first_index() == first
        await snapshot_and_preserve(setting)
        assert await journal(setting).first_index() == second
        assert [(part.first, part.last) for part in archive.parts()] == [(1, first - 1), (first, second - 1)]
    async with running_daemon(config) as setting:
        await trade(setting, 2)
        newest = await snapshot_now(setting)
        host = await replayed(setting, archive, newest)
        assert host.snapshot() == SnapshotStore(setting.daemon.files.snapshots).read(newest)


async def test_history_can_be_let_go_of(tmp_path: Path) -> None:
    """With ``always`` the journal is trimmed though nothing is archived; with ``never`` not even what is."""
    for trim, kept in (("always", 2), ("never", 1)):
        config = settings(tmp_path / trim, trim=trim, archive=None if trim == "always" else tmp_path / "archive")
        async with running_daemon(config) as setting:
            await set_up_market(setting, "alice", "bob")
            first, _ = await snapshot_and_preserve(setting)
            await snapshot_and_preserve(setting)
            assert await journal(setting).first_index() == (first if kept == 2 else 1)
            assert Archive(tmp_path / "archive").parts() == []


async def test_an_interrupted_run_is_gone_on_from(tmp_path: Path) -> None:
    """Archived but not trimmed, half an archive file, half a copy: the next run makes it whole."""
    archive = Archive(tmp_path / "archive")
    config = settings(tmp_path / "venue", archive=archive.directory)
    async with running_daemon(config) as setting:
        await set_up_market(setting, "alice", "bob")
        first, _ = await snapshot_and_preserve(setting)
        # As if killed after the archive's first file and while the second was written.
        await archive_records(journal(setting), archive, first - 2)
        (archive.directory / f"{first - 2}-{first - 1}.records.77.partial").write_bytes(b"half")
        client = await bus.connect(setting.url, setting.daemon.files.keys / "journal.creds", "journal")
        await client.jetstream().publish(f"$O.{BUCKET}.C.killed", b"half a copy")
        await client.close()
    async with running_daemon(config) as setting:
        preserver = setting.daemon.preserver
        assert preserver is not None
        await wait_until(lambda: preserver.last is not None, "a start does not finish what was left")
        second, done = await snapshot_and_preserve(setting)
        assert (done.problem, done.trim_below) == ("", first)
        assert await journal(setting).first_index() == first
        assert list(archive.directory.glob("*.partial")) == []
        expected = SnapshotStore(config.data / "snapshots").read(second)
        assert (await replayed(setting, archive, second)).hash == expected.hash
        async with copies_of(setting) as copies:
            chunks = await copies._subjects(f"$O.{BUCKET}.C.>")
            assert "killed" not in chunks
            assert len(chunks) == 2


async def test_a_foreign_archive_stops_trimming(tmp_path: Path) -> None:
    """What cannot be archived stays in the journal, and the venue trades on."""
    archive = Archive(tmp_path / "archive")
    for name in ("elsewhere", "here"):
        async with running_daemon(settings(tmp_path / name, archive=archive.directory)) as setting:
            await set_up_market(setting, "alice", "bob")
            await snapshot_and_preserve(setting, 3)
            _, done = await snapshot_and_preserve(setting, 1)
            if name == "here":
                assert "is not the archive of this journal" in done.problem
                assert await journal(setting).first_index() == 1
                await trade(setting, 1)


async def test_an_archive_beyond_the_journal_is_of_another_history(tmp_path: Path) -> None:
    """As after a restore: what it holds under these numbers is lost, so nothing may be trimmed for it."""
    bodies = good_bodies(9)
    archive = Archive(tmp_path)
    archive.write(1, bodies)
    with pytest.raises(ArchiveCorrupt, match="is not the archive of this journal: it ends with record 9"):
        await archive_records(Records(bodies[:7]), archive, 6)
    assert await archive_records(Records(bodies), archive, 6) == 9


async def test_a_damaged_copy_is_replaced_or_dropped(tmp_path: Path) -> None:
    """It counts for nothing: before there are two good ones again, nothing is trimmed."""
    async with running_daemon(settings(tmp_path / "venue", trim="always")) as setting:
        await set_up_market(setting, "alice", "bob")
        first, _ = await snapshot_and_preserve(setting)
        assert setting.daemon.preserver is not None
        async with copies_of(setting) as copies:
            await damage(copies, first)
            with pytest.raises(SnapshotCorrupt, match="has 0 of its 1 chunks"):
                await copies.read(first)
            # The newest is here, so it is copied anew.
            setting.daemon.preserver.want()
            await preserved(setting)
            await copies.check(first)
            await damage(copies, first)
            second, done = await snapshot_and_preserve(setting)
            assert (done.problem, done.trim_below) == ("", 0)
            assert await copies.indexes() == [second]
            await snapshot_and_preserve(setting)
            assert await journal(setting).first_index() == second


async def damage(copies: SnapshotCopies, index: int) -> None:
    """Take a chunk out of a copy."""
    nuid = (await copies._info(index)).nuid
    await copies._context.purge_stream(f"OBJ_{BUCKET}", subject=f"$O.{BUCKET}.C.{nuid}")


async def test_a_venue_without_copies_goes_on(tmp_path: Path) -> None:
    """One that was created before there were any gets its object store with its next snapshot."""
    async with running_daemon(settings(tmp_path / "venue", copies=False)) as setting:
        await set_up_market(setting, "alice", "bob")
        await journal(setting)._context.delete_object_store(BUCKET)
        await snapshot_and_preserve(setting)
        with pytest.raises(CopiesMissing):
            async with copies_of(setting):
                pass
    async with running_daemon(settings(tmp_path / "venue")) as setting:
        index, done = await snapshot_and_preserve(setting)
        assert (done.problem, done.copied) == ("", index)


async def test_a_trimmed_venue_is_verified_with_and_without_its_archive(tmp_path: Path) -> None:
    """By the command: from genesis or from the snapshot; a bit that flips in the server's store does not pass."""
    archive, data = tmp_path / "archive", tmp_path / "venue"
    async with running_daemon(settings(data, archive=archive)) as setting:
        await set_up_market(setting, "alice", "bob")
        first, _ = await snapshot_and_preserve(setting)
        second, _ = await snapshot_and_preserve(setting)
        await trade(setting, 8)
    whole = run_json("verify", "--data", data, "--archive", archive)
    assert (whole["problems"], whole["started_after"], whole["archived"]) == ([], 0, first - 1)
    assert (whole["snapshots"], whole["copies"]) == (2, 2)
    part = run_json("verify", "--data", data)
    assert (part["problems"], part["started_after"], part["first_index"]) == ([], first, first)
    assert (part["snapshots"], part["copies"]) == (1, 1)
    assert (part["state_hash"], part["last_index"]) == (whole["state_hash"], whole["last_index"])
    said = run("verify", "--data", data).stdout
    assert f"good: chain, outputs, invariants and conservation hold for every record after {first}" in said
    blocks = sorted((data / "nats").rglob(f"streams/{JOURNAL_STREAM}/msgs/*.blk"))
    stored = bytearray(blocks[-1].read_bytes())
    stored[len(stored) * 2 // 3] ^= 1
    blocks[-1].write_bytes(stored)
    for flags in ((), ("--archive", archive)):
        done = run("verify", "--data", data, *flags)
        assert done.returncode == 1
        assert "was acknowledged here" in done.stderr or "is missing" in done.stderr or "corrupt" in done.stderr
    assert second > first


# ── starts ──────────────────────────────────────────────────────────────────────────────────────


async def trimmed(setting: Setting) -> tuple[int, str]:
    """Trim the journal of a running venue; return the newest snapshot and the hash of its state."""
    await snapshot_and_preserve(setting)
    index, _ = await snapshot_and_preserve(setting)
    assert await journal(setting).first_index() > 1
    return index, SnapshotStore(setting.daemon.files.snapshots).read(index).state_hash


@pytest.mark.parametrize("damaged", [1, 2])
async def test_damaged_snapshots_are_repaired_from_their_copies(tmp_path: Path, damaged: int) -> None:
    """Also when every generation here is damaged and the journal alone would not do."""
    config = settings(tmp_path / "venue", trim="always")
    async with running_daemon(config) as setting:
        await set_up_market(setting, "alice", "bob")
        index, state_hash = await trimmed(setting)
    store = SnapshotStore(config.data / "snapshots")
    for each in store.indexes()[:damaged]:
        flip(store.path(each))
    async with running_daemon(config) as setting:
        assert store.read(index).state_hash == state_hash
        await trade(setting, 1)


async def test_a_trimmed_journal_without_a_snapshot_stops_the_start(tmp_path: Path) -> None:
    """Nobody can start from its middle: the message says what is missing and where to put it."""
    config = settings(tmp_path / "venue", trim="always")
    async with running_daemon(config) as setting:
        await set_up_market(setting, "alice", "bob")
        await trimmed(setting)
        await journal(setting)._context.delete_object_store(BUCKET)
    shutil.rmtree(config.data / "snapshots")
    for _ in range(2):
        with pytest.raises(DaemonError, match=r"begins at record \d+, because it was trimmed, .* no good snapshot"):
            await Daemon(config).start()


async def test_snapshots_of_another_format_are_nothing_to_trim_behind(tmp_path: Path) -> None:
    """After an upgrade the journal is all that a start has, until there are snapshots that this version reads."""
    config = settings(tmp_path / "venue", trim="never", copies=False)
    async with running_daemon(config) as setting:
        await set_up_market(setting, "alice", "bob")
        for _ in range(2):
            await snapshot_and_preserve(setting)
    store = SnapshotStore(config.data / "snapshots")
    assert len(store.indexes()) == 2
    for index in store.indexes():
        earlier = msgspec.structs.replace(store.read(index), format=min(MIGRATIONS) - 1)
        store.path(index).write_bytes(encode_snapshot(earlier))
    config = settings(tmp_path / "venue", trim="always", copies=False)
    async with running_daemon(config) as setting:
        done = await preserved(setting)
        assert (done.problem, done.trim_below) == ("", 0)
        first, done = await snapshot_and_preserve(setting)
        assert (done.problem, done.trim_below) == ("", 0)
        _, done = await snapshot_and_preserve(setting)
        assert (done.problem, done.trim_below) == ("", first)
    async with running_daemon(config) as setting:
        await trade(setting, 1)


async def test_a_start_without_a_usable_snapshot_replays_the_archive(tmp_path: Path) -> None:
    """As after an upgrade to a version that reads another format: the archive and the journal have everything."""
    archive = Archive(tmp_path / "archive")
    config = settings(tmp_path / "venue", archive=archive.directory)
    async with running_daemon(config) as setting:
        await set_up_market(setting, "alice", "bob")
        await trimmed(setting)
        await journal(setting)._context.delete_object_store(BUCKET)
        before = setting.engine.business_hash()
    store = SnapshotStore(config.data / "snapshots")
    for index in store.indexes():
        later = msgspec.structs.replace(store.read(index), format=SNAPSHOT_FORMAT + 1)
        store.path(index).write_bytes(encode_snapshot(later))
    async with running_daemon(config) as setting:
        assert setting.engine.business_hash() == before
        await trade(setting, 1)
    archive.parts()[0].path.unlink()
    with pytest.raises(DaemonError, match=r"set journal\.archive to the directory with everything"):
        await Daemon(config).start()


def on(external: External, name: str, *, standby: bool = False, trim: str = "always") -> Config:
    """Return the settings of a daemon on an external server that trims."""
    config = external_settings(external, name, standby=standby)
    return msgspec.structs.replace(config, journal=JournalSettings(trim=trim))


def use_keys(setting: Setting, external: External) -> None:
    """Let agents' credentials come from the venue's own directory."""
    setting.daemon.files.keys, setting.daemon.files.creds = external.files.keys, external.files.creds


async def test_a_fresh_data_directory_starts_from_a_copy(external: External) -> None:
    """A new mount where the directory was, or another machine: credentials by flags are all that it needs."""
    async with running_daemon(on(external, "leader")) as setting:
        use_keys(setting, external)
        await set_up_market(setting, "alice", "bob")
        index, state_hash = await trimmed(setting)
        async with setting.connect("alice") as alice:
            kept = {order.id for order in await alice.open_orders()}
    shutil.rmtree(external.files.data.parent / "leader")
    async with running_daemon(on(external, "leader")) as setting:
        use_keys(setting, external)
        assert SnapshotStore(external.files.data.parent / "leader" / "snapshots").read(index).state_hash == state_hash
        async with setting.connect("alice") as alice:
            assert {order.id for order in await alice.open_orders()} == kept
        assert setting.engine.check_invariants() == []


async def test_a_standby_that_fell_behind_the_trimming_starts_over(external: External) -> None:
    """It notices, ends with what happened, and its next start goes on from a copy."""
    async with running_daemon(on(external, "leader")) as setting:
        use_keys(setting, external)
        await set_up_market(setting, "alice", "bob")
        standby = Daemon(on(external, "second", standby=True))
        await standby.start()
        try:
            # As if it had stood still for all that time.
            following = next(task for task in standby._tasks if task.get_name() == "standby")
            following.remove_done_callback(standby._on_task_end)
            following.cancel()
            await asyncio.wait({following}, timeout=WAIT_S)
            await trimmed(setting)
            assert standby._journal is not None
            assert standby.host is not None
            replica = await standby._make_replica(standby.host, standby._journal._client)
            standby._run(standby._stand_by(replica), "standby")
            with pytest.raises(FellBehind, match="was trimmed up to record"):
                await asyncio.wait_for(standby.wait(), WAIT_S)
        finally:
            await standby.stop()
        async with running_daemon(on(external, "second", standby=True)) as again:
            await wait_until(lambda: has_caught_up(again.daemon, setting.daemon), "it does not follow")
            assert "alice" in again.engine.agents

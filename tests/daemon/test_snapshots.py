"""Snapshots: taken beside the flow of orders, proved, and what a start makes of good, damaged and foreign ones."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import time
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec
import pytest

from exchange.adapters.snapshots import (
    MIGRATIONS,
    SNAPSHOT_FORMAT,
    Snapshot,
    SnapshotCorrupt,
    SnapshotStore,
    decode_snapshot,
    encode_snapshot,
)
from exchange.config import Config, SnapshotSettings
from exchange.daemon import DaemonError
from exchange.daemon.host import Host
from exchange.daemon.snapshotter import Snapshotter, prove
from exchange.engine import genesis_batch
from exchange.testing import START_US
from tests.daemon.support import WAIT_S, Setting, config, running_daemon, set_up_market, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def settings(data: Path, every_commands: int = 20) -> Config:
    """Return the settings of a daemon that takes a snapshot every so many commands."""
    return msgspec.structs.replace(config(data), snapshots=SnapshotSettings(every_commands=every_commands))


async def trade(setting: Setting, trades: int) -> None:
    """Let alice and bob trade, and leave some orders of every kind behind."""
    async with setting.connect("alice") as alice, setting.connect("bob") as bob:
        for n in range(trades):
            await alice.sell("cpu", 2, "1.50")
            await bob.buy("cpu", 1, "1.60")
            await bob.buy("cpu", 3, f"1.{n % 40:02}", client_order_id=f"mine-{setting.engine.index}")


def snapshotter(setting: Setting) -> Snapshotter:
    """Return the snapshotter of a running daemon."""
    assert setting.daemon.snapshotter is not None
    return setting.daemon.snapshotter


async def snapshot_now(setting: Setting) -> int:
    """Let the leader take a snapshot and return its index."""
    taker = snapshotter(setting)
    await wait_until(lambda: not taker.is_running, "the snapshot before does not end")
    before, usual = taker.taken_index, taker._every_commands
    taker._every_commands, taker._counted = 1, -1
    await wait_until(lambda: taker.taken_index > before, "no snapshot was taken")
    taker._every_commands = usual
    return taker.taken_index


async def assert_like_replay(setting: Setting) -> None:
    """Compare state, chain, recent events and trades with those of a replay from the first record."""
    index = await snapshot_now(setting)
    journal = setting.daemon._journal
    assert journal is not None
    host = Host(send=lambda _subject, _payload: None, now_s=time.monotonic)
    async for _, body in journal.read(1, index):
        host.replay(body)
    assert host.snapshot() == SnapshotStore(setting.daemon.files.snapshots).read(index)


async def test_a_start_goes_on_from_the_newest_snapshot(tmp_path: Path) -> None:
    """Snapshots are taken in time, two are kept, and what a start makes of one is what a replay makes."""
    async with running_daemon(settings(tmp_path)) as setting:
        await set_up_market(setting, "alice", "bob")
        await trade(setting, 15)
        await wait_until(lambda: snapshotter(setting).taken_index > 0, "no snapshot came by itself")
        for _ in range(3):
            newest = await snapshot_now(setting)
        await trade(setting, 2)
    assert SnapshotStore(tmp_path / "snapshots").indexes()[0] >= newest
    assert len(list((tmp_path / "snapshots").iterdir())) == 2
    async with running_daemon(settings(tmp_path, every_commands=0)) as setting:
        assert setting.engine.commands_applied < 30
        await trade(setting, 2)
        await assert_like_replay(setting)


async def test_agents_miss_nothing_across_a_start_from_a_snapshot(tmp_path: Path) -> None:
    """Ids are remembered and events go on without a gap, also those from before the snapshot."""
    async with running_daemon(settings(tmp_path)) as setting:
        await set_up_market(setting, "alice", "bob")
        await trade(setting, 10)
        await snapshot_now(setting)
        heard = setting.engine.agents["bob"].seq
    async with running_daemon(settings(tmp_path)) as setting, setting.connect("bob") as bob:
        seen = []
        async with asyncio.timeout(WAIT_S):
            async for event in bob.events(since=0):
                seen.append(event.seq)
                if event.seq == heard:
                    break
        assert seen == list(range(1, heard + 1))


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    """Lose the end of a file."""
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    """Lose all of a file."""
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip, cut, empty])
@pytest.mark.parametrize("damaged", [1, 2])
async def test_a_damaged_snapshot_is_skipped(tmp_path: Path, damage: Callable[[Path], None], damaged: int) -> None:
    """The start goes on from the one before, or from the first record, to the same state."""
    async with running_daemon(settings(tmp_path, every_commands=0)) as setting:
        await set_up_market(setting, "alice", "bob")
        await trade(setting, 3)
        first = await snapshot_now(setting)
        await trade(setting, 3)
        second = await snapshot_now(setting)
    store = SnapshotStore(tmp_path / "snapshots")
    assert first < second
    indexes = store.indexes()
    for index in indexes[:damaged]:
        damage(store.path(index))
    async with running_daemon(settings(tmp_path, every_commands=0)) as setting:
        assert store.indexes() == indexes
        await assert_like_replay(setting)


async def test_a_snapshot_of_another_journal_stops_the_start(tmp_path: Path) -> None:
    """Neither can be trusted to be the venue's, so the operator must decide."""
    for name in ("here", "elsewhere"):
        async with running_daemon(settings(tmp_path / name)) as setting:
            await set_up_market(setting, "alice", "bob")
            await trade(setting, 2)
            await snapshot_now(setting)
            await asyncio.sleep(0)
    shutil.rmtree(tmp_path / "here" / "snapshots")
    shutil.copytree(tmp_path / "elsewhere" / "snapshots", tmp_path / "here" / "snapshots")
    with pytest.raises(DaemonError, match="snapshot"):
        async with running_daemon(settings(tmp_path / "here")):
            pass


async def test_a_killed_writer_leaves_no_snapshot(tmp_path: Path) -> None:
    """The daemon goes on, counts the failure, and the next start sweeps up."""
    async with running_daemon(settings(tmp_path, every_commands=0)) as setting:
        await set_up_market(setting, "alice", "bob")
        taker, host = snapshotter(setting), setting.daemon.host
        assert host is not None
        taker.take(host)
        assert taker._child is not None
        os.kill(taker._child, signal.SIGKILL)
        await wait_until(lambda: taker.failures == 1, "nobody noticed")
        await trade(setting, 1)
        (tmp_path / "snapshots").mkdir(exist_ok=True)
        (tmp_path / "snapshots" / "9.partial").write_bytes(b"half")
    async with running_daemon(settings(tmp_path, every_commands=0)) as setting:
        assert list((tmp_path / "snapshots").iterdir()) == []
        await assert_like_replay(setting)


async def test_a_fork_that_fails_costs_the_snapshot_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without memory for a child is told of; the venue trades on, and the next snapshot succeeds."""
    async with running_daemon(settings(tmp_path, every_commands=0)) as setting:
        await set_up_market(setting, "alice", "bob")
        taker, host = snapshotter(setting), setting.daemon.host
        assert host is not None

        def fork() -> int:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fork", fork)
            taker.take(host)
        assert (taker.failures, taker.is_running) == (1, False)
        await trade(setting, 1)
        await snapshot_now(setting)


async def test_no_snapshot_is_taken_of_a_broken_state(tmp_path: Path) -> None:
    """Its child counts every invariant first; what does not hold is said, shown, and no start goes on from it."""
    async with running_daemon(settings(tmp_path / "venue", every_commands=0)) as setting:
        await set_up_market(setting, "alice", "bob")
        await snapshot_now(setting)
        # One unit too many, and a total that does not know.
        setting.engine.ledger.balance("alice", "cpu").available += 1
        metrics = setting.daemon.metrics
        assert metrics is not None
        before = snapshotter(setting).failures
        snapshotter(setting).take(setting.daemon.host)  # type: ignore[arg-type]
        await wait_until(lambda: snapshotter(setting).failures > before, "the child finds nothing")
        assert metrics.registry.get_sample_value("exchange_invariants_broken") == 1
        setting.engine.ledger.balance("alice", "cpu").available -= 1
        await snapshot_now(setting)
        assert metrics.registry.get_sample_value("exchange_invariants_broken") == 0


async def test_a_full_disk_costs_the_snapshot_only(tmp_path: Path) -> None:
    """A snapshot that cannot be written is told of; the venue trades on."""
    async with running_daemon(settings(tmp_path, every_commands=0)) as setting:
        await set_up_market(setting, "alice", "bob")
        (tmp_path / "snapshots").write_text("no directory")
        taker, host = snapshotter(setting), setting.daemon.host
        assert host is not None
        taker.take(host)
        await wait_until(lambda: taker.failures == 1, "nobody noticed")
        await trade(setting, 1)


# ── the store alone ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def snapshot() -> Snapshot:
    """Return the snapshot of a new venue."""
    host = Host(send=lambda _subject, _payload: None, now_s=time.monotonic)
    batch = genesis_batch("operator", START_US)
    host.release(host.apply(batch.submissions, [], batch.time_us, 0))
    return host.snapshot()


def test_a_snapshot_comes_back_as_it_was_written(tmp_path: Path, snapshot: Snapshot) -> None:
    """Every field is the same, and it proves itself."""
    store = SnapshotStore(tmp_path / "snapshots")
    path = store.write(snapshot, prove)
    assert store.read(1) == snapshot
    assert decode_snapshot(path.read_bytes()) == snapshot
    assert list(store.good_ones()) == [snapshot]


def test_every_damage_is_noticed(snapshot: Snapshot) -> None:
    """No byte can change, and none can be missing."""
    data = encode_snapshot(snapshot)
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        with pytest.raises(SnapshotCorrupt):
            decode_snapshot(bytes(damaged))
    for size in range(len(data)):
        with pytest.raises(SnapshotCorrupt):
            decode_snapshot(data[:size])


def test_another_format_is_told(snapshot: Snapshot) -> None:
    """A snapshot of a later version says so."""
    later = msgspec.structs.replace(snapshot, format=SNAPSHOT_FORMAT + 1)
    with pytest.raises(SnapshotCorrupt, match=f"format {SNAPSHOT_FORMAT + 1}; this version reads {SNAPSHOT_FORMAT}"):
        decode_snapshot(encode_snapshot(later))


def test_an_older_format_is_migrated_step_by_step(snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a version knows to read of older ones becomes its own, through every format between."""
    number = SNAPSHOT_FORMAT
    monkeypatch.setitem(MIGRATIONS, number - 2, lambda fields: [number - 1, *fields[1:], "added"])
    monkeypatch.setitem(MIGRATIONS, number - 1, lambda fields: [number, *fields[1:-1]])
    for older in (number - 2, number - 1):
        fields = list(msgspec.structs.astuple(msgspec.structs.replace(snapshot, format=older)))
        body = msgspec.msgpack.encode(fields if older == number - 2 else [*fields, "added"])
        assert decode_snapshot(body + blake2b(body, digest_size=32).digest()) == snapshot


def test_what_does_not_prove_itself_is_not_kept(tmp_path: Path, snapshot: Snapshot) -> None:
    """A snapshot whose state comes to another hash never gets its name, and none is dropped for it."""
    store = SnapshotStore(tmp_path, keep=2)
    for index in (1, 2):
        store.write(msgspec.structs.replace(snapshot, index=index))
    wrong = msgspec.structs.replace(snapshot, index=3, state_hash="0" * 64)
    with pytest.raises(SnapshotCorrupt, match="brings forth state"):
        store.write(wrong, prove)
    assert store.indexes() == [2, 1]
    assert len(list(tmp_path.iterdir())) == 2


def test_the_newest_are_kept(tmp_path: Path, snapshot: Snapshot) -> None:
    """By their records, not by their names: 10 is newer than 9."""
    store = SnapshotStore(tmp_path, keep=3)
    for index in (8, 9, 10, 11):
        store.write(msgspec.structs.replace(snapshot, index=index))
    (tmp_path / "notes.snapshot").write_text("not ours")
    assert store.indexes() == [11, 10, 9]


def test_a_damaged_one_does_not_count_as_kept(tmp_path: Path, snapshot: Snapshot) -> None:
    """As many good ones stay as there should be."""
    store = SnapshotStore(tmp_path, keep=2)
    for index in (1, 2, 3):
        store.write(msgspec.structs.replace(snapshot, index=index))
    flip(store.path(3))
    store.write(msgspec.structs.replace(snapshot, index=4))
    assert store.indexes() == [4, 3, 2]
    store.write(msgspec.structs.replace(snapshot, index=5))
    assert store.indexes() == [5, 4]


def test_a_state_that_cannot_be_loaded_is_a_corrupt_snapshot(snapshot: Snapshot) -> None:
    """Whole bytes with an unknown state come of another version."""
    host = Host(send=lambda _subject, _payload: None, now_s=time.monotonic)
    with pytest.raises(SnapshotCorrupt, match="cannot be loaded"):
        host.load(msgspec.structs.replace(snapshot, state=msgspec.msgpack.encode(["another", "state"])))

"""Disks that are full or broken: nothing acknowledged is lost, and the venue goes on when they are well again."""

from __future__ import annotations

import asyncio
import re
from random import Random
from typing import TYPE_CHECKING

import msgspec
import pytest
from nats.js.api import StreamConfig
from nats.js.errors import APIError

from exchange.adapters.snapshots import SnapshotStore
from exchange.cli._venue import RunFile, Running
from exchange.daemon.creation import create_venue
from tests.daemon.support import External, wait_until
from tests.faults.disks import failing_syncs, needs_mount, needs_strace, small_disk
from tests.faults.record import record
from tests.faults.test_kill import (
    acknowledged,
    prove_at_rest,
    prove_by_journal,
    prove_snapshots,
    prove_so_far,
    started_again,
    tell,
    trading_again,
    trading_venue,
)
from tests.faults.venue_process import server_pid

if TYPE_CHECKING:
    from pathlib import Path

    from nats.js.client import JetStreamContext

    from tests.faults.traders import Trader
    from tests.faults.venue_process import VenueProcess

UNAVAILABLE = "journal_unavailable"
STARTED_AGAIN = "starting it again"
REFUSED_WITHIN_S = 20.0


async def refused(traders: list[Trader]) -> None:
    """Wait until agents are told that the journal does not take writes."""

    def told() -> int:
        return sum(trader.transport.refusals[UNAVAILABLE] for trader in traders)

    before = told()
    await wait_until(lambda: told() > before, "nobody is refused", REFUSED_WITHIN_S)


def say_full(said: str) -> bool:
    """Return whether a daemon has said in its last words that the disk is full."""
    return any(words in said[-1_000:] for words in ("the disk is full: make room", "No space left on device"))


async def fill_up(jetstream: JetStreamContext, size: int) -> None:
    """Store messages of a size until the server takes no more of them."""
    try:
        while True:
            await jetstream.publish("other", bytes(size))
    except APIError as error:
        assert "insufficient" in str(error)  # noqa: PT017 - any number of them may go before


async def finish(venue: VenueProcess, traders: list[Trader], what: str, server: External | None = None) -> None:
    """Prove at rest and by the journal that nothing was lost or doubled."""
    await prove_at_rest(venue, traders)
    await venue.kill()
    assert "Traceback" not in venue.said(), venue.said()[-3_000:]
    tell(what, venue, traders, **await prove_by_journal(venue, traders, server))


@needs_mount
@pytest.mark.slow
async def test_a_full_disk_holds_the_venue_until_there_is_room(tmp_path: Path) -> None:
    """New commands are refused with a clear reason; with room it goes on by itself; nothing is lost or doubled."""
    took_s = []
    with small_disk(tmp_path / "disk", 128) as disk:
        async with trading_venue(tmp_path, 21, data=disk.path / "venue") as (venue, traders):
            await asyncio.sleep(0.5)
            disk.fill()
            await refused(traders)
            assert venue.is_running
            disk.free()
            took_s.append(await trading_again(traders))
            await prove_so_far(traders)
            disk.fill()
            await venue.kill()
            await venue.spawn()
            # Whether there is room enough to begin is chance; it then waits for more, or says what is wrong.
            await wait_until(lambda: say_full(venue.said()), "it does not say that the disk is full", REFUSED_WITHIN_S)
            has_ended = "No space left on device" in venue.said()[-1_000:]
            if has_ended:
                assert await venue.ended() == 1
            disk.free()
            if has_ended:
                await venue.spawn()
            took_s.append(await trading_again(traders))
            await finish(venue, traders, "disk full")
            record(
                "the disk of daemon and embedded nats-server runs full under load, and has room again",
                times=2, acknowledged=acknowledged(traders), recovery_s=took_s,
                remark="refused as `journal_unavailable`; also when it is started on a full disk",
            )  # fmt: skip


@needs_mount
def test_a_full_disk_is_told_with_the_file_that_found_no_room(tmp_path: Path) -> None:
    """The command line shows that as a message, and what has no name as a bug of ours."""
    with small_disk(tmp_path / "disk", 1) as disk:
        file = RunFile(disk.path)
        file.acquire()
        disk.fill()
        facts = {
            "url": "nats://127.0.0.1:1",
            "metrics_url": None,
            "pid": 1,
            "operator_creds": None,
            "epoch": 1,
            "index": 1,
        }
        with pytest.raises(OSError, match="No space left on device") as raised:
            file.write(msgspec.convert({**facts, "data": disk.path}, Running))
        assert raised.value.filename == str(disk.path / "run.json")
        file.release()


@needs_mount
async def test_a_full_data_directory_costs_snapshots_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the journal elsewhere orders go on, also the mark of what was acknowledged; then snapshots do, too."""
    monkeypatch.setenv("EXCHANGE_SNAPSHOTS__EVERY_COMMANDS", "50")
    with small_disk(tmp_path / "venue", 8) as disk:
        server = External(tmp_path)
        await server.start()
        try:
            async with server.journal() as client:
                await create_venue(client)
            async with trading_venue(tmp_path, 22, server) as (venue, traders):
                store = SnapshotStore(venue.files.snapshots)
                await wait_until(lambda: len(store.indexes()) > 1, "no snapshots are taken")
                disk.fill()
                await wait_until(lambda: "snapshot failed" in venue.said(), "no snapshot fails")
                newest = store.indexes()[0]
                await trading_again(traders)
                await prove_so_far(traders)
                assert store.indexes()[0] == newest
                disk.free()
                await wait_until(lambda: store.indexes()[0] > newest, "no snapshot is taken again")
                await venue.kill()
                took_s = [await started_again(venue, traders)]
                await finish(venue, traders, "data directory full", server)
                record(
                    "the daemon's data directory runs full, its journal being elsewhere",
                    times=1, acknowledged=acknowledged(traders), recovery_s=took_s,
                    remark="orders go on, snapshots fail until there is room",
                )  # fmt: skip
        finally:
            await server.stop()


async def test_a_storage_limit_holds_the_venue_until_there_is_room(tmp_path: Path) -> None:
    """When JetStream may use no more of the disk, commands are refused; with room it goes on by itself."""
    server, took_s = External(tmp_path, max_file="64MB"), []
    await server.start()
    try:
        async with server.journal() as client:
            await create_venue(client)
        async with trading_venue(tmp_path, 23, server) as (venue, traders), server.journal() as client:
            jetstream = client.jetstream()
            for _ in range(3):
                await asyncio.sleep(Random(23).uniform(0.2, 0.5))
                await jetstream.add_stream(StreamConfig(name="OTHER", subjects=["other"]))
                for size in (1_000_000, 1_000):
                    await fill_up(jetstream, size)
                await refused(traders)
                assert venue.is_running
                await jetstream.delete_stream("OTHER")
                took_s.append(await trading_again(traders))
                await prove_so_far(traders)
            await finish(venue, traders, "storage limit", server)
            record(
                "JetStream reaches its storage limit (`max_file`) under load, and has room again",
                times=3, acknowledged=acknowledged(traders), recovery_s=took_s,
                remark="refused as `journal_unavailable`",
            )  # fmt: skip
    finally:
        await server.stop()


@needs_strace
@pytest.mark.slow
async def test_a_disk_that_fails_to_sync_loses_nothing(tmp_path: Path) -> None:
    """When the server's fsync fails nothing is acknowledged, and the daemon starts its server again."""
    took_s = []
    async with trading_venue(tmp_path, 24) as (venue, traders):
        for times in (1, 2):
            await asyncio.sleep(0.5)
            server = server_pid(venue.files)
            async with failing_syncs(server):
                started = asyncio.get_running_loop().time()
                # It may do so before anybody has sent a command that had to be refused.
                await wait_until(
                    lambda: venue.said().count(STARTED_AGAIN) == times,  # noqa: B023 - awaited here
                    "the server is not started again",
                    REFUSED_WITHIN_S,
                )
            await trading_again(traders)
            took_s.append(asyncio.get_running_loop().time() - started)
            assert server_pid(venue.files) != server
            await prove_so_far(traders)
        assert venue.said().count(STARTED_AGAIN) == 2
        await finish(venue, traders, "fsync fails")
        record(
            "fsync of the embedded nats-server fails with EIO under load",
            times=2, acknowledged=acknowledged(traders), recovery_s=took_s,
            remark="it acknowledges nothing; the daemon writes its last block again and starts it again",
        )  # fmt: skip


@needs_strace
async def test_a_snapshot_that_fails_to_sync_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When fsync fails in the daemon's child, the snapshot counts as failed, and orders go on."""
    monkeypatch.setenv("EXCHANGE_SNAPSHOTS__EVERY_COMMANDS", "50")
    async with trading_venue(tmp_path, 25) as (venue, traders):
        store = SnapshotStore(venue.files.snapshots)
        await wait_until(lambda: len(store.indexes()) > 1, "no snapshots are taken")
        async with failing_syncs(venue.pid):
            await wait_until(lambda: "Input/output error" in venue.said(), "no snapshot fails")
            newest = store.indexes()[0]
            await trading_again(traders)
            assert store.indexes()[0] == newest
        await wait_until(lambda: store.indexes()[0] > newest, "no snapshot is taken again")
        await venue.kill()
        took_s = [await started_again(venue, traders)]
        await prove_at_rest(venue, traders)
        await venue.kill()
        assert await prove_snapshots(venue) >= 1
        failed = len(re.findall("snapshot failed", venue.said()))
        await prove_by_journal(venue, traders)
        record(
            "fsync of a snapshot fails with EIO",
            times=failed, acknowledged=acknowledged(traders), recovery_s=took_s, remark="orders go on meanwhile",
        )  # fmt: skip

"""The promise at every point where a daemon can die: real processes, each killed where it is told to die."""

from __future__ import annotations

import asyncio
import signal
from random import Random
from typing import TYPE_CHECKING

import pytest

from agent_sdk import connect
from exchange.adapters.archive import Archive
from exchange.adapters.crash_points import CRASH_AT, POINTS
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
from tests.faults.test_takeover import finish, trading_pair
from tests.faults.venue_process import VenueProcess

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon.support import External
    from tests.faults.traders import Trader

CREATING = ("keys_written", "stream_created", "genesis_stored")
STARTING = ("recovered", "before_epoch", "after_epoch")
LEADING = (
    "before_apply", "after_apply", "after_write", "before_ack", "before_mark",
    "before_replies", "amid_replies", "before_events", "amid_events",
)  # fmt: skip
SNAPSHOTS = ("snapshot_forked", "snapshot_written", "snapshot_renamed")
TRIMMING = ("copy_stored", "part_archived", "before_trim", "after_trim")

TIMES = 3
PROVE_EVERY = 4


def test_every_crash_point_is_tried() -> None:
    """The points that the daemon has are those that are tried here."""
    assert list(POINTS) == [*CREATING, *STARTING, *LEADING, *SNAPSHOTS, *TRIMMING]


async def die_at(venue: VenueProcess, point: str, passing: int) -> None:
    """Start the daemon and wait until it has died where it was told to."""
    await venue.spawn(**{CRASH_AT: f"{point}:{passing}"})
    assert await venue.ended() == -signal.SIGKILL, f"it did not die at {point}: {venue.said()[-3_000:]}"


async def die_at_all(venue: VenueProcess, traders: list[Trader], points: list[tuple[str, int]]) -> list[float]:
    """Let the daemon die at one point after the other; return how long it took to recover when it was looked at."""
    await venue.kill()
    took_s = []
    for number, (point, passing) in enumerate(points, 1):
        await die_at(venue, point, passing)
        if number % PROVE_EVERY == 0 or number == len(points):
            took_s.append(await started_again(venue, traders))
            await prove_so_far(traders)
            if number < len(points):
                await venue.kill()
    return took_s


@pytest.mark.slow
async def test_no_point_of_a_batch_or_of_a_start_loses_anything(tmp_path: Path) -> None:
    """Killed at every point on the way of a batch and of a start, under load: nothing is lost or doubled."""
    random = Random(11)
    points = [(point, random.randint(5, 60)) for point in LEADING * TIMES] + [(point, 1) for point in STARTING * TIMES]
    random.shuffle(points)
    async with trading_venue(tmp_path, 11) as (venue, traders):
        took_s = await die_at_all(venue, traders, points)
        await prove_at_rest(venue, traders)
        await venue.kill()
        told = await prove_by_journal(venue, traders)
        record(
            f"the daemon dies at {len(LEADING)} points of a batch and {len(STARTING)} of a start",
            times=len(points),
            acknowledged=acknowledged(traders),
            recovery_s=took_s,
            remark="before and after applying, writing, hearing, marking; amid replies, amid events",
        )
        tell("died at every point", venue, traders, took_s=took_s, **told)


@pytest.mark.slow
async def test_no_point_of_a_snapshot_loses_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed with its child at every point of a snapshot: a whole one is left, or none, and never half of one."""
    random = Random(12)
    monkeypatch.setenv("EXCHANGE_SNAPSHOTS__EVERY_COMMANDS", "100")
    # Every child counts for itself.
    points = [(point, 1) for point in SNAPSHOTS * TIMES]
    random.shuffle(points)
    async with trading_venue(tmp_path, 12) as (venue, traders):
        took_s = await die_at_all(venue, traders, points)
        await prove_at_rest(venue, traders)
        await venue.kill()
        snapshots = await prove_snapshots(venue)
        told = await prove_by_journal(venue, traders)
        assert snapshots >= 1
        record(
            f"the daemon dies at {len(SNAPSHOTS)} points of a snapshot, with the child that takes it",
            times=len(points),
            acknowledged=acknowledged(traders),
            recovery_s=took_s,
        )
        tell("died amid snapshots", venue, traders, took_s=took_s, **told)


@pytest.mark.slow
async def test_no_point_of_trimming_loses_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at every point between a snapshot and the trimming behind it: archive and journal have all of it."""
    archive = Archive(tmp_path / "archive")
    monkeypatch.setenv("EXCHANGE_SNAPSHOTS__EVERY_COMMANDS", "200")
    monkeypatch.setenv("EXCHANGE_JOURNAL__ARCHIVE", str(archive.directory))
    random = Random(14)
    points = [(point, 1) for point in TRIMMING]
    random.shuffle(points)
    async with trading_venue(tmp_path, 14) as (venue, traders):
        took_s = await die_at_all(venue, traders, points)
        await prove_at_rest(venue, traders)
        await venue.kill()
        snapshots = await prove_snapshots(venue, archive)
        told = await prove_by_journal(venue, traders, archive=archive)
        assert snapshots == 2
        assert len(archive.parts()) > 2
        record(
            f"the daemon dies at {len(TRIMMING)} points between a snapshot and the trimming behind it",
            times=len(points),
            acknowledged=acknowledged(traders),
            recovery_s=took_s,
            remark="before and after copying, archiving, trimming; archive and journal together are replayed",
        )
        tell("died amid trimming", venue, traders, took_s=took_s, **told)


@pytest.mark.slow
async def test_no_point_of_a_takeover_loses_anything(tmp_path: Path, external: External) -> None:
    """The leader is killed, and the standby that takes over dies before or after its first record."""
    took_s = []
    async with trading_pair(tmp_path, external, 13) as (pair, traders):
        for point in ("before_epoch", "after_epoch"):
            leader = pair.leader
            heir = pair.other(leader)
            await heir.kill()
            await heir.start(**{CRASH_AT: f"{point}:1"})
            await leader.kill()
            assert await heir.ended() == -signal.SIGKILL
            started = asyncio.get_running_loop().time()
            await pair.start()
            await trading_again(traders)
            took_s.append(asyncio.get_running_loop().time() - started)
            await prove_so_far(traders)
        await finish(pair, external, traders, "died amid takeovers")
        record(
            "the leader is killed, and its standby dies before or after the first record of its epoch",
            times=len(took_s),
            acknowledged=acknowledged(traders),
            recovery_s=took_s,
        )


async def test_no_point_of_its_creation_spoils_a_venue(tmp_path: Path) -> None:
    """A venue whose creation dies at any point is created whole by the next start."""
    took_s = []
    for point in CREATING:
        venue = VenueProcess(tmp_path / point)
        try:
            await die_at(venue, point, 1)
            started = asyncio.get_running_loop().time()
            await venue.start()
            took_s.append(asyncio.get_running_loop().time() - started)
            async with connect(venue.url, venue.creds("operator")) as operator:
                assert (await operator.status()).conservation_difference == 0
        finally:
            await venue.stop()
    record(f"the daemon dies at {len(CREATING)} points of the creation of its venue", times=3, recovery_s=took_s)

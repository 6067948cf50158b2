"""The disk with the data directory is not there: no daemon takes an empty mount point for a new venue."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from exchange.daemon.creation import create_venue
from tests.daemon.support import External
from tests.faults.disks import bound, needs_mount, vanish
from tests.faults.record import record
from tests.faults.test_kill import (
    acknowledged,
    prove_at_rest,
    prove_by_journal,
    prove_so_far,
    started_again,
    trading_again,
    trading_venue,
)
from tests.faults.venue_process import VenueProcess

if TYPE_CHECKING:
    from pathlib import Path


async def refuses(venue: VenueProcess) -> None:
    """Start the daemon on a mount point without its disk: it says so, and leaves the place as it was."""
    before = sorted(path.name for path in venue.files.data.iterdir())
    said = len(venue.said())
    await venue.spawn()
    assert await venue.ended() == 1
    assert "If its disk is not mounted, mount it" in venue.said()[said:]
    assert "Traceback" not in venue.said()
    assert not venue.files.exists()
    assert sorted({path.name for path in venue.files.data.iterdir()} - {"run.json"}) == before


@needs_mount
async def test_a_mount_that_vanishes_loses_nothing(tmp_path: Path) -> None:
    """Gone under load, the daemon goes on or ends; a start without the disk is refused; with it, all is there."""
    disk, place = tmp_path / "disk", tmp_path / "venue"
    creating = VenueProcess(disk)
    await creating.start()
    await creating.kill()
    place.mkdir()
    with bound(disk, place):
        async with trading_venue(tmp_path, 31) as (venue, traders):
            await asyncio.sleep(0.5)
            vanish(place)
            if venue.is_running:
                await trading_again(traders)
                await prove_so_far(traders)
            await venue.kill()
            await refuses(venue)
            with bound(disk, place):
                took_s = [await started_again(venue, traders)]
                await prove_so_far(traders)
                await prove_at_rest(venue, traders)
                await venue.kill()
                await prove_by_journal(venue, traders)
            record(
                "the mount with the data directory vanishes under load; a start without it, then with it",
                times=2, acknowledged=acknowledged(traders), recovery_s=took_s,
                remark="an empty mount point is refused, not taken for a new venue",
            )  # fmt: skip


@needs_mount
async def test_a_fresh_mount_is_no_new_venue_on_an_external_journal(tmp_path: Path) -> None:
    """With its journal elsewhere, too, a daemon refuses an empty directory, and goes on when its disk is back."""
    server = External(tmp_path)
    await server.start()
    try:
        async with server.journal() as client:
            await create_venue(client)
        async with trading_venue(tmp_path, 32, server) as (venue, traders):
            await asyncio.sleep(0.3)
            await venue.kill()
            empty = tmp_path / "empty"
            empty.mkdir()
            with bound(empty, venue.files.data):
                await refuses(venue)
            took_s = [await started_again(venue, traders)]
            await prove_so_far(traders)
            await prove_at_rest(venue, traders)
            await venue.kill()
            await prove_by_journal(venue, traders, server)
            record(
                "a fresh mount where the data directory was, the journal being on an external server",
                times=1, acknowledged=acknowledged(traders), recovery_s=took_s, remark="refused; nothing is created",
            )  # fmt: skip
    finally:
        await server.stop()

"""Come back to the state of the journal's last record: the newest good snapshot, then replay."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final, NoReturn

import structlog
from nats.errors import Error as NatsError

from exchange.adapters.archive import ArchiveCorrupt
from exchange.adapters.journal import JournalMissing
from exchange.adapters.records import JournalCorrupt, chain_hash, decode_record
from exchange.adapters.snapshot_copies import CopiesMissing
from exchange.adapters.snapshots import SnapshotCorrupt

if TYPE_CHECKING:
    from collections.abc import Callable

    from exchange.adapters.archive import Archive
    from exchange.adapters.fenced_log import FencedLog
    from exchange.adapters.high_water import HighWaterFile
    from exchange.adapters.snapshot_copies import SnapshotCopies
    from exchange.adapters.snapshots import Snapshot, SnapshotStore
    from exchange.daemon.host import Host

__all__ = ["catch_up", "explain_missing", "fetch_newer", "load_newest"]

_RESTORE: Final = (
    "The server lost records or serves another store: put its data back; or, if the loss is accepted, let "
    "`exchange restore` make a venue of what is left"
)

log = structlog.get_logger(__name__)


async def fetch_newer(store: SnapshotStore, copies: SnapshotCopies) -> int:
    """Fetch the newest good copy of a snapshot that is newer than every good one here; return its record, or 0.

    A server that does not give it is not in the way of a start from what is here.
    """
    here = next(store.whole_ones(), 0)
    try:
        await copies.open()
        for index in await copies.indexes():
            if index <= here:
                break
            try:
                path = store.adopt(index, await copies.read(index))
            except SnapshotCorrupt as error:
                log.warning("copy of a snapshot skipped", snapshot=index, error=str(error))
                continue
            log.info("snapshot fetched from the server", snapshot=index, file=str(path))
            return index
    except CopiesMissing:
        return 0
    except (NatsError, OSError, TimeoutError) as error:
        log.warning("copies of snapshots were not fetched", error=repr(error))
    return 0


def load_newest(store: SnapshotStore, new_host: Callable[[], Host]) -> tuple[Host, Snapshot | None]:
    """Return a host with the state of the newest good snapshot, and which that is; an empty host without one.

    A large one takes seconds, in which the loop does nothing else: do this before there are connections,
    which the server would give up.
    """
    store.tidy()
    for snapshot in store.good_ones():
        host = new_host()
        try:
            host.load(snapshot)
        except SnapshotCorrupt as error:
            log.warning("snapshot skipped", file=str(store.path(snapshot.index)), error=str(error))
            continue
        return host, snapshot
    return new_host(), None


def explain_missing(high_water: HighWaterFile, error: JournalMissing) -> NoReturn:
    """Raise ``error``, or a better word on a journal that had acknowledged something here: it is lost, not new.

    Raises:
        JournalMissing: there never was one.
        JournalCorrupt: there was.
    """
    mark = high_water.read()
    if mark is None:
        raise error
    message = (
        f"the server has no journal, but record {mark[0]} was acknowledged here, as {high_water.path} notes; its log "
        f"may say why. {_RESTORE}"
    )
    raise JournalCorrupt(message) from error


async def catch_up(
    host: Host,
    snapshot: Snapshot | None,
    journal: FencedLog,
    store: SnapshotStore,
    high_water: HighWaterFile,
    archive: Archive | None = None,
) -> None:
    """Bring a host from its snapshot, or from nothing, to the state after the last record of the journal.

    What the journal was trimmed of comes from the archive, where there is one.

    Raises:
        JournalMissing: the journal is empty.
        JournalCorrupt: it is shorter than, or differs from, what was acknowledged or taken a snapshot of here, or
            it was trimmed and there is no snapshot from which it goes on.
    """
    started = time.monotonic()
    mark = high_water.read()
    kept = await journal.first_index()
    last = await journal.last_index()
    if last == 0:
        error = JournalMissing("the journal is empty: it has no genesis; create the venue with `exchange init`")
        explain_missing(high_water, error)
    if mark is not None and last < mark[0]:
        message = (
            f"the journal ends at record {last}, but record {mark[0]} was acknowledged here, as {high_water.path} "
            f"notes. {_RESTORE}"
        )
        raise JournalCorrupt(message)
    if archive is not None and host.engine.index + 1 < kept:
        await asyncio.to_thread(_replay_archive, host, archive, kept)
    first = host.engine.index + 1
    if first < kept:
        raise JournalCorrupt(_describe_trimmed(kept, first - 1, store))
    if snapshot is not None:
        await _compare(journal, store, snapshot, kept, last)
    if mark is not None and mark[0] == host.engine.index:
        _compare_mark(host, mark[1], high_water)
    async with contextlib.aclosing(journal.read(first, last)) as records:
        async for index, body in records:
            try:
                host.replay(body)
            except JournalCorrupt as error:
                raise JournalCorrupt(_describe_corrupt(index, error)) from error
            if mark is not None and index == mark[0]:
                _compare_mark(host, mark[1], high_water)
    log.info("recovered", index=last, snapshot=first - 1, seconds=round(time.monotonic() - started, 3))


def _compare_mark(host: Host, acknowledged: bytes, high_water: HighWaterFile) -> None:
    if host.hash != acknowledged:
        message = (
            f"record {host.engine.index} differs from what was acknowledged here: the journal was replaced. "
            f"Restore the right one, or, if this is intended, remove {high_water.path}"
        )
        raise JournalCorrupt(message)


def _replay_archive(host: Host, archive: Archive, below: int) -> None:
    """Replay what is archived before record ``below``, as far as it goes."""
    log.warning("no snapshot to go on from: replaying the archive", directory=str(archive.directory))
    try:
        for index, body in archive.read(host.engine.index + 1):
            if index >= below:
                break
            host.replay(body)
    except (ArchiveCorrupt, OSError) as error:
        log.warning("the archive ends here", error=str(error))


def _describe_corrupt(index: int, error: JournalCorrupt) -> str:
    told = str(error)
    if not told.startswith("record "):
        told = f"record {index}: {told}"
    return (
        f"{told}. It was damaged, or written by another version, which must be started instead: put the store back "
        "from a copy; or, if the loss is accepted, let `exchange restore` make a venue of what is left"
    )


def _describe_trimmed(kept: int, newest: int, store: SnapshotStore) -> str:
    found = f"the newest good snapshot is of record {newest}" if newest else "there is no good snapshot"
    return (
        f"the journal begins at record {kept}, because it was trimmed, and {found}, neither in {store.directory} nor "
        f"on the server: put one of record {kept - 1} or later there, from a backup or from another daemon of the "
        "venue; or set journal.archive to the directory with everything that was archived"
    )


async def _compare(journal: FencedLog, store: SnapshotStore, snapshot: Snapshot, kept: int, last: int) -> None:
    """Make sure that a snapshot is one of this journal: its record has the hash that the snapshot names."""
    index = snapshot.index
    if last < index:
        message = (
            f"the journal ends at record {last}, but the snapshot {store.path(index)} was taken after record {index}. "
            f"{_RESTORE}"
        )
        raise JournalCorrupt(message)
    if index < kept:
        # The next record names the hash, and replay compares it.
        return
    async with contextlib.aclosing(journal.read(index, index)) as records:
        async for _, body in records:
            if chain_hash(decode_record(body).previous_hash, body) != snapshot.hash:
                message = (
                    f"record {index} is not the one that the snapshot {store.path(index)} was taken after: the "
                    f"journal was replaced. Restore the right one, or, if this is intended, remove {store.directory}"
                )
                raise JournalCorrupt(message)

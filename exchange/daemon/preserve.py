"""Keep safe what a new snapshot makes superfluous: copy snapshots to the server, archive records.

It runs as a process of its own beside the daemon that leads, with a connection of its own, so that it stands in
no order's way. It says on its standard output below which record the journal may be trimmed, and trims nothing.
All of it can be repeated: whoever is killed in the middle leaves nothing that the next run does not go on from.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from nats.errors import Error as NatsError

from exchange.adapters import bus
from exchange.adapters.archive import Archive, ArchiveCorrupt
from exchange.adapters.crash_points import crash_point
from exchange.adapters.fenced_log import JournalGap, NoAnswer
from exchange.adapters.journal import Journal, JournalMissing
from exchange.adapters.logging import configure_logging
from exchange.adapters.records import JournalCorrupt, decode_record
from exchange.adapters.snapshot_copies import SnapshotCopies
from exchange.adapters.snapshots import SnapshotCorrupt, SnapshotStore
from exchange.tls import TlsFiles

if TYPE_CHECKING:
    from exchange.adapters.fenced_log import FencedLog

__all__ = ["Preserved", "Task", "archive_records", "copy_snapshots", "preserve"]

_GENERATIONS: Final = 2
"""How many verified snapshots there must be, wherever they are kept, before anything is let go of."""

_NICENESS: Final = 19
_CHUNK_PAUSE_S: Final = 0.005
_PART_BYTES_MAX: Final = 32 * 1024 * 1024
_PART_RECORDS_MAX: Final = 100_000

_copy_stored: Final = crash_point("copy_stored")
_part_archived: Final = crash_point("part_archived")


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Say where the journal is and what is to be done; credentials are named, not told."""

    url: str
    creds: str
    snapshots: str
    keep: int
    copies: bool
    trim: Literal["never", "archived", "always"]
    archive: str | None
    tls: tuple[str | None, str | None, str | None] = (None, None, None)


class Preserved(msgspec.Struct, kw_only=True):
    """Say what was done. No record before ``trim_below`` is needed any more; 0 where that is not known."""

    trim_below: int = 0
    copied: int = 0
    """The record of the newest snapshot of which there is a verified copy."""
    archived: int = 0
    """The last record that is archived."""
    first: int = 0
    """The first record that the journal keeps after it was trimmed; 0 where nobody asked."""
    problem: str = ""


async def preserve(task: Task) -> Preserved:
    """Do a task as far as it goes; what is in its way is told and not raised."""
    done = Preserved()
    try:
        tls = TlsFiles(*(None if name is None else Path(name) for name in task.tls))
        client = await bus.connect(task.url, Path(task.creds), "journal", tls=tls)
        try:
            journal = Journal(client)
            await journal.open()
            await _preserve(task, SnapshotCopies(client, pause_s=_CHUNK_PAUSE_S), journal, done)
        finally:
            await client.close()
    except (
        bus.BusError, NatsError, OSError, NoAnswer, SnapshotCorrupt, ArchiveCorrupt, JournalCorrupt, JournalGap,
        JournalMissing,
    ) as error:  # fmt: skip
        done.trim_below = 0
        done.problem = f"{type(error).__name__}: {error}"
    return done


async def _preserve(task: Task, copies: SnapshotCopies, journal: FencedLog, done: Preserved) -> None:
    store = SnapshotStore(Path(task.snapshots))
    bound = _oldest(list(store.whole_ones())[: task.keep])
    if task.copies:
        is_trimming = task.trim == "always" or (task.trim == "archived" and task.archive is not None)
        kept = await copy_snapshots(store, copies, task.keep, read_all=is_trimming)
        done.copied = max(kept, default=0)
        # A daemon that starts elsewhere has these only.
        bound = min(bound, _oldest(kept))
    if task.trim == "never" or bound == 0:
        return
    if task.archive is not None:
        done.archived = await archive_records(journal, Archive(Path(task.archive)), bound)
    elif task.trim == "archived":
        return
    done.trim_below = bound


def _oldest(kept: list[int]) -> int:
    """Return the record of the oldest snapshot that is kept, 0 where there are too few of them."""
    return min(kept) if len(kept) >= _GENERATIONS else 0


async def copy_snapshots(
    store: SnapshotStore, copies: SnapshotCopies, keep: int, *, read_all: bool = True
) -> list[int]:
    """Copy the newest snapshot, and drop the oldest copies once there are ``keep`` whole ones; return these.

    Each was read back when it was written. With ``read_all`` all are read once more, for nothing may be trimmed that
    stands on one that was damaged since; otherwise they are only counted through.

    Raises:
        SnapshotCorrupt: the new copy is not what was sent.
        nats.errors.Error: the server refuses, or does not answer.
    """
    await copies.open(create=True)
    newest = next(store.whole_ones(), 0)
    there = await copies.indexes()
    kept: list[int] = []
    if newest and newest not in there:
        await copies.put(newest, store.path(newest))
        _copy_stored()
        there.append(newest)
    for index in sorted(there, reverse=True):
        if len(kept) >= keep:
            await copies.drop(index)
            continue
        try:
            await (copies.check(index) if read_all else copies.count(index))
        except SnapshotCorrupt:
            if index != newest:
                # It would be in the way of good ones, and nobody can start from it.
                await copies.drop(index)
                continue
            await copies.drop(index)
            await copies.put(index, store.path(index))
        kept.append(index)
    return kept


async def archive_records(journal: FencedLog, archive: Archive, below: int) -> int:
    """Archive the records before ``below`` that are not yet; return the last one that is archived.

    Raises:
        ArchiveCorrupt: the archive is damaged, or of another journal.
        JournalGap: a record is missing in the journal.
        NoAnswer: the journal does not answer.
        OSError: the archive cannot be written.
    """
    archive.tidy()
    first = await journal.first_index()
    end = await asyncio.to_thread(archive.end)
    if end is not None and end[0] + 1 >= first:
        first = end[0] + 1
        last = await journal.last_index()
        if end[0] > last:
            raise ArchiveCorrupt(_describe_foreign(archive, f"it ends with record {end[0]}, the journal with {last}"))
        if first <= last:
            await _compare(journal, archive, first, end[1])
    bodies: list[bytes] = []
    size = 0
    async with contextlib.aclosing(journal.read(first, below - 1)) as records:
        async for index, body in records:
            bodies.append(body)
            size += len(body)
            if size >= _PART_BYTES_MAX or len(bodies) >= _PART_RECORDS_MAX or index == below - 1:
                await asyncio.to_thread(archive.write, index + 1 - len(bodies), bodies)
                _part_archived()
                bodies, size = [], 0
    return max(below - 1, end[0] if end is not None else 0)


async def _compare(journal: FencedLog, archive: Archive, index: int, after: bytes) -> None:
    """Make sure that the journal goes on where the archive ends."""
    async with contextlib.aclosing(journal.read(index, index)) as records:
        async for _, body in records:
            if decode_record(body).previous_hash != after:
                problem = f"record {index} does not chain to its last one"
                raise ArchiveCorrupt(_describe_foreign(archive, problem))


def _describe_foreign(archive: Archive, problem: str) -> str:
    return (
        f"{archive.directory} is not the archive of this journal: {problem}; "
        "give journal.archive a directory of its own"
    )


def main(arguments: list[str]) -> int:
    """Do the task in the first argument and print what was done."""
    configure_logging("warning")
    task = msgspec.json.decode(arguments[0], type=Task)
    os.nice(_NICENESS)
    done = asyncio.run(preserve(task))
    # Past the buffers: nobody listens any more where the daemon was killed meanwhile.
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), msgspec.json.encode(done))
    return 1 if done.problem else 0

"""Make a venue of what is left when acknowledged records are lost: a new incarnation. Prints nothing.

``survey`` finds the furthest state that can be proved, from snapshots, their copies, an archive and the journal,
and changes nothing. ``begin`` makes it the venue's state: it takes a snapshot, lets the journal go on behind it
and writes the first record of the next incarnation. All of it can be repeated when it was interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import structlog
from nats.errors import Error as NatsError

from exchange.adapters.archive import Archive, ArchiveCorrupt
from exchange.adapters.fenced_log import JournalGap
from exchange.adapters.high_water import HighWaterFile
from exchange.adapters.journal import Journal, JournalMissing, create_stream, delete_stream
from exchange.adapters.records import JournalCorrupt, chain_hash, decode_record
from exchange.adapters.snapshot_copies import CopiesMissing, SnapshotCopies
from exchange.adapters.snapshots import Snapshot, SnapshotCorrupt, SnapshotStore, decode_snapshot
from exchange.daemon.creation import new_writer
from exchange.daemon.host import Host
from exchange.daemon.preserve import archive_records, copy_snapshots
from exchange.daemon.snapshotter import prove

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from nats.aio.client import Client

    from exchange.adapters.venue_files import VenueFiles

__all__ = ["NothingLeft", "Restore", "Survey"]

log = structlog.get_logger(__name__)


class NothingLeft(Exception):
    """Raised when there is neither a genesis nor a good snapshot to make a venue of."""


@dataclass(kw_only=True)
class Survey:
    """Say what is left of a venue, and what is lost as far as is known here.

    ``known`` is the last record that is known to have been written: it was acknowledged here, or the journal counts
    it, or a snapshot was taken of it.
    """

    start: str = "genesis"
    last: int = 0
    last_time_us: int = 0
    known: int = 0
    incarnation: int = 0
    """The incarnation that will begin."""
    journal: tuple[int, int] | None = None
    """The first and last record that the journal counts; None where there is no journal."""
    keeps_journal: bool = False
    """Whether the journal goes on as it is, because it ends with the last good record."""
    notes: list[str] = field(default_factory=list)
    """What stood in the way, in words."""

    @property
    def lost(self) -> int:
        """How many records are lost, as far as is known here."""
        return max(self.known - self.last, 0)


class Restore:
    """Restore one venue over a connection to its journal's server; no daemon may run meanwhile."""

    def __init__(
        self,
        client: Client,
        files: VenueFiles,
        *,
        archive: Archive | None = None,
        snapshot: Path | None = None,
        keep: int = 2,
        replicas: int = 1,
    ) -> None:
        self._client = client
        self._files = files
        self._archive = archive
        self._given = snapshot
        self._replicas = replicas
        self._store = SnapshotStore(files.snapshots, keep=keep)
        self._keep = keep
        self._journal = Journal(client)
        self._copies: SnapshotCopies | None = SnapshotCopies(client)
        self._survey = Survey()
        self._host = _new_host()

    # ── looking ─────────────────────────────────────────────────────────────────────────────────

    async def survey(self) -> Survey:
        """Find the furthest state that can be proved; change nothing.

        Raises:
            NothingLeft: there is none.
            NoAnswer: the server does not answer.
        """
        survey = self._survey
        await self._look_at_journal()
        mark = _read_mark(self._files.high_water)
        snapshots = await self._list_snapshots()
        survey.known = max([mark or 0, *snapshots, survey.journal[1] if survey.journal else 0])
        limit = None
        await self._load_newest(snapshots, limit)
        while (failed := await self._replay(limit)) is not None:
            # A host that failed in the middle of a record is of no use any more.
            limit = failed - 1
            await self._load_newest(snapshots, limit)
        if self._host.engine.index == 0:
            message = "there is neither a genesis nor a good snapshot: " + "; ".join(survey.notes or ["nothing at all"])
            raise NothingLeft(message)
        survey.last, survey.last_time_us = self._host.engine.index, self._host.engine.time_us
        survey.incarnation = self._host.incarnation + 1
        survey.keeps_journal = survey.journal is not None and survey.journal[1] == survey.last and await self._fits()
        return survey

    async def _look_at_journal(self) -> None:
        try:
            await self._journal.open()
        except JournalMissing:
            self._survey.notes.append("the server keeps no journal")
            return
        self._survey.journal = await self._journal.first_index(), await self._journal.last_index()

    async def _list_snapshots(self) -> dict[int, list[Path | None]]:
        """Return where there are snapshots, by their records; None stands for the server."""
        found: dict[int, list[Path | None]] = {}
        if self._given is not None:
            try:
                index = decode_snapshot(self._given.read_bytes()).index
            except SnapshotCorrupt as error:
                message = f"{self._given} is no good snapshot: {error}"
                raise SnapshotCorrupt(message) from None
            found.setdefault(index, []).append(self._given)
        for index in self._store.indexes():
            found.setdefault(index, []).append(self._store.path(index))
        assert self._copies is not None  # noqa: S101 - nobody has taken it yet
        try:
            await self._copies.open()
            for index in await self._copies.indexes():
                found.setdefault(index, []).append(None)
        except CopiesMissing:
            self._copies = None
        return found

    async def _load_newest(self, snapshots: dict[int, list[Path | None]], limit: int | None) -> None:
        """Load the newest good snapshot up to ``limit`` that does not contradict the journal."""
        self._survey.start = "genesis"
        self._host = _new_host()
        for index in sorted(snapshots, reverse=True):
            if limit is not None and index > limit:
                continue
            for path in snapshots[index]:
                try:
                    snapshot = await self._read(index, path)
                    await self._compare(snapshot)
                    host = _new_host()
                    host.load(snapshot)
                except (SnapshotCorrupt, OSError) as error:
                    self._note(f"{_name(index, path)}: {error}")
                    continue
                self._host = host
                self._survey.start = _name(index, path)
                return

    async def _read(self, index: int, path: Path | None) -> Snapshot:
        if path is not None:
            return decode_snapshot(await asyncio.to_thread(path.read_bytes))
        assert self._copies is not None  # noqa: S101 - it was listed there
        return decode_snapshot(await self._copies.read(index))

    async def _compare(self, snapshot: Snapshot) -> None:
        """Make sure that the journal, where it has the record of a snapshot or the next one, agrees with it."""
        if self._survey.journal is None:
            return
        first, last = self._survey.journal
        for index in (snapshot.index, snapshot.index + 1):
            if not first <= index <= last:
                continue
            with contextlib.suppress(JournalGap, JournalCorrupt):
                body = await self._one(index)
                named = decode_record(body).previous_hash
                if (chain_hash(named, body) if index == snapshot.index else named) != snapshot.hash:
                    message = f"it does not fit record {index} of the journal: it was taken of another one"
                    raise SnapshotCorrupt(message)

    async def _one(self, index: int) -> bytes:
        async with contextlib.aclosing(self._journal.read(index, index)) as records:
            found = [body async for _, body in records]
        return found[0]

    async def _replay(self, limit: int | None) -> int | None:
        """Replay what follows, from the archive and the journal, up to ``limit``; return the record that fails."""
        host = self._host
        at = host.engine.index + 1
        missing = 0
        while True:
            try:
                async for body in self._records(at):
                    if limit is not None and at > limit:
                        break
                    host.replay(body)
                    at += 1
            except JournalCorrupt as error:
                self._note(str(error))
                return at
            except JournalGap as error:
                # A server may be slow, and what comes late is not lost; what is really missing is so twice.
                if missing != at:
                    missing = at
                    continue
                self._note(str(error))
            except (ArchiveCorrupt, OSError) as error:
                # The host is as it was: nothing of the missing record was applied.
                self._note(str(error))
            return None

    def _note(self, text: str) -> None:
        if text not in self._survey.notes:
            self._survey.notes.append(text)

    async def _records(self, first: int) -> AsyncGenerator[bytes, None]:
        """Yield the records from ``first`` on: from the archive before the journal begins, and after it ends."""
        begins, last = self._survey.journal or (0, 0)
        expected = first
        if self._archive is not None and not begins <= expected <= last:
            for index, body in self._archive.read(first):
                if begins <= index <= last:
                    break
                yield body
                expected = index + 1
        if begins <= expected <= last:
            async with contextlib.aclosing(self._journal.read(expected, last)) as records:
                async for index, body in records:
                    yield body
                    expected = index + 1
            if self._archive is not None:
                for _, body in self._archive.read(expected):
                    yield body

    async def _fits(self) -> bool:
        """Return whether the last record of the journal is there, and the last one that was replayed."""
        try:
            body = await self._one(self._survey.last)
            return chain_hash(decode_record(body).previous_hash, body) == self._host.hash
        except (JournalGap, JournalCorrupt):
            # Damaged, but there is a snapshot of it; or a restore was interrupted before its first record.
            return False

    async def has_moved(self) -> bool:
        """Return whether somebody has written to the journal since it was looked at."""
        survey = self._survey
        return survey.journal is not None and await self._journal.last_index() != survey.journal[1]

    # ── doing ───────────────────────────────────────────────────────────────────────────────────

    async def begin(self) -> int:
        """Begin the next incarnation from what the survey found; return the index of its first record.

        Raises:
            Replaced: somebody else writes to the journal.
        """
        host, survey = self._host, self._survey
        self._files.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._store.tidy()
        self._put_aside([index for index in self._store.indexes() if index > survey.last])
        self._store.write(host.snapshot(), prove)
        if not survey.keeps_journal:
            await self._renew_journal()
        step = host.begin_incarnation(max(time.time_ns() // 1_000, host.engine.time_us + 1))
        await self._journal.append(step.batch.index, step.body)
        await self._renew_copies()
        self._files.high_water.unlink(missing_ok=True)
        mark = HighWaterFile(self._files.high_water)
        mark.write(step.batch.index, step.hash)
        mark.close()
        log.info("incarnation begun", incarnation=host.incarnation, index=step.batch.index)
        return step.batch.index

    def lost_directory(self) -> Path:
        """Return where ``begin`` puts what it takes out of use."""
        return self._files.data / f"lost-{self._survey.incarnation - 1}"

    def _put_aside(self, indexes: list[int]) -> None:
        """Take snapshots out of the way that are of the lost history, or damaged."""
        for index in indexes:
            directory = self.lost_directory()
            directory.mkdir(exist_ok=True, mode=0o700)
            path = self._store.path(index)
            path.rename(directory / path.name)

    async def _renew_journal(self) -> None:
        """Let the journal begin after the last good record; what the old one holds is kept in files first."""
        survey = self._survey
        replicas = self._replicas
        if survey.journal is not None:
            await self._keep_records(*survey.journal)
            replicas = await delete_stream(self._client) or replicas
        await create_stream(self._client, replicas=replicas, first=survey.last + 1)
        self._journal = Journal(self._client)
        await self._journal.open()

    async def _keep_records(self, first: int, last: int) -> None:
        """Archive the good records of the journal, and write the others to a file as they are."""
        archive = self._archive or Archive(self._files.data / "archive")
        good = min(last, self._survey.last)
        try:
            if first <= good:
                await archive_records(self._journal, archive, good + 1)
        except (ArchiveCorrupt, JournalCorrupt, JournalGap) as error:
            log.warning("the good records are not archived, but kept with the others", error=str(error))
            good = first - 1
        if good >= last:
            return
        directory = self.lost_directory()
        directory.mkdir(exist_ok=True, mode=0o700)
        path = directory / f"{max(first, good + 1)}-{last}.journal"
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            async for record in self._journal.read_what_is_there(max(first, good + 1), last):
                file.write(msgspec.msgpack.encode(record))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)

    async def _renew_copies(self) -> None:
        """Copy the snapshot, and drop the copies that are of the lost history: the next leader must not keep those.

        Raises:
            nats.errors.Error: they cannot be dropped.
        """
        copies = self._copies or SnapshotCopies(self._client)
        with contextlib.suppress(CopiesMissing):
            await copies.open()
            for index in await copies.indexes():
                if index > self._survey.last:
                    await copies.drop(index)
        try:
            await copy_snapshots(self._store, copies, self._keep)
        except (NatsError, SnapshotCorrupt) as error:
            log.warning("the snapshot was not copied to the server; the next one will be", error=repr(error))


def _new_host() -> Host:
    return Host(send=lambda _subject, _payload: None, now_s=time.monotonic, writer=new_writer())


def _name(index: int, path: Path | None) -> str:
    return f"the copy of snapshot {index} on the server" if path is None else f"snapshot {path}"


def _read_mark(path: Path) -> int | None:
    if not path.exists():
        return None
    file = HighWaterFile(path)
    try:
        found = file.read()
    finally:
        file.close()
    return None if found is None else found[0]

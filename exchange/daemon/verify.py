"""Audit a journal: replay it from where the records begin and prove everything that it claims. Prints nothing.

What is proved: every record chains to the one before and brings forth the outputs it was written with;
every invariant of the ledger and of the mechanisms holds; every asset is conserved, by running totals and
by counting every balance; the journal reaches what was acknowledged here, unchanged; and the snapshots
that were taken here, and their copies, are whole and hold the states that it brings forth. Where a leader
said that winners of an auction are the best ones, they are sought again.

A journal that was trimmed is proved from genesis with its archive, else from the oldest good snapshot that
its records chain to.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final, cast

import msgspec
from nats.errors import Error as NatsError

from exchange.adapters.archive import Archive, ArchiveCorrupt
from exchange.adapters.fenced_log import JournalGap, NoAnswer
from exchange.adapters.high_water import HighWaterFile
from exchange.adapters.records import JournalCorrupt, chain_hash, decode_record
from exchange.adapters.snapshots import Snapshot, SnapshotCorrupt, decode_snapshot
from exchange.daemon.determinations import Determinations, answers_of, look_over, problems_before
from exchange.daemon.host import Host
from exchange.engine import hash_state

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable
    from pathlib import Path
    from typing import Protocol

    from exchange.adapters.snapshot_copies import SnapshotCopies
    from exchange.adapters.snapshots import SnapshotStore
    from exchange.daemon.determinations import Determined
    from exchange.engine import Engine

    class Records(Protocol):
        """Say what an audit needs of a journal."""

        async def first_index(self) -> int:
            """Return the index of the first record that is kept."""

        async def last_index(self) -> int:
            """Return the index of the last record."""

        def read(self, first: int, last: int) -> AsyncIterator[tuple[int, bytes]]:
            """Yield index and body of every record from ``first`` to ``last``."""


__all__ = ["AssetProof", "Audit", "Problem", "audit_journal", "read_high_water"]

_REPORT_EVERY: Final = 256
_ATTEMPTS: Final = 3


class Problem(msgspec.Struct, frozen=True):
    """Say what is wrong: which record (None: the journal as a whole), what kind, in words."""

    index: int | None
    kind: str
    text: str


class AssetProof(msgspec.Struct, frozen=True):
    """Prove one asset, in smallest units: what was issued, what all balances hold, the running totals."""

    asset: str
    decimals: int
    issued: int
    counted: int
    totals: int

    @property
    def is_conserved(self) -> bool:
        """Whether the three are the same."""
        return self.issued == self.counted == self.totals


class Audit(msgspec.Struct, kw_only=True):
    """Hold what an audit found; ``problems`` is empty for a good journal.

    Hashes are those after the last record that could be replayed, number ``records``; the records up to
    ``started_after`` were taken from a snapshot (0: none were), which ``start`` names.
    """

    last_index: int
    first_index: int = 1
    start: str = "genesis"
    started_after: int = 0
    archived: int = 0
    """How many records were read from the archive."""
    records: int = 0
    bytes: int = 0
    commands: int = 0
    epochs: int = 0
    incarnation: int = 0
    agents: int = 0
    first_time_us: int = 0
    last_time_us: int = 0
    chain_hash: str = ""
    state_hash: str = ""
    business_hash: str = ""
    high_water: int | None = None
    snapshots: int = 0
    copies: int = 0
    determinations: Determinations = msgspec.field(default_factory=Determinations)
    assets: list[AssetProof] = []
    problems: list[Problem] = []
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def read_high_water(path: Path) -> tuple[int, bytes] | None:
    """Return what was acknowledged here, without creating the file that says so."""
    if not path.exists():
        return None
    file = HighWaterFile(path)
    try:
        return file.read()
    finally:
        file.close()


async def audit_journal(
    journal: Records,
    *,
    high_water: tuple[int, bytes] | None = None,
    snapshots: SnapshotStore | None = None,
    copies: SnapshotCopies | None = None,
    archive: Archive | None = None,
    invariants_every: int = 0,
    solve: bool = True,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Audit:
    """Replay a journal from where its records begin and return what was found.

    Invariants are checked at the end, and after every ``invariants_every`` records if that is not 0 (slow).
    ``high_water`` must have been read before this is called: a running venue goes on. ``copies`` are those that
    the server keeps and must be open; ``archive`` has what the journal was trimmed of. Without ``solve`` it is
    believed that the winners of auctions are the best ones.
    """
    for _ in range(_ATTEMPTS):
        auditor = _Auditor(journal, high_water, snapshots, copies, archive, invariants_every, on_progress, solve=solve)
        audit = await auditor.run()
        if not auditor.was_overtaken:
            break
    return audit


class _Auditor:
    """Audit one journal."""

    def __init__(
        self,
        journal: Records,
        high_water: tuple[int, bytes] | None,
        snapshots: SnapshotStore | None,
        copies: SnapshotCopies | None,
        archive: Archive | None,
        invariants_every: int,
        on_progress: Callable[[int, int], None],
        *,
        solve: bool,
    ) -> None:
        self._journal = journal
        self._high_water = high_water
        self._snapshots = snapshots
        self._copies = copies
        self._archive = archive
        self._invariants_every = invariants_every
        self._on_progress = on_progress
        self._solve = solve
        self._host = _new_host()
        self._audit = Audit(last_index=0, problems=[])
        self._taken: set[int] = set()
        self._copied: set[int] = set()
        self._archive_end: tuple[int, bytes] | None = None
        self.was_overtaken = False
        """Whether a running venue trimmed records that were still to be read."""

    async def run(self) -> Audit:
        started = time.monotonic()
        audit = self._audit
        audit.first_index = await self._journal.first_index()
        audit.last_index = await self._journal.last_index()
        if not self._solve:
            audit.determinations.solver = "skipped"
        if audit.last_index == 0:
            self._add(None, "empty", "the journal holds no record, not even a genesis")
        else:
            await self._list_snapshots()
            try:
                await self._replay_all()
            except JournalGap as error:
                self.was_overtaken = await self._journal.first_index() > max(audit.first_index, audit.records + 1)
                self._add(audit.records + 1, "gap", str(error))
            except (TimeoutError, NatsError, NoAnswer) as error:
                text = f"the server does not deliver record {audit.records + 1}: {error!r}"
                self._add(audit.records + 1, "unreadable", text)
            _check_state(self._host.engine, audit)
        _check_length(audit, self._high_water)
        audit.seconds = time.monotonic() - started
        return audit

    def _add(self, index: int | None, kind: str, text: str) -> None:
        self._audit.problems.append(Problem(index, kind, text))

    async def _list_snapshots(self) -> None:
        if self._snapshots is not None:
            self._taken = set(self._snapshots.indexes())
        if self._copies is not None:
            self._copied = set(await self._copies.indexes())

    async def _replay_all(self) -> None:
        """Replay up to the first record that is wrong: nothing after it can be judged."""
        if self._archive is not None:
            if not await self._replay_archive(self._archive):
                return
        elif self._audit.first_index > 1 and not await self._start_from_snapshot():
            return
        async for index, body in self._read(self._host.engine.index + 1, self._audit.last_index):
            if not await self._replay(index, body):
                return

    async def _read(self, first: int, last: int) -> AsyncGenerator[tuple[int, bytes], None]:
        # Closed at once where the audit ends early, while there is a connection to say so on.
        reading = cast("AsyncGenerator[tuple[int, bytes], None]", self._journal.read(first, last))
        async with contextlib.aclosing(reading) as records:
            async for record in records:
                yield record

    async def _replay_archive(self, archive: Archive) -> bool:
        """Replay what the journal was trimmed of; return whether it could be, without a gap."""
        audit = self._audit
        audit.start = f"genesis, in {archive.directory}"
        try:
            self._archive_end = archive.end()
            for index, body in archive.read():
                if index >= audit.first_index:
                    break
                if not await self._replay(index, body):
                    return False
                audit.archived = index
        except (ArchiveCorrupt, OSError) as error:
            self._add(audit.records + 1, "archive", str(error))
            return False
        if audit.records + 1 < audit.first_index:
            found = f"ends with record {audit.records}" if audit.records else "holds no record"
            text = (
                f"{archive.directory} {found}, and the journal begins with record {audit.first_index}: those between "
                "are nowhere. Without --archive the audit begins with a snapshot"
            )
            self._add(audit.records + 1, "archive", text)
            return False
        return True

    async def _start_from_snapshot(self) -> bool:
        """Load the oldest good snapshot from which the journal goes on; return whether there is one."""
        audit = self._audit
        for index in sorted(self._taken | self._copied):
            if not audit.first_index - 1 <= index <= audit.last_index:
                continue
            for is_copy in (False, True):
                snapshot = await self._load(index, is_copy=is_copy)
                if snapshot is None:
                    continue
                host = _new_host()
                problem = await self._compare_chain(snapshot, host)
                if problem is None:
                    self._host = host
                    audit.start, audit.started_after = f"the snapshot {self._name(index, is_copy=is_copy)}", index
                    audit.records = index
                    return True
                self._add_snapshot(index, problem, is_copy=is_copy)
        text = (
            f"the journal begins with record {audit.first_index}, because it was trimmed, and there is no good "
            "snapshot to go on from. Give the archive of what it was trimmed of with --archive, or the directory of a "
            "daemon with snapshots with --data"
        )
        self._add(None, "trimmed", text)
        return False

    async def _compare_chain(self, snapshot: Snapshot, host: Host) -> str | None:
        """Prove that the journal's records chain to a snapshot, and load it; return what is wrong."""
        found = snapshot.hash
        async for index, body in self._read(self._audit.first_index, snapshot.index):
            try:
                record = decode_record(body)
            except JournalCorrupt as error:
                return f"record {index}, before it, cannot be read: {error}"
            if index > self._audit.first_index and record.previous_hash != found:
                return f"record {index}, before it, does not chain to the record before"
            found = chain_hash(record.previous_hash, body)
        if found != snapshot.hash:
            return "it was taken of another journal"
        try:
            host.load(snapshot)
        except SnapshotCorrupt as error:
            return str(error)
        return None

    async def _replay(self, index: int, body: bytes) -> bool:
        """Replay one record; return whether it is good."""
        before = self._problems_before(body)
        problem = _replay_one(self._host, index, body, self._audit)
        if problem is None and self._high_water is not None and index == self._high_water[0]:
            problem = _compare_mark(self._host, self._high_water)
        if problem is None and self._archive_end is not None and index == self._archive_end[0]:
            problem = self._compare_archive(self._archive_end)
        if problem is None and self._invariants_every and index % self._invariants_every == 0:
            problem = _check_invariants(self._host.engine, index)
        if problem is not None:
            self._audit.problems.append(problem)
            return False
        for determined, answer in answers_of(self._host, before):
            # The journal is good all the same: these are the records, and what they bring forth.
            for text in await look_over(determined, answer, self._audit.determinations):
                self._add(index, "winners", text)
        for is_copy, indexes in ((False, self._taken), (True, self._copied)):
            if index in indexes:
                await self._compare_snapshot(index, is_copy=is_copy)
        if index % _REPORT_EVERY == 0 or index == self._audit.last_index:
            self._on_progress(index, self._audit.last_index)
        return True

    def _problems_before(self, body: bytes) -> list[Determined]:
        """Return which problems a record may answer; of one that cannot be read the replay will say so."""
        if not self._solve:
            return []
        try:
            return problems_before(self._host, body)
        except JournalCorrupt:
            return []

    def _compare_archive(self, end: tuple[int, bytes]) -> Problem | None:
        if self._host.hash == end[1]:
            return None
        return Problem(end[0], "archive", "it is not the record that was archived: this is another journal's archive")

    async def _load(self, index: int, *, is_copy: bool) -> Snapshot | None:
        """Return a snapshot, or None of one that is damaged or not there (any more)."""
        if index not in (self._copied if is_copy else self._taken):
            return None
        try:
            if not is_copy:
                assert self._snapshots is not None  # noqa: S101 - they were listed
                return self._snapshots.read(index)
            assert self._copies is not None  # noqa: S101 - they were listed
            return decode_snapshot(await self._copies.read(index))
        except FileNotFoundError:
            # A running venue dropped it meanwhile, for a newer one.
            return None
        except (SnapshotCorrupt, OSError) as error:
            if is_copy and self._copies is not None and index not in await self._copies.indexes():
                return None
            self._add_snapshot(index, str(error), is_copy=is_copy)
        return None

    async def _compare_snapshot(self, index: int, *, is_copy: bool) -> None:
        """Prove the snapshot after the present record; the journal is good whatever comes of it."""
        snapshot = await self._load(index, is_copy=is_copy)
        if snapshot is None:
            return
        if snapshot.hash != self._host.hash:
            self._add_snapshot(index, "it was taken of another journal", is_copy=is_copy)
        elif not hash_state(snapshot.state) == snapshot.state_hash == self._host.engine.state_hash():
            self._add_snapshot(index, "its state is not the one that the journal brings forth", is_copy=is_copy)
        elif is_copy:
            self._audit.copies += 1
        else:
            self._audit.snapshots += 1

    def _add_snapshot(self, index: int, problem: str, *, is_copy: bool) -> None:
        advice = (
            "The daemon replaces it when it takes its next snapshots"
            if is_copy
            else "Remove it: a start then takes another one, or replays more of the journal"
        )
        self._add(
            index, "copy" if is_copy else "snapshot", f"{self._name(index, is_copy=is_copy)}: {problem}. {advice}"
        )

    def _name(self, index: int, *, is_copy: bool) -> str:
        if is_copy or self._snapshots is None:
            return f"copy of record {index} on the server"
        return str(self._snapshots.path(index))


def _new_host() -> Host:
    return Host(send=lambda _subject, _payload: None, now_s=time.monotonic)


def _replay_one(host: Host, index: int, body: bytes, audit: Audit) -> Problem | None:
    try:
        record = host.replay(body)
    except JournalCorrupt as error:
        return Problem(index, "corrupt", str(error))
    except Exception as error:  # noqa: BLE001 - a record can be wrong in any way; the audit says where
        return Problem(index, "inapplicable", f"it cannot be applied: {type(error).__name__}: {error}")
    audit.records = index
    audit.bytes += len(body)
    audit.commands += len(record.commands)
    audit.epochs = record.epoch
    audit.incarnation = record.incarnation
    audit.first_time_us = audit.first_time_us or record.time_us
    audit.last_time_us = record.time_us
    audit.chain_hash = host.hash.hex()
    if host.engine.conservation_difference():
        rows = {asset: off for asset, off in host.engine.ledger.conservation().items() if off}
        return Problem(index, "conservation", f"after it, units are missing or too many: {rows}")
    return None


def _compare_mark(host: Host, high_water: tuple[int, bytes]) -> Problem | None:
    index, chain_hash = high_water
    if host.hash == chain_hash:
        return None
    text = (
        f"its chain hash is {host.hash.hex()[:16]}…, but {chain_hash.hex()[:16]}… was acknowledged here: "
        "the journal was replaced or rewritten"
    )
    return Problem(index, "high_water", text)


def _check_invariants(engine: Engine, index: int) -> Problem | None:
    broken = engine.check_invariants()
    return Problem(index, "invariant", f"after it, broken: {', '.join(broken)}") if broken else None


def _check_state(engine: Engine, audit: Audit) -> None:
    """Prove the state after the last good record."""
    if audit.records == 0:
        return
    broken = _check_invariants(engine, audit.records)
    if broken is not None and broken not in audit.problems:
        audit.problems.append(broken)
    audit.assets = _count(engine)
    for proof in audit.assets:
        if not proof.is_conserved:
            text = (
                f"{proof.asset}: {proof.issued} were issued, all balances hold {proof.counted}, "
                f"the running totals say {proof.totals}"
            )
            audit.problems.append(Problem(audit.records, "conservation", text))
    audit.agents = len(engine.agents)
    audit.state_hash = engine.state_hash()
    audit.business_hash = engine.business_hash()


def _count(engine: Engine) -> list[AssetProof]:
    """Add up every balance of every account."""
    ledger = engine.ledger
    counted = dict.fromkeys(ledger.assets, 0)
    for account in ledger.accounts.values():
        for name, balance in account.balances.items():
            counted[name] += balance.available + balance.held
    return [
        AssetProof(
            asset=name,
            decimals=asset.decimals,
            issued=asset.issued,
            counted=counted[name],
            totals=sum(total.amount for total in asset.totals.values()),
        )
        for name, asset in ledger.assets.items()
    ]


def _check_length(audit: Audit, high_water: tuple[int, bytes] | None) -> None:
    """Compare the length of the journal with what was acknowledged here."""
    if high_water is None:
        return
    audit.high_water = high_water[0]
    if audit.last_index < high_water[0]:
        text = (
            f"the journal ends at record {audit.last_index}, but record {high_water[0]} was acknowledged "
            "here: the server lost records or serves another store"
        )
        audit.problems.append(Problem(None, "high_water", text))

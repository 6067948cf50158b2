"""Audit a journal: replay it from the first record and prove everything that it claims. Prints nothing.

What is proved: every record chains to the one before and brings forth the outputs it was written with;
every invariant of the ledger and of the mechanisms holds; every asset is conserved, by running totals and
by counting every balance; the journal reaches what was acknowledged here, unchanged; and the snapshots
that were taken here are whole and hold the states that it brings forth.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final, cast

import msgspec
from nats.errors import Error as NatsError

from exchange.adapters.high_water import HighWaterFile
from exchange.adapters.journal import JournalGap
from exchange.adapters.records import JournalCorrupt
from exchange.adapters.snapshots import SnapshotCorrupt
from exchange.daemon.host import Host
from exchange.engine import hash_state

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable
    from pathlib import Path
    from typing import Protocol

    from exchange.adapters.snapshots import SnapshotStore
    from exchange.engine import Engine

    class Records(Protocol):
        """Say what an audit needs of a journal."""

        async def last_index(self) -> int:
            """Return the index of the last record."""

        def read(self, first: int, last: int) -> AsyncIterator[tuple[int, bytes]]:
            """Yield index and body of every record from ``first`` to ``last``."""


__all__ = ["AssetProof", "Audit", "Problem", "audit_journal", "read_high_water"]

_REPORT_EVERY: Final = 256


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

    Hashes are those after the last record that could be replayed, number ``records``.
    """

    last_index: int
    records: int = 0
    bytes: int = 0
    commands: int = 0
    epochs: int = 0
    agents: int = 0
    first_time_us: int = 0
    last_time_us: int = 0
    chain_hash: str = ""
    state_hash: str = ""
    business_hash: str = ""
    high_water: int | None = None
    snapshots: int = 0
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
    invariants_every: int = 0,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Audit:
    """Replay a journal from its first record and return what was found.

    Invariants are checked at the end, and after every ``invariants_every`` records if that is not 0 (slow).
    ``high_water`` must have been read before this is called: a running venue goes on.
    """
    started = time.monotonic()
    audit = Audit(last_index=await journal.last_index(), problems=[])
    host = Host(send=lambda _subject, _payload: None, now_s=time.monotonic)
    if audit.last_index == 0:
        audit.problems.append(Problem(None, "empty", "the journal holds no record, not even a genesis"))
    else:
        await _replay(host, journal, audit, high_water, snapshots, invariants_every, on_progress)
        _check_state(host.engine, audit)
    _check_length(audit, high_water)
    audit.seconds = time.monotonic() - started
    return audit


async def _replay(
    host: Host,
    journal: Records,
    audit: Audit,
    high_water: tuple[int, bytes] | None,
    snapshots: SnapshotStore | None,
    invariants_every: int,
    on_progress: Callable[[int, int], None],
) -> None:
    """Replay record by record up to the first that is wrong: nothing after it can be judged."""
    taken = frozenset(snapshots.indexes()) if snapshots is not None else frozenset()
    try:
        # Closed at once where the audit ends early, while there is a connection to say so on.
        reading = cast("AsyncGenerator[tuple[int, bytes], None]", journal.read(1, audit.last_index))
        async with contextlib.aclosing(reading) as records:
            async for index, body in records:
                problem = _replay_one(host, index, body, audit)
                if problem is None and high_water is not None and index == high_water[0]:
                    problem = _compare_mark(host, high_water)
                if problem is None and invariants_every and index % invariants_every == 0:
                    problem = _check_invariants(host.engine, index)
                if problem is not None:
                    audit.problems.append(problem)
                    return
                if snapshots is not None and index in taken:
                    _compare_snapshot(host, snapshots, audit)
                if index % _REPORT_EVERY == 0 or index == audit.last_index:
                    on_progress(index, audit.last_index)
    except JournalGap as error:
        audit.problems.append(Problem(audit.records + 1, "gap", str(error)))
    except (TimeoutError, NatsError) as error:
        text = f"the server does not deliver record {audit.records + 1}: {error!r}"
        audit.problems.append(Problem(audit.records + 1, "unreadable", text))


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


def _compare_snapshot(host: Host, snapshots: SnapshotStore, audit: Audit) -> None:
    """Prove the snapshot after the present record; the journal is good whatever comes of it."""
    index = host.engine.index
    try:
        snapshot = snapshots.read(index)
    except FileNotFoundError:
        # A running venue dropped it meanwhile, for a newer one.
        return
    except (SnapshotCorrupt, OSError) as error:
        problem = str(error)
    else:
        if snapshot.hash != host.hash:
            problem = "it was taken of another journal"
        elif not hash_state(snapshot.state) == snapshot.state_hash == host.engine.state_hash():
            problem = "its state is not the one that the journal brings forth"
        else:
            audit.snapshots += 1
            return
    text = f"{snapshots.path(index)}: {problem}. Remove it: a start then replays more of the journal"
    audit.problems.append(Problem(index, "snapshot", text))


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

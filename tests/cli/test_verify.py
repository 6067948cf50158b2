"""An audit proves a good journal and says precisely what is wrong with a bad one."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exchange.adapters import bus
from exchange.adapters.archive import Archive
from exchange.adapters.credentials import Keyring
from exchange.adapters.embedded_server import EmbeddedServer
from exchange.adapters.fenced_log import FencedLog
from exchange.adapters.high_water import HighWaterFile
from exchange.adapters.journal import Journal
from exchange.adapters.records import GENESIS_HASH, chain_hash, decode_record, encode_record
from exchange.adapters.snapshots import SnapshotStore
from exchange.adapters.venue_files import VenueFiles
from exchange.daemon import Host
from exchange.daemon.verify import audit_journal
from exchange.engine import Batch, Outputs
from exchange.engine.genesis import genesis_batch
from tests.cli.program import Serving, run, run_json

Tamper = Callable[[Journal, Host], Awaitable[None]]


class Records(FencedLog):
    """Keep a journal in memory; some records may be missing."""

    def __init__(self, bodies: list[bytes], missing: frozenset[int] = frozenset()) -> None:
        super().__init__()
        self.bodies = bodies
        self.kept = [index for index in range(1, len(bodies) + 1) if index not in missing]

    async def first_index(self) -> int:
        return self.kept[0] if self.kept else 1

    async def last_index(self) -> int:
        return len(self.bodies)

    async def trim(self, first: int) -> None:
        raise AssertionError(first)  # an audit only reads

    async def _publish(self, index: int, body: bytes) -> dict[str, Any]:
        raise AssertionError(index, body)  # as before

    async def _find(self, index: int) -> bytes | None:
        raise AssertionError(index)  # it asks for nothing but what comes next

    async def _fetch(self, first: int, count: int) -> list[tuple[int, bytes]]:
        return [(index, self.bodies[index - 1]) for index in self.kept if index >= first][:count]


def good_bodies(count: int) -> list[bytes]:
    """Return a genesis and empty records after it."""
    host = Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0)
    batch = genesis_batch("operator", 1_000_000)
    bodies = []
    for index in range(1, count + 1):
        step = (
            host.apply(batch.submissions, [], batch.time_us, batch.epoch)
            if index == 1
            else host.apply([], [], 1_000_000 + index, 0)
        )
        host.release(step)
        bodies.append(step.body)
    return bodies


# ── the audit itself ────────────────────────────────────────────────────────────────────────────


async def test_a_good_journal_is_good_and_always_the_same() -> None:
    """Two audits of the same records find the same hashes."""
    bodies = good_bodies(5)
    mark = (1, chain_hash(GENESIS_HASH, bodies[0]))
    first, second = [await audit_journal(Records(bodies), high_water=mark, invariants_every=1) for _ in "ab"]
    assert first.is_good
    assert (first.records, first.last_index, first.commands, first.agents) == (5, 5, 1, 1)
    assert first.state_hash == second.state_hash != ""
    assert [proof.asset for proof in first.assets] == ["credit"]
    assert first.assets[0].is_conserved
    assert first.assets[0].issued == 10**15


def _swap(bodies: list[bytes]) -> None:
    bodies[2], bodies[3] = bodies[3], bodies[2]


def _flip(bodies: list[bytes]) -> None:
    body, told = bodies[2], decode_record(bodies[2]).outputs_hash
    bodies[2] = body.replace(told, told[:-1] + bytes([told[-1] ^ 1]))


def _garble(bodies: list[bytes]) -> None:
    bodies[2] = b"\xc1"


@pytest.mark.parametrize(
    ("damage", "index", "told"),
    [
        (_swap, 3, "does not chain"),
        (_flip, 3, "other outputs"),
        (_garble, 3, "not a journal record"),
    ],
)
async def test_the_first_wrong_record_is_named(damage: Callable[[list[bytes]], None], index: int, told: str) -> None:
    """What comes before it is counted as good, what comes after is not judged."""
    bodies = good_bodies(5)
    damage(bodies)
    audit = await audit_journal(Records(bodies))
    assert [problem.index for problem in audit.problems] == [index]
    assert told in audit.problems[0].text
    assert (audit.records, audit.last_index) == (index - 1, 5)
    assert audit.assets[0].is_conserved


async def test_a_broken_invariant_is_found_at_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``invariants_every`` the record that broke it is named."""
    monkeypatch.setattr(
        "exchange.engine.Engine.check_invariants", lambda engine: ["ledger.x"] if engine.index >= 3 else []
    )
    audit = await audit_journal(Records(good_bodies(5)), invariants_every=1)
    assert [(problem.index, problem.kind) for problem in audit.problems] == [(3, "invariant")]


@pytest.mark.parametrize(
    ("mark", "index", "told"),
    [((9, bytes(32)), None, "ends at record 5, but record 9"), ((2, bytes(32)), 2, "replaced or rewritten")],
)
async def test_what_was_acknowledged_must_be_there(mark: tuple[int, bytes], index: int | None, told: str) -> None:
    """A journal that is shorter or other than what was acknowledged is not good."""
    audit = await audit_journal(Records(good_bodies(5)), high_water=mark)
    assert [(problem.index, problem.kind) for problem in audit.problems] == [(index, "high_water")]
    assert told in audit.problems[0].text


def take(bodies: list[bytes], index: int, store: SnapshotStore, **changes: Any) -> None:
    """Store the snapshot after a record, with changes."""
    host = Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0)
    for body in bodies[:index]:
        host.replay(body)
    store.write(msgspec.structs.replace(host.snapshot(), **changes))


async def test_good_snapshots_are_proved(tmp_path: Path) -> None:
    """Those of the journal are counted; one beyond its end is not judged."""
    bodies, store = good_bodies(5), SnapshotStore(tmp_path, keep=3)
    for index in (2, 4, 5):
        take(bodies, index, store)
    assert (await audit_journal(Records(bodies), snapshots=store)).snapshots == 3
    audit = await audit_journal(Records(bodies[:4]), snapshots=store)
    assert (audit.is_good, audit.snapshots) == (True, 2)


async def test_a_bad_snapshot_is_named_and_the_journal_judged_to_its_end(tmp_path: Path) -> None:
    """Damaged, of another journal, of another state: each is told apart, with its file."""
    bodies, store = good_bodies(5), SnapshotStore(tmp_path, keep=5)
    for index in (1, 2, 3):
        take(bodies, index, store)
    path = store.path(1)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    take(bodies, 2, store, hash=bytes(32))
    other = Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0)
    take(bodies, 3, store, state=other.engine.dump(), state_hash=other.engine.state_hash())
    take(bodies, 4, store, state=other.engine.dump())
    take(bodies, 5, store)
    audit = await audit_journal(Records(bodies), snapshots=store)
    assert [(problem.index, problem.kind) for problem in audit.problems] == [
        (index, "snapshot") for index in (1, 2, 3, 4)
    ]
    for problem, told in zip(
        audit.problems,
        ("do not have the hash", "another journal", "its state is not the one", "its state is not the one"),
        strict=True,
    ):
        assert str(store.path(problem.index or 0)) in problem.text
        assert told in problem.text
    assert (audit.records, audit.snapshots) == (5, 1)


# ── trimmed journals ────────────────────────────────────────────────────────────────────────────


def trimmed(bodies: list[bytes], first: int) -> Records:
    """Return a journal that was trimmed below a record."""
    return Records(bodies, frozenset(range(1, first)))


async def test_a_trimmed_journal_is_proved_from_its_oldest_good_snapshot(tmp_path: Path) -> None:
    """The records before it must chain to it; what it starts from is said."""
    bodies, store = good_bodies(9), SnapshotStore(tmp_path, keep=3)
    for index in (4, 7):
        take(bodies, index, store)
    whole = await audit_journal(Records(bodies))
    for first in (2, 4, 5):
        audit = await audit_journal(trimmed(bodies, first), snapshots=store)
        assert audit.problems == []
        assert (audit.first_index, audit.started_after, audit.records) == (first, 4, 9)
        assert str(store.path(4)) in audit.start
        assert (audit.state_hash, audit.chain_hash) == (whole.state_hash, whole.chain_hash)
        assert audit.snapshots == 1
    # Where only the newer one fits, it starts there.
    audit = await audit_journal(trimmed(bodies, 6), snapshots=store)
    assert (audit.problems, audit.started_after) == ([], 7)


async def test_a_trimmed_journal_is_proved_from_genesis_with_its_archive(tmp_path: Path) -> None:
    """As if it had never been trimmed; an archive that goes further is compared."""
    bodies, archive = good_bodies(9), Archive(tmp_path)
    whole = await audit_journal(Records(bodies))
    archive.write(1, bodies[:3])
    archive.write(4, bodies[3:6])
    for first in (4, 6, 7):
        audit = await audit_journal(trimmed(bodies, first), archive=archive)
        assert (audit.problems, audit.started_after, audit.records, audit.archived) == ([], 0, 9, first - 1)
        assert (audit.state_hash, audit.commands) == (whole.state_hash, whole.commands)


def _flip_snapshot(store: SnapshotStore, index: int) -> None:
    data = bytearray(store.path(index).read_bytes())
    data[len(data) // 2] ^= 1
    store.path(index).write_bytes(data)


async def test_damaged_and_wrong_snapshots_are_told_and_the_next_one_is_taken(tmp_path: Path) -> None:
    """With none that is good nothing can be judged, and the message says what would help."""
    bodies, store = good_bodies(9), SnapshotStore(tmp_path, keep=3)
    for index in (3, 5, 7):
        take(bodies, index, store)
    _flip_snapshot(store, 3)
    take(bodies, 5, store, hash=bytes(32))
    audit = await audit_journal(trimmed(bodies, 3), snapshots=store)
    assert [(problem.index, problem.kind) for problem in audit.problems] == [(3, "snapshot"), (5, "snapshot")]
    assert "do not have the hash" in audit.problems[0].text
    assert "another journal" in audit.problems[1].text
    assert (audit.started_after, audit.records) == (7, 9)
    _flip_snapshot(store, 7)
    audit = await audit_journal(trimmed(bodies, 3), snapshots=store)
    assert [(problem.index, problem.kind) for problem in audit.problems][-1] == (None, "trimmed")
    assert "begins with record 3" in audit.problems[-1].text
    assert "--archive" in audit.problems[-1].text
    assert audit.records == 0


async def test_damage_of_a_trimmed_journal_is_told_with_its_place(tmp_path: Path) -> None:
    """A flipped bit before or after the snapshot, a record missing in the middle, a lost tail."""
    bodies, store = good_bodies(9), SnapshotStore(tmp_path, keep=3)
    take(bodies, 5, store)
    mark = (9, replayed(bodies).hash)
    for at, index, kind, told in (
        (4, 5, "snapshot", "record 4, before it, cannot be read"),
        (8, 8, "corrupt", "not a journal record"),
    ):
        damaged = [*bodies[: at - 1], b"\xc1", *bodies[at:]]
        audit = await audit_journal(trimmed(damaged, 3), snapshots=store, high_water=mark)
        assert (audit.problems[0].index, audit.problems[0].kind) == (index, kind)
        assert told in audit.problems[0].text
    for missing in (4, 7):
        audit = await audit_journal(Records(bodies, frozenset((1, 2, missing))), snapshots=store, high_water=mark)
        assert f"record {missing} is missing; the journal goes on with {missing + 1}" in audit.problems[0].text
    audit = await audit_journal(trimmed(bodies[:8], 3), snapshots=store, high_water=mark)
    assert [problem.kind for problem in audit.problems] == ["high_water"]
    assert "ends at record 8, but record 9 was acknowledged here" in audit.problems[0].text


def replayed(bodies: list[bytes]) -> Host:
    """Return a host that has replayed records."""
    host = Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0)
    for body in bodies:
        host.replay(body)
    return host


async def test_an_archive_with_a_gap_or_of_another_journal_is_told(tmp_path: Path) -> None:
    """In its middle, at its end, damaged, foreign: each is told with the records and the file."""
    bodies = good_bodies(9)
    gap, short, foreign, damaged = (Archive(tmp_path / name) for name in ("gap", "short", "foreign", "damaged"))
    gap.write(1, bodies[:2])
    gap.write(4, bodies[3:6])
    short.write(1, bodies[:4])
    foreign.write(1, other_bodies(6))
    part = damaged.write(1, bodies[:6])
    part.path.write_bytes(part.path.read_bytes()[:-1] + b"?")
    for archive, index, told in (
        (gap, 3, "record 3 is missing: "),
        (short, 5, "short ends with record 4, and the journal begins with record 7"),
        (foreign, 7, "does not chain to the record before it"),
        (damaged, 1, "1-6.records: its"),
        (Archive(tmp_path), 1, "holds no record"),
    ):
        audit = await audit_journal(trimmed(bodies, 7), archive=archive)
        assert audit.problems[0].index == index
        assert told in audit.problems[0].text
    audit = await audit_journal(trimmed(bodies, 1), archive=foreign)
    assert "another journal's archive" in audit.problems[0].text


def other_bodies(count: int) -> list[bytes]:
    """Return the records of another venue."""
    host = Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0)
    batch = genesis_batch("operator", 2_000_000)
    return [host.apply(batch.submissions, [], batch.time_us, batch.epoch).body] + [
        host.apply([], [], 2_000_000 + n, 0).body for n in range(1, count)
    ]


class Overtaken(Records):
    """Be trimmed while it is read."""

    def __init__(self, bodies: list[bytes]) -> None:
        super().__init__(bodies)
        self.reads = 0

    async def _fetch(self, first: int, count: int) -> list[tuple[int, bytes]]:
        self.reads += 1
        if self.reads == 2:
            self.kept = [index for index in self.kept if index >= 5]
        return await super()._fetch(first, min(count, 2))


async def test_a_running_venue_may_trim_meanwhile(tmp_path: Path) -> None:
    """The audit begins anew, from what is left."""
    bodies, store = good_bodies(9), SnapshotStore(tmp_path)
    take(bodies, 5, store)
    audit = await audit_journal(Overtaken(bodies), snapshots=store)
    assert (audit.problems, audit.first_index, audit.started_after, audit.records) == ([], 5, 5, 9)


async def test_an_empty_journal_is_not_good() -> None:
    """A venue begins with its genesis."""
    audit = await audit_journal(Records([]))
    assert [problem.kind for problem in audit.problems] == ["empty"]


# ── the command ─────────────────────────────────────────────────────────────────────────────────


def test_a_venue_is_verified_while_it_runs_and_afterwards(tmp_path: Path) -> None:
    """Both audits are good; the one of the stopped venue changes no file of it."""
    data = tmp_path / "venue"
    with Serving(data) as serving:
        run_json("agent", "add", "alice", "--owner", "acme", "--data", data)
        running = run_json("verify", "--data", data)
        serving.stop()
    before = {file: file.stat().st_mtime_ns for file in (data / "nats").rglob("*") if file.is_file()}
    stopped = run_json("verify", "--data", data, "--invariants-every", 1)
    assert {file: file.stat().st_mtime_ns for file in (data / "nats").rglob("*") if file.is_file()} == before
    assert sorted(path.name for path in data.glob(".verify-*")) == []
    assert running["good"]
    assert stopped["good"]
    assert stopped["records"] >= running["records"] >= 3
    assert stopped["records"] == stopped["high_water"]
    assert {asset["asset"]: asset["conserved"] for asset in stopped["assets"]} == {"credit": True}
    text = run("verify", "--data", data)
    assert text.returncode == 0
    assert "good: chain, outputs, invariants and conservation hold" in text.stdout


async def _append_unchained(journal: Journal, _: Host) -> None:
    outputs = Outputs([], [], [], [], {})
    await journal.append(2, encode_record(Batch(1, 2, time.time_ns() // 1_000, []), outputs, b"x" * 32, 1))


async def _append_garbage(journal: Journal, _: Host) -> None:
    await journal.append(2, b"\xc1garbage")


async def _append_lie(journal: Journal, host: Host) -> None:
    outputs = Outputs([b"never said"], [], [], [], {})
    await journal.append(2, encode_record(Batch(1, 2, time.time_ns() // 1_000, []), outputs, host.hash, 1))


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (_append_unchained, "record 2 does not chain to the record before it"),
        (_append_garbage, "not a journal record"),
        (_append_lie, "record 2 brings forth other outputs than when it was written"),
    ],
)
async def test_a_damaged_journal_is_reported_with_its_record(tmp_path: Path, tamper: Tamper, told: str) -> None:
    """The record and the damage are named, on the terminal and in JSON; serving refuses it as well."""
    data = tmp_path / "venue"
    run_json("init", "--data", data)
    await _tamper(data, tamper)
    done = run("verify", "--data", data)
    assert done.returncode == 1
    assert "error: record 2: corrupt:" in done.stderr
    assert told in done.stderr
    assert "Records up to 1 are good" in done.stdout
    facts = json.loads(run("verify", "--data", data, "--json").stdout)
    assert not facts["good"]
    assert [(problem["index"], problem["kind"]) for problem in facts["problems"]] == [(2, "corrupt")]
    served = run("serve", "--data", data, "--port", 0, "--metrics-port", 0)
    assert served.returncode == 1
    assert "error: record 2" in served.stderr
    assert told in served.stderr
    assert "put the store back from a copy" in served.stderr
    assert "Traceback (most recent call last):\n" not in served.stderr


async def _tamper(data: Path, tamper: Tamper) -> None:
    """Write into the journal behind the venue's back."""
    files = VenueFiles(data)
    keyring = Keyring.load(files.keys)
    server = EmbeddedServer(files.nats, keyring)
    await server.start()
    client = await bus.connect(server.url, keyring.journal_creds_path, "journal")
    try:
        journal = Journal(client)
        await journal.open()
        host = Host(send=lambda _subject, _payload: None, now_s=time.monotonic)
        async for _, body in journal.read(1, 1):
            host.replay(body)
        await tamper(journal, host)
    finally:
        await client.close()
        await server.stop()


def test_a_journal_shorter_than_acknowledged_is_reported(tmp_path: Path) -> None:
    """The high-water mark knows of records that the server lost."""
    data = tmp_path / "venue"
    run_json("init", "--data", data)
    mark = HighWaterFile(data / "high-water")
    mark.write(7, bytes(32))
    mark.close()
    done = run("verify", "--data", data)
    assert done.returncode == 1
    assert "journal: high_water: the journal ends at record 1, but record 7 was acknowledged here" in done.stderr


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--data", "absent"), "holds no venue"),
        (("--nats", "nats://127.0.0.1:1", "--journal-creds", "absent.creds"), "there is no credential absent.creds"),
        (("--nats", "nats://127.0.0.1:1"), "--journal-creds"),
    ],
)
def test_a_journal_that_cannot_be_found_is_a_message(flags: tuple[str, ...], told: str) -> None:
    """What to give is said."""
    done = run("verify", *flags)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr

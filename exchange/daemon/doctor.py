"""Look at a venue and say what is wrong with it, and what to do. Prints nothing and changes nothing."""

from __future__ import annotations

import contextlib
import shutil
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from nats.errors import Error as NatsError

from exchange.adapters.clock import VenueClock
from exchange.adapters.credentials import CredentialError, expiry_of
from exchange.adapters.fenced_log import JournalGap, NoAnswer
from exchange.adapters.journal import JOURNAL_STREAM, stream_config
from exchange.adapters.records import JournalCorrupt, chain_hash, decode_command, decode_record
from exchange.adapters.snapshots import SnapshotCorrupt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from nats.aio.client import Client

    from exchange.adapters.journal import Journal
    from exchange.adapters.poison_file import PoisonNote
    from exchange.adapters.snapshots import SnapshotStore
    from exchange.messages.admin import QuarantineResult

__all__ = [
    "Finding",
    "Journaled",
    "check_credentials",
    "check_disk",
    "check_mark",
    "check_quarantine",
    "check_server",
    "check_snapshots",
    "check_stream",
    "check_time",
    "examine_journal",
    "find_poison",
]

_FULL: Final = 0.8
_FULL_DISK: Final = 0.9
_EXPIRES_SOON_S: Final = 14 * 86_400
_OFF_MAX_S: Final = 10
_SILENT_MAX_S: Final = 5
_PATIENCE_S: Final = 2.0
_SECOND_US: Final = 1_000_000


class Finding(msgspec.Struct, frozen=True):
    """Say how something is: ``good``, worth a ``note``, or ``bad``, which needs attention; then with what to do."""

    area: str
    level: Literal["good", "note", "bad"]
    text: str
    advice: str = ""


class Journaled(msgspec.Struct, kw_only=True):
    """Hold what was found of a journal; ``marked`` is the hash of the record at the mark, where it can be read."""

    first: int
    last: int
    last_time_us: int
    hashes: dict[int, bytes]
    config: dict[str, Any]
    cluster: dict[str, Any]
    account: dict[str, Any]


# ── poison ──────────────────────────────────────────────────────────────────────────────────────


class Poison(msgspec.Struct, kw_only=True):
    """Describe one quarantined command, for people: when it was found (venue time), and where it is known."""

    digest: str
    agent: str
    tag: str
    command_id: str
    error: str
    since_us: int
    is_certain: bool
    is_journaled: bool
    command: Any = None
    """The command itself, where its bytes are noted."""


def find_poison(notes: Sequence[PoisonNote], result: QuarantineResult | None) -> list[Poison]:
    """Join what the venue says, if it was asked, with what is noted here."""
    noted = {note.digest: note for note in notes if note.kind == "command"}
    found: list[Poison] = []
    for view in result.commands if result is not None else ():
        note = noted.pop(view.digest, None)
        found.append(
            Poison(
                digest=view.digest, agent=view.agent, tag=view.tag, command_id=view.command, error=view.error,
                since_us=view.since_us, is_certain=view.is_certain, is_journaled=True,
                command=None if note is None else _decoded(note.body),
            )
        )  # fmt: skip
    found.extend(
        Poison(
            digest=note.digest, agent=note.agent, tag=note.tag, command_id=note.command_id, error=note.error,
            since_us=note.time_us, is_certain=note.is_certain, is_journaled=note.is_journaled,
            command=_decoded(note.body),
        )
        for note in noted.values()
        # What the venue does not know of any more was released.
        if result is None or not note.is_journaled
    )  # fmt: skip
    return found


def _decoded(body: bytes) -> Any:
    with contextlib.suppress(msgspec.DecodeError, ValueError):
        return msgspec.to_builtins(decode_command(body))
    return None


def check_quarantine(
    poison: Sequence[Poison], notes: Sequence[PoisonNote], result: QuarantineResult | None
) -> Iterable[Finding]:
    """Check that nothing is quarantined, and nothing suspended."""
    for each in poison:
        doubt = "" if each.is_certain else ", which may be innocent,"
        yield Finding(
            "poison",
            "bad",
            f"{each.tag} {each.command_id} of {each.agent}{doubt} broke the engine at {text_of(each.since_us)}: "
            f"{each.error}",
            f"report the bug; once it is fixed: exchange doctor --release {each.digest}",
        )
    suspended = result.mechanisms if result is not None else ()
    for view in suspended:
        yield Finding(
            "poison",
            "bad",
            f"the mechanism {view.family} is suspended ({view.state}) since {text_of(view.since_us)}: "
            f"{view.detail or 'an operator said so'}",
            f"once the reason is gone: exchange doctor --resume {view.family}",
        )
    if result is None:
        for note in notes:
            if note.kind in ("deadline", "epoch"):
                what = "the start of an epoch" if note.deadline is None else str(note.deadline)
                yield Finding(
                    "poison",
                    "bad",
                    f"{what} broke the engine at {text_of(note.time_us)}, so {note.family} is or will be suspended: "
                    f"{note.error}",
                    f"report the bug; once it is fixed, with the venue running: exchange doctor --resume {note.family}",
                )
            elif note.kind == "batch":
                yield Finding(
                    "poison",
                    "bad",
                    f"something in batch {note.index} broke the engine at {text_of(note.time_us)}: {note.error}",
                    "start the venue: it finds out what it was",
                )
    if not poison and not suspended and not (result is None and notes):
        yield Finding("poison", "good", "nothing is quarantined or suspended")


# ── the journal ─────────────────────────────────────────────────────────────────────────────────


async def examine_journal(client: Client, journal: Journal, indexes: Iterable[int]) -> Journaled:
    """Ask the server about the journal, and for the hashes of some records.

    Raises:
        NoAnswer: it does not answer.
        JournalCorrupt: a record cannot be read.
    """
    info = await _ask(client, f"$JS.API.STREAM.INFO.{JOURNAL_STREAM}")
    state = info.get("state", {})
    found = Journaled(
        first=state.get("first_seq", 0), last=state.get("last_seq", 0), last_time_us=0, hashes={},
        config=info.get("config", {}), cluster=info.get("cluster") or {}, account=await _ask(client, "$JS.API.INFO"),
    )  # fmt: skip
    for index in sorted({*indexes, found.last}):
        if not found.first <= index <= found.last or not index:
            continue
        try:
            async with contextlib.aclosing(journal.read(index, index)) as records:
                async for _, body in records:
                    record = decode_record(body)
                    found.hashes[index] = chain_hash(record.previous_hash, body)
                    found.last_time_us = max(found.last_time_us, record.time_us)
        except JournalGap as error:
            raise JournalCorrupt(str(error)) from error
    return found


async def _ask(client: Client, subject: str) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = msgspec.json.decode((await client.request(subject, b"", timeout=_PATIENCE_S)).data)
    except (TimeoutError, NatsError, msgspec.DecodeError) as error:
        message = f"{subject}: {error!r}"
        raise NoAnswer(message) from error
    if "error" in answer:
        message = f"{subject}: {answer['error'].get('description')}"
        raise NoAnswer(message)
    return answer


def check_mark(mark: tuple[int, bytes] | None, journal: Journaled) -> Iterable[Finding]:
    """Check that the journal reaches what was acknowledged here, unchanged."""
    span = f"records {journal.first:,} … {journal.last:,}"
    if mark is None:
        yield Finding("journal", "note", f"{span}; nothing was acknowledged from here")
    elif journal.last < mark[0]:
        yield Finding(
            "journal",
            "bad",
            f"it ends at record {journal.last:,}, but record {mark[0]:,} was acknowledged here",
            "put the server's data back; if the loss is accepted, stop the daemons and run `exchange restore`",
        )
    elif journal.hashes.get(mark[0], mark[1]) != mark[1]:
        yield Finding(
            "journal",
            "bad",
            f"record {mark[0]:,} is not the one that was acknowledged here: the journal was replaced",
            "put the right one back; if the loss is accepted, stop the daemons and run `exchange restore`",
        )
    else:
        yield Finding("journal", "good", f"{span}; acknowledged here up to {mark[0]:,}, which is there")


_UNLIMITED: Final = ("max_msgs", "max_bytes", "max_age", "max_msgs_per_subject")
_FREE: Final = ("description", "num_replicas", "duplicate_window", *_UNLIMITED)
_OFF: Final = ("sealed", "no_ack", "mirror", "sources", "republish", "subject_transform", "allow_msg_ttl",
    "allow_msg_counter", "allow_msg_schedules", "allow_atomic", "subject_delete_marker_ttl",
)  # fmt: skip


def check_stream(journal: Journaled) -> Iterable[Finding]:
    """Check that the stream is as ``init`` makes it, and that its replicas are there."""
    config, replicas = journal.config, journal.config.get("num_replicas", 1)
    # Through JSON, as the server says it.
    meant: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(stream_config(replicas).as_dict()))
    wrong = [
        f"{name} is {config.get(name)!r}, not {value!r}"
        for name, value in meant.items()
        # What is off by default may be left out.
        if name not in _FREE and value is not None and (config.get(name) or None) != (value or None)
    ]
    wrong += [f"{name} is {config[name]!r}" for name in _UNLIMITED if config.get(name, -1) not in (-1, 0)]
    wrong += [f"{name} is {config[name]!r}" for name in _OFF if config.get(name)]
    for each in wrong:
        yield Finding(
            "journal",
            "bad",
            f"the stream is not as `exchange init` makes it: {each}",
            f"set it back with `nats stream edit {JOURNAL_STREAM}`, then run `exchange verify`",
        )
    others = journal.cluster.get("replicas") or []
    for other in others:
        if other.get("offline") or not other.get("current", True):
            how = "offline" if other.get("offline") else f"{other.get('lag', 0):,} records behind"
            yield Finding(
                "journal",
                "bad",
                f"the replica on {other.get('name')} is {how}",
                "one more that fails stops the venue: look at that server",
            )
    if replicas % 2 == 0 or (replicas == 1 and journal.cluster.get("name")):
        yield Finding(
            "journal",
            "note",
            f"it is kept by {replicas} of the servers",
            "in a cluster, keep it on three: `exchange init --replicas 3` for a new venue",
        )
    if not wrong:
        yield Finding("journal", "good", f"the stream is as `exchange init` makes it, on {replicas} server(s)")


# ── servers and disks ───────────────────────────────────────────────────────────────────────────


def check_server(account: dict[str, Any], servers: Sequence[dict[str, Any]] | None) -> Iterable[Finding]:
    """Check that there is room in JetStream, and that it writes through; ``servers`` None: nobody may ask them."""
    limit = account.get("limits", {}).get("max_storage", -1)
    used = account.get("storage", 0)
    if limit > 0:
        yield _fullness("the account of the journal", used, limit)
    if servers is None:
        yield Finding("store", "note", "nobody asked the servers themselves: there is no system credential here")
        return
    for server in servers:
        name = server.get("server", {}).get("name", "the server")
        jetstream = server.get("data", {}).get("jetstream", {})
        config, stats = jetstream.get("config") or {}, jetstream.get("stats") or {}
        if not config:
            yield Finding("store", "note", f"{name} has no JetStream")
            continue
        yield _fullness(f"JetStream on {name}", stats.get("storage", 0), config.get("max_storage", 0))
        if not config.get("sync_always"):
            every_s = config.get("sync_interval", 0) / 1e9
            yield Finding(
                "store",
                "bad",
                f"{name} writes through every {every_s:g} s only: a power loss may lose acknowledged orders",
                "set `sync_interval: always` in its jetstream block",
            )


def _fullness(what: str, used: int, limit: int) -> Finding:
    if limit <= 0:
        return Finding("store", "good", f"{what} holds {used:,} bytes")
    text = f"{what} is {used / limit:.0%} full: {used:,} of {limit:,} bytes"
    if used < _FULL * limit:
        return Finding("store", "good", text)
    return Finding("store", "bad", text, "give it more room, or let the journal be trimmed (journal.trim)")


def check_disk(directory: Path) -> Iterable[Finding]:
    """Check that there is room on the disk of the data directory."""
    disk = shutil.disk_usage(directory)
    text = f"the disk of {directory} is {disk.used / disk.total:.0%} full, {disk.free:,} bytes are free"
    if disk.used < _FULL_DISK * disk.total:
        yield Finding("store", "good", text)
    else:
        yield Finding("store", "bad", text, "make room: a full disk stops the journal, though nothing is lost by it")


# ── snapshots ───────────────────────────────────────────────────────────────────────────────────


def check_snapshots(store: SnapshotStore, journal: Journaled | None) -> Iterable[Finding]:
    """Check that the snapshots are whole, of this journal, and reach what it was trimmed of."""
    good: list[int] = []
    for index in store.indexes():
        try:
            snapshot = store.read(index)
        except (SnapshotCorrupt, OSError) as error:
            problem = str(error)
        else:
            if journal is None or journal.hashes.get(index, snapshot.hash) == snapshot.hash:
                good.append(index)
                continue
            problem = "it was taken of another journal"
        yield Finding("snapshots", "bad", f"{store.path(index)}: {problem}", "remove it: a start does without")
    if good:
        behind = "" if journal is None else f", {journal.last - good[0]:,} records before the end"
        yield Finding("snapshots", "good", f"good ones after records {', '.join(f'{n:,}' for n in good)}{behind}")
    elif journal is not None and journal.first > 1:
        yield Finding(
            "snapshots",
            "note",
            f"none here, and the journal was trimmed up to record {journal.first - 1:,}: a start takes a copy from "
            "the server",
        )
    else:
        yield Finding("snapshots", "good", "none yet: a start replays the journal from its first record")


# ── time and credentials ────────────────────────────────────────────────────────────────────────


def check_time(journal: Journaled, *, is_running: bool, is_permitted: bool) -> Iterable[Finding]:
    """Check the clock of this machine against the journal's time."""
    problem = VenueClock(journal.last_time_us).find_problem()
    past_s = time.time() - journal.last_time_us / _SECOND_US
    if is_running and past_s > _SILENT_MAX_S:
        yield Finding(
            "time",
            "bad",
            f"the last record is {past_s:,.0f} s old, though a daemon runs",
            "see its log: it follows, or the journal takes no writes",
        )
    if past_s < -_OFF_MAX_S:
        yield Finding("time", "bad", f"venue time is {-past_s:,.0f} s ahead of this machine's clock", problem or "")
    elif problem is not None and not is_running:
        yield Finding("time", "note", f"the last record is of {text_of(journal.last_time_us)}", problem)
    elif not is_running or past_s <= _SILENT_MAX_S:
        yield Finding("time", "good", f"the last record is of {text_of(journal.last_time_us)}")
    if is_permitted:
        yield Finding("time", "note", "the next daemon that leads from here takes the time as it is, once")


def check_credentials(*directories: Path) -> Iterable[Finding]:
    """Check that no credential has expired or will soon, and that nobody else can read them."""
    now_s, count = time.time(), 0
    for file in sorted(file for directory in directories if directory.is_dir() for file in directory.glob("*.creds")):
        count += 1
        try:
            expires_s = expiry_of(file)
        except CredentialError as error:
            yield Finding("credentials", "bad", str(error), "make a new one: exchange agent rotate")
            continue
        if expires_s is not None and expires_s < now_s + _EXPIRES_SOON_S:
            when = f"{'expired' if expires_s < now_s else 'expires'} at {text_of(expires_s * _SECOND_US)}"
            yield Finding("credentials", "bad", f"{file} {when}", f"make a new one: exchange agent rotate {file.stem}")
        if file.stat().st_mode & 0o077:
            yield Finding("credentials", "bad", f"others can read {file}", f"chmod 600 {file}")
    yield Finding("credentials", "good", f"{count} here were looked at")


def text_of(time_us: int) -> str:
    """Write a time."""
    return f"{datetime.fromtimestamp(time_us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"

"""Host the engine: gateway, chain of records, views and queries around it. No I/O.

The daemon, ``LocalExchange`` and the tests all drive this one object; they differ in what carries
the messages and where the records are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from exchange.adapters.gateway import Gateway, Pending
from exchange.adapters.gateway_limits import GatewayLimits
from exchange.adapters.records import (
    GENESIS_HASH,
    JournalCorrupt,
    JournalRecord,
    chain_hash,
    decode_command,
    decode_record,
    encode_record,
)
from exchange.adapters.snapshots import SNAPSHOT_FORMAT, Snapshot, SnapshotCorrupt
from exchange.build_info import VERSION
from exchange.daemon.answers import Answers
from exchange.daemon.poison import Poisoned
from exchange.engine import Batch, Engine, Outputs, Submission, hash_state
from exchange.mechanisms.base import EngineBroken
from exchange.mechanisms.governance import Governance
from exchange.messages.base import SUBJECT_PREFIX, VENUE_AGENT, Command
from exchange.messages.governance import BeginGovernance
from exchange.messages.venue import EventsMessage, Heartbeat
from exchange.views import MarketData, RecentEvents, RecentTrades

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Host", "Step", "decode_batch"]

_encode = msgspec.json.Encoder().encode
_canonical = msgspec.msgpack.Encoder().encode

EPOCHS_SKIPPED = 1_000_000
"""How far apart the epochs of two incarnations are."""

MESSAGE_BYTES_MAX = 512 * 1024
"""Event messages and replies are split or paged below this."""


class Step(NamedTuple):
    """Hold one applied batch that is not yet durable, and what leaves once it is."""

    batch: Batch
    outputs: Outputs
    pending: list[Pending]
    body: bytes
    hash: bytes


class Host:
    """Run one venue: take messages in, apply batches, give out what may leave.

    ``send`` publishes a refusal at once; ``now_s`` is a monotonic clock in seconds; ``writer`` is a token that no
    other process writes into its records.
    """

    def __init__(
        self,
        *,
        send: Callable[[str, bytes], None],
        now_s: Callable[[], float],
        limits: GatewayLimits | None = None,
        engine: Engine | None = None,
        writer: str = "",
    ) -> None:
        self.engine = engine or Engine()
        self.gateway = Gateway(self.engine, limits or GatewayLimits(), send, now_s)
        self.events = RecentEvents()
        self.trades = RecentTrades()
        self.market_data = MarketData(0)
        self.answers = Answers(self)
        started_s = now_s()
        self.answers.uptime_s = lambda: now_s() - started_s
        self.incarnation = 1
        self._writer = writer
        self._own: list[Command] = []
        self.hash = GENESIS_HASH
        """The chain hash of the last record, which the next one names."""

    # ── forward ─────────────────────────────────────────────────────────────────────────────────

    def cut(self, time_us: int) -> Step:
        """Cut a batch from what has arrived and apply it; the batch may be empty.

        When more deadlines are due than one batch fires, those go first, by a batch of their own.
        """
        if self.engine.deadlines_left(time_us):
            return self.apply([], [], time_us, self.engine.epoch)
        submissions, pending = self.gateway.cut(time_us)
        if self._own:
            # Behind the agents', so that outcomes and senders still pair up from the front.
            submissions += [(VENUE_AGENT, command, _canonical(command)) for command in self._own]
            self._own.clear()
        return self.apply(submissions, pending, time_us, self.engine.epoch)

    def submit(self, command: Command) -> None:
        """Let the venue itself give a command, in the next batch: its rules apply, but no rights are needed.

        It is journaled like any other, and nobody hears its outcome. A daemon that ends before has forgotten it.
        """
        self._own.append(command)

    def has_own(self) -> bool:
        """Return whether commands of the venue itself wait."""
        return bool(self._own)

    def begin_epoch(self, time_us: int, submissions: list[Submission] | None = None) -> Step:
        """Apply the first batch of a new epoch: from it on, this host speaks for the venue.

        ``submissions`` are commands of the venue itself. Where governance has not begun yet, on a new venue and on one
        whose records are older than it, it begins with this record, and is replayed from there.
        """
        own = submissions or []
        if not governance_has_begun(self.engine):
            begin = BeginGovernance(id=f"governance.{self.engine.index + 1}", valid_until_us=time_us)
            own = [*own, (VENUE_AGENT, begin, _canonical(begin))]
        return self.apply(own, [], time_us, self.engine.epoch + 1)

    def begin_incarnation(self, time_us: int) -> Step:
        """Apply the first batch of another history: what followed the last record is lost and will not come back.

        Its epoch is one that the lost records cannot have reached, so that nobody takes news of one for the other.
        """
        self.incarnation += 1
        return self.apply([], [], time_us, self.engine.epoch + EPOCHS_SKIPPED)

    def apply(self, submissions: list[Submission], pending: list[Pending], time_us: int, epoch: int) -> Step:
        """Apply a batch and encode its record, which must be stored before anything is released.

        Raises:
            Poisoned: it cannot be applied; this host must not be used any more.
        """
        batch = Batch(epoch, self.engine.index + 1, time_us, submissions, self.hash)
        try:
            outputs = self.engine.apply(batch)
            body = encode_record(batch, outputs, self.hash, self.incarnation, self._writer)
        except MemoryError:
            # The machine's, and nobody's fault in particular.
            raise
        except Exception as error:
            raise Poisoned(batch, self.engine.offender(batch), error) from error
        self.hash = chain_hash(self.hash, body)
        return Step(batch, outputs, pending, body, self.hash)

    def replies(self, step: Step) -> list[tuple[str, bytes]]:
        """Return the answers to the commands of a step that is durable: they leave first."""
        messages: list[tuple[str, bytes]] = []
        outcomes = step.outputs.outcomes
        at = 0
        for pending in step.pending:
            if pending.is_array:
                answered = b"[" + b",".join(outcomes[at : at + pending.total]) + b"]"
                messages.append((pending.reply, answered))
            else:
                messages.append((pending.reply, outcomes[at]))
            at += pending.total
        return messages

    def release(self, step: Step) -> list[tuple[str, bytes]]:
        """Take a durable step into the views; return what leaves after the replies: events, market data."""
        outputs, batch = step.outputs, step.batch
        messages: list[tuple[str, bytes]] = []
        self.events.fold(outputs.events)
        self.trades.fold(outputs.trades)
        if batch.epoch != self.market_data.epoch:
            self.market_data = MarketData(batch.epoch)
            self.market_data.discard(outputs)
            markets = self.answers.markets()
            messages.extend(self.market_data.begin(markets, batch.index, batch.time_us))
        for agent, first, _, events in outputs.events:
            messages.extend(self._event_messages(agent, first, events, batch))
        messages.extend(self.market_data.collect(outputs, batch.index, batch.time_us))
        return messages

    def _event_messages(self, agent: str, first: int, events: bytes, batch: Batch) -> list[tuple[str, bytes]]:
        subject = f"{SUBJECT_PREFIX}.evt.{agent}"
        if len(events) <= MESSAGE_BYTES_MAX:
            return [(subject, self._encode_events(first, events, batch))]
        messages = []
        for start, part in _split(first, msgspec.json.decode(events, type=list[msgspec.Raw])):
            messages.append((subject, self._encode_events(start, part, batch)))
        return messages

    def _encode_events(self, first: int, events: bytes, batch: Batch) -> bytes:
        return _encode(
            EventsMessage(
                epoch=batch.epoch,
                index=batch.index,
                venue_time_us=batch.time_us,
                first=first,
                events=msgspec.Raw(events),
            )
        )

    def answer_queries(self, count: int) -> list[tuple[str, bytes]]:
        """Answer up to ``count`` waiting queries; call it only while the state is durable."""
        return [(query.reply, self.answers.answer(query)) for query in self.gateway.take_queries(count)]

    def heartbeat(self) -> tuple[str, bytes]:
        """Return the subject and the message that says the venue is alive."""
        message = Heartbeat(
            incarnation=self.incarnation,
            epoch=self.engine.epoch,
            index=self.engine.index,
            venue_time_us=self.engine.time_us,
            channels=dict(self.market_data.heartbeat_channels()),
        )
        return f"{SUBJECT_PREFIX}.md._venue", _encode(message)

    # ── back ────────────────────────────────────────────────────────────────────────────────────

    def replay(self, body: bytes) -> JournalRecord:
        """Apply a stored record; prove that it follows the last and brings forth the same outputs.

        Raises:
            JournalCorrupt: it is not what was written.
        """
        record = decode_record(body)
        if record.previous_hash != self.hash:
            message = f"record {record.index} does not chain to the record before it"
            raise JournalCorrupt(message)
        if record.index != self.engine.index + 1 or record.epoch < self.engine.epoch:
            message = (
                f"record {record.index} of epoch {record.epoch} cannot follow record {self.engine.index} "
                f"of epoch {self.engine.epoch}"
            )
            raise JournalCorrupt(message)
        if record.incarnation < self.incarnation:
            message = f"record {record.index} is of incarnation {record.incarnation}, after {self.incarnation}"
            raise JournalCorrupt(message)
        batch = decode_batch(record)
        try:
            outputs = self.engine.apply(batch)
        except Exception as error:
            # It was applied when it was written, so whatever it is, these are not the same bytes.
            message = f"record {record.index} cannot be applied: {error!r}"
            raise JournalCorrupt(message) from error
        if outputs.digest() != record.outputs_hash:
            message = f"record {record.index} brings forth other outputs than when it was written"
            raise JournalCorrupt(message)
        self.incarnation = record.incarnation
        self.hash = chain_hash(self.hash, body)
        self.events.fold(outputs.events)
        self.trades.fold(outputs.trades)
        self.market_data.discard(outputs)
        return record

    # ── snapshots ───────────────────────────────────────────────────────────────────────────────

    def snapshot(self) -> Snapshot:
        """Return the present state, which must be durable, as a snapshot."""
        state = self.engine.dump()
        return Snapshot(
            SNAPSHOT_FORMAT, VERSION, self.incarnation, self.engine.index, self.hash, hash_state(state), state,
            self.events.dump(), self.trades.dump(),
        )  # fmt: skip

    def load(self, snapshot: Snapshot) -> None:
        """Take over a snapshot; this host must be new. Replay goes on with the record after it.

        Raises:
            SnapshotCorrupt: its state cannot be loaded, or comes out as another.
        """
        try:
            self.engine.load(snapshot.state)
        except EngineBroken:
            raise
        except Exception as error:
            # Its bytes are those that were written, so another version must have written something else.
            message = f"its state cannot be loaded: {error!r}"
            raise SnapshotCorrupt(message) from error
        found = self.engine.state_hash()
        if found != snapshot.state_hash:
            message = f"it brings forth state {found[:16]}…, not {snapshot.state_hash[:16]}…"
            raise SnapshotCorrupt(message)
        self.incarnation = snapshot.incarnation
        self.hash = snapshot.hash
        self.events.fold(snapshot.events)
        self.trades.fold(snapshot.trades)


def governance_has_begun(engine: Engine) -> bool:
    """Return whether the days of governance are counted; also where nobody could count them."""
    governance = engine.mechanisms.get("governance")
    if not isinstance(governance, Governance) or not engine.index or "governance" in engine.context.suspended:
        return True
    return governance.days.begun_us is not None


def decode_batch(record: JournalRecord) -> Batch:
    """Return the batch of a record with its commands decoded.

    Raises:
        JournalCorrupt: a command does not fit the schema.
    """
    submissions: list[Submission] = []
    decode = decode_command
    for agent, raw in record.commands:
        try:
            command = decode(raw)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            message = f"record {record.index}: a command of {agent} cannot be read: {error}"
            raise JournalCorrupt(message) from error
        submissions.append((agent, command, raw))
    return Batch(record.epoch, record.index, record.time_us, submissions, record.previous_hash)


def _split(first: int, events: list[msgspec.Raw]) -> list[tuple[int, bytes]]:
    """Cut a batch of encoded events into arrays below the size limit, each with its first ``seq``."""
    parts: list[tuple[int, bytes]] = []
    chunk: list[bytes] = []
    size = 0
    for event in events:
        encoded = bytes(event)
        if chunk and size + len(encoded) > MESSAGE_BYTES_MAX:
            parts.append((first, b"[" + b",".join(chunk) + b"]"))
            first += len(chunk)
            chunk, size = [], 0
        chunk.append(encoded)
        size += len(encoded) + 1
    parts.append((first, b"[" + b",".join(chunk) + b"]"))
    return parts

"""Keep poison from bricking the venue: note what broke the engine, and tell the journal before anything runs again.

``Engine.apply`` is not transactional: after it raised, its state is broken, and the daemon must end. What it was
doing it still knows, and that is noted in the data directory. Who leads next begins its epoch with commands of the
venue itself, by which a poisonous command is refused by the gateways of all daemons from then on, and a mechanism
with a poisonous deadline rests.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from exchange.adapters.poison_file import PoisonedDeadline, PoisonFile, PoisonNote, decode_note, encode_note
from exchange.adapters.records import decode_command
from exchange.build_info import VERSION
from exchange.daemon.forking import fork
from exchange.engine import Batch
from exchange.engine.engine import Offender
from exchange.mechanisms.quarantine import quarantine_digest
from exchange.messages import family_of, tag_of
from exchange.messages.admin import QuarantineCommand, SuspendMechanism
from exchange.messages.base import VENUE_AGENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from exchange.engine import Engine, Submission
    from exchange.messages.base import Command

__all__ = ["WARNINGS", "ConservationBroken", "Poisoned", "Poisons", "find_offender"]

WARNINGS: Final = "exchange.v1.poison"
"""The subject, in the account of the journal, on which daemons warn each other."""

_ERROR_LENGTH: Final = 400
_TRACE_LENGTH: Final = 4_000
_TRIAL_S: Final = 60
_READ_BYTES: Final = 65_536

log = structlog.get_logger(__name__)
_canonical = msgspec.msgpack.Encoder().encode


class Poisoned(Exception):
    """Raised when a batch broke the engine: nothing of it leaves, and the state must not be used any more."""

    def __init__(self, batch: Batch, offender: Offender | None, cause: Exception | str) -> None:
        self.batch = batch
        self.offender = offender
        self.error = cause if isinstance(cause, str) else repr(cause)
        # Taken here, because compiled code does not pass on what an exception was raised from.
        self.trace = "" if isinstance(cause, str) else "".join(traceback.format_exception(cause))
        super().__init__(
            f"{_describe(batch, offender)} broke the engine: {self.error}. Nothing of batch {batch.index} has left, "
            "and it is noted, so start again: the venue goes on without it. `exchange doctor` shows it"
        )


class ConservationBroken(Poisoned):
    """Raised when credits appeared or vanished in a batch: nothing of it leaves."""


class Poisons:
    """Note poison, find out what it was, and make it known.

    ``warn`` gets what other daemons should hear at once: that they may take over before this one is back.
    """

    def __init__(self, file: PoisonFile, warn: Callable[[bytes], None] = lambda _warning: None) -> None:
        self._file = file
        self._warn = warn

    @property
    def notes(self) -> list[PoisonNote]:
        """What is noted, the oldest first."""
        return self._file.notes

    def note(self, poisoned: Poisoned) -> None:
        """Note what broke the engine, unless it was a command of the venue itself, which nobody keeps from it."""
        note = _make_note(poisoned)
        if note is None:
            return
        log.critical("poison", what=_describe(poisoned.batch, poisoned.offender), error=note.error, key=note.key)
        try:
            self._file.add(note)
        except OSError as error:
            log.critical("poison cannot be noted: the next start may meet it again", error=str(error))
        self._warn(encode_note(msgspec.structs.replace(note, traceback="")))

    def hear(self, payload: bytes) -> None:
        """Note what another daemon of the venue ended of; never raises."""
        try:
            note = decode_note(payload)
            if all(known.key != note.key for known in self._file.notes):
                note.is_heard, note.is_journaled = True, False
                self._file.add(note)
                log.warning("another daemon was poisoned", error=note.error, key=note.key)
        except (msgspec.DecodeError, OSError) as error:
            log.warning("a warning of poison is lost", error=str(error))

    def resolve(self, engine: Engine) -> None:
        """Find out what was to blame in each batch of which only that it broke is known.

        The engine must be as it was before: a child that is forked has it to itself and tries one after the other.
        """
        batches = [note for note in self._file.notes if note.kind == "batch"]
        for note in batches:
            found = _in_child(lambda note=note: _try_out(engine, note))  # type: ignore[misc]
            self._file.notes.remove(note)
            self._file.notes.extend(_resolved(note, found))
            log.warning("poison tried out", index=note.index, is_certain=found is not None)
        if batches:
            self._save()

    def commands(self, engine: Engine) -> list[Submission]:
        """Return the commands of the venue itself that make known what is not journaled yet."""
        self._forget_undone(engine)
        context = engine.context
        made: list[Submission] = []
        for note in self._file.notes:
            command: Command
            if note.is_journaled:
                continue
            if note.kind == "command" and note.digest not in context.quarantine.entries:
                command = QuarantineCommand(
                    id=f"venue.{len(made) + 1}", valid_until_us=note.time_us, digest=note.digest, agent=note.agent,
                    command=note.command_id, tag=note.tag, error=note.error, is_certain=note.is_certain,
                )  # fmt: skip
            elif note.kind in ("deadline", "epoch") and note.family not in context.suspended:
                what = "the start of an epoch" if note.deadline is None else str(note.deadline)
                command = SuspendMechanism(
                    id=f"venue.{len(made) + 1}", valid_until_us=note.time_us, family=note.family,
                    deadline=_cut(what), error=note.error,
                )  # fmt: skip
            else:
                continue
            made.append((VENUE_AGENT, command, _canonical(command)))
        return made

    def _forget_undone(self, engine: Engine) -> None:
        """Drop the notes of what was made known, and since released or resumed by an operator."""
        context = engine.context
        undone = [
            note
            for note in self._file.notes
            if note.is_journaled
            and note.digest not in context.quarantine.entries
            and (note.kind == "command" or note.family not in context.suspended)
        ]
        if undone:
            self._file.notes[:] = [note for note in self._file.notes if note not in undone]
            self._save()

    def observe(self, engine: Engine) -> None:
        """Take in what another leader has made known: if an operator undoes that, it is not to be done again."""
        context = engine.context
        was_told = False
        for note in self._file.notes:
            known = context.quarantine.entries if note.kind == "command" else context.suspended
            if not note.is_journaled and (note.digest or note.family) in known:
                note.is_journaled = was_told = True
        if was_told:
            self._save()

    def settle(self) -> None:
        """Take in that everything was made known by a durable record."""
        fresh = [note for note in self._file.notes if not note.is_journaled and note.kind != "batch"]
        for note in fresh:
            note.is_journaled = True
        if fresh:
            self._save()

    def _save(self) -> None:
        """Write what a later start can do without."""
        try:
            self._file.save()
        except OSError as error:
            log.warning("notes of poison cannot be written", error=str(error))


def _describe(batch: Batch, offender: Offender | None) -> str:
    if offender is None:
        return f"batch {batch.index} ({len(batch.submissions)} commands)"
    if offender.submission is not None:
        agent, command, _ = offender.submission
        return f"{tag_of(type(command))} {command.id} of {agent}"
    if offender.deadline is not None:
        return f"the deadline {_deadline(offender)}"
    return f"the start of an epoch in {offender.family}"


def _deadline(offender: Offender) -> PoisonedDeadline:
    assert offender.deadline is not None  # noqa: S101 - asked before
    time_us, number, kind, args = offender.deadline
    return PoisonedDeadline(time_us, number, kind, list(args))


def _cut(text: str) -> str:
    """Shorten a text to what a command takes, in characters that can be encoded."""
    return text[:_ERROR_LENGTH].encode(errors="replace").decode()


def _make_note(poisoned: Poisoned) -> PoisonNote | None:
    batch, offender = poisoned.batch, poisoned.offender
    note = PoisonNote(
        kind="batch", error=_cut(poisoned.error),
        traceback=poisoned.trace[-_TRACE_LENGTH:].encode(errors="replace").decode(),
        index=batch.index, epoch=batch.epoch, time_us=batch.time_us, noted_us=time.time_ns() // 1_000, version=VERSION,
    )  # fmt: skip
    if offender is None:
        note.suspects = [(agent, bytes(body)) for agent, _, body in batch.submissions if agent != VENUE_AGENT]
        return note
    note.family = offender.family
    if offender.submission is not None:
        agent, command, body = offender.submission
        return None if agent == VENUE_AGENT else _blame(note, agent, command, bytes(body))
    note.kind = "epoch" if offender.deadline is None else "deadline"
    note.deadline = None if offender.deadline is None else _deadline(offender)
    return note


def _blame(note: PoisonNote, agent: str, command: Command, body: bytes) -> PoisonNote:
    """Make it a note about a command."""
    return msgspec.structs.replace(
        note, kind="command", family=family_of(type(command)), agent=agent, command_id=command.id,
        tag=tag_of(type(command)), digest=quarantine_digest(agent, body), body=body, suspects=[],
    )  # fmt: skip


# ── finding out ─────────────────────────────────────────────────────────────────────────────────


class _Found(msgspec.Struct):
    """Say what broke a copy of the engine: a suspect by its place, or a deadline."""

    suspect: int = -1
    deadline: PoisonedDeadline | None = None


def find_offender(engine: Engine, note: PoisonNote) -> _Found | None:
    """Do again, one by one, what a batch did, until it breaks; the engine is of no use after that."""
    time_us = max(note.time_us, engine.time_us)
    engine.context.settings = msgspec.structs.replace(engine.context.settings, max_deadlines_per_batch=1)
    while (due := engine.next_deadline()) is not None and due[0] <= time_us:
        if _breaks(engine, time_us, []):
            return _Found(deadline=PoisonedDeadline(due[0], due[1], due[2], list(due[3])))
    for place, (agent, body) in enumerate(note.suspects):
        if _breaks(engine, time_us, [(agent, decode_command(body), body)]):
            return _Found(place)
    return None


def _breaks(engine: Engine, time_us: int, submissions: list[Submission]) -> bool:
    try:
        outputs = engine.apply(Batch(engine.epoch, engine.index + 1, time_us, submissions))
        outputs.digest()
    except Exception:  # noqa: BLE001 - whatever it is, this is what was looked for
        return True
    return bool(engine.ledger.take_difference())


def _try_out(engine: Engine, note: PoisonNote) -> bytes:
    return msgspec.json.encode(find_offender(engine, note))


def _in_child(work: Callable[[], bytes]) -> _Found | None:
    """Do work in a forked child, which has a copy of everything; None if it does not end well or in time."""
    hear, say = os.pipe()
    try:
        child = fork()
    except OSError as error:
        # No memory for it now: then it is not known.
        log.warning("poison cannot be tried out", error=str(error))
        os.close(hear)
        os.close(say)
        return None
    if child == 0:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_TRIAL_S)
            os.write(say, work())
        finally:
            os._exit(0)
    os.close(say)
    with os.fdopen(hear, "rb") as file:
        said = file.read(_READ_BYTES)
    os.waitpid(child, 0)
    return msgspec.json.decode(said, type=_Found | None) if said else None


def _resolved(note: PoisonNote, found: _Found | None) -> list[PoisonNote]:
    """Return what a note about a batch has become: who it was, or else everybody who may have been."""
    if found is not None and found.deadline is not None:
        kind = found.deadline.kind
        return [
            msgspec.structs.replace(
                note, kind="deadline", family=kind.partition(".")[0], deadline=found.deadline, suspects=[]
            )
        ]
    suspects = note.suspects if found is None else [note.suspects[found.suspect]]
    blamed: list[PoisonNote] = []
    for agent, body in suspects:
        try:
            command: Any = decode_command(body)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            # Of another version: here it is refused before it runs.
            log.warning("a suspect cannot be read", agent=agent, error=str(error))
            continue
        blamed.append(_blame(msgspec.structs.replace(note, is_certain=found is not None), agent, command, body))
    return blamed

"""Note on disk what broke the engine, so that the next start knows: a small file, written whole or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import structlog

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PoisonFile", "PoisonNote", "PoisonedDeadline", "decode_note", "encode_note"]

_KEPT_MAX: Final = 256
"""Notes that the journal knows of give way, the oldest first."""

log = structlog.get_logger(__name__)


class PoisonedDeadline(msgspec.Struct, frozen=True):
    """Name a deadline."""

    time_us: int
    number: int
    kind: str
    args: list[str | int]

    def __str__(self) -> str:
        """Write it as a call."""
        return f"{self.kind}({', '.join(map(str, self.args))})"


class PoisonNote(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Say what was being done when the engine broke, in batch ``index`` at venue time ``time_us``.

    A ``batch`` is one of which it is not known what in it was to blame: its commands are the ``suspects``. What was
    found out of it since is ``is_certain`` only if it was found for sure. ``is_journaled``: every daemon knows.
    """

    kind: Literal["command", "deadline", "epoch", "batch"]
    family: str = ""
    error: str
    traceback: str = ""
    index: int
    epoch: int
    time_us: int
    noted_us: int
    version: str
    times: int = 1
    is_certain: bool = True
    is_journaled: bool = False
    is_heard: bool = False
    agent: str = ""
    command_id: str = ""
    tag: str = ""
    digest: str = ""
    body: bytes = b""
    deadline: PoisonedDeadline | None = None
    suspects: list[tuple[str, bytes]] = []

    @property
    def key(self) -> str:
        """What tells it from other notes: the digest of a command."""
        if self.kind == "command":
            return self.digest
        if self.deadline is not None:
            return f"deadline-{self.deadline.number}"
        return f"{self.kind}-{self.family or self.index}"


class _Notes(msgspec.Struct):
    notes: list[PoisonNote] = []


encode_note: Final = msgspec.json.Encoder().encode
decode_note: Final = msgspec.json.Decoder(PoisonNote).decode
_decode_file: Final = msgspec.json.Decoder(_Notes).decode


class PoisonFile:
    """Keep the notes of one data directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[PoisonNote] = []
        try:
            self.notes = _decode_file(path.read_bytes()).notes
        except FileNotFoundError:
            pass
        except msgspec.DecodeError as error:
            # Nothing that is durable depends on it; the worst is that one more start meets the poison.
            log.warning("notes of poison cannot be read", file=str(path), error=str(error))

    def add(self, note: PoisonNote) -> None:
        """Note one more thing; what is noted already is counted, and told to the journal again."""
        for at, known in enumerate(self.notes):
            if known.key == note.key:
                note.times = known.times + 1
                self.notes[at] = note
                break
        else:
            self.notes.append(note)
        self.save()

    def save(self) -> None:
        """Write the notes through to the disk.

        Raises:
            OSError: they cannot be written.
        """
        settled = [note for note in self.notes if note.is_journaled]
        dropped = settled[: max(len(settled) - _KEPT_MAX, 0)]
        self.notes = [note for note in self.notes if note not in dropped]
        draft = self.path.with_name(f".{self.path.name}.draft")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(_Notes(self.notes)), indent=1) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

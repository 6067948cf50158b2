"""Keep an audit trail: what agents were told of their commands, and each event they heard, as it came.

It is kept by the side of the agents, not by the venue, so the two can be compared: every outcome in
the trail must be in the journal, and the events of an agent must be numbered 1, 2, 3, … to the end.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Self

import msgspec

from agent_sdk.nats_transport import NatsTransport

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from agent_sdk import AnyEvent
    from agent_sdk.transport import MessageCallback, Unsubscribe

__all__ = ["AuditTrail", "AuditedTransport", "EventEntry", "ReplyEntry"]

_ABOUT_COMMANDS: Final = frozenset({"outcome", "outcome_result", "refusal"})


class ReplyEntry(msgspec.Struct, tag_field="entry", tag="reply"):
    """Hold a reply about commands, byte for byte: an outcome, what a settled id turned out to be, a refusal."""

    agent: str
    reply: msgspec.Raw


class EventEntry(msgspec.Struct, tag_field="entry", tag="event"):
    """Hold an event of the agent's own feed; ``kind`` is its class in the SDK."""

    agent: str
    kind: str
    event: AnyEvent


class _Tagged(msgspec.Struct):
    type: str = ""


_encode: Final = msgspec.json.Encoder().encode
_decode_tagged: Final = msgspec.json.Decoder(_Tagged).decode


class AuditTrail:
    """Append to a file, one JSON object a line; what was appended outlives this process, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def __enter__(self) -> Self:
        """Open the file, which only its owner can read: it tells what agents traded."""
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        os.close(self._file)

    def reply(self, agent: str, payload: bytes) -> None:
        """Take in whatever came on a reply subject; what is not about commands is left out."""
        try:
            # An array answers an array of commands, and nothing else is one.
            if payload[:1] != b"[" and _decode_tagged(payload).type not in _ABOUT_COMMANDS:
                return
        except msgspec.DecodeError:
            return
        self._append(ReplyEntry(agent, msgspec.Raw(payload)))

    def event(self, agent: str, event: AnyEvent) -> None:
        """Take in an event."""
        self._append(EventEntry(agent, type(event).__name__, event))

    def _append(self, entry: ReplyEntry | EventEntry) -> None:
        # Unbuffered: an entry that waits in memory would be lost with the process.
        os.write(self._file, _encode(entry) + b"\n")


class AuditedTransport(NatsTransport):
    """Carry messages over NATS and hand every reply to the audit trail before the agent sees it."""

    def __init__(self, url: str, creds: str, trail: AuditTrail) -> None:
        super().__init__(url, creds)
        self._trail = trail

    async def subscribe(self, subject: str, callback: MessageCallback) -> Unsubscribe:
        """Hear a subject, with replies going to the trail as well."""
        if not subject.startswith("_INBOX."):
            return await super().subscribe(subject, callback)

        def audited(on: str, payload: bytes) -> None:
            self._trail.reply(self.agent, payload)
            callback(on, payload)

        return await super().subscribe(subject, audited)

"""Points at which a test lets the daemon die, named by the environment; nothing at all otherwise.

``EXCHANGE_CRASH_AT=after_write:7`` kills the process with SIGKILL when it passes that point for the seventh
time. A point is bound when its module is imported, so without the variable it costs a call that does nothing,
a handful of times per batch.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Send = Callable[[list[tuple[str, bytes]]], Awaitable[None]]

__all__ = ["CRASH_AT", "CRASH_WITH", "POINTS", "crash_point", "torn"]

CRASH_AT: Final = "EXCHANGE_CRASH_AT"

POINTS: Final = {
    "keys_written": "a new venue has its keys, and no server yet",
    "stream_created": "the stream was created, and has no genesis",
    "genesis_stored": "the genesis is stored, and nobody has noted it",
    "recovered": "the state is that of the last record, and nobody leads",
    "before_epoch": "the first record of the new epoch is not applied",
    "after_epoch": "the first record of the new epoch is stored, and no command is heard",
    "before_apply": "commands have arrived, and none is applied",
    "after_apply": "a batch is applied, and its record is not written",
    "after_write": "the record is on its way to the server",
    "before_ack": "the record is stored, and its acknowledgement lies unread",
    "before_mark": "the acknowledgement was read, and the high-water mark does not know of it",
    "before_replies": "the record is marked, and nobody was told",
    "amid_replies": "half of the agents that wait for a reply have theirs",
    "before_events": "every reply has left, and no event",
    "amid_events": "half of the events and market data have left",
    "snapshot_forked": "a snapshot was begun",
    "snapshot_written": "the snapshot's file is written and proved, and has no name yet",
    "snapshot_renamed": "the snapshot has its name, and the oldest one is still there",
    "copy_stored": "a copy of the snapshot is stored and proved, and the oldest copy is still there",
    "part_archived": "a file of records is archived, and all of them are still in the journal",
    "before_trim": "all that is superfluous is archived, and all of it is still in the journal",
    "after_trim": "the journal was trimmed, and nobody has noted it",
}
"""Every point, in the order in which a daemon passes them, and how things stand there."""

CRASH_WITH: Final = "EXCHANGE_CRASH_WITH"
"""Names the daemon to a process that works for it."""

_PROCESS: Final = int(os.environ.get(CRASH_WITH) or os.getpid())
_FLUSH_S: Final = 0.01

_wanted, _, _passing = os.environ.get(CRASH_AT, "").partition(":")


def crash_point(name: str) -> Callable[[], None]:
    """Return what is to be called at a point of ``POINTS``: it does nothing, unless the environment names it."""
    return _Fuse().burn if name == _wanted and name in POINTS else _pass


def torn(name: str, send: Send) -> Send:
    """Return ``send``, which dies amid a list of several messages if the environment names the point."""
    return _Tearing(send).send if name == _wanted and name in POINTS else send


def _pass() -> None:
    """Go on."""


class _Fuse:
    """Count down to the passing that was asked for."""

    def __init__(self) -> None:
        self.left = int(_passing or 1)

    def burn(self) -> None:
        self.left -= 1
        if self.left == 0:
            _die()


class _Tearing:
    """Send all lists of messages but one, of which half is sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._fuse = _Fuse()

    async def send(self, messages: list[tuple[str, bytes]]) -> None:
        if len(messages) > 1:
            self._fuse.left -= 1
        if self._fuse.left > 0:
            await self._send(messages)
            return
        await self._send(messages[: len(messages) // 2])
        # The loop writes to the socket in a turn of its own.
        await asyncio.sleep(_FLUSH_S)
        _die()


def _die() -> None:
    """Die at once; a child takes its parent along, as a power cut would."""
    if os.getpid() != _PROCESS:
        os.kill(_PROCESS, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)

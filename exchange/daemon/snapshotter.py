"""Take snapshots beside the flow of orders: in a forked child, which has the state of that moment to itself."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from typing import TYPE_CHECKING, Final

import structlog

from exchange.adapters.crash_points import crash_point
from exchange.daemon.forking import fork
from exchange.daemon.host import Host

if TYPE_CHECKING:
    from collections.abc import Callable

    from exchange.adapters.snapshots import Snapshot, SnapshotStore

__all__ = ["Snapshotter", "prove"]

_forked: Final = crash_point("snapshot_forked")

_NICENESS: Final = 15
_SAY: Final = 3
_BROKEN: Final = 2
"""With this code a child ends that found the state broken."""
_DESCRIPTORS_MAX: Final = 65_536
_REASON_BYTES: Final = 1_000

log = structlog.get_logger(__name__)


class InvariantsBroken(Exception):
    """Raised when a state is not what the rules allow: no snapshot must stand for it."""


class Snapshotter:
    """Take a snapshot whenever so many commands were applied since the last one.

    ``offer`` must be called while the state is durable: a snapshot is never ahead of its journal.
    ``on_end`` gets the record, the seconds that it took, and whether there is a new snapshot. ``on_check`` gets
    whether the invariants hold, which each child counts first: of a state that is broken there is no snapshot.
    """

    def __init__(
        self,
        store: SnapshotStore,
        every_commands: int,
        on_end: Callable[[int, float, bool], None] = lambda _index, _seconds, _is_good: None,
        on_check: Callable[[bool], None] = lambda _holds: None,
    ) -> None:
        self._store = store
        self._every_commands = every_commands
        self._counted = 0
        self._child: int | None = None
        self._index = 0
        self._started_s = 0.0
        self._said = -1
        self._on_end = on_end
        self._on_check = on_check
        self.taken_index = 0
        """The record of the newest snapshot that this daemon took; 0 before the first."""
        self.failures = 0

    @property
    def is_running(self) -> bool:
        """Return whether a child is at work."""
        return self._child is not None

    def offer(self, host: Host) -> None:
        """Begin a snapshot if one is due and none is under way; costs a comparison otherwise."""
        due = self._every_commands and host.engine.commands_applied - self._counted >= self._every_commands
        if due and self._child is None:
            self.take(host)

    def take(self, host: Host) -> None:
        """Begin a snapshot of the present state; the caller goes on at once."""
        self._counted = host.engine.commands_applied
        self._index = host.engine.index
        self._started_s = time.monotonic()
        self._said, say = os.pipe()
        try:
            self._child = fork()
        except OSError as error:
            # No memory for it now; orders go on.
            os.close(self._said)
            os.close(say)
            self._fail(repr(error))
            return
        if self._child == 0:
            _work(host, self._store, say)
        _forked()
        os.close(say)
        # It says why it failed, and closes its end by ending.
        asyncio.get_running_loop().add_reader(self._said, self._look)
        log.info("snapshot begun", snapshot=self._index, pid=self._child)

    def _look(self) -> None:
        """Look whether the child has ended, and how."""
        assert self._child is not None  # noqa: S101 - there is a pipe as long as there is a child
        pid, status = os.waitpid(self._child, os.WNOHANG)
        if pid == 0:
            return
        seconds = time.monotonic() - self._started_s
        reason = os.read(self._said, _REASON_BYTES).decode(errors="replace")
        self._forget_child()
        code = os.waitstatus_to_exitcode(status)
        if code in (0, _BROKEN):
            self._on_check(code == 0)
        if code == _BROKEN:
            log.critical("invariants do not hold", snapshot=self._index, broken=reason)
        if status == 0:
            self.taken_index = self._index
            log.info("snapshot taken", snapshot=self._index, seconds=round(seconds, 3))
            self._on_end(self._index, seconds, True)
        else:
            self._fail(reason or f"it ended with {code}")

    def _fail(self, reason: str) -> None:
        self.failures += 1
        log.error(
            "snapshot failed; the journal has everything, and the next one is due in time",
            snapshot=self._index, reason=reason,
        )  # fmt: skip
        self._on_end(self._index, 0.0, False)

    def close(self) -> None:
        """Let a child that is at work go: what it was writing is not a snapshot yet."""
        if self._child is not None:
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
            self._forget_child()

    def _forget_child(self) -> None:
        asyncio.get_running_loop().remove_reader(self._said)
        os.close(self._said)
        self._child = None


def _work(host: Host, store: SnapshotStore, say: int) -> None:
    """Be the child: write, prove, end. Nothing of the parent's is touched, not even by the way out."""
    code = 1
    try:
        # The parent's sockets must close when the parent dies, not when this ends.
        os.dup2(say, _SAY)
        os.closerange(_SAY + 1, _DESCRIPTORS_MAX)
        # The loop's handlers would only note a signal; this process has no loop, and may simply end.
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.nice(_NICENESS)
        gc.disable()
        _check(host)
        store.write(host.snapshot(), prove)
        code = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, this process ends here
        code = _BROKEN if isinstance(error, InvariantsBroken) else 1
        os.write(_SAY, repr(error).encode()[:_REASON_BYTES])
    finally:
        os._exit(code)


def _check(host: Host) -> None:
    broken = host.engine.check_invariants()
    if broken:
        raise InvariantsBroken(", ".join(broken))


def prove(snapshot: Snapshot) -> None:
    """Load a snapshot that was read back from its file.

    Raises:
        SnapshotCorrupt: it does not bring forth the state that it was taken of.
    """
    Host(send=lambda _subject, _payload: None, now_s=time.monotonic).load(snapshot)

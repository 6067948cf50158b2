"""Let what is superfluous go: start the process that keeps it safe first, then trim the journal."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from exchange.adapters.crash_points import CRASH_WITH, crash_point
from exchange.adapters.fenced_log import NoAnswer
from exchange.daemon.preserve import Preserved

if TYPE_CHECKING:
    from collections.abc import Callable

    from exchange.adapters.fenced_log import FencedLog
    from exchange.daemon.preserve import Task

__all__ = ["Preserver"]

_TRIM_RECORDS: Final = 10_000
"""How many records are let go of at once: the server stores nothing meanwhile."""

_TRIM_PAUSE_S: Final = 0.05
_before_trim: Final = crash_point("before_trim")
_after_trim: Final = crash_point("after_trim")

_PROGRAM: Final = "import sys; from exchange.daemon.preserve import main; sys.exit(main(sys.argv[1:]))"

log = structlog.get_logger(__name__)


class Preserver:
    """Run a task after every snapshot that is taken while this daemon leads, one at a time.

    ``may_trim`` says whether this daemon leads at the moment. ``on_end`` gets what was done.
    """

    def __init__(
        self,
        task: Task,
        journal: FencedLog,
        may_trim: Callable[[], bool],
        on_end: Callable[[Preserved], None] = lambda _done: None,
    ) -> None:
        self._task = task
        self._journal = journal
        self._may_trim = may_trim
        self._on_end = on_end
        self._wanted = asyncio.Event()
        self._is_running = False
        self.last: Preserved | None = None
        """What the latest run has done, after the journal was trimmed."""

    @property
    def is_busy(self) -> bool:
        """Return whether a run is under way or wanted."""
        return self._is_running or self._wanted.is_set()

    def want(self) -> None:
        """Ask for a run; asking again before it has begun changes nothing."""
        self._wanted.set()

    async def run(self) -> None:
        """Do what is wanted until cancelled; a failure is told, and the next run goes on from it."""
        structlog.contextvars.unbind_contextvars("index")
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._is_running = True
            done = await self._preserve()
            if done.problem:
                log.error("snapshots are not copied or records not archived; nothing is trimmed", reason=done.problem)
            else:
                log.info("preserved", copied=done.copied, archived=done.archived, trim_below=done.trim_below)
                done.first = await self._trim(done.trim_below)
            self.last = done
            self._is_running = False
            self._on_end(done)

    async def _preserve(self) -> Preserved:
        """Run the process to its end."""
        try:
            process = _spawn(self._task)
        except OSError as error:
            return Preserved(problem=f"the process that does it cannot be started: {error!r}")
        # Its pipe is closed and its end waited for, also where this is cancelled before a thread has begun to.
        with process:
            try:
                said, _ = await asyncio.to_thread(process.communicate)
                return msgspec.json.decode(said, type=Preserved)
            except msgspec.DecodeError as error:
                return Preserved(problem=f"the process that does it ended with {process.returncode}: {error}")
            finally:
                process.kill()

    async def _trim(self, below: int) -> int:
        """Trim the journal in steps, for as long as this daemon leads; return the first record that is left."""
        first = 0
        try:
            first = begun = await self._journal.first_index()
            while first < below and self._may_trim():
                step = min(below, first + _TRIM_RECORDS)
                _before_trim()
                await self._journal.trim(step)
                _after_trim()
                first = step
                await asyncio.sleep(_TRIM_PAUSE_S)
        except NoAnswer as error:
            log.warning("the journal was not trimmed; the next snapshot leads to another attempt", error=str(error))
            return first
        if first > begun:
            log.info("journal trimmed", first=first, records=first - begun)
        return first


def _spawn(task: Task) -> subprocess.Popen[bytes]:
    """Start the process. The loop's own way would copy the page tables of the whole daemon, as a fork does."""
    return subprocess.Popen(  # noqa: S603 - this program, and settings of our own
        [sys.executable, "-c", _PROGRAM, msgspec.json.encode(task).decode()],
        env={**os.environ, CRASH_WITH: str(os.getpid())},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )

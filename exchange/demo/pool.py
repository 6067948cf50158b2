"""Start the processes of agents, tell them when a period begins and ends, and collect what they did."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from exchange.demo.venue import DemoError, log_tail
from exchange.demo.wire import (
    LINE_BYTES_MAX,
    Begin,
    End,
    Failed,
    PeriodDone,
    Progress,
    Ready,
    decode_from_agents,
    encode_line,
)

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from exchange.demo.wire import FromAgents, Setup, ToAgents, TraderPeriod

__all__ = ["PROCESSES_MAX", "AgentPool"]

PROCESSES_MAX: Final = 4
"""How many processes share the agents by default: few machines have a core for each agent."""

_READY_S: Final = 60.0
_END_S: Final = 60.0
_STOP_S: Final = 5.0


class AgentPool:
    """Run the traders of every ``Setup`` in a process of their own, for the length of a context.

    ``on_acks`` hears of acknowledged orders as they come, each with its time in microseconds.
    ``failed`` is done with an error when a process ends before it was told to.
    """

    def __init__(self, setups: Sequence[Setup], log: Path, on_acks: Callable[[list[int]], None]) -> None:
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.failed.add_done_callback(lambda failed: failed.cancelled() or failed.exception())
        self._setups = setups
        self._log = log
        self._on_acks = on_acks
        self._members: list[_Member] = []

    @property
    def pids(self) -> list[int]:
        """The process ids."""
        return [member.process.pid for member in self._members]

    async def __aenter__(self) -> Self:
        """Start all processes and return when every agent is connected.

        Raises:
            DemoError: a process ended, or was not ready in time.
        """
        try:
            for setup in self._setups:
                self._members.append(await self._start(setup))
            await self._all(Ready, _READY_S)
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all processes."""
        await self.stop()

    def begin(self, period: int) -> None:
        """Open a trading period."""
        self._tell(Begin(period))

    async def end(self, period: int) -> list[TraderPeriod]:
        """Close the period and return what every trader did in it.

        Raises:
            DemoError: a process ended, or did not answer in time.
        """
        self._tell(End(period))
        answers = await self._all(PeriodDone, _END_S)
        return [trader for answer in answers if isinstance(answer, PeriodDone) for trader in answer.traders]

    async def stop(self) -> None:
        """Close the lines, which ends the processes; kill those that do not end."""
        members, self._members = self._members, []
        for member in members:
            member.close()
        await asyncio.gather(*(member.ended(_STOP_S) for member in members))

    async def _start(self, setup: Setup) -> _Member:
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "exchange.demo.agent"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=LINE_BYTES_MAX,
                start_new_session=True,
            )
        member = _Member(process, self._on_acks, self._fail)
        member.tell(setup)
        return member

    def _tell(self, message: ToAgents) -> None:
        for member in self._members:
            member.tell(message)

    def _fail(self, message: str) -> None:
        if not self.failed.done():
            self.failed.set_exception(DemoError(f"{message}; their log ends:\n{log_tail(self._log)}"))

    async def _all(self, kind: type[FromAgents], timeout_s: float) -> list[FromAgents]:
        """Return the next answer of every process."""
        waiting = asyncio.gather(*(member.answers.get() for member in self._members))
        either: tuple[asyncio.Future[Any], ...] = (waiting, self.failed)
        try:
            await asyncio.wait(either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                if self.failed.done():
                    await self.failed
                tail = log_tail(self._log)
                message = f"no {kind.__name__!r} of the agents within {timeout_s:g} s; their log ends:\n{tail}"
                raise DemoError(message)
        finally:
            # Also when this is cancelled, because the venue failed: nobody else looks at it.
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        answers = waiting.result()
        if not all(isinstance(answer, kind) for answer in answers):
            message = f"the agents did not answer with {kind.__name__!r}: {answers}"
            raise DemoError(message)
        return answers


class _Member:
    """Hold one process and the lines to and from it."""

    def __init__(
        self, process: Process, on_acks: Callable[[list[int]], None], on_failure: Callable[[str], None]
    ) -> None:
        self.process = process
        self.answers: asyncio.Queue[FromAgents] = asyncio.Queue()
        self._is_closing = False
        self._on_acks = on_acks
        self._on_failure = on_failure
        self._reading = asyncio.create_task(self._read(), name=f"agents-{process.pid}")

    def tell(self, message: ToAgents) -> None:
        """Send a message; that the process is gone is noticed by reading."""
        stdin = self.process.stdin
        assert stdin is not None  # noqa: S101 - it is a pipe
        if not stdin.is_closing():
            stdin.write(encode_line(message))

    def close(self) -> None:
        """Ask the process to end."""
        self._is_closing = True
        stdin = self.process.stdin
        assert stdin is not None  # noqa: S101 - it is a pipe
        stdin.close()

    async def ended(self, timeout_s: float) -> None:
        """Wait until the process has ended, and kill it when that takes longer than ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._reading
                await self.process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            await self.process.wait()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        stdout = self.process.stdout
        assert stdout is not None  # noqa: S101 - it is a pipe
        try:
            while line := await stdout.readline():
                message = decode_from_agents(line)
                if isinstance(message, Progress):
                    self._on_acks(message.acks_us)
                elif isinstance(message, Failed):
                    self._is_closing or self._on_failure(f"agents failed: {message.message}")
                else:
                    self.answers.put_nowait(message)
        except (msgspec.DecodeError, ValueError) as error:
            self._on_failure(f"agents said something unreadable: {error}")
        if not self._is_closing:
            code = await self.process.wait()
            self._on_failure(f"a process of agents ended by itself (exit code {code})")

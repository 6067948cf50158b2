"""Run traders in a process of their own: ``python -m exchange.demo.agent``, started by the experiment.

Every trader has a credential and a connection of its own; several share a process only because few
machines have a core for each. The process ends with its standard input, so it cannot outlive who
started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from agent_sdk import ConnectionFailed, ExchangeError, connect
from exchange.demo.audit_trail import AuditedTransport, AuditTrail
from exchange.demo.trader import Trader
from exchange.demo.wire import (
    LINE_BYTES_MAX,
    Begin,
    End,
    Failed,
    PeriodDone,
    Progress,
    Ready,
    Setup,
    TraderPeriod,
    decode_to_agents,
    encode_line,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from agent_sdk import Agent
    from exchange.demo.wire import FromAgents, ToAgents, TraderSpec

__all__ = ["main"]

T = TypeVar("T")

_PROGRESS_S: Final = 0.25
_CONNECT_S: Final = 20.0
_PAUSE_S: Final = 0.1
_CLOSE_S: Final = 3.0


class _Line:
    """Hear the experimenter on standard input and answer on standard output."""

    def __init__(self) -> None:
        self._heard: asyncio.Queue[ToAgents] = asyncio.Queue()

    async def listen(self) -> None:
        """Take in what is said; return when there will be no more.

        Raises:
            msgspec.DecodeError: it is unreadable.
        """
        reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
        while line := await reader.readline():
            self._heard.put_nowait(decode_to_agents(line))

    async def hear(self) -> ToAgents:
        """Return the next message."""
        return await self._heard.get()

    def say(self, message: FromAgents) -> None:
        """Answer."""
        sys.stdout.buffer.write(encode_line(message))
        sys.stdout.buffer.flush()


class _Group:
    """Run the traders of this process."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._acks_us: list[int] = []
        self._traders: list[Trader] = []

    async def run(self) -> None:
        """Connect all traders, and trade whenever a period begins; until cancelled."""
        setup = _expected(await self._line.hear(), Setup)
        async with contextlib.AsyncExitStack() as stack:
            trail = stack.enter_context(AuditTrail(Path(setup.audit_trail)))
            async with asyncio.TaskGroup() as joining:
                for spec in setup.traders:
                    joining.create_task(self._join(stack, setup, spec, trail))
            async with asyncio.TaskGroup() as tasks:
                for trader in self._traders:
                    tasks.create_task(trader.listen())
                for trader in self._traders:
                    await trader.sees_market()
                tasks.create_task(self._report_progress())
                self._line.say(Ready())
                while True:
                    await self._trade(_expected(await self._line.hear(), Begin))

    async def _join(self, stack: contextlib.AsyncExitStack, setup: Setup, spec: TraderSpec, trail: AuditTrail) -> None:
        agent = await stack.enter_async_context(_connected(setup.url, spec.creds, trail))
        self._traders.append(Trader(agent, spec, setup, self._acks_us, trail))

    async def _trade(self, begin: Begin) -> None:
        async with asyncio.TaskGroup() as tasks:
            for trader in self._traders:
                tasks.create_task(trader.trade())
            _expected(await self._line.hear(), End)
            for trader in self._traders:
                trader.stop()
        self._flush()
        periods = [TraderPeriod(trader.spec.agent, trader.fills) for trader in self._traders]
        self._line.say(PeriodDone(begin.period, periods))

    async def _report_progress(self) -> None:
        while True:
            await asyncio.sleep(_PROGRESS_S)
            self._flush()

    def _flush(self) -> None:
        if self._acks_us:
            self._line.say(Progress(list(self._acks_us)))
            self._acks_us.clear()


@contextlib.asynccontextmanager
async def _connected(url: str, creds: str, trail: AuditTrail) -> AsyncIterator[Agent]:
    """Connect, also to a venue that is just being restarted."""
    deadline_s = time.monotonic() + _CONNECT_S
    async with contextlib.AsyncExitStack() as stack:
        while True:
            try:
                transport = AuditedTransport(url, creds, trail)
                agent = await stack.enter_async_context(connect(transport=transport))
            except ConnectionFailed:
                if time.monotonic() > deadline_s:
                    raise
                await asyncio.sleep(_PAUSE_S)
            else:
                break
        yield agent


def _expected(message: ToAgents, kind: type[T]) -> T:
    if isinstance(message, kind):
        return message
    error = f"expected {kind.__name__}, heard {message}"
    raise ValueError(error)


async def _run() -> int:
    """Trade until the line is closed, whatever is going on then."""
    line = _Line()
    tasks = [asyncio.create_task(line.listen()), asyncio.create_task(_Group(line).run())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    _, stuck = await asyncio.wait(tasks, timeout=_CLOSE_S)
    if stuck:
        # Whatever does not take its cancellation must not keep the process: nobody is left to end it.
        os._exit(1)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    errors = [error for result in results if isinstance(result, Exception) for error in _leaves(result)]
    if not errors:
        return 0
    line.say(Failed("; ".join(f"{type(error).__name__}: {error}" for error in errors)))
    for error in errors:
        if not isinstance(error, ExchangeError | OSError):
            traceback.print_exception(error)  # a bug, which the log should show
    return 1


def _leaves(error: BaseException) -> list[BaseException]:
    """List the errors of nested groups."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def main() -> int:
    """Run until standard input ends."""
    # Ctrl-C is for who started this process, and who closes the line then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_run())


if __name__ == "__main__":
    sys.exit(main())

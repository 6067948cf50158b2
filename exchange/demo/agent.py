"""Run traders in a process of their own: ``python -m exchange.demo.agent``, started by the experiment.

Every trader has a credential and a connection of its own; several share a process only because few
machines have a core for each. The process ends with its standard input, so it cannot outlive who
started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from agent_sdk import ConnectionFailed, ExchangeError, connect
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

_PROGRESS_S: Final = 0.25
_CONNECT_S: Final = 20.0
_PAUSE_S: Final = 0.1


class _Line:
    """Hear the experimenter on standard input and answer on standard output."""

    def __init__(self) -> None:
        self._reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self._reader), sys.stdin.buffer)

    async def hear(self) -> ToAgents | None:
        """Return the next message, or None when there will be no more."""
        line = await self._reader.readline()
        return decode_to_agents(line) if line else None

    def say(self, message: FromAgents) -> None:
        """Answer."""
        sys.stdout.buffer.write(encode_line(message))
        sys.stdout.buffer.flush()


class _Group:
    """Run the traders of this process."""

    def __init__(self, line: _Line, setup: Setup) -> None:
        self._line = line
        self._setup = setup
        self._acks_us: list[int] = []
        self._traders: list[Trader] = []

    async def run(self) -> None:
        """Connect all traders and trade until the line is closed."""
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.TaskGroup() as joining:
                for spec in self._setup.traders:
                    joining.create_task(self._join(stack, spec))
            async with asyncio.TaskGroup() as tasks:
                background = [tasks.create_task(trader.listen()) for trader in self._traders]
                for trader in self._traders:
                    await trader.sees_market()
                background.append(tasks.create_task(self._report_progress()))
                self._line.say(Ready())
                while isinstance(message := await self._line.hear(), Begin):
                    await self._trade(message)
                for task in background:
                    task.cancel()

    async def _join(self, stack: contextlib.AsyncExitStack, spec: TraderSpec) -> None:
        agent = await stack.enter_async_context(_connected(self._setup.url, spec.creds))
        self._traders.append(Trader(agent, spec, self._setup, self._acks_us))

    async def _trade(self, begin: Begin) -> None:
        async with asyncio.TaskGroup() as tasks:
            trading = [tasks.create_task(trader.trade()) for trader in self._traders]
            message = await self._line.hear()
            for trader in self._traders:
                trader.stop()
            if message is None:
                for task in trading:
                    task.cancel()
                return
        if message != End(begin.period):
            error = f"expected the end of period {begin.period}, heard {message}"
            raise ValueError(error)
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
async def _connected(url: str, creds: str) -> AsyncIterator[Agent]:
    """Connect, also to a venue that is just being restarted."""
    deadline_s = time.monotonic() + _CONNECT_S
    async with contextlib.AsyncExitStack() as stack:
        while True:
            try:
                agent = await stack.enter_async_context(connect(url, creds=creds))
            except ConnectionFailed:
                if time.monotonic() > deadline_s:
                    raise
                await asyncio.sleep(_PAUSE_S)
            else:
                break
        yield agent


async def _run() -> int:
    line = _Line()
    await line.open()
    setup = await line.hear()
    if not isinstance(setup, Setup):
        sys.stderr.write("`exchange demo` starts this program; it is of no use alone\n")
        return 2
    code = 0
    try:
        await _Group(line, setup).run()
    except* (ExchangeError, OSError, ValueError) as group:
        line.say(Failed("; ".join(f"{type(error).__name__}: {error}" for error in _leaves(group))))
        code = 1
    return code


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

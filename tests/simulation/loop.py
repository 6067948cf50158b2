"""Run asyncio in virtual time, and programs in it that can be frozen and killed at any await."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["Killed", "Program", "VirtualLoop", "VirtualTimeStands"]

_PROGRAM: contextvars.ContextVar[Program | None] = contextvars.ContextVar("program", default=None)
_TURNS_MAX = 3_000_000


class Killed(BaseException):
    """Raised inside a program at the point where it is killed; nothing of it has an effect after that."""


class VirtualTimeStands(Exception):
    """Raised when nothing is left to wait for, or when a run does not come to an end."""


class Program:
    """Be one operating system process: everything that runs on behalf of it can be stopped, and ended.

    Its steps are the callbacks of the event loop that belong to it: between two of them it can be frozen or
    killed. ``at`` names points within a step, at which it can be killed too.
    """

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        self.name = name
        self.is_alive = True
        self.is_frozen = False
        self.steps = 0
        self.dies_at_step = 0
        self.dies_at: dict[str, int] = {}
        """Per named point the how-manieth passing kills it."""
        self.on_death: Callable[[str], None] = lambda _why: None
        self.context = contextvars.copy_context()
        self.context.run(_PROGRAM.set, self)
        self._loop = loop
        self._parked: list[asyncio.Handle] = []
        self._tasks: list[asyncio.Task[Any]] = []

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task of this program."""
        task = self._loop.create_task(coroutine, context=self.context)
        self._tasks.append(task)
        return task

    def may_run(self, handle: asyncio.Handle) -> bool:
        """Count a step, or park it while the program is frozen. What is left of a dead one unwinds."""
        if self.is_frozen:
            self._parked.append(handle)
            return False
        self.steps += 1
        if self.steps == self.dies_at_step and self.is_alive:
            self.kill("any await")
        return True

    def at(self, point: str) -> None:
        """Pass a named point; this is where a program ends that is to be killed there.

        Raises:
            Killed: it was killed, here or before: whatever it meant to do has no effect.
        """
        if not self.is_alive:
            raise Killed(point)
        if self.dies_at:
            left = self.dies_at.get(point)
            if left is not None:
                self.dies_at[point] = left - 1
                if left == 1:
                    self.kill(point)
                    raise Killed(point)

    def freeze(self) -> None:
        """Let nothing of it run, as SIGSTOP does; what arrives waits."""
        self.is_frozen = True

    def thaw(self) -> None:
        """Go on where it stood."""
        self.is_frozen = False
        parked, self._parked = self._parked, []
        self._loop.go_on(parked)

    def kill(self, why: str) -> None:
        """End it without a chance to do anything."""
        if not self.is_alive:
            return
        self.is_alive = False
        self.thaw()
        for task in self._tasks:
            task.cancel()
        self.on_death(why)

    async def end(self) -> None:
        """Wait until all of its tasks have unwound."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Step(asyncio.Handle):
    __slots__ = ("program",)

    def _run(self) -> None:
        if self.program is None or self.program.may_run(self):
            super()._run()


class _Timer(asyncio.TimerHandle):
    __slots__ = ("program",)

    def _run(self) -> None:
        if self.program is None or self.program.may_run(self):
            super()._run()


class _Sleep:
    """Take the place of the selector: nothing ever arrives from outside, so time jumps to the next timer."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        self._loop.pass_time(timeout)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """Be an event loop without a clock: when nothing is ready, it is the time of the next timer at once."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._turns = 0
        self._selector = _Sleep(self)

    def time(self) -> float:
        """Return the seconds of virtual time since the beginning."""
        return self._now_s

    def pass_time(self, timeout: float | None) -> None:
        """Come to the next timer."""
        self._turns += 1
        if timeout is None or self._turns > _TURNS_MAX:
            raise VirtualTimeStands("nothing is left to wait for" if timeout is None else "no end in sight")
        if timeout > 0:
            self._now_s = max(self._scheduled[0]._when, self._now_s)

    def go_on(self, handles: list[asyncio.Handle]) -> None:
        """Let parked steps run after what is ready, in their order."""
        self._ready.extend(handles)

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        """Call as soon as possible, on behalf of the program whose context it is."""
        if context is None:
            context = contextvars.copy_context()
        handle = _Step(callback, args, self, context)
        handle.program = context.get(_PROGRAM)
        self._ready.append(handle)
        return handle

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        """Call at a time, on behalf of the program whose context it is."""
        if context is None:
            context = contextvars.copy_context()
        timer = _Timer(when, callback, args, self, context)
        timer.program = context.get(_PROGRAM)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True
        return timer

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        """Call after a while."""
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def _process_events(self, event_list: list[Any]) -> None:
        del event_list

    def _write_to_self(self) -> None:
        """Nobody waits in another thread."""

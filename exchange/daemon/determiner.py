"""Let a process of its own find the winners of package auctions, while orders go on."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from exchange.mechanisms.packages import Packages
from exchange.messages.packages import DeterminePackages, PackageWinner
from exchange.solver import SOLVE_S, Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from exchange.daemon.host import Host
    from exchange.engine import Engine
    from exchange.mechanisms.packages.choosing import Problem
    from exchange.messages.base import Command

__all__ = ["Determiner", "command_of", "open_problems", "solve_apart"]

_LOOK_S: Final = 0.25
_START_S: Final = 5.0
"""So long beside the solving itself a process may take, on a busy machine."""
_TRIES: Final = 2

log = structlog.get_logger(__name__)


class Determiner:
    """Look for open problems, one after the other; who begins to lead finds those that are left."""

    def __init__(self, host: Host, submit: Callable[[Command], None]) -> None:
        self._host = host
        self._submit = submit
        self._tries: dict[tuple[int, int], int] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        if importlib.util.find_spec("scipy") is None:
            log.warning("package auctions take the simple rule: install agent-exchange[auctions] for the best winners")
            return
        while True:
            await asyncio.sleep(_LOOK_S)
            for problem in self._next_problems():
                await self._work_on(problem)

    def _next_problems(self) -> list[Problem]:
        """Return what is open and was not tried in vain."""
        problems = open_problems(self._host.engine)
        live = {(problem[0], problem[1]) for problem in problems}
        self._tries = {key: tries for key, tries in self._tries.items() if key in live}
        return [problem for problem in problems if self._tries.get((problem[0], problem[1]), 0) < _TRIES]

    async def _work_on(self, problem: Problem) -> None:
        key = problem[0], problem[1]
        self._tries[key] = self._tries.get(key, 0) + 1
        answer = await solve_apart(problem)
        if answer is None:
            log.warning("winners were not determined", auction=key[0], tries=self._tries[key])
            return
        self._tries[key] = _TRIES
        engine = self._host.engine
        self._submit(command_of(answer, engine.index + 1, engine.time_us))


def open_problems(engine: Engine) -> list[Problem]:
    """Return the auctions whose winners are to be found."""
    packages = engine.mechanisms.get("packages")
    is_idle = not isinstance(packages, Packages) or "packages" in engine.context.suspended
    return [] if is_idle else packages.open_problems()  # type: ignore[union-attr]


def command_of(answer: Answer, index: int, time_us: int) -> DeterminePackages:
    """Return the command of the venue by which it acts on an answer."""
    return DeterminePackages(
        id=f"determiner.{index}",
        valid_until_us=time_us,
        auction=answer.auction,
        revision=answer.revision,
        pricing=answer.pricing,  # type: ignore[arg-type]  # the rules check it
        optimal=answer.optimal,
        winners=[PackageWinner(bid=bid, alternative=place, payment=payment) for bid, place, payment in answer.winners],
    )


async def solve_apart(problem: Problem) -> Answer | None:
    """Solve a problem in a process of its own; None if that fails or takes too long."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "exchange.solver",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(SOLVE_S + _START_S):
            written, _ = await process.communicate(msgspec.msgpack.encode(problem))
        return msgspec.msgpack.decode(written, type=Answer)
    except (TimeoutError, OSError, msgspec.DecodeError):
        return None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

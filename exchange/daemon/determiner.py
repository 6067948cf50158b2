"""Let a process of its own find the winners of package auctions, while orders go on."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import sys
from time import monotonic
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from exchange.mechanisms.packages import Packages
from exchange.messages.packages import DeterminePackages, PackageWinner
from exchange.solver import SOLVE_S, Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from exchange.daemon.host import Host
    from exchange.engine import Engine
    from exchange.mechanisms.packages.choosing import Problem
    from exchange.messages.base import Command

__all__ = ["Determiner", "command_of", "open_problems", "solve_apart"]

_LOOK_S: Final = 0.25
_MARGIN_S: Final = 2.0
"""So long before the venue gives up an answer must be there."""
_START_SHARE: Final = 0.15
"""So much of the time a process may need beside the solving itself, on a busy machine."""
_LEAST_S: Final = 0.5
_TRIES: Final = 2

log = structlog.get_logger(__name__)

_Key = tuple[int, int]
"""Number of an auction and revision of its problem."""


class Determiner:
    """Look for open problems, one after the other; who begins to lead finds those that are left."""

    def __init__(
        self,
        host: Host,
        submit: Callable[[Command], None],
        solve: Callable[[Problem, float], Awaitable[Answer | None]] | None = None,
    ) -> None:
        self._host = host
        self._submit = submit
        self._solve = solve or solve_apart
        self._tries: dict[_Key, int] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        if not _has_scipy():
            log.warning("package auctions take the simple rule: install agent-exchange[auctions] for the best winners")
            return
        while True:
            await asyncio.sleep(_LOOK_S)
            keys = self._next_keys()
            for place, key in enumerate(keys):
                await self._work_on(key, waiting=len(keys) - place)

    def _next_keys(self) -> list[_Key]:
        """Return what is open and was not tried in vain."""
        live = _open_keys(self._host.engine)
        self._tries = {key: tries for key, tries in self._tries.items() if key in live}
        return [key for key in live if self._tries.get(key, 0) < _TRIES]

    async def _work_on(self, key: _Key, waiting: int) -> None:
        """Solve a problem in its share of the time that is left to all that wait."""
        engine = self._host.engine
        # Built only now: it is a copy of all bids.
        problem = next((each for each in open_problems(engine) if (each[0], each[1]) == key), None)
        if problem is None:
            return
        self._tries[key] = self._tries.get(key, 0) + 1
        seconds = (_seconds_left(engine, key[0]) - _MARGIN_S) / waiting
        started = monotonic()
        answer = await self._solve(problem, seconds) if seconds > _LEAST_S else None
        took_s = round(monotonic() - started, 3)
        if answer is None:
            log.warning("winners were not determined", auction=key[0], tries=self._tries[key], seconds=took_s)
            return
        self._tries[key] = _TRIES
        log.info(
            "winners determined", auction=key[0], optimal=answer.optimal, pricing=answer.pricing, seconds=took_s,
            bids=len(problem[4]), winners=len(answer.winners),
        )  # fmt: skip
        self._submit(command_of(answer, engine.index + 1, engine.time_us))


def _has_scipy() -> bool:
    """Return whether it is there; whether it works shows in the process that solves."""
    try:
        return importlib.util.find_spec("scipy") is not None
    except (ImportError, ValueError):
        # Whatever stands in its way must not stop the leader.
        return False


def open_problems(engine: Engine) -> list[Problem]:
    """Return the auctions whose winners are to be found."""
    packages = _packages(engine)
    return [] if packages is None else packages.open_problems()


def _open_keys(engine: Engine) -> list[_Key]:
    packages = _packages(engine)
    if packages is None:
        return []
    return [(number, packages.auctions[number].revision) for number in packages.determining]


def _packages(engine: Engine) -> Packages | None:
    """Return the mechanism, unless it does not run."""
    packages = engine.mechanisms.get("packages")
    is_idle = not isinstance(packages, Packages) or "packages" in engine.context.suspended
    return None if is_idle else packages  # type: ignore[return-value]


def _seconds_left(engine: Engine, number: int) -> float:
    """Return after how many seconds the venue takes the simple rule."""
    packages = _packages(engine)
    auction = None if packages is None else packages.auctions.get(number)
    due_us = None if auction is None else engine.context.deadlines.due_us(auction.deadline_id)
    return 0.0 if due_us is None else (due_us - engine.time_us) / 1e6


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


async def solve_apart(problem: Problem, seconds: float = 3 * SOLVE_S) -> Answer | None:
    """Solve a problem in a process of its own; None if that fails, or finds nothing in so many seconds.

    The process tells every answer that it finds, each better than the one before; the last one counts.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "exchange.solver",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        log.warning("no solver could be started", error=str(error))
        return None
    assert process.stdin is not None  # noqa: S101 - it was asked for
    assert process.stdout is not None  # noqa: S101 - it was asked for
    answer = None
    try:
        with contextlib.suppress(TimeoutError, OSError, ValueError, msgspec.DecodeError):
            async with asyncio.timeout(seconds):
                process.stdin.write(msgspec.msgpack.encode((problem, seconds * (1 - _START_SHARE))))
                process.stdin.write_eof()
                while line := await process.stdout.readline():
                    answer = msgspec.json.decode(line, type=Answer)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()
    if answer is None:
        await _tell_why(process)
    return answer


async def _tell_why(process: asyncio.subprocess.Process) -> None:
    """Log the last line that a process without an answer wrote of its failure."""
    assert process.stderr is not None  # noqa: S101 - it was asked for
    lines = (await process.stderr.read()).decode(errors="replace").split("\n")
    told = [line for line in lines if line.strip()]
    if told:
        log.warning("the solver failed", error=told[-1], code=process.returncode)

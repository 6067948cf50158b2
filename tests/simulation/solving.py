"""Answer the open problems of package auctions as the venue's worker does, and sometimes as a broken one would."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

import msgspec

from exchange.daemon.determiner import command_of, open_problems
from exchange.mechanisms.packages import Packages
from exchange.messages.packages import DeterminePackages, PackageWinner
from exchange.solver import determine

if TYPE_CHECKING:
    from collections.abc import Callable

    from exchange.engine import Engine
    from exchange.mechanisms.packages.choosing import Problem

__all__ = ["AuctionsSeen", "WalkingDeterminer", "solved", "spoil"]

_ANSWERED: Final = 0.5
"""Of the commands that an agent gives while winners are determined, so many find an answer behind them."""
_WRONG: Final = 0.2
_LEFT: Final = 0.4
"""So many problems are never answered: the simple rule decides."""


def solved(problem: Problem, index: int, time_us: int) -> DeterminePackages:
    """Return the command that the venue's worker would give: a pure function, since the problems here are small."""
    return command_of(determine(problem), index, time_us)


def spoil(command: DeterminePackages, random: Random) -> DeterminePackages:
    """Return an answer that breaks a rule, or mostly does."""
    winners, dice = list(command.winners), random.randrange(6)
    if dice == 0:
        return msgspec.structs.replace(command, revision=command.revision + 1)
    if dice == 1 or not winners:
        return msgspec.structs.replace(command, auction=command.auction + 1)
    if dice == 2:
        return msgspec.structs.replace(command, winners=[*winners, winners[0]])
    if dice == 3:
        return msgspec.structs.replace(command, winners=winners[1:])
    first = winners[0]
    payment = max(first.payment + random.choice((-(10**12), 10**12)), 0)
    bid = first.bid + random.choice((0, 0, 1))
    spoiled = PackageWinner(bid=bid, alternative=first.alternative, payment=payment)
    return msgspec.structs.replace(command, winners=[spoiled, *winners[1:]])


class WalkingDeterminer:
    """Answer sooner, later, never, wrongly, and once more when it is too late."""

    def __init__(self, seed: int) -> None:
        # Of its own, so that walks elsewhere do not depend on it.
        self._random = Random(f"{seed}/determiner")
        self._left: dict[tuple[int, int], bool] = {}
        self._last: DeterminePackages | None = None
        self._count = 0

    def commands(self, engine: Engine) -> list[DeterminePackages]:
        """Return what it says now."""
        random, said = self._random, []
        for problem in open_problems(engine):
            key = problem[0], problem[1]
            if self._left.setdefault(key, random.random() < _LEFT) or random.random() >= _ANSWERED:
                continue
            self._count += 1
            answer = solved(problem, self._count, engine.time_us)
            if self._last is not None and random.random() < _WRONG:
                # What it found for the auction before, which has ended.
                late = f"late.{self._count}"
                said.append(msgspec.structs.replace(self._last, id=late, valid_until_us=engine.time_us))
            if random.random() < _WRONG:
                spoiled = spoil(answer, random)
                said.append(msgspec.structs.replace(spoiled, id=f"wrong.{self._count}"))
                continue
            self._last = answer
            said.append(answer)
        return said


class AuctionsSeen:
    """Count, record by record, how package auctions came to their winners."""

    def __init__(self, engine: Engine, count: Callable[[str], None]) -> None:
        packages = engine.mechanisms["packages"]
        assert isinstance(packages, Packages)
        self._packages = packages
        self._engine = engine
        self._count = count
        self._since: dict[int, int] = {}
        """The epoch in which the winners of each began to be determined."""

    def note(self) -> None:
        """Look at what the last record changed."""
        epoch, determining = self._engine.epoch, self._packages.determining
        for number in [number for number in self._since if number not in determining]:
            auction = self._packages.ended[number]
            if auction.awards:
                self._count("auctions: by a solver" if auction.optimal else "auctions: by the simple rule")
                if epoch > self._since[number]:
                    self._count("auctions: by another leader")
            del self._since[number]
        for number in determining:
            self._since.setdefault(number, epoch)

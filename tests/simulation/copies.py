"""Keep copies of snapshots where the journal is, and let the journal be trimmed behind them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from exchange.adapters.fenced_log import JournalGap, NoAnswer
from exchange.adapters.snapshot_copies import CopiesMissing
from exchange.adapters.snapshots import SnapshotCorrupt, decode_snapshot
from exchange.daemon.preserve import Preserved, _preserve
from exchange.daemon.preserver import Preserver

if TYPE_CHECKING:
    from pathlib import Path

    from tests.simulation.loop import Program
    from tests.simulation.network import Network

__all__ = ["SimulatedCopies", "SimulatedPreserver"]


class SimulatedCopies:
    """Be the object store of the journal's server, over the same network."""

    def __init__(self, shelf: dict[int, bytes], network: Network, program: Program) -> None:
        self._shelf = shelf
        self._network = network
        self._program = program
        self.has_failed = False

    async def _reach(self) -> None:
        fate = self._network.journal_fate(self._program, "copy")
        if fate.request_s is None or fate.answer_s is None or self._network.is_cut_off_journal(self._program):
            self.has_failed = True
            await asyncio.sleep(0.2)
            raise TimeoutError("no answer from the object store")
        await asyncio.sleep(fate.request_s)
        self._program.at("copying")

    async def open(self, *, create: bool = False) -> None:
        await self._reach()
        if not self._shelf and not create:
            raise CopiesMissing("there is no object store")

    async def indexes(self) -> list[int]:
        await self._reach()
        return sorted(self._shelf, reverse=True)

    async def put(self, index: int, path: Path) -> None:
        await self._reach()
        self._shelf[index] = path.read_bytes()

    async def check(self, index: int) -> None:
        decode_snapshot(await self.read(index))

    async def read(self, index: int) -> bytes:
        await self._reach()
        if index not in self._shelf:
            raise SnapshotCorrupt("there is none")
        return self._shelf[index]

    async def drop(self, index: int) -> None:
        await self._reach()
        self._shelf.pop(index, None)


class SimulatedPreserver(Preserver):
    """Keep snapshots safe within the same program instead of in one beside it."""

    def __init__(self, copies: SimulatedCopies, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._copies = copies

    async def _preserve(self) -> Preserved:
        done = Preserved()
        try:
            await _preserve(self._task, self._copies, self._journal, done)  # type: ignore[arg-type]
        except (OSError, NoAnswer, JournalGap, SnapshotCorrupt) as error:
            done.trim_below = 0
            done.problem = repr(error)
        return done

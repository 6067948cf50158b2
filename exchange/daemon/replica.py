"""Keep one copy of a venue: recover it, follow the journal, lead when it is time. Everything outside is handed in.

The journal is the lease. Who leads writes to it all the time; whoever sees it silent for long enough writes
the first record of the next epoch, and the fence of the journal lets one of them through.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from exchange.adapters.crash_points import crash_point
from exchange.adapters.fenced_log import JournalGap, NoAnswer, Replaced
from exchange.adapters.records import JournalCorrupt
from exchange.daemon.leader import Leader
from exchange.daemon.recovery import catch_up
from exchange.messages.reasons import RefusalReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from exchange.adapters.archive import Archive
    from exchange.adapters.clock import VenueClock
    from exchange.adapters.fenced_log import FencedLog
    from exchange.adapters.high_water import HighWaterFile
    from exchange.adapters.metrics import Metrics
    from exchange.adapters.outgoing import Outgoing
    from exchange.adapters.snapshots import Snapshot, SnapshotStore
    from exchange.daemon.host import Host
    from exchange.daemon.leader import Sender, Snapshots
    from exchange.daemon.lease import Lease
    from exchange.daemon.poison import Poisons

__all__ = ["ClockRefused", "FellBehind", "Replica", "StartOver", "TakeoverRefused", "stall_handler"]

_recovered: Final = crash_point("recovered")
_before_epoch: Final = crash_point("before_epoch")
_after_epoch: Final = crash_point("after_epoch")

_POLLS: Final = 8
"""How often a standby looks at the journal within the silence that it waits for."""

_POLL_MAX_S: Final = 0.25

log = structlog.get_logger(__name__)


class StartOver(Exception):
    """Raised when a daemon can only go on by starting anew."""


class TakeoverRefused(StartOver):
    """Raised when another daemon wrote first, so that this one has to start over and follow."""


class FellBehind(StartOver):
    """Raised when the journal was trimmed beyond what a standby has read: it starts over from a snapshot."""


class ClockRefused(Exception):
    """Raised when the clock of this machine is too far from the journal's time to lead by it."""


def stall_handler(host: Host, lease: Lease, egress: Outgoing) -> Callable[[bool], None]:
    """Return what a journal calls when nothing can be stored, and when it can again.

    From then on everything is refused because of it, which is so whoever leads. What was to be refused before,
    for what this daemon knew of the venue, waits for the lease and may never be told: by now another may lead.
    """

    def on_stall(stalled: bool) -> None:  # noqa: FBT001 - the journal's callback
        host.gateway.closed = RefusalReason.JOURNAL_UNAVAILABLE if stalled else None
        if stalled:
            egress.forget_refusals()
        lease.excuse(excused=stalled)

    return on_stall


@dataclass(frozen=True, kw_only=True)
class Replica:
    """Hold a host and what it works with; ``new_clock`` makes the venue's clock from the journal's time."""

    host: Host
    journal: FencedLog
    egress: Sender
    lease: Lease
    high_water: HighWaterFile
    store: SnapshotStore
    snapshots: Snapshots
    metrics: Metrics
    new_clock: Callable[[int], VenueClock]
    poisons: Poisons | None = None
    archive: Archive | None = None
    refuse_clock: Callable[[VenueClock], str | None] = lambda _clock: None
    """Says why nobody must lead by a clock."""

    async def recover(self, snapshot: Snapshot | None) -> None:
        """Bring the host from its snapshot, or from nothing, to the end of the journal.

        Raises:
            JournalCorrupt: it is not what this daemon knows it to be.
        """
        await catch_up(self.host, snapshot, self.journal, self.store, self.high_water, self.archive)
        if self.poisons is not None:
            self.poisons.observe(self.host.engine)
        _recovered()

    async def follow(self, takeover_after_s: float) -> None:
        """Follow the journal until its leader has been silent for ``takeover_after_s`` seconds.

        The silence counts only while the journal answers: then it is the leader that says nothing.

        Raises:
            JournalCorrupt: a record does not follow the one before it.
            JournalGap: a record is missing.
            FellBehind: the journal was trimmed meanwhile.
        """
        now_s, host = self.lease.now_s, self.host
        poll_s = min(takeover_after_s / _POLLS, _POLL_MAX_S)
        heard_s = now_s()
        missing = 0
        while True:
            # An answer may come late, so it is as old as its question.
            asked_s = now_s()
            try:
                last = await self.journal.last_index()
                if last > host.engine.index:
                    await self._follow_to(last)
                    heard_s = now_s()
                    continue
            except NoAnswer as error:
                log.warning("journal does not answer", error=str(error))
                heard_s = now_s()
            except JournalGap:
                await self._check_begin()
                # What delivered the records may be gone with a server; what is really missing is so twice.
                if missing == host.engine.index + 1:
                    raise
                missing = host.engine.index + 1
                heard_s = now_s()
            else:
                self._check_end(last)
                if asked_s - heard_s >= takeover_after_s and self._may_lead():
                    break
            await asyncio.sleep(poll_s)
        await self.journal.end_fetching()

    def _may_lead(self) -> bool:
        """Return whether the clock of this daemon is good enough to lead; otherwise it stays following."""
        return self.refuse_clock(self.new_clock(self.host.engine.time_us)) is None

    async def _follow_to(self, last: int) -> None:
        host = self.host
        async for index, body in self.journal.read_on(host.engine.index + 1, last):
            host.replay(body)
            self.high_water.write(index, host.hash)
            if self.poisons is not None and self.poisons.notes:
                self.poisons.observe(host.engine)
        self.metrics.observe_followed(host.engine.index, host.engine.epoch)
        self.snapshots.offer(host)

    async def _check_begin(self) -> None:
        index = self.host.engine.index
        with contextlib.suppress(NoAnswer):
            first = await self.journal.first_index()
            if first > index + 1:
                message = (
                    f"the journal was trimmed up to record {first - 1} while this standby was at record {index}: "
                    "it starts over from a newer snapshot"
                )
                raise FellBehind(message)

    def _check_end(self, last: int) -> None:
        if last < self.host.engine.index:
            message = (
                f"the journal ends at record {last}, but record {self.host.engine.index} was read from it before: "
                "the server lost records or serves another store; restore its data"
            )
            raise JournalCorrupt(message)

    async def take_lead(self) -> Leader:
        """Write the first record of a new epoch and return who leads from there.

        Raises:
            TakeoverRefused: another daemon was faster.
            ClockRefused: the clock of this machine must not be led by.
            Poisoned: the first batch of the epoch broke the engine.
        """
        host = self.host
        began, left_us = time.perf_counter(), host.engine.time_us
        clock = self.new_clock(host.engine.time_us)
        problem = self.refuse_clock(clock)
        if problem is not None:
            raise ClockRefused(problem)
        leader = Leader(
            host, self.journal, self.egress, clock, self.lease, self.metrics, self.high_water, self.snapshots,
            self.poisons,
        )  # fmt: skip
        if self.poisons is not None:
            self.poisons.resolve(host.engine)
        _before_epoch()
        try:
            await leader.begin()
        except Replaced as error:
            raise TakeoverRefused(str(error)) from error
        _after_epoch()
        seconds = round(time.perf_counter() - began, 3)
        log.info("leading", epoch=host.engine.epoch, index=host.engine.index, seconds=seconds,
            outage_s=round((host.engine.time_us - left_us) / 1e6, 3),
        )  # fmt: skip
        return leader

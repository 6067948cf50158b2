"""Lead the venue: cut, apply, store, release; one batch in flight, no timer but the deadlines'."""

from __future__ import annotations

import asyncio
import contextlib
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from exchange.adapters.crash_points import crash_point, torn
from exchange.daemon.poison import ConservationBroken, Poisoned

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from exchange.adapters.clock import VenueClock
    from exchange.adapters.high_water import HighWaterFile
    from exchange.adapters.metrics import Metrics
    from exchange.daemon.host import Host, Step
    from exchange.daemon.lease import Lease
    from exchange.daemon.poison import Poisons
    from exchange.messages.base import Command

__all__ = ["ConservationBroken", "Leader", "Sender", "Snapshots"]

_QUERIES_PER_TURN: Final = 64

_before_apply: Final = crash_point("before_apply")
_after_apply: Final = crash_point("after_apply")
_before_mark: Final = crash_point("before_mark")
_before_replies: Final = crash_point("before_replies")
_before_events: Final = crash_point("before_events")

log = structlog.get_logger(__name__)


class Appender(Protocol):
    """Say what the leader needs of a journal."""

    async def append(self, index: int, body: bytes) -> None:
        """Store a record and return once it is durable."""


class Sender(Protocol):
    """Say what the leader needs of the way out."""

    async def send(self, messages: list[tuple[str, bytes]]) -> None:
        """Publish messages in order."""

    def silence(self) -> None:
        """Let nothing leave any more."""


class Snapshots(Protocol):
    """Say what the leader needs of whoever takes snapshots."""

    def offer(self, host: Host) -> None:
        """Take one if it is due; the state is durable."""


class Leader:
    """Drive a host from its gateway to its journal and out again."""

    def __init__(
        self,
        host: Host,
        journal: Appender,
        egress: Sender,
        clock: VenueClock,
        lease: Lease,
        metrics: Metrics,
        high_water: HighWaterFile,
        snapshots: Snapshots,
        poisons: Poisons | None = None,
    ) -> None:
        self._host = host
        self._journal = journal
        self._egress = egress
        self._clock = clock
        self._lease = lease
        self._metrics = metrics
        self._high_water = high_water
        self._snapshots = snapshots
        self._poisons = poisons
        self._send_replies = torn("amid_replies", egress.send)
        self._send_events = torn("amid_events", egress.send)
        self._work = asyncio.Event()
        self._new_epoch = False
        self._registered = len(host.engine.agents)
        self.on_registered: Callable[[], Awaitable[None]] | None = None
        """Called when agents were registered, before anybody hears of it."""

    def wake(self) -> None:
        """Say that something has arrived."""
        self._work.set()

    def receive_command(self, subject: str, reply: str, payload: bytes) -> None:
        """Take a message of commands from the bus."""
        self._host.gateway.receive_command(subject, reply, payload)
        self._work.set()

    def receive_query(self, subject: str, reply: str, payload: bytes) -> None:
        """Take a query from the bus."""
        self._host.gateway.receive_query(subject, reply, payload)
        self._work.set()

    def submit(self, command: Command) -> None:
        """Give a command of the venue itself, with the next batch."""
        self._host.submit(command)
        self._work.set()

    def request_epoch(self) -> None:
        """Begin a new epoch before anything else is sent: what was sent may not have arrived."""
        self._new_epoch = True
        self._work.set()

    async def begin(self) -> None:
        """Write the first record of a new epoch; from then on this daemon leads.

        Raises:
            Poisoned: it broke the engine, and that is noted.
        """
        poisons = self._poisons
        with self._noting():
            commands = poisons.commands(self._host.engine) if poisons is not None else []
            await self._store(self._host.begin_epoch(self._now_us(), commands), 0.0)
        if poisons is not None:
            poisons.settle()

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        """Note what broke the engine."""
        try:
            yield
        except Poisoned as poisoned:
            if self._poisons is not None:
                self._poisons.note(poisoned)
            raise

    async def run(self) -> None:
        """Lead until cancelled, replaced or broken; then nothing leaves any more.

        Raises:
            Replaced: another daemon leads.
            Poisoned: a batch broke the engine, and that is noted.
        """
        try:
            with self._noting():
                await self._run()
        finally:
            self._egress.silence()

    async def _run(self) -> None:
        host, gateway, lease = self._host, self._host.gateway, self._lease
        loop = asyncio.get_running_loop()
        next_beat = loop.time()
        while True:
            if self._new_epoch:
                self._new_epoch = False
                await self.begin()
            if gateway.has_queries() and lease.is_held:
                # Between two batches the state is durable: a read never shows what could be lost.
                await self._say(host.answer_queries(_QUERIES_PER_TURN))
            # Whoever stood still for so long that another may lead finds out first.
            is_beat = loop.time() >= next_beat or not lease.is_held
            if gateway.has_commands() or is_beat or host.has_own() or self._is_due():
                await self._lead_batch()
                self._snapshots.offer(host)
            if is_beat:
                next_beat = loop.time() + lease.beat_s
                await self._say([host.heartbeat()])
            if not gateway.has_commands() and not gateway.has_queries():
                await self._wait(next_beat)
            else:
                # Let what has arrived on the sockets come in.
                await asyncio.sleep(0)

    async def _wait(self, next_beat: float) -> None:
        """Sleep until something arrives, a deadline passes or the heartbeat is due."""
        loop = asyncio.get_running_loop()
        wake_at = next_beat
        deadline_us = self._host.engine.next_deadline_us()
        if deadline_us is not None:
            wake_at = min(wake_at, loop.time() + max(deadline_us - self._clock.now_us(), 0) / 1e6)
        timer = loop.call_at(wake_at, self._work.set)
        await self._work.wait()
        timer.cancel()
        self._work.clear()

    def _is_due(self) -> bool:
        deadline_us = self._host.engine.next_deadline_us()
        return deadline_us is not None and deadline_us <= self._clock.now_us()

    def _now_us(self) -> int:
        """Return the time of the next batch: later than that of the last, whatever the clock says."""
        return max(self._clock.now_us(), self._host.engine.time_us + 1)

    async def _lead_batch(self) -> None:
        host = self._host
        started = perf_counter()
        _before_apply()
        step = host.cut(self._now_us())
        await self._store(step, perf_counter() - started)

    async def _store(self, step: Step, apply_s: float) -> None:
        """Store a step, then let out what it brought forth."""
        stored_s = [await self._append(step)]
        steps = [step]
        if not self._lease.is_held:
            # The journal or this process stood still; only one more record shows that nobody leads since.
            steps.append(self._host.apply([], [], self._now_us(), self._host.engine.epoch))
            stored_s.append(await self._append(steps[1]))
        for each, journal_s in zip(steps, stored_s, strict=True):
            await self._release(each, apply_s, journal_s)

    async def _append(self, step: Step) -> float:
        """Make a step durable; return the seconds that it took."""
        index = step.batch.index
        # Every line that is logged about this batch names it.
        structlog.contextvars.bind_contextvars(index=index)
        self._check(step)
        _after_apply()
        began_s, started = self._lease.now_s(), perf_counter()
        await self._journal.append(index, step.body)
        _before_mark()
        self._lease.renew(began_s)
        self._high_water.write(index, step.hash)
        return perf_counter() - started

    async def _release(self, step: Step, apply_s: float, journal_s: float) -> None:
        """Let out what a durable step brought forth."""
        stored = perf_counter()
        if len(self._host.engine.agents) != self._registered:
            self._registered = len(self._host.engine.agents)
            if self.on_registered is not None:
                await self.on_registered()
        _before_replies()
        # The replies are on their way before anything else is computed.
        await self._send_replies(self._host.replies(step))
        replied = perf_counter()
        _before_events()
        messages = self._host.release(step)
        released = perf_counter()
        await self._say(messages)
        sent = perf_counter()
        self._metrics.observe_batch(
            step,
            apply_s=apply_s,
            journal_s=journal_s,
            release_s=released - replied,
            egress_s=replied - stored + sent - released,
            since_replies_s=sent - replied,
        )

    async def _say(self, messages: list[tuple[str, bytes]]) -> None:
        """Send what is asked for again where it is missed, unless this process stood still since its last record.

        Somebody else may lead by then. If nobody does, a new epoch tells everybody to ask again.
        """
        if self._lease.is_lost:
            self._new_epoch = True
        else:
            await self._send_events(messages)

    def _check(self, step: Step) -> None:
        ledger = self._host.engine.ledger
        difference = ledger.take_difference()
        if difference:
            log.critical("conservation broken", index=step.batch.index, difference=difference)
            raise ConservationBroken(step.batch, None, f"credits are not conserved: {ledger.conservation()}")

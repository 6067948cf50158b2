"""Run the exchange in memory, for tests of agents: the SDK's ``Agent`` over the real gateway and engine."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from agent_sdk import Agent, connect
from exchange.daemon.determiner import command_of, open_problems
from exchange.daemon.host import Host
from exchange.engine import genesis_batch
from exchange.solver import SolverMissing, determine
from exchange.testing.venue import OPERATOR, START_US

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from decimal import Decimal
    from types import TracebackType
    from typing import Self

    from agent_sdk.transport import ConnectionEvent
    from exchange.messages.admin import Settings

__all__ = ["LocalExchange"]

_HEARTBEAT_S: Final = 1.0
_QUERIES_PER_TURN: Final = 64


class LocalExchange:
    """Be a venue in memory: no server, no files, no credentials; everything else is the real thing.

    ::

        async with LocalExchange() as exchange:
            await exchange.open_market("cpu", issue={"bob": 10})
            alice, bob = await exchange.agent("alice"), await exchange.agent("bob")
            await bob.sell("cpu", 2, price=5)
            order = await alice.buy("cpu", 2, price=5)
            await exchange.advance(3_600)

    Venue time goes with the event loop's clock, and by ``advance``.
    """

    def __init__(self, *, settings: Settings | None = None) -> None:
        self._settings = settings
        self._subscribers: dict[str, list[Callable[[str, bytes], None]]] = {}
        self._closing = contextlib.AsyncExitStack()
        self._agents: dict[str, Agent] = {}
        self._is_queued = False
        self._determined: dict[tuple[int, int], None] = {}
        self._skipped_us = 0
        self._timer: asyncio.TimerHandle | None = None

    # ── life ────────────────────────────────────────────────────────────────────────────────────

    async def __aenter__(self) -> Self:
        """Create the venue and begin its first epoch."""
        self._loop = asyncio.get_running_loop()
        self._started_s = self._loop.time()
        self._host = Host(send=self._deliver, now_s=self._now_s)
        genesis = genesis_batch(OPERATOR, START_US, settings=self._settings)
        self._finish(genesis.submissions)
        self._host.release(self._host.begin_epoch(self._now_us()))
        self._beat()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect the agents and stop the clock; then prove that nothing is broken."""
        await self._closing.aclose()
        if self._timer is not None:
            self._timer.cancel()
        if kind is None:
            self.check()

    # ── setting the scene ───────────────────────────────────────────────────────────────────────

    async def operator(self) -> Agent:
        """Return the venue's first operator."""
        return await self.agent(OPERATOR)

    async def agent(self, name: str, *, owner: str | None = None, credits: Decimal | int | None = None) -> Agent:
        """Return an agent, registered and connected when it is asked for the first time.

        ``credits`` is the endowment; by default the venue's.
        """
        if name not in self._agents:
            if name not in self._host.engine.agents:
                operator = await self.operator()
                await operator.admin.register_agent(name, owner=owner or name, endowment=credits)
            transport = _LocalTransport(self, name)
            self._agents[name] = await self._closing.enter_async_context(connect(transport=transport))
        return self._agents[name]

    async def open_market(
        self,
        name: str,
        *,
        tick: Decimal | int | str = 1,
        decimals: int = 0,
        issue: dict[str, Decimal | int] | None = None,
    ) -> None:
        """Open a market without a price band for an asset of its own name, and issue some of the asset."""
        operator = await self.operator()
        await operator.admin.register_asset(name, decimals=decimals)
        await operator.admin.create_market(name, base=name, tick=tick, price_band_bp=0)
        for agent, quantity in (issue or {}).items():
            await self.agent(agent)
            await operator.admin.issue_asset(name, agent, quantity)

    # ── time ────────────────────────────────────────────────────────────────────────────────────

    @property
    def venue_time_us(self) -> int:
        """Return venue time in microseconds."""
        return self._now_us()

    async def advance(self, seconds: float) -> None:
        """Let venue time pass at once; every deadline in between fires in its order."""
        await self.advance_to(self._now_us() + round(seconds * 1_000_000))

    async def advance_to(self, time_us: int) -> None:
        """Let venue time come to ``time_us`` at once."""
        engine = self._host.engine
        while (due_us := engine.next_deadline_us()) is not None and due_us <= time_us:
            self._skip_to(due_us)
            self._turn()
        self._skip_to(time_us)
        self._turn()
        # Let the agents hear of it.
        self._deliver(*self._host.heartbeat())
        await asyncio.sleep(0)

    def _skip_to(self, time_us: int) -> None:
        self._skipped_us += max(time_us - self._now_us(), 0)

    def _now_s(self) -> float:
        return self._loop.time()

    def _now_us(self) -> int:
        elapsed_us = round((self._loop.time() - self._started_s) * 1_000_000)
        return max(START_US + elapsed_us + self._skipped_us, self._host.engine.time_us + 1)

    # ── proof ───────────────────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        """Prove that money is conserved and every invariant holds.

        Raises:
            AssertionError: one does not.
        """
        engine = self._host.engine
        broken = engine.check_invariants()
        if broken or engine.conservation_difference():
            raise AssertionError(broken or engine.ledger.conservation())

    def state_hash(self) -> str:
        """Return the hash over the whole state of the venue."""
        return self._host.engine.state_hash()

    # ── carrying messages ───────────────────────────────────────────────────────────────────────

    def _publish(self, subject: str, payload: bytes, reply: str) -> None:
        """Take a message of an agent; what came in together is one batch, as on a real venue."""
        if subject.startswith("exchange.v1.cmd."):
            self._host.gateway.receive_command(subject, reply, payload)
        else:
            self._host.gateway.receive_query(subject, reply, payload)
        if not self._is_queued:
            self._is_queued = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Do what the leader of a daemon does, with nothing to wait for."""
        self._is_queued = False
        host = self._host
        self._deliver_all(host.answer_queries(_QUERIES_PER_TURN))
        step = host.cut(self._now_us())
        self._deliver_all(host.replies(step))
        self._deliver_all(host.release(step))
        self._determine()
        if (host.gateway.has_commands() or host.gateway.has_queries() or host.has_own()) and not self._is_queued:
            self._is_queued = True
            self._loop.call_soon(self._turn)

    def _determine(self) -> None:
        """Find the winners of package auctions at once, as a daemon's worker does in a while."""
        engine = self._host.engine
        for problem in open_problems(engine):
            if problem[:2] in self._determined:
                continue
            self._determined[problem[:2]] = None
            with contextlib.suppress(SolverMissing):
                self._host.submit(command_of(determine(problem), engine.index + 1, engine.time_us))

    def _finish(self, submissions: list) -> None:  # type: ignore[type-arg]
        self._host.release(self._host.apply(submissions, [], START_US, 0))

    def _beat(self) -> None:
        self._turn()
        self._deliver(*self._host.heartbeat())
        self._timer = self._loop.call_later(_HEARTBEAT_S, self._beat)

    def _deliver_all(self, messages: list[tuple[str, bytes]]) -> None:
        for subject, payload in messages:
            self._deliver(subject, payload)

    def _deliver(self, subject: str, payload: bytes) -> None:
        wildcard = f"{subject.rpartition('.')[0]}.*"
        for pattern in (subject, wildcard):
            for callback in tuple(self._subscribers.get(pattern, ())):
                callback(subject, payload)

    def _subscribe(self, subject: str, callback: Callable[[str, bytes], None]) -> Callable[[], Awaitable[None]]:
        callbacks = self._subscribers.setdefault(subject, [])
        callbacks.append(callback)

        async def unsubscribe() -> None:
            if callback in callbacks:
                callbacks.remove(callback)

        return unsubscribe


class _LocalTransport:
    """Carry the messages of one agent within the process."""

    def __init__(self, exchange: LocalExchange, agent: str) -> None:
        self._exchange = exchange
        self._agent = agent

    @property
    def agent(self) -> str:
        return self._agent

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        self._exchange._publish(subject, payload, reply)  # noqa: SLF001 - two halves of one thing

    async def subscribe(self, subject: str, callback: Callable[[str, bytes], None]) -> Callable[[], Awaitable[None]]:
        return self._exchange._subscribe(subject, callback)  # noqa: SLF001

    def on_connection(self, callback: Callable[[ConnectionEvent], None]) -> None:
        pass

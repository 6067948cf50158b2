"""Trade by the SDK while the venue is killed, and write down everything that was ever heard."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from agent_sdk import Agent, ExchangeError, Gap, NewOrder, Order, OutcomeUnknown, RequestTimeout, connect
from agent_sdk.event_models import AgentEvent, OrderCanceled, OrderExpired, OrderFilled, OrderPlaced
from agent_sdk.nats_transport import NatsTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from agent_sdk.transport import MessageCallback, Unsubscribe
    from tests.faults.venue_process import VenueProcess

__all__ = ["Recorder", "Trader"]


class Recorder(NatsTransport):
    """Carry messages over NATS, and keep every reply to a command as it came."""

    def __init__(self, url: str, creds: str) -> None:
        super().__init__(url, creds)
        self.copies: Counter[bytes] = Counter()
        """How many copies of each message of commands were sent, by the message's bytes."""
        self.replies: defaultdict[str, set[bytes]] = defaultdict(set)
        """The different outcomes that were heard of each command id."""
        self.refusals: Counter[str] = Counter()

    async def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Send one message."""
        if ".cmd." in subject:
            self.copies[payload] += 1
        await super().publish(subject, payload, reply)

    async def subscribe(self, subject: str, callback: MessageCallback) -> Unsubscribe:
        """Hear a subject, and keep what is heard in the inbox."""

        def keep(on: str, payload: bytes) -> None:
            if payload and on.startswith("_INBOX."):
                self._keep(payload)
            callback(on, payload)

        return await super().subscribe(subject, keep)

    def _keep(self, payload: bytes) -> None:
        parts = msgspec.json.decode(payload, type=list[msgspec.Raw]) if payload[:1] == b"[" else [payload]
        for part in parts:
            said = msgspec.json.decode(part)
            if said["type"] == "outcome":
                self.replies[said["id"]].add(bytes(part))
            elif said["type"] == "refusal":
                self.refusals[said["reason"]] += 1


class Trader:
    """Trade at random as one agent, several commands at a time, until told to stop."""

    def __init__(self, agent_id: str, venue: VenueProcess, random: Random) -> None:
        self.id = agent_id
        self.random = random
        self.transport = Recorder(venue.url, str(venue.creds(agent_id)))
        self.placed: dict[str, int] = {}
        """The order id of every acknowledged order by its command id."""
        self.labels: dict[str, str] = {}
        """The label of every acknowledged order by its command id."""
        self.denied: set[str] = set()
        """The labels of orders that were certainly not placed."""
        self.settled: dict[str, str] = {}
        """How each order of unknown outcome was settled, by its label."""
        self.events: list[AgentEvent | Gap] = []
        self.problems: Counter[str] = Counter()
        self._open: list[int] = []
        self._labels = 0
        self._stack = contextlib.AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopping = False
        self.agent: Agent | None = None

    # ── running ─────────────────────────────────────────────────────────────────────────────────

    async def start(self, workers: int) -> None:
        """Connect, listen to the events from the first one on, and start to trade."""
        self.agent = await self._stack.enter_async_context(connect(transport=self.transport, timeout=20))
        self._tasks = [asyncio.create_task(self._work(self.agent)) for _ in range(workers)]
        self._tasks.append(asyncio.create_task(self._listen(self.agent)))

    async def stop_trading(self) -> None:
        """Let every command that is under way come to its end; go on listening."""
        self._is_stopping = True
        async with asyncio.timeout(90):
            await asyncio.gather(*self._tasks[:-1])

    async def close(self) -> None:
        """Disconnect."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    def check(self) -> None:
        """Raise what a worker died of, if one did."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _listen(self, agent: Agent) -> None:
        async for event in agent.events(since=0):
            self.events.append(event)

    # ── trading ─────────────────────────────────────────────────────────────────────────────────

    async def _work(self, agent: Agent) -> None:
        actions: list[Callable[[Agent], Any]] = [self._place] * 6 + [
            self._place_many,
            self._cancel,
            self._cancel,
        ]
        while not self._is_stopping:
            await self.random.choice(actions)(agent)
            await asyncio.sleep(self.random.uniform(0, 0.004))

    def _draw(self) -> NewOrder:
        random = self.random
        self._labels += 1
        return NewOrder(
            market="cpu",
            side=random.choice(["buy", "sell"]),
            quantity=random.randint(1, 5),
            price=random.randint(95, 105),
            time_in_force=random.choice(["gtc", "gtc", "ioc"]),
            self_trade_prevention=random.choice(["none", "expire_taker", "expire_maker"]),
            client_order_id=f"{self.id}-{self._labels}",
        )

    async def _place(self, agent: Agent) -> None:
        order = self._draw()
        terms = {name: getattr(order, name) for name in ("time_in_force", "self_trade_prevention", "client_order_id")}
        try:
            placed: Order | ExchangeError = await agent.place(
                "cpu",
                order.side,
                order.quantity,
                order.price,
                timeout=self.random.choice([0.3, 3.0, 15.0]),
                **terms,
            )
        except ExchangeError as error:
            placed = error
        await self._note(agent, order, placed)

    async def _place_many(self, agent: Agent) -> None:
        orders = [self._draw() for _ in range(self.random.randint(2, 8))]
        results = await agent.place_many(orders, timeout=self.random.choice([3.0, 15.0]))
        for order, result in zip(orders, results, strict=True):
            await self._note(agent, order, result)

    async def _note(self, agent: Agent, order: NewOrder, result: Order | ExchangeError) -> None:
        assert order.client_order_id is not None
        if isinstance(result, Order):
            assert result.command_id is not None
            assert result.command_id not in self.placed
            self.placed[result.command_id] = result.id
            self.labels[result.command_id] = order.client_order_id
            if result.is_live:
                self._open.append(result.id)
        elif isinstance(result, OutcomeUnknown):
            self.problems["OutcomeUnknown"] += 1
            await self._settle(agent, order.client_order_id, result)
        else:
            self.problems[type(result).__name__] += 1
            self.denied.add(order.client_order_id)

    async def _settle(self, agent: Agent, label: str, unknown: OutcomeUnknown) -> None:
        # At once: the venue remembers the latest 1,024 outcomes of a session.
        async with asyncio.timeout(60):
            while label not in self.settled:
                with contextlib.suppress(RequestTimeout):
                    settled = await agent.outcome(unknown.id)
                    self.settled[label] = settled.state
        self.problems[f"settled: {settled.state}"] += 1
        if settled.state == "accepted":
            assert settled.order is None or settled.order.id
            if settled.order is not None:
                self.placed[unknown.id] = settled.order.id
                self.labels[unknown.id] = label

    async def _cancel(self, agent: Agent) -> None:
        if len(self._open) < 20:
            return
        order_id = self._open.pop(self.random.randrange(len(self._open)))
        try:
            await agent.cancel(order_id, timeout=self.random.choice([1.0, 10.0]))
        except ExchangeError as error:
            self.problems[f"cancel: {type(error).__name__}"] += 1

    # ── what must be so ─────────────────────────────────────────────────────────────────────────

    def placed_events(self) -> Counter[str]:
        """Return how many ``OrderPlaced`` were heard of each command id."""
        return Counter(event.command_id for event in self.events if isinstance(event, OrderPlaced))

    def assert_dense(self) -> None:
        """Assert that events came as 1, 2, 3, … without gap or repetition."""
        gaps = [event for event in self.events if isinstance(event, Gap)]
        assert gaps == []
        assert [event.seq for event in self.events if isinstance(event, AgentEvent)] == list(
            range(1, len(self.events) + 1)
        )

    def assert_placed_once(self) -> None:
        """Assert that no order was placed twice, and each acknowledged one that was heard of has its id."""
        heard: dict[str, int] = {}
        for event in self.events:
            if isinstance(event, OrderPlaced):
                assert event.command_id not in heard, f"{event.command_id} was placed twice"
                heard[event.command_id] = event.order_id
        assert len(set(heard.values())) == len(heard)
        wrong = {
            name: (order, heard.get(name)) for name, order in self.placed.items() if heard.get(name, order) != order
        }
        assert wrong == {}

    def live_by_events(self) -> set[int]:
        """Return the orders that are live as far as the events tell."""
        live: set[int] = set()
        for event in self.events:
            match event:
                case OrderPlaced():
                    live.add(event.order_id)
                case OrderFilled() if event.remaining == 0:
                    live.discard(event.order_id)
                case OrderCanceled() | OrderExpired():
                    live.discard(event.order_id)
        return live

    def assert_one_outcome_each(self) -> None:
        """Assert that all replies to all copies of a command told the same outcome."""
        for command_id, outcomes in self.transport.replies.items():
            decoded = [msgspec.json.decode(outcome) for outcome in outcomes]
            if any(outcome["status"] == "accepted" for outcome in decoded):
                assert len(outcomes) == 1, (command_id, outcomes)

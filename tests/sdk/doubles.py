"""Doubles for the tests of the SDK: time that jumps, and a small scripted venue in memory.

`ScriptedVenue` keeps the promises of the wire protocol (ids are executed once, events are dense)
with the least of rules: every order is accepted and rests. Faults are scripted per message.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from agent_sdk import connect
from agent_sdk.errors import NotSent
from agent_sdk.transport import ConnectionEvent
from exchange.messages import command_union, query_union
from exchange.messages.admin import AssetView, BalancesResult, BalanceView
from exchange.messages.base import Command, Event, Outcome, Query, Refusal
from exchange.messages.orders import (
    BookResult,
    GetBook,
    GetOrder,
    ListMarkets,
    ListTrades,
    MarketsResult,
    MarketView,
    MassCancel,
    MassCancelOutcome,
    OrderOutcome,
    OrderPlaced,
    OrderResult,
    OrdersResult,
    Phase,
    PlaceOrder,
    Trade,
    TradesResult,
)
from exchange.messages.reasons import RefusalReason
from exchange.messages.venue import (
    AccountResult,
    EventsMessage,
    EventsResult,
    GetAccount,
    GetEvents,
    GetOutcome,
    Heartbeat,
    Hello,
    HelloResult,
    OutcomeResult,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

    from agent_sdk import Agent

T = TypeVar("T")

START_US = 1_795_000_000_000_000


class _JumpingSelector(selectors.DefaultSelector):
    """Skip the waiting: when nothing is ready, tell the loop how far to jump."""

    def __init__(self) -> None:
        super().__init__()
        self.jump: Callable[[float], None] = lambda _seconds: None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                message = "everything waits and nothing will ever happen"
                raise RuntimeError(message)
            self.jump(timeout)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """Run without ever waiting: its clock jumps to the next timer."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        self._now = 1_000.0
        super().__init__(selector)
        selector.jump = self._jump

    def _jump(self, seconds: float) -> None:
        self._now += seconds

    def time(self) -> float:
        """Return the time of this loop in seconds."""
        return self._now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` in jumping time."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main)


_encode = msgspec.json.encode
_ANY_COMMAND: Any = command_union()
_decode_commands = msgspec.json.Decoder(_ANY_COMMAND | list[_ANY_COMMAND]).decode
_decode_query = msgspec.json.Decoder(query_union()).decode


class ScriptedVenue:
    """Answer agents as scripted. ``faults`` holds one word per coming command message, in order.

    ``"ok"``; ``"lose_request"``: nothing arrives; ``"lose_reply"``: executed, no answer;
    ``"nobody"``: no responders; ``"away"``: the transport cannot send; any refusal reason;
    ``"late"``: arrives after a second, and nothing else of it is different. When the list is empty: ok.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.incarnation, self.epoch, self.index = 1, 1, 10
        self.clock_us = START_US - int(self.loop.time() * 1_000_000)
        self.faults: deque[str] = deque()
        self.received: list[bytes] = []
        self.executed: list[str] = []
        self.outcomes: dict[str, bytes] = {}
        self.forgotten: set[str] = set()
        self.rejections: dict[str, str] = {}
        self.events: list[Event] = []
        self.first_held = 1
        self.queries: list[Query] = []
        self.is_silent = False
        self.hold: asyncio.Event | None = None
        self.answers: dict[type[Query], Callable[[Any], Any]] = {}
        self.markets = [market_view("cpu", 0), market_view("gpu", 3)]
        self.bids: list[tuple[int, int]] = []
        self.asks: list[tuple[int, int]] = []
        self.phase: Phase = "open"
        self.trades: list[Trade] = []
        self.transports: list[MemoryTransport] = []

    @property
    def now_us(self) -> int:
        """The venue's time."""
        return self.clock_us + int(self.loop.time() * 1_000_000)

    # ── commands ────────────────────────────────────────────────────────────────────────────────

    def on_commands(self, payload: bytes) -> bytes | None:
        """Execute a message of commands, and return the reply if one is to be sent."""
        self.received.append(payload)
        fault = self.faults.popleft() if self.faults else "ok"
        if fault == "away":
            raise NotSent(fault)
        if fault == "nobody":
            return b""
        if fault == "lose_request":
            return None
        if fault not in ("ok", "lose_reply", "late"):
            return _encode(Refusal(reason=fault, detail="scripted", venue_time_us=self.now_us))  # type: ignore[arg-type]
        return self.execute(payload, silent=fault == "lose_reply", late=fault == "late")

    def execute(self, payload: bytes, *, silent: bool = False, late: bool = False) -> bytes | None:
        """Execute, unless the id is known."""
        if late:
            return b"late"
        commands = _decode_commands(payload)
        if isinstance(commands, list):
            reply = b"[" + b",".join([self._outcome(command) for command in commands]) + b"]"
        else:
            reply = self._outcome(commands)
        return None if silent else reply

    def _outcome(self, command: Command) -> bytes:
        known = self.outcomes.get(command.id)
        if known is not None:
            return known
        if self.now_us > command.valid_until_us:
            outcome: Outcome = Outcome(command.id, "rejected", self.now_us, reason="expired")  # type: ignore[arg-type]
            return _encode(outcome)
        self.index += 1
        self.executed.append(command.id)
        market = getattr(command, "market", None)
        if market in self.rejections:
            outcome = Outcome(command.id, "rejected", self.now_us, self.rejections[market], "scripted")  # type: ignore[arg-type]
        elif isinstance(command, PlaceOrder):
            order_id = len(self.executed)
            outcome = OrderOutcome(
                command.id,
                "accepted",
                self.now_us,
                order=OrderResult(order_id, "new", remaining=command.quantity or 0),
            )
            self.tell(OrderPlaced(order_id=order_id, command_id=command.id, market=command.market, side=command.side))
        elif isinstance(command, MassCancel):
            outcome = MassCancelOutcome(command.id, "accepted", self.now_us, canceled=0, left=0)
        elif hasattr(command, "order_id"):
            outcome = OrderOutcome(
                command.id, "accepted", self.now_us, order=OrderResult(command.order_id or 1, "canceled")
            )
        else:
            outcome = Outcome(command.id, "accepted", self.now_us)
        self.outcomes[command.id] = _encode(outcome)
        return self.outcomes[command.id]

    # ── events and market data ──────────────────────────────────────────────────────────────────

    def tell(self, *events: Event, publish: bool = True) -> bytes:
        """Record events of the agent, publish them, and return the message."""
        first = len(self.events) + 1
        for event in events:
            event.seq = len(self.events) + 1
            event.venue_time_us = self.now_us
            self.events.append(event)
        message = self.events_message(first, list(events))
        if publish:
            self.publish_events(message)
        return message

    def events_message(self, first: int, events: list[Event]) -> bytes:
        """Return a message of events."""
        return _encode(
            EventsMessage(
                epoch=self.epoch,
                index=self.index,
                venue_time_us=self.now_us,
                first=first,
                events=msgspec.Raw(_encode(events)),
            )
        )

    def publish_events(self, message: bytes) -> None:
        """Publish a message of events to every agent."""
        for transport in self.transports:
            transport.deliver(f"exchange.v1.evt.{transport.agent}", message)

    def publish(self, channel: str, message: msgspec.Struct) -> None:
        """Publish market data on ``exchange.v1.md.<channel>``."""
        for transport in self.transports:
            transport.deliver(f"exchange.v1.md.{channel}", _encode(message))

    def beat(self, **channels: int) -> None:
        """Publish a heartbeat."""
        names = {name.replace("__", "."): seq for name, seq in channels.items()}
        self.publish(
            "_venue",
            Heartbeat(
                incarnation=self.incarnation,
                epoch=self.epoch,
                index=self.index,
                venue_time_us=self.now_us,
                channels=names,
            ),
        )

    def restore(self) -> None:
        """Begin another incarnation, which knows nothing of what happened."""
        self.incarnation += 1
        self.epoch += 1
        self.events.clear()
        self.outcomes.clear()

    # ── queries ─────────────────────────────────────────────────────────────────────────────────

    def on_query(self, agent: str, payload: bytes) -> bytes | None:
        """Answer a query."""
        query = _decode_query(payload)
        self.queries.append(query)
        if self.is_silent:
            return None
        answer = self.answers.get(type(query))
        result = answer(query) if answer is not None else self.answer(agent, query)
        if result is None:
            return None
        if not isinstance(result, Refusal):
            result.index = result.index or self.index
        result.venue_time_us = self.now_us
        return _encode(result)

    def answer(self, agent: str, query: Query) -> Any:
        """Return the result that a query has when nothing else is scripted."""
        match query:
            case Hello():
                return HelloResult(
                    protocol=1,
                    venue_version="0",
                    incarnation=self.incarnation,
                    epoch=self.epoch,
                    agent=agent,
                    owner="acme",
                    roles=["trader"],
                    event_seq=len(self.events),
                    max_validity_us=60_000_000,
                    max_array_commands=1_000,
                    assets=[AssetView(asset="credit", decimals=6, issuer=None, issued=1)],
                )
            case GetEvents():
                first = max(query.since + 1, self.first_held)
                page = self.events[first - 1 : first - 1 + query.limit]
                return EventsResult(
                    epoch=self.epoch,
                    first=first,
                    last=len(self.events),
                    lost=query.since + 1 < self.first_held,
                    events=msgspec.Raw(_encode(page)),
                )
            case GetAccount():
                return AccountResult(
                    agent=agent,
                    event_seq=len(self.events),
                    balances=[BalanceView("credit", 7_500_000, 2_500_000)],
                    orders=[],
                )
            case GetOutcome():
                return self._settled(query)
            case ListMarkets(market=None):
                return MarketsResult(markets=self.markets)
            case ListMarkets():
                found = [view for view in self.markets if view.market == query.market]
                return MarketsResult(markets=found) if found else Refusal(RefusalReason.NOT_FOUND, "scripted")
            case GetBook():
                return BookResult(
                    market=query.market, phase=self.phase, bids=self.bids[: query.depth], asks=self.asks[: query.depth]
                )
            case ListTrades():
                return TradesResult(market=query.market, trades=self.trades[-query.limit :])
            case GetOrder():
                return OrdersResult(orders=[])
            case _:
                return BalancesResult(agent=agent, balances=[BalanceView("credit", 7_500_000, 2_500_000)])

    def _settled(self, query: GetOutcome) -> OutcomeResult:
        if query.id in self.forgotten:
            return OutcomeResult(state="forgotten")
        if query.id in self.outcomes:
            return OutcomeResult(state="found", outcome=msgspec.Raw(self.outcomes[query.id]))
        return OutcomeResult(state="never_executed" if self.now_us > query.valid_until_us else "pending")


def market_view(name: str, decimals: int) -> MarketView:
    """Return a market with a tick of 0.01 credits."""
    return MarketView(
        market=name,
        base=name,
        base_decimals=decimals,
        tick=10_000,
        lot=1,
        min_quantity=1,
        max_quantity=10**9,
        maker_fee_bp=0,
        taker_fee_bp=0,
        price_band_bp=0,
        settlement="instant",
        phase="open",
    )


class MemoryTransport:
    """Carry messages to a `ScriptedVenue` in the same process, each delivery in a turn of its own."""

    def __init__(self, venue: ScriptedVenue, agent: str = "alice") -> None:
        self._venue = venue
        self._agent = agent
        self._subscribers: dict[str, list[Callable[[str, bytes], None]]] = defaultdict(list)
        self._on_connection: list[Callable[[ConnectionEvent], None]] = []
        self.is_open = False

    @property
    def agent(self) -> str:
        """The id of the agent."""
        return self._agent

    async def open(self) -> None:
        """Connect."""
        self.is_open = True
        self._venue.transports.append(self)

    async def close(self) -> None:
        """Disconnect."""
        self.is_open = False

    async def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Bring a message to the venue."""
        if ".query." in subject:
            answer = self._venue.on_query(self._agent, payload)
        else:
            answer = self._venue.on_commands(payload)
        if answer == b"late":
            self._venue.loop.call_later(1.0, self._deliver_late, reply, payload)
        elif answer is not None:
            self._venue.loop.call_soon(self._reply, reply, answer)

    def _deliver_late(self, reply: str, payload: bytes) -> None:
        answer = self._venue.execute(payload)
        if answer is not None:
            self._reply(reply, answer)

    def _reply(self, reply: str, answer: bytes) -> None:
        if self._venue.hold is not None and not self._venue.hold.is_set():
            self._venue.loop.call_later(0.01, self._reply, reply, answer)
        else:
            self.deliver(reply, answer)

    async def subscribe(self, subject: str, callback: Callable[[str, bytes], None]) -> Callable[[], Awaitable[None]]:
        """Subscribe; a trailing ``*`` stands for one token."""
        self._subscribers[subject].append(callback)

        async def unsubscribe() -> None:
            self._subscribers[subject].remove(callback)

        return unsubscribe

    def on_connection(self, callback: Callable[[ConnectionEvent], None]) -> None:
        """Tell ``callback`` of connection events."""
        self._on_connection.append(callback)

    def tell(self, kind: Any, subject: str = "") -> None:
        """Report something that happened to the connection."""
        for callback in self._on_connection:
            callback(ConnectionEvent(kind, subject))

    def deliver(self, subject: str, payload: bytes) -> None:
        """Deliver a message to whoever subscribed."""
        wildcard = subject.rpartition(".")[0] + ".*"
        for key in (subject, wildcard):
            for callback in list(self._subscribers.get(key, ())):
                callback(subject, payload)


@contextlib.asynccontextmanager
async def connected(venue: ScriptedVenue) -> AsyncIterator[Agent]:
    """Connect an agent to a scripted venue."""
    async with connect(transport=MemoryTransport(venue)) as agent:
        yield agent

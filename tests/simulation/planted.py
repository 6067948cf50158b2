"""Break the product on purpose, in one place at a time: a simulator that does not notice is worth nothing.

Each fault is a variant of one or two real methods, put in their place for the length of a block.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agent_sdk.errors import NotSent
from agent_sdk.events import EventCursor
from agent_sdk.requests import Requests
from agent_sdk.session import Connection
from exchange.adapters.clock import VenueClock
from exchange.adapters.fenced_log import FencedLog, NoAnswer, Replaced
from exchange.adapters.gateway import _Inbox
from exchange.adapters.high_water import HighWaterFile
from exchange.adapters.outgoing import Outgoing
from exchange.adapters.records import chain_hash, decode_record
from exchange.adapters.snapshots import SnapshotStore
from exchange.daemon.answers import Answers
from exchange.daemon.host import Host, decode_batch
from exchange.daemon.leader import Leader
from exchange.daemon.lease import Lease
from exchange.daemon.poison import Poisons
from exchange.daemon.preserve import Preserved
from exchange.daemon.replica import Replica
from exchange.engine.engine import Engine
from exchange.engine.sessions import Session
from exchange.ledger import Ledger
from exchange.mechanisms.base import AgentRecord
from exchange.mechanisms.orders import Orders
from exchange.mechanisms.orders.matching import Matcher
from exchange.messages.reasons import RefusalReason
from exchange.messages.venue import OutcomeResult
from exchange.views import MarketData
from tests.simulation.copies import SimulatedPreserver
from tests.simulation.journal import Stream
from tests.simulation.plan import draw_plan, with_more

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulation.plan import Plan

__all__ = ["PLANTED", "Planted"]


@dataclass(frozen=True)
class Planted:
    """Name a fault, what it changes (owner, attribute, variant), and the properties that may catch it."""

    name: str
    changes: tuple[tuple[Any, str, Any], ...]
    caught_by: tuple[str, ...]
    seed: int = 1
    """Where to look first: one that caught it when this was written. What is drawn changes with the simulator."""
    kinds: tuple[str, ...] = ()
    """What must go wrong for it to be noticed, where few plans have it: they get more of it."""
    noises: tuple[str, ...] = ()
    """The same of what happens to messages."""

    def plan(self, seed: int) -> Plan:
        """Return the plan of a seed, with more of what the fault is noticed by."""
        return with_more(draw_plan(seed), self.kinds, dict.fromkeys(self.noises, _OFTEN))

    @contextlib.contextmanager
    def grow(self) -> Iterator[None]:
        """Let the product be broken for the length of the block."""
        kept = [(owner, name, owner.__dict__[name]) for owner, name, _ in self.changes]
        for owner, name, variant in self.changes:
            setattr(owner, name, variant)
        try:
            yield
        finally:
            for owner, name, original in kept:
                setattr(owner, name, original)


_OFTEN: Final = 0.3

PLANTED: Final[list[Planted]] = []


def _plant(
    name: str, *caught_by: str, seed: int = 1, kinds: tuple[str, ...] = (), noises: tuple[str, ...] = ()
) -> Callable[[Callable[[], Any]], None]:
    """Register the fault that a function makes: owner, attribute and variant of each change."""

    def register(make: Callable[[], tuple[tuple[Any, str, Any], ...]]) -> None:
        PLANTED.append(Planted(name, make(), caught_by, seed, kinds, noises))

    return register


# ── the daemon's loop ───────────────────────────────────────────────────────────────────────────


@_plant("replies leave before the journal has the record", "nothing_leaves_before_it_is_durable")
def _() -> Any:
    store = Leader._store

    async def store_early(self: Leader, step: Any, apply_s: float) -> None:
        await self._egress.send(self._host.replies(step))
        await store(self, step, apply_s)

    return ((Leader, "_store", store_early),)


@_plant("a leader goes on after it was replaced", "nothing_leaves_before_it_is_durable",
        "nothing_is_durable_that_is_not", "what_is_replayed_was_written", seed=4)  # fmt: skip
def _() -> Any:
    append = FencedLog.append

    async def append_anyhow(self: FencedLog, index: int, body: bytes) -> None:
        with contextlib.suppress(Replaced):
            await append(self, index, body)

    return ((FencedLog, "append", append_anyhow),)


@_plant("records are written without the fence", "records_chain", "time_goes_forward", "epochs_go_forward",
        "what_is_replayed_was_written", "a_good_journal_is_accepted", seed=4)  # fmt: skip
def _() -> Any:
    store = Stream.store

    def store_unfenced(self: Stream, expected_last: int, body: bytes, writer: Any = None) -> Any:
        del expected_last
        return store(self, self.last, body, writer)

    return ((Stream, "store", store_unfenced),)


@_plant("a write of unknown outcome is taken for stored", "nothing_is_durable_that_is_not",
        "nothing_leaves_before_it_is_durable", "what_is_replayed_was_written", seed=3)  # fmt: skip
def _() -> Any:
    async def is_stored(_self: FencedLog, _index: int, _body: bytes) -> bool:
        return True

    return ((FencedLog, "_is_stored", is_stored),)


@_plant(
    "reading back compares the index only",
    "what_is_replayed_was_written",
    "nothing_leaves_before_it_is_durable",
    seed=4,
)
def _() -> Any:
    async def is_stored(self: FencedLog, index: int, body: bytes) -> bool:
        del body
        while True:
            with contextlib.suppress(NoAnswer):
                return await self._find(index) is not None

    return ((FencedLog, "_is_stored", is_stored),)


@_plant("the lease never ends", "reads_are_current", "refusals_are_true", kinds=("freeze", "cut off journal"))
def _() -> Any:
    return ((Lease, "is_held", property(lambda _self: True)),)


@_plant(
    "time is that of the wall clock, also when it was set back", "daemons_do_not_break", "time_goes_forward", seed=4
)
def _() -> Any:
    def init(self: VenueClock, journal_time_us: int, *, monotonic_ns: Any, wall_ns: Any) -> None:
        original(self, 0, monotonic_ns=monotonic_ns, wall_ns=wall_ns)
        del journal_time_us

    original = VenueClock.__init__
    return ((VenueClock, "__init__", init), (Leader, "_now_us", lambda self: self._clock.now_us()))


@_plant("a standby takes over without reading on", "the_naive_book_agrees", "daemons_do_not_break", "time_goes_forward",
        "a_good_journal_is_accepted", "epochs_go_forward")  # fmt: skip
def _() -> Any:
    async def follow_blindly(self: Replica, last: int) -> None:
        # It knows where the journal ends, but not what is in it.
        body = await self.journal._find(last)
        assert body is not None
        self.host.engine.context.index = last
        self.host.hash = chain_hash(decode_record(body).previous_hash, body)

    return ((Replica, "_follow_to", follow_blindly),)


@_plant("the mark on the disk is not looked at", "a_short_journal_is_noticed", kinds=("short journal",))
def _() -> Any:
    return ((HighWaterFile, "read", lambda _self: None),)


@_plant("refusals do not wait for the lease", "refusals_are_true", seed=17)
def _() -> Any:
    async def go_on(_self: Lease) -> None:
        """Wait for nothing."""

    return ((Lease, "wait_to_refuse", go_on),)


@_plant(
    "a stall lets out the refusals that waited for the lease",
    "refusals_are_true",
    kinds=("journal silent to daemon", "journal silent", "freeze"),
    seed=7,
)
def _() -> Any:
    return ((Outgoing, "forget_refusals", lambda _self: None),)


@_plant("what broke the engine is not noted", "poison_works_once", kinds=("poison agent",))
def _() -> Any:
    return ((Poisons, "note", lambda _self, _poisoned: None), (Poisons, "hear", lambda _self, _payload: None))


@_plant("the journal is trimmed behind the newest snapshot, wherever it is", "a_good_journal_is_accepted")
def _() -> Any:
    async def preserve(self: SimulatedPreserver) -> Preserved:
        store = SnapshotStore(Path(self._task.snapshots))
        return Preserved(trim_below=next(store.whole_ones(), 0))

    return ((SimulatedPreserver, "_preserve", preserve),)


# ── replay and snapshots ────────────────────────────────────────────────────────────────────────


def _replay_trustingly(self: Host, body: bytes) -> Any:
    record = decode_record(body)
    outputs = self.engine.apply(decode_batch(record))
    self.hash = chain_hash(self.hash, body)
    self.events.fold(outputs.events)
    self.trades.fold(outputs.trades)
    self.market_data.discard(outputs)
    return record


def _load_trustingly(self: Host, snapshot: Any) -> None:
    self.engine.load(snapshot.state)
    self.incarnation, self.hash = snapshot.incarnation, snapshot.hash
    self.events.fold(snapshot.events)
    self.trades.fold(snapshot.trades)


@_plant(
    "a replay compares neither the chain nor the outputs",
    "what_is_replayed_was_written",
    "daemons_do_not_break",
    kinds=("flip record",),
)
def _() -> Any:
    return ((Host, "replay", _replay_trustingly),)


@_plant("a snapshot is loaded without the sessions of the agents", "the_naive_book_agrees", "every_copy_is_the_same",
        "a_good_journal_is_accepted", "commands_run_once", "outcomes_are_explained")  # fmt: skip
def _() -> Any:
    load = Engine.load

    def load_without_sessions(self: Engine, dumped: bytes) -> None:
        load(self, dumped)
        for agent in self.context.agents.values():
            agent.sessions.clear()

    return ((Engine, "load", load_without_sessions), (Host, "load", _load_trustingly))


@_plant("an agent's events are numbered from the last one again after a start from a snapshot",
        "a_good_journal_is_accepted", "histories_are_exact", "the_naive_book_agrees")  # fmt: skip
def _() -> Any:
    load = AgentRecord.load

    def load_one_less(state: Any) -> AgentRecord:
        record = load(state)
        record.seq = max(record.seq - 1, 0)
        return record

    return ((AgentRecord, "load", staticmethod(load_one_less)), (Host, "load", _load_trustingly))


# ── the engine ──────────────────────────────────────────────────────────────────────────────────


@_plant("the latest command of a session runs again when it is repeated", "the_naive_ledger_agrees",
        "commands_run_once", "every_copy_is_the_same")  # fmt: skip
def _() -> Any:
    find = Session.find
    return ((Session, "find", lambda self, n: None if n == self.highest else find(self, n)),)


@_plant("a large order is accepted without a hold", "invariants_hold", "daemons_do_not_break")
def _() -> Any:
    hold = Ledger.hold

    def forget(self: Ledger, balance: Any, amount: int) -> None:
        if amount < 2_000:
            hold(self, balance, amount)

    return ((Ledger, "hold", forget),)


@_plant("the house keeps what a taker trades better than its limit", "the_naive_ledger_agrees")
def _() -> Any:
    settle = Orders._settle_taker

    def keep(self: Orders, order: Any, quantity: int, value: int, fee: int, legs: list[Any], *, stays: bool) -> None:
        settle(self, order, quantity, value, fee, legs, stays=stays)
        better = order.market.value(order.price, quantity) - value if order.is_buy else 0
        credit = order.trader.credit
        if 0 < better <= credit.available:
            ledger = self.context.ledger
            ledger.transfer(credit, ledger.balance("fees", "credit"), better)

    return ((Orders, "_settle_taker", keep),)


@_plant("a seller pays a unit more than the fee that it is told", "the_naive_ledger_agrees")
def _() -> Any:
    settle = Matcher.settle_resting

    def settle_less(self: Matcher, market: Any, order: Any, *fill: Any) -> int:
        fee = settle(self, market, order, *fill)
        legs = fill[-1]
        if market.pledges is not None:
            # A seller is not paid yet.
            return fee
        credit, available, held = legs[-2]
        if not order.is_buy and available > 1:
            legs[-2] = (credit, available - 1, held)
            legs.append((self._fees, 1, 0))
        return fee

    return ((Matcher, "settle_resting", settle_less),)


# ── the gateway, answers, market data ───────────────────────────────────────────────────────────


@_plant("the gateway answers wherever it is told to", "answers_go_to_who_asked", seed=2)
def _() -> Any:
    init = _Inbox.__init__

    def init_open(self: Any, agent: str, limits: Any, now_s: float) -> None:
        init(self, agent, limits, now_s)
        self.reply_prefix = ""

    return ((_Inbox, "__init__", init_open),)


@_plant("what is not found is said never to have run, also before its time", "what_agents_are_told_is_so", seed=73)
def _() -> Any:
    outcome = Answers._outcome

    def answer(self: Answers, agent: str, query: Any) -> OutcomeResult:
        result = outcome(self, agent, query)
        return OutcomeResult(state="never_executed") if result.state != "found" else result

    return ((Answers, "_outcome", answer),)


@_plant("what is forgotten is said never to have run", "what_agents_are_told_is_so", seed=73)
def _() -> Any:
    outcome = Answers._outcome

    def answer(self: Answers, agent: str, query: Any) -> OutcomeResult:
        result = outcome(self, agent, query)
        return OutcomeResult(state="never_executed") if result.state == "forgotten" else result

    return ((Answers, "_outcome", answer),)


@_plant("a level of the book that is empty is not published", "the_venue_comes_back", seed=2)
def _() -> Any:
    publish = MarketData._publish_market

    def publish_less(self: MarketData, market: Any, index: int, time_us: int) -> Any:
        for side in (market.bids, market.asks):
            for price in [price for price in side.touched if not side.displayed(price)]:
                del side.touched[price]
        return publish(self, market, index, time_us)

    return ((MarketData, "_publish_market", publish_less),)


# ── the SDK ─────────────────────────────────────────────────────────────────────────────────────


@_plant("a command without an answer is taken for not sent", "what_agents_are_told_is_so", seed=2)
def _() -> Any:
    def not_sent(_self: Connection, _id: str, _valid_until_us: int, _kind: Any) -> NotSent:
        return NotSent("no answer")

    return ((Connection, "_outcome_unknown", not_sent),)


@_plant(
    "a daemon without a journal is taken to speak for every daemon",
    "what_agents_are_told_is_so",
    kinds=("journal refuses daemon", "journal silent to daemon"),
    noises=("lost reply",),
)
def _() -> Any:
    refuse = Requests._refuse

    def count(self: Requests, request: Any, refusal: Any) -> None:
        if refusal.reason == RefusalReason.JOURNAL_UNAVAILABLE:
            request.unanswered = max(0, request.unanswered - 1)
        refuse(self, request, refusal)

    return ((Requests, "_refuse", count),)


@_plant(
    "an event is gone when the terms that it is read by do not come",
    "agents_do_not_break",
    "histories_are_exact",
    "the_venue_comes_back",
    seed=31,
)
def _() -> Any:
    def take_first(self: EventCursor) -> Any:
        if not self._ready:
            return None
        self.position += 1
        return self.position, self._ready.popleft()

    return ((EventCursor, "first", take_first), (EventCursor, "take", lambda _self: None))


@_plant("an event that comes twice is delivered twice", "histories_are_exact")
def _() -> Any:
    def offer(self: EventCursor, first: int, events: Any) -> None:
        if first > self.end + 1:
            self.is_behind = True
        else:
            self._ready.extend(events)

    return ((EventCursor, "offer", offer),)

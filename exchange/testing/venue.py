"""Build venues in memory for tests: the real engine, one batch per call, proofs after every command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from exchange.engine import Batch, Engine, Outputs, Submission, genesis_batch
from exchange.mechanisms import REGISTRY
from exchange.messages import event_union
from exchange.messages.admin import GetBalances, IssueAsset, RegisterAgent, RegisterAsset, Settings
from exchange.messages.base import Command, Outcome
from exchange.messages.orders import (
    BookResult,
    CreateMarket,
    GetBook,
    ListMarkets,
    ListOrders,
    MarketsResult,
    MarketView,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderPlaced,
    OrderReduced,
    OrderResult,
    OrdersResult,
    OrderTriggered,
    OrderView,
    PlaceOrder,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exchange.mechanisms.base import Mechanism
    from exchange.messages.base import Event
    from exchange.messages.reasons import Reason

__all__ = [
    "OPERATOR",
    "SECOND_US",
    "START_US",
    "Answer",
    "Venue",
    "assert_rejected",
    "brief",
    "encode_command",
]

OPERATOR: Final = "operator"
START_US: Final = 1_795_000_000_000_000
SECOND_US: Final = 1_000_000
VALIDITY_US: Final = 10 * SECOND_US

encode_command: Final = msgspec.msgpack.Encoder().encode
_decode_events: Final = msgspec.json.Decoder(list[event_union()]).decode  # type: ignore[misc]


class _AnyOutcome(Outcome, tag="outcome"):
    """Read whatever a mechanism added to its outcome."""

    order: OrderResult | None = None
    canceled: int = 0
    left: int = 0
    agent: str | None = None
    endowment: int = 0


_decode_outcome: Final = msgspec.json.Decoder(_AnyOutcome).decode


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what one command came to, and whether it changed anything that rules decide about."""

    outcome: _AnyOutcome
    encoded: bytes
    unchanged: bool

    @property
    def data(self) -> dict[str, Any]:
        """Return the outcome as the wire has it, with whatever its mechanism added."""
        decoded: dict[str, Any] = msgspec.json.decode(self.encoded)
        return decoded

    @property
    def accepted(self) -> bool:
        """Return whether the command was accepted."""
        return self.outcome.status == "accepted"

    @property
    def reason(self) -> Reason | None:
        """Return why the command was rejected."""
        return self.outcome.reason

    @property
    def order(self) -> OrderResult:
        """Return where the order stands.

        Raises:
            AssertionError: the command was rejected or is not about an order.
        """
        assert self.outcome.order is not None, self.outcome
        return self.outcome.order

    @property
    def order_id(self) -> int:
        """Return the id of the order."""
        return self.order.order_id

    @property
    def brief(self) -> str:
        """Return the outcome in a few words, as tables of scenarios write it."""
        if not self.accepted:
            return str(self.reason)
        if self.outcome.order is None:
            return "accepted"
        order = self.outcome.order
        return f"{order.status} {order.filled}+{order.remaining}"


class Venue:
    """Run an engine in memory: each call is a batch, and every batch is followed by proofs.

    After each batch the invariants hold, money is conserved, and every agent's events are dense.
    ``check_every`` spaces the slow proofs in long runs.
    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        mechanisms: Iterable[type[Mechanism]] = REGISTRY,
        supply: int = 1_000_000_000_000,
        check_every: int = 1,
    ) -> None:
        self.engine = Engine(mechanisms)
        self.epoch = 0
        self.batches: list[Batch] = []
        self.digests: list[bytes] = []
        self.hashed_last = False
        self._check_every = check_every
        self._numbers: dict[str, int] = {}
        self._events: dict[str, list[Event]] = {}
        self._heard: dict[str, int] = {}
        self._apply(genesis_batch(OPERATOR, START_US, supply, settings))

    # ── setting the scene ───────────────────────────────────────────────────────────────────────

    def register(self, *agents: str, owner: str | None = None, **fields: Any) -> None:
        """Register agents; each is its own owner unless ``owner`` is given."""
        for agent in agents:
            self.must(OPERATOR, RegisterAgent, agent=agent, owner=owner or agent, **fields)

    def asset(self, name: str, *, decimals: int = 0, issuer: str = OPERATOR) -> None:
        """Register an asset unless it is registered."""
        if name not in self.engine.ledger.assets:
            self.must(OPERATOR, RegisterAsset, asset=name, decimals=decimals, issuer=issuer)

    def issue(self, agent: str, quantity: int, asset: str = "cpu") -> None:
        """Issue units of an operator's asset to an agent."""
        self.must(OPERATOR, IssueAsset, asset=asset, agent=agent, quantity=quantity)

    def market(self, name: str = "cpu", *, base: str = "cpu", decimals: int = 0, **terms: Any) -> None:
        """Open a market, by default with a tick of 1 and without a price band."""
        self.asset(base, decimals=decimals)
        if "reference_price" not in terms:
            terms.setdefault("price_band_bp", 0)
        self.must(OPERATOR, CreateMarket, **{"market": name, "base": base, "tick": 1, **terms})

    # ── acting ──────────────────────────────────────────────────────────────────────────────────

    def command(self, agent: str, kind: type[Command], /, **fields: Any) -> Command:
        """Make a command with the agent's next id, valid for 10 s."""
        n = self._numbers[agent] = self._numbers.get(agent, 0) + 1
        return kind(**{"id": f"test.{n}", "valid_until_us": self.time_us + VALIDITY_US, **fields})

    def submit(self, agent: str, kind: type[Command], /, **fields: Any) -> Answer:
        """Submit one command in a batch of its own."""
        return self.send(agent, self.command(agent, kind, **fields))

    def send(self, agent: str, command: Command) -> Answer:
        """Submit a ready-made command in a batch of its own."""
        return self.send_batch([(agent, command)])[0]

    def send_batch(self, commands: Sequence[tuple[str, Command]]) -> list[Answer]:
        """Submit commands in one batch."""
        submissions = [(agent, command, encode_command(command)) for agent, command in commands]
        self.hashed_last = len(submissions) == 1 and self._proves
        before = self.engine.business_hash() if self.hashed_last else ""
        outputs = self._apply(self._batch(self.time_us, submissions))
        unchanged = before != "" and before == self.engine.business_hash()
        return [Answer(_decode_outcome(encoded), encoded, unchanged) for encoded in outputs.outcomes]

    def must(self, agent: str, kind: type[Command], /, **fields: Any) -> Answer:
        """Submit a command that has to be accepted."""
        answer = self.submit(agent, kind, **fields)
        assert answer.accepted, answer.outcome
        return answer

    def place(self, agent: str, side: str, quantity: int | None, price: int | None, **terms: Any) -> Answer:
        """Place an order in market ``cpu`` unless told another."""
        return self.submit(
            agent,
            PlaceOrder,
            **{"market": "cpu", "side": side, "quantity": quantity, "price": price, **terms},
        )

    def buy(self, agent: str, quantity: int | None = None, price: int | None = None, **terms: Any) -> Answer:
        """Place a buy order."""
        return self.place(agent, "buy", quantity, price, **terms)

    def sell(self, agent: str, quantity: int | None = None, price: int | None = None, **terms: Any) -> Answer:
        """Place a sell order."""
        return self.place(agent, "sell", quantity, price, **terms)

    def advance(self, seconds: int) -> None:
        """Let venue time pass in one empty batch."""
        self.advance_to(self.time_us + seconds * SECOND_US)

    def advance_to(self, time_us: int) -> None:
        """Let venue time come to ``time_us`` in one empty batch."""
        self._apply(self._batch(time_us, []))

    def change_leader(self, outage_seconds: int = 0) -> None:
        """Let a new leader begin the next epoch after an outage."""
        self.epoch += 1
        self.advance(outage_seconds)

    # ── looking ─────────────────────────────────────────────────────────────────────────────────

    @property
    def time_us(self) -> int:
        """Return venue time."""
        return self.engine.time_us

    def events(self, agent: str) -> list[Event]:
        """Return all events of an agent so far."""
        return list(self._events.get(agent, ()))

    def heard(self, agent: str) -> list[str]:
        """Return what an agent heard since the last look, each event in a few words."""
        events = self._events.get(agent, [])
        first = self._heard.get(agent, 0)
        self._heard[agent] = len(events)
        return [brief(event) for event in events[first:]]

    def balance(self, agent: str, asset: str = "credit") -> tuple[int, int]:
        """Return what is available and what is held."""
        for row in self.engine.query(agent, GetBalances()).balances:  # type: ignore[attr-defined]
            if row.asset == asset:
                return row.available, row.held
        return 0, 0

    def system_credits(self, account: str) -> int:
        """Return the credits of ``treasury``, ``public_fund`` or ``fees``."""
        return self.engine.ledger.balance(account, "credit").available

    def book(self, market: str = "cpu") -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return the displayed levels of a market, bids and asks, the best first."""
        result = self.engine.query(OPERATOR, GetBook(market=market, depth=1_000))
        assert isinstance(result, BookResult)
        return result.bids, result.asks

    def view(self, market: str = "cpu") -> MarketView:
        """Return what everybody may know of a market."""
        result = self.engine.query(OPERATOR, ListMarkets())
        assert isinstance(result, MarketsResult)
        return next(view for view in result.markets if view.market == market)

    def orders(self, agent: str) -> list[OrderView]:
        """Return the live orders of an agent."""
        result = self.engine.query(agent, ListOrders(limit=1_000))
        assert isinstance(result, OrdersResult)
        return result.orders

    # ── proving ─────────────────────────────────────────────────────────────────────────────────

    def _batch(self, time_us: int, submissions: list[Submission]) -> Batch:
        """Make the next batch; what stands for the chain of records is the digest of the batch before."""
        return Batch(self.epoch, self.engine.index + 1, time_us, submissions, self.digests[-1])

    @property
    def _proves(self) -> bool:
        return (self.engine.index + 1) % self._check_every == 0

    def _apply(self, batch: Batch) -> Outputs:
        proves = self._proves
        outputs = self.engine.apply(batch)
        self.batches.append(batch)
        self.digests.append(outputs.digest())
        for agent, first, total, encoded in outputs.events:
            known = self._events.setdefault(agent, [])
            decoded = _decode_events(encoded)
            assert first == len(known) + 1, "events are dense"
            assert len(decoded) == total
            assert [event.seq for event in decoded] == list(range(first, first + total))
            known.extend(decoded)
        assert self.engine.conservation_difference() == 0, "money is conserved"
        if proves:
            assert self.engine.check_invariants() == []
        return outputs


def assert_rejected(answer: Answer, reason: Reason) -> None:
    """Assert that a command was rejected for ``reason`` and changed nothing that rules decide about."""
    assert (answer.outcome.status, answer.reason) == ("rejected", reason), answer.outcome
    assert answer.outcome.detail, "a rejection says what to do"
    assert answer.unchanged, "a rejection changed the state"


def brief(event: Event) -> str:
    """Write an event in a few words."""
    match event:
        case OrderPlaced():
            return f"#{event.order_id} placed"
        case OrderFilled():
            fee = f" fee {event.fee}" if event.fee else ""
            fill = f"{event.liquidity} {event.quantity}@{event.price}"
            return f"#{event.order_id} {fill} left {event.remaining}{fee}"
        case OrderCanceled():
            return f"#{event.order_id} canceled {event.remaining} {event.reason}"
        case OrderExpired():
            return f"#{event.order_id} expired {event.remaining} {event.reason}"
        case OrderReduced():
            return f"#{event.order_id} reduced {event.quantity} left {event.remaining}"
        case OrderTriggered():
            return f"#{event.order_id} triggered"
        case _:
            return str(event.__struct_config__.tag)

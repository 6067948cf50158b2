"""Drive a host without any I/O: a clock that is set by hand, refusals that are caught, records that are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from exchange.daemon.host import Host
from exchange.engine import genesis_batch

if TYPE_CHECKING:
    from exchange.adapters.gateway_limits import GatewayLimits
    from exchange.daemon.host import Step
    from exchange.engine import Engine
    from exchange.messages.admin import Settings

__all__ = ["OPERATOR", "SECOND_US", "START_US", "Desk"]

OPERATOR = "operator"
START_US = 1_795_000_000_000_000
SECOND_US = 1_000_000

encode = msgspec.json.Encoder().encode


class Desk:
    """Run one host; what it sends, at once or after a batch, is kept."""

    def __init__(self, limits: GatewayLimits | None = None, settings: Settings | None = None) -> None:
        self.now_s = 0.0
        self.refused: list[tuple[str, Any]] = []
        """The reply subject and the refusal of whatever was turned away."""
        self.released: list[tuple[str, bytes]] = []
        self.bodies: list[bytes] = []
        """The records, from the genesis on."""
        self.host = Host(send=self._refuse, now_s=lambda: self.now_s, limits=limits)
        self._numbers: dict[str, int] = {}
        batch = genesis_batch(OPERATOR, START_US, settings=settings)
        self._keep(self.host.apply(batch.submissions, [], batch.time_us, batch.epoch))

    @property
    def engine(self) -> Engine:
        """The engine of the host."""
        return self.host.engine

    @property
    def time_us(self) -> int:
        """Venue time."""
        return self.engine.time_us

    def _refuse(self, subject: str, payload: bytes) -> None:
        self.refused.append((subject, msgspec.json.decode(payload)))

    def _keep(self, step: Step) -> list[tuple[str, bytes]]:
        self.bodies.append(step.body)
        messages = [*self.host.replies(step), *self.host.release(step)]
        self.released.extend(messages)
        return messages

    # ── what arrives ────────────────────────────────────────────────────────────────────────────

    def command(self, agent: str, tag: str, /, **fields: Any) -> dict[str, Any]:
        """Return a command with the agent's next id, valid for 10 s."""
        n = self._numbers[agent] = self._numbers.get(agent, 0) + 1
        return {"type": tag, "id": f"s.{n}", "valid_until_us": self.time_us + 10 * SECOND_US, **fields}

    def order(
        self, agent: str, side: str = "buy", quantity: int = 1, price: int = 100, **fields: Any
    ) -> dict[str, Any]:
        """Return an order in market ``cpu``."""
        return self.command(
            agent,
            "orders.place",
            **{"market": "cpu", "side": side, "quantity": quantity, "price": price, **fields},
        )

    def post(self, agent: str, message: Any, *, family: str | None = None, reply: str | None = None) -> None:
        """Let a message of commands arrive: bytes as they stand, anything else as JSON."""
        payload = message if isinstance(message, bytes) else encode(message)
        if family is None:
            first = message[0] if isinstance(message, list) and message else message
            family = first["type"].partition(".")[0] if isinstance(first, dict) else "orders"
        reply = f"_INBOX.{agent}.1" if reply is None else reply
        self.host.gateway.receive_command(f"exchange.v1.cmd.{agent}.{family}", reply, payload)

    def ask(self, agent: str, query: Any, *, family: str | None = None, reply: str | None = None) -> list[Any]:
        """Ask a query and return the decoded answers, refusals included."""
        payload = query if isinstance(query, bytes) else encode(query)
        family = family or (query["type"].partition(".")[0] if isinstance(query, dict) else "venue")
        refused = len(self.refused)
        reply = f"_INBOX.{agent}.q" if reply is None else reply
        self.host.gateway.receive_query(f"exchange.v1.query.{agent}.{family}", reply, payload)
        answers = [msgspec.json.decode(answer) for _, answer in self.host.answer_queries(1_000)]
        return [refusal for _, refusal in self.refused[refused:]] + answers

    # ── what happens ────────────────────────────────────────────────────────────────────────────

    def turn(self, after_us: int = 1) -> Step:
        """Cut, apply and release one batch."""
        step = self.host.cut(self.time_us + after_us)
        self._keep(step)
        return step

    def new_epoch(self, after_us: int = 1) -> list[tuple[str, bytes]]:
        """Begin the next epoch and return what it releases."""
        return self._keep(self.host.begin_epoch(self.time_us + after_us))

    def do(self, agent: str, message: Any) -> Any:
        """Post a message, take a turn and return the decoded answer: of the batch, or the refusal."""
        refused, released = len(self.refused), len(self.released)
        self.post(agent, message)
        self.turn()
        replies = [payload for subject, payload in self.released[released:] if subject == f"_INBOX.{agent}.1"]
        answers = [refusal for _, refusal in self.refused[refused:]] + [msgspec.json.decode(one) for one in replies]
        assert len(answers) == 1, answers
        return answers[0]

    def must(self, agent: str, tag: str, /, **fields: Any) -> Any:
        """Give a command that has to be accepted."""
        answer = self.do(agent, self.command(agent, tag, **fields))
        assert answer["type"] == "outcome", answer
        assert answer["status"] == "accepted", answer
        return answer

    def open_market(self, *agents: str, market: str = "cpu", quantity: int = 1_000_000, **terms: Any) -> None:
        """Open a market and register agents with credits and units of its asset."""
        if "cpu" not in self.engine.ledger.assets:
            self.must(OPERATOR, "admin.register_asset", asset="cpu")
        terms = {"tick": 1, "price_band_bp": 0, **terms}
        self.must(OPERATOR, "orders.create_market", market=market, base="cpu", **terms)
        for agent in agents:
            self.must(OPERATOR, "admin.register_agent", agent=agent, owner=agent)
            self.must(OPERATOR, "admin.issue_asset", asset="cpu", agent=agent, quantity=quantity)

"""The promise without any I/O: the leader dies at every point between two messages, thousands of times."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from exchange.daemon.host import Host, decode_batch
from exchange.engine import Engine, genesis_batch
from exchange.messages.admin import Settings

if TYPE_CHECKING:
    from exchange.daemon.host import Step

START_US = 1_795_000_000_000_000
SECOND_US = 1_000_000
AGENTS = ("ann", "ben", "cid")

encode = msgspec.json.Encoder().encode
decode = msgspec.json.decode


class Client:
    """Act as an agent that repeats each command until it is answered, and asks for the events it missed."""

    def __init__(self, agent: str, random: Random) -> None:
        self.agent = agent
        self.random = random
        self.waiting: dict[str, bytes] = {}
        """The message of every reply subject that was not answered yet."""
        self.outcomes: dict[str, bytes] = {}
        self.events: list[dict[str, Any]] = []
        self._n = 0

    def send(self, time_us: int) -> None:
        """Make up some new commands."""
        for _ in range(self.random.choice([0, 1, 1, 3])):
            count = self.random.choice([0, 0, 0, 2, 5])
            commands = [self._command(time_us) for _ in range(count or 1)]
            self.waiting[f"_INBOX.{self.agent}.{self._n}"] = encode(commands if count else commands[0])

    def _command(self, time_us: int) -> dict[str, Any]:
        random = self.random
        self._n += 1
        head = {"id": f"s.{self._n}", "valid_until_us": time_us + random.choice([1, 10, 50]) * SECOND_US}
        if random.random() < 0.2:
            return {**head, "type": "orders.cancel", "order_id": random.randint(1, 3 * self._n)}
        fields = {"market": "cpu", "side": random.choice(["buy", "sell"]), "quantity": random.randint(1, 9)}
        terms = {"price": random.randint(96, 104), "time_in_force": random.choice(["gtc", "gtc", "ioc"])}
        return {**head, "type": "orders.place", **fields, **terms}

    def hear(self, subject: str, payload: bytes) -> None:
        """Take in a reply or an event message; what is missed leaves a gap that is asked for."""
        if subject == f"exchange.v1.evt.{self.agent}":
            message = decode(payload)
            if message["first"] <= len(self.events) + 1:
                self.events.extend(message["events"][len(self.events) + 1 - message["first"] :])
        elif subject.startswith(f"_INBOX.{self.agent}."):
            self.waiting.pop(subject, None)
            parts = decode(payload, type=list[msgspec.Raw]) if payload[:1] == b"[" else [payload]
            for part in map(bytes, parts):
                answer = decode(part)
                if answer["type"] == "refusal":
                    assert answer["reason"] == "expired", answer
                    assert answer["id"] not in self.outcomes, "expired after it was acknowledged"
                elif answer.get("reason") != "expired":
                    # Whatever copy is answered, by whatever leader: the outcome is the same, byte for byte.
                    assert self.outcomes.setdefault(answer["id"], part) == part


class Venue:
    """Hold the records, which survive, and the host, which does not."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.bodies: list[bytes] = []
        self.clients = [Client(agent, Random(f"{seed} {agent}")) for agent in AGENTS]
        self.deaths: dict[str, int] = {}
        self.time_us = START_US
        self.host = self._new_host()
        batch = genesis_batch("operator", START_US, settings=Settings(max_fills_per_command=4))
        step = self.host.apply(batch.submissions, [], batch.time_us, batch.epoch)
        self.bodies.append(step.body)
        self.host.release(step)
        self._set_up()

    def _new_host(self) -> Host:
        return Host(send=self._deliver, now_s=lambda: self.time_us / SECOND_US)

    def _deliver(self, subject: str, payload: bytes) -> None:
        for client in self.clients:
            client.hear(subject, payload)

    def _leaving(self, step: Step) -> list[tuple[str, bytes]]:
        """Return everything that leaves once a step is durable, in order."""
        return [*self.host.replies(step), *self.host.release(step)]

    def _set_up(self) -> None:
        commands: list[dict[str, Any]] = [
            {"type": "admin.register_asset", "asset": "cpu"},
            {"type": "orders.create_market", "market": "cpu", "base": "cpu", "tick": 1, "price_band_bp": 0},
        ]
        for agent in AGENTS:
            commands.append({"type": "admin.register_agent", "agent": agent, "owner": agent})
            commands.append({"type": "admin.issue_asset", "asset": "cpu", "agent": agent, "quantity": 500})
        for n, command in enumerate(commands, 1):
            command |= {"id": f"setup.{n}", "valid_until_us": self.time_us + SECOND_US}
            family = command["type"].partition(".")[0]
            self.host.gateway.receive_command(
                f"exchange.v1.cmd.operator.{family}", "_INBOX.operator.1", encode(command)
            )
            step = self.host.cut(self.time_us)
            self.bodies.append(step.body)
            for subject, payload in self._leaving(step):
                self._deliver(subject, payload)

    # ── one turn, and where it may end ──────────────────────────────────────────────────────────

    def turn(self, *, may_die: bool = True) -> None:
        """Let messages arrive, lead one batch, and perhaps die at some point of it."""
        self.time_us += self.random.choice([1, 1_000, SECOND_US])
        messages = [(client.agent, *item) for client in self.clients for item in client.waiting.items()]
        # Any copy may be late, lost, doubled or overtaken.
        self.random.shuffle(messages)
        messages = [message for message in messages if self.random.random() < 0.8]
        messages += [message for message in messages if self.random.random() < 0.1]
        for agent, reply, payload in messages:
            self.host.gateway.receive_command(f"exchange.v1.cmd.{agent}.orders", reply, payload)
        points = ["nowhere"] * 6 + ["before the write", "after the write", "amid the release", "after the release"]
        point = self.random.choice(points) if may_die else "nowhere"
        step = self.host.cut(self.time_us)
        if point != "before the write":
            self.bodies.append(step.body)
        if point in {"nowhere", "amid the release", "after the release"}:
            released = self._leaving(step)
            if point == "amid the release":
                released = released[: self.random.randrange(len(released) + 1)]
            for subject, payload in released:
                self._deliver(subject, payload)
        if point != "nowhere":
            self.deaths[point] = self.deaths.get(point, 0) + 1
            self._restart()

    def _restart(self) -> None:
        """Start from the records, as after the death of everything else."""
        self.host = self._new_host()
        for body in self.bodies:
            self.host.replay(body)
        self.time_us = max(self.time_us, self.host.engine.time_us)
        step = self.host.begin_epoch(self.time_us)
        self.bodies.append(step.body)
        for subject, payload in self._leaving(step):
            self._deliver(subject, payload)
        for client in self.clients:
            self._recover_events(client)

    def _recover_events(self, client: Client) -> None:
        query = encode({"type": "venue.events", "since": len(client.events)})
        self.host.gateway.receive_query(f"exchange.v1.query.{client.agent}.venue", f"_INBOX.{client.agent}.q", query)
        ((_, answer),) = self.host.answer_queries(1)
        page = decode(answer)
        assert not page["lost"]
        assert page["first"] == len(client.events) + 1
        client.events.extend(page["events"])
        assert len(client.events) == page["last"]


@pytest.mark.parametrize("seed", range(12))
def test_no_point_of_death_loses_or_doubles_anything(seed: int) -> None:
    """Died before, after or amid anything: each command has one outcome, each event comes once."""
    venue = Venue(seed)
    for _ in range(90):
        for client in venue.clients:
            client.send(venue.time_us)
        venue.turn()
    for _ in range(40):
        venue.turn(may_die=False)
    venue.time_us += 60 * SECOND_US
    while any(client.waiting for client in venue.clients):
        venue.turn(may_die=False)
    assert len(venue.deaths) == 4
    assert sum(venue.deaths.values()) > 20
    # The records, applied once more, say what was done: once per id, and as every reply told.
    engine, executed = Engine(), {}
    offline = Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0)
    for body in venue.bodies:
        batch = decode_batch(offline.replay(body))
        for (agent, command, _), outcome in zip(batch.submissions, engine.apply(batch).outcomes, strict=True):
            if decode(outcome).get("reason") != "expired":
                key = agent, command.id
                assert executed.setdefault(key, outcome) == outcome
    assert offline.engine.state_hash() == venue.host.engine.state_hash() == engine.state_hash()
    assert offline.engine.check_invariants() == []
    for client in venue.clients:
        venue._recover_events(client)
        told = {command_id: outcome for (agent, command_id), outcome in executed.items() if agent == client.agent}
        # Everybody was told in the end whatever was done for them, and nothing else.
        assert client.outcomes == told
        assert [event["seq"] for event in client.events] == list(range(1, len(client.events) + 1))
        placed = [event for event in client.events if event["type"] == "orders.placed"]
        by_command = {event["command_id"]: event["order_id"] for event in placed}
        assert len(by_command) == len(placed), "an order was placed twice"
        accepted = {
            command_id: decode(outcome)["order"]["order_id"]
            for command_id, outcome in told.items()
            if decode(outcome)["status"] == "accepted" and command_id in by_command
        }
        assert accepted == by_command
        assert len(placed) > 30

"""Compare the audit trails of the demonstration's agents with a replay of the journal."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from exchange.messages.orders import (
    AmendOrder,
    OrderAmended,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderPlaced,
    PlaceOrder,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.replay import Replay

__all__ = ["AuditTrails"]


class _Entry(msgspec.Struct):
    """Read one line of a trail; written down anew here, so that a mistake there is not made twice."""

    entry: str
    agent: str
    reply: msgspec.Raw = msgspec.Raw(b"null")
    kind: str = ""
    event: dict[str, Any] = {}


_decode = msgspec.json.Decoder(_Entry).decode


class AuditTrails:
    """Hold what all agents of a demonstration were told, as far as it was read."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._read: Counter[Path] = Counter()
        self.replies: Counter[str] = Counter()
        """How many replies about commands each agent heard."""
        self.outcomes: defaultdict[tuple[str, str], set[bytes]] = defaultdict(set)
        """The different outcomes that were heard of a command, by agent and command id; not that it expired."""
        self.events: defaultdict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
        """Every event of every agent, each with its class, in the order in which they were heard."""
        self.settled: Counter[str] = Counter()
        """How many commands of unknown outcome turned out to be what."""
        self.refusals: Counter[str] = Counter()

    def read(self) -> None:
        """Read on, up to the last whole line of every trail."""
        for path in sorted(self._data.glob("audit-trail-*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._read[path])
                lines = file.read()
            lines = lines[: lines.rfind(b"\n") + 1]
            self._read[path] += len(lines)
            for line in lines.splitlines():
                self._take(_decode(line))

    def _take(self, entry: _Entry) -> None:
        if entry.entry == "event":
            self.events[entry.agent].append((entry.kind, entry.event))
            return
        assert entry.entry == "reply"
        self.replies[entry.agent] += 1
        is_array = bytes(entry.reply).startswith(b"[")
        for reply in msgspec.json.decode(entry.reply, type=list[msgspec.Raw]) if is_array else [entry.reply]:
            self._take_reply(entry.agent, reply)

    def _take_reply(self, agent: str, reply: msgspec.Raw) -> None:
        said = msgspec.json.decode(reply)
        if said["type"] == "outcome_result":
            self.settled[said["state"]] += 1
            if said["state"] == "found":
                self._take_reply(agent, msgspec.json.decode(reply, type=dict[str, msgspec.Raw])["outcome"])
        elif said["type"] == "refusal":
            self.refusals[said["reason"]] += 1
        elif said.get("reason") != "expired":
            self.outcomes[agent, said["id"]].add(bytes(reply))

    # ── what must be so ─────────────────────────────────────────────────────────────────────────

    def compare(self, replay: Replay, *, at_rest: bool = False) -> None:
        """Compare with a journal that was read later; ``at_rest``: when there is nothing more to come."""
        self._compare_outcomes(replay, at_rest=at_rest)
        self._compare_events(replay, at_rest=at_rest)
        _assert_placed_once(replay, self.outcomes)
        _assert_one_order_at_a_time(replay, set(self.events))

    def _compare_outcomes(self, replay: Replay, *, at_rest: bool) -> None:
        """Assert that whatever was acknowledged is in the journal, with this one outcome and no other."""
        executed = {key: _executed(outcomes) for key, outcomes in replay.outcomes.items()}
        for key, told in self.outcomes.items():
            assert executed.get(key), f"{key} was acknowledged and is not in the journal: {told}"
            assert executed[key] == told, f"{key}: the journal says {executed[key]}, its agent was told {told}"
            assert len(told) == 1, f"{key} has several outcomes: {told}"
        if at_rest:
            agents = set(self.events)
            untold = {key for key, done in executed.items() if done and key[0] in agents} - self.outcomes.keys()
            assert untold == set(), "executed, and never told to the agent"

    def _compare_events(self, replay: Replay, *, at_rest: bool) -> None:
        """Assert that the events came as 1, 2, 3, … and are those of the journal, up to the end."""
        for agent, heard in self.events.items():
            numbers = [event.get("seq") for _, event in heard]
            assert numbers == list(range(1, len(heard) + 1)), f"{agent}: {_first_break(numbers)}"
            happened = replay.events[agent]
            assert len(heard) <= len(happened), f"{agent} heard of events that are not in the journal"
            for (kind, event), message in zip(heard, happened, strict=False):
                assert (kind, _names(event)) == (type(message).__name__, _names(msgspec.to_builtins(message))), agent
            if at_rest:
                assert len(heard) == len(happened), f"{agent} did not hear its last events"


def _executed(outcomes: set[bytes]) -> set[bytes]:
    return {outcome for outcome in outcomes if msgspec.json.decode(outcome).get("reason") != "expired"}


def _names(event: dict[str, Any]) -> dict[str, Any]:
    """Return what says which event it is; amounts are whole units here and smallest units there."""
    return {name: event.get(name) for name in ("seq", "venue_time_us", "order_id", "command_id", "trade_id")}


def _first_break(numbers: list[int | None]) -> str:
    for expected, number in enumerate(numbers, 1):
        if number != expected:
            return f"event {number} came where {expected} was due"
    return "no break"


def _assert_placed_once(replay: Replay, acknowledged: dict[tuple[str, str], set[bytes]]) -> None:
    """Assert that every acknowledged order and amendment happened once, and no order id stands for two orders."""
    placed: Counter[tuple[str, str, int]] = Counter()
    amended: Counter[tuple[str, str, int]] = Counter()
    order_ids: Counter[int] = Counter()
    for agent, events in replay.events.items():
        for event in events:
            if isinstance(event, OrderPlaced):
                placed[agent, event.command_id, event.order_id] += 1
                order_ids[event.order_id] += 1
            elif isinstance(event, OrderAmended):
                amended[agent, event.command_id, event.order_id] += 1
    assert [order_id for order_id, count in order_ids.items() if count > 1] == []
    assert len({(agent, command) for agent, command, _ in placed}) == len(placed) == placed.total()
    for (agent, command_id), outcomes in acknowledged.items():
        command, outcome = replay.commands[agent, command_id].command, msgspec.json.decode(next(iter(outcomes)))
        if isinstance(command, PlaceOrder | AmendOrder):
            happened = placed if isinstance(command, PlaceOrder) else amended
            times = happened[agent, command_id, outcome["order"]["order_id"]] if outcome.get("order") else 0
            assert times == (outcome["status"] == "accepted"), f"{agent}: {command} happened {times} times: {outcome}"


def _assert_one_order_at_a_time(replay: Replay, agents: set[str]) -> None:
    """Assert that no trader ever had a second order, which is what it would take to repeat one by mistake."""
    for agent in agents:
        live: set[int] = set()
        for event in replay.events[agent]:
            match event:
                case OrderPlaced():
                    live.add(event.order_id)
                case OrderCanceled() | OrderExpired():
                    live.discard(event.order_id)
                case OrderFilled() if event.remaining == 0:
                    live.discard(event.order_id)
            assert len(live) <= 1, f"{agent} had orders {live} at once"

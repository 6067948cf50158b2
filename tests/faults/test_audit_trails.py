"""The proof can fail: what a venue must never do to its agents is found by their audit trails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from exchange.daemon.host import Host
from exchange.demo.audit_trail import AuditTrail
from exchange.engine import genesis_batch
from exchange.messages.admin import Settings
from tests.faults.audit_trails import AuditTrails
from tests.faults.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Line = dict[str, Any]

START_US = 1_795_000_000_000_000
AGENTS = ("ann", "ben")
SETUP: tuple[tuple[str, dict[str, Any]], ...] = (
    ("operator", {"type": "admin.register_asset", "asset": "unit"}),
    ("operator", {"type": "orders.create_market", "market": "m", "base": "unit", "tick": 1, "price_band_bp": 0}),
    ("operator", {"type": "admin.register_agent", "agent": "ann", "owner": "ann"}),
    ("operator", {"type": "admin.register_agent", "agent": "ben", "owner": "ben"}),
    ("operator", {"type": "admin.issue_asset", "asset": "unit", "agent": "ben", "quantity": 2}),
)
BID = {"type": "orders.place", "market": "m", "side": "buy", "quantity": 1, "price": 100}
ASK = {"type": "orders.place", "market": "m", "side": "sell", "quantity": 1, "price": 101}
TRADING: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ann", BID),  # s.6
    ("ann", {"type": "orders.amend", "order_id": 1, "price": 101}),
    ("ben", ASK),
    ("ben", {**ASK, "price": 105}),
    ("ben", {"type": "orders.mass_cancel", "market": "m"}),
    ("ann", {"type": "orders.amend", "order_id": 1, "price": 102}),  # rejected: it is filled
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the trail of this test is."""
    return tmp_path / "audit-trail-1.jsonl"


def lead(path: Path, trading: tuple[tuple[str, dict[str, Any]], ...] = TRADING, *, lost: str = "") -> Replay:
    """Lead a venue through commands, its agents keeping a trail; return a replay of its journal.

    The record of the command ``lost`` is acknowledged and then missing, with all that would follow it.
    """
    replay, host = Replay(), Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0)
    genesis = genesis_batch("operator", START_US, settings=Settings())
    step = host.apply(genesis.submissions, [], genesis.time_us, genesis.epoch)
    host.release(step)
    replay.apply(step.body)
    with AuditTrail(path) as trail:
        for n, (agent, fields) in enumerate((*SETUP, *trading), 1):
            command = {**fields, "id": f"s.{n}", "valid_until_us": START_US + 1_000_000}
            subject = f"exchange.v1.cmd.{agent}.{fields['type'].partition('.')[0]}"
            host.gateway.receive_command(subject, f"_INBOX.{agent}.1", json.dumps(command).encode())
            step = host.cut(START_US + n)
            for _, outcome in host.replies(step) if agent in AGENTS else ():
                trail.reply(agent, outcome)
            if command["id"] == lost:
                break
            host.release(step)
            heard = {name: len(replay.events.get(name, [])) for name in AGENTS}
            replay.apply(step.body)
            for name in AGENTS:
                for event in replay.events.get(name, [])[heard[name] :]:
                    trail.event(name, event)
    return replay


def read(path: Path) -> AuditTrails:
    """Read a trail back."""
    trails = AuditTrails(path.parent)
    trails.read()
    return trails


def test_a_good_trail_is_found_good(path: Path) -> None:
    """What the agents were told and what the journal says agree, byte for byte and to the end."""
    replay = lead(path)
    trails = read(path)
    trails.compare(replay, at_rest=True)
    assert trails.replies == {"ann": 3, "ben": 3}
    assert len(trails.outcomes) == 6
    kinds = {agent: [kind for kind, _ in events] for agent, events in trails.events.items()}
    assert kinds == {
        "ann": ["AgentRegistered", "OrderPlaced", "OrderAmended", "OrderFilled"],
        "ben": ["AgentRegistered", "AssetChanged", "OrderPlaced", "OrderFilled", "OrderPlaced", "OrderCanceled"],
    }


def test_a_trail_holds_what_was_said_about_commands(path: Path) -> None:
    """Outcomes, refusals and what unknown outcomes turned out to be are kept, for the owner's eyes only."""
    outcome = b'{"type":"outcome", "id":"s.1","status":"accepted","venue_time_us":7}'
    settled = b'{"type":"outcome_result","state":"found","outcome":%b}' % outcome.replace(b"s.1", b"s.2")
    kept = [outcome, settled, b"[%b]" % outcome, b'{"type":"refusal","reason":"queue_full","detail":""}']
    with AuditTrail(path) as trail:
        for payload in (*kept, b'{"type":"account","balances":[]}', b"", b"\xff", b"7"):
            trail.reply("ann", payload)
    assert path.read_bytes() == b"".join(b'{"entry":"reply","agent":"ann","reply":%b}\n' % reply for reply in kept)
    assert path.stat().st_mode & 0o777 == 0o600
    trails = read(path)
    assert trails.outcomes == {("ann", "s.1"): {outcome}, ("ann", "s.2"): {outcome.replace(b"s.1", b"s.2")}}
    assert (trails.settled, trails.refusals) == ({"found": 1}, {"queue_full": 1})


def test_a_trail_is_read_on_by_whole_lines(path: Path) -> None:
    """What is still being written is read when it is whole, and nothing is read twice."""
    replay = lead(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    trails = read(path)
    path.write_bytes(whole)
    trails.read()
    trails.compare(replay, at_rest=True)


def test_an_acknowledged_order_that_is_lost_is_found(path: Path) -> None:
    """The agent was told of its order, and its record is gone."""
    replay = lead(path, lost="s.6")
    with pytest.raises(AssertionError, match=r"'s\.6'\) was acknowledged and is not in the journal"):
        read(path).compare(replay)


def test_an_order_that_was_placed_twice_is_found(path: Path) -> None:
    """The same intention was executed under two command ids: both are told of, and both orders are live."""
    replay = lead(path, (("ann", BID), ("ann", BID)))
    with pytest.raises(AssertionError, match=r"ann had orders \{1, 2\} at once"):
        read(path).compare(replay)


def of(agent: str, what: str) -> Callable[[Line], bool]:
    """Choose lines: the replies to a command of an agent, or its events of a kind."""
    return lambda line: line["agent"] == agent and what in {line.get("kind"), line.get("reply", {}).get("id")}


@pytest.mark.parametrize(
    ("chosen", "become", "what"),
    [
        (of("ann", "OrderAmended"), lambda _: [], "ann: event 4 came where 3 was due"),
        (of("ann", "OrderFilled"), lambda _: [], "ann did not hear its last events"),
        (of("ann", "OrderAmended"), lambda line: [line, line], "ann: event 3 came where 4 was due"),
        (of("ben", "OrderFilled"), lambda line: [line | {"event": line["event"] | {"trade_id": 9}}], "ben"),
        (of("ben", "s.8"), lambda _: [], "executed, and never told"),
        (of("ben", "s.8"), lambda line: [line | {"reply": line["reply"] | {"status": "rejected"}}], "the journal says"),
        (of("ben", "s.8"), lambda line: [line | {"reply": line["reply"] | {"id": "s.7"}}], "not in the journal"),
    ],
)
def test_what_differs_from_the_journal_is_found(
    path: Path, chosen: Callable[[Line], bool], become: Callable[[Line], list[Line]], what: str
) -> None:
    """An event is missing, repeated or another; an outcome is missing, another, or of another command."""
    replay = lead(path)
    lines = path.read_text().splitlines()
    changed = [become(json.loads(line)) if chosen(json.loads(line)) else [line] for line in lines]
    text = [line if isinstance(line, str) else json.dumps(line) for group in changed for line in group]
    assert text != lines
    path.write_text("".join(line + "\n" for line in text))
    with pytest.raises(AssertionError, match=what):
        read(path).compare(replay, at_rest=True)

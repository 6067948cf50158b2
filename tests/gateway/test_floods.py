"""What becomes of who floods the gateway, and of the venue's own commands. No I/O."""

from __future__ import annotations

import pytest

from exchange.adapters.gateway import GatewayLimits
from exchange.daemon.host import Host
from exchange.messages.admin import RevokeAgent
from exchange.messages.base import VENUE_AGENT
from exchange.messages.reasons import RefusalReason
from tests.gateway.desk import Desk


def flood(desk: Desk, agent: str, count: int, message: bytes = b"{", reply: str | None = None) -> None:
    """Let so many messages of one agent arrive and be looked at."""
    for _ in range(count):
        desk.post(agent, message, reply=reply)
        if desk.host.gateway.queued() > 100:
            desk.turn()
    desk.turn()


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        pytest.param(b"{", None, id="malformed"),
        pytest.param(b"{}", "_INBOX.bob.1", id="foreign reply"),
        pytest.param(b"{}", "", id="no reply"),
        pytest.param(b" " * 600_000, None, id="too large"),
    ],
)
def test_who_floods_is_shut_out_and_reported(message: bytes, reply: str | None) -> None:
    """After so many messages for nothing an agent's are dropped unread and unanswered; a second later not."""
    desk = Desk(GatewayLimits(refusals_per_s=10, refusals_burst=50))
    desk.open_market("alice", "bob")
    reported: list[str] = []
    desk.host.gateway.on_flood = reported.append
    flood(desk, "alice", 50, message, reply)
    assert reported == []
    flood(desk, "alice", 1, message, reply)
    assert reported == ["alice"]
    answered = len(desk.refused)
    flood(desk, "alice", 500)
    desk.post("alice", desk.order("alice"))
    assert desk.turn().batch.submissions == []
    assert (len(desk.refused), reported) == (answered, ["alice"])
    assert desk.host.gateway.dropped["flooding"] >= 500
    assert desk.do("bob", desk.order("bob"))["status"] == "accepted"
    desk.now_s += 1.0
    assert desk.do("alice", desk.order("alice"))["status"] == "accepted"
    flood(desk, "alice", 60)
    assert reported == ["alice", "alice"]


def test_nobody_is_reported_for_what_a_closed_venue_refuses() -> None:
    """While the journal does not answer, trading on looks like a flood; it is dropped, but cuts nobody off."""
    desk = Desk(GatewayLimits(refusals_per_s=10, refusals_burst=50))
    desk.open_market("alice", "bob")
    reported: list[str] = []
    gateway = desk.host.gateway
    gateway.on_flood = reported.append
    gateway.closed = RefusalReason.JOURNAL_UNAVAILABLE
    for _ in range(200):
        desk.post("alice", desk.order("alice"))
    assert (gateway.refusals["journal_unavailable"], gateway.dropped["flooding"], reported) == (51, 149, [])
    gateway.closed = None
    desk.now_s += 1.0
    assert desk.do("alice", desk.order("alice"))["status"] == "accepted"
    flood(desk, "alice", 60)
    assert reported == ["alice"]


def test_what_a_flooder_has_waiting_is_dropped() -> None:
    """Its queue is emptied at once, so that the others' batches do not wait for it, and the turns go on."""
    desk = Desk(GatewayLimits(refusals_per_s=10, refusals_burst=50, queue_messages_max=200, queries_queue_max=20))
    desk.open_market("alice", "bob")
    for _ in range(200):
        desk.post("alice", b"{}")
    for _ in range(20):
        desk.host.gateway.receive_query("exchange.v1.query.alice.venue", "_INBOX.alice.q", b"{}")
    desk.post("bob", desk.order("bob"))
    for _ in range(51):
        desk.post("alice", b"{}")
    gateway = desk.host.gateway
    assert (gateway.queued(), gateway.has_queries(), gateway.dropped["flooding"]) == (1, False, 220)
    assert [sender for sender, _, _ in desk.turn().batch.submissions] == ["bob"]
    assert not gateway.has_commands()


def test_a_stranger_with_a_credential_can_flood_no_more_than_others() -> None:
    """Who is not registered is shut out and reported like anybody."""
    desk = Desk(GatewayLimits(refusals_per_s=10, refusals_burst=50))
    reported: list[str] = []
    desk.host.gateway.on_flood = reported.append
    for _ in range(51):
        desk.post("carol", desk.order("carol"))
    assert reported == ["carol"]
    answered = len(desk.refused)
    for _ in range(100):
        desk.post("carol", desk.order("carol"))
    assert (len(desk.refused), reported) == (answered, ["carol"])
    desk.now_s += 1.0
    desk.open_market("carol")
    assert desk.do("carol", desk.order("carol"))["status"] == "accepted"


def test_an_agent_at_its_rate_is_no_flooder() -> None:
    """What is accepted costs no patience, however much it is."""
    desk = Desk(GatewayLimits(refusals_per_s=10, refusals_burst=50, commands_per_s=1_000, commands_burst=1_000))
    desk.open_market("alice")
    reported: list[str] = []
    desk.host.gateway.on_flood = reported.append
    for _ in range(20):
        for _ in range(100):
            desk.post("alice", desk.order("alice"))
        desk.turn()
        desk.now_s += 0.1
    assert reported == []
    assert desk.refused == []


def test_the_venue_gives_commands_of_its_own() -> None:
    """They run behind the agents' of the same batch, without rights or ids, and are replayed like any other."""
    desk = Desk()
    desk.open_market("alice", "bob")
    desk.host.submit(RevokeAgent(id="guard.1", valid_until_us=0, agent="alice"))
    assert desk.host.has_own()
    desk.post("bob", desk.order("bob"))
    step = desk.turn()
    assert [sender for sender, _, _ in step.batch.submissions] == ["bob", VENUE_AGENT]
    assert [subject for subject, _ in desk.host.replies(step)] == ["_INBOX.bob.1"]
    assert not desk.host.has_own()
    assert desk.engine.agents["alice"].state == "revoked"
    assert {agent for agent, _, _, _ in step.outputs.events} == {"alice", "bob"}
    assert desk.engine.check_invariants() == []
    again = Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0)
    for body in desk.bodies:
        again.replay(body)
    assert again.engine.state_hash() == desk.engine.state_hash()

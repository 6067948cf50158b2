"""Commands that broke the engine before do not come as far as the journal; everybody else goes on."""

from __future__ import annotations

import msgspec
import pytest

from exchange.mechanisms.quarantine import quarantine_digest
from exchange.messages import command_union
from exchange.messages.admin import QuarantineCommand
from exchange.messages.base import VENUE_AGENT
from exchange.messages.orders import GetBook
from tests.gateway.desk import OPERATOR, Desk, encode

_canonical = msgspec.msgpack.Encoder().encode


@pytest.fixture
def desk() -> Desk:
    """Return a venue with a market, and agents of two owners."""
    desk = Desk()
    desk.open_market("alice", "bob")
    return desk


def quarantine(desk: Desk, agent: str, message: dict[str, object]) -> str:
    """Let the venue quarantine a command; return its digest."""
    command = msgspec.json.decode(encode(message), type=command_union())
    digest = quarantine_digest(agent, _canonical(command))
    order = QuarantineCommand(
        id="venue.1", valid_until_us=0, digest=digest, agent=agent, command=command.id, tag=str(message["type"]),
        error="Boom()",
    )  # fmt: skip
    body = _canonical(order)
    desk._keep(desk.host.apply([(VENUE_AGENT, order, body)], [], desk.time_us + 1, desk.engine.epoch))
    return digest


def test_a_quarantined_command_is_refused(desk: Desk) -> None:
    """However often it comes, until an operator releases it; the same from another, or anything else, is taken."""
    poison = desk.order("alice")
    digest = quarantine(desk, "alice", poison)
    records = len(desk.bodies)
    for _ in range(3):
        answer = desk.do("alice", poison)
        assert (answer["type"], answer["reason"], answer["id"]) == ("refusal", "quarantined", poison["id"])
        assert digest in answer["detail"]
    assert desk.host.gateway.refusals["quarantined"] == 3
    assert all(b"orders.place" not in body for body in desk.bodies[records:])
    assert desk.do("bob", {**poison, "id": "s.1"})["status"] == "accepted"
    assert desk.do("alice", desk.order("alice"))["status"] == "accepted"
    desk.must(OPERATOR, "admin.release_command", digest=digest)
    assert desk.do("alice", poison)["status"] == "accepted"


def test_one_in_an_array_refuses_the_array(desk: Desk) -> None:
    """Nothing of it runs, and whoever else is in the batch is none the worse."""
    good, poison = desk.order("alice"), desk.order("alice")
    quarantine(desk, "alice", poison)
    desk.post("alice", [good, poison])
    desk.post("bob", desk.order("bob"))
    step = desk.turn()
    assert [agent for agent, _, _ in step.batch.submissions] == ["bob"]
    assert [refusal["reason"] for _, refusal in desk.refused] == ["quarantined"]
    assert desk.do("alice", good)["status"] == "accepted"


def test_what_has_run_still_gets_its_outcome(desk: Desk) -> None:
    """An owner may try nothing new, but repeats what was done before and hears how it went."""
    done = desk.order("alice")
    answer = desk.do("alice", done)
    for _ in range(3):
        quarantine(desk, "alice", desk.order("alice"))
    assert desk.do("alice", done) == answer
    assert desk.do("alice", [done]) == [answer]
    assert desk.do("alice", desk.order("alice"))["reason"] == "quarantined"
    assert desk.do("bob", desk.order("bob"))["status"] == "accepted"


def test_a_query_that_breaks_its_reader_is_refused(desk: Desk) -> None:
    """However often it is asked; a query changes nothing, so the venue goes on, and others are answered."""

    def read_badly(agent: object, query: object) -> None:
        message = "planted"
        raise ZeroDivisionError(message)

    desk.engine._readers[GetBook] = read_badly  # type: ignore[assignment]
    before = desk.engine.state_hash()
    for _ in range(3):
        (answer,) = desk.ask("alice", {"type": "orders.book", "market": "cpu"})
        assert (answer["type"], answer["reason"]) == ("refusal", "unanswerable")
        assert "planted" not in answer["detail"]
    assert desk.engine.state_hash() == before
    (answer,) = desk.ask("bob", {"type": "venue.status"})
    assert answer["suspended"] == []
    desk.must(OPERATOR, "admin.suspend_mechanism", family="orders")
    (answer,) = desk.ask("bob", {"type": "venue.status"})
    assert answer["suspended"] == ["orders"]

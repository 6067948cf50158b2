"""What the gateway lets in, what it refuses, and that refusing changes nothing."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from exchange.adapters.gateway import BATCH_BYTES_MAX, BATCH_COMMANDS_MAX, GatewayLimits
from exchange.messages import COMMANDS, QUERIES
from tests.gateway.desk import OPERATOR, SECOND_US, Desk

FUZZ = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def desk() -> Desk:
    """Return a host with market ``cpu`` and the agents alice and bob."""
    desk = Desk()
    desk.open_market("alice", "bob")
    return desk


def assert_alive(desk: Desk) -> None:
    """Assert that bob's next order is accepted."""
    answer = desk.do("bob", desk.order("bob"))
    assert answer["type"] == "outcome", answer
    assert answer["status"] == "accepted", answer


def assert_refused(desk: Desk, reason: str, message: Any, **how: Any) -> dict[str, Any]:
    """Assert that alice's message is refused for ``reason``, nothing changed, and the gateway lives."""
    before, records, counted = (
        desk.engine.business_hash(),
        len(desk.bodies),
        desk.host.gateway.refusals.get(reason, 0),
    )
    refused = len(desk.refused)
    desk.post("alice", message, **how)
    step = desk.turn()
    assert step.batch.submissions == []
    assert step.pending == []
    answers = desk.refused[refused:]
    assert [subject for subject, _ in answers] == ["_INBOX.alice.1"]
    refusal = answers[0][1]
    assert (refusal["type"], refusal["reason"]) == ("refusal", reason), refusal
    assert refusal["detail"]
    assert desk.host.gateway.refusals[reason] == counted + 1
    assert desk.engine.business_hash() == before
    assert len(desk.bodies) == records + 1
    assert_alive(desk)
    return dict(refusal)


# ── the form of a message ───────────────────────────────────────────────────────────────────────

ORDER = '"market":"cpu","side":"buy","quantity":1,"price":100'
HEAD = '"type":"orders.place","id":"s.1","valid_until_us":1795000005000000'
GOOD = "{" + HEAD + "," + ORDER + "}"


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut short"),
        pytest.param(GOOD[:-1].encode(), id="without its end"),
        pytest.param((GOOD + "x").encode(), id="more after its end"),
        pytest.param((GOOD + GOOD).encode(), id="twice"),
        pytest.param((" [" + GOOD + "]").encode(), id="blank before an array"),
        pytest.param(b"\xef\xbb\xbf" + GOOD.encode(), id="byte order mark"),
        pytest.param(GOOD.encode("utf-16"), id="UTF-16"),
        pytest.param(GOOD.replace("cpu", "c\xffu").encode("latin-1"), id="invalid UTF-8 in a value"),
        pytest.param(GOOD.replace("market", "m\xff").encode("latin-1"), id="invalid UTF-8 in a key"),
        pytest.param(b"\xff\xfe\xfd", id="no text at all"),
        pytest.param(GOOD.replace('"cpu"', '"\\ud800"').encode(), id="half a surrogate pair"),
        pytest.param(GOOD.replace('"cpu"', '"\\udc00\\ud800"').encode(), id="surrogates the wrong way round"),
        pytest.param(GOOD.replace("cpu", "c\npu").encode(), id="newline in a string"),
        pytest.param(b"null", id="null"),
        pytest.param(b"true", id="true"),
        pytest.param(b"17", id="a number"),
        pytest.param(b'"orders.place"', id="a string"),
        pytest.param(b"{}", id="an empty object"),
        pytest.param(b"[" * 100_000, id="deep arrays"),
        pytest.param(b"[" * 200 + b"]" * 200, id="arrays in arrays"),
        pytest.param(b'{"a":' * 80_000 + b"1" + b"}" * 80_000, id="deep objects"),
        pytest.param((GOOD[:-1] + ',"x":' + "[" * 50_000 + "]" * 50_000 + "}").encode(), id="deep unknown field"),
        pytest.param((GOOD[:-1] + ',"sender":"bob"}').encode(), id="unknown field"),
        pytest.param((GOOD[:-1] + ',"agent":"bob"}').encode(), id="a field that names the sender"),
        pytest.param(GOOD.replace(',"side":"buy"', "").encode(), id="missing field"),
        pytest.param(GOOD.replace('"id":"s.1",', "").encode(), id="missing id"),
        pytest.param(GOOD.replace('"type":"orders.place",', "").encode(), id="missing type"),
        pytest.param(GOOD.replace("orders.place", "orders.steal").encode(), id="unknown tag"),
        pytest.param(GOOD.replace("orders.place", "orders.book").encode(), id="the tag of a query"),
        pytest.param(GOOD.replace("orders.place", "orders.placed").encode(), id="the tag of an event"),
        pytest.param(GOOD.replace('"orders.place"', "7").encode(), id="a tag that is a number"),
        pytest.param(GOOD.replace('"buy"', '"BUY"').encode(), id="unknown side"),
        pytest.param(GOOD.replace('"cpu"', "7").encode(), id="number for a string"),
        pytest.param(GOOD.replace('"cpu"', '""').encode(), id="empty string"),
        pytest.param(GOOD.replace('"cpu"', '"' + "x" * 33 + '"').encode(), id="long string"),
        pytest.param(GOOD.replace('"cpu"', '"' + "x" * 500_000 + '"').encode(), id="huge string"),
        pytest.param(GOOD.replace('"cpu"', "null").encode(), id="null for a string"),
        pytest.param(GOOD.replace('"s.1"', '"' + "s" * 47 + '.1"').encode(), id="long id"),
        pytest.param(GOOD.replace('"s.1"', '"s"').encode(), id="short id"),
        *(
            pytest.param(GOOD.replace('"price":100', f'"price":{value}').encode(), id=f"price {value[:20]}")
            for value in (
                "0", "-1", "1.5", "100.0", "1e2", "1e400", "-1e400", "NaN", "Infinity", "-Infinity", "01", "+1", "0x10",
                '"100"', "true", "null1", "[100]", "{}", str(2**53), str(2**63), str(2**64), str(-(2**63) - 1),
                "9" * 400, "9" * 5_000,
            )
        ),
        pytest.param(GOOD.replace("1795000005000000", "-1").encode(), id="negative time"),
        pytest.param(GOOD.replace("1795000005000000", str(2**53)).encode(), id="time beyond 2^53"),
    ],
)  # fmt: skip
def test_malformed_messages_are_refused(desk: Desk, payload: bytes) -> None:
    """What is not exactly a command is refused as malformed, with a short detail, and changes nothing."""
    refusal = assert_refused(desk, "malformed", payload, family="orders")
    assert len(refusal["detail"]) <= 300


@pytest.mark.parametrize(
    "twice",
    [
        GOOD[:-1] + ',"quantity":2}',
        GOOD[:-1] + ',"id":"s.9"}',
        GOOD[:-1] + ',"type":"orders.cancel"}',
        GOOD.replace('"id":"s.1"', '"id":"s.1","id":"s.1"'),
    ],
)
def test_a_repeated_key_is_one_command_at_most(desk: Desk, twice: str) -> None:
    """Duplicate keys are refused, or one of them counts: never an exception, never two commands."""
    desk.post("alice", twice.encode(), family="orders")
    step = desk.turn()
    assert len(step.batch.submissions) + len(desk.refused) == 1
    assert_alive(desk)


# ── arrays ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("depth", [17, 300, 450, 10_000])
def test_a_condition_that_is_nested_too_deeply_is_refused(desk: Desk, depth: int) -> None:
    """It never gets into the journal, where whoever reads it back might have less stack than the gateway."""
    condition = '{"type":"any","of":[' * depth + '{"type":"time","at_us":1}' + "]}" * depth
    part = {"name": "a", "assignee": "bob", "share": 1, "deliver_by_us": desk.time_us + 2 * SECOND_US}
    due = {"sign_by_us": desk.time_us + SECOND_US, "evaluate_by_us": desk.time_us + 2 * SECOND_US}
    command = desk.command("alice", "contracts.propose", title="deep", parts=[part], condition=None, **due)
    payload = json.dumps(command).replace("null", condition)
    assert "nested" in assert_refused(desk, "malformed", payload.encode(), family="contracts")["detail"]


def test_an_empty_array_is_refused(desk: Desk) -> None:
    """An array of no commands has nothing to answer."""
    assert_refused(desk, "too_many_commands", [])


def test_an_array_of_a_thousand_is_the_most(desk: Desk) -> None:
    """1,000 commands are taken and answered in order, 1,001 are refused whole."""
    assert_refused(desk, "too_many_commands", [desk.order("alice") for _ in range(1_001)])
    commands = [desk.order("alice") for _ in range(1_000)]
    answers = desk.do("alice", commands)
    assert [answer["id"] for answer in answers] == [command["id"] for command in commands]
    assert {answer["status"] for answer in answers} == {"accepted"}


@pytest.mark.parametrize("at", [0, 5, 9])
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (17, "malformed"),
        ({}, "malformed"),
        ({"type": "orders.place"}, "malformed"),
        ({"type": "orders.steal"}, "malformed"),
        ([], "malformed"),
        (
            {
                "type": "admin.halt_agent",
                "id": "s.99",
                "valid_until_us": 1_795_000_001_000_000,
                "agent": "bob",
            },
            "wrong_family",
        ),
    ],
)
def test_one_bad_element_refuses_the_whole_array(desk: Desk, bad: Any, reason: str, at: int) -> None:
    """Nothing of an array runs when one element is wrong."""
    commands: list[Any] = [desk.order("alice") for _ in range(9)]
    commands.insert(at, bad)
    assert_refused(desk, reason, commands, family="orders")
    assert desk.ask("alice", {"type": "orders.list"})[0]["orders"] == []


def test_an_array_is_not_atomic(desk: Desk) -> None:
    """Elements that a rule rejects leave the others alone; one past its time is rejected by the engine."""
    commands = [
        desk.order("alice"),
        desk.order("alice", price=10**15),
        desk.order("alice", valid_until_us=1),
        desk.order("alice"),
    ]
    answers = desk.do("alice", commands)
    assert [answer["status"] for answer in answers] == ["accepted", "rejected", "rejected", "accepted"]
    assert answers[2]["reason"] == "expired"


# ── who, where to, when ─────────────────────────────────────────────────────────────────────────


def test_a_command_of_another_family_is_refused(desk: Desk) -> None:
    """The subject's family and the tag's must agree, also when the family does not exist."""
    assert_refused(desk, "wrong_family", desk.order("alice"), family="admin")
    assert_refused(desk, "wrong_family", desk.order("alice"), family="nonsense")
    assert_refused(desk, "wrong_family", [desk.order("alice")], family="venue")


@pytest.mark.parametrize(
    "subject",
    [
        "", "x", "exchange.v1.cmd", "exchange.v1.cmd.", "exchange.v1.cmd.alice", "exchange.v1.cmd.alice.",
        "exchange.v1.cmd..orders",
        "exchange.v1.cmd.alice.orders.more", "exchange.v2.cmd.alice.orders", "exchange.v1.query.alice.orders",
    ],
)  # fmt: skip
def test_other_subjects_are_dropped(desk: Desk, subject: str) -> None:
    """A message on no agent's subject is dropped and counted; nobody gets an answer."""
    before = desk.engine.business_hash()
    desk.host.gateway.receive_command(subject, "_INBOX.alice.1", json.dumps(desk.order("alice")).encode())
    assert desk.turn().batch.submissions == []
    assert desk.refused == []
    assert sum(desk.host.gateway.dropped.values()) == 1
    assert desk.engine.business_hash() == before
    assert_alive(desk)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "_INBOX.bob.1",
        "_INBOX.alice",
        "_INBOX.alicex.1",
        "_INBOX.",
        "x",
        "exchange.v1.cmd.bob.orders",
        "_inbox.alice.1",
    ],
)
def test_replies_go_to_the_sender_only(desk: Desk, reply: str) -> None:
    """A message that wants its answer elsewhere is dropped and counted, and nobody gets an answer."""
    before = desk.engine.business_hash()
    for message in (desk.order("alice"), b"\xff", [desk.order("alice")]):
        desk.post("alice", message, family="orders", reply=reply)
    assert desk.ask("alice", {"type": "venue.hello"}, reply=reply) == []
    assert desk.turn().batch.submissions == []
    assert desk.refused == []
    assert desk.host.gateway.dropped == {"bad_reply_subject": 4}
    assert desk.engine.business_hash() == before
    assert_alive(desk)


def test_an_unregistered_agent_is_told_so(desk: Desk) -> None:
    """Whoever is not registered gets an answer to commands and queries, but only in its own inbox."""
    before = desk.engine.business_hash()
    desk.post("mallory", desk.order("mallory"))
    desk.post("mallory", desk.order("mallory"), reply="_INBOX.bob.1")
    answers = desk.ask("mallory", {"type": "venue.hello"})
    assert [refusal["reason"] for _, refusal in desk.refused] == ["unknown_agent"] * 2
    assert {subject.rpartition(".")[0] for subject, _ in desk.refused} == {"_INBOX.mallory"}
    assert answers[0]["reason"] == "unknown_agent"
    assert sum(desk.host.gateway.dropped.values()) == 1
    assert desk.turn().batch.submissions == []
    assert desk.engine.business_hash() == before
    assert_alive(desk)


def test_the_venue_itself_is_nobody(desk: Desk) -> None:
    """Nobody acts as the venue by its own name, nor creates a second genesis."""
    desk.post("$venue", desk.order("alice"))
    assert desk.refused[-1][1]["reason"] == "unknown_agent"
    genesis = {
        "type": "admin.genesis",
        "id": "g.1",
        "valid_until_us": desk.time_us + 1_000,
        "supply": 1,
        "operator": "alice",
    }
    before = desk.engine.business_hash()
    assert desk.do(OPERATOR, genesis)["status"] == "rejected"
    assert desk.engine.business_hash() == before


def test_a_revoked_agent_is_refused(desk: Desk) -> None:
    """After its revocation nothing of an agent reaches the journal."""
    desk.must("alice", "orders.place", market="cpu", side="buy", quantity=1, price=100)
    desk.must(OPERATOR, "admin.revoke_agent", agent="alice")
    assert_refused(desk, "agent_revoked", desk.order("alice"))
    assert_refused(desk, "agent_revoked", [desk.order("alice")])


def test_a_command_is_taken_in_its_time_only(desk: Desk) -> None:
    """Past ``valid_until_us`` or more than 60 s before it nothing is done; the bounds themselves count."""
    now = desk.time_us + 1
    late = assert_refused(desk, "expired", desk.order("alice", valid_until_us=now - 1))
    assert late["id"]
    now = desk.time_us + 1
    assert_refused(desk, "valid_until_too_far", desk.order("alice", valid_until_us=now + 60 * SECOND_US + 1))
    for bound in (desk.time_us + 1, desk.time_us + 2 + 60 * SECOND_US):
        assert desk.do("alice", desk.order("alice", valid_until_us=bound))["status"] == "accepted"


def test_a_late_copy_gets_the_original_outcome(desk: Desk) -> None:
    """A retry of a known id after its time is answered as the first time; nothing is done again."""
    command = desk.order("alice")
    desk.post("alice", command)
    desk.turn()
    replies = [payload for subject, payload in desk.released if subject == "_INBOX.alice.1"]
    desk.turn(after_us=20 * SECOND_US)
    before = desk.engine.business_hash()
    for message in (command, [command]):
        desk.post("alice", message)
        desk.turn()
        again = [payload for subject, payload in desk.released if subject == "_INBOX.alice.1"][-1]
        assert again.strip(b"[]") == replies[-1]
    other = {**command, "quantity": 2}
    assert desk.do("alice", other)["reason"] == "duplicate_id"
    assert desk.do("alice", {**command, "id": "s.77"})["reason"] == "expired"
    assert desk.engine.business_hash() == before
    assert len(desk.ask("alice", {"type": "orders.list"})[0]["orders"]) == 1


@pytest.mark.parametrize(
    "text",
    ["s.0", "s.-1", "s.x", "s.1.5", "abc", ".17", "s.\u0663", "s.\u00b2", "s." + "9" * 40, "s. 1", "s.1 "],
)
def test_ids_that_are_no_ids_are_rejected(desk: Desk, text: str) -> None:
    """An id without a session or a number is rejected, whatever its time; nothing is remembered of it."""
    desk.must("alice", "orders.place", market="cpu", side="buy", quantity=1, price=100)
    before = desk.engine.business_hash()
    for valid_until_us in (desk.time_us + SECOND_US, 1, desk.time_us + 3_600 * SECOND_US):
        answer = desk.do("alice", desk.order("alice", id=text, valid_until_us=valid_until_us))
        if text == "s.1.5":
            continue  # session ``s.1``, number 5
        assert answer.get("status") == "rejected" or answer["type"] == "refusal", answer
    if text != "s.1.5":
        assert desk.engine.business_hash() == before
    assert desk.ask("alice", {"type": "venue.outcome", "id": text, "valid_until_us": 1})[0]["type"] in {
        "outcome_result",
        "refusal",
    }
    assert_alive(desk)


# ── how much ────────────────────────────────────────────────────────────────────────────────────


def test_a_large_message_is_refused_unread(desk: Desk) -> None:
    """A payload above the limit is refused at once; one of exactly the limit is looked at."""
    limit = GatewayLimits().payload_bytes_max
    good = json.dumps(desk.order("alice")).encode()
    assert_refused(desk, "too_large", good.ljust(limit + 1))
    desk.post("alice", good.ljust(limit), family="orders")
    assert len(desk.turn().batch.submissions) == 1


def test_the_bucket_counts_commands_not_messages() -> None:
    """An array takes as many tokens as it has commands; tokens come back with time, up to the burst."""
    desk = Desk(GatewayLimits(commands_per_s=10, commands_burst=25))
    desk.now_s = 100.0
    desk.open_market("alice", "bob")
    for agent in ("alice", "bob"):
        assert isinstance(desk.do(agent, [desk.order(agent) for _ in range(5)]), list)
    assert isinstance(desk.do("alice", [desk.order("alice") for _ in range(20)]), list)
    refusal = assert_refused(desk, "rate_limited", desk.order("alice"))
    assert refusal["id"]
    assert_refused(desk, "rate_limited", [desk.order("alice") for _ in range(25)])
    desk.now_s += 0.5
    assert isinstance(desk.do("alice", [desk.order("alice") for _ in range(5)]), list)
    assert_refused(desk, "rate_limited", desk.order("alice"))
    desk.now_s += 1_000.0
    assert_refused(desk, "rate_limited", [desk.order("alice") for _ in range(26)])
    assert isinstance(desk.do("alice", [desk.order("alice") for _ in range(25)]), list)


def test_refused_messages_cost_no_tokens() -> None:
    """What is malformed takes nothing from the bucket of the agent that is named."""
    desk = Desk(GatewayLimits(commands_per_s=1, commands_burst=20))
    desk.open_market("alice", "bob")
    for _ in range(50):
        assert_refused_quietly(desk, b"{")
    assert desk.do("alice", desk.order("alice"))["status"] == "accepted"


def assert_refused_quietly(desk: Desk, payload: bytes) -> None:
    """Assert that alice's payload is refused."""
    refused = len(desk.refused)
    desk.post("alice", payload, family="orders")
    desk.turn()
    assert len(desk.refused) == refused + 1


def test_a_full_queue_refuses_only_its_owner() -> None:
    """Beyond so many messages, or bytes, the sender is refused; others are served; room comes back."""
    desk = Desk(GatewayLimits(queue_messages_max=3, queue_bytes_max=10_000))
    desk.open_market("alice", "bob")
    for _ in range(5):
        desk.post("alice", desk.order("alice"))
    assert [refusal["reason"] for _, refusal in desk.refused] == ["queue_full"] * 2
    desk.post("bob", desk.order("bob"))
    assert len(desk.turn().batch.submissions) == 4
    big = json.dumps(desk.order("alice")).encode().ljust(6_000)
    desk.post("alice", big, family="orders")
    desk.post("alice", big, family="orders")
    assert desk.host.gateway.refusals == {"queue_full": 3}
    assert len(desk.turn().batch.submissions) == 1
    assert desk.do("alice", desk.order("alice"))["status"] == "accepted"


def test_a_closed_gateway_says_why(desk: Desk) -> None:
    """While the journal takes nothing, commands are refused at once; later they are taken again."""
    from exchange.messages.reasons import RefusalReason

    desk.host.gateway.closed = RefusalReason.JOURNAL_UNAVAILABLE
    command = desk.order("alice")
    desk.post("alice", command)
    assert desk.refused[-1][1]["reason"] == "journal_unavailable"
    assert not desk.host.gateway.has_commands()
    desk.host.gateway.closed = None
    assert desk.do("alice", command)["status"] == "accepted"


# ── queries ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "malformed"),
        (b"\xff", "malformed"),
        (b"[" * 100_000, "malformed"),
        (b'{"type":"venue.steal"}', "malformed"),
        (b'{"type":"venue.hello","x":1}', "malformed"),
        (b'{"type":"orders.place"}', "malformed"),
        (b'{"type":"venue.events"}', "malformed"),
        (b'{"type":"venue.events","since":1.5}', "malformed"),
        (b'{"type":"venue.events","since":1e400}', "malformed"),
        (b'[{"type":"venue.hello"}]', "malformed"),
        (b'{"type":"orders.book","market":"cpu"}', "wrong_family"),
        (b"x" * 600_000, "too_large"),
    ],
)
def test_bad_queries_are_refused(desk: Desk, payload: bytes, reason: str) -> None:
    """A query that cannot be read is refused and changes nothing."""
    before = desk.engine.business_hash()
    answers = desk.ask("alice", payload)
    assert [(answer["type"], answer["reason"]) for answer in answers] == [("refusal", reason)]
    assert desk.engine.business_hash() == before
    assert_alive(desk)


def test_queries_have_a_bucket_and_a_queue_of_their_own() -> None:
    """Too many queries are refused; commands go on; the others are served in turn."""
    desk = Desk(GatewayLimits(queries_per_s=1, queries_burst=10, queries_queue_max=4))
    desk.open_market("alice", "bob")
    gateway = desk.host.gateway
    for _ in range(6):
        gateway.receive_query("exchange.v1.query.alice.venue", "_INBOX.alice.1", b'{"type":"venue.hello"}')
    gateway.receive_query("exchange.v1.query.bob.venue", "_INBOX.bob.1", b'{"type":"venue.hello"}')
    assert gateway.refusals == {"queue_full": 2}
    assert [subject for subject, _ in desk.host.answer_queries(2)] == ["_INBOX.alice.1", "_INBOX.bob.1"]
    assert len(desk.host.answer_queries(100)) == 3
    for _ in range(6):
        desk.ask("alice", {"type": "venue.hello"})
    assert desk.ask("alice", {"type": "venue.hello"})[0]["reason"] == "rate_limited"
    assert desk.do("alice", desk.order("alice"))["status"] == "accepted"


# ── fairness and cuts ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("flood", ["single commands", "arrays", "garbage"])
def test_a_flood_does_not_hold_up_the_quiet(flood: str) -> None:
    """However much one agent sends, every batch holds what the ten quiet ones sent before it."""
    quiet = [f"quiet{n}" for n in range(10)]
    desk = Desk()
    desk.open_market("flood", *quiet)
    for _ in range(5):
        for _ in range(4_000):
            if flood == "single commands":
                desk.post("flood", desk.order("flood"))
            elif flood == "garbage":
                desk.post("flood", b"[" * 50, family="orders")
        if flood == "arrays":
            for _ in range(20):
                desk.post("flood", [desk.order("flood") for _ in range(1_000)])
        for agent in quiet:
            desk.post(agent, desk.order(agent))
        batch = desk.turn().batch
        assert {agent for agent, _, _ in batch.submissions if agent != "flood"} == set(quiet)
        assert len(batch.submissions) <= BATCH_COMMANDS_MAX


def test_a_batch_is_cut_at_two_thousand_commands() -> None:
    """More wait for the next batch; nothing is lost and each agent's order is kept."""
    desk = Desk()
    desk.open_market("alice", "bob")
    sent: dict[str, list[str]] = {"alice": [], "bob": []}
    for n in range(2_500):
        for agent in ("alice", "bob"):
            command = desk.order(agent, price=1 + n % 7)
            sent[agent].append(command["id"])
            desk.post(agent, command)
    sizes = []
    seen: dict[str, list[str]] = {"alice": [], "bob": []}
    while desk.host.gateway.has_commands():
        batch = desk.turn().batch
        sizes.append(len(batch.submissions))
        for agent, command, _ in batch.submissions:
            seen[agent].append(command.id)
    assert sizes == [2_000, 2_000, 1_000]
    assert seen == sent


@pytest.mark.parametrize("mix", [[1_000, 1_000, 1_000], [1, 1_000, 1_000], [999, 1_000, 1], [1_000, 1] * 5])
def test_arrays_never_push_a_batch_over_the_cut(mix: list[int]) -> None:
    """Arrays stay whole, and a batch holds 2,000 commands at most."""
    desk = Desk()
    desk.open_market("alice", "bob")
    for count in mix:
        for agent in ("alice", "bob"):
            desk.post(agent, [desk.order(agent) for _ in range(count)])
    total = 0
    for _ in range(100):
        if not desk.host.gateway.has_commands():
            break
        batch = desk.turn().batch
        assert 0 < len(batch.submissions) <= BATCH_COMMANDS_MAX
        total += len(batch.submissions)
    assert total == 2 * sum(mix)


def test_a_batch_is_cut_at_half_a_megabyte() -> None:
    """The message that reaches 512 KiB is the last of its batch, so a record is below 1 MiB and a bit."""
    desk = Desk()
    desk.open_market("alice", "bob")
    label = "\u00e9" * 64
    for _ in range(10):
        for agent in ("alice", "bob"):
            orders = [desk.order(agent, client_order_id=label[:-4] + f"{n:04}") for n in range(900)]
            desk.post(agent, orders)
    applied = 0
    while desk.host.gateway.has_commands():
        step = desk.turn()
        sizes = [len(body) for _, _, body in step.batch.submissions]
        counts = [message.total for message in step.pending]
        assert sum(sizes[: -counts[-1]]) < BATCH_BYTES_MAX
        assert len(step.body) < 2 * BATCH_BYTES_MAX
        applied += len(sizes)
    assert applied == 2 * 10 * 900


# ── fuzz ────────────────────────────────────────────────────────────────────────────────────────


class Fuzzed:
    """Hold one desk for many examples: building it costs more than an example."""

    desk: Desk | None = None

    @classmethod
    def get(cls) -> Desk:
        """Return the desk."""
        if cls.desk is None:
            cls.desk = Desk(GatewayLimits(commands_burst=10**9, queries_burst=10**9))
            cls.desk.open_market("alice", "bob")
        return cls.desk


def survives(payload: bytes, family: str = "orders", agent: str = "alice") -> None:
    """Let a payload arrive as command and as query: nothing raises, and what is refused changes nothing."""
    desk = Fuzzed.get()
    before = desk.engine.business_hash()
    desk.refused.clear()
    desk.post(agent, payload, family=family)
    step = desk.turn()
    assert len(step.pending) + len(desk.refused) == 1
    if not step.pending:
        assert desk.engine.business_hash() == before
    before = desk.engine.business_hash()
    assert len(desk.ask(agent, payload, family=family)) == 1
    assert desk.engine.business_hash() == before


@FUZZ
@given(st.binary(max_size=200))
def test_any_bytes_are_survived(payload: bytes) -> None:
    """Random bytes never raise."""
    survives(payload)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
tags = st.sampled_from([*COMMANDS, *QUERIES])
families = st.sampled_from(["orders", "admin", "venue"])
odd_values = st.one_of(
    st.integers(),
    st.sampled_from([0, -1, 1, 2, 2**31, 2**53 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**40]),
    st.sampled_from(
        [
            "",
            "cpu",
            "alice",
            "bob",
            "operator",
            "credit",
            "buy",
            "sell",
            "s.1",
            "s.2",
            "t.9",
            "gtc",
            "fok",
            "open",
        ]
    ),
    st.sampled_from(
        [
            "treasury",
            "$venue",
            "fees",
            "limit",
            "market",
            "iceberg",
            "stop",
            "budget",
            "x" * 33,
            "\x00",
            "\u0663",
        ]
    ),
    json_values,
)
fields = sorted({name for kind in (*COMMANDS.values(), *QUERIES.values()) for name in kind.__struct_fields__})


@FUZZ
@given(json_values, families)
def test_any_json_is_survived(value: Any, family: str) -> None:
    """Random JSON never raises, NaN and Infinity included."""
    survives(json.dumps(value).encode(), family)


@FUZZ
@given(
    tags,
    st.dictionaries(st.sampled_from(fields), odd_values, max_size=8),
    st.sampled_from(["alice", OPERATOR]),
)
@example("venue.events", {"since": 2**64}, "alice")
@example("venue.outcome", {"id": "a." + "9" * 40, "valid_until_us": 0}, "alice")
@example("orders.trades", {"market": "cpu", "limit": 0}, "alice")
def test_any_fields_are_survived(tag: str, values: dict[str, Any], agent: str) -> None:
    """Every tag with any of the vocabulary's fields, of any value, never raises."""
    survives(json.dumps({**values, "type": tag}).encode(), tag.partition(".")[0], agent)


@FUZZ
@given(tags, st.data(), st.sampled_from(["alice", "bob", OPERATOR]))
def test_well_typed_messages_keep_the_invariants(tag: str, data: st.DataObject, agent: str) -> None:
    """Any message that fits the vocabulary is answered, and money and books stay sound."""
    desk = Fuzzed.get()
    kind = COMMANDS.get(tag) or QUERIES[tag]
    values: dict[str, Any] = {"type": tag}
    for field in msgspec.structs.fields(kind):
        if field.required or data.draw(st.booleans(), label=field.name):
            values[field.name] = data.draw(well_typed(field.name), label=field.name)
    if "id" in values and tag in COMMANDS:
        values["id"] = desk.command(agent, tag)["id"] if data.draw(st.booleans(), label="new id") else "s.1"
    if "valid_until_us" in values:
        values["valid_until_us"] = desk.time_us + data.draw(st.integers(-5, 70), label="validity") * SECOND_US
    survives(json.dumps(values).encode(), tag.partition(".")[0], agent)
    assert desk.engine.conservation_difference() == 0
    assert desk.engine.check_invariants() == []


def well_typed(name: str) -> st.SearchStrategy[Any]:
    """Return values that mostly fit a field of the vocabulary."""
    amounts = st.integers(1, 2_000) | st.sampled_from([1, 100, 10**9, 2**53 - 1])
    known: dict[str, st.SearchStrategy[Any]] = {
        "market": st.sampled_from(["cpu", "gpu", "nowhere"]),
        "base": st.sampled_from(["cpu", "credit", "gpu"]),
        "asset": st.sampled_from(["cpu", "credit", "gpu"]),
        "agent": st.sampled_from(["alice", "bob", "carol", "treasury"]),
        "issuer": st.sampled_from(["alice", OPERATOR, "nobody"]),
        "operator": st.just("alice"),
        "owner": st.sampled_from(["alice", "bob", "x"]),
        "side": st.sampled_from(["buy", "sell"]),
        "order_type": st.sampled_from(["limit", "market", "budget", "stop", "stop_limit", "iceberg"]),
        "time_in_force": st.sampled_from(["gtc", "gtd", "ioc", "fok"]),
        "self_trade_prevention": st.sampled_from(["none", "expire_taker", "expire_maker", "expire_both", "decrement"]),
        "post_only": st.booleans(),
        "state": st.sampled_from(["open", "open", "cancel_only", "halted"]),
        "roles": st.just(["trader"]),
        "skills": st.just(["x"]),
        "settings": st.just({}),
        "settlement": st.just("instant"),
        "client_order_id": st.sampled_from(["a", "b", "\u00e9"]),
        "after": st.sampled_from([0, 5]),
        "price_band_bp": st.integers(0, 10_000),
        "maker_fee_bp": st.integers(0, 10_000),
        "taker_fee_bp": st.integers(0, 10_000),
        "auction_seconds": st.sampled_from([0, 1, 60]),
        "halt_seconds": st.sampled_from([1, 60]),
        "period_seconds": st.sampled_from([60, 86_400]),
        "seconds": st.sampled_from([0, 1, 60]),
        "decimals": st.integers(0, 9),
        "id": st.sampled_from(["s.1", "s.2", "t.1"]),
    }
    return known.get(name, amounts)


mutations = st.lists(
    st.tuples(st.integers(0, 300), st.sampled_from(["flip", "cut", "add", "swap"]), st.integers(0, 255)),
    min_size=1,
    max_size=4,
)


@FUZZ
@given(mutations, st.booleans())
def test_damaged_messages_are_survived(changes: list[tuple[int, str, int]], is_array: bool) -> None:
    """A valid message with some bytes changed, cut out or put in never raises."""
    desk = Fuzzed.get()
    payload = bytearray(json.dumps([desk.order("alice")] if is_array else desk.order("alice")).encode())
    for place, how, byte in changes:
        at = place % max(len(payload), 1)
        if how == "flip" and payload:
            payload[at] ^= byte
        elif how == "cut":
            del payload[at : at + byte % 8]
        elif how == "add":
            payload.insert(at, byte)
        elif payload:
            payload[at], payload[-1 - at] = payload[-1 - at], payload[at]
    survives(bytes(payload))

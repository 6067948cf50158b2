"""Who may say and hear what: a real server and a real daemon against a hostile agent."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import msgspec
import nats.errors
import pytest

from tests.daemon.support import (
    WAIT_S,
    Setting,
    config,
    open_client,
    raw_socket,
    running_daemon,
    set_up_market,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nats.aio.client import Client


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[Setting]:
    """Run a venue with market ``cpu`` and the agents alice and bob."""
    async with running_daemon(config(tmp_path / "venue")) as setting:
        await set_up_market(setting, "alice", "bob")
        yield setting


def order(setting: Setting, n: int, session: str = "raw") -> bytes:
    """Return the bytes of a valid buy order of alice or bob."""
    command = {
        "type": "orders.place",
        "id": f"{session}.{n}",
        "valid_until_us": setting.engine.time_us + 20_000_000,
        "market": "cpu",
        "side": "buy",
        "quantity": 1,
        "price": 1_000_000,
    }
    return msgspec.json.encode(command)


def with_headers(headers: bytes, payload: bytes = b"{}") -> bytes:
    """Return a message of alice with headers as they stand."""
    subjects = b"exchange.v1.cmd.alice.orders _INBOX.alice.1"
    sizes = b"%d %d" % (len(headers), len(headers) + len(payload))
    return b"HPUB " + subjects + b" " + sizes + b"\r\n" + headers + payload + b"\r\n"


async def judged(client: Client) -> None:
    """Wait until the server has judged whatever the client sent."""
    # The first ping may overtake what nats-py still holds back; the second cannot.
    await client.flush(timeout=WAIT_S)
    await client.flush(timeout=WAIT_S)


@pytest.mark.parametrize(
    "subject",
    [
        "exchange.v1.cmd.bob.orders",
        "exchange.v1.query.bob.venue",
        "exchange.v1.cmd.*.orders",
        "exchange.v1.evt.bob",
        "exchange.v1.evt.alice",
        "exchange.v1.md.cpu.bbo",
        "exchange.v1.md._venue",
        "exchange.v1.journal",
        "_INBOX.bob.1",
        "_INBOX.gateway.1",
        "$JS.API.INFO",
        "$JS.API.STREAM.PURGE.JOURNAL",
        "$JS.API.STREAM.MSG.GET.JOURNAL",
        "$SYS.REQ.ACCOUNT.PING",
    ],
)
async def test_alice_publishes_only_on_her_own_subjects(venue: Setting, subject: str) -> None:
    """What alice sends as somebody else is refused by the server and never reaches the engine."""
    async with open_client(venue.url, venue.creds("alice"), "alice") as (client, errors):
        before = venue.engine.business_hash(), dict(venue.gateway.refusals)
        await client.publish(subject, order(venue, 1), reply="_INBOX.alice.1")
        await judged(client)
        assert [line for line in errors if "permissions violation" in line and subject.lower() in line], errors
        assert before == (venue.engine.business_hash(), venue.gateway.refusals)


@pytest.mark.parametrize(
    "subject",
    [
        "exchange.v1.evt.bob",
        "exchange.v1.evt.*",
        "exchange.v1.cmd.bob.orders",
        "exchange.v1.cmd.alice.orders",
        "_INBOX.bob.>",
        "_INBOX.>",
        "_INBOX.gateway.>",
        "exchange.v1.journal",
        "$JS.API.>",
        "$JS.EVENT.>",
        "$SYS.>",
        ">",
    ],
)
async def test_alice_hears_only_what_is_hers_or_public(venue: Setting, subject: str) -> None:
    """A subscription to anybody else's subjects is refused by the server."""
    async with open_client(venue.url, venue.creds("alice"), "alice") as (client, errors):
        await client.subscribe(subject)
        await judged(client)
        assert [line for line in errors if "permissions violation" in line and subject.lower() in line], errors


@pytest.mark.parametrize(
    "reply", ["_INBOX.bob.x", "exchange.v1.evt.bob", "exchange.v1.cmd.bob.orders", "x", "_INBOX.alicex.1"]
)
async def test_no_answer_reaches_somebody_else(venue: Setting, reply: str) -> None:
    """A command that asks for its answer elsewhere is dropped and counted: nothing ran, nothing arrives."""
    async with (
        open_client(venue.url, venue.creds("bob"), "bob") as (bob, _),
        open_client(venue.url, venue.creds("alice"), "alice") as (alice, _),
    ):
        inbox = await bob.subscribe("_INBOX.bob.>")
        events = await bob.subscribe("exchange.v1.evt.bob")
        await bob.flush(timeout=WAIT_S)
        dropped = venue.gateway.dropped.get("bad_reply_subject", 0)
        before = venue.engine.business_hash()
        await alice.publish("exchange.v1.cmd.alice.orders", order(venue, 1), reply=reply)
        await alice.publish("exchange.v1.query.alice.venue", b'{"type":"venue.hello"}', reply=reply)
        await wait_until(lambda: venue.gateway.dropped.get("bad_reply_subject", 0) == dropped + 2, "not counted")
        # What alice asks next is answered, so whatever would have left to bob has left before.
        answer = await alice.request("exchange.v1.cmd.alice.orders", order(venue, 2), timeout=WAIT_S)
        assert b'"status":"accepted"' in answer.data
        await judged(bob)
        assert inbox.pending_msgs == 0
        assert events.pending_msgs == 0
        assert len(venue.engine.mechanisms["orders"].traders["alice"].orders) == 1
        assert venue.engine.business_hash() != before


async def test_a_credential_of_nobody_gets_an_answer_and_no_queue(venue: Setting) -> None:
    """Whoever holds a credential but was never registered is told so."""
    async with open_client(venue.url, venue.creds("carol"), "carol") as (carol, _):
        answer = await carol.request("exchange.v1.cmd.carol.orders", order(venue, 1), timeout=WAIT_S)
        assert b'"reason":"unknown_agent"' in answer.data
        answer = await carol.request("exchange.v1.query.carol.venue", b'{"type":"venue.hello"}', timeout=WAIT_S)
        assert b'"reason":"unknown_agent"' in answer.data


async def test_the_payload_names_nobody(venue: Setting) -> None:
    """A command that claims a sender is malformed."""
    payload = order(venue, 1)[:-1] + b',"agent":"bob"}'
    async with open_client(venue.url, venue.creds("alice"), "alice") as (alice, _):
        answer = await alice.request("exchange.v1.cmd.alice.orders", payload, timeout=WAIT_S)
        assert b'"reason":"malformed"' in answer.data


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"PUB exchange.v1.cmd.alice.\xff _INBOX.alice.1 2\r\n{}\r\n", id="subject is not UTF-8"),
        pytest.param(b"PUB exchange.v1.cmd.alice.orders _INBOX.alice.\xff 2\r\n{}\r\n", id="reply is not UTF-8"),
        pytest.param(b"PUB exchange.v1.cmd.alice.a\x0bb _INBOX.alice.1 2\r\n{}\r\n", id="vertical tab in subject"),
        pytest.param(b"PUB exchange.v1.cmd.alice.a\x0cb _INBOX.alice.1 2\r\n{}\r\n", id="form feed in subject"),
        pytest.param(b"PUB exchange.v1.cmd.alice.orders _INBOX.alice.a\x0b1 2\r\n{}\r\n", id="vertical tab in reply"),
        pytest.param(b"PUB exchange.v1.cmd.alice.orders _INBOX.alice.> 2\r\n{}\r\n", id="wildcard in reply"),
        pytest.param(b"PUB exchange.v1.cmd.alice.orders _INBOX.alice..1 2\r\n{}\r\n", id="empty token in reply"),
        pytest.param(b"PUB exchange.v1.cmd.alice.orders _INBOX.alice.\x00 2\r\n{}\r\n", id="NUL in reply"),
        pytest.param(b"PUB exchange.v1.cmd.alice." + b"a" * 3_900 + b" _INBOX.alice.1 2\r\n{}\r\n", id="long subject"),
        pytest.param(
            b"PUB exchange.v1.cmd.alice.orders _INBOX.alice." + b"a" * 3_900 + b" 2\r\n{}\r\n",
            id="long reply",
        ),
        pytest.param(b"PUB exchange.v1.cmd.alice.orders 2\r\n{}\r\n", id="no reply"),
        pytest.param(with_headers(b"NATS/1.0\r\n\r\n"), id="no headers"),
        pytest.param(with_headers(b"NATS/1.0\r\n\xff\xfe: \xff\xff\r\n\r\n"), id="headers are not UTF-8"),
        pytest.param(with_headers(b"NATS/1.0 50\xff\r\n\r\n"), id="status is not UTF-8"),
        pytest.param(with_headers(b"\r\n\r\n"), id="headers without a version"),
        pytest.param(with_headers(b"x"), id="one byte of headers"),
        pytest.param(with_headers(b"NATS/1.0\r\ngarbage\r\n"), id="headers are garbage"),
        pytest.param(with_headers(b"NATS/1.0\r\n: : : :\r\n\r\n"), id="header without a name"),
        pytest.param(with_headers(b"NATS/1.0 503\r\n\r\n"), id="a status of the server's"),
        pytest.param(with_headers(b"NATS/1.0\r\n" + b"a: b\r\n" * 20_000 + b"\r\n"), id="20,000 headers"),
        pytest.param(
            b"PUB exchange.v1.query.alice.\xff\xfe _INBOX.alice.1 2\r\n{}\r\n",
            id="query subject is not UTF-8",
        ),
    ],
)
async def test_no_message_of_one_agent_deafens_the_venue(venue: Setting, message: bytes) -> None:
    """After whatever bytes alice sends, bob's next command is answered at once."""
    async with (
        raw_socket(venue.url, venue.creds("alice")) as (reader, writer),
        open_client(venue.url, venue.creds("bob"), "bob") as (bob, _),
    ):
        writer.write(message + b"PING\r\n")
        # The server may hang up on her; otherwise it has passed the message on once it answers.
        async with asyncio.timeout(WAIT_S):
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await reader.readuntil(b"PONG\r\n")
        for n in range(1, 4):
            try:
                answer = await bob.request("exchange.v1.cmd.bob.orders", order(venue, n), timeout=1.0)
            except nats.errors.TimeoutError:
                pytest.fail(f"bob's order {n} is not answered after {message[:60]!r}")
            assert b'"status":"accepted"' in answer.data


# ── what one credential may take ────────────────────────────────────────────────────────────────


async def test_an_agent_has_so_many_subscriptions(venue: Setting) -> None:
    """The server refuses the one after the thousandth, says so, and goes on with the others and with bob."""
    async with (
        raw_socket(venue.url, venue.creds("alice")) as (reader, writer),
        open_client(venue.url, venue.creds("bob"), "bob") as (bob, _),
    ):
        writer.writelines(b"SUB _INBOX.alice.%d %d\r\n" % (n, n) for n in range(1, 1_001))
        writer.write(b"PING\r\n")
        async with asyncio.timeout(WAIT_S):
            said = await reader.readuntil(b"PONG\r\n")
            assert b"-ERR" not in said
            writer.write(b"SUB _INBOX.alice.more 1001\r\nPING\r\n")
            with contextlib.suppress(asyncio.IncompleteReadError):
                said = await reader.readuntil(b"PONG\r\n")
            assert b"maximum subscriptions exceeded" in said.lower()
        answer = await bob.request("exchange.v1.cmd.bob.orders", order(venue, 1), timeout=WAIT_S)
        assert b'"status":"accepted"' in answer.data


async def test_a_giant_message_costs_its_sender_the_connection(venue: Setting) -> None:
    """Above 1 MiB the server hangs up before it has read it; between that and 512 KiB the gateway answers."""
    async with (
        open_client(venue.url, venue.creds("alice"), "alice") as (alice, _),
        raw_socket(venue.url, venue.creds("alice")) as (reader, writer),
    ):
        answer = await alice.request("exchange.v1.cmd.alice.orders", b" " * 600_000, timeout=WAIT_S)
        assert b'"reason":"too_large"' in answer.data
        writer.write(b"PUB exchange.v1.cmd.alice.orders _INBOX.alice.1 8000000\r\n")
        async with asyncio.timeout(WAIT_S):
            said = await reader.read()
        assert b"Maximum Payload Violation" in said
        answer = await alice.request("exchange.v1.cmd.alice.orders", order(venue, 1), timeout=WAIT_S)
        assert b'"status":"accepted"' in answer.data


async def test_leaf_nodes_and_web_sockets_are_no_way_in(venue: Setting) -> None:
    """An agent's credential counts on ordinary connections only, and names no other account."""
    import json
    from base64 import urlsafe_b64decode

    token = venue.daemon.files.keys.joinpath("agents.jwt").read_text().split(".")[1]
    claims = json.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))["nats"]
    (key,) = claims["signing_keys"]
    assert key["template"]["allowed_connection_types"] == ["STANDARD"]
    assert (claims["limits"]["leaf"], claims["limits"]["imports"], claims["limits"]["exports"]) == (0, 0, 0)
    assert not {"mem_storage", "disk_storage"} & claims["limits"].keys()

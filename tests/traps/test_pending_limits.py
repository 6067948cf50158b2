"""A subscription that is read too slowly."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from nats.js.api import DeliverPolicy

from agent_sdk import NatsTransport, nats_transport
from exchange.adapters import bus
from exchange.adapters.journal import JOURNAL_SUBJECT, Journal, JournalGap, create_stream
from exchange.adapters.listener import Listener
from exchange.nats_client import NatsClient
from tests.daemon.support import wait_until
from tests.traps.support import plain_client, quiet, running_server

if TYPE_CHECKING:
    from pathlib import Path

    from nats.aio.msg import Msg

    from agent_sdk.transport import ConnectionEvent

MESSAGES = 3_000
LIMIT = 100


async def test_an_ordered_consumer_loses_messages_without_a_word(tmp_path: Path) -> None:
    """The trap: what is beyond the pending limit vanishes, and the order is not noticed to have a hole."""
    heard: list[int] = []

    async def hear(msg: Msg) -> None:
        heard.append(msg.metadata.sequence.stream)
        await asyncio.sleep(0.001 if len(heard) < LIMIT else 0)

    async with running_server(tmp_path) as server, plain_client(server.url) as client:
        await create_stream(client)
        for _ in range(MESSAGES):
            await client.publish(JOURNAL_SUBJECT, bytes(100))
        await client.flush()
        await client.jetstream().subscribe(
            JOURNAL_SUBJECT, ordered_consumer=True, cb=hear, pending_msgs_limit=LIMIT, deliver_policy=DeliverPolicy.ALL
        )
        await asyncio.sleep(1.0)
        assert 0 < len(heard) < MESSAGES
        assert heard != list(range(1, len(heard) + 1))


async def test_the_journal_counts_what_it_reads(tmp_path: Path) -> None:
    """Ours asks for no more than it takes, and says which record is missing when one is."""
    async with running_server(tmp_path) as server, plain_client(server.url) as client:
        await create_stream(client)
        journal = Journal(client)
        await journal.open()
        for _ in range(MESSAGES):
            await client.publish(JOURNAL_SUBJECT, bytes(100))
        await client.flush()
        await wait_for_last(journal)
        assert [index async for index, _ in journal.read(1, MESSAGES)] == list(range(1, MESSAGES + 1))
        context = client.jetstream()
        await context.purge_stream("JOURNAL", seq=11)
        with pytest.raises(JournalGap, match="record 1 is missing"):
            [index async for index, _ in journal.read(1, MESSAGES)]


async def wait_for_last(journal: Journal) -> None:
    """Wait until the last record is stored."""
    async with asyncio.timeout(15):
        while await journal.last_index() < MESSAGES:
            await asyncio.sleep(0.01)


async def test_plain_subscriptions_drop_messages_silently(tmp_path: Path) -> None:
    """The trap: only the error callback hears of it, and nothing counts."""
    async with running_server(tmp_path) as server, plain_client(server.url) as client:
        heard = []
        subscription = await client.subscribe("x", pending_msgs_limit=LIMIT)
        for _ in range(MESSAGES):
            await client.publish("x", b"")
        await client.flush()
        while subscription.pending_msgs:
            heard.append(await subscription.next_msg())
        assert len(heard) < MESSAGES


async def test_the_sdk_hears_of_a_drop_and_asks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours tells who listens; ``tests/sdk/test_events.py`` proves that a feed then fetches what is missing."""
    monkeypatch.setattr(nats_transport, "_PENDING_MESSAGES_MAX", LIMIT)
    events: list[ConnectionEvent] = []
    async with running_server(tmp_path) as server, plain_client(server.url) as other:
        transport = NatsTransport(server.url, agent="alice")
        transport.on_connection(events.append)
        await transport.open()
        await transport.subscribe("x", lambda _subject, _payload: None)
        client = transport._client
        assert client is not None
        await client.flush()
        await other._send_command(b"PUB x 0\r\n\r\n" * MESSAGES)
        await other.flush()
        await wait_until(lambda: any(event.kind == "dropped" for event in events), "no drop was told")
        assert {event.subject for event in events if event.kind == "dropped"} == {"x"}
        await transport.close()


async def test_the_daemons_ingress_has_no_limit_and_no_queue(tmp_path: Path) -> None:
    """Ours hands each message on as it is read, so that the gateway's bounded queues are the only ones."""
    async with running_server(tmp_path) as server, plain_client(server.url) as other:
        client = bus.Ingress()
        await NatsClient.connect(client, server.url, error_cb=quiet)
        heard: list[bytes] = []
        await Listener(client, lambda _subject, _reply, payload: heard.append(payload), bus.ignore).open()
        subscription = next(iter(client._subs.values()))
        subscription._pending_queue = asyncio.Queue(LIMIT)
        for n in range(MESSAGES):
            await other.publish("exchange.v1.cmd.alice.orders", b"%d" % n)
        await other.flush()
        await wait_until(lambda: len(heard) == MESSAGES, "not all came")
        assert heard == [b"%d" % n for n in range(MESSAGES)]
        assert subscription.pending_msgs == 0
        await client.close()

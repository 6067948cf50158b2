"""A callback that raises."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from agent_sdk import NatsTransport
from exchange.adapters import bus
from exchange.adapters.credentials import Keyring
from exchange.adapters.listener import Listener
from exchange.nats_client import NatsClient
from tests.daemon.support import wait_until
from tests.traps.support import plain_client, quiet, running_server

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SETTINGS = 'authorization { users: [{ user: u, password: p, permissions: { publish: { deny: "forbidden" } } }] }'


def boom(*_: Any) -> None:
    """Fail as a callback with a mistake in it does."""
    raise ZeroDivisionError


async def test_plain_nats_py_is_deaf_after_its_error_callback_raised(tmp_path: Path) -> None:
    """The trap: the read loop ends, and the client seems to be connected."""

    async def raising(_error: Exception) -> None:
        boom()

    heard: list[bytes] = []

    async def hear(msg: Any) -> None:
        heard.append(msg.data)

    async with running_server(tmp_path, SETTINGS) as server:
        url = server.url.replace("//", "//u:p@")
        async with plain_client(url, error_cb=raising) as client, plain_client(url) as other:
            await client.subscribe("x", cb=hear)
            await client.flush()
            await client.publish("forbidden", b"")
            reading = client._reading_task
            assert reading is not None
            await wait_until(reading.done, "the read loop has survived")
            await other.publish("x", b"unheard")
            await other.flush()
            await asyncio.sleep(0.2)
            assert heard == []
            assert client.is_connected


async def test_what_raises_in_our_callbacks_does_no_harm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The daemon's connections and the SDK's log it and go on: lost, found, and with a message that fails."""
    async with running_server(tmp_path) as server, plain_client(server.url) as other:
        creds = Keyring.create(tmp_path / "keys").journal_creds_path
        ours = await bus.connect(server.url, creds, "ours", on_disconnect=boom, on_reconnect=boom)
        transport = NatsTransport(server.url, agent="alice")
        transport.on_connection(boom)
        await transport.open()
        heard: list[bytes] = []
        await transport.subscribe("x", lambda _subject, payload: heard.append(payload) or boom())  # type: ignore[func-returns-value]
        await server.kill()
        await server.start()
        await wait_until(lambda: ours.is_connected, "it does not come back")
        await wait_until(lambda: transport._client is not None and transport._client.is_connected, "nor does the SDK")
        await ours.flush()
        await wait_until(lambda: other.is_connected, "the third does not come back")
        for n in range(3):
            await other.publish("x", b"%d" % n)
        await other.flush()
        await wait_until(lambda: len(heard) == 3, "the subscription has ended")
        assert "callback failed" in caplog.text
        await transport.close()
        await ours.close()


async def test_a_message_that_cannot_be_received_is_dropped_and_counted(tmp_path: Path) -> None:
    """A mistake in what takes the daemon's messages costs one message, not the connection."""
    async with running_server(tmp_path) as server, plain_client(server.url) as other:
        client = bus.Ingress()
        await NatsClient.connect(client, server.url, error_cb=quiet)
        heard: list[bytes] = []
        dropped: list[int] = []
        client.on_drop = lambda: dropped.append(1)

        def receive(_subject: str, _reply: str, payload: bytes) -> None:
            heard.append(payload) if payload != b"0" else boom()

        await Listener(client, receive, bus.ignore).open()
        for n in range(3):
            await other.publish("exchange.v1.cmd.alice.orders", b"%d" % n)
        await other.flush()
        await wait_until(lambda: len(heard) == 2, "it has gone deaf")
        assert (heard, dropped) == ([b"1", b"2"], [1])
        await client.close()

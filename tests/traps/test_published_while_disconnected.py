"""What is published while there is no connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from nats.errors import OutboundBufferLimitError

from agent_sdk import NatsTransport, NotSent
from exchange.adapters import bus
from exchange.adapters.credentials import Keyring
from tests.daemon.support import wait_until
from tests.traps.support import PlainServer, plain_client, running_server

if TYPE_CHECKING:
    from pathlib import Path

    from nats.aio.client import Client


async def stored(client: Client) -> int:
    """Return how many messages the stream has."""
    return (await client.jetstream().stream_info("S")).state.messages


async def outage(server: PlainServer, client: Client) -> None:
    """Kill the server, and return when the client knows."""
    await server.kill()
    await wait_until(lambda: not client.is_connected, "the end is not noticed")


async def test_plain_nats_py_reports_a_failure_and_sends_later(tmp_path: Path) -> None:
    """The trap: the write timed out, and after the outage it is stored all the same."""
    async with (
        running_server(tmp_path) as server,
        plain_client(server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05) as client,
    ):
        context = client.jetstream()
        await context.add_stream(name="S", subjects=["s"])
        await outage(server, client)
        with pytest.raises(Exception, match="timeout"):
            await context.publish("s", b"late", timeout=0.2)
        await server.start()
        await wait_until(lambda: client.is_connected, "it does not come back")
        await client.flush()
        assert await stored(client) == 1


async def test_our_clients_send_now_or_never(tmp_path: Path) -> None:
    """Ours fail at once, and nothing leaves later; ``valid_until_us`` disarms what was under way."""
    async with (
        running_server(tmp_path) as server,
        plain_client(server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05) as other,
    ):
        await other.jetstream().add_stream(name="S", subjects=["s"])
        ours = await bus.connect(server.url, Keyring.create(tmp_path / "keys").journal_creds_path, "ours")
        transport = NatsTransport(server.url, agent="alice")
        await transport.open()
        assert transport._client is not None
        await outage(server, ours)
        await wait_until(lambda: not transport._client.is_connected, "the end is not noticed")
        with pytest.raises(OutboundBufferLimitError):
            await ours.publish("s", b"late")
        with pytest.raises(OutboundBufferLimitError):
            await bus.write(ours, [bus.encode_message("s", b"late")])
        with pytest.raises(NotSent):
            await transport.publish("s", b"late")
        await server.start()
        for client in (ours, transport._client, other):
            await wait_until(lambda client=client: client.is_connected, "it does not come back")  # type: ignore[misc]
            await client.flush()
        assert await stored(other) == 0
        await transport.close()
        await ours.close()

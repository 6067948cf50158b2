"""A socket whose other end is gone without a word."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent_sdk import NatsTransport, nats_transport
from exchange.adapters import bus
from exchange.adapters.credentials import Keyring
from tests.daemon.support import wait_until
from tests.traps.relay import running_relay
from tests.traps.support import plain_client, running_server

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_plain_nats_py_looks_connected_on_a_dead_socket(tmp_path: Path) -> None:
    """The trap: the server restarted, its goodbye was lost, and for minutes everything seems well."""
    async with (
        running_server(tmp_path) as server,
        running_relay(server.port) as relay,
        plain_client(relay.url, reconnect_time_wait=0.05) as client,
    ):
        relay.lose_goodbyes()
        await server.kill()
        await server.start()
        await asyncio.sleep(1.0)
        assert client.is_connected
        await client.publish("x", b"into nowhere")
        assert relay.attempts == 1
        assert client.options["ping_interval"] == 120


async def test_our_clients_ask_whether_anybody_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours ping every two seconds, and connect anew when nobody answers."""
    assert bus._PING_S == nats_transport._PING_INTERVAL_S == 2
    monkeypatch.setattr(bus, "_PING_S", 0.1)
    monkeypatch.setattr(nats_transport, "_PING_INTERVAL_S", 0.1)
    async with running_server(tmp_path) as server, running_relay(server.port) as relay:
        ours = await bus.connect(relay.url, Keyring.create(tmp_path / "keys").journal_creds_path, "ours")
        transport = NatsTransport(relay.url, agent="alice")
        await transport.open()
        relay.lose_goodbyes()
        await server.kill()
        await server.start()
        await wait_until(lambda: relay.attempts >= 4, "they do not notice", 5)
        await wait_until(lambda: ours.is_connected, "it does not come back", 5)
        await ours.flush()
        await transport.close()
        await ours.close()

"""A connection that is given up is let go of at once, with its socket and whatever it still had to send."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from nats.aio.client import Client

from agent_sdk import NatsTransport
from exchange.adapters import bus
from exchange.adapters.credentials import Keyring
from exchange.nats_client import NatsClient
from tests.daemon.support import wait_until
from tests.traps.relay import running_relay
from tests.traps.support import quiet, running_server

if TYPE_CHECKING:
    from pathlib import Path

ATTEMPTS = 4
FAST: dict[str, Any] = {
    "max_reconnect_attempts": -1,
    "reconnect_time_wait": 0.01,
    "ping_interval": 0.1,
    "max_outstanding_pings": 2,
    "connect_timeout": 0.2,
    "error_cb": quiet,
}


async def sockets_forgotten(client: Client, directory: Path, mode: Any) -> int:
    """Count the sockets that a client leaves to the collector while it cannot connect again for a while."""
    async with running_server(directory) as server, running_relay(server.port) as relay:
        await client.connect(relay.url, **FAST)
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always", ResourceWarning)
            relay.mode = mode
            relay.cut()
            await wait_until(lambda: relay.attempts > ATTEMPTS, "it does not try again")
            relay.mode = "pass"
            await wait_until(lambda: client.is_connected, "it does not come back")
            await client.close()
            gc.collect()
        return sum("unclosed" in str(warning.message) for warning in heard)


@pytest.mark.parametrize("mode", ["end", "mute"])
async def test_plain_nats_py_leaves_sockets_of_failed_attempts_open(tmp_path: Path, mode: str) -> None:
    """The trap: an attempt that met a server going down, or a frozen one, is overwritten, not closed."""
    assert await sockets_forgotten(Client(), tmp_path, mode) >= ATTEMPTS - 1


@pytest.mark.parametrize("mode", ["end", "mute"])
async def test_our_client_closes_them(tmp_path: Path, mode: str) -> None:
    """Before it tries again, it closes what the last attempt opened."""
    assert await sockets_forgotten(NatsClient(), tmp_path, mode) == 0


async def attempts_after_a_stall(client: Client, directory: Path) -> int:
    """Let a connection go stale while much is still to be sent; return how often the client tried to connect."""
    async with running_server(directory) as server, running_relay(server.port) as relay:
        await client.connect(relay.url, pending_size=0, **FAST)
        relay.hold()
        for _ in range(40):
            await client.publish("much", bytes(1_000_000))
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        stale = loop.time() + 3.0
        while loop.time() < stale and relay.attempts < 2:
            await asyncio.sleep(0.01)
        attempts = relay.attempts
        relay.release()
        await wait_until(lambda: client.is_connected, "it does not come back")
        await client.close()
        return attempts


async def test_plain_nats_py_waits_for_bytes_that_cannot_leave(tmp_path: Path) -> None:
    """The trap: a stale connection is closed only when all that was written to it has left, which may be never."""
    assert await attempts_after_a_stall(Client(), tmp_path) == 1


async def test_our_client_gives_such_bytes_up(tmp_path: Path) -> None:
    """It tries again at once: who waits for an answer to what was lost asks again."""
    assert await attempts_after_a_stall(NatsClient(), tmp_path) >= 2


async def closes_within(client: Client, directory: Path, seconds: float) -> bool:
    """Return whether a client closes in time while what it has written cannot leave."""
    async with running_server(directory) as server, running_relay(server.port) as relay:
        await client.connect(relay.url, pending_size=0, **{**FAST, "ping_interval": 60})
        relay.hold()
        for _ in range(40):
            await client.publish("much", bytes(1_000_000))
        await asyncio.sleep(0.1)
        closing = asyncio.create_task(client.close())
        done, _ = await asyncio.wait({closing}, timeout=seconds)
        relay.release()
        relay.cut()
        await asyncio.wait({closing}, timeout=seconds)
        return bool(done)


async def test_plain_nats_py_cannot_even_be_closed(tmp_path: Path) -> None:
    """The trap: a process that should end waits for a server that is frozen."""
    assert not await closes_within(Client(), tmp_path, 3.0)


async def test_our_client_can_be_closed(tmp_path: Path) -> None:
    """It waits for two seconds at most."""
    assert await closes_within(NatsClient(), tmp_path, 3.0)


async def test_the_daemon_and_the_sdk_use_that_client(tmp_path: Path) -> None:
    """Each of the daemon's connections, and an agent's, are such clients."""
    async with running_server(tmp_path) as server:
        creds = Keyring.create(tmp_path / "keys").journal_creds_path
        clients = [await bus.connect(server.url, creds, "egress")]
        clients.append(await bus.connect(server.url, creds, "ingress", client=bus.Ingress()))
        transport = NatsTransport(server.url, agent="alice")
        await transport.open()
        assert transport._client is not None
        for client in (*clients, transport._client):
            assert isinstance(client, NatsClient)
        await asyncio.gather(transport.close(), *(client.close() for client in clients))

"""A credential that ends while its connection lives."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from agent_sdk import NatsTransport
from exchange.adapters import _jwt, bus
from exchange.adapters._jwt import Prefix, Signer, creds_text
from exchange.adapters.credentials import Keyring
from exchange.adapters.embedded_server import EmbeddedServer
from exchange.daemon import Daemon, DaemonError
from tests.daemon.support import config, wait_until
from tests.faults.venue_process import free_port
from tests.traps.support import plain_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from agent_sdk.transport import ConnectionEvent

LIVES_S = 3


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    """Run a server that trusts a keyring beside it."""
    server = EmbeddedServer(tmp_path / "nats", Keyring.create(tmp_path / "keys"))
    await server.start()
    yield server
    await server.stop()


def expiring(creds: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a credential like that in a file, signed by the account's key, which ends in three seconds."""
    text = creds.read_text()
    claims = _jwt.user_claims_of(text, creds)
    user = Signer.generate(Prefix.USER)
    plain = _jwt._json

    def with_end(value: Any) -> bytes:
        return plain(value | {"exp": int(time.time()) + LIVES_S} if "iat" in value else value)

    with monkeypatch.context() as patch:
        patch.setattr(_jwt, "_json", with_end)
        token = Signer(key.read_text().strip()).sign(claims["name"], user.public_key, claims["nats"])
    return creds_text(token, user)


async def test_plain_nats_py_is_closed_for_good(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trap: though it may reconnect for ever, the client ends when the server says that the credential did."""
    creds = tmp_path / "short.creds"
    creds.write_text(expiring(tmp_path / "keys/gateway.creds", tmp_path / "keys/agents.nk", monkeypatch))
    async with plain_client(server.url, user_credentials=str(creds), max_reconnect_attempts=-1) as client:
        await wait_until(lambda: client.is_closed, "the credential does not end")
        assert "expired" in str(client.last_error)


async def test_the_sdk_goes_on_with_the_next_credential(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours is built anew, with its subscriptions, from what then lies in the credential's file."""
    keyring = Keyring.load(tmp_path / "keys")
    creds = tmp_path / "alice.creds"
    keyring.write_agent_creds("alice", creds)
    lasting = creds.read_text()
    creds.write_text(expiring(creds, tmp_path / "keys/agents-signing.nk", monkeypatch))
    transport = NatsTransport(server.url, creds)
    events: list[ConnectionEvent] = []
    transport.on_connection(events.append)
    await transport.open()
    heard: list[bytes] = []
    await transport.subscribe("exchange.v1.evt.alice", lambda _subject, payload: heard.append(payload))
    first = transport._client
    assert first is not None
    # The server's last word may be lost with the socket; then the client goes on trying, and needs no other.
    await wait_until(lambda: not first.is_connected, "the credential does not end")
    creds.write_text(lasting)
    await wait_until(lambda: any(event.kind == "reconnected" for event in events), "it does not come back")
    await wait_until(lambda: transport._client is not None and transport._client.is_connected, "it is not built anew")
    assert transport._client is not None
    gateway = await bus.connect(server.url, keyring.gateway_creds_path, "gateway")
    await transport._client.flush()
    await gateway.publish("exchange.v1.evt.alice", b"event")
    await wait_until(lambda: heard == [b"event"], "it does not hear")
    await gateway.close()
    await transport.close()


async def test_a_daemon_ends_with_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon whose credential ends says so and ends, rather than lead deaf and mute."""
    venue = tmp_path / "venue"
    first = Daemon(config(venue))
    await first.start()
    await first.stop()
    creds = venue / "keys" / "gateway.creds"
    text = expiring(creds, venue / "keys" / "agents.nk", monkeypatch)
    creds.unlink()
    _jwt.write_secret(creds, text, replace=False)
    daemon = Daemon(config(venue))
    await daemon.start()
    try:
        async with asyncio.timeout(15):
            with pytest.raises(
                DaemonError, match=r"the server (ended|does not take) the connection gateway .*(xpired|iolation)"
            ):
                await daemon.wait()
    finally:
        await daemon.stop()


async def test_a_daemon_that_is_not_taken_back_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the credential ends while the server is away, the daemon is refused when it returns: it says so and ends."""
    monkeypatch.setattr(bus, "_REFUSED_MAX", 3)
    keyring = Keyring.create(tmp_path / "keys")
    creds = tmp_path / "short.creds"
    creds.write_text(expiring(keyring.gateway_creds_path, tmp_path / "keys/agents.nk", monkeypatch))
    server = EmbeddedServer(tmp_path / "nats", keyring, port=free_port())
    await server.start()
    told: list[str] = []
    client = await bus.connect(server.url, creds, "gateway", on_end=told.append)
    await server.stop()
    # The server counts in whole seconds.
    await asyncio.sleep(LIVES_S + 1)
    await server.start()
    try:
        await wait_until(lambda: bool(told), "nothing is said")
        assert "does not take the connection gateway back" in told[0]
    finally:
        await client.close()
        await server.stop()

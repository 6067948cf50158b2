"""The NATS transport against a real server, with a scripted venue behind it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nats.aio.client import Client

from agent_sdk import (
    ConnectionFailed,
    CredentialsError,
    NatsTransport,
    NotSent,
    OrderPlaced,
    PermissionDenied,
    connect,
)
from agent_sdk.nats_transport import agent_id_of
from exchange.messages.admin import HaltVenue
from tests.sdk.doubles import ScriptedVenue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from nats.aio.msg import Msg

    from agent_sdk.transport import ConnectionEvent

SERVER = Path(sys.executable).parent / "nats-server"

CONFIG = """
listen: 127.0.0.1:{port}
max_payload: 1MB
authorization {{
  users = [
    {{ user: venue, password: v }}
    {{ user: alice, password: a, permissions: {{
      publish: ["exchange.v1.cmd.alice.orders", "exchange.v1.query.alice.>"]
      subscribe: ["_INBOX.alice.>", "exchange.v1.evt.alice", "exchange.v1.md.cpu.>", "exchange.v1.md._venue"]
    }} }}
  ]
}}
"""


class Server:
    """Run a nats-server on a free loopback port, also again on the same one."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.config = folder / "server.conf"
        self.config.write_text(CONFIG.format(port=self.port))
        self.process: subprocess.Popen[bytes] | None = None

    def url(self, user: str) -> str:
        """Return the URL with the name and password of a user."""
        return f"nats://{user}:{user[0]}@127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the process."""
        self.process = subprocess.Popen(
            [SERVER, "-c", self.config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def stop(self) -> None:
        """Kill the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Run a server."""
    server = Server(tmp_path)
    server.start()
    yield server
    server.stop()


class Bridge:
    """Connect a scripted venue to a server."""

    agent = "alice"

    def __init__(self, venue: ScriptedVenue, client: Client) -> None:
        self._venue = venue
        self._client = client
        self._publishing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen to agents."""
        await self._client.subscribe("exchange.v1.cmd.>", cb=self._on_message)
        await self._client.subscribe("exchange.v1.query.>", cb=self._on_message)
        await self._client.flush()
        self._venue.transports.append(self)  # type: ignore[arg-type]

    async def _on_message(self, message: Msg) -> None:
        if ".query." in message.subject:
            answer = self._venue.on_query(message.subject.split(".")[3], message.data)
        else:
            answer = self._venue.on_commands(message.data)
        if answer is not None and message.reply:
            await self._client.publish(message.reply, answer)

    def deliver(self, subject: str, payload: bytes) -> None:
        """Publish a message."""
        task = asyncio.create_task(self._client.publish(subject, payload))
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)


async def quiet(_error: Exception) -> None:
    """Expect errors: the server is stopped in some tests."""


@contextlib.asynccontextmanager
async def venue_at(server: Server) -> AsyncIterator[ScriptedVenue]:
    """Put a scripted venue behind a server."""
    client = Client()
    await client.connect(server.url("venue"), reconnect_time_wait=0, max_reconnect_attempts=-1, error_cb=quiet)
    venue = ScriptedVenue()
    await Bridge(venue, client).open()
    try:
        yield venue
    finally:
        await client.close()


def alice(server: Server) -> NatsTransport:
    """Return alice's transport."""
    return NatsTransport(server.url("alice"), agent="alice")


async def test_commands_queries_and_events_pass_through_a_server(server: Server) -> None:
    """An order is placed over NATS and its event is heard."""
    async with venue_at(server) as venue, connect(transport=alice(server)) as agent:
        order = await agent.buy("cpu", 2, "5.00")
        event = await anext(agent.events())
        assert isinstance(event, OrderPlaced)
        assert (event.command_id, venue.executed) == (order.command_id, [order.command_id])


async def test_a_restarted_server_is_survived_by_commands_and_events(server: Server) -> None:
    """A command given while the server is down is executed once after it is back, and no event is missed."""
    async with venue_at(server) as venue, connect(transport=alice(server)) as agent:
        await agent.buy("cpu", 1, 5)
        events = agent.events()
        await anext(events)
        server.stop()
        waiting = asyncio.create_task(agent.buy("cpu", 1, 5, timeout=50))
        server.start()
        order = await waiting
        assert venue.executed.count(str(order.command_id)) == 1
        event = await anext(events)
        assert isinstance(event, OrderPlaced)
        assert event.command_id == order.command_id


async def test_a_client_that_closed_for_good_is_rebuilt(server: Server) -> None:
    """When the NATS client gives up by itself, a new one takes over with all subscriptions."""
    async with venue_at(server) as venue:
        transport = alice(server)
        heard: asyncio.Queue[ConnectionEvent] = asyncio.Queue()
        transport.on_connection(heard.put_nowait)
        async with connect(transport=transport) as agent:
            first = transport._client
            assert first is not None
            await first._close(Client.CLOSED)
            while (await heard.get()).kind != "reconnected":
                pass
            assert transport._client is not first
            assert (await agent.buy("cpu", 1, 5)).status == "new"
            assert len(venue.executed) == 1


async def test_a_refused_publish_is_permission_denied_and_not_a_timeout(server: Server) -> None:
    """The violation that the server reports reaches the caller whose subject it names."""
    async with venue_at(server), connect(transport=alice(server)) as agent:
        with pytest.raises(PermissionDenied, match=r"exchange\.v1\.cmd\.alice\.admin"):
            await agent.submit(HaltVenue, state="open")
        assert (await agent.buy("cpu", 1, 5)).status == "new"


async def test_a_refused_subscription_is_permission_denied(server: Server) -> None:
    """A feed that the server does not permit ends with the violation."""
    async with venue_at(server), connect(transport=alice(server)) as agent:
        with pytest.raises(PermissionDenied, match=r"exchange.v1.md.gpu.trades"):
            await anext(agent.trades("gpu"))


async def test_a_message_too_large_for_the_server_is_not_sent(server: Server) -> None:
    """The limit of the server is an error before anything leaves."""
    transport = alice(server)
    async with venue_at(server):
        await transport.open()
        with pytest.raises(NotSent):
            await transport.publish("exchange.v1.cmd.alice.orders", bytes(2_000_000))
        await transport.close()
        with pytest.raises(NotSent):
            await transport.publish("exchange.v1.cmd.alice.orders", b"")


async def test_a_refused_connection_says_where(server: Server) -> None:
    """No server at the address is a ``ConnectionFailed`` at once, without the password in it."""
    server.stop()
    with pytest.raises(ConnectionFailed, match=f"cannot connect to nats://127.0.0.1:{server.port}"):
        async with connect(transport=alice(server)):
            pass


@pytest.mark.parametrize("url", ["", "nats://", "nats://127.0.0.1:notaport", "http://:9"])
async def test_a_wrong_url_is_connection_failed(url: str) -> None:
    """An address that is none is a clear error."""
    with pytest.raises(ConnectionFailed, match="cannot connect"):
        await NatsTransport(url, agent="alice", connect_timeout=1.0).open()


async def test_wrong_credentials_are_an_error_of_their_own(server: Server) -> None:
    """A server that does not accept the password is a ``CredentialsError``."""
    async with venue_at(server):
        url = f"nats://alice:wrong@127.0.0.1:{server.port}"
        with pytest.raises(CredentialsError, match="does not accept the credentials of alice"):
            await NatsTransport(url, agent="alice").open()


def write_creds(path: Path, claims: object) -> Path:
    """Write a creds file with these claims and a signature that nobody checks here."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    path.write_text(
        f"-----BEGIN NATS USER JWT-----\ne30.{payload}.c2ln\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\n\n"
        "-----BEGIN USER NKEY SEED-----\nSUAAAA\n------END USER NKEY SEED------\n"
    )
    return path


def test_the_agent_is_who_the_creds_file_names(tmp_path: Path) -> None:
    """The id is the ``name`` claim of the user JWT."""
    assert agent_id_of(write_creds(tmp_path / "a.creds", {"name": "bob-7"})) == "bob-7"


@pytest.mark.parametrize("claims", [{}, {"name": 7}, {"name": "a.b"}, {"name": ""}, [], "x"])
def test_a_jwt_without_an_agent_id_is_no_credential(tmp_path: Path, claims: object) -> None:
    """A JWT that names nobody is a ``CredentialsError``."""
    with pytest.raises(CredentialsError):
        agent_id_of(write_creds(tmp_path / "a.creds", claims))


async def test_missing_and_broken_creds_files_say_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing file, a file that is something else, and no file at all each have their words."""
    monkeypatch.delenv("EXCHANGE_CREDS", raising=False)
    with pytest.raises(CredentialsError, match="EXCHANGE_CREDS"):
        async with connect():
            pass
    with pytest.raises(CredentialsError, match="cannot read"):
        async with connect(creds=tmp_path / "none.creds"):
            pass
    (tmp_path / "other").write_text("hello")
    with pytest.raises(CredentialsError, match="is no creds file"):
        async with connect(creds=tmp_path / "other"):
            pass

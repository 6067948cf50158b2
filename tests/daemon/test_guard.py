"""Who is thrown out of a venue, by a real daemon on a real server: the revoked, who floods, who connects too often."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from typing import TYPE_CHECKING

import msgspec
import pytest

from agent_sdk import AgentRevoked, ConnectionEvent, NatsTransport, Refused, connect
from exchange.adapters.credentials import Keyring
from exchange.adapters.gateway_limits import GatewayLimits
from exchange.daemon.creation import create_venue
from tests.daemon.support import (
    WAIT_S,
    External,
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

    from exchange.config import Config

LIMITS = GatewayLimits(refusals_per_s=10, refusals_burst=100, floods_max=2, connections_max=3)


def with_limits(settings: Config) -> Config:
    """Return settings with limits that a test reaches."""
    return msgspec.structs.replace(settings, limits=LIMITS)


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[Setting]:
    """Run a venue with the agents alice and bob, and its guard on watch."""
    async with running_daemon(with_limits(config(tmp_path / "venue"))) as setting:
        await set_up_market(setting, "alice", "bob")
        yield setting


def kicks(setting: Setting, reason: str) -> int:
    """Return how many connections were cut off for a reason."""
    return int(setting.gateway.kicks.get(reason, 0))


async def is_cut_off(reader: asyncio.StreamReader) -> None:
    """Wait until the server hangs up."""
    async with asyncio.timeout(WAIT_S):
        with contextlib.suppress(ConnectionError):
            while await reader.read(65_536):
                pass


async def flood(venue: Setting, agent: str) -> None:
    """Send as an agent what is for nothing until the server hangs up, and the venue knows."""
    before = sum(venue.gateway.kicks.values())
    nonsense = b"PUB exchange.v1.cmd.%b.orders _INBOX.%b.1 1\r\n{\r\n" % (agent.encode(), agent.encode())
    async with raw_socket(venue.url, venue.creds(agent)) as (reader, writer):
        ended = asyncio.create_task(is_cut_off(reader))
        with contextlib.suppress(ConnectionError):
            while not ended.done():
                writer.write(nonsense * 50)
                await writer.drain()
                await asyncio.sleep(0)
        await ended
    await wait_until(lambda: sum(venue.gateway.kicks.values()) > before, "the kick is not counted")


async def test_who_floods_is_thrown_out_and_then_revoked(venue: Setting) -> None:
    """Each flood ends the connection; after two the third revokes the agent by a journaled command; others trade on."""
    async with venue.connect("bob") as bob:
        for _ in range(3):
            await flood(venue, "alice")
            await bob.buy("cpu", 1, "1.00")
            # A second later its messages count again.
            await asyncio.sleep(1.0)
        await wait_until(lambda: venue.engine.agents["alice"].state == "revoked", "alice is not revoked")
        assert venue.engine.agents["bob"].state == "active"
        assert len(await bob.open_orders()) == 3
    # Whoever connects as alice now is cut off at once, though no key here could revoke the credential.
    async with raw_socket(venue.url, venue.creds("alice")) as (reader, _):
        await is_cut_off(reader)
    await wait_until(lambda: kicks(venue, "revoked") > 0, "the kick is not counted")


async def test_who_is_registered_after_a_flood_is_heard(venue: Setting) -> None:
    """From the first flood on agents are listened to by name: also those who came later, and at once."""
    await flood(venue, "alice")
    async with venue.connect("alice") as alice, asyncio.timeout(WAIT_S):
        # The flood is over, and nothing else makes the daemon look who is to be listened to.
        await alice.buy("cpu", 1, "1.00")
    async with venue.connect("operator") as operator:
        await operator.admin.register_agent("carol", "acme")
        async with venue.connect("carol") as carol, asyncio.timeout(WAIT_S):
            assert (await carol.buy("cpu", 1, "1.00")).status == "new"


async def test_an_operator_is_never_revoked_by_the_venue(venue: Setting) -> None:
    """An operator that floods is thrown out each time, and stays the operator."""
    for _ in range(4):
        await flood(venue, "operator")
        await asyncio.sleep(1.0)
    async with venue.connect("operator") as operator:
        assert (await operator.agents())[0].state == "active"


async def test_a_revoked_agent_loses_its_session(venue: Setting) -> None:
    """Revoked by the SDK alone, without any key, it is cut off within seconds and cannot stay again."""
    async with venue.connect("operator") as operator, raw_socket(venue.url, venue.creds("alice")) as (reader, _):
        await operator.admin.revoke_agent("alice")
        await is_cut_off(reader)
        async with raw_socket(venue.url, venue.creds("alice")) as (again, _):
            await is_cut_off(again)
        with pytest.raises(AgentRevoked):
            await operator.admin.revoke_agent("alice")


async def test_an_agent_has_so_many_connections(venue: Setting) -> None:
    """What comes above the limit is cut off, whoever else is connected; when one ends another may come."""
    async with contextlib.AsyncExitStack() as stack:
        held = [await stack.enter_async_context(raw_socket(venue.url, venue.creds("alice"))) for _ in range(3)]
        bob, _ = await stack.enter_async_context(open_client(venue.url, venue.creds("bob"), "bob"))
        async with raw_socket(venue.url, venue.creds("alice")) as (reader, _):
            await is_cut_off(reader)
        await wait_until(lambda: kicks(venue, "connections") == 1, "the kick is not counted")
        for _, writer in held:
            writer.write(b"PING\r\n")
        for reader, _ in held:
            async with asyncio.timeout(WAIT_S):
                assert await reader.readuntil(b"PONG\r\n")
        await bob.flush(timeout=WAIT_S)


async def test_what_was_revoked_while_no_daemon_ran_is_cut_off_by_the_next(tmp_path: Path) -> None:
    """A server that still has older claims, after a restart say, gets the newest from the daemon."""
    server = External(tmp_path)
    await server.start()
    try:
        async with server.journal() as client:
            await create_venue(client)
        server.files.finish_creation()
        async with running_daemon(server.config()) as setting:
            await set_up_market(setting, "alice", "bob")
            creds = setting.creds("alice")
            bob = setting.creds("bob")
        # The server is started again with the claims that it was started with.
        shutil.copytree(server.keyring.path, tmp_path / "older")
        server.keyring.revoke_agent("alice")
        server.keyring = Keyring.load(tmp_path / "older")
        async with (
            raw_socket(server.url, creds) as (reader, _),
            raw_socket(server.url, bob) as (others, writer),
            running_daemon(server.config()),
        ):
            await is_cut_off(reader)
            # Now the server itself knows.
            with pytest.raises(asyncio.IncompleteReadError):
                async with raw_socket(server.url, creds):
                    pass
            writer.write(b"PING\r\n")
            async with asyncio.timeout(WAIT_S):
                assert await others.readuntil(b"PONG\r\n")
            # A server that forgot it is told at once, by whoever it is.
            await server.kill()
            await server.start()
            async with raw_socket(server.url, creds) as (again, _):
                await is_cut_off(again)
    finally:
        await server.stop()


async def test_a_grace_ends_by_itself(venue: Setting) -> None:
    """A rotated credential counts until its time, then the daemon, which holds no key, ends it; the SDK goes on."""
    creds = venue.creds("alice")
    old = creds.with_name("old.creds")
    shutil.copy2(creds, old)
    keyring = Keyring.load(venue.daemon.files.keys)
    events: list[ConnectionEvent] = []
    transport = NatsTransport(venue.url, creds)
    transport.on_connection(events.append)
    async with connect(transport=transport) as alice:
        keyring.rotate_agent("alice", creds, grace_s=2)
        async with raw_socket(venue.url, old) as (reader, writer):
            writer.write(b"PING\r\n")
            async with asyncio.timeout(WAIT_S):
                assert b"PONG" in await reader.readuntil(b"PONG\r\n")
            await is_cut_off(reader)
        with pytest.raises(asyncio.IncompleteReadError):
            async with raw_socket(venue.url, old):
                pass
        await wait_until(lambda: "reconnected" in {event.kind for event in events}, "the SDK does not come back")
        assert (await alice.buy("cpu", 1, "1.00")).status == "new"


async def test_a_lost_credential_is_no_flood_and_no_refusal(venue: Setting) -> None:
    """The SDK of a revoked agent says so instead of waiting."""
    async with venue.connect("operator") as operator, venue.connect("alice") as alice:
        await operator.admin.revoke_agent("alice")
        with pytest.raises((Refused, AgentRevoked)):
            await alice.buy("cpu", 1, "1.00")

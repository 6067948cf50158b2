"""What the guard may do on a real server and on three of them, and nothing more."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import nats
import pytest
from nats.aio.client import Client

from exchange.adapters.server_admin import Connection, ServerAdmin
from tests.adapters.test_permissions import TIMEOUT_S, Venue, received, running_venue
from tests.daemon.support import raw_socket
from tests.faults.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[Venue]:
    """Return a running venue without connections."""
    async with running_venue(tmp_path) as venue:
        yield venue


async def guard_of(venue: Venue) -> tuple[ServerAdmin, Client]:
    """Connect as the guard."""
    client = await venue.connect(venue.keyring.guard_creds_path, "_INBOX.guard")
    return ServerAdmin(client), client


async def test_it_hears_who_comes_and_goes(venue: Venue) -> None:
    """Every connection is told with its agent and its key, and listed; its end is told, too."""
    admin, _ = await guard_of(venue)
    came: list[Connection] = []
    went: list[Connection] = []
    account = venue.keyring.agents_account_id
    await admin.watch(account, came.append, went.append)
    alice = await venue.agent("alice")
    await received(lambda: len(came) == 1)
    assert came[0].agent == "alice"
    assert came[0].key.startswith("U")
    assert await admin.connections(account) == came
    await alice.close()
    await received(lambda: went == came)
    assert await admin.connections(account) == []


async def test_it_cuts_off_one_connection_and_no_other(venue: Venue) -> None:
    """A kick ends a connection at once; a second one of what is gone does no harm."""
    admin, _ = await guard_of(venue)
    first, second = await venue.agent("alice"), await venue.agent("alice")
    account = venue.keyring.agents_account_id
    older, newer = sorted(await admin.connections(account), key=lambda one: one.number)
    assert await admin.kick(older)
    await received(lambda: first.is_closed)
    await second.flush()
    assert await admin.connections(account) == [newer]
    assert await admin.kick(older)


async def test_many_connections_are_listed_by_pages(venue: Venue, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is missed and none doubled when there are more than a page holds."""
    monkeypatch.setattr("exchange.adapters.server_admin._PAGE", 2)
    admin, _ = await guard_of(venue)
    for name in ("a", "b", "c", "d", "e"):
        await venue.agent(name)
    found = await admin.connections(venue.keyring.agents_account_id)
    assert sorted(one.agent for one in found) == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    "subject",
    [
        "$SYS.REQ.SERVER.X.RELOAD",
        "$SYS.REQ.SERVER.PING.VARZ",
        "$SYS.REQ.ACCOUNT.X.CLAIMS.DELETE",
        "$SYS.REQ.CLAIMS.DELETE",
        "$SYS.REQ.CLAIMS.UPDATE",
        "$SYS.ACCOUNT.X.CLAIMS.UPDATE",
        "$JS.API.INFO",
        "exchange.v1.cmd.alice.orders",
    ],
)
async def test_it_may_ask_for_nothing_else(venue: Venue, subject: str) -> None:
    """Of the system account the guard's credential has what it needs."""
    _, client = await guard_of(venue)
    assert await venue.refuses_publish(client, subject)


async def test_it_hears_nothing_else(venue: Venue) -> None:
    """It cannot listen to what the servers tell each other, nor to others' inboxes."""
    _, client = await guard_of(venue)
    for subject in ("$SYS.>", "$SYS.SERVER.>", "_INBOX.>", ">"):
        assert await venue.refuses_subscribe(client, subject)


async def test_claims_that_nobody_signed_are_told_as_a_problem(venue: Venue) -> None:
    """A server that does not take the claims says why; the agents stay."""
    admin, _ = await guard_of(venue)
    alice = await venue.agent("alice")
    problems = await admin.push_claims(venue.keyring.agents_account_id, venue.keyring.account_jwts.popitem()[1])
    assert len(problems) == 1
    assert problems[0].startswith("exchange: ")
    await alice.flush()


@pytest.mark.slow
async def test_a_revocation_reaches_every_server_of_a_cluster(tmp_path: Path) -> None:
    """Agents on all three servers are cut off by one push through one of them, and stay out of all."""
    cluster = Cluster(tmp_path)
    await cluster.start()
    keyring = cluster.keyring
    creds = tmp_path / "alice.creds"
    keyring.write_agent_creds("alice", creds)

    async def ignore(_: Exception) -> None:
        """Cut off is what it shall be."""

    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(cluster.stop)

        async def connect(number: int, path: Path, inbox: str) -> Client:
            client = await nats.connect(
                cluster.url_of(number), user_credentials=str(path), inbox_prefix=inbox, allow_reconnect=False,
                error_cb=ignore,
            )  # fmt: skip
            stack.push_async_callback(client.close)
            return client

        agents = [await connect(number, creds, "_INBOX.alice") for number in range(3)]
        admin = ServerAdmin(await connect(0, keyring.guard_creds_path, "_INBOX.guard"))
        async with asyncio.timeout(TIMEOUT_S):
            while len(await admin.connections(keyring.agents_account_id)) < 3:
                await asyncio.sleep(0.1)
        token = keyring.revoke_agent("alice")
        assert await admin.push_claims(keyring.agents_account_id, token) == []
        await received(lambda: all(agent.is_closed for agent in agents))
        for number in range(3):
            with pytest.raises(asyncio.IncompleteReadError):
                async with raw_socket(cluster.url_of(number), creds):
                    pass
        assert await admin.connections(keyring.agents_account_id) == []

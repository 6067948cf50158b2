"""What each credential may do, asked of the real server."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import nats
import nats.errors
import nkeys  # type: ignore[import-untyped]
import pytest
from nats.js.errors import APIError, BadRequestError

from exchange.adapters.credentials import Keyring
from exchange.adapters.embedded_server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from nats.aio.client import Client
    from nats.aio.msg import Msg

TIMEOUT_S = 10.0


class Venue:
    """A running server and connections to it, each with the violations that it heard of."""

    def __init__(self, server: EmbeddedServer, keyring: Keyring, directory: Path) -> None:
        """Use a running server; credentials are written into `directory`."""
        self.server = server
        self.keyring = keyring
        self.directory = directory
        self.clients: list[Client] = []
        self.errors: dict[Client, list[str]] = {}

    async def connect(self, creds: Path, inbox: str) -> Client:
        """Connect with a credential that the server accepts."""
        heard: list[str] = []

        async def on_error(error: Exception) -> None:
            heard.append(str(error))

        client = await nats.connect(
            self.server.url,
            user_credentials=str(creds),
            inbox_prefix=inbox,
            error_cb=on_error,
            allow_reconnect=False,
        )
        self.clients.append(client)
        self.errors[client] = heard
        return client

    async def refuses(self, creds: Path | None) -> bool:
        """Tell whether the server turns a credential away."""

        def refusals() -> int:
            return self.server.log_path.read_text().count("authentication error")

        async def ignore(_: Exception) -> None:
            """Leave it to the server's log: to the client a refusal may look like a reset."""

        before = refusals()
        # Without reconnecting, nats-py would leave the refused connection open.
        with pytest.raises(nats.errors.NoServersError):
            await nats.connect(
                self.server.url,
                user_credentials=None if creds is None else str(creds),
                error_cb=ignore,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
            )
        return refusals() > before

    async def agent(self, agent_id: str) -> Client:
        """Connect as an agent."""
        creds = self.directory / f"{agent_id}.creds"
        self.keyring.write_agent_creds(agent_id, creds)
        return await self.connect(creds, f"_INBOX.{agent_id}")

    async def gateway(self) -> Client:
        """Connect as the daemon's gateway."""
        return await self.connect(self.keyring.gateway_creds_path, "_INBOX.gateway")

    async def journal(self) -> Client:
        """Connect as the daemon's journal."""
        return await self.connect(self.keyring.journal_creds_path, "_INBOX.journal")

    async def violations(self, client: Client) -> list[str]:
        """Return what the server has refused of what the client has sent so far."""
        # The server answers in order: once it answers a ping it has judged all before. The first
        # ping may overtake what nats-py still holds back; the second cannot.
        await client.flush()
        await client.flush()
        return self.errors[client]

    async def refuses_publish(self, client: Client, subject: str) -> bool:
        """Tell whether the server refuses a message, and refuses it by name."""
        await client.publish(subject, b"{}")
        said = f'permissions violation for publish to "{subject}"'.lower()
        return any(said in line.lower() for line in await self.violations(client))

    async def refuses_subscribe(self, client: Client, subject: str, queue: str = "") -> bool:
        """Tell whether the server refuses a subscription."""
        await client.subscribe(subject, queue=queue)
        said = f'permissions violation for subscription to "{subject}"'.lower()
        return any(said in line.lower() for line in await self.violations(client))


@asynccontextmanager
async def running_venue(directory: Path) -> AsyncIterator[Venue]:
    """Run a server with a new keyring; close what was opened on it."""
    keyring = Keyring.create(directory / "keys")
    server = EmbeddedServer(directory / "data", keyring)
    await server.start()
    venue = Venue(server, keyring, directory)
    try:
        yield venue
    finally:
        for client in venue.clients:
            await client.close()
        await server.stop()


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[Venue]:
    """Return a running venue without connections."""
    async with running_venue(tmp_path) as venue:
        yield venue


async def received(condition: Callable[[], bool]) -> None:
    """Wait until a condition on what a client received holds."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.005)


async def answer(message: Msg) -> None:
    """Answer with the subject, as a gateway that knows who asked."""
    await message.respond(message.subject.encode())


async def test_the_gateway_answers_an_agent(venue: Venue) -> None:
    """An agent's command and query reach the gateway, whose reply reaches the agent's inbox."""
    gateway, alice = await venue.gateway(), await venue.agent("alice")
    await gateway.subscribe("exchange.v1.cmd.>", cb=answer)
    await gateway.subscribe("exchange.v1.query.>", cb=answer)
    await gateway.flush()
    for subject in ("exchange.v1.cmd.alice.orders", "exchange.v1.query.alice.book.cpu"):
        assert (await alice.request(subject, b"{}", timeout=TIMEOUT_S)).data == subject.encode()
    assert venue.errors[alice] == venue.errors[gateway] == []


async def test_an_agent_hears_its_events_and_market_data(venue: Venue) -> None:
    """What the gateway publishes for an agent and for all arrives, and nothing else does."""
    gateway, alice = await venue.gateway(), await venue.agent("alice")
    heard: list[str] = []

    async def note(message: Msg) -> None:
        heard.append(message.subject)

    await alice.subscribe("exchange.v1.evt.alice", cb=note)
    await alice.subscribe("exchange.v1.md.>", cb=note)
    assert await venue.violations(alice) == []
    for subject in ("evt.bob", "evt.alice", "md._venue", "md.cpu.book"):
        await gateway.publish(f"exchange.v1.{subject}", b"{}")
    await received(lambda: len(heard) == 3)
    assert heard == ["exchange.v1.evt.alice", "exchange.v1.md._venue", "exchange.v1.md.cpu.book"]


@pytest.mark.parametrize(
    "subject",
    [
        "exchange.v1.cmd.bob.orders",
        "exchange.v1.query.bob.account",
        "exchange.v1.cmd.alice",
        "exchange.v1.cmd.alicia.orders",
        "exchange.v1.evt.alice",
        "exchange.v1.evt.bob",
        "exchange.v1.md.cpu.book",
        "exchange.v1.md._venue",
        "_INBOX.bob.x",
        "_INBOX.alice.x",
        "_INBOX.gateway.x",
        "$JS.API.INFO",
        "$JS.API.STREAM.CREATE.MINE",
        "$JS.ACK.JOURNAL.x.1.1.1.1.1",
        "$SYS.REQ.USER.INFO",
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.ACCOUNT.PING.CONNZ",
        "exchange.v2.cmd.alice.orders",
        "anything",
    ],
)
async def test_an_agent_may_not_publish(venue: Venue, subject: str) -> None:
    """An agent speaks only for itself, only to the gateway, and never to JetStream."""
    alice = await venue.agent("alice")
    assert await venue.refuses_publish(alice, subject)


@pytest.mark.parametrize(
    "subject",
    [
        "exchange.v1.cmd.>",
        "exchange.v1.cmd.alice.>",
        "exchange.v1.cmd.bob.orders",
        "exchange.v1.query.>",
        "exchange.v1.evt.bob",
        "exchange.v1.evt.*",
        "exchange.v1.evt.>",
        "exchange.v1.evt.alice.>",
        "_INBOX.>",
        "_INBOX.*.x",
        "_INBOX.bob.>",
        "_INBOX.gateway.>",
        "_INBOX.alicia.>",
        "$JS.>",
        "$SYS.>",
        "*.>",
        ">",
    ],
)
@pytest.mark.parametrize("queue", ["", "workers"])
async def test_an_agent_may_not_subscribe(venue: Venue, subject: str, queue: str) -> None:
    """An agent hears neither commands, nor another's events or inbox, nor anything by wildcard."""
    alice = await venue.agent("alice")
    assert await venue.refuses_subscribe(alice, subject, queue)


async def test_a_refused_message_does_not_arrive(venue: Venue) -> None:
    """What alice sends as bob never reaches the gateway, while her own next command does."""
    gateway, alice = await venue.gateway(), await venue.agent("alice")
    heard: list[str] = []

    async def note(message: Msg) -> None:
        heard.append(message.subject)

    await gateway.subscribe("exchange.v1.cmd.>", cb=note)
    await gateway.flush()
    await alice.publish("exchange.v1.cmd.bob.orders", b"{}")
    await alice.publish("exchange.v1.cmd.alice.orders", b"{}")
    await received(lambda: bool(heard))
    assert heard == ["exchange.v1.cmd.alice.orders"]


async def test_a_trace_header_reaches_nobody_else(venue: Venue) -> None:
    """The server's message tracing cannot be used to write into another agent's inbox."""
    alice, bob = await venue.agent("alice"), await venue.agent("bob")
    heard: list[bytes] = []

    async def note(message: Msg) -> None:
        heard.append(message.data)

    gateway = await venue.gateway()
    await bob.subscribe("_INBOX.bob.>", cb=note)
    await bob.flush()
    headers = {"Nats-Trace-Dest": "_INBOX.bob.x"}
    await alice.publish("exchange.v1.cmd.alice.orders", b"{}", headers=headers)
    said = "".join(await venue.violations(alice)).lower()
    assert 'publish to "_inbox.bob.x"' in said
    await gateway.publish("_INBOX.bob.y", b"last")
    await received(lambda: b"last" in heard)
    assert heard == [b"last"]


async def test_an_agent_without_a_gateway_learns_so(venue: Venue) -> None:
    """With nobody subscribed to commands, a request fails at once and not by time-out."""
    alice = await venue.agent("alice")
    with pytest.raises(nats.errors.NoRespondersError):
        await alice.request("exchange.v1.cmd.alice.orders", b"{}", timeout=TIMEOUT_S)


async def test_accounts_share_nothing(venue: Venue) -> None:
    """What is published in the journal's account is not heard in the agents', nor the reverse."""
    gateway, journal, alice = (
        await venue.gateway(),
        await venue.journal(),
        await venue.agent("alice"),
    )
    heard: dict[str, list[bytes]] = {"gateway": [], "journal": []}

    async def note_gateway(message: Msg) -> None:
        heard["gateway"].append(message.data)

    async def note_journal(message: Msg) -> None:
        heard["journal"].append(message.data)

    await gateway.subscribe("exchange.v1.cmd.>", cb=note_gateway)
    await journal.subscribe(">", cb=note_journal)
    await gateway.flush()
    await journal.flush()
    await journal.publish("exchange.v1.cmd.alice.orders", b"from core")
    await alice.publish("exchange.v1.cmd.alice.orders", b"from agents")
    await alice.flush()
    await journal.publish("done", b"done")
    await received(lambda: bool(heard["gateway"]) and b"done" in heard["journal"])
    assert heard == {"gateway": [b"from agents"], "journal": [b"from core", b"done"]}


async def test_the_agents_account_has_no_jetstream(venue: Venue) -> None:
    """Not even the account's own key opens JetStream in the account of the agents."""
    account = nkeys.from_seed((venue.keyring.path / "agents.nk").read_bytes().strip())
    everything = {"pub": {"allow": [">"]}, "sub": {"allow": [">"]}}
    limits = {"subs": -1, "data": -1, "payload": -1}
    creds = forge(venue, account, everything | limits)
    client = await venue.connect(creds, "_INBOX.root")
    for subject in ("$JS.API.INFO", "$JS.API.STREAM.NAMES"):
        reply = json.loads((await client.request(subject, b"", timeout=TIMEOUT_S)).data)
        assert reply["error"]["description"] == "JetStream not enabled for account"
    with pytest.raises(APIError, match="not enabled for account"):
        await client.jetstream().add_stream(name="MINE", subjects=["exchange.v1.cmd.>"])


async def test_the_journal_can_create_a_stream_and_write_it(venue: Venue) -> None:
    """The journal's credential creates a stream, and a write with a wrong fence is refused."""
    journal = await venue.journal()
    stream = journal.jetstream()
    await stream.add_stream(name="JOURNAL", subjects=["journal"])
    fence = {"Nats-Expected-Last-Sequence": "0"}
    assert (await stream.publish("journal", b"1", headers=fence)).seq == 1
    with pytest.raises(BadRequestError) as raised:
        await stream.publish("journal", b"2", headers=fence)
    assert raised.value.err_code == 10071


async def test_the_gateway_reaches_no_journal(venue: Venue) -> None:
    """The gateway's credential can neither use JetStream nor speak as an agent."""
    gateway = await venue.gateway()
    assert await venue.refuses_publish(gateway, "$JS.API.STREAM.INFO.JOURNAL")
    assert await venue.refuses_publish(gateway, "exchange.v1.cmd.alice.orders")
    assert await venue.refuses_subscribe(gateway, "_INBOX.alice.>")


async def test_the_system_user_can_ask_the_server(venue: Venue) -> None:
    """The system credential reads the server's state, which a kick needs."""
    system = await venue.connect(venue.keyring.system_creds_path, "_INBOX.system")
    reply = await system.request("$SYS.REQ.SERVER.PING.JSZ", b"{}", timeout=TIMEOUT_S)
    assert json.loads(reply.data)["server"]["name"] == "exchange"


def forge(venue: Venue, issuer: Any, nats_claims: dict[str, Any], name: str = "mallory") -> Path:
    """Write a credential signed by `issuer`, an nkey, with claims of the test's choosing."""
    user_seed = nkeys.encode_seed(b"m" * 32, nkeys.PREFIX_BYTE_USER)
    claims = {
        "iat": int(time.time()),
        "iss": issuer.public_key.decode(),
        "jti": "forged",
        "name": name,
        "nats": {"type": "user", "version": 2} | nats_claims,
        "sub": nkeys.from_seed(user_seed).public_key.decode(),
    }
    head = {"typ": "JWT", "alg": "ed25519-nkey"}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in (head, claims)]
    signed = b".".join(part.rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(issuer.sign(signed)).rstrip(b"=")
    text = venue.keyring.mint_agent("mallory")
    text = re.sub(r"eyJ\S+", (signed + b"." + signature).decode(), text)
    file = venue.directory / "forged.creds"
    file.write_text(re.sub(r"(?m)^SU\S{56}$", user_seed.decode(), text))
    return file


@pytest.mark.parametrize(
    "extra",
    [
        {"pub": {"allow": [">"]}},
        {"sub": {"allow": ["exchange.v1.cmd.>"]}},
        {"subs": -1},
        {"payload": -1},
        {"resp": {"max": -1, "ttl": 0}},
        {"allowed_connection_types": ["LEAFNODE"]},
    ],
)
async def test_the_scoped_key_cannot_give_other_permissions(
    venue: Venue,
    extra: dict[str, Any],
) -> None:
    """The server refuses a JWT of the scoped key that brings permissions or limits of its own."""
    scoped = nkeys.from_seed((venue.keyring.path / "agents-signing.nk").read_bytes().strip())
    issued = {"issuer_account": venue.keyring.agents_account_id}
    await venue.connect(forge(venue, scoped, issued), "_INBOX.mallory")
    assert await venue.refuses(forge(venue, scoped, issued | extra))


async def test_a_key_of_another_venue_opens_nothing(venue: Venue, tmp_path: Path) -> None:
    """A credential that another venue's key signed is refused, whatever account it names."""
    other = Keyring.create(tmp_path / "other")
    creds = tmp_path / "other.creds"
    other.write_agent_creds("alice", creds)
    assert await venue.refuses(creds)
    scoped = nkeys.from_seed((other.path / "agents-signing.nk").read_bytes().strip())
    issued = {"issuer_account": venue.keyring.agents_account_id}
    assert await venue.refuses(forge(venue, scoped, issued))


async def test_a_user_without_permissions_may_do_nothing(venue: Venue) -> None:
    """A JWT minted without permissions by the account's own key is shut out of all subjects."""
    account = nkeys.from_seed((venue.keyring.path / "agents.nk").read_bytes().strip())
    limits = {"subs": -1, "data": -1, "payload": -1}
    client = await venue.connect(forge(venue, account, limits), "_INBOX.mallory")
    assert await venue.refuses_publish(client, "exchange.v1.cmd.alice.orders")
    assert await venue.refuses_subscribe(client, "exchange.v1.cmd.>")


async def test_without_a_credential_nobody_gets_in(venue: Venue) -> None:
    """A connection without a credential is refused."""
    assert await venue.refuses(None)


async def test_revoking_cuts_an_agent_off(venue: Venue) -> None:
    """The new account JWT ends the agent's connections at once; a new credential works again."""
    alice, bob = await venue.agent("alice"), await venue.agent("bob")
    system = await venue.connect(venue.keyring.system_creds_path, "_INBOX.system")
    token = venue.keyring.revoke_agent("alice")
    subject = f"$SYS.REQ.ACCOUNT.{venue.keyring.agents_account_id}.CLAIMS.UPDATE"
    reply = json.loads((await system.request(subject, token.encode(), timeout=TIMEOUT_S)).data)
    assert reply["data"]["code"] == 200
    await received(lambda: alice.is_closed)
    await bob.flush()
    revoked = venue.directory / "revoked.creds"
    (venue.directory / "alice.creds").rename(revoked)
    assert await venue.refuses(revoked)
    again = await venue.agent("alice")
    await again.flush()


async def test_a_revocation_outlives_the_server(venue: Venue) -> None:
    """A restarted server refuses what was revoked before, told by its configuration alone."""
    alice = await venue.agent("alice")
    await alice.close()
    venue.keyring.revoke_agent("alice")
    await venue.server.stop()
    await venue.server.start()
    assert await venue.refuses(venue.directory / "alice.creds")
    await venue.gateway()

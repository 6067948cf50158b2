"""What the system account may ask of the servers: who is connected, cut that one off, take these claims.

It speaks to every server of a cluster: a question to all is answered by each, and how many there are the
first one says.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog
from nats.errors import Error as NatsError

from exchange.adapters._jwt import CredentialError, claims_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from nats.aio.client import Client
    from nats.aio.msg import Msg

__all__ = ["Connection", "ServerAdmin", "StoreUse"]

_PATIENCE_S: Final = 2.0
_PAGE: Final = 1_000
_BUSIEST: Final = 100

log = structlog.get_logger(__name__)


class Connection(NamedTuple):
    """Name one connection of an account: its server, its number there, its agent and the key it logged in with."""

    server: str
    number: int
    agent: str
    key: str


class StoreUse(NamedTuple):
    """Hold the bytes in a store of JetStream, and the bytes that fit in."""

    used: int
    limit: int


class ServerAdmin:
    """Ask the servers behind a client of the system account; what does not answer in time is left out."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def push_claims(self, account: str, token: str) -> list[str]:
        """Give every server a newer JWT of an account, which cuts off whom it revokes; return what went wrong.

        A server that keeps accounts in memory knows it until it ends, one that keeps them in files for good.
        """
        subject = f"$SYS.REQ.ACCOUNT.{account}.CLAIMS.UPDATE"
        answers = [answer async for answer in self._ask_all(subject, token.encode())]
        if not answers:
            return ["no server answered"]
        return [f"{_server_of(answer)}: {_problem_of(answer)}" for answer in answers if answer.get("error")]

    async def connections(self, account: str) -> list[Connection]:
        """Return who is connected to an account, on all servers."""
        query = {"acc": account, "auth": True, "limit": _PAGE}
        found: list[Connection] = []
        async for answer in self._ask_all("$SYS.REQ.SERVER.PING.CONNZ", json.dumps(query).encode()):
            server = str(answer.get("server", {}).get("id", ""))
            page = answer.get("data", {})
            found += _connections_in(page, server)
            offset = len(page.get("connections", []))
            while offset and offset < int(page.get("total", 0)):
                reply = await self._ask(f"$SYS.REQ.SERVER.{server}.CONNZ", query | {"offset": offset})
                rest = (reply or {}).get("data", {})
                found += _connections_in(rest, server)
                if not rest.get("connections"):
                    break
                offset += len(rest["connections"])
        return list(dict.fromkeys(found))

    async def busy(self, account: str, above: int) -> set[str]:
        """Return the agents of whose connections one has sent more than ``above`` messages, of the busiest."""
        query = {"acc": account, "auth": True, "sort": "msgs_from", "limit": _BUSIEST}
        found: set[str] = set()
        async for answer in self._ask_all("$SYS.REQ.SERVER.PING.CONNZ", json.dumps(query).encode()):
            rows = answer.get("data", {}).get("connections") or []
            found.update(_agent_of(row.get("jwt")) for row in rows if int(row.get("in_msgs", 0)) > above)
        return found

    async def describe(self) -> list[dict[str, Any]]:
        """Return what every server says of itself."""
        return [answer async for answer in self._ask_all("$SYS.REQ.SERVER.PING.VARZ", b"{}")]

    async def kick(self, connection: Connection) -> bool:
        """Cut off one connection; return whether its server did so, or it was gone already."""
        answer = await self._ask(f"$SYS.REQ.SERVER.{connection.server}.KICK", {"cid": connection.number})
        return answer is not None

    async def store_use(self) -> StoreUse | None:
        """Return how full the fullest store is; None when no server says."""
        found: list[StoreUse] = []
        async for answer in self._ask_all("$SYS.REQ.SERVER.PING.JSZ", b""):
            data = answer.get("data") or {}
            limit = int((data.get("config") or {}).get("max_storage", 0))
            if limit > 0:
                found.append(StoreUse(int(data.get("storage", 0)), limit))
        return max(found, key=lambda use: use.used / use.limit, default=None)

    async def watch(
        self,
        account: str,
        on_connect: Callable[[Connection], None],
        on_disconnect: Callable[[Connection], None],
    ) -> None:
        """Call back with everyone who connects to an account or leaves it from now on."""
        for kind, tell in (("CONNECT", on_connect), ("DISCONNECT", on_disconnect)):

            async def hear(message: Msg, tell: Callable[[Connection], None] = tell) -> None:
                connection = _connection_in(message.data)
                if connection is not None:
                    tell(connection)

            await self._client.subscribe(f"$SYS.ACCOUNT.{account}.{kind}", cb=hear)
        await self._client.flush()

    async def _ask(self, subject: str, query: dict[str, Any]) -> dict[str, Any] | None:
        try:
            message = await self._client.request(subject, json.dumps(query).encode(), timeout=_PATIENCE_S)
        except NatsError as error:
            log.warning("a server does not answer", subject=subject, error=repr(error))
            return None
        return _decoded(message.data)

    async def _ask_all(self, subject: str, payload: bytes) -> AsyncIterator[dict[str, Any]]:
        """Ask every server, and yield each one's answer."""
        count = 0
        expected = await self._count_servers()
        answers: asyncio.Queue[bytes] = asyncio.Queue()
        inbox = self._client.new_inbox()

        async def hear(message: Msg) -> None:
            answers.put_nowait(message.data)

        subscription = await self._client.subscribe(inbox, cb=hear)
        try:
            await self._client.publish(subject, payload, reply=inbox)
            deadline = asyncio.get_running_loop().time() + _PATIENCE_S
            while count < expected:
                try:
                    async with asyncio.timeout_at(deadline):
                        answer = _decoded(await answers.get())
                except TimeoutError:
                    log.warning("not all servers answer", subject=subject, answers=count, servers=expected)
                    return
                if answer:
                    count += 1
                    yield answer
        finally:
            with contextlib.suppress(NatsError):
                await subscription.unsubscribe()

    async def _count_servers(self) -> int:
        answer = await self._ask("$SYS.REQ.SERVER.PING.STATSZ", {})
        return max(int(((answer or {}).get("statsz") or {}).get("active_servers", 1)), 1)


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _connections_in(page: dict[str, Any], server: str) -> list[Connection]:
    return [
        Connection(server, int(row["cid"]), _agent_of(row.get("jwt")), str(row.get("authorized_user", "")))
        for row in page.get("connections") or []
    ]


def _connection_in(event: bytes) -> Connection | None:
    answer = _decoded(event)
    server, client = answer.get("server") or {}, answer.get("client") or {}
    if "id" not in server or "id" not in client:
        return None
    return Connection(str(server["id"]), int(client["id"]), _agent_of(client.get("jwt")), str(client.get("user", "")))


def _agent_of(token: object) -> str:
    """Return whom a user JWT names; the server has checked it. Its own `name_tag` names the account."""
    try:
        return str(claims_of(str(token), Path("a connection")).get("name", ""))
    except CredentialError:
        return ""


def _server_of(answer: dict[str, Any]) -> str:
    return str(answer.get("server", {}).get("name", "a server"))


def _problem_of(answer: dict[str, Any]) -> str:
    return str(answer["error"].get("description", answer["error"]))

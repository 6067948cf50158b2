"""Carry messages over NATS."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import nats.errors

from agent_sdk.chance import Chance
from agent_sdk.errors import ConnectionFailed, CredentialsError, NotSent
from agent_sdk.transport import ConnectionEvent
from exchange.nats_client import NatsClient
from exchange.tls import explain_tls

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import Callable

    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    from agent_sdk.transport import ConnectionKind, MessageCallback, Unsubscribe

__all__ = ["DEFAULT_URL", "NatsTransport", "agent_id_of"]

DEFAULT_URL: Final = "nats://127.0.0.1:4222"

_log: Final = logging.getLogger("agent_sdk")
_log.addHandler(logging.NullHandler())

_AGENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
_USER_JWT: Final = re.compile(rb"-+BEGIN NATS USER JWT-+\s+([A-Za-z0-9_.=-]+)\s+-+END NATS USER JWT-+")
_SEED: Final = re.compile(rb"-+BEGIN USER NKEY SEED-+\s+S[A-Z2-7]+\s+-+END USER NKEY SEED-+")
_VIOLATION: Final = re.compile(r'permissions violation for (?:publish|subscription)[a-z ]* to "([^"]*)"|"([^"]+)"')
_PENDING_MESSAGES_MAX: Final = 262_144
_PENDING_BYTES_MAX: Final = 256 * 1024 * 1024
_PING_INTERVAL_S: Final = 2
_RECONNECT_WAIT_S: Final = 0.25
"""Half of it to twice it, so that not all agents come back at the same moment."""
_CLOSE_TIMEOUT_S: Final = 5.0


def agent_id_of(creds: str | os.PathLike[str]) -> str:
    """Return the agent's id: the ``name`` claim of the user JWT in a creds file.

    The signature is not checked; the server does that.

    Raises:
        CredentialsError: The file is missing, unreadable or no creds file.

    """
    path = Path(creds)
    try:
        text = path.read_bytes()
    except OSError as error:
        message = f"cannot read the creds file {path}: {error.strerror or error}"
        raise CredentialsError(message) from None
    found = _USER_JWT.search(text)
    if found is None or _SEED.search(text) is None:
        message = f"{path} is no creds file: it must hold a NATS user JWT and its seed"
        raise CredentialsError(message)
    try:
        payload = found[1].split(b".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        name = claims["name"]
    except (IndexError, KeyError, TypeError, UnicodeDecodeError, binascii.Error, msgspec.DecodeError):
        message = f"the JWT in {path} cannot be read"
        raise CredentialsError(message) from None
    if not isinstance(name, str) or not _AGENT_ID.fullmatch(name):
        message = f"the JWT in {path} names {name!r}, which is no agent id"
        raise CredentialsError(message)
    return name


class NatsTransport:
    """Keep one NATS connection, rebuilt whenever it closes by itself, with all its subscriptions."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        creds: str | os.PathLike[str] | None = None,
        *,
        agent: str | None = None,
        tls: ssl.SSLContext | None = None,
        connect_timeout: float = 5.0,
    ) -> None:
        """Prepare a connection to the servers in ``url`` (separated by commas).

        ``creds`` is the path of a creds file. Without it, ``agent`` names the agent, and user and
        password can be part of the URL. Nothing happens before `open`.

        Raises:
            CredentialsError: There is neither a readable creds file nor an agent id.

        """
        if creds is None and agent is None:
            message = 'no credentials: give creds="alice.creds" or set EXCHANGE_CREDS to the path of a creds file'
            raise CredentialsError(message)
        self._agent = agent_id_of(creds) if creds is not None else str(agent)
        self._servers = [part.strip() for part in url.split(",") if part.strip()]
        self._creds = None if creds is None else str(creds)
        self._tls = tls
        self._connect_timeout_s = connect_timeout
        self._client: NatsClient | None = None
        self._callbacks: list[Callable[[ConnectionEvent], None]] = []
        self._subscriptions: dict[int, tuple[str, MessageCallback]] = {}
        self._live: dict[int, Subscription] = {}
        self._next_key = 0
        self._chance = Chance()
        self._is_closing = False
        self._rebuilding: asyncio.Task[None] | None = None

    @property
    def agent(self) -> str:
        """The id of the agent."""
        return self._agent

    def on_connection(self, callback: Callable[[ConnectionEvent], None]) -> None:
        """Call ``callback`` with whatever happens to the connection."""
        self._callbacks.append(callback)

    def _tell(self, kind: ConnectionKind, subject: str = "", detail: str = "") -> None:
        event = ConnectionEvent(kind, subject, detail)
        for callback in self._callbacks:
            # An exception here would end the client's read loop.
            try:
                callback(event)
            except Exception:  # noqa: BLE001 - see above
                _log.exception("a connection callback failed")

    # ── connecting ──────────────────────────────────────────────────────────────────────────────

    async def open(self) -> None:
        """Connect, failing at once when no server accepts.

        Raises:
            ConnectionFailed: No server answers.
            CredentialsError: The server does not accept the credentials.

        """
        if not self._servers:
            # The client would look for one for ever, without letting go of the loop.
            message = "cannot connect: the URL names no server"
            raise ConnectionFailed(message)
        failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        failures = 0

        def on_failure(error: Exception) -> None:
            nonlocal failures
            failures += 1
            if failures >= len(self._servers) and not failed.done():
                failed.set_result(error)

        connecting = asyncio.create_task(self._connect(on_failure))
        try:
            await asyncio.wait(
                (connecting, failed), timeout=self._connect_timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            error: BaseException | None = TimeoutError()
            if connecting.done():
                error = connecting.exception()
            elif failed.done():
                error = failed.result()
            if error is not None:
                raise self._explained(error)
            self._client = connecting.result()
        finally:
            if not connecting.done():
                connecting.cancel()
                await asyncio.gather(connecting, return_exceptions=True)
        self._tell("connected")

    def _explained(self, error: BaseException) -> ConnectionFailed | CredentialsError:
        where = ", ".join(re.sub(r"//[^@/]*@", "//", server) for server in self._servers)
        text = str(error) or type(error).__name__
        if "authorization" in text.lower() or "authentication" in text.lower():
            return CredentialsError(f"the server at {where} does not accept the credentials of {self._agent}: {text}")
        if isinstance(error, binascii.Error) or type(error).__module__.startswith("nkeys"):
            return CredentialsError(f"the seed in the creds file {self._creds} cannot be used")
        explained = explain_tls(error)
        if explained is not None:
            return ConnectionFailed(f"cannot connect to {where}: {explained}")
        if isinstance(error, TimeoutError):
            text = f"no answer within {self._connect_timeout_s:g} s"
        return ConnectionFailed(f"cannot connect to {where}: {text}")

    async def _connect(self, on_failure: Callable[[Exception], None] | None) -> NatsClient:
        client = NatsClient()
        first = on_failure

        async def on_error(error: Exception) -> None:
            if first is not None:
                first(error)
            self._on_error(error)

        async def on_disconnected() -> None:
            self._tell("disconnected")

        async def on_reconnected() -> None:
            self._tell("reconnected")

        async def on_closed() -> None:
            # The server ended it for good (say, the JWT expired): only a new client can go on.
            if not self._is_closing and client is self._client:
                self._rebuilding = asyncio.create_task(self._rebuild(), name="agent-sdk-rebuild")

        options: dict[str, Any] = {}
        if self._tls is not None:
            options["tls"] = self._tls
        try:
            await client.connect(
                servers=self._servers,
                name=f"agent_sdk {self._agent}",
                user_credentials=self._creds,
                error_cb=on_error,
                disconnected_cb=on_disconnected,
                reconnected_cb=on_reconnected,
                closed_cb=on_closed,
                inbox_prefix=f"_INBOX.{self._agent}",
                max_reconnect_attempts=-1,
                reconnect_time_wait=_RECONNECT_WAIT_S * self._chance.spread(0.5, 2.0),  # type: ignore[arg-type] # it is only slept
                ping_interval=_PING_INTERVAL_S,
                max_outstanding_pings=2,
                pending_size=0,
                **options,
            )
        except BaseException:
            with contextlib.suppress(Exception):
                await client.close()
            raise
        first = None
        return client

    async def _rebuild(self) -> None:
        self._live.clear()
        while not self._is_closing:
            try:
                client = await self._connect(None)
                self._client = client
                for key, (subject, callback) in list(self._subscriptions.items()):
                    self._live[key] = await self._subscribe(client, subject, callback)
            except Exception as error:  # noqa: BLE001 - whatever it was, go on trying
                _log.warning("cannot rebuild the connection: %s", error)
                await asyncio.sleep(_RECONNECT_WAIT_S * self._chance.spread(0.5, 2.0))
            else:
                self._tell("reconnected")
                return

    def _on_error(self, error: Exception) -> None:
        if isinstance(error, nats.errors.SlowConsumerError):
            self._tell("dropped", error.subject)
            return
        text = str(error)
        if "permissions violation" in text:
            found = _VIOLATION.search(text)
            subject = (found[1] or found[2]) if found else ""
            self._tell("permission_denied", subject, text.removeprefix("nats: "))

    async def close(self) -> None:
        """Close the connection; a second call does nothing."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._rebuilding is not None and not self._rebuilding.done():
            self._rebuilding.cancel()
            await asyncio.gather(self._rebuilding, return_exceptions=True)
        if self._client is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await self._client.close()
        self._tell("closed")

    # ── messages ────────────────────────────────────────────────────────────────────────────────

    async def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Send one message.

        Raises:
            NotSent: There is no connection at the moment, or the message is too large for the server.

        """
        client = self._client
        if client is None:
            message = "there is no connection"
            raise NotSent(message)
        try:
            await client.publish(subject, payload, reply)
        except nats.errors.Error as error:
            raise NotSent(str(error)) from None

    async def subscribe(self, subject: str, callback: MessageCallback) -> Unsubscribe:
        """Call ``callback`` with each message on ``subject``, also after reconnects.

        Raises:
            ConnectionFailed: The transport was closed.

        """
        if self._is_closing:
            message = "the connection is closed"
            raise ConnectionFailed(message)
        self._next_key += 1
        key = self._next_key
        self._subscriptions[key] = (subject, callback)
        if self._client is not None:
            with contextlib.suppress(nats.errors.ConnectionClosedError):  # being rebuilt
                self._live[key] = await self._subscribe(self._client, subject, callback)

        async def unsubscribe() -> None:
            self._subscriptions.pop(key, None)
            live = self._live.pop(key, None)
            if live is not None:
                with contextlib.suppress(nats.errors.Error):
                    await live.unsubscribe()

        return unsubscribe

    @staticmethod
    async def _subscribe(client: NatsClient, subject: str, callback: MessageCallback) -> Subscription:
        async def deliver(message: Msg) -> None:
            try:
                callback(message.subject, message.data)
            except Exception:  # noqa: BLE001 - nor of a subscription
                _log.exception("a message callback failed")

        return await client.subscribe(
            subject,
            cb=deliver,
            pending_msgs_limit=_PENDING_MESSAGES_MAX,
            pending_bytes_limit=_PENDING_BYTES_MAX,
        )

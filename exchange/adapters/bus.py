"""Connect to NATS: one client per purpose, rebuilt by nobody but nats-py, its callbacks never raising."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import structlog
from nats.aio.subscription import Subscription
from nats.errors import BadSubjectError, OutboundBufferLimitError
from nats.errors import Error as NatsError
from nats.protocol import parser

from exchange.adapters.outgoing import Outgoing
from exchange.nats_client import NatsClient
from exchange.tls import TlsFiles, TlsFilesError, explain_tls

if TYPE_CHECKING:
    from pathlib import Path

    from nats.aio.client import Client

Receive = Callable[[str, str, bytes], None]

__all__ = [
    "BusError",
    "Egress",
    "Ingress",
    "Receive",
    "connect",
    "encode_message",
    "ignore",
    "write",
]

_PING_S: Final = 2
_CONNECT_S: Final = 5.0
_PROBLEMS_TOLD: Final = 4
_RECONNECT_S: Final = 0.25
_REFUSED_MAX: Final = 20
"""So often a credential is tried again; a server may still be reading whom it is to trust."""

# The server takes every byte but these four for part of a subject; nats-py 2.16 also stops at \v and
# \f, and cuts the connection on a subject that holds one. An agent may send such a subject.
_TOKEN: Final = rb"([^ \t\r\n]+)[ \t]+"
parser.MSG_RE = re.compile(rb"\AMSG[ \t]+" + _TOKEN + _TOKEN + rb"(" + _TOKEN + rb")?(\d+)\r\n")
parser.HMSG_RE = re.compile(rb"\AHMSG[ \t]+" + _TOKEN + _TOKEN + rb"(" + _TOKEN + rb")?(\d+)[ \t]+(\d+)\r\n")

log = structlog.get_logger(__name__)


class BusError(Exception):
    """Raised when the server cannot be reached or refuses the credential."""


def ignore(_subject: str, _reply: str, _payload: bytes) -> None:
    """Ignore a message."""


class Ingress(NatsClient):
    """Receive what agents send, whatever it is.

    nats-py decodes subject, reply and headers before anybody can look at them, and its read loop
    ends on what cannot be decoded: one message of one agent would deafen the venue until the next
    reconnect. This client hands the bytes straight to the receiver and drops what is not ASCII. It
    also saves a queue and a task per subscription: the queues are the gateway's, and bounded. The
    journal uses it for its acknowledgements, for that reason.
    """

    def __init__(self) -> None:
        super().__init__()
        self._receivers: dict[int, Receive] = {}
        self.on_drop: Callable[[], None] = lambda: None

    def receive(self, subscription: Subscription, receive: Receive) -> None:
        """Hand every message of a subscription to ``receive(subject, reply, payload)``."""
        self._receivers[subscription._id] = receive  # noqa: SLF001 - nats-py has no other handle

    def forget(self, subscription: Subscription) -> None:
        """Drop what still comes of a subscription that was ended."""
        self._receivers[subscription._id] = ignore  # noqa: SLF001 - as before

    def deafen(self) -> None:
        """Ignore whatever comes from now on: another daemon answers it."""
        self._receivers = dict.fromkeys(self._receivers, ignore)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        receive = self._receivers.get(sid)
        if receive is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        if receive is ignore:
            return
        try:
            receive(subject.decode("ascii"), reply.decode("ascii"), bytes(data))
        except UnicodeDecodeError:
            self.on_drop()
        except Exception:
            # A mistake of ours with one message must not end the read loop, either.
            log.exception("a message could not be received", subject=subject, bytes=len(data))
            self.on_drop()


async def connect(
    url: str,
    creds: Path,
    name: str,
    *,
    on_disconnect: Callable[[], None] = lambda: None,
    on_reconnect: Callable[[], None] = lambda: None,
    on_end: Callable[[str], None] = lambda _why: None,
    client: NatsClient | None = None,
    outstanding_pings: int = 3,
    tls: TlsFiles | None = None,
) -> NatsClient:
    """Connect one client; ``url`` may name several servers of a cluster, separated by commas.

    ``on_end`` hears why, when the server ends the connection for good, or keeps refusing to take it back.

    Raises:
        BusError: the server cannot be reached or refuses the credential.
    """
    client = client or NatsClient()

    # nats-py's read loop dies of a callback that raises; these only log.
    # A refused credential shows now as an error of the server, now as a reset: all that came is told.
    problems: dict[str, None] = {}
    refusals = 0
    was_connected = False

    async def error_cb(error: Exception) -> None:
        nonlocal refusals
        _note(problems, error)
        log.warning("bus error", client=name, error=repr(error))
        refusals += was_connected and _is_refusal(error)
        if refusals == _REFUSED_MAX:
            _call(lambda: on_end(f"the server does not take the connection {name} back: {error!r}"))

    async def disconnected_cb() -> None:
        if client.is_closed:
            return
        log.warning("bus disconnected", client=name)
        _call(on_disconnect)

    async def reconnected_cb() -> None:
        nonlocal refusals
        refusals = 0
        log.info("bus reconnected", client=name)
        _call(on_reconnect)

    async def closed_cb() -> None:
        if client.is_cast_off:
            why = f"the server ended the connection {name} for good: {client.last_error!r}"
            log.error("bus ended", client=name, error=repr(client.last_error))
            _call(lambda: on_end(why))

    options: dict[str, Any] = {
        # Of several daemons the server's list of connections tells which is whose.
        "name": f"exchange-{name}-{os.getpid()}",
        "user_credentials": str(creds),
        "inbox_prefix": f"_INBOX.{name}",
        "error_cb": error_cb,
        "disconnected_cb": disconnected_cb,
        "reconnected_cb": reconnected_cb,
        "closed_cb": closed_cb,
        "allow_reconnect": True,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": _RECONNECT_S,
        "connect_timeout": 5,
        "ping_interval": _PING_S,
        "max_outstanding_pings": outstanding_pings,
        # What cannot leave now is repeated by who asked; nothing piles up.
        "pending_size": 0,
    }
    options |= _tls_options(tls)
    try:
        # Once connected it reconnects for ever; a server that was never there is an error.
        async with asyncio.timeout(_CONNECT_S):
            await client.connect([server.strip() for server in url.split(",")], **options)
    except (NatsError, OSError, TimeoutError) as error:
        await client.close()
        told = explain_tls(error) or ", ".join(problems) or repr(error)
        message = f"cannot connect {name} to {url} with {creds}: {told}"
        raise BusError(message) from error
    except BaseException:
        # Told to stop while it connected.
        await client.close()
        raise
    was_connected = True
    return client


def _note(problems: dict[str, None], error: Exception) -> None:
    if len(problems) < _PROBLEMS_TOLD:
        problems[explain_tls(error) or repr(error)] = None


def _is_refusal(error: Exception) -> bool:
    text = str(error).lower()
    return "authorization" in text or "authentication" in text


def _call(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:
        log.exception("a callback of the bus failed")


def _tls_options(tls: TlsFiles | None) -> dict[str, Any]:
    try:
        context = (tls or TlsFiles.from_env()).context()
    except TlsFilesError as error:
        raise BusError(str(error)) from None
    return {} if context is None else {"tls": context}


def encode_message(subject: str, payload: bytes, reply: str = "", header: bytes = b"") -> bytes:
    """Return a message as the NATS protocol has it; ``header`` is lines that end in CR LF.

    Raises:
        BadSubjectError: a subject holds a space or a control character: it would end the line.
    """
    subjects = f"{subject}{reply}"
    if " " in subjects or not subjects.isprintable():
        raise BadSubjectError
    to = f"{subject} {reply}".rstrip().encode()
    if not header:
        return b"PUB %b %d\r\n%b\r\n" % (to, len(payload), payload)
    header = b"NATS/1.0\r\n%b\r\n" % header
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (to, len(header), len(header) + len(payload), header, payload)


async def write(client: Client, messages: list[bytes]) -> None:
    """Write encoded messages to a client's connection in this very turn of the event loop.

    nats-py leaves the writing to a task of its own, which an order would wait for twice. All that is
    written by one client must be written this way, or it may be overtaken.

    Raises:
        nats.errors.Error: the client is not connected; nothing was written.
    """
    transport: Any = client._transport  # noqa: SLF001 - nats-py has no other way past its task
    if transport is None or not client.is_connected:
        raise OutboundBufferLimitError
    transport.write(b"".join(messages))
    await transport.drain()


class Egress(Outgoing):
    """Send what may leave over a client."""

    def __init__(self, client: Client, may_refuse: Callable[[], Awaitable[None]]) -> None:
        super().__init__(may_refuse)
        self._client = client

    async def _publish(self, messages: list[tuple[str, bytes]]) -> int:
        lost = 0
        encoded = []
        for subject, payload in messages:
            try:
                encoded.append(encode_message(subject, payload))
            except BadSubjectError:
                lost += 1
        if encoded:
            try:
                await write(self._client, encoded)
            except (NatsError, OSError):
                lost += len(encoded)
        return lost

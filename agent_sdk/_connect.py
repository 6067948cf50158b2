"""Open a connection and close it again."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from agent_sdk.agent import Agent
from agent_sdk.errors import CredentialsError
from agent_sdk.nats_transport import DEFAULT_URL, NatsTransport
from agent_sdk.session import Connection
from exchange.tls import TlsFiles, TlsFilesError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from agent_sdk.chance import Chance
    from agent_sdk.transport import Transport

__all__ = ["connect"]


@contextlib.asynccontextmanager
async def connect(
    url: str | None = None,
    creds: str | os.PathLike[str] | None = None,
    *,
    transport: Transport | None = None,
    tls: ssl.SSLContext | None = None,
    ca: str | os.PathLike[str] | None = None,
    cert: str | os.PathLike[str] | None = None,
    key: str | os.PathLike[str] | None = None,
    timeout: float = 10.0,  # noqa: ASYNC109 - passed on
    chance: Chance | None = None,
) -> AsyncIterator[Agent]:
    """Connect to a venue as the agent that ``creds`` names, and disconnect at the end of the block.

    ``url`` (default: ``$NATS_URL``, else ``nats://127.0.0.1:4222``) may name several servers,
    separated by commas. ``creds`` (default: ``$EXCHANGE_CREDS``) is the path of a creds file.
    ``ca`` (default: ``$NATS_CA``) is the authority that signed the server's certificate, with which the
    connection must be encrypted; ``cert`` and ``key`` (``$NATS_CERT``, ``$NATS_KEY``) are for a server that
    asks for a certificate. ``tls`` takes the place of the three, ``transport`` of all of them. The venue has
    ``timeout`` seconds to answer. ``chance`` is where ids and pauses are drawn from, for runs that must repeat.

    Raises:
        CredentialsError: No, an unreadable, or an unacceptable creds file; or a file of TLS that cannot be used.
        ConnectionFailed: No server answers, or no venue behind it.
        PermissionDenied: The server does not let the agent speak with the venue.

    """
    if transport is None:
        if tls is None:
            tls = _context(ca, cert, key)
        transport = NatsTransport(
            url or os.environ.get("NATS_URL") or DEFAULT_URL,
            creds or os.environ.get("EXCHANGE_CREDS") or None,
            tls=tls,
            connect_timeout=min(timeout, 5.0),
        )
    connection = Connection(transport, chance)
    await connection.open(timeout)
    try:
        agent = Agent(connection)
        await agent._open()  # noqa: SLF001 - part of making it
        yield agent
    finally:
        await connection.close()


def _context(
    ca: str | os.PathLike[str] | None,
    cert: str | os.PathLike[str] | None,
    key: str | os.PathLike[str] | None,
) -> ssl.SSLContext | None:
    env = TlsFiles.from_env()
    try:
        return TlsFiles(
            Path(ca) if ca else env.ca, Path(cert) if cert else env.cert, Path(key) if key else env.key
        ).context()
    except TlsFilesError as error:
        raise CredentialsError(str(error)) from None

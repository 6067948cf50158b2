"""Connect to the journal's server, and say within seconds why that does not work."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from exchange.cli._output import CliError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nats.aio.client import Client

    from exchange.tls import TlsFiles

__all__ = ["ServerUnusable", "connected"]

_PATIENCE_S: Final = 8.0
_PROBE_S: Final = 2.0
_PORT: Final = 4222


class ServerUnusable(CliError):
    """Raised when a server cannot be reached or does not accept a credential."""


@contextlib.asynccontextmanager
async def connected(url: str, creds: Path, name: str = "journal", tls: TlsFiles | None = None) -> AsyncIterator[Client]:
    """Connect a client for the block. nats-py by itself would try for ever, as a daemon wants it to.

    Raises:
        ServerUnusable: it cannot be reached or does not accept the credential.
    """
    from exchange.adapters import bus

    if not creds.exists():  # noqa: ASYNC240 - once, before anything runs
        message = f"there is no credential {creds}"
        raise ServerUnusable(message)
    await _check_reachable(url)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            client = await bus.connect(url, creds, name, tls=tls)
    except TimeoutError:
        message = (
            f"the server at {url} does not accept the credential {creds}: "
            "it belongs to another venue, or the server does not know the venue's auth.conf"
        )
        raise ServerUnusable(message) from None
    except bus.BusError as error:
        raise ServerUnusable(str(error)) from None
    try:
        yield client
    finally:
        await client.close()


async def _check_reachable(url: str) -> None:
    """Open a connection to one of the servers."""
    problems = []
    for one in url.split(","):
        try:
            parts = urlsplit(one if "://" in one else f"nats://{one}")
            host, port = parts.hostname, parts.port or _PORT
        except ValueError:
            host = None
        if not host:
            message = f"{one!r} is no URL of a server; write it like nats://127.0.0.1:4222"
            raise ServerUnusable(message)
        try:
            async with asyncio.timeout(_PROBE_S):
                _, writer = await asyncio.open_connection(host, port)
        except TimeoutError:
            problems.append(f"{one} does not answer")
        except OSError as error:
            problems.append(f"{one}: {error.strerror or error}")
        else:
            writer.close()
            return
    message = f"cannot reach the NATS server: {'; '.join(problems)}"
    raise ServerUnusable(message)

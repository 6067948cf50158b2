"""A client that is closed at the moment at which it comes back leaves nothing behind that goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from nats.aio.client import Client

from exchange.nats_client import NatsClient
from tests.daemon.support import wait_until
from tests.traps.relay import running_relay
from tests.traps.support import quiet, running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

COMING_BACK: dict[str, Any] = {
    "max_reconnect_attempts": -1,
    "reconnect_time_wait": 0.01,
    "ping_interval": 60,
    "error_cb": quiet,
}


def when_greeted(client: Client, monkeypatch: pytest.MonkeyPatch, do: Callable[[], None]) -> None:
    """Do something as soon as the server's answer to the client's greeting has come in, before the client sees it."""
    transport: Any = client._transport
    plain: Callable[[], Coroutine[Any, Any, bytes]] = transport.readline

    async def readline() -> bytes:
        line = await plain()
        if line.startswith(b"PONG"):
            do()
        return line

    monkeypatch.setattr(transport, "readline", readline)


async def tasks_left(client: Client, directory: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what a client still runs after it was closed while it connected again."""
    closing: list[asyncio.Task[None]] = []
    async with running_server(directory) as server, running_relay(server.port) as relay:
        await client.connect(relay.url, **COMING_BACK)
        when_greeted(client, monkeypatch, lambda: closing.append(asyncio.create_task(client.close())))
        relay.cut()
        await wait_until(lambda: bool(closing), "it does not come back")
        await closing[0]
        left = [task for task in asyncio.all_tasks() if name_of(task).startswith("Client.")]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
    return sorted(map(name_of, left))


def name_of(task: asyncio.Task[Any]) -> str:
    """Return what a task runs."""
    return getattr(task.get_coro(), "__qualname__", "")


async def test_plain_nats_py_goes_on_after_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trap: its reconnection misses that it was cancelled, connects, and begins tasks that nobody ends."""
    assert "Client._flusher" in await tasks_left(Client(), tmp_path, monkeypatch)


async def test_our_client_ends_whatever_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When ``close`` returns there is none of its tasks left, and the event loop can be closed."""
    client = NatsClient()
    assert await tasks_left(client, tmp_path, monkeypatch) == []
    assert client.is_closed

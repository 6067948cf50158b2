"""When what is published reaches the socket."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from nats.aio.client import Client

from exchange.adapters import bus
from exchange.nats_client import NatsClient
from tests.traps.support import plain_client, quiet, running_server

if TYPE_CHECKING:
    from pathlib import Path


def watch(client: Client, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list that gets what is written to a client's connection from now on."""
    written: list[bytes] = []
    transport: Any = client._transport
    for name in ("write", "writelines"):
        plain = getattr(transport, name)

        def note(data: Any, plain: Any = plain) -> None:
            written.append(data if isinstance(data, bytes) else b"".join(data))
            plain(data)

        monkeypatch.setattr(transport, name, note)
    return written


async def test_plain_nats_py_leaves_the_writing_to_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trap: when ``publish`` returns nothing has been written; ``bus.write`` has written before it returns."""
    async with running_server(tmp_path) as server, plain_client(server.url) as client:
        await client.flush()
        written = watch(client, monkeypatch)
        await client.publish("x", b"later")
        assert written == []
        await client.flush()
        assert any(b"later" in each for each in written)
        written.clear()
        writing = bus.write(client, [bus.encode_message("x", b"now")])
        # It is never suspended: the transport takes the bytes in its first step.
        with contextlib.suppress(StopIteration):
            writing.send(None)
        assert written == [b"PUB x 3\r\nnow\r\n"]


@pytest.mark.parametrize(("kind", "order"), [(Client, ["PING", "SUB"]), (NatsClient, ["SUB", "PING"])])
async def test_a_flush_overtakes_what_went_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Client], order: list[str]
) -> None:
    """The trap: who subscribes and flushes is not subscribed yet. Ours is."""
    async with running_server(tmp_path) as server:
        client = kind()
        await client.connect(server.url, error_cb=quiet)
        written = watch(client, monkeypatch)
        await client.subscribe("x")
        await client.flush()
        assert [line.split()[0].decode() for line in written if line] == order
        await client.close()

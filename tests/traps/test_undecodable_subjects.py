"""A subject that is not text. ``tests/daemon/test_identity.py`` proves that it harms no venue."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from nats.aio.client import Client
from nats.protocol import parser

from exchange.adapters import bus
from exchange.adapters.listener import Listener
from exchange.nats_client import NatsClient
from tests.daemon.support import wait_until
from tests.traps.support import plain_client, quiet, running_server

if TYPE_CHECKING:
    from pathlib import Path

SUBJECT = b"exchange.v1.cmd.alice.\xff\xfe"


async def test_plain_nats_py_is_deaf_after_a_subject_that_is_not_utf_8(tmp_path: Path) -> None:
    """The trap: the read loop decodes the subject, raises, and ends."""
    async with (
        running_server(tmp_path) as server,
        plain_client(server.url) as other,
        plain_client(server.url) as client,
    ):
        await client.subscribe("exchange.v1.cmd.>")
        await client.flush()
        await client.flush()
        await other._send_command(b"PUB " + SUBJECT + b" 0\r\n\r\n")
        await other.flush()
        reading = client._reading_task
        assert reading is not None
        await wait_until(reading.done, "the read loop has survived")
        assert client.is_connected


async def test_our_ingress_drops_and_counts_it(tmp_path: Path) -> None:
    """Ours hears the next message."""
    async with running_server(tmp_path) as server, plain_client(server.url) as other:
        client = bus.Ingress()
        await NatsClient.connect(client, server.url, error_cb=quiet)
        heard: list[str] = []
        dropped: list[int] = []
        client.on_drop = lambda: dropped.append(1)
        await Listener(client, lambda subject, _reply, _payload: heard.append(subject), bus.ignore).open()
        await other._send_command(b"PUB " + SUBJECT + b" 0\r\n\r\nPUB exchange.v1.cmd.alice.orders 0\r\n\r\n")
        await other.flush()
        await wait_until(lambda: heard == ["exchange.v1.cmd.alice.orders"], "it has gone deaf")
        assert dropped == [1]
        await client.close()


@pytest.mark.parametrize("white", [b"\v", b"\f"])
async def test_a_subject_with_white_space_that_the_server_takes(
    tmp_path: Path, white: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    r"""The trap: ``\s`` in nats-py's patterns takes ``\v`` for an end, and the connection is cut. Ours reads on."""
    message = b"PUB exchange.v1.cmd.alice." + white + b"x 0\r\n\r\n"
    async with running_server(tmp_path) as server, plain_client(server.url) as other:
        client = bus.Ingress()
        await NatsClient.connect(client, server.url, error_cb=quiet)
        heard: list[str] = []
        await Listener(client, lambda subject, _reply, _payload: heard.append(subject), bus.ignore).open()
        await other._send_command(message)
        await other.flush()
        await wait_until(lambda: len(heard) == 1, "it is not heard")
        assert client.stats["reconnects"] == 0
        await client.close()
        plain = re.compile(rb"\AMSG\s+([^\s]+)\s+([^\s]+)\s+(([^\s]+)[^\S\r\n]+)?(\d+)\r\n")
        monkeypatch.setattr(parser, "MSG_RE", plain)
        async with plain_client(server.url, reconnect_time_wait=0.05) as trapped:
            assert type(trapped) is Client
            await trapped.subscribe("exchange.v1.cmd.>")
            await trapped.flush()
            await trapped.flush()
            await other._send_command(message)
            await other.flush()
            await wait_until(lambda: trapped.stats["reconnects"] > 0, "it is not cut")

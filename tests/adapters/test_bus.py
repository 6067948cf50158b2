"""What is written straight to a connection: whole messages, in order, and nothing that ends a line early."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from nats.errors import BadSubjectError, Error

from exchange.adapters import bus
from exchange.adapters.credentials import Keyring
from exchange.adapters.embedded_server import EmbeddedServer

if TYPE_CHECKING:
    from pathlib import Path

    from nats.aio.msg import Msg

WAIT_S = 20.0


@pytest.mark.parametrize("subject", ["a b", "a\r\nPUB b 0\r\n", "a\tb", "a\x0bb", "a\x00b"])
def test_a_subject_that_would_end_its_line_is_refused(subject: str) -> None:
    """Neither a subject nor a reply subject can smuggle in a command of its own."""
    with pytest.raises(BadSubjectError):
        bus.encode_message(subject, b"")
    with pytest.raises(BadSubjectError):
        bus.encode_message("a", b"", subject)


async def test_messages_arrive_whole_and_in_order(tmp_path: Path) -> None:
    """A real server reads what is written: payloads of any bytes, reply subjects, headers; then nothing more."""
    keyring = Keyring.create(tmp_path / "keys")
    server = EmbeddedServer(tmp_path / "nats", keyring)
    await server.start()
    heard: asyncio.Queue[Msg] = asyncio.Queue()
    try:
        client = await bus.connect(server.url, keyring.journal_creds_path, "journal")
        await client.subscribe("_INBOX.journal.x.*", cb=heard.put)
        await client.flush()
        payloads = [b"", b"\r\nPUB x 0\r\n", bytes(range(256)), *(b"%d" % n for n in range(100))]
        subjects = [f"_INBOX.journal.x.{n}" for n in range(len(payloads))]
        messages = [bus.encode_message(*each, "some.reply") for each in zip(subjects, payloads, strict=True)]
        messages.append(bus.encode_message("_INBOX.journal.x.end", b"last", header=b"Key: value\r\n"))
        await bus.write(client, messages)
        async with asyncio.timeout(WAIT_S):
            got = [await heard.get() for _ in messages]
        assert [(msg.subject, msg.data) for msg in got[:-1]] == list(zip(subjects, payloads, strict=True))
        assert {msg.reply for msg in got[:-1]} == {"some.reply"}
        assert (got[-1].data, got[-1].headers) == (b"last", {"Key": "value"})
        assert client.is_connected
        await client.close()
        with pytest.raises(Error):
            await bus.write(client, messages)
    finally:
        await server.stop()

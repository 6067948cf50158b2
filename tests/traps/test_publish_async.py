"""An acknowledgement that is an error."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from exchange.adapters.journal import JOURNAL_SUBJECT, Journal, Replaced, create_stream
from tests.traps.support import plain_client, running_server

if TYPE_CHECKING:
    from pathlib import Path

SLOTS = 3


async def test_publish_async_never_resolves_and_leaks_a_slot(tmp_path: Path) -> None:
    """The trap: the future of a write that the fence refused stays open, and its slot is never given back."""
    async with running_server(tmp_path) as server, plain_client(server.url) as client:
        await create_stream(client)
        context = client.jetstream(publish_async_max_pending=SLOTS)
        for _ in range(SLOTS):
            refused = await context.publish_async(JOURNAL_SUBJECT, b"x", headers={"Nats-Expected-Last-Sequence": "7"})
            done, _ = await asyncio.wait({refused}, timeout=0.3)
            assert not done
        assert context.publish_async_pending() == SLOTS
        with pytest.raises(Exception, match="stalled"):
            await context.publish_async(JOURNAL_SUBJECT, b"x", wait_stall=0.1)


async def test_the_journal_hears_of_every_refusal(tmp_path: Path) -> None:
    """Ours ends at once, however often, and can write afterwards."""
    async with running_server(tmp_path) as server, plain_client(server.url) as client:
        await create_stream(client)
        journal = Journal(client)
        await journal.open()
        async with asyncio.timeout(5):
            for _ in range(SLOTS + 1):
                with pytest.raises(Replaced):
                    await journal.append(8, b"x")
            await journal.append(1, b"x")

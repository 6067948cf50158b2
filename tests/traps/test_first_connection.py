"""A first connection to nobody."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from nats.aio.client import Client

from agent_sdk import ConnectionFailed, NatsTransport
from exchange.adapters import bus
from exchange.adapters.credentials import Keyring
from tests.faults.venue_process import free_port
from tests.traps.support import quiet

if TYPE_CHECKING:
    from pathlib import Path


async def test_plain_nats_py_tries_for_ever() -> None:
    """The trap: who may reconnect for ever also connects for ever, the first time, without a word to the caller."""
    client = Client()
    connecting = asyncio.create_task(
        client.connect(f"nats://127.0.0.1:{free_port()}", max_reconnect_attempts=-1, error_cb=quiet)
    )
    done, _ = await asyncio.wait({connecting}, timeout=2.5)
    assert not done
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)
    await client.close()


async def test_ours_is_an_error_that_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's waits for five seconds at most, the SDK's not at all."""
    assert bus._CONNECT_S <= 5
    monkeypatch.setattr(bus, "_CONNECT_S", 0.5)
    url = f"nats://127.0.0.1:{free_port()}"
    began = time.monotonic()
    with pytest.raises(bus.BusError, match=url):
        await bus.connect(url, Keyring.create(tmp_path / "keys").journal_creds_path, "ours")
    with pytest.raises(ConnectionFailed, match=url):
        await NatsTransport(url, agent="alice").open()
    assert time.monotonic() - began < 3

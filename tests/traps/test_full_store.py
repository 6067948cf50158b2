"""JetStream is full and the server's health check stays green; the daemon's says what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.error
import urllib.request
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec

from agent_sdk import ExchangeError, NewOrder
from exchange.config import Config, LogSettings, MetricsSettings, NatsSettings
from exchange.daemon import daemon as daemon_module
from exchange.daemon.creation import create_venue
from tests.daemon.support import External, running_daemon, set_up_market
from tests.faults.venue_process import free_port

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.daemon.support import Setting

STORE_BYTES = 1_000_000


def get(url: str) -> tuple[int, str]:
    """Return the status and the body of an answer."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own server
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def fill(setting: Setting) -> None:
    """Place orders until the journal takes no more."""
    terms: dict[str, Any] = {"market": "cpu", "side": "buy", "quantity": 1, "price": "0.01", "time_in_force": "ioc"}
    async with setting.connect("alice") as alice, asyncio.timeout(60):
        labels = count()
        while True:
            orders = [NewOrder(**terms, client_order_id=f"{next(labels):064}") for _ in range(500)]
            if all(isinstance(placed, ExchangeError) for placed in await alice.place_many(orders, timeout=1)):
                return


async def until_stalled(url: str) -> dict[str, object]:
    """Wait until a daemon says that it is stalled, and return all that it says."""
    async with asyncio.timeout(20):
        while True:
            status, body = await asyncio.to_thread(get, url)
            health: dict[str, object] = msgspec.json.decode(body)
            if health["state"] == "stalled":
                assert status == 503
                return health
            await asyncio.sleep(0.05)


async def test_a_full_store_is_seen_by_the_daemon_and_not_by_the_servers_health(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trap: ``/healthz`` of nats-server says ok. Ours says 503 and why, and the metrics say how full it is."""
    monkeypatch.setattr(daemon_module, "_STORE_WATCH_S", 0.1)
    monitor = free_port()
    external = External(tmp_path, lambda text: f"http: 127.0.0.1:{monitor}\n{text}", max_file=str(STORE_BYTES))
    await external.start()
    settings = Config(
        data=external.files.data,
        nats=NatsSettings(url=external.url),
        metrics=MetricsSettings(port=0),
        log=LogSettings(level="error"),
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(external.stop)
        async with external.journal() as client:
            await create_venue(client)
        setting = await stack.enter_async_context(running_daemon(settings))
        await set_up_market(setting, "alice")
        await fill(setting)
        assert setting.daemon.metrics_url is not None
        health = await until_stalled(setting.daemon.metrics_url.replace("/metrics", "/healthz"))
        assert health["reason"] == "the journal refuses to write: insufficient resources"
        _, scrape = await asyncio.to_thread(get, setting.daemon.metrics_url)
        values = dict(line.split() for line in scrape.splitlines() if line.startswith("exchange_journal_store_"))
        assert float(values["exchange_journal_store_limit_bytes"]) == STORE_BYTES
        # It is full for the next record, though not to the last byte.
        assert float(values["exchange_journal_store_used_bytes"]) > 0.8 * STORE_BYTES
        status, body = await asyncio.to_thread(get, f"http://127.0.0.1:{monitor}/healthz")
        assert (status, msgspec.json.decode(body)["status"]) == (200, "ok")

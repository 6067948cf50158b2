"""Thousands of agents that only listen: those who trade go on, and after a restart of the server all come back."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING

import pytest

from benchmarks.idle import Site, Swarm, ack_times, p99_ms
from tests.faults.record import record

if TYPE_CHECKING:
    from pathlib import Path

IDLE = 5_000
SECONDS = 2.5

enough_files = pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2 * IDLE, reason=f"{IDLE} connections take as many open files"
)


@enough_files
@pytest.mark.slow
async def test_five_thousand_idle_agents(tmp_path: Path) -> None:
    """All hear the heartbeats, four others trade meanwhile, and all are served again soon after ``kill -9``.

    On a small machine their heartbeats are thousands of deliveries at once: the others' p99 is that long, not more.
    """
    async with Site(tmp_path) as site:
        await site.register([f"idle-{n}" for n in range(IDLE)])
        memory_mb = site.memory_mb()
        async with site.traders() as traders:
            async with Swarm(site, IDLE, poll_s=30) as swarm:
                await swarm.until("served", IDLE)
                await swarm.until("hear", IDLE)
                among = await ack_times(traders, SECONDS)
                stats = await swarm.stats()
                assert stats["connected"] == stats["hear"] == IDLE
                grown_mb = site.memory_mb() - memory_mb
                began = time.monotonic()
                await site.restart_server()
                await traders[0].buy("cpu", 1, 1, time_in_force="ioc", timeout=60)
                acked_s = time.monotonic() - began
                await swarm.until("served", IDLE)
                served_s = time.monotonic() - began
                await swarm.until("hear", IDLE)
            alone = await ack_times(traders, SECONDS)
    remark = (
        f"{IDLE:,} idle agents: others' p99 {p99_ms(among):.1f} ms, alone {p99_ms(alone):.1f} ms; the daemon took "
        f"{grown_mb:.0f} MB more; all were served {served_s:.1f} s after the restart"
    )
    print(remark)  # noqa: T201
    record(f"`kill -9` of nats-server under {IDLE:,} idle agents", times=1, recovery_s=[acked_s], remark=remark)
    assert grown_mb < 200
    assert p99_ms(among) < 5 * p99_ms(alone) + 50
    assert served_s < 45

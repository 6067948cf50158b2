"""One agent sends as fast as a socket takes it; the others must hardly notice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent_sdk import Agent, connect
from tests.faults.record import record
from tests.faults.venue_process import VenueProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WARM_S = 1.0
QUIET_S = 3.0
FLOOD_S = 6.0
EVERY_S = 0.01
WAIT_S = 30.0
TIMES_MAX = 3
# Below this a percentile of a few hundred acknowledgements on two shared cores says nothing.
FLOOR_S = 0.005
TRADERS = ("alice", "bob", "carol")


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[VenueProcess]:
    """Run a venue with three traders and somebody who will flood."""
    venue = VenueProcess(tmp_path / "venue")
    await venue.start()
    try:
        async with connect(venue.url, venue.creds("operator")) as operator:
            admin = operator.admin
            await admin.register_asset("cpu")
            await admin.create_market("cpu", "cpu", tick="0.01", price_band_bp=0)
            for name in (*TRADERS, "mallory"):
                await admin.register_agent(name, name)
        yield venue
    finally:
        await venue.stop()


async def trade(agent: Agent, seconds: float, waits: list[float]) -> None:
    """Place and cancel orders at a steady pace, and note how long each acknowledgement took."""
    until = time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        order = await agent.buy("cpu", 1, "0.01")
        waits.append(time.monotonic() - began)
        await agent.cancel(order.id)
        await asyncio.sleep(max(EVERY_S - (time.monotonic() - began), 0.0))


async def measure(agents: list[Agent], seconds: float) -> tuple[float, float, int]:
    """Return the 99th percentile and the longest of the acknowledgements of all agents, and how many there were."""
    waits: list[float] = []
    await asyncio.gather(*[trade(agent, seconds, waits) for agent in agents])
    waits.sort()
    return waits[int(0.99 * len(waits))], waits[-1], len(waits)


async def metrics(venue: VenueProcess) -> str:
    """Return the metrics of the daemon."""
    url = json.loads(venue.ready_file.read_text())["metrics_url"]

    def read() -> bytes:
        with urllib.request.urlopen(url, timeout=WAIT_S) as answer:  # noqa: S310 - the daemon's own
            return bytes(answer.read())

    return (await asyncio.to_thread(read)).decode()


def counted(text: str, name: str) -> float:
    """Return what a counter says."""
    return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["commands", "queries"])
async def test_a_flood_is_the_flooders_own_problem(venue: VenueProcess, kind: str) -> None:
    """It is cut off, slowed down and revoked; the others' p99 is at most 3 times theirs without it."""
    creds = venue.creds("mallory")
    async with contextlib.AsyncExitStack() as stack:
        agents = [await stack.enter_async_context(connect(venue.url, venue.creds(name))) for name in TRADERS]
        await measure(agents, WARM_S)
        quiet_s, _, before = await measure(agents, QUIET_S)
        flooder = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.flooder", venue.url, str(creds), str(FLOOD_S), kind),
            cwd=Path(__file__).parents[2],
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            flood_s, longest_s, during = await measure(agents, FLOOD_S)
            printed, _ = await asyncio.wait_for(flooder.communicate(), WAIT_S)
        finally:
            if flooder.returncode is None:
                flooder.kill()
                await flooder.wait()
        # Without the flood once more: other work on the machine comes and goes.
        calm_s, _, after = await measure(agents, QUIET_S)
        assert [await agent.open_orders() for agent in agents] == [[], [], []]
    done = json.loads(printed)
    assert done["cuts"] >= TIMES_MAX
    async with connect(venue.url, venue.creds("operator")) as operator:
        states = {info.id: info.state for info in await operator.agents()}
    assert states == dict.fromkeys((*TRADERS, "operator"), "active") | {"mallory": "revoked"}
    text = await metrics(venue)
    assert counted(text, 'exchange_gateway_kicks_total{reason="flood"}') >= TIMES_MAX
    # The journal was never late.
    assert "journal" not in venue.said().replace("--journal", "")
    assert counted(text, 'exchange_gateway_refusals_total{reason="journal_unavailable"}') == 0
    record(
        f"a raw publisher of {kind} at full speed, as an agent",
        times=1,
        acknowledged=before + during + after,
        recovery_s=[longest_s],
        remark=f"{done['sent']:,} messages sent, {done['cuts']} times cut off, revoked; p99 of the others: "
        f"{1e3 * quiet_s:.1f} ms before, {1e3 * flood_s:.1f} ms meanwhile, {1e3 * calm_s:.1f} ms after",
    )
    without_s = max(quiet_s, calm_s, FLOOR_S)
    assert flood_s <= TIMES_MAX * without_s, f"p99 {flood_s:.4f} s, without the flood {without_s:.4f} s"

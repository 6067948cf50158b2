"""Agents that do not read what they are sent: the server cuts them off, and nobody else feels it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import nats
import pytest

from agent_sdk import connect
from exchange.adapters.credentials import Keyring
from tests.daemon.support import raw_socket, wait_until
from tests.faults.listener import Heard
from tests.faults.record import record
from tests.faults.replay import Replay, journal_client
from tests.faults.test_kill import prove_so_far, trading_venue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_sdk import Agent
    from tests.faults.venue_process import VenueProcess

CALM_S = 3.0
FLOOD_FEEDS = 150
_CLOSED = 1
"""Asks nats-server for closed connections."""


@contextlib.asynccontextmanager
async def listening(venue: VenueProcess, out: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run an agent ``slow`` in a process of its own, and stop it in the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.listener", venue.url, str(venue.creds("slow")), str(out)),
        cwd=Path(__file__).parents[2],
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.wait_for(process.wait(), 10)


def heard_in(out: Path) -> list[Heard]:
    """Return what the listener has written so far, line by whole line."""
    lines = out.read_bytes().split(b"\n")[:-1] if out.exists() else []
    return [msgspec.json.decode(line, type=Heard) for line in lines]


@contextlib.asynccontextmanager
async def deaf_agent(venue: VenueProcess) -> AsyncIterator[None]:
    """Log in as ``deaf``, ask for all market data many times over, read nothing, and seem alive all the same."""

    async def seem_alive(writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                await asyncio.sleep(0.5)
                writer.write(b"PING\r\n")
                await writer.drain()

    async with raw_socket(venue.url, venue.creds("deaf")) as (_, writer):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"".join(b"SUB exchange.v1.md.cpu.> %d\r\n" % n for n in range(1, FLOOD_FEEDS + 1)))
        seeming = asyncio.create_task(seem_alive(writer))
        try:
            yield
        finally:
            seeming.cancel()
            await asyncio.gather(seeming, return_exceptions=True)
            writer.transport.abort()


async def closed_because(venue: VenueProcess, agent: str) -> list[str]:
    """Return why the server closed connections of an agent."""
    keyring = Keyring.load(venue.files.keys)
    client = await nats.connect(
        venue.url, user_credentials=str(keyring.system_creds_path), inbox_prefix="_INBOX.system"
    )
    try:
        query = msgspec.json.encode({"state": _CLOSED, "limit": 1_024, "auth": True})
        answer = await client.request("$SYS.REQ.SERVER.PING.CONNZ", query, timeout=5)
        rows: list[dict[str, Any]] = msgspec.json.decode(answer.data)["data"]["connections"]
        issued = dict(reversed(line.split()) for line in (keyring.path / "issued").read_text().splitlines())
        return [str(row["reason"]) for row in rows if issued.get(row.get("authorized_user", "")) == agent]
    finally:
        await client.close()


async def ack_times(agent: Agent, until: asyncio.Event) -> list[float]:
    """Place one order after the other until told to stop; return how many seconds each took."""
    took = []
    while not until.is_set():
        began = time.perf_counter()
        await agent.buy("cpu", 1, 1, time_in_force="ioc")
        took.append(time.perf_counter() - began)
        await asyncio.sleep(0.002)
    return took


def p99_ms(times: list[float]) -> float:
    """Return the 99th percentile in milliseconds."""
    return sorted(times)[len(times) * 99 // 100] * 1_000


@pytest.mark.slow
async def test_whoever_does_not_read_is_cut_off_and_nobody_else_feels_it(tmp_path: Path) -> None:
    """One agent is frozen, one seems alive and never reads; both are cut off while others trade as before.

    The frozen one, thawed, hears its whole history once and in order, or of a gap and how it stands after it.
    """
    out = tmp_path / "heard"
    async with trading_venue(tmp_path, 7) as (venue, traders):
        async with connect(venue.url, venue.creds("operator")) as operator:
            for agent in ("slow", "deaf", "probe"):
                await operator.admin.register_agent(agent, agent, endowment=10_000)
            await operator.admin.issue_asset("cpu", "slow", 1_000_000)
        async with (
            connect(venue.url, venue.creds("probe")) as probe,
            connect(venue.url, venue.creds("slow")) as slow,
            listening(venue, out) as listener,
        ):
            # Cheaper than anybody: whoever buys, buys from it.
            await slow.sell("cpu", 500_000, 1)
            await wait_until(lambda: len(heard_in(out)) > 20, "the listener hears nothing")
            calm = await measure(probe, asyncio.sleep(CALM_S))
            listener.send_signal(signal.SIGSTOP)
            frozen_at = len(heard_in(out))
            async with deaf_agent(venue):
                harmed = await measure(probe, until_cut_off(venue, "slow", "deaf"))
            reasons = {agent: await closed_because(venue, agent) for agent in ("slow", "deaf")}
            listener.send_signal(signal.SIGCONT)
            await prove_so_far(traders)
            for trader in traders:
                await trader.stop_trading()
            last = (await slow.account()).event_seq
            await wait_until(lambda: heard_in(out)[-1].last >= last, "the listener does not catch up", 20)
        heard = heard_in(out)
        assert [each.first for each in heard] == [1, *(each.last + 1 for each in heard[:-1])]
        assert last - frozen_at > 100, "nothing happened to it while it was frozen"
        async with journal_client(venue.url, venue.files) as client:
            replay = Replay()
            await replay.read(client)
        assert heard[-1].last == replay.engine.agents["slow"].seq == last
        acknowledged = sum(len(trader.placed) for trader in traders)
    p99s = p99_ms(calm), p99_ms(harmed)
    missed = sum(each.last - each.first + 1 for each in heard if each.is_gap)
    remark = (
        f"cut off: {reasons['slow'][-1]}, {reasons['deaf'][-1]}; others' p99 {p99s[0]:.1f} ms before, {p99s[1]:.1f} ms "
        f"meanwhile; of {last} events {missed} came as an account after a gap"
    )
    print(remark)  # noqa: T201
    record("agents that read nothing", times=2, acknowledged=acknowledged, remark=remark)
    assert p99s[1] <= 2 * p99s[0] + 20


async def measure(probe: Agent, meanwhile: Any) -> list[float]:
    """Return the acknowledgement times of one agent while something happens."""
    until = asyncio.Event()
    measuring = asyncio.create_task(ack_times(probe, until))
    try:
        await meanwhile
    finally:
        until.set()
    return await measuring


async def until_cut_off(venue: VenueProcess, *agents: str) -> None:
    """Wait until the server has closed a connection of each."""
    async with asyncio.timeout(40):
        for agent in agents:
            while not await closed_because(venue, agent):
                await asyncio.sleep(0.5)

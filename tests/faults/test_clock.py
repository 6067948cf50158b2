"""The leader's clock jumps an hour either way: venue time does not, and deadlines fire when they should."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from agent_sdk import Agent, connect
from exchange.adapters.records import decode_record
from tests.faults.record import record
from tests.faults.replay import Replay, journal_client
from tests.faults.test_kill import (
    acknowledged,
    prove_at_rest,
    prove_by_journal,
    prove_so_far,
    trading_again,
    trading_venue,
)

LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
HOUR_S = 3_600
SECOND_US = 1_000_000
SLACK_S: Final = 1.0
"""How much later than it is due something may be seen on a busy machine."""

needs_faketime = pytest.mark.skipif(
    LIBRARY is None, reason="clocks are moved with libfaketime (Debian package faketime), which is not here"
)


class Times(Replay):
    """Keep the venue time of every record."""

    def __init__(self) -> None:
        super().__init__()
        self.times_us: list[int] = []

    def apply(self, body: bytes) -> None:
        super().apply(body)
        self.times_us.append(decode_record(body).time_us)


async def assert_switch_fires(agent: Agent, after_s: int) -> None:
    """Let the dead man's switch cancel an order after some seconds, counted by the clock of this process."""
    loop = asyncio.get_running_loop()
    order = await agent.buy("cpu", 1, 1)
    started = loop.time()
    await agent.cancel_all_after(after_s)
    while loop.time() - started < after_s - 0.2:
        assert [each.id for each in await agent.open_orders()] == [order.id]
        await asyncio.sleep(0.05)
    async with asyncio.timeout(10):
        while await agent.open_orders():
            await asyncio.sleep(0.02)
    assert after_s - 0.1 <= loop.time() - started <= after_s + SLACK_S


@needs_faketime
async def test_venue_time_does_not_jump_with_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour on, an hour back, and two hours back: orders go on, and time goes on by as much as really passed."""
    shift = tmp_path / "shift"

    def jump(seconds: int) -> None:
        draft = tmp_path / "draft"
        draft.write_text(f"{seconds:+d}\n")
        draft.rename(shift)

    jump(0)
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(shift))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    monkeypatch.setenv("LD_PRELOAD", str(LIBRARY))
    loop = asyncio.get_running_loop()
    async with trading_venue(tmp_path, 41) as (venue, traders):
        async with connect(venue.url, venue.creds("operator")) as operator:
            await operator.admin.register_agent("eve", "eve", endowment=100)
        times = Times()
        async with connect(venue.url, venue.creds("eve")) as eve, journal_client(venue.url, venue.files) as client:
            began_s = loop.time()
            await times.read(client)
            began = times.last
            for seconds in (HOUR_S, 0, -HOUR_S):
                jump(seconds)
                assert await trading_again(traders) < SLACK_S
                await assert_switch_fires(eve, 1)
                await prove_so_far(traders)
            passed_s = loop.time() - began_s
            await times.read(client)
        times_us = times.times_us[began - 1 :]
        assert all(0 < later - earlier < 3 * SECOND_US for earlier, later in pairwise(times_us))
        assert abs((times_us[-1] - times_us[0]) / SECOND_US - passed_s) < SLACK_S
        await prove_at_rest(venue, traders)
        await venue.kill()
        assert "Traceback" not in venue.said()
        await prove_by_journal(venue, traders)
        record(
            "the leader's wall clock jumps an hour on, back, and an hour behind",
            times=3, acknowledged=acknowledged(traders),
            remark="venue time goes on evenly; a switch of 1 s fires after 1 s each time",
        )  # fmt: skip

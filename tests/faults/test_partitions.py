"""Links that go down without a word, in networks of namespaces: an agent's, a standby's, the leader's."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random
from typing import TYPE_CHECKING

import pytest

from agent_sdk import connect
from exchange.daemon.creation import create_venue
from exchange.daemon.verify import read_high_water
from tests.daemon.support import External, wait_until
from tests.faults.network import Network, needs_namespaces, network
from tests.faults.record import record
from tests.faults.test_kill import AGENTS, WORKERS, prove_at_rest, prove_so_far, trading_again
from tests.faults.test_takeover import LEADING_WITHIN_S, TAKEOVER_AFTER_S, Pair, prove_all
from tests.faults.traders import Trader
from tests.faults.venue_process import VenueProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

LONG_S = 7.0
"""Longer than any ping time-out: both ends give their connection up."""

SHORT_S = 1.5
"""Shorter: TCP brings what was lost."""

pytestmark = [needs_namespaces, pytest.mark.slow]


class View:
    """Show an agent the venue as it is seen from one place."""

    def __init__(self, url: str, venue: VenueProcess) -> None:
        self.url = url
        self.creds = venue.creds


@pytest.fixture
def net() -> Iterator[Network]:
    """Make a hub with two sides, and be in the hub; before there is an event loop whose sockets would stay outside."""
    with network("left", "right") as made:
        yield made


@pytest.fixture
async def server(net: Network, tmp_path: Path) -> AsyncIterator[External]:
    """Run a server in the hub that all sides reach, with a new venue on it."""
    server = External(tmp_path, lambda text: text.replace('host: "127.0.0.1"', 'host: "0.0.0.0"'))
    await server.start()
    server.url = f"nats://127.0.0.1:{server.port}"
    async with server.journal() as client:
        await create_venue(client)
    yield server
    await server.stop()


@contextlib.asynccontextmanager
async def trading(view: View, seed: int, agents: tuple[str, ...] = AGENTS) -> AsyncIterator[list[Trader]]:
    """Let agents trade all the time on a venue that runs."""
    traders: list[Trader] = []
    try:
        for n, agent in enumerate(agents):
            trader = Trader(agent, view, Random(f"{seed} {n}"))  # type: ignore[arg-type] # all that it looks at
            traders.append(trader)
            await trader.start(WORKERS)
        yield traders
    finally:
        for trader in traders:
            await trader.close()


async def open_market(view: View) -> None:
    """Register the agents and open their market."""
    async with connect(view.url, view.creds("operator")) as operator:
        await operator.admin.register_asset("cpu")
        await operator.admin.create_market("cpu", "cpu", tick=1, price_band_bp=0)
        for agent in AGENTS:
            await operator.admin.register_agent(agent, agent, endowment=10_000)
            await operator.admin.issue_asset("cpu", agent, 1_000)


def last_stored(daemon: VenueProcess) -> int:
    """Return the last record that a daemon knows to be in the journal."""
    mark = read_high_water(daemon.files.high_water)
    return 0 if mark is None else mark[0]


def count(traders: list[Trader]) -> int:
    """Return how many orders were acknowledged."""
    return sum(len(trader.placed) for trader in traders)


async def test_an_agent_is_cut_off_in_the_middle_of_its_orders(tmp_path: Path, net: Network, server: External) -> None:
    """Each of its commands has one outcome, and its events come once, after a long cut and after a short one."""
    venue = VenueProcess(tmp_path / "daemon", server.url, keys=server.files.keys)
    assert server.port is not None
    here, there = View(server.url, venue), View(net.url("left", server.port), venue)
    try:
        await venue.start()
        await open_market(here)
        async with trading(here, 11, AGENTS[:3]) as others:
            with net.loop_in("left") as side:
                far = Trader(AGENTS[3], there, Random(12))  # type: ignore[arg-type] # as before
                recovery_s = []
                try:
                    await side.do(far.start(WORKERS))
                    for cut_s in (LONG_S, SHORT_S):
                        await side.do(trading_again([far]))
                        net.cut("left")
                        before = count(others)
                        await asyncio.sleep(cut_s)
                        assert count(others) > before, "the others stand still, too"
                        net.mend("left")
                        recovery_s.append(await side.do(trading_again([far])))
                        await side.do(prove_so_far([far]))
                    await prove_at_rest(here, others)  # type: ignore[arg-type] # as before
                    await side.do(prove_at_rest(there, [far]))  # type: ignore[arg-type] # as before
                finally:
                    await side.do(far.close())
        figures = await prove_all(server, [*others, far])
        print("agent cut off:", recovery_s, dict(far.problems), figures)  # noqa: T201
        record(
            "partition of an agent in the middle of its orders", times=2, acknowledged=count([*others, far]),
            recovery_s=recovery_s, remark=f"for {LONG_S:g} s and for {SHORT_S:g} s",
        )  # fmt: skip
    finally:
        await venue.stop()


@contextlib.asynccontextmanager
async def pair_apart(
    tmp_path: Path, net: Network, server: External, seed: int
) -> AsyncIterator[tuple[Pair, list[Trader], View]]:
    """Run two daemons, each in a side of its own, and the traders in the hub."""
    assert server.port is not None
    pair = Pair(tmp_path, server, {side: (net.url(side, server.port), net.within(side)) for side in ("left", "right")})
    try:
        await pair.start()
        view = View(server.url, pair.daemons[0])
        await open_market(view)
        async with trading(view, seed) as traders:
            yield pair, traders, view
    finally:
        await pair.stop()


async def test_a_standby_that_is_cut_off_does_not_take_over(tmp_path: Path, net: Network, server: External) -> None:
    """It sees no records and no journal, and stays what it is; mended, it follows on and leads when it must."""
    async with pair_apart(tmp_path, net, server, 13) as (pair, traders, view):
        leader = pair.leader
        standby = pair.other(leader)
        side = standby.files.data.name
        await trading_again(traders)
        net.cut(side)
        for _ in range(int(4 * TAKEOVER_AFTER_S)):
            await asyncio.sleep(1)
            assert (leader.state, standby.state) == ("leading", "following")
        before = count(traders)
        await trading_again(traders)
        assert count(traders) > before
        net.mend(side)
        stored = last_stored(leader)
        await wait_until(lambda: last_stored(standby) >= stored, "it does not follow on", 20)
        await pair.kill_leader()
        await prove_so_far(traders)
        await prove_at_rest(view, traders)  # type: ignore[arg-type] # all that it looks at
        figures = await prove_all(server, traders)
        print("standby cut off:", pair.took_s, figures)  # noqa: T201
        record(
            "partition of a standby, then `kill -9` of the leader", times=1, acknowledged=count(traders),
            recovery_s=pair.took_s, remark=f"cut off for {4 * TAKEOVER_AFTER_S:g} s, in which it did not take over",
        )  # fmt: skip
        assert max(pair.took_s) <= LEADING_WITHIN_S


async def test_a_leader_that_is_cut_off_is_replaced(tmp_path: Path, net: Network, server: External) -> None:
    """The standby leads in time; mended, the old leader finds itself replaced and ends; nobody heard two stories."""
    async with pair_apart(tmp_path, net, server, 14) as (pair, traders, view):
        old = pair.leader
        heir = pair.other(old)
        side = old.files.data.name
        await trading_again(traders)
        loop = asyncio.get_running_loop()
        net.cut(side)
        cut_at = loop.time()
        await wait_until(lambda: heir.state == "leading", "the standby does not take over", 20)
        took_s = loop.time() - cut_at
        acked_s = took_s + await trading_again(traders)
        await asyncio.sleep(LONG_S - took_s)
        assert old.state == "leading", "it cannot know"
        net.mend(side)
        assert await old.ended() == 1
        assert "Replaced" in old.said()
        await prove_so_far(traders)
        await old.start()
        await wait_until(lambda: old.state == "following", "it does not follow when started again", 20)
        await prove_at_rest(view, traders)  # type: ignore[arg-type] # all that it looks at
        figures = await prove_all(server, traders)
        print("leader cut off:", took_s, acked_s, figures)  # noqa: T201
        record(
            "partition of the leader", times=1, acknowledged=count(traders), recovery_s=[acked_s],
            remark=f"the standby led after {took_s:.1f} s; the old leader found itself replaced when it came back",
        )  # fmt: skip
        assert took_s <= LEADING_WITHIN_S

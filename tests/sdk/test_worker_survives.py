"""The Worker on a real nats-server and a real daemon: restarts in the middle of a task, and a process that froze."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent_sdk import (
    Agent,
    Job,
    Rejected,
    SettlementDelivered,
    SettlementEnded,
    TaskAwarded,
    Worker,
    WorkLeaseRenewed,
    connect,
)
from exchange.daemon.creation import create_venue
from exchange.messages.admin import Settings
from tests.daemon.support import External, freeze
from tests.faults.venue_process import VenueProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

WAIT_S = 60.0
ROOT = Path(__file__).parents[2]


class Site:
    """Hold a nats-server, the daemon on it, and connections to the venue."""

    def __init__(self, server: External, venue: VenueProcess, stack: contextlib.AsyncExitStack) -> None:
        self.server = server
        self.venue = venue
        self._stack = stack

    async def agent(self, name: str) -> Agent:
        """Connect an agent for the length of the test."""
        return await self._stack.enter_async_context(connect(self.venue.url, self.venue.creds(name)))

    async def restart(self, what: str) -> None:
        """Kill the daemon, the nats-server or both, and start it again."""
        if what != "daemon":
            await self.server.kill()
        if what != "server":
            await self.venue.kill()
        if what != "daemon":
            await self.server.start()
        if what != "server":
            await self.venue.start()


@contextlib.asynccontextmanager
async def open_site(directory: Path, *, work_lease_seconds: int) -> AsyncIterator[tuple[Site, Agent]]:
    """Run a venue with short windows; yield it with the poster. Two workers who know Python are registered."""
    settings = Settings(
        min_auction_seconds=1, decline_seconds=1, dispute_window_seconds=1, work_lease_seconds=work_lease_seconds
    )
    async with contextlib.AsyncExitStack() as stack:
        server = External(directory)
        stack.push_async_callback(server.stop)
        await server.start()
        async with server.journal() as client:
            await create_venue(client, settings=settings)
        venue = VenueProcess(server.files.data, server.url, logs=directory)
        stack.push_async_callback(venue.stop)
        await venue.start()
        site = Site(server, venue, stack)
        admin = (await site.agent("operator")).admin
        await admin.register_agent("poster", owner="poster", endowment=100)
        for name in ("ann", "ben"):
            await admin.register_agent(name, owner=name, endowment=100, skills=["python"])
        yield site, await site.agent("poster")


@contextlib.asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[None]:
    """Let a worker work for the length of the block; it must not end by itself."""
    task = asyncio.create_task(worker.run())
    try:
        await until_bidding(worker.agent)
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until_bidding(agent: Agent) -> None:
    async with asyncio.timeout(WAIT_S):
        while await agent.tasks.standing_bid() is None:
            await asyncio.sleep(0.01)


async def post(poster: Agent, **terms: object) -> int:
    fields = {"effort_minutes": 60, "reserve": 30, "deadline_in": 3_600.0, "skills": {"python"}, "closes_in": 2.0}
    return (await poster.tasks.post("mend it", **{**fields, **terms})).id  # type: ignore[arg-type]


async def hear(agent: Agent, is_wanted: Callable[[object], bool], *, since: int = 0) -> list[object]:
    """Follow the events of an agent until the wanted one; return all of them."""
    events: list[object] = []
    async with asyncio.timeout(WAIT_S):
        async for event in agent.events(since=since):
            events.append(event)
            if is_wanted(event):
                break
    return events


# ── restarts ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("what", ["daemon", "server", "both"])
async def test_a_worker_survives_a_restart_in_the_middle_of_a_task(tmp_path: Path, what: str) -> None:
    """It goes on renewing its work lease, and what it did is delivered once and paid once."""
    async with open_site(tmp_path, work_lease_seconds=6) as (site, poster):
        ann = await site.agent("ann")
        worker = Worker(ann)
        jobs: list[Job] = []
        began, may_end = asyncio.Event(), asyncio.Event()

        @worker.task(skills={"python"}, price_per_hour=10)
        async def mend(job: Job) -> str:
            jobs.append(job)
            began.set()
            await may_end.wait()
            return "mended"

        async with running(worker):
            await post(poster)
            async with asyncio.timeout(WAIT_S):
                await began.wait()
            await site.restart(what)
            heard = (await ann.account()).event_seq
            # Two, because the first may have been under way.
            for _ in range(2):
                renewed = (await hear(ann, lambda event: isinstance(event, WorkLeaseRenewed), since=heard))[-1]
                heard = renewed.seq  # type: ignore[attr-defined]
            may_end.set()
            await hear(poster, lambda event: isinstance(event, SettlementDelivered))
            await poster.settlements.confirm(1)
            await assert_paid_once(ann, poster, jobs)


@pytest.mark.parametrize("what", ["daemon", "server"])
async def test_what_was_finished_while_the_venue_was_away_is_delivered_when_it_is_back(
    tmp_path: Path, what: str
) -> None:
    async with open_site(tmp_path, work_lease_seconds=60) as (site, poster):
        ann = await site.agent("ann")
        worker = Worker(ann)
        jobs: list[Job] = []
        began, may_end = asyncio.Event(), asyncio.Event()

        @worker.task(skills={"python"}, price_per_hour=10)
        async def mend(job: Job) -> str:
            jobs.append(job)
            began.set()
            await may_end.wait()
            return "mended"

        async with running(worker):
            await post(poster)
            async with asyncio.timeout(WAIT_S):
                await began.wait()
            stop, start = (
                (site.venue.kill, site.venue.start) if what == "daemon" else (site.server.kill, site.server.start)
            )
            await stop()
            may_end.set()
            await start()
            await hear(poster, lambda event: isinstance(event, SettlementDelivered))
            await poster.settlements.confirm(1)
            await assert_paid_once(ann, poster, jobs)


async def assert_paid_once(ann: Agent, poster: Agent, jobs: list[Job]) -> None:
    """Prove that one job was done, delivered and paid, all once."""
    events = await hear(ann, lambda event: isinstance(event, SettlementEnded))
    assert [event.reference for event in events if isinstance(event, SettlementDelivered)] == ["mended"]
    assert [event.paid for event in events if isinstance(event, SettlementEnded)] == [30]
    assert [(job.settlement.id, job.is_resumed) for job in jobs] == [(1, False)]
    assert [(await agent.balances())["credit"].available for agent in (ann, poster)] == [130, 70]


# ── freezing ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_a_process_that_froze_beyond_its_work_lease_is_refused_by_its_token(tmp_path: Path) -> None:
    """Its task is awarded again meanwhile; when it comes back with a result, that is refused, and it says so."""
    pipe, log = tmp_path / "pipe", tmp_path / "worker.log"
    os.mkfifo(pipe)
    async with open_site(tmp_path, work_lease_seconds=5) as (site, poster), held_open(pipe) as descriptor:
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.sdk.blocking_worker", str(pipe)),
                cwd=ROOT,
                env={**os.environ, "NATS_URL": site.venue.url, "EXCHANGE_CREDS": str(site.venue.creds("ann"))},
                stdout=output,
                stderr=output,
            )
        try:
            ann, ben = await site.agent("ann"), await site.agent("ben")
            await until_bidding(ann)
            await post(poster, max_rounds=2, on_failure="reopen", bond=3)
            await until_said(log, "began 1 with token 1")
            freeze(process.pid)
            second = Worker(ben)
            second.task(skills={"python"}, price_per_hour=20)(lambda _: "mended by ben")
            async with running(second):
                await hear(poster, lambda event: isinstance(event, SettlementDelivered))
            assert (await poster.settlements.get(1)).cause == "lease_lapsed"
            await poster.settlements.confirm(2)
            # The result is there before anything else can be heard.
            os.write(descriptor, b"mended by ann\n")
            process.send_signal(signal.SIGCONT)
            await until_said(log, "stale_fencing_token")
            said = log.read_text()
            assert "agent_sdk.worker WARNING the result of task 1 is not wanted any more: stale_fencing_token" in said
            with pytest.raises(Rejected, match="stale_fencing_token"):
                await ann.settlements.renew(1, fencing_token=1)
        finally:
            process.kill()
            await process.wait()
        awarded = [event for event in await hear(poster, is_end_of(2)) if isinstance(event, TaskAwarded)]
        assert [(event.winner, event.round) for event in awarded] == [("ann", 1), ("ben", 2)]
        assert (await ben.settlements.get(2)).reference == "mended by ben"
        # The bond of 3 is the poster's.
        balances = [(await agent.balances())["credit"].available for agent in (ann, ben, poster)]
        assert balances == [97, 130, 73]


@contextlib.asynccontextmanager
async def held_open(pipe: Path) -> AsyncIterator[int]:
    """Open a pipe for both sides, so that nobody waits for the other to open it."""
    descriptor = os.open(pipe, os.O_RDWR)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_end_of(settlement: int) -> Callable[[object], bool]:
    return lambda event: isinstance(event, SettlementEnded) and event.settlement == settlement


async def until_said(log: Path, text: str) -> None:
    """Wait until a process has written something."""
    try:
        async with asyncio.timeout(WAIT_S):
            while text not in log.read_text(errors="replace"):
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(log.read_text(errors="replace")) from None

"""Tasks, settlements and the Worker, by the SDK, on the exchange in memory."""

from __future__ import annotations

import asyncio
import contextlib
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from agent_sdk import (
    Delivery,
    Job,
    NotFound,
    Rejected,
    RequestTimeout,
    SettlementEnded,
    SettlementOpened,
    TaskAwarded,
    TaskEnded,
    Worker,
)
from exchange.testing import LocalExchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_sdk import Agent, Settlement

WAIT_S = 10.0


@contextlib.asynccontextmanager
async def exchange_with_workers() -> AsyncIterator[tuple[LocalExchange, Agent, Agent, Agent]]:
    """Yield a venue with a poster and two workers who know Python."""
    async with LocalExchange() as exchange:
        operator = await exchange.operator()
        for name in ("ann", "ben"):
            await operator.admin.register_agent(name, owner=name, endowment=100, skills=["python"])
        yield exchange, await exchange.agent("poster"), await exchange.agent("ann"), await exchange.agent("ben")


async def post(poster: Agent, **terms: object) -> int:
    fields = {"effort_minutes": 60, "reserve": 30, "deadline_in": 86_400.0, "skills": {"python"}, **terms}
    return (await poster.tasks.post("mend it", **fields)).id  # type: ignore[arg-type]


async def test_a_task_goes_from_post_to_pay() -> None:
    """Amounts are whole credits everywhere, and both sides hear typed events."""
    async with exchange_with_workers() as (exchange, poster, ann, ben):
        task = await post(poster, quality_bonus="2.5")
        assert [found.id for found in await ann.tasks.list("python")] == [task]
        placed = await ann.tasks.bid(task, "20.5")
        assert placed.held == 3
        await ben.tasks.bid(task, 18)
        assert [(bid.price, bid.held) for bid in await ann.tasks.bids()] == [(Decimal("20.5"), 3)]
        await exchange.advance(66)
        found = await ann.tasks.get(task)
        assert (found.winner, found.price, found.bids) == ("ben", Decimal("20.5"), 2)
        (settlement,) = await ben.settlements.list()
        await ben.settlements.deliver(settlement.id, "pr/7", fencing_token=settlement.fencing_token)
        await poster.settlements.confirm(settlement.id)
        assert (await ben.balances())["credit"].available == Decimal("121.75")
        events = [event async for event in _all_events(ben)]
        (awarded,) = [event for event in events if isinstance(event, TaskAwarded)]
        assert awarded.price == Decimal("20.5")
        (opened,) = [event for event in events if isinstance(event, SettlementOpened)]
        assert (opened.price, opened.bond) == (Decimal("20.5"), 3)
        (ended,) = [event for event in events if isinstance(event, SettlementEnded)]
        assert ended.paid == Decimal("20.5")
        (task_ended,) = [event for event in events if isinstance(event, TaskEnded)]
        assert task_ended.quality_bonus == Decimal("1.25")


async def _all_events(agent: Agent) -> AsyncIterator[object]:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            async for event in agent.events(since=0):
                yield event


async def test_mistakes_are_told_as_typed_errors() -> None:
    async with exchange_with_workers() as (exchange, poster, ann, ben):
        task = await post(poster)
        with pytest.raises(TypeError, match="is a float"):
            await ann.tasks.bid(task, 20.5)  # type: ignore[arg-type]
        with pytest.raises(Rejected) as caught:
            await ann.tasks.bid(task, 31)
        assert type(caught.value).__name__ == "BidAboveReserve"
        with pytest.raises(NotFound):
            await ann.tasks.get(99)
        await ann.tasks.bid(task, 20)
        await exchange.advance(66)
        with pytest.raises(NotFound):
            await ben.settlements.get(1)
        with pytest.raises(Rejected) as caught:
            await ann.settlements.deliver(1, fencing_token=0)
        assert type(caught.value).__name__ == "StaleFencingToken"


async def work(exchange: LocalExchange, poster: Agent, worker: Worker) -> int:
    """Let a worker run until a task is awarded to it; return the task."""
    await until_bidding(worker)
    task = await post(poster)
    await exchange.advance(66)
    async with asyncio.timeout(WAIT_S):
        while (await poster.tasks.get(task)).winner is None:
            await asyncio.sleep(0.001)
    return task


async def until_bidding(worker: Worker) -> None:
    async with asyncio.timeout(WAIT_S):
        while await worker.agent.tasks.standing_bid() is None:
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(worker.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("is_plain", [False, True])
async def test_a_worker_bids_works_and_delivers(is_plain: bool) -> None:
    """A function is all it takes; a plain one runs in a thread."""
    async with exchange_with_workers() as (exchange, poster, ann, _):
        worker = Worker(ann)
        seen: list[Job] = []

        def mend(job: Job) -> Delivery:
            seen.append(job)
            return Delivery(f"done: {job.task.title}", "sha256:1")

        async def mend_async(job: Job) -> Delivery:
            return mend(job)

        worker.task(skills={"python"}, price_per_hour="12.5")(mend if is_plain else mend_async)
        async with running(worker):
            task = await work(exchange, poster, worker)
            async with asyncio.timeout(WAIT_S):
                while (await poster.settlements.get(1)).state != "delivered":
                    await asyncio.sleep(0.001)
            settlement = await poster.settlements.get(1)
            assert (settlement.reference, settlement.digest) == ("done: mend it", "sha256:1")
            assert (seen[0].task.id, seen[0].fencing_token, seen[0].is_resumed) == (task, 1, False)
            await poster.settlements.confirm(1)
        # A single bid gets the reserve.
        assert (await ann.balances())["credit"].available == 130


async def test_a_worker_that_raises_gives_the_task_up() -> None:
    async with exchange_with_workers() as (exchange, poster, ann, _):
        worker = Worker(ann)

        @worker.task(skills={"python"}, price_per_hour=10)
        async def mend(job: Job) -> str:
            del job
            message = "no such repository"
            raise RuntimeError(message)

        async with running(worker):
            task = await work(exchange, poster, worker)
            async with asyncio.timeout(WAIT_S):
                while (await poster.tasks.get(task)).state != "failed":
                    await asyncio.sleep(0.001)
        assert (await poster.settlements.get(1)).cause == "given_up"


async def test_a_function_that_hangs_keeps_its_lease_and_loses_it_with_the_deadline(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The lease is renewed as long as the function runs; when the task has failed it is canceled, and that is told."""
    async with exchange_with_workers() as (exchange, poster, ann, _):
        worker = Worker(ann)
        began, canceled = asyncio.Event(), asyncio.Event()

        @worker.task(skills={"python"}, price_per_hour=10)
        async def hang(job: Job) -> None:
            del job
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                canceled.set()

        async with running(worker):
            await work(exchange, poster, worker)
            async with asyncio.timeout(WAIT_S):
                await began.wait()
            # The worker's own clock stands still here, so it does not renew, and the lease lapses.
            await exchange.advance(600)
            assert (await poster.settlements.get(1)).cause == "lease_lapsed"
            async with asyncio.timeout(WAIT_S):
                await canceled.wait()
        assert "task 1 is lost, and its function canceled: settlement 1 fails: lease_lapsed" in caplog.messages
        with pytest.raises(Rejected, match="stale_fencing_token"):
            await ann.settlements.deliver(1, "late", fencing_token=1)


async def test_a_worker_that_comes_back_takes_up_what_was_awarded() -> None:
    async with exchange_with_workers() as (exchange, poster, ann, _):
        first = Worker(ann)
        began = asyncio.Event()

        @first.task(skills={"python"}, price_per_hour=10)
        async def hang(job: Job) -> None:
            del job
            began.set()
            await asyncio.Event().wait()

        async with running(first):
            await work(exchange, poster, first)
            async with asyncio.timeout(WAIT_S):
                await began.wait()
        second = Worker(ann)
        jobs: list[Job] = []

        @second.task(skills={"python"}, price_per_hour=10)
        async def mend(job: Job) -> str:
            jobs.append(job)
            return "resumed"

        async with running(second):
            async with asyncio.timeout(WAIT_S):
                while (await poster.settlements.get(1)).state != "delivered":
                    await asyncio.sleep(0.001)
        assert jobs[0].is_resumed


async def test_a_worker_that_comes_back_while_the_venue_is_away_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with exchange_with_workers() as (_, _poster, ann, _ben):
        worker = Worker(ann)
        worker.task(skills={"python"}, price_per_hour=10)(str)
        ask, answers = ann.settlements.list, asyncio.Queue[bool]()

        async def ask_twice() -> list[Settlement]:
            is_first = answers.empty()
            answers.put_nowait(not is_first)
            if is_first:
                message = "no answer"
                raise RequestTimeout(message)
            return await ask()

        monkeypatch.setattr(ann.settlements, "list", ask_twice)
        async with running(worker) as run:
            async with asyncio.timeout(WAIT_S):
                while answers.qsize() < 2:
                    await asyncio.sleep(0.001)
            assert not run.done()


async def test_stopping_finishes_what_was_begun() -> None:
    async with exchange_with_workers() as (exchange, poster, ann, _):
        worker = Worker(ann)
        began, may_end = asyncio.Event(), asyncio.Event()

        @worker.task(skills={"python"}, price_per_hour=10)
        async def mend(job: Job) -> str:
            del job
            began.set()
            await may_end.wait()
            return "finished"

        async with running(worker) as run:
            await work(exchange, poster, worker)
            async with asyncio.timeout(WAIT_S):
                await began.wait()
            worker.stop()
            async with asyncio.timeout(WAIT_S):
                while await ann.tasks.standing_bid() is not None:
                    await asyncio.sleep(0.001)
            assert not run.done()
            may_end.set()
            async with asyncio.timeout(WAIT_S):
                await run
        assert (await poster.settlements.get(1)).reference == "finished"


async def test_a_worker_has_one_function() -> None:
    async with exchange_with_workers() as (_, _poster, ann, _ben):
        worker = Worker(ann)
        with pytest.raises(ValueError, match=r"@worker\.task"):
            await worker.run()
        worker.task(fixed_price=1)(str)
        with pytest.raises(ValueError, match="one function"):
            worker.task(fixed_price=1)(str)

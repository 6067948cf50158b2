"""Turn a function into an agent: it bids by a standing bid, works within its work lease, delivers or gives up."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agent_sdk.errors import ExchangeError, NotFound, OutcomeUnknown, Rejected
from agent_sdk.event_models import Gap
from agent_sdk.work_events import SettlementEnded, SettlementFailing, SettlementOpened, StandingBidEnded, TaskOffered
from agent_sdk.work_models import Delivery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from agent_sdk.agent import Agent
    from agent_sdk.money import Number
    from agent_sdk.work_models import Settlement, Task

__all__ = ["Job", "Worker"]

_log: Final = logging.getLogger("agent_sdk.worker")

_BID_LASTS_S: Final = 600.0
"""A worker that died does not win tasks for longer than this."""

_RETRY_S: Final = 1.0
_DETAIL_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Job:
    """Hold what a worker's function is called with.

    ``is_resumed``: an earlier life of this worker may have begun it.
    """

    task: Task
    settlement: Settlement
    is_resumed: bool = False

    @property
    def fencing_token(self) -> int:
        """The token that whoever keeps a resource for the job can compare: the highest is the worker's."""
        return self.settlement.fencing_token


class Worker:
    """Work for whoever pays.

    ::

        worker = Worker(agent)

        @worker.task(skills={"python"}, price_per_hour="5")
        async def mend(job: Job) -> str:
            return await fix(job.task.detail)  # a reference to the result

        await worker.run()

    The function may be a coroutine or a plain function, which runs in a thread. What it returns, a reference or a
    `Delivery`, is delivered; what it raises makes the worker give the task up. The work lease is renewed as long as
    the function runs; when it is lost, the function is canceled (a thread is left to end, and its result dropped), and
    the log ``agent_sdk.worker`` warns of it, as of a result that comes too late.

    An agent has one standing bid, so a worker has one function. What was awarded before this process began is taken up
    again: the function is called with ``is_resumed``.
    """

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self._function: Callable[[Job], Any] | None = None
        self._bid: dict[str, Any] = {}
        self._jobs: dict[int, asyncio.Task[None]] = {}
        self._ends: dict[int, asyncio.Future[str]] = {}
        self._is_stopping = asyncio.Event()

    def task(
        self,
        *,
        skills: Collection[str] = (),
        price_per_hour: Number = 0,
        fixed_price: Number = 0,
        load_markup_bp: int = 0,
        capacity: int = 1,
        max_effort_minutes: int | None = None,
        max_bond: Number | None = None,
        min_payer_reputation: int = 0,
    ) -> Callable[[Callable[[Job], Any]], Callable[[Job], Any]]:
        """Make a function the worker's, with the terms of its standing bid (see `Tasks.set_standing_bid`).

        Raises:
            ValueError: The worker has a function.

        """
        terms = {
            "skills": skills,
            "price_per_hour": price_per_hour,
            "fixed_price": fixed_price,
            "load_markup_bp": load_markup_bp,
            "capacity": capacity,
            "max_effort_minutes": max_effort_minutes,
            "max_bond": max_bond,
            "min_payer_reputation": min_payer_reputation,
        }

        def register(function: Callable[[Job], Any]) -> Callable[[Job], Any]:
            if self._function is not None:
                message = "a worker has one function, because an agent has one standing bid: use another agent"
                raise ValueError(message)
            self._function, self._bid = function, terms
            return function

        return register

    def stop(self) -> None:
        """Bid no more, finish what was begun, then let `run` return."""
        self._is_stopping.set()

    async def run(self) -> None:
        """Work until `stop`. When this is canceled, jobs are dropped: their work leases lapse, or are taken up again.

        Raises:
            ValueError: There is no function to work with.

        """
        if self._function is None:
            message = "give the worker a function with @worker.task(…) first"
            raise ValueError(message)
        self._is_stopping.clear()
        background: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._keep_bidding(), name="agent-sdk-worker-bid"),
            asyncio.create_task(self._listen(), name="agent-sdk-worker-events"),
        ]
        stopping: asyncio.Task[Any] = asyncio.create_task(self._is_stopping.wait())
        try:
            await asyncio.wait([*background, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in background:
                if task.done():
                    task.result()
            background[0].cancel()
            with contextlib.suppress(ExchangeError):
                await self.agent.tasks.clear_standing_bid()
            await asyncio.gather(*self._jobs.values(), return_exceptions=True)
        finally:
            for task in (*background, stopping, *self._jobs.values()):
                task.cancel()
            await asyncio.gather(*background, stopping, *self._jobs.values(), return_exceptions=True)

    # ── bidding ─────────────────────────────────────────────────────────────────────────────────

    async def _keep_bidding(self) -> None:
        """Keep the standing bid; it ends by itself when this process does."""
        while True:
            try:
                await self.agent.tasks.set_standing_bid(**self._bid, lasts=_BID_LASTS_S)
            except Rejected as error:
                _log.warning("the venue takes no standing bid: %s", error)
            except ExchangeError as error:
                _log.info("the standing bid was not renewed yet: %s", error)
            await asyncio.sleep(_BID_LASTS_S / 3)

    # ── events ──────────────────────────────────────────────────────────────────────────────────

    async def _listen(self) -> None:
        events = self.agent.events()
        # From now on nothing is missed; what was awarded before is asked for.
        following = aiter(events)
        await self._take_up()
        async for event in following:
            match event:
                case TaskOffered():
                    await self._answer(event)
                case SettlementOpened(provider=self.agent.id, origin=origin) if origin.startswith("tasks:"):
                    self._begin(event.settlement, is_resumed=False)
                case SettlementFailing():
                    self._end(event.settlement, f"settlement {event.settlement} fails: {event.cause}")
                case SettlementEnded():
                    self._end(event.settlement, f"settlement {event.settlement} is {event.outcome}")
                case StandingBidEnded():
                    _log.info("the standing bid ended: %s", event.reason)
                case Gap():
                    await self._take_up()
                case _:
                    pass

    async def _answer(self, offer: TaskOffered) -> None:
        answer = self.agent.tasks.decline if self._is_stopping.is_set() else self.agent.tasks.accept
        try:
            await answer(offer.task)
        except ExchangeError as error:
            # Silence accepts, and what is over is over.
            _log.info("task %s was not answered: %s", offer.task, error)

    async def _take_up(self) -> None:
        """Begin what is awarded to this agent and not begun in this process."""
        for settlement in await self._patiently(self.agent.settlements.list):
            is_mine = settlement.provider == self.agent.id and settlement.origin.startswith("tasks:")
            if is_mine and settlement.state == "open":
                self._begin(settlement.id, is_resumed=True)

    def _begin(self, settlement: int, *, is_resumed: bool) -> None:
        if settlement in self._jobs:
            return
        end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        do = self._do(settlement, end, is_resumed=is_resumed)
        job = asyncio.create_task(do, name=f"agent-sdk-job-{settlement}")
        self._jobs[settlement], self._ends[settlement] = job, end
        job.add_done_callback(lambda _: self._forget(settlement))

    def _forget(self, settlement: int) -> None:
        self._jobs.pop(settlement, None)
        self._ends.pop(settlement, None)

    def _end(self, settlement: int, why: str) -> None:
        """Let a job end whose result nobody waits for any more."""
        end = self._ends.get(settlement)
        if end is not None and not end.done():
            end.set_result(why)

    # ── jobs ────────────────────────────────────────────────────────────────────────────────────

    async def _do(self, number: int, end: asyncio.Future[str], *, is_resumed: bool) -> None:
        """Do one job: call the function within the work lease, and deliver or give up."""
        try:
            settlement = await self._patiently(lambda: self.agent.settlements.get(number))
            task = await self._patiently(lambda: self.agent.tasks.get(int(settlement.origin.partition(":")[2])))
        except NotFound:
            # It ended so long ago that the venue has forgotten it.
            return
        if settlement.state != "open":
            return
        job = Job(task, settlement, is_resumed)
        work = asyncio.ensure_future(self._call(job))
        lease = asyncio.create_task(self._keep_lease(settlement))
        try:
            await asyncio.wait([work, lease, end], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await self._finish(job, work)
                return
            why = end.result() if end.done() else lease.result()
            _log.warning("task %s is lost, and its function canceled: %s", task.id, why)
        finally:
            for each in (work, lease):
                each.cancel()
            await asyncio.gather(work, lease, return_exceptions=True)

    async def _call(self, job: Job) -> Any:
        function: Any = self._function
        if inspect.iscoroutinefunction(function):
            return await function(job)
        return await asyncio.to_thread(function, job)

    async def _keep_lease(self, settlement: Settlement) -> str:
        """Renew the work lease three times in its length; when it is lost, return why."""
        while settlement.lease_until_us is None:
            await asyncio.Event().wait()
        length_s = max((settlement.lease_until_us - self.agent.venue_time_us) / 1_000_000, _RETRY_S)
        pause_s = length_s / 3
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self.agent.settlements.renew(settlement.id, fencing_token=settlement.fencing_token)
            except Rejected as error:
                return f"the work lease is not renewed: {error}"
            except ExchangeError:
                # The venue is away: whether the lease lapsed it will say.
                pause_s = _RETRY_S
            else:
                pause_s = length_s / 3

    async def _finish(self, job: Job, work: asyncio.Future[Any]) -> None:
        number, token = job.settlement.id, job.fencing_token
        error = work.exception()
        try:
            if error is not None:
                _log.error("task %s is given up", job.task.id, exc_info=error)
                detail = f"{type(error).__name__}: {error}"[:_DETAIL_MAX]
                await self._patiently(lambda: self.agent.settlements.give_up(number, detail, fencing_token=token))
                return
            result = work.result()
            delivery = result if isinstance(result, Delivery) else Delivery("" if result is None else str(result))
            await self._patiently(
                lambda: self.agent.settlements.deliver(number, delivery.reference, delivery.digest, fencing_token=token)
            )
        except Rejected as rejected:
            _log.warning("the result of task %s is not wanted any more: %s", job.task.id, rejected)

    async def _patiently(self, act: Callable[[], Awaitable[Any]]) -> Any:
        """Try until the venue has answered; a command that may have been executed is settled first."""
        while True:
            try:
                return await act()
            except (Rejected, NotFound):
                raise
            except OutcomeUnknown as unknown:
                settled = await self._settle(unknown)
                if settled:
                    return None
            except ExchangeError as error:
                _log.info("trying again: %s", error)
                await asyncio.sleep(_RETRY_S)

    async def _settle(self, unknown: OutcomeUnknown) -> bool:
        """Return whether a command of unknown outcome was executed."""
        while True:
            try:
                return (await self.agent.outcome(unknown.id, unknown.valid_until_us)).state != "never_executed"
            except ExchangeError:
                await asyncio.sleep(_RETRY_S)

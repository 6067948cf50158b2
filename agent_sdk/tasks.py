"""Post tasks, bid for them, and let a standing bid do so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Unpack

from agent_sdk.markets import credits_from
from agent_sdk.money import to_credits
from agent_sdk.reading import Namespace, page_through, read
from agent_sdk.work_models import DecidedBid, PlacedBid, PostedTask, SealedBid, StandingBid, Task, TaskTerms
from exchange.messages.tasks import (
    AcceptOffer,
    AllBidsResult,
    BidOnTask,
    CancelTask,
    ClearStandingBid,
    DeclineOffer,
    GetStandingBid,
    GetTask,
    ListAllBids,
    ListBids,
    ListTasks,
    PostTask,
    SetStandingBid,
    StandingBidResult,
    TaskBidOutcome,
    TaskBidsResult,
    TaskOutcome,
    TaskResult,
    TasksResult,
    WithdrawTaskBid,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from agent_sdk.money import Number
    from exchange.messages.tasks import TaskView

__all__ = ["Tasks"]

_AMOUNTS: Final = (
    "reserve",
    "value",
    "max_price",
    "reward",
    "bond",
    "quality_bonus",
    "efficiency_bonus",
    "late_per_hour",
    "price_per_hour",
    "fixed_price",
    "max_bond",
)


def task_of(view: TaskView) -> Task:
    """Return a task in whole credits."""
    return read(Task, view, id=view.task)


def _amounts(terms: dict[str, Any]) -> dict[str, Any]:
    """Return terms as the wire has them; an amount of 0 means none."""
    return {
        name: (to_credits(value, name) if value != 0 else 0) if name in _AMOUNTS else value
        for name, value in terms.items()
        if value is not None
    }


class Tasks(Namespace):
    """Auction work. Every method raises like `Agent.place`: ``Rejected`` says which rule said no."""

    # ── posting ─────────────────────────────────────────────────────────────────────────────────

    async def post(
        self,
        title: str,
        *,
        effort_minutes: int,
        reserve: Number,
        deadline_in: float,
        closes_in: float = 65.0,
        skills: Collection[str] = (),
        **terms: Unpack[TaskTerms],
    ) -> PostedTask:
        """Auction a task, by default for 65 s: the venue wants a minute at least. It is due in ``deadline_in`` seconds.

        ``reserve`` is the most that is paid (in a sale: the least that is asked). ``terms`` are those of `TaskTerms`.

        Raises:
            InsufficientCredits: What it may cost goes into escrow, and is not there.
            InvalidTaskTerms: The detail says what does not fit.

        """
        fields = {
            "title": title,
            "effort_minutes": effort_minutes,
            "reserve": reserve,
            "skills": sorted(skills),
            **terms,
        }
        times = {"closes_at_us": self._at(closes_in), "deadline_us": self._at(deadline_in)}
        outcome = await self._give(PostTask, TaskOutcome, **_amounts(fields), **times)
        return PostedTask(id=outcome.task, reserve=credits_from(outcome.reserve))

    async def cancel(self, task: int) -> None:
        """Take a task back while its auction is open."""
        await self._give(CancelTask, task=task)

    # ── bidding ─────────────────────────────────────────────────────────────────────────────────

    async def bid(self, task: int, price: Number) -> PlacedBid:
        """Bid, sealed, for the agent's owner; a later bid takes the place of an earlier one.

        In a second-price auction the best price is the true one: the cost of the work, or in a sale its value.
        """
        outcome = await self._give(BidOnTask, TaskBidOutcome, task=task, price=to_credits(price, "price"))
        return PlacedBid(held=credits_from(outcome.held))

    async def withdraw_bid(self, task: int) -> None:
        """Take the owner's bid back before the close."""
        await self._give(WithdrawTaskBid, task=task)

    async def set_standing_bid(
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
        lasts: float | None = None,
    ) -> None:
        """Bid by itself in every procurement that asks for none but these skills, for ``lasts`` seconds or for good."""
        fields = {
            "skills": sorted(skills),
            "price_per_hour": price_per_hour,
            "fixed_price": fixed_price,
            "load_markup_bp": load_markup_bp,
            "capacity": capacity,
            "max_effort_minutes": max_effort_minutes,
            "max_bond": max_bond,
            "min_payer_reputation": min_payer_reputation,
            "until_us": None if lasts is None else self._at(lasts),
        }
        await self._give(SetStandingBid, **_amounts(fields))

    async def clear_standing_bid(self) -> None:
        """Bid by itself no more."""
        await self._give(ClearStandingBid)

    async def accept(self, task: int) -> None:
        """Take at once what the standing bid won."""
        await self._give(AcceptOffer, task=task)

    async def decline(self, task: int) -> None:
        """Leave what the standing bid won to the next bid."""
        await self._give(DeclineOffer, task=task)

    # ── asking ──────────────────────────────────────────────────────────────────────────────────

    async def get(self, task: int) -> Task:
        """Return one task, and once it was awarded why.

        Raises:
            NotFound: There is none, or it ended long ago.

        """
        return task_of((await self._connection.query(GetTask(task=task), TaskResult)).task)

    async def bids(self) -> list[SealedBid]:
        """Return the agent's own sealed bids."""
        found: list[SealedBid] = []
        after: int | None = 0
        while after is not None:
            result = await self._connection.query(ListBids(after=after), TaskBidsResult)
            found.extend(read(SealedBid, view) for view in result.bids)
            after = result.next
        return found

    async def all_bids(self, task: int) -> list[DecidedBid]:
        """Return all bids that an award was decided among, the earliest first, to who rules in a dispute about it.

        Raises:
            NotFound: There is no such dispute, or the agent has no seat in it.

        """
        result = await self._connection.query(ListAllBids(task=task), AllBidsResult)
        return [read(DecidedBid, view) for view in result.bids]

    async def standing_bid(self) -> StandingBid | None:
        """Return the agent's standing bid, if it has one."""
        view = (await self._connection.query(GetStandingBid(), StandingBidResult)).standing_bid
        return None if view is None else read(StandingBid, view)

    async def list(self, skill: str | None = None, *, mine: bool = False) -> list[Task]:
        """Return the open auctions, of a skill or all, or with ``mine`` what this agent posted and has not ended."""

        async def ask(after: int) -> TasksResult:
            return await self._connection.query(ListTasks(skill=skill, mine=mine, after=after), TasksResult)

        return [task_of(view) for view in await page_through(ask, "tasks")]

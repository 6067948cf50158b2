"""Answer what may be known of tasks: of bids nothing but one's own before the award, and all to a panel only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exchange.mechanisms.base import NotFound
from exchange.messages.tasks import (
    AllBidsResult,
    DecidedBidView,
    GetStandingBid,
    GetTask,
    ListAllBids,
    ListBids,
    ListTasks,
    StandingBidResult,
    StandingBidView,
    TaskBidsResult,
    TaskBidView,
    TaskResult,
    TasksResult,
    TaskView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.tasks.mechanism import Tasks
    from exchange.mechanisms.tasks.task import Task
    from exchange.messages.base import Query, Result

__all__ = ["Queries"]


class Queries:
    """Read the tasks."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def readers(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return {
            GetTask: self._get,
            ListTasks: self._list,
            ListBids: self._bids,
            ListAllBids: self._all_bids,
            GetStandingBid: self._standing_bid,
        }

    def _get(self, agent: AgentRecord, query: GetTask) -> TaskResult:
        task = self._tasks.tasks.get(query.task) or self._tasks.ended.get(query.task)
        if task is None:
            message = f"no task {query.task}"
            raise NotFound(message)
        return TaskResult(task=self._view(task, agent))

    def _list(self, agent: AgentRecord, query: ListTasks) -> TasksResult:
        tasks = self._tasks
        found = tasks.open if query.skill is None else tasks.open_by_skill.get(query.skill, {})
        if query.mine:
            found = tasks.posted.get(agent.agent_id, {})
        numbers = sorted(number for number in found if number > query.after)[: query.limit + 1]
        page = numbers[: query.limit]
        views = [self._view(tasks.tasks[number], agent) for number in page]
        return TasksResult(tasks=views, next=page[-1] if len(numbers) > query.limit else None)

    def _bids(self, agent: AgentRecord, query: ListBids) -> TaskBidsResult:
        of_agent = self._tasks.bids_of.get(agent.agent_id, {})
        numbers = sorted(number for number in of_agent if number > query.after)[: query.limit + 1]
        page = numbers[: query.limit]
        found = []
        for number in page:
            bid = self._tasks.tasks[number].bids[agent.owner]
            found.append(TaskBidView(task=number, price=bid.price, held=bid.held))
        return TaskBidsResult(bids=found, next=page[-1] if len(numbers) > query.limit else None)

    def _all_bids(self, agent: AgentRecord, query: ListAllBids) -> AllBidsResult:
        task = self._tasks.tasks.get(query.task) or self._tasks.ended.get(query.task)
        settlement = 0 if task is None or task.award is None else task.award.settlement
        panels = self._tasks.panels
        if task is None or panels is None or not panels.has_seat(agent.agent_id, "settlements", settlement):
            message = f"no disputed award of a task {query.task} about which {agent.agent_id} is to rule"
            raise NotFound(message)
        bids = sorted(task.decided.values(), key=lambda bid: bid.bid)
        views = [DecidedBidView(agent=bid.agent, price=bid.price, is_standing=bid.is_standing) for bid in bids]
        return AllBidsResult(bids=views)

    def _standing_bid(self, agent: AgentRecord, query: GetStandingBid) -> StandingBidResult:
        del query
        bid = self._tasks.standing.by_agent.get(agent.agent_id)
        if bid is None:
            return StandingBidResult()
        view = StandingBidView(
            skills=list(bid.skills),
            price_per_hour=bid.price_per_hour,
            fixed_price=bid.fixed_price,
            load_markup_bp=bid.load_markup_bp,
            capacity=bid.capacity,
            open_awards=self._tasks.awards_of.get(bid.agent, 0),
            max_effort_minutes=bid.max_effort_minutes,
            max_bond=bid.max_bond,
            min_payer_reputation=bid.min_payer_reputation,
            until_us=bid.until_us,
        )
        return StandingBidResult(standing_bid=view)

    def _view(self, task: Task, agent: AgentRecord) -> TaskView:
        terms, award = task.terms, task.award
        own = task.bids.get(agent.owner) or task.decided.get(agent.owner)
        # While an offer waits for its answer, the auction looks open to all others: nobody learns that there was a bid.
        state = "open" if task.state == "offered" and task.offered != agent.owner else task.state
        return TaskView(
            task=task.number,
            poster=terms.poster,
            title=terms.title,
            state=state,
            direction=terms.direction,
            pricing=terms.pricing,
            effort_minutes=terms.effort_minutes,
            reserve=task.reserve,
            closes_at_us=task.closes_at_us,
            deadline_us=terms.deadline_us,
            round=task.round,
            max_rounds=terms.max_rounds,
            detail=terms.detail,
            value=terms.value,
            skills=list(terms.skills),
            bond=terms.bond,
            reward=terms.reward,
            quality_bonus=terms.quality_bonus,
            efficiency_bonus=terms.efficiency_bonus,
            late_hours=terms.late_hours,
            attester=terms.attester,
            min_reputation=terms.min_reputation,
            critical=terms.critical,
            on_failure="reopen" if terms.reopens else "end",
            winner=None if award is None else award.winner,
            price=None if award is None else award.price,
            bids=None if award is None else award.bids,
            settlement=None if award is None or not award.settlement else award.settlement,
            own_bid=None if own is None or (own.is_standing and own.agent != agent.agent_id) else own.price,
            outcome=task.outcome,
            origin=terms.origin or None,
        )

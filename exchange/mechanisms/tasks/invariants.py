"""Check what must always be true of tasks, bids and their money (slow: it counts everything)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.mechanisms.cashier import escrow_of
from exchange.messages.base import CREDIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.mechanisms.tasks.mechanism import Tasks
    from exchange.mechanisms.tasks.task import Task

__all__ = ["broken_invariants"]


def broken_invariants(tasks: Tasks) -> list[str]:
    """Return the broken invariants by name, with what breaks them."""
    broken: list[str] = []
    held: dict[tuple[str, str], int] = {}
    awards: dict[str, int] = {}
    for task in tasks.tasks.values():
        broken.extend(f"{name}: {task.number}" for name in _problems(tasks, task))
        for bid in task.bids.values():
            if bid.held:
                key = (bid.agent, task.cause)
                held[key] = held.get(key, 0) + bid.held
        busy = _busy(task)
        if busy is not None:
            awards[busy] = awards.get(busy, 0) + 1
    booked = {
        (agent, cause): amount
        for agent, holds in tasks.context.cashier.holds.items()
        for (cause, asset), amount in holds.items()
        if cause.startswith("tasks:") and asset == CREDIT
    }
    if booked != held:
        broken.append("holds_equal_sealed_bids")
    offers = [(task.bids[task.offered].agent, task.number) for task in tasks.tasks.values() if task.offered is not None]
    if sorted(offers) != sorted((agent, number) for agent, numbers in tasks.offers_of.items() for number in numbers):
        broken.append("offers_are_indexed_by_agent")
    if awards != tasks.awards_of:
        broken.append("open_awards_are_counted")
    if sorted(tasks.open) != sorted(number for number, task in tasks.tasks.items() if task.state == "open"):
        broken.append("open_auctions_are_listed")
    indexed = {(agent, number) for agent, numbers in tasks.bids_of.items() for number in numbers}
    sealed = {
        (bid.agent, task.number) for task in tasks.tasks.values() for bid in task.bids.values() if not bid.is_standing
    }
    if indexed != sealed:
        broken.append("sealed_bids_are_indexed_by_agent")
    return broken


def _busy(task: Task) -> str | None:
    """Return the agent that a task counts for as an open award."""
    if task.offered is not None:
        return task.bids[task.offered].agent
    return task.award.winner if task.award is not None and task.state == "awarded" else None


def _problems(tasks: Tasks, task: Task) -> Iterator[str]:
    cashier, deadlines, terms = tasks.context.cashier, tasks.context.deadlines, task.terms
    expected = terms.budget
    if task.state == "awarded":
        expected = terms.quality_bonus + terms.efficiency_bonus + task.spare
    if cashier.in_escrow(escrow_of(task.cause)) != expected:
        yield "escrow_equals_what_it_may_cost"
    waits = bool(task.deadline_id) and deadlines.due_us(task.deadline_id) is not None
    if waits != (task.state in ("open", "offered")):
        yield "open_auctions_close"
    if task.state == "awarded" and (task.bids or task.award is None):
        yield "no_bid_is_left_after_an_award"
    if task.state == "open" and any(bid.is_standing for bid in task.bids.values()):
        yield "standing_bids_enter_at_the_close"
    if any(owner != bid.owner or owner == tasks.owner_of(terms.poster) for owner, bid in task.bids.items()):
        yield "one_bid_per_owner_and_none_of_the_posters"

"""Faults of task auctions."""

from __future__ import annotations

from typing import Any

from exchange.mechanisms.tasks.closing import Closing
from exchange.mechanisms.tasks.mechanism import Tasks
from exchange.mechanisms.tasks.task import Bid, Task
from tests.core.planted import plant

_forget_bid = Tasks.forget_bid


def _forget_without_index(self: Tasks, task: Task, bid: Bid) -> None:
    del self
    del task.bids[bid.owner]


def _award_to_the_last(self: Closing, task: Task) -> tuple[Bid, int]:
    del self
    best = list(task.bids.values())[-1]
    # Paid what it asked for, more than what the best losing bid is: over the escrow or not, the books tell.
    return best, best.price * 3


def _end_no_award(self: Closing, agent_id: str) -> None:
    del self, agent_id


def _fund_nothing(self: Closing, task: Task) -> bool:
    del self, task
    return True


def _load_without_unsecured(self: Tasks, state: Any) -> None:
    _load(self, [*state[:2], [], *state[3:]])


_load = Tasks.load

plant("a bid that is withdrawn stays in the index", Tasks, "forget_bid", _forget_without_index, "tasks")
plant("an award pays more than is in escrow", Closing, "_winner", _award_to_the_last, "tasks")
plant("an award that ended counts as open", Closing, "_end_award", _end_no_award, "tasks", "settlements")
plant("another round begins without money", Closing, "_fund_again", _fund_nothing, "tasks", "settlements")
plant("a snapshot forgets open tasks", Tasks, "load", _load_without_unsecured, "tasks")

"""Faults of governance."""

from __future__ import annotations

from typing import Any

from exchange.mechanisms.governance import days
from exchange.mechanisms.governance.days import Days
from exchange.mechanisms.governance.electorate import Electorate
from exchange.mechanisms.governance.fund import Share
from exchange.mechanisms.governance.mechanism import Governance
from exchange.mechanisms.governance.proposal import Ballot, Proposal
from tests.core.planted import plant

_put = Proposal.put
_part = Share.part
_close = Governance._close
_adjusted = days.adjusted


def _count_twice(self: Proposal, owner: str, ballot: Ballot | None) -> None:
    if ballot is not None:
        self.ballots.pop(owner, None)
    _put(self, owner, ballot)


def _round_up(self: Share) -> int:
    part = _part(self)
    return part + 1 if part and self.paid == self.owners - 1 else part


def _keep_the_deposit(self: Governance, number: int) -> None:
    self.voting[number].deposit -= 1
    _close(self, number)


def _end_the_last_day(self: Days) -> bool:
    del self
    return False


def _forget_the_end(self: Electorate, agent_id: str) -> None:
    del agent_id
    self.follow()


def _overshoot(*args: Any) -> int:
    return max(_adjusted(*args) - 300_000, 0)


plant("a vote that is changed counts twice", Proposal, "put", _count_twice, "governance")
plant("the last owner of a share gets a unit too much", Share, "part", _round_up, "governance", "orders")
plant("a unit of the deposit stays in escrow", Governance, "_close", _keep_the_deposit, "governance")
plant("a day that ends is the last one", Days, "go_on", _end_the_last_day, "governance")
plant("who was revoked is counted among who may vote", Electorate, "end", _forget_the_end, "governance")
plant("the daily rule leaves the bounds", days, "adjusted", _overshoot, "governance", "tasks")

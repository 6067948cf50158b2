"""Faults of technical debt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.mechanisms.debts.mechanism import Debts
from exchange.mechanisms.debts.overdue import Overdue
from exchange.mechanisms.debts.paydowns import Paydowns
from exchange.mechanisms.debts.repaying import Repaying
from exchange.mechanisms.debts.token import Claimed
from exchange.mechanisms.debts.trading import Trading
from tests.core.planted import plant

if TYPE_CHECKING:
    from exchange.mechanisms.cashier import Cashier
    from exchange.mechanisms.debts.token import Paydown, Token

_part_of_escrow = Repaying._part_of_escrow
_remove = Overdue.remove


def _keep_the_last_unit(self: Repaying, token: Token, hours: int) -> int:
    return max(_part_of_escrow(self, token, hours) - 1, 0)


def _repay_without_counting(self: Debts, token: Token, hours: int) -> None:
    token.repay(hours)
    if token.state == "overdue":
        self.overdue.hours -= hours


def _remember_who_held_it(self: Debts, token: Token, holder: str) -> None:
    token.holder = holder
    self.by_agent.setdefault(holder, {})[token.number] = None


def _remain_overdue(self: Overdue, token: Token) -> None:
    _remove(self, token)
    self.hours += token.owed


def _leave_the_lien(self: Claimed, cashier: Cashier, amount: int) -> int:
    del self, cashier, amount
    return 0


def _let_it_stand(self: Trading, number: int) -> None:
    del self, number


def _give_nothing_back(self: Paydowns, token: Token, paydown: Paydown, heir: str) -> None:
    del self, token, paydown, heir


plant("a debt that is repaid keeps a unit in its escrow", Repaying, "_part_of_escrow", _keep_the_last_unit, "debts")
plant("hours that are repaid stay outstanding", Debts, "repay", _repay_without_counting, "debts")
plant("who sold a debt still has to do with it", Debts, "transfer", _remember_who_held_it, "debts")
plant("what is paid down stays overdue", Overdue, "remove", _remain_overdue, "debts")
plant("an offer stands when its time is over", Trading, "expire", _let_it_stand, "debts")
plant("liens outlive their paydown", Claimed, "forgive", _leave_the_lien, "debts", seed=4)
plant(
    "a paydown keeps what it does not spend",
    Paydowns,
    "_give_back",
    _give_nothing_back,
    "debts",
    "tasks",
    "settlements",
    seed=7,
)

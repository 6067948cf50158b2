"""Faults of the cashier."""

from __future__ import annotations

from typing import Any

from exchange.mechanisms.cashier import Cashier, Posting
from tests.core.planted import plant

_count_hold = Posting._count_hold
_load = Cashier.load
_pay = Posting.pay


def _forget_releases(self: Posting, agent_id: str, asset: str, amount: int) -> None:
    if amount > 0:
        _count_hold(self, agent_id, asset, amount)


def _load_without_holds(self: Cashier, state: Any) -> None:
    _load(self, [[], *state[1:]])


def _pay_short(self: Posting, escrow: str, agent_id: str, amount: int) -> None:
    _pay(self, escrow, agent_id, max(amount - 1, 0))


plant("a hold that is released is still counted", Posting, "_count_hold", _forget_releases, "tasks", "settlements")
plant("a snapshot forgets what is held", Cashier, "load", _load_without_holds, "tasks")
plant("who is paid gets one unit less", Posting, "pay", _pay_short, "tasks", "settlements")

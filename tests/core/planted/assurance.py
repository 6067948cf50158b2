"""Faults of public goods."""

from __future__ import annotations

from typing import Any

from exchange.mechanisms.assurance import closing
from exchange.mechanisms.assurance.closing import Closing
from exchange.mechanisms.assurance.good import Good, Pledge
from tests.core.planted import plant

_credit_shares = closing.credit_shares
_add = Good.add
_finish = Closing._finish


def _share_rounded_down(good: Good) -> dict[str, int]:
    """Leave the remainders to nobody."""
    return {name: max(share - 1, 0) for name, share in _credit_shares(good).items()}


def _count_every_pledge(self: Good, agent: str, owner: str, credits_: int, minutes: int, *, counts: bool) -> Pledge:
    """Let agents count, and not owners."""
    del owner
    return _add(self, agent, agent, credits_, minutes, counts=counts)


def _forget_pot(self: Closing, good: Good, pledge: Pledge, *, is_done: bool) -> None:
    """Let the bonds of those who did not work be nobody's."""
    pledge.delivered = is_done
    if is_done:
        good.delivered_minutes += pledge.share_minutes


def _leave_deadline(self: Closing, good: Good, outcome: Any, ended: Any) -> None:
    """Let a good that has ended be closed again."""
    good.deadline_id = 0
    _finish(self, good, outcome, ended)


FAMILIES = ("assurance", "settlements")

plant("a share of a good loses a unit", closing, "credit_shares", _share_rounded_down, *FAMILIES)
plant("bonds of work that was not done are lost", Closing, "_settle_work", _forget_pot, *FAMILIES)
plant("a good that ended is closed again", Closing, "_finish", _leave_deadline, *FAMILIES, seed=5)
plant("agents count where owners should", Good, "add", _count_every_pledge, *FAMILIES)

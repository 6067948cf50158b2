"""Faults of externalities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exchange.mechanisms.externalities import assessing, mechanism
from exchange.mechanisms.externalities.declaring import Declaring
from exchange.mechanisms.externalities.mechanism import Externalities
from tests.core.planted import plant

if TYPE_CHECKING:
    from exchange.mechanisms.cashier import Posting
    from exchange.mechanisms.externalities.levy import Levy, Suffering
    from exchange.mechanisms.facts import DisputeOpened


def _own_modules_count(context: Any, modules: Any, found: Suffering, module: str) -> str:
    del context
    return modules.owner_at(module, found.changed_us) or assessing.PUBLIC


def _double_only_the_sum(found: Suffering) -> None:
    found.is_doubled = True
    found.amount *= 2


def _leave_the_bond(self: Declaring, change: Any, levy: Levy, posting: Posting) -> None:
    del self
    levy.change, change.levy = change.number, levy.number
    levy.from_bond = min(change.left, levy.suffering.amount)
    posting.move(change.escrow, levy.escrow, levy.from_bond)


def _leave_the_deadline(self: Externalities, fact: DisputeOpened) -> None:
    if fact.family == self.family:
        levy = self.live[fact.number]
        levy.dispute, levy.state = fact.dispute, "disputed"


def _keep_from_the_bond(self: Declaring, levy: Levy, posting: Posting) -> None:
    change = self.changes.get(levy.change)
    if change is not None:
        change.levy = 0
    posting.give_back(levy.escrow, levy.suffering.source, levy.from_bond)
    if change is not None and change.is_open:
        change.left += levy.from_bond


def _owe_nothing(self: Externalities, levy: Levy) -> None:
    cashier, about = self.context.cashier, levy.suffering
    cashier.collect(about.source, levy.escrow, about.amount - levy.from_bond, levy.cause)


plant("one's own modules count", assessing, "_sufferer", _own_modules_count, "externalities")
plant("a doubled levy has single shares", mechanism, "double", _double_only_the_sum, "externalities")
plant("a bond that has paid is still there", Declaring, "use", _leave_the_bond, "externalities")
plant("what a source does not have is not owed", Externalities, "_collect", _owe_nothing, "externalities")
plant(
    "an overturned levy is given back past the bond that paid it",
    Declaring,
    "give_back",
    _keep_from_the_bond,
    "externalities",
    "disputes",
)
plant(
    "a disputed levy becomes final by silence",
    Externalities,
    "_freeze",
    _leave_the_deadline,
    "externalities",
    "disputes",
)

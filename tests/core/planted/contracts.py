"""Faults of conditional contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exchange.mechanisms.contracts import mechanism
from exchange.mechanisms.contracts.contract import Contract, Part
from exchange.mechanisms.contracts.mechanism import Contracts
from tests.core.planted import plant

if TYPE_CHECKING:
    from collections.abc import Callable

_forfeits = mechanism.forfeits
_finish = Contracts._finish


def _forfeit_short(contract: Contract, owner_of: Callable[[str], str]) -> list[tuple[str, int]]:
    return [(name, max(amount - 1, 0)) for name, amount in _forfeits(contract, owner_of)]


def _nothing_is_on_its_way(contract: Contract, part: Part) -> bool:
    del contract, part
    return False


def _sign_for_all(contract: Contract) -> list[str]:
    return list(dict.fromkeys(part.assignee for part in contract.parts))[:1]


def _leave_deadlines(self: Contracts, contract: Contract, outcome: Any, paid: Any) -> None:
    contract.deadline_id, contract.time_ids = 0, []
    _finish(self, contract, outcome, paid)


def _keep_the_party(self: Contracts, contract: Contract, name: str) -> None:
    del self, contract, name


plant("a forfeited bond loses a unit", mechanism, "forfeits", _forfeit_short, "contracts", "settlements")
plant("one signature binds everybody", Contract, "assignees", _sign_for_all, "contracts")
plant("a contract that ended is evaluated again", Contracts, "_finish", _leave_deadlines, "contracts", "settlements")
plant(
    "a contract that ended keeps its parties", Contracts, "_remove_party", _keep_the_party, "contracts", "predictions"
)

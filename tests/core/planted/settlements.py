"""Faults of settlements."""

from __future__ import annotations

from exchange.mechanisms.settlements.ending import Ending
from exchange.mechanisms.settlements.mechanism import Settlements
from exchange.mechanisms.settlements.settlement import Settlement
from tests.core.planted import plant


def _leave_lease(self: Settlements, settlement: Settlement) -> None:
    del self, settlement


def _complete_without_bond(self: Ending, settlement: Settlement, *, is_accepted: bool = False) -> None:
    terms = settlement.terms
    posting = self._context.cashier.posting(settlement.cause_of_postings)
    posting.pay(settlement.escrow, terms.provider, terms.price - settlement.late_fee)
    posting.give_back(settlement.escrow, terms.payer, settlement.late_fee)
    posting.post()
    self._finish(settlement, "completed", terms.price, settlement.late_fee, 0, is_accepted=is_accepted)


def _stop_twice(self: Settlements, settlement: Settlement) -> None:
    settlement.deadline_id = 0


def _check_nothing(settlement: Settlement, wanted: str) -> None:
    del settlement, wanted


plant("a delivered settlement keeps its work lease", Settlements, "end_lease", _leave_lease, "tasks", "settlements")
plant("the bond is not given back", Ending, "complete", _complete_without_bond, "tasks", "settlements")
plant("a final settlement still waits for silence", Settlements, "stop_waiting", _stop_twice, "tasks", "settlements")
plant("a state is not checked", Settlements, "_check_state", staticmethod(_check_nothing), "tasks", "settlements")

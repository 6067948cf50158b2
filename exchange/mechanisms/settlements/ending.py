"""End settlements for good: move their money, and let others hear of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from exchange.mechanisms.facts import SettlementFinal
from exchange.mechanisms.settlements.settlement import REMEMBERED
from exchange.messages.settlements import SettlementEnded

if TYPE_CHECKING:
    from exchange.mechanisms.facts import SettlementCalledOff
    from exchange.mechanisms.settlements.mechanism import Settlements
    from exchange.mechanisms.settlements.settlement import Settlement
    from exchange.mechanisms.tally import Tally

__all__ = ["Ending"]


class Ending:
    """Lead a settlement to its one end."""

    def __init__(self, settlements: Settlements, tally: Tally) -> None:
        self._settlements = settlements
        self._context = settlements.context
        self._tally = tally

    def complete(self, settlement: Settlement, *, is_accepted: bool = False) -> None:
        """Pay the provider, and give back what is anybody's own."""
        terms, escrow = settlement.terms, settlement.escrow
        due = terms.price - settlement.late_fee
        posting = self._context.cashier.posting(settlement.cause_of_postings)
        posting.pay(escrow, terms.provider, due)
        posting.give_back(escrow, terms.refund_account, settlement.late_fee)
        posting.give_back(escrow, terms.provider, terms.bond)
        if terms.quantity:
            posting.give_back(escrow, terms.payer, terms.quantity, terms.asset)
        posting.post()
        self._tally.count("paid_credits_total", by=due)
        self._finish(settlement, "completed", due, settlement.late_fee, 0, is_accepted=is_accepted)

    def fail(self, settlement: Settlement) -> None:
        """Refund the payer, who gets the bond as well."""
        terms, escrow, refund = settlement.terms, settlement.escrow, settlement.terms.refund_account
        posting = self._context.cashier.posting(settlement.cause_of_postings)
        posting.give_back(escrow, refund, terms.price)
        posting.pay(escrow, refund, terms.bond)
        if terms.quantity:
            posting.give_back(escrow, terms.provider, terms.quantity, terms.asset)
        posting.post()
        if terms.unsecured_bond:
            cause = settlement.cause_of_postings
            self._context.cashier.charge(terms.provider, refund, terms.unsecured_bond, cause)
        self._finish(settlement, "failed", 0, terms.price, terms.bond + terms.unsecured_bond)

    def call_off(self, fact: SettlementCalledOff) -> None:
        """End a settlement that has no money and that nobody waits for."""
        settlement = self._settlements.live.get(fact.settlement)
        if settlement is None:
            return
        self._settlements.end_lease(settlement)
        self._retire(settlement)
        settlement.state = "called_off"
        self._tally.count("final_total", "called_off")
        self._settlements.tell(
            settlement,
            lambda: SettlementEnded(settlement=settlement.number, origin=settlement.origin, outcome="called_off"),
        )

    def _retire(self, settlement: Settlement) -> None:
        """Take a settlement out of every index but that of ended ones."""
        settlements = self._settlements
        settlements.stop_waiting(settlement)
        del settlements.live[settlement.number]
        for name in settlement.listeners():
            numbers = settlements.by_agent[name]
            del numbers[settlement.number]
            if not numbers:
                del settlements.by_agent[name]
        settlements.ended[settlement.number] = settlement
        if len(settlements.ended) > REMEMBERED:
            del settlements.ended[next(iter(settlements.ended))]

    def _finish(
        self,
        settlement: Settlement,
        outcome: Literal["completed", "failed"],
        paid: int,
        refunded: int,
        forfeited: int,
        *,
        is_accepted: bool = False,
    ) -> None:
        settlement.state = outcome
        self._retire(settlement)
        self._tally.count("final_total", outcome)
        self._settlements.tell(
            settlement,
            lambda: SettlementEnded(
                settlement=settlement.number,
                origin=settlement.origin,
                outcome=outcome,
                paid=paid,
                refunded=refunded,
                forfeited=forfeited,
                score=settlement.score,
            ),
        )
        self._context.announce(
            SettlementFinal(
                settlement.origin,
                settlement.number,
                settlement.terms,
                outcome,
                paid,
                settlement.delivered_us,
                settlement.score,
                is_accepted,
            )
        )

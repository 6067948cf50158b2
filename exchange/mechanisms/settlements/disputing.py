"""Let settlements be disputed: what a dispute is about, what waits for it, and what its decision does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.mechanisms.facts import DisputeTerms
from exchange.messages.reasons import Reason
from exchange.messages.settlements import SettlementDisputed

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.facts import DisputeDecided, DisputeOpened
    from exchange.mechanisms.settlements.mechanism import Settlements
    from exchange.mechanisms.tally import Tally

__all__ = ["Disputing"]

Violation = tuple[Reason, str]


class Disputing:
    """Answer for settlements before a dispute, during it and after it."""

    def __init__(self, settlements: Settlements, tally: Tally) -> None:
        self._settlements = settlements
        self._context = settlements.context
        self._tally = tally

    def dispute_terms(self, number: int, agent: AgentRecord) -> DisputeTerms | Violation:
        """Return what a dispute over a settlement would be about, if this agent may begin one now."""
        parties = self._settlements.parties
        settlement = self._settlements.live.get(number)
        if settlement is None:
            return Reason.UNKNOWN_SETTLEMENT, f"no settlement {number} that is not final"
        terms = settlement.terms
        if settlement.dispute is not None:
            return Reason.ALREADY_DISPUTED, f"dispute {settlement.dispute} was the one there may be"
        if settlement.state not in ("delivered", "failing"):
            return Reason.WRONG_STATE, f"settlement {number} is {settlement.state}: there is nothing to dispute yet"
        attester = self._context.agents.get(terms.attester) if terms.attester is not None else None
        excluded: tuple[str, ...] = () if attester is None else (attester.owner,)
        payers = parties.payers(settlement)
        amount = terms.price
        if payers is not None:
            amount, excluded = payers.amount, excluded + payers.owners
        if settlement.state == "failing":
            claimant, respondent, is_party = terms.provider, terms.payer, parties.acts_for(agent, terms.provider)
        elif payers is None:
            claimant, respondent, is_party = terms.payer, terms.provider, parties.acts_for(agent, terms.payer)
        else:
            # Each of the many may; not the payer that stands for them where it is of the provider's owner.
            claimant, respondent, is_party = agent.agent_id, terms.provider, agent.owner in payers.owners
        if not is_party:
            return Reason.NOT_PERMITTED, "only the party that it goes against may dispute it"
        return DisputeTerms(claimant, respondent, amount, excluded, settlement.origin)

    def freeze(self, fact: DisputeOpened) -> None:
        """Let nothing happen by silence until a dispute is decided."""
        if fact.family != self._settlements.family:
            return
        settlement = self._settlements.live[fact.number]
        settlement.dispute = fact.dispute
        settlement.frozen_state = settlement.state
        settlement.state = "disputed"
        self._settlements.stop_waiting(settlement)
        self._tally.count("disputed_total")
        self._settlements.tell(
            settlement,
            lambda: SettlementDisputed(settlement=fact.number, origin=settlement.origin, dispute=fact.dispute),
        )

    def decide(self, fact: DisputeDecided) -> None:
        """Do what silence would have brought, or, if the dispute was upheld, its opposite."""
        settlement = self._settlements.live.get(fact.number) if fact.family == self._settlements.family else None
        if settlement is None:
            # Another family's, or called off meanwhile.
            return
        if (settlement.frozen_state == "delivered") != fact.upheld:
            self._settlements.ending.complete(settlement)
            return
        if settlement.cause is None:
            settlement.cause = "dispute"
        self._settlements.ending.fail(settlement)

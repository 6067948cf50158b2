"""Say who is a party to a settlement, who acts for one, and whom the payer stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exchange.mechanisms.base import AgentRecord, Context, Mechanism
    from exchange.mechanisms.facts import PayersTerms
    from exchange.mechanisms.settlements.settlement import Settlement

__all__ = ["Parties"]


class Parties:
    """Know the parties of every settlement."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._payers_of: dict[str, Callable[[str], PayersTerms | None]] = {}
        """By family of an origin: who pays where the payer stands for many."""

    def connect(self, mechanisms: Mapping[str, Mechanism]) -> None:
        """Find the mechanisms whose settlements have a payer that stands for many."""
        for family, mechanism in mechanisms.items():
            payers_of = getattr(mechanism, "payers_of", None)
            if payers_of is not None:
                self._payers_of[family] = payers_of

    def payers(self, settlement: Settlement) -> PayersTerms | None:
        """Return for whom the payer stands; None where it pays itself."""
        payers_of = self._payers_of.get(settlement.family)
        return None if payers_of is None else payers_of(settlement.origin)

    @staticmethod
    def is_attester(settlement: Settlement, agent: AgentRecord) -> bool:
        """Return whether an agent is the attester of the terms, and still may be one."""
        return agent.agent_id == settlement.terms.attester and "attester" in agent.roles

    def is_of_provider(self, settlement: Settlement, agent: AgentRecord) -> bool:
        """Return whether an agent and the provider have one owner."""
        return agent.owner == self._context.agents[settlement.terms.provider].owner

    def acts_for(self, agent: AgentRecord, party: str) -> bool:
        """Return whether an agent is a party, or winds up for one of its owner's that was stopped."""
        record = self._context.agents[party]
        return agent is record or (agent.owner == record.owner and record.state != "active")

    def may_read(self, settlement: Settlement, agent: AgentRecord) -> bool:
        """Return whether an agent may ask for a settlement: a party or one of its owner, the attester, an operator.

        Where the payer stands for many, a party is whoever pays, as long as that is not settled.
        """
        agents, names = self._context.agents, settlement.listeners()
        if agent.agent_id in names or "operator" in agent.roles:
            return True
        payers = self.payers(settlement)
        if payers is not None and agent.owner in payers.owners:
            return True
        return any(agents[name].owner == agent.owner for name in (settlement.terms.payer, settlement.terms.provider))

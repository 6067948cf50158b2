"""Answer queries about contracts, of those who have a part in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exchange.mechanisms.base import AgentRecord, NotFound
from exchange.messages.contracts import (
    ContractResult,
    ContractsResult,
    ContractView,
    GetContract,
    ListContracts,
    PartView,
    StatementView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exchange.mechanisms.contracts.contract import Contract
    from exchange.mechanisms.contracts.mechanism import Contracts
    from exchange.messages.base import Query, Result

__all__ = ["Queries"]


class Queries:
    """Read the contracts; change nothing."""

    def __init__(self, contracts: Contracts) -> None:
        self._contracts = contracts

    def readers(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader of each query."""
        return {GetContract: self.get_contract, ListContracts: self.list_contracts}

    def get_contract(self, agent: AgentRecord, query: GetContract) -> ContractResult:
        """Describe one contract, live or ended, to who has to do with it."""
        contract = self._contracts.live.get(query.contract) or self._contracts.ended.get(query.contract)
        readers = [] if contract is None else [*contract.listeners(), *contract.attesters()]
        if contract is None or not (agent.agent_id in readers or "operator" in agent.roles):
            message = f"no contract {query.contract} in which {agent.agent_id} has a part"
            raise NotFound(message)
        return ContractResult(contract=self._view(contract))

    def list_contracts(self, agent: AgentRecord, query: ListContracts) -> ContractsResult:
        """Describe the live contracts of an agent, by number, a page at a time."""
        mine = self._contracts.by_agent.get(agent.agent_id, ())
        numbers = sorted(number for number in mine if number > query.after)
        page = numbers[: query.limit]
        views = [self._view(self._contracts.live[number]) for number in page]
        return ContractsResult(contracts=views, next=page[-1] if len(numbers) > query.limit else None)

    def _view(self, contract: Contract) -> ContractView:
        parts = [
            PartView(
                name=part.name,
                assignee=part.assignee,
                share=part.share,
                bond=part.bond,
                deliver_by_us=part.deliver_by_us,
                signed=part.assignee in contract.signed,
                attester=part.attester,
                settlement=part.settlement or None,
                delivered={"completed": True, "failed": False}.get(part.state),
            )
            for part in contract.parts
        ]
        statements = [
            StatementView(statement=each.statement, attestation=each.number, holds=each.holds, is_final=each.is_final)
            for each in contract.attestations.values()
        ]
        return ContractView(
            contract=contract.number,
            title=contract.title,
            payer=contract.payer,
            total=contract.total,
            state=contract.state,
            sign_by_us=contract.sign_by_us,
            evaluate_by_us=contract.evaluate_by_us,
            parts=parts,
            condition=contract.condition,
            detail=contract.detail,
            holds=self._contracts.value_of(contract) if contract.state == "bound" else None,
            statements=statements,
        )

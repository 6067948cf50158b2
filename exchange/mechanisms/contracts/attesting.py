"""Take attestations, and let them be final after a while, or as a dispute ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exchange.mechanisms.base import VENUE_SCOPE
from exchange.mechanisms.contracts.conditions import leaves_of
from exchange.mechanisms.contracts.contract import Attestation
from exchange.mechanisms.facts import DisputeTerms
from exchange.messages.contracts import ContractAttested, Statement
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.contracts.contract import Contract
    from exchange.mechanisms.contracts.mechanism import Contracts
    from exchange.mechanisms.facts import DisputeDecided, DisputeOpened
    from exchange.messages.base import Outcome
    from exchange.messages.contracts import AcceptAttestation, Attest

__all__ = ["Attesting"]

_SECOND_US: Final = 1_000_000

Violation = tuple[Reason, str]


class Attesting:
    """Know the attestations that are not final; they stand with their contracts."""

    def __init__(self, contracts: Contracts) -> None:
        self._contracts = contracts
        self._context = contracts.context
        self.waiting: dict[int, tuple[int, str]] = {}
        """Contract and statement of every attestation that is not final."""
        self.last_number = 0

    def attest(self, agent: AgentRecord, command: Attest) -> Outcome:
        """Take an attestation; it is final when nobody disputes it in time."""
        context = self._context
        contract = self._contracts.live.get(command.contract)
        if contract is None:
            return self._contracts.reject_unknown(command, command.contract)
        wanted = [leaf for leaf in leaves_of(contract.condition) if isinstance(leaf, Statement)]
        named = [leaf.attester for leaf in wanted if leaf.statement == command.statement]
        if agent.agent_id not in named:
            detail = f"contract {contract.number} does not ask {agent.agent_id} for this statement"
            return context.reject(command, Reason.NOT_PERMITTED, detail)
        if contract.state != "bound" or contract.is_overdue:
            detail = f"contract {contract.number} takes no attestation now"
            return context.reject(command, Reason.WRONG_STATE, detail)
        if command.statement in contract.attestations:
            return context.reject(command, Reason.NO_CHANGE, "it was attested before, for good")
        self.last_number = number = self.last_number + 1
        attestation = Attestation(number, command.statement, command.holds)
        contract.attestations[command.statement] = attestation
        self.waiting[number] = (contract.number, command.statement)
        window_us = context.setting_at("dispute_window_seconds", contract.bound_us) * _SECOND_US
        final_at_us = context.time_us + window_us
        kind = "contracts.finalize"
        attestation.deadline_id = context.deadlines.schedule_act(final_at_us, kind, VENUE_SCOPE, number)
        self._contracts.tell(
            contract,
            lambda: ContractAttested(
                contract=contract.number,
                attestation=number,
                statement=command.statement,
                holds=command.holds,
                final_at_us=final_at_us,
            ),
        )
        return context.accept(command)

    def accept(self, agent: AgentRecord, command: AcceptAttestation) -> Outcome:
        """Make an attestation final that goes against the payer."""
        context = self._context
        contract = self._contracts.live.get(command.contract)
        if contract is None:
            return self._contracts.reject_unknown(command, command.contract)
        if agent.agent_id != contract.payer:
            return context.reject(command, Reason.NOT_PERMITTED, f"it goes against {contract.payer}")
        attestation = contract.attestations.get(command.statement)
        if attestation is None or attestation.number not in self.waiting:
            return context.reject(command, Reason.WRONG_STATE, "nothing of the kind waits to be final")
        if not attestation.holds:
            return context.reject(command, Reason.NOT_PERMITTED, "it goes against the assignees")
        if not attestation.deadline_id:
            return context.reject(command, Reason.WRONG_STATE, "it is disputed")
        context.deadlines.cancel(attestation.deadline_id)
        self.finalize(attestation.number)
        return context.accept(command)

    def finalize(self, number: int) -> None:
        """Let an attestation count; also fires as a deadline."""
        contract_number, statement = self.waiting.pop(number)
        attestation = self._contracts.live[contract_number].attestations[statement]
        attestation.deadline_id = 0
        attestation.is_final = True
        self._contracts.evaluate(contract_number)

    def drop(self, contract: Contract) -> None:
        """Wait no more for the attestations of a contract that has ended."""
        for attestation in contract.attestations.values():
            self._context.deadlines.cancel(attestation.deadline_id)
            attestation.deadline_id = 0
            self.waiting.pop(attestation.number, None)

    def restore(self, contract: Contract) -> None:
        """Know again the attestations of a contract that was loaded."""
        for attestation in contract.attestations.values():
            if not attestation.is_final:
                self.waiting[attestation.number] = (contract.number, attestation.statement)

    # ── disputes ────────────────────────────────────────────────────────────────────────────────

    def dispute_terms(self, number: int, agent: AgentRecord) -> DisputeTerms | Violation:
        """Return what a dispute over an attestation would be about, if this agent may begin one now."""
        place = self.waiting.get(number)
        if place is None:
            return Reason.WRONG_STATE, f"no attestation {number} that is not final"
        contract = self._contracts.live[place[0]]
        attestation = contract.attestations[place[1]]
        if attestation.dispute is not None:
            return Reason.ALREADY_DISPUTED, f"dispute {attestation.dispute} was the one there may be"
        me, assignees = agent.agent_id, contract.assignees()
        if attestation.holds:
            if me != contract.payer:
                return Reason.NOT_PERMITTED, f"it goes against {contract.payer}, who may dispute it"
            respondent = assignees[0]
        else:
            if me not in assignees:
                return Reason.NOT_PERMITTED, "it goes against the assignees, who may dispute it"
            respondent = contract.payer
        names = [*contract.listeners(), *contract.attesters()]
        owners = tuple(dict.fromkeys(self._context.agents[name].owner for name in names))
        return DisputeTerms(me, respondent, contract.total, owners)

    def freeze(self, fact: DisputeOpened) -> None:
        """Let an attestation wait for its dispute."""
        if fact.family != self._contracts.family:
            return
        contract_number, statement = self.waiting[fact.number]
        attestation = self._contracts.live[contract_number].attestations[statement]
        self._context.deadlines.cancel(attestation.deadline_id)
        attestation.deadline_id, attestation.dispute = 0, fact.dispute

    def decide(self, fact: DisputeDecided) -> None:
        """Turn an attestation around whose dispute was upheld; it is final either way."""
        # A contract may have been met by something else meanwhile: then there is nothing left to decide.
        if fact.family != self._contracts.family or fact.number not in self.waiting:
            return
        contract_number, statement = self.waiting[fact.number]
        attestation = self._contracts.live[contract_number].attestations[statement]
        attestation.holds = attestation.holds != fact.upheld
        self.finalize(fact.number)

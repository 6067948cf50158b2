"""Take attestations of work, of use and of quality; those of work and quality count once they are final."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.mechanisms.base import VENUE_SCOPE
from exchange.mechanisms.facts import DisputeTerms, EvidenceGiven
from exchange.messages.property import AttestationEnded, AttestationOutcome, ModuleAttested
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.facts import DisputeDecided, DisputeOpened
    from exchange.mechanisms.property.mechanism import Property
    from exchange.mechanisms.property.module import Module
    from exchange.messages.base import Outcome
    from exchange.messages.property import AcceptCheck, AttestationEnd, AttestationKind, AttestCheck, AttestWork

__all__ = ["FINALIZE", "Attestation", "Attesting"]

FINALIZE: Final = "property.finalize"
_SECOND_US: Final = 1_000_000

Violation = tuple[Reason, str]


class Attestation:
    """Hold what an attester said, until that is final. ``stake`` is by how much a check counts."""

    __slots__ = (
        "agent", "attester", "deadline_id", "dispute", "kind", "module", "number", "reference", "score", "stake",
    )  # fmt: skip

    def __init__(
        self, number: int, kind: AttestationKind, module: str, agent: str, attester: str, score: int, stake: int,
        reference: str,
    ) -> None:  # fmt: skip
        self.number = number
        self.kind = kind
        self.module = module
        self.agent = agent
        self.attester = attester
        self.score = score
        self.stake = stake
        self.reference = reference
        self.deadline_id = 0
        self.dispute: int | None = None

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.number, self.kind, self.module, self.agent, self.attester, self.score, self.stake, self.reference,
            self.deadline_id, self.dispute,
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Attestation:
        """Return the attestation of which ``dump`` gave the state."""
        attestation = Attestation(*state[:8])
        attestation.deadline_id, attestation.dispute = state[8:]
        return attestation


class Attesting:
    """Keep the attestations that are not final."""

    def __init__(self, ownership: Property) -> None:
        self._property = ownership
        self._context = ownership.context
        self.waiting: dict[int, Attestation] = {}
        self.last_number = 0

    # ── work and use ────────────────────────────────────────────────────────────────────────────

    def attest_work(self, agent: AgentRecord, command: AttestWork) -> Outcome:
        """Take the attestation of a claimant's work, or that a homesteaded module is used."""
        context = self._context
        module = self._property.modules.get(command.module)
        if module is None:
            return self._property.reject_unknown(command, command.module)
        problem = self._check_worker(agent, command.agent) or self._check_work(module, command.agent)
        if problem is not None:
            return context.reject(command, *problem)
        if module.owner:
            return self._attest_use(agent, command, module)
        claim = self._property.homesteads.claims[module.claims[context.agents[command.agent].owner]]
        before = self._property.access.writers(module)
        attestation = self._take("work", module, command.agent, agent.agent_id, 0, self._stake(module), command)
        context.deadlines.cancel(claim.deadline_id)
        claim.deadline_id, claim.attestation = 0, attestation.number
        module.attested = claim.number
        self._property.access.settle(module, before)
        return self._answer(command, attestation)

    def _check_worker(self, attester: AgentRecord, agent_id: str) -> Violation | None:
        agent = self._context.agents.get(agent_id)
        if agent is None:
            return Reason.UNKNOWN_AGENT, f"{agent_id} is not registered"
        if agent.owner == attester.owner:
            return Reason.SAME_OWNER, f"{agent_id} is of your owner: another attester must say so"
        return None

    def _check_work(self, module: Module, agent_id: str) -> Violation | None:
        if module.owner:
            if module.owner != agent_id:
                return Reason.WRONG_STATE, f"{module.name} belongs to {module.owner}"
            if not module.lapse_id:
                return Reason.NO_CHANGE, f"{module.name} was not homesteaded, and lapses without use no more than with"
            return None
        if module.attested:
            return Reason.WRONG_STATE, f"earlier work on {module.name} is attested, and waits to be final"
        claim = self._property.homesteads.claims.get(module.claims.get(self._context.agents[agent_id].owner, 0))
        if claim is None or claim.agent != agent_id:
            return Reason.UNKNOWN_CLAIM, f"{agent_id} has no open claim to {module.name}"
        return None

    def _attest_use(self, agent: AgentRecord, command: AttestWork, module: Module) -> Outcome:
        """Let a homestead live on: that takes nothing from anybody, so it is final at once."""
        context = self._context
        self.last_number += 1
        self._property.homesteads.use(module)
        self._property.tally.count("attestations_total", "use", "final")
        for name in (agent.agent_id, module.owner):
            event = ModuleAttested(
                module=module.name,
                attestation=self.last_number,
                kind="use",
                agent=module.owner,
                attester=agent.agent_id,
                final_at_us=context.time_us,
                reference=command.reference,
            )
            context.emit(context.agents[name], event)
        return AttestationOutcome(
            command.id, "accepted", context.stamp, attestation=self.last_number, final_at_us=context.time_us
        )

    # ── checks ──────────────────────────────────────────────────────────────────────────────────

    def attest_check(self, agent: AgentRecord, command: AttestCheck) -> Outcome:
        """Take the attestation of a module's quality."""
        context = self._context
        module = self._property.modules.get(command.module)
        if module is None:
            return self._property.reject_unknown(command, command.module)
        problem = self._check_check(agent, module)
        if problem is not None:
            return context.reject(command, *problem)
        stake = self._stake(module)
        attestation = self._take("check", module, module.owner, agent.agent_id, command.score, stake, command)
        module.checks[attestation.number] = None
        return self._answer(command, attestation)

    def _check_check(self, agent: AgentRecord, module: Module) -> Violation | None:
        if not module.owner:
            return Reason.WRONG_STATE, f"{module.name} belongs to nobody, so the check would rate nobody"
        problem = self._check_worker(agent, module.owner)
        if problem is not None:
            return problem
        agents = self._context.agents
        if any(agents[self.waiting[number].attester].owner == agent.owner for number in module.checks):
            return Reason.NO_CHANGE, f"a check of {module.name} by an attester of your owner waits to be final"
        cap = self._context.settings.max_module_checks
        if len(module.checks) >= cap:
            return Reason.TOO_MANY_CHECKS, f"{cap} checks of {module.name} wait to be final, which is the limit"
        return None

    def _stake(self, module: Module) -> int:
        """Return by how much a check counts: what the module is worth, as far as anybody knows."""
        value = module.last_price if module.holding is None else module.holding.value
        return value or self._context.settings.module_check_stake

    def accept(self, agent: AgentRecord, command: AcceptCheck) -> Outcome:
        """Make a check final, by whom it rates."""
        attestation = self.waiting.get(command.attestation)
        if attestation is None or attestation.kind != "check":
            detail = f"no check {command.attestation} waits to be final"
            return self._context.reject(command, Reason.WRONG_STATE, detail)
        if attestation.agent != agent.agent_id:
            return self._context.reject(command, Reason.NOT_PERMITTED, f"it rates {attestation.agent}")
        if attestation.dispute is not None:
            return self._context.reject(command, Reason.WRONG_STATE, f"it is in dispute {attestation.dispute}")
        self._end(attestation, "final")
        return self._context.accept(command)

    # ── finality ────────────────────────────────────────────────────────────────────────────────

    def _take(
        self, kind: AttestationKind, module: Module, agent: str, attester: str, score: int, stake: int,
        command: AttestWork | AttestCheck,
    ) -> Attestation:  # fmt: skip
        """Let an attestation wait for its window to pass, and tell whom it concerns."""
        context = self._context
        self.last_number = number = self.last_number + 1
        attestation = Attestation(number, kind, module.name, agent, attester, score, stake, command.reference)
        self.waiting[number] = attestation
        final_at_us = context.time_us + context.settings.dispute_window_seconds * _SECOND_US
        attestation.deadline_id = context.deadlines.schedule_act(final_at_us, FINALIZE, VENUE_SCOPE, number)
        rivals = [] if module.owner else self._rivals(module)
        for name in dict.fromkeys((attester, agent, *rivals)):
            event = ModuleAttested(
                module=module.name,
                attestation=number,
                kind=kind,
                agent=agent,
                attester=attester,
                final_at_us=final_at_us,
                score=score if kind == "check" else None,
                reference=command.reference,
            )
            context.emit(context.agents[name], event)
        return attestation

    def _rivals(self, module: Module) -> list[str]:
        claims = self._property.homesteads.claims
        return [claims[number].agent for number in module.claims.values()]

    def _answer(self, command: AttestWork | AttestCheck, attestation: Attestation) -> Outcome:
        final_at_us = self._context.deadlines.due_us(attestation.deadline_id) or 0
        return AttestationOutcome(
            command.id,
            "accepted",
            self._context.stamp,
            attestation=attestation.number,
            final_at_us=final_at_us,
        )

    def finalize(self, number: int) -> None:
        """Let an attestation count that nobody has disputed in time."""
        attestation = self.waiting[number]
        attestation.deadline_id = 0
        self._end(attestation, "final")

    def drop(self, number: int) -> None:
        """Forget an attestation of whose claim nothing can come any more."""
        self._end(self.waiting[number], "dropped")

    def _end(self, attestation: Attestation, outcome: AttestationEnd) -> None:
        context, module = self._context, self._property.modules[attestation.module]
        context.deadlines.cancel(attestation.deadline_id)
        del self.waiting[attestation.number]
        module.checks.pop(attestation.number, None)
        self._property.tally.count("attestations_total", attestation.kind, outcome)
        for name in (attestation.attester, attestation.agent):
            event = AttestationEnded(
                module=module.name, attestation=attestation.number, kind=attestation.kind, outcome=outcome
            )
            context.emit(context.agents[name], event)
        if attestation.kind == "check" and outcome == "final":
            context.announce(
                EvidenceGiven(attestation.agent, "module", attestation.score, attestation.stake, attestation.attester)
            )
        elif attestation.kind == "work" and outcome == "final":
            self._property.move(module, attestation.agent, "homesteaded", 0)
        elif attestation.kind == "work" and outcome == "overturned":
            homesteads = self._property.homesteads
            homesteads.end(homesteads.claims[module.attested], "overturned")

    # ── disputes ────────────────────────────────────────────────────────────────────────────────

    def dispute_terms(self, number: int, agent: AgentRecord) -> DisputeTerms | Violation:
        """Return what a dispute over an attestation would be about, if this agent may begin one now.

        A check goes against the owner that it rates; work goes against the others with a claim.
        """
        attestation = self.waiting.get(number)
        if attestation is None:
            return Reason.WRONG_STATE, f"no attestation {number} that is not final"
        if attestation.dispute is not None:
            return Reason.ALREADY_DISPUTED, f"dispute {attestation.dispute} was the one there may be"
        agents = self._context.agents
        if attestation.kind == "check":
            if agents[attestation.agent].owner != agent.owner:
                return Reason.NOT_PERMITTED, f"it rates {attestation.agent}, whose owner may dispute it"
            return DisputeTerms(agent.agent_id, attestation.attester, attestation.stake)
        module = self._property.modules[attestation.module]
        claimed = module.claims.get(agent.owner, 0)
        if not claimed or claimed == module.attested:
            return Reason.NOT_PERMITTED, f"others with a claim to {module.name} may dispute it"
        owners = (*module.claims, agents[attestation.attester].owner)
        return DisputeTerms(agent.agent_id, attestation.agent, attestation.stake, tuple(dict.fromkeys(owners)))

    def freeze(self, fact: DisputeOpened) -> None:
        """Let an attestation wait for its dispute."""
        if fact.family != self._property.family:
            return
        attestation = self.waiting[fact.number]
        self._context.deadlines.cancel(attestation.deadline_id)
        attestation.deadline_id, attestation.dispute = 0, fact.dispute

    def decide(self, fact: DisputeDecided) -> None:
        """Take back what was disputed rightly; what was not is final."""
        if fact.family != self._property.family or fact.number not in self.waiting:
            return
        self._end(self.waiting[fact.number], "overturned" if fact.upheld else "final")

    # ── state ───────────────────────────────────────────────────────────────────────────────────

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [self.last_number, [attestation.dump() for attestation in self.waiting.values()]]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        self.last_number, waiting = state
        for fields in waiting:
            attestation = Attestation.load(fields)
            self.waiting[attestation.number] = attestation

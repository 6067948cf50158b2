"""Homestead modules: whoever is first to have worked on what belongs to nobody owns it, as long as it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.mechanisms.base import VENUE_SCOPE
from exchange.messages.property import ClaimEnded, ClaimOutcome
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.property.mechanism import Property
    from exchange.mechanisms.property.module import Module
    from exchange.messages.base import Outcome
    from exchange.messages.property import AbandonClaim, ClaimEnd, ClaimModule

__all__ = ["LAPSE_CLAIM", "LAPSE_HOMESTEAD", "Claim", "Homesteads"]

LAPSE_CLAIM: Final = "property.lapse_claim"
LAPSE_HOMESTEAD: Final = "property.lapse_homestead"
_SECOND_US: Final = 1_000_000

Violation = tuple[Reason, str]


class Claim:
    """Be a claim that is open; ``attestation`` is that of its work, which waits to be final."""

    __slots__ = ("agent", "attestation", "deadline_id", "module", "number", "owner")

    def __init__(self, number: int, module: str, agent: str, owner: str) -> None:
        self.number = number
        self.module = module
        self.agent = agent
        self.owner = owner
        self.attestation = 0
        self.deadline_id = 0

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [self.number, self.module, self.agent, self.owner, self.attestation, self.deadline_id]

    @staticmethod
    def load(state: Any) -> Claim:
        """Return the claim of which ``dump`` gave the state."""
        claim = Claim(*state[:4])
        claim.attestation, claim.deadline_id = state[4:]
        return claim


class Homesteads:
    """Keep the open claims, and let lapse what is not used."""

    def __init__(self, ownership: Property) -> None:
        self._property = ownership
        self._context = ownership.context
        self.claims: dict[int, Claim] = {}
        self.by_agent: dict[str, dict[int, None]] = {}
        self.by_owner: dict[str, int] = {}
        """How many open claims each owner has."""
        self.last_number = 0

    # ── claiming ────────────────────────────────────────────────────────────────────────────────

    def claim(self, agent: AgentRecord, command: ClaimModule) -> Outcome:
        """Open a claim: who has one may write to what belongs to nobody."""
        context, settings = self._context, self._context.settings
        module = self._property.modules.get(command.module)
        if module is None:
            return self._property.reject_unknown(command, command.module)
        problem = self._check_claim(agent, module) or self._property.check_newcomer(agent.agent_id)
        if problem is not None:
            return context.reject(command, *problem)
        self.last_number = number = self.last_number + 1
        before = self._property.access.writers(module)
        claim = Claim(number, module.name, agent.agent_id, agent.owner)
        self.index(claim)
        module.claims[agent.owner] = number
        due_us = context.time_us + settings.homestead_lapse_seconds * _SECOND_US
        claim.deadline_id = context.deadlines.schedule_act(due_us, LAPSE_CLAIM, VENUE_SCOPE, number)
        self._property.access.settle(module, before)
        self._property.tally.count("claims_total")
        return ClaimOutcome(
            command.id, "accepted", context.stamp, claim=number, lapses_at_us=due_us, fencing_token=module.token
        )

    def _check_claim(self, agent: AgentRecord, module: Module) -> Violation | None:
        settings = self._context.settings
        if module.owner:
            return Reason.WRONG_STATE, f"{module.name} belongs to {module.owner}"
        if module.auction:
            return Reason.WRONG_STATE, f"{module.name} is being auctioned: bid for it"
        if agent.owner in module.claims:
            return Reason.NO_CHANGE, f"your owner has a claim to {module.name}"
        if self.by_owner.get(agent.owner, 0) >= settings.max_open_claims:
            detail = f"your owner has {settings.max_open_claims} open claims; work, or abandon one"
            return Reason.TOO_MANY_CLAIMS, detail
        if len(module.claims) >= settings.max_claims_per_module:
            return Reason.TOO_MANY_CLAIMS, f"{module.name} has {settings.max_claims_per_module} open claims"
        return None

    def index(self, claim: Claim) -> None:
        """Know a claim."""
        self.claims[claim.number] = claim
        self.by_agent.setdefault(claim.agent, {})[claim.number] = None
        self.by_owner[claim.owner] = self.by_owner.get(claim.owner, 0) + 1

    def abandon(self, agent: AgentRecord, command: AbandonClaim) -> Outcome:
        """Give a claim up, unless its work is disputed."""
        context = self._context
        module = self._property.modules.get(command.module)
        if module is None:
            return self._property.reject_unknown(command, command.module)
        claim = self.claims.get(module.claims.get(agent.owner, 0))
        if claim is None or claim.agent != agent.agent_id:
            return context.reject(command, Reason.UNKNOWN_CLAIM, f"you have no open claim to {module.name}")
        if claim.attestation:
            return context.reject(command, Reason.WRONG_STATE, "its work is attested, and waits to be final")
        self.end(claim, "abandoned")
        return context.accept(command)

    def lapse_claim(self, number: int) -> None:
        """End a claim of which no work was attested in time."""
        self.claims[number].deadline_id = 0
        self.end(self.claims[number], "lapsed")

    def end(self, claim: Claim, how: ClaimEnd) -> None:
        """End a claim by itself; who else has one may write, as before or again."""
        module = self._property.modules[claim.module]
        before = self._property.access.writers(module)
        self._forget(claim, how)
        self._property.access.settle(module, before)

    def end_all(self, module: Module, homesteader: str) -> None:
        """End all claims to a module that somebody has got; of one that was homesteaded, its claim came true."""
        for number in list(module.claims.values()):
            claim = self.claims[number]
            self._forget(claim, "homesteaded" if claim.agent == homesteader else "taken")

    def end_of(self, agent_id: str) -> None:
        """End all claims of a revoked agent."""
        for number in sorted(self.by_agent.get(agent_id, ())):
            claim = self.claims[number]
            if claim.attestation:
                self._property.attesting.drop(claim.attestation)
            self.end(claim, "revoked")

    def _forget(self, claim: Claim, how: ClaimEnd) -> None:
        context, module = self._context, self._property.modules[claim.module]
        context.deadlines.cancel(claim.deadline_id)
        del self.claims[claim.number]
        mine = self.by_agent[claim.agent]
        del mine[claim.number]
        if not mine:
            del self.by_agent[claim.agent]
        self.by_owner[claim.owner] -= 1
        if not self.by_owner[claim.owner]:
            del self.by_owner[claim.owner]
        del module.claims[claim.owner]
        if module.attested == claim.number:
            module.attested = 0
        event = ClaimEnded(module=module.name, claim=claim.number, how=how)
        context.emit(context.agents[claim.agent], event)

    # ── using ───────────────────────────────────────────────────────────────────────────────────

    def use(self, module: Module) -> int:
        """Count the time to the lapse of a homestead anew; return when it would lapse."""
        context = self._context
        context.deadlines.cancel(module.lapse_id)
        due_us = context.time_us + context.settings.homestead_lapse_seconds * _SECOND_US
        module.lapse_id = context.deadlines.schedule_act(due_us, LAPSE_HOMESTEAD, VENUE_SCOPE, module.name)
        return due_us

    def lapse_homestead(self, name: str) -> None:
        """Take a homesteaded module from an owner that does not use it; it can be homesteaded again."""
        module = self._property.modules[name]
        module.lapse_id = 0
        if module.auction:
            self._property.auctions.call_off(self._property.auctions.open[module.auction])
        self._property.dispossess(module, "lapsed", "lapsed")

    # ── state ───────────────────────────────────────────────────────────────────────────────────

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [self.last_number, [claim.dump() for claim in self.claims.values()]]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        self.last_number, claims = state
        for fields in claims:
            self.index(Claim.load(fields))

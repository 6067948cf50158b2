"""Keep modules and their owners: family ``property``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from exchange.mechanisms.base import AgentRecord, CommandRule, Context, Mechanism
from exchange.mechanisms.facts import AgentEnded
from exchange.mechanisms.property.access import HANDOVER, Access
from exchange.mechanisms.property.invariants import broken_invariants
from exchange.mechanisms.property.module import Module
from exchange.mechanisms.property.queries import Queries
from exchange.mechanisms.property.registering import Registry
from exchange.mechanisms.tally import Figure, Tally, words
from exchange.messages.base import Command, Outcome, Query, Result
from exchange.messages.property import (
    AllocateModule,
    GrantAccess,
    HowMoved,
    OwnershipMoved,
    RegisterModule,
    ReleaseModule,
    RevokeGrant,
    SetDependencies,
    SetRegime,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exchange.mechanisms.tally import Row

__all__ = ["Property"]

Violation = tuple[Reason, str]


class Property(Mechanism):
    """Keep every module: who owns it since when, who may write, and what is under way with it."""

    family: ClassVar[str] = "property"
    summary: ClassVar[str] = "modules with owners: write access by fencing tokens, dependencies, grants"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.modules: dict[str, Module] = {}
        self.by_number: dict[int, Module] = {}
        self.by_owner: dict[str, dict[str, None]] = {}
        """The modules of each agent."""
        self.owned: dict[str, int] = {}
        """How many modules each owner has."""
        self.granted: dict[str, dict[str, None]] = {}
        """The modules to which an agent was granted access."""
        self.tally = Tally(
            Figure("registered_total", "Modules registered."),
            Figure("moved_total", "Modules that changed hands, by how.", ("how",), words(HowMoved)),
        )
        self.access = Access(self)
        self.registry = Registry(self)
        self._queries = Queries(self)
        context.react(AgentEnded, self._wind_up)

    # ── what the engine asks ────────────────────────────────────────────────────────────────────

    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family."""
        registry = self.registry
        return {
            RegisterModule: CommandRule(registry.register, None, opens=True),
            SetDependencies: CommandRule(registry.set_dependencies, None, opens=False),
            AllocateModule: CommandRule(registry.allocate, "operator", opens=True),
            SetRegime: CommandRule(registry.set_regime, "operator", opens=True),
            ReleaseModule: CommandRule(self.release, None, opens=False),
            GrantAccess: CommandRule(self.grant, "trader", opens=True),
            RevokeGrant: CommandRule(self.revoke_grant, None, opens=False),
        }

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return self._queries.readers()

    def deadlines(self) -> Mapping[str, Callable[..., None]]:
        """Return what each kind of deadline fires."""
        return {HANDOVER: self.access.hand_over}

    # ── what other mechanisms ask ───────────────────────────────────────────────────────────────

    def has_module(self, module: str) -> bool:
        """Return whether a module is registered."""
        return module in self.modules

    def owner_of(self, module: str) -> str | None:
        """Return the agent that owns a module; None if nobody does, or there is no such module."""
        found = self.modules.get(module)
        return None if found is None else found.owner or None

    def owner_since(self, module: str) -> int:
        """Return since when a module has its owner, in microseconds; 0 if it has none."""
        found = self.modules.get(module)
        return 0 if found is None or not found.owner else found.owner_since_us

    def owner_at(self, module: str, time_us: int) -> str | None:
        """Return the agent that owned a module at a time; None if nobody did.

        The last 16 owners are remembered; whoever asks for an earlier time hears of the first of these.
        """
        found = self.modules.get(module)
        return None if found is None else found.owner_at(time_us) or None

    def dependents_of(self, module: str, registered_by_us: int) -> list[str]:
        """Return, by name, the modules of which it was registered by then that they depend on this one."""
        found = self.modules.get(module)
        if found is None:
            return []
        return sorted(name for name, since_us in found.dependents.items() if since_us <= registered_by_us)

    def depends_on(self, module: str, dependency: str, registered_by_us: int) -> bool:
        """Return whether it was registered by then that a module depends on another."""
        since_us = self.registry.depends_since(module, dependency)
        return since_us is not None and since_us <= registered_by_us

    # ── ownership ───────────────────────────────────────────────────────────────────────────────

    def check_newcomer(self, agent_id: str) -> Violation | None:
        """Return why an agent cannot become the owner of one more module."""
        agent = self.context.agents.get(agent_id)
        if agent is None:
            return Reason.UNKNOWN_AGENT, f"{agent_id} is not registered"
        if agent.state == "revoked":
            return Reason.AGENT_REVOKED, f"{agent_id} was revoked, for good"
        cap = self.context.settings.max_modules_per_owner
        if self.owned.get(agent.owner, 0) >= cap:
            return Reason.TOO_MANY_MODULES, f"the owner {agent.owner} has {cap} modules, which is the limit"
        return None

    def move(self, module: Module, owner: str, how: HowMoved, price: int) -> None:
        """Give a module to an agent, or to nobody; all money has moved already."""
        context = self.context
        before, previous = self.access.writers(module), module.owner
        self._unindex_owner(module)
        for name in list(module.grants):
            self._forget_grant(module, name)
        module.note_former(context.time_us)
        module.owner = owner
        module.owner_since_us = context.time_us if owner else 0
        self.index_owner(module)
        self.access.settle(module, before)
        self.tally.count("moved_total", how)
        for name in dict.fromkeys((previous, owner)):
            if name:
                event = OwnershipMoved(
                    module=module.name, how=how, owner=owner or None, previous=previous or None, price=price
                )
                context.emit(context.agents[name], event)

    def index_owner(self, module: Module) -> None:
        """Note whose a module is."""
        if module.owner:
            self.by_owner.setdefault(module.owner, {})[module.name] = None
            fleet = self.context.agents[module.owner].owner
            self.owned[fleet] = self.owned.get(fleet, 0) + 1

    def _unindex_owner(self, module: Module) -> None:
        if not module.owner:
            return
        names = self.by_owner[module.owner]
        del names[module.name]
        if not names:
            del self.by_owner[module.owner]
        fleet = self.context.agents[module.owner].owner
        self.owned[fleet] -= 1
        if not self.owned[fleet]:
            del self.owned[fleet]

    def find_own(self, agent: AgentRecord, name: str) -> Module | Violation:
        """Return a module of an agent's own, or why it may not act as its owner."""
        module = self.modules.get(name)
        if module is None:
            return Reason.UNKNOWN_MODULE, f"no module {name} is registered"
        if module.owner != agent.agent_id:
            return Reason.NOT_PERMITTED, f"{name} belongs to {module.owner or 'nobody'}"
        return module

    def release(self, agent: AgentRecord, command: ReleaseModule) -> Outcome:
        """Give a module up."""
        found = self.find_own(agent, command.module)
        if not isinstance(found, Module):
            return self.context.reject(command, *found)
        self.move(found, "", "released", 0)
        return self.registry.outcome(command, found)

    def _wind_up(self, fact: AgentEnded) -> None:
        """Take what a revoked agent has: it belongs to nobody any more."""
        for name in list(self.granted.get(fact.agent, ())):
            self._end_grant(self.modules[name], fact.agent)
        for name in list(self.by_owner.get(fact.agent, ())):
            self.move(self.modules[name], "", "foreclosed", 0)

    # ── grants ──────────────────────────────────────────────────────────────────────────────────

    def grant(self, agent: AgentRecord, command: GrantAccess) -> Outcome:
        """Let another agent write, too."""
        context = self.context
        found = self.find_own(agent, command.module)
        if not isinstance(found, Module):
            return context.reject(command, *found)
        target = context.agents.get(command.agent)
        if target is None or target.state == "revoked":
            return context.reject(command, Reason.UNKNOWN_AGENT, f"{command.agent} is not registered, or was revoked")
        if command.agent in found.grants or command.agent == found.owner:
            return context.reject(command, Reason.NO_CHANGE, f"{command.agent} has access already")
        cap = context.settings.max_module_grants
        if len(found.grants) >= cap:
            return context.reject(command, Reason.TOO_MANY_GRANTS, f"a module has at most {cap} grants; revoke one")
        before = self.access.writers(found)
        self.index_grant(found, command.agent)
        self.access.settle(found, before)
        return self.registry.outcome(command, found)

    def index_grant(self, module: Module, agent_id: str) -> None:
        """Note that an agent was granted access."""
        module.grants[agent_id] = None
        self.granted.setdefault(agent_id, {})[module.name] = None

    def revoke_grant(self, agent: AgentRecord, command: RevokeGrant) -> Outcome:
        """Take a grant back; the fencing token rises."""
        found = self.find_own(agent, command.module)
        if not isinstance(found, Module):
            return self.context.reject(command, *found)
        if command.agent not in found.grants:
            return self.context.reject(command, Reason.NO_CHANGE, f"{command.agent} has no grant")
        self._end_grant(found, command.agent)
        return self.registry.outcome(command, found)

    def _end_grant(self, module: Module, agent_id: str) -> None:
        before = self.access.writers(module)
        self._forget_grant(module, agent_id)
        self.access.settle(module, before)

    def _forget_grant(self, module: Module, agent_id: str) -> None:
        del module.grants[agent_id]
        names = self.granted[agent_id]
        del names[module.name]
        if not names:
            del self.granted[agent_id]

    def reject_unknown(self, command: Command, name: str) -> Outcome:
        """Reject what names a module that is not registered."""
        return self.context.reject(command, Reason.UNKNOWN_MODULE, f"no module {name} is registered")

    # ── proving ─────────────────────────────────────────────────────────────────────────────────

    def metrics(self) -> Iterable[Row]:
        """Return what operators may want to watch."""
        owned = sum(self.owned.copy().values())
        rows: list[Row] = [
            ("modules", "Modules registered.", {"state": "owned"}, owned),
            ("modules", "Modules registered.", {"state": "unowned"}, len(self.modules) - owned),
        ]
        return [*rows, *self.tally.rows()]

    def invariants(self) -> Sequence[str]:
        """Return the broken invariants of modules and what is under way with them."""
        return broken_invariants(self)

    def dump(self) -> object:
        """Return the state as plain data."""
        return [self.registry.last_number, [module.dump() for module in self.modules.values()]]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave; the indexes follow from it."""
        self.registry.last_number, modules = state
        for fields in modules:
            module = Module.load(fields)
            self.registry.add(module)
            self.index_owner(module)
            for name in list(module.grants):
                self.index_grant(module, name)
        for module in self.modules.values():
            for name, since_us in module.dependencies.items():
                self.modules[name].dependents[module.name] = since_us

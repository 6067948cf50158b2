"""Register modules and what they depend on, and give away what belongs to nobody."""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING

from exchange.mechanisms.property.module import Module
from exchange.messages.property import ModuleOutcome
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.property.mechanism import Property
    from exchange.messages.base import Command, Outcome
    from exchange.messages.property import AllocateModule, RegisterModule, SetDependencies, SetRegime

__all__ = ["Registry"]

Violation = tuple[Reason, str]


class Registry:
    """Know every module by its name, in order, and who depends on whom since when."""

    def __init__(self, ownership: Property) -> None:
        self._property = ownership
        self._context = ownership.context
        self.names: list[str] = []
        """The names of all modules, sorted."""
        self.registered: dict[str, int] = {}
        """How many modules each owner has registered."""
        self.last_number = 0

    def register(self, agent: AgentRecord, command: RegisterModule) -> Outcome:
        """Register a module; an operator may allocate it at once."""
        context = self._context
        problem = self._check_registration(agent, command)
        if problem is None:
            problem = self._check_dependencies(command.module, command.dependencies)
        if problem is None and command.owner is not None:
            problem = self._property.check_newcomer(command.owner)
        if problem is not None:
            return context.reject(command, *problem)
        self.last_number += 1
        module = Module(self.last_number, command.module, command.regime, context.time_us, agent.owner)
        self.add(module)
        self._depend(module, command.dependencies)
        self._property.tally.count("registered_total")
        if command.owner is not None:
            self._property.move(module, command.owner, "allocated", 0)
        return self.outcome(command, module)

    def _check_registration(self, agent: AgentRecord, command: RegisterModule) -> Violation | None:
        settings = self._context.settings
        is_operator = "operator" in agent.roles
        if not is_operator and "trader" not in agent.roles and "attester" not in agent.roles:
            return Reason.NOT_PERMITTED, "needs the role trader, attester or operator"
        if not is_operator and (command.owner is not None or command.regime != "private"):
            return (
                Reason.NOT_PERMITTED,
                "only an operator allocates a module or chooses its regime; register it plainly",
            )
        if command.module in self._property.modules:
            return Reason.MODULE_EXISTS, f"module {command.module} is registered"
        if len(self.names) >= settings.max_modules:
            return Reason.TOO_MANY_MODULES, f"the venue takes at most {settings.max_modules} modules"
        cap = settings.max_modules_per_owner
        if not is_operator and self.registered.get(agent.owner, 0) >= cap:
            return Reason.TOO_MANY_MODULES, f"the owner {agent.owner} has registered {cap} modules, which is the limit"
        return None

    def add(self, module: Module) -> None:
        """Put a module in, also one that was loaded."""
        self._property.modules[module.name] = module
        self._property.by_number[module.number] = module
        insort(self.names, module.name)
        self.registered[module.registrar] = self.registered.get(module.registrar, 0) + 1

    def outcome(self, command: Command, module: Module) -> Outcome:
        """Answer what changed a module."""
        return ModuleOutcome(
            command.id, "accepted", self._context.stamp, module=module.name, fencing_token=module.token
        )

    # ── dependencies ────────────────────────────────────────────────────────────────────────────

    def set_dependencies(self, agent: AgentRecord, command: SetDependencies) -> Outcome:
        """Replace what a module depends on; what stays keeps its time."""
        context = self._context
        module = self._property.modules.get(command.module)
        if module is None:
            return self._property.reject_unknown(command, command.module)
        if not self._may_describe(agent, module):
            detail = f"only {module.owner or module.registrar} or an operator says what {module.name} depends on"
            return context.reject(command, Reason.NOT_PERMITTED, detail)
        problem = self._check_dependencies(module.name, command.dependencies)
        if problem is not None:
            return context.reject(command, *problem)
        if sorted(command.dependencies) == sorted(module.dependencies):
            return context.reject(command, Reason.NO_CHANGE, "that is what is registered")
        for name in list(module.dependencies):
            if name not in command.dependencies:
                del module.dependencies[name]
        self._depend(module, command.dependencies)
        return self.outcome(command, module)

    @staticmethod
    def _may_describe(agent: AgentRecord, module: Module) -> bool:
        if "operator" in agent.roles:
            return True
        return agent.agent_id == module.owner if module.owner else agent.owner == module.registrar

    def _check_dependencies(self, name: str, dependencies: Sequence[str]) -> Violation | None:
        settings, modules = self._context.settings, self._property.modules
        if len(dict.fromkeys(dependencies)) < len(dependencies) or name in dependencies:
            return Reason.INVALID_MODULE_TERMS, "name each dependency once, and not the module itself"
        if len(dependencies) > settings.max_module_dependencies:
            detail = f"{len(dependencies)} dependencies, a module has at most {settings.max_module_dependencies}"
            return Reason.INVALID_MODULE_TERMS, detail
        for each in dependencies:
            if each not in modules:
                return Reason.UNKNOWN_MODULE, f"no module {each}: register what {name} depends on first"
        return None

    def _depend(self, module: Module, dependencies: Sequence[str]) -> None:
        for name in dependencies:
            if name not in module.dependencies:
                module.dependencies[name] = self._context.time_us

    # ── what belongs to nobody ──────────────────────────────────────────────────────────────────

    def allocate(self, agent: AgentRecord, command: AllocateModule) -> Outcome:
        """Give a module that belongs to nobody to an agent."""
        del agent
        found = self._check_unowned(command.module)
        if not isinstance(found, Module):
            return self._context.reject(command, *found)
        problem = self._property.check_newcomer(command.agent)
        if problem is not None:
            return self._context.reject(command, *problem)
        self._property.move(found, command.agent, "allocated", 0)
        return self.outcome(command, found)

    def set_regime(self, agent: AgentRecord, command: SetRegime) -> Outcome:
        """Choose the regime of a module that belongs to nobody: what is owned keeps its own."""
        del agent
        found = self._check_unowned(command.module)
        if not isinstance(found, Module):
            return self._context.reject(command, *found)
        if found.regime == command.regime:
            return self._context.reject(command, Reason.NO_CHANGE, f"{found.name} is under it")
        found.regime = command.regime
        return self.outcome(command, found)

    def _check_unowned(self, name: str) -> Module | Violation:
        module = self._property.modules.get(name)
        if module is None:
            return Reason.UNKNOWN_MODULE, f"no module {name} is registered"
        if module.owner:
            return Reason.WRONG_STATE, f"{name} belongs to {module.owner}"
        if module.auction:
            return Reason.WRONG_STATE, f"{name} is being auctioned"
        if module.attested:
            return Reason.WRONG_STATE, f"work on {name} is attested, and waits to be final"
        return module

    def depends_since(self, module: str, dependency: str) -> int | None:
        """Return since when it is registered that a module depends on another; None if it is not."""
        found = self._property.modules.get(module)
        return None if found is None else found.dependencies.get(dependency)

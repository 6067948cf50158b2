"""Answer queries about modules: anybody may know whose they are and who may write."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final

from exchange.mechanisms.base import AgentRecord, NotFound
from exchange.messages.property import (
    DependencyView,
    GetModule,
    ListModules,
    MayWrite,
    MayWriteResult,
    ModuleResult,
    ModulesResult,
    ModuleView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exchange.mechanisms.property.mechanism import Property
    from exchange.mechanisms.property.module import Module
    from exchange.messages.base import Query, Result

__all__ = ["Queries"]

_LOOKED_AT: Final = 10_000
"""A page of modules without an owner looks at no more than so many."""


class Queries:
    """Read the modules; change nothing."""

    def __init__(self, ownership: Property) -> None:
        self._property = ownership
        self._context = ownership.context

    def readers(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader of each query."""
        return {MayWrite: self.may_write, GetModule: self.get_module, ListModules: self.list_modules}

    def _find(self, name: str) -> Module:
        module = self._property.modules.get(name)
        if module is None:
            message = f"no module {name} is registered"
            raise NotFound(message)
        return module

    def may_write(self, agent: AgentRecord, query: MayWrite) -> MayWriteResult:
        """Say to anybody whether an agent may write to a module now."""
        module = self._find(query.module)
        name = query.agent or agent.agent_id
        return MayWriteResult(
            module=module.name,
            agent=name,
            may_write=self._property.access.may_write(module, name),
            fencing_token=module.token,
            owner=module.owner or None,
        )

    def get_module(self, agent: AgentRecord, query: GetModule) -> ModuleResult:
        """Describe one module."""
        return ModuleResult(module=self._view(self._find(query.module), agent))

    def list_modules(self, agent: AgentRecord, query: ListModules) -> ModulesResult:
        """Describe modules by name, a page at a time."""
        ownership = self._property
        names = ownership.registry.names
        if query.owner is not None:
            names = sorted(ownership.by_owner.get(query.owner, ()))
        at = bisect_right(names, query.after)
        end = min(len(names), at + _LOOKED_AT)
        page: list[str] = []
        while at < end and len(page) < query.limit:
            if not query.unowned or not ownership.modules[names[at]].owner:
                page.append(names[at])
            at += 1
        views = [self._view(ownership.modules[name], agent) for name in page]
        return ModulesResult(modules=views, next=names[at - 1] if at < len(names) else None)

    def _view(self, module: Module, agent: AgentRecord) -> ModuleView:
        del agent
        return ModuleView(
            module=module.name,
            regime=module.regime,
            registered_us=module.registered_us,
            fencing_token=module.token,
            owner=module.owner or None,
            owner_since_us=module.owner_since_us or None,
            dependencies=[DependencyView(name, since_us) for name, since_us in module.dependencies.items()],
            grants=list(module.grants),
        )

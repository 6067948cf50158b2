"""Check what must always be true of modules and what is under way with them (slow: it counts everything)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.mechanisms.property.mechanism import Property
    from exchange.mechanisms.property.module import Module

__all__ = ["broken_invariants"]


def broken_invariants(ownership: Property) -> list[str]:
    """Return the broken invariants by name, with what breaks them."""
    broken: list[str] = []
    for module in ownership.modules.values():
        broken.extend(f"{name}: {module.name}" for name in _ownership_problems(ownership, module))
        broken.extend(f"{name}: {module.name}" for name in _dependency_problems(ownership, module))
    broken.extend(_index_problems(ownership))
    return broken


def _ownership_problems(ownership: Property, module: Module) -> Iterator[str]:
    agents, deadlines = ownership.context.agents, ownership.context.deadlines
    if module.owner and module.name not in ownership.by_owner.get(module.owner, ()):
        yield "modules_are_indexed_by_owner"
    if module.owner and agents[module.owner].state == "revoked":
        yield "owners_are_not_revoked"
    if any(module.former[place][0] > module.former[place + 1][0] for place in range(len(module.former) - 1)):
        yield "earlier_owners_come_first"
    if not module.owner and module.grants:
        yield "only_owners_grant"
    if any(module.name not in ownership.granted.get(name, ()) for name in module.grants):
        yield "grants_are_indexed_by_agent"
    if bool(module.writer) != (deadlines.due_us(module.handover_id) is not None):
        yield "write_tokens_are_handed_over"


def _dependency_problems(ownership: Property, module: Module) -> Iterator[str]:
    modules = ownership.modules
    for name, since_us in module.dependencies.items():
        if modules[name].dependents.get(module.name) != since_us:
            yield "dependencies_are_known_from_both_sides"
    for name, since_us in module.dependents.items():
        if modules[name].dependencies.get(module.name) != since_us:
            yield "dependencies_are_known_from_both_sides"


def _index_problems(ownership: Property) -> Iterator[str]:
    modules = ownership.modules
    if ownership.registry.names != sorted(modules):
        yield "modules_are_listed_by_name"
    owned = sum(1 for module in modules.values() if module.owner)
    if sum(ownership.owned.values()) != owned or sum(map(len, ownership.by_owner.values())) != owned:
        yield "modules_are_indexed_by_owner"
    if sum(map(len, ownership.granted.values())) != sum(len(module.grants) for module in modules.values()):
        yield "grants_are_indexed_by_agent"

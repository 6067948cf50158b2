"""Say who may write to a module, and give a new fencing token whenever somebody loses that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exchange.messages.property import WriteAccessMoved

if TYPE_CHECKING:
    from exchange.mechanisms.property.mechanism import Property
    from exchange.mechanisms.property.module import Module

__all__ = ["Access"]

HANDOVER: Final = "property.hand_over"


class Access:
    """Know the writers of a module: a bounded number, of which nobody is stored that follows from something else."""

    def __init__(self, ownership: Property) -> None:
        self._property = ownership
        self._context = ownership.context
        self.handing_over: dict[str, dict[str, None]] = {}
        """By agent, the modules that it sold and may still write to."""

    def may_write(self, module: Module, agent_id: str) -> bool:
        """Return whether an agent may write to a module now: not from the moment on at which a deposit is exhausted."""
        return agent_id in self.writers(module) and not self._property.regime.is_exhausted(module)

    def writers(self, module: Module) -> list[str]:
        """Return who has the write access to a module, each once."""
        ownership = self._property
        if not module.owner:
            return self._claimants(module)
        if module.writer:
            return [module.writer]
        rentals = ownership.renting.rentals
        if module.exclusive:
            return [rentals[module.exclusive].renter]
        renters = [rentals[number].renter for number in module.rentals]
        return list(dict.fromkeys((module.owner, *module.grants, *renters)))

    def _claimants(self, module: Module) -> list[str]:
        """Return who may work on a module that belongs to nobody: whoever was first, else everybody with a claim."""
        claims = self._property.homesteads.claims
        if module.auction:
            return []
        if module.attested:
            return [claims[module.attested].agent]
        return [claims[number].agent for number in module.claims.values()]

    def settle(self, module: Module, before: list[str]) -> None:
        """Give a new token if somebody of ``before`` lost the access, or nobody had it; tell whom it concerns."""
        after = self.writers(module)
        has_moved = any(name not in after for name in before) or bool(after and not before)
        if has_moved:
            module.token += 1
        agents = self._context.agents
        for name in dict.fromkeys((*before, *after)):
            if has_moved or name not in before:
                event = WriteAccessMoved(module=module.name, may_write=name in after, fencing_token=module.token)
                self._context.emit(agents[name], event)

    # ── handing over ────────────────────────────────────────────────────────────────────────────

    def begin_handover(self, module: Module, writer: str) -> None:
        """Leave the write access with the owner before for a while, or with whoever still has it from earlier."""
        if module.writer:
            return
        context = self._context
        due_us = context.time_us + context.settings.write_token_seconds * 1_000_000
        module.writer = writer
        module.handover_id = context.deadlines.schedule(due_us, HANDOVER, module.name)
        self.index(module)

    def index(self, module: Module) -> None:
        """Know who still has to hand over a module."""
        if module.writer:
            self.handing_over.setdefault(module.writer, {})[module.name] = None

    def hand_over(self, name: str) -> None:
        """Let the write access follow the ownership."""
        module = self._property.modules[name]
        before = self.writers(module)
        self.cancel_handover(module)
        self.settle(module, before)

    def hand_over_all(self, agent_id: str) -> None:
        """Let a revoked agent write to nothing any more that it has sold."""
        for name in sorted(self.handing_over.get(agent_id, ())):
            self.hand_over(name)

    def cancel_handover(self, module: Module) -> None:
        """Forget who was to hand over."""
        if not module.writer:
            return
        self._context.deadlines.cancel(module.handover_id)
        names = self.handing_over[module.writer]
        del names[module.name]
        if not names:
            del self.handing_over[module.writer]
        module.writer, module.handover_id = "", 0

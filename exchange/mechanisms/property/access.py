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

    def may_write(self, module: Module, agent_id: str) -> bool:
        """Return whether an agent may write to a module now."""
        return agent_id in self.writers(module)

    def writers(self, module: Module) -> list[str]:
        """Return who may write to a module now, each once."""
        if not module.owner:
            return []
        if module.writer:
            return [module.writer]
        return list(dict.fromkeys((module.owner, *module.grants)))

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

    def hand_over(self, name: str) -> None:
        """Let the write access follow the ownership."""
        module = self._property.modules[name]
        before = self.writers(module)
        self.cancel_handover(module)
        self.settle(module, before)

    def cancel_handover(self, module: Module) -> None:
        """Forget who was to hand over."""
        self._context.deadlines.cancel(module.handover_id)
        module.writer, module.handover_id = "", 0

"""Let one kind of command break the engine, as a bug would that nobody has found yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.engine import Engine
from exchange.messages.orders import CancelAllAfter

if TYPE_CHECKING:
    from tests.simulation.commands.view import Drawn

__all__ = ["POISON", "PoisonError", "poisonable_engine"]

_SECONDS: Final = 66

POISON: Final[Drawn] = (CancelAllAfter, {"seconds": _SECONDS})
"""The command; nobody else draws one with that number."""


class PoisonError(Exception):
    """Raised by the engine in the middle of the poisonous command."""


class _Rules(dict[Any, Any]):
    """Be the rules of an engine, compiled or not, with one handler that breaks."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine._rules)
        self._ledger = engine.ledger

    def __getitem__(self, kind: Any) -> Any:
        rule = super().__getitem__(kind)
        if kind is not CancelAllAfter:
            return rule
        handler, *rest = rule

        def break_down(agent: Any, command: Any) -> Any:
            if command.seconds == _SECONDS:
                # Half of it is done: whoever goes on with this state gives money away.
                self._ledger.issue(self._ledger.balance(agent.agent_id, "credit"), 1_000)
                raise PoisonError(command.id)
            return handler(agent, command)

        return break_down, *rest


def poisonable_engine() -> Engine:
    """Return an engine that breaks on ``POISON``."""
    engine = Engine()
    engine._rules = _Rules(engine)
    return engine

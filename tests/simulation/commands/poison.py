"""Let one kind of command break the engine, as a bug would that nobody has found yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.engine import Engine
from exchange.mechanisms import REGISTRY
from exchange.mechanisms.base import CommandRule
from exchange.mechanisms.orders import Orders
from exchange.messages.orders import CancelAllAfter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exchange.messages.base import Command
    from tests.simulation.commands.view import Drawn

__all__ = ["POISON", "PoisonError", "poisonable_engine"]

_SECONDS: Final = 66

POISON: Final[Drawn] = (CancelAllAfter, {"seconds": _SECONDS})
"""The command; nobody else draws one with that number."""


class PoisonError(Exception):
    """Raised by the engine in the middle of the poisonous command."""


class _PoisonableOrders(Orders):
    """Be the mechanism as it is, but for the command that breaks it."""

    def commands(self) -> Mapping[type[Command], CommandRule]:
        rules = dict(super().commands())
        rule = rules[CancelAllAfter]
        ledger = self.context.ledger

        def break_down(agent: Any, command: Any) -> Any:
            if command.seconds == _SECONDS:
                # Half of it is done: whoever goes on with this state gives money away.
                ledger.issue(ledger.balance(agent.agent_id, "credit"), 1_000)
                raise PoisonError(command.id)
            return rule.handler(agent, command)

        rules[CancelAllAfter] = CommandRule(break_down, rule.role, opens=rule.opens)
        return rules


def poisonable_engine() -> Engine:
    """Return an engine that breaks on ``POISON``."""
    return Engine([_PoisonableOrders if kind is Orders else kind for kind in REGISTRY])

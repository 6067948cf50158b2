"""Let one kind of command break the engine, as a bug would that nobody has found yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.messages.orders import CancelAllAfter

if TYPE_CHECKING:
    from exchange.daemon.host import Host
    from tests.simulation.commands.view import Drawn

__all__ = ["POISON", "PoisonError", "poisonable"]

_SECONDS: Final = 66

POISON: Final[Drawn] = (CancelAllAfter, {"seconds": _SECONDS})
"""The command; nobody else draws one with that number."""


class PoisonError(Exception):
    """Raised by the engine in the middle of the poisonous command."""


def poisonable(host: Host) -> Host:
    """Return a host whose engine breaks on ``POISON``."""
    handler, role, opens = host.engine._rules[CancelAllAfter]

    def break_down(agent: Any, command: Any) -> Any:
        if command.seconds == _SECONDS:
            # Half of it is done: whoever goes on with this state gives money away.
            host.engine.ledger.issue(host.engine.ledger.balance(agent.agent_id, "credit"), 1_000)
            raise PoisonError(command.id)
        return handler(agent, command)

    host.engine._rules[CancelAllAfter] = (break_down, role, opens)
    return host

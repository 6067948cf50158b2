"""Run the program with bugs in its engine: ``python -m tests.faults.poisoned serve …``; all else is as it is.

Which bugs an order meets it says by its ``client_order_id``:

- ``raise…`` raises while it is placed, after it has changed something.
- ``counterfeit…`` makes a credit out of nothing, and is accepted.
- ``bomb…`` raises when it expires.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from exchange.daemon import daemon
from exchange.daemon.host import Host
from exchange.engine import Engine
from exchange.messages.orders import PlaceOrder

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord

__all__ = ["plant"]


def plant(engine: Engine) -> Engine:
    """Put the bugs into an engine, compiled or not."""
    place, role, opens = engine._rules[PlaceOrder]
    expire = engine._firing["orders.expire_order"]

    def place_badly(agent: AgentRecord, command: PlaceOrder) -> Any:
        name = command.client_order_id or ""
        outcome = place(agent, command)
        if name.startswith("raise"):
            message = f"planted in the placing of {name}"
            raise ZeroDivisionError(message)
        if name.startswith("counterfeit"):
            balance = engine.ledger.balance(agent.agent_id, "credit")
            engine.ledger.issue(balance, 1)
            balance.asset.issued -= 1
        return outcome

    def expire_badly(agent_id: str, order_id: int) -> None:
        orders: Any = engine.mechanisms["orders"]
        name = orders.traders[agent_id].orders.get(order_id).client_order_id or ""
        if name.startswith("bomb"):
            message = f"planted in the end of {name}"
            raise ZeroDivisionError(message)
        expire(agent_id, order_id)

    engine._rules[PlaceOrder] = (place_badly, role, opens)
    engine._firing["orders.expire_order"] = expire_badly
    return engine


def _make_host(**arguments: Any) -> Host:
    return Host(engine=plant(Engine()), **arguments)


if __name__ == "__main__":
    from exchange.cli import main

    daemon.Host = _make_host  # type: ignore[assignment,misc]
    sys.exit(main())

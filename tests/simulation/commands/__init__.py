"""Draw random commands, mechanism by mechanism: each has a file here, and a line in the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.simulation.commands import (
    admin,
    assurance,
    contracts,
    debts,
    disputes,
    expertise,
    externalities,
    governance,
    leases,
    modules,
    orders,
    packages,
    payments,
    predictions,
    settlements,
    tasks,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.simulation.commands.view import Drawn, View

__all__ = ["COMMANDS"]

COMMANDS: Final[dict[str, Callable[[Random, View], Drawn]]] = {
    "admin": admin.draw,
    "assurance": assurance.draw,
    "disputes": disputes.draw,
    "expertise": expertise.draw,
    "contracts": contracts.draw,
    "debts": debts.draw,
    "externalities": externalities.draw,
    "governance": governance.draw,
    "leases": leases.draw,
    "orders": orders.draw,
    "packages": packages.draw,
    "payments": payments.draw,
    "property": modules.draw,
    "predictions": predictions.draw,
    "settlements": settlements.draw,
    "tasks": tasks.draw,
}
"""By family of ``exchange.mechanisms.REGISTRY``: returns a kind of command and its fields."""

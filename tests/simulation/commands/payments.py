"""Draw commands of the family ``payments``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.messages.payments import PayLiens

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.commands.view import Drawn, View

__all__ = ["draw"]


def draw(random: Random, view: View) -> Drawn:
    """Return a command that an agent might give."""
    del view
    return PayLiens, {"amount": random.choice((1, 1_000, 10**6))}

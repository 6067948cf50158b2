"""Draw commands of the family ``settlements``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.messages.settlements import AcceptFailure, Confirm, Deliver, GiveUp, RenewWorkLease

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.commands.view import Drawn, View

__all__ = ["draw"]


def draw(random: Random, view: View) -> Drawn:
    """Return a command that an agent might give of something that it heard of; now and then of something else."""
    opened = view.recent("settlements.opened")
    number, token = random.randrange(1, 12), 0
    if opened and random.random() < 0.95:
        chosen = random.choice(opened)
        number = chosen.settlement
        token = chosen.fencing_token if random.random() < 0.9 else random.randrange(8)
    dice = random.random()
    if dice < 0.4:
        return Deliver, {"settlement": number, "fencing_token": token, "reference": "https://example.org/1"}
    if dice < 0.65:
        return Confirm, {"settlement": number, "score": random.choice((None, None, 0, 70, 100))}
    if dice < 0.75:
        return AcceptFailure, {"settlement": number}
    if dice < 0.85:
        return GiveUp, {"settlement": number, "fencing_token": token}
    return RenewWorkLease, {"settlement": number, "fencing_token": token}

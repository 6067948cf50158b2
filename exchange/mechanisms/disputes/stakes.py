"""Keep what arbitrators have at stake, and since when."""

from __future__ import annotations

from typing import Any, Final

from exchange.mechanisms.cashier import escrow_of

__all__ = ["LAYERS_MAX", "Arbitrator"]

LAYERS_MAX: Final = 16
"""So many amounts of different age are told apart; beyond that, the youngest two count from the later time."""


class Arbitrator:
    """Be one arbitrator's stake, in layers of different age, the oldest first.

    What leaves, leaves the youngest layer first. So the layers up to a time are what was there then and all the time
    since.
    """

    __slots__ = ("agent_id", "disputes", "layers")

    def __init__(self, agent_id: str) -> None:
        self.agent_id = agent_id
        self.layers: list[tuple[int, int]] = []
        """Since when, and how much."""
        self.disputes: dict[int, None] = {}
        """The undecided disputes for which it has or had a seat: its stake answers for each."""

    @property
    def cause(self) -> str:
        """Return the cause under which its stake moves."""
        return f"disputes:stake:{self.agent_id}"

    @property
    def escrow(self) -> str:
        """Return the escrow that has the stake."""
        return escrow_of(self.cause)

    @property
    def stake(self) -> int:
        """Return all that is at stake."""
        return sum(amount for _, amount in self.layers)

    def stake_since(self, time_us: int) -> int:
        """Return what has been at stake from ``time_us`` until now."""
        return sum(amount for since_us, amount in self.layers if since_us <= time_us)

    def add(self, time_us: int, amount: int, aged_us: int) -> None:
        """Put more at stake; layers older than ``aged_us`` are told apart no longer."""
        layers = self.layers
        while len(layers) > 1 and layers[1][0] <= aged_us:
            layers[:2] = [(layers[1][0], layers[0][1] + layers[1][1])]
        layers.append((time_us, amount))
        if len(layers) > LAYERS_MAX:
            layers[-2:] = [(time_us, layers[-2][1] + amount)]

    def take(self, amount: int) -> None:
        """Take from the stake, the youngest first."""
        while amount:
            since_us, there = self.layers.pop()
            if there > amount:
                self.layers.append((since_us, there - amount))
                return
            amount -= there

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [self.agent_id, [list(layer) for layer in self.layers], list(self.disputes)]

    @staticmethod
    def load(state: Any) -> Arbitrator:
        """Return the arbitrator of whom ``dump`` gave the state."""
        agent_id, layers, disputes = state
        arbitrator = Arbitrator(agent_id)
        arbitrator.layers = [(since_us, amount) for since_us, amount in layers]
        arbitrator.disputes = dict.fromkeys(disputes)
        return arbitrator

"""Live through a year of venue time: a year's deadlines, of everything that accrues, matures, is voted on or runs out.

A walk, but paced: so many random acts a day, and beside them a *cast*, agents that do on purpose what random agents
seldom bring to its end. All invariants are proven every day, all credits counted after every batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exchange.testing import SECOND_US
from tests.core.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CAST", "DAY_US", "Year"]

DAY_US: Final = 86_400 * SECOND_US
ACTS_A_DAY: Final = 12

CAST: Final[dict[str, Callable[[Year, int], None]]] = {}
"""What is done on purpose each day, by a name for it: takes the year and the number of the day, from 0."""


class Year(Walk):
    """Walk through days; ``happened`` counts events by tag, whoever heard of them."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, check_every=50)
        self.happened: dict[str, int] = {}

    def live(self, days: int) -> None:
        """Let so many days pass, then prove what can be proven only at the end."""
        for day in range(days):
            ends_us = self.venue.time_us + DAY_US
            for act in CAST.values():
                act(self, day)
            for _ in range(ACTS_A_DAY):
                self._command()
                self.venue.advance_to(min(self.venue.time_us + self.random.randrange(DAY_US // ACTS_A_DAY), ends_us))
                self._listen()
            self.venue.advance_to(max(ends_us, self.venue.time_us))
            self._listen()
            if day % 30 == 29:
                self.venue.change_leader(self.random.choice((0, 1, 60, 7_200)))
                self._reload()
            assert self.venue.engine.check_invariants() == []
        self.prove()

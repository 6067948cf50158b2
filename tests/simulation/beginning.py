"""Begin the days of governance, as a daemon has it done with its first record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.daemon.host import governance_has_begun
from exchange.messages.governance import BeginGovernance

if TYPE_CHECKING:
    from exchange.engine import Engine

__all__ = ["WalkingLeader"]


class WalkingLeader:
    """Give the command where it was not given yet."""

    def __init__(self, seed: int) -> None:
        del seed

    def commands(self, engine: Engine) -> list[BeginGovernance]:
        """Return what it says now."""
        if governance_has_begun(engine):
            return []
        return [BeginGovernance(id=f"governance.{engine.index + 1}", valid_until_us=engine.time_us)]

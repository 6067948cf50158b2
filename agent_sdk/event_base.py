"""Hold what every private event has."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AgentEvent"]


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """Tell one agent what happened to it.

    ``seq`` is dense, from 1 on; ``venue_time_us`` is in microseconds of venue time.
    """

    seq: int
    venue_time_us: int

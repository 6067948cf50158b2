"""Build the scene that most tests of the core start from."""

from __future__ import annotations

from typing import Any, Final

from exchange.testing import Venue

__all__ = ["AGENTS", "scene"]

AGENTS: Final = ("alice", "bob", "carol", "dave")


def scene(venue: Venue | None = None, **terms: Any) -> Venue:
    """Return a venue with one market ``cpu`` and four agents of four owners.

    Each has 10,000 credits (in the smallest unit) and 1,000 units of ``cpu``. Unless ``terms`` say
    otherwise the market has no fees and no band, tick 1 and lot 1.
    """
    built = venue or Venue()
    built.register(*AGENTS, endowment=10_000)
    built.market(**terms)
    for agent in AGENTS:
        built.issue(agent, 1_000)
        built.heard(agent)
    return built

"""Walks come to everything that property knows."""

from __future__ import annotations

from typing import get_args

from exchange.messages import tag_of
from exchange.messages.property import HowMoved, ModuleForeclosed, OwnershipMoved, WhyForeclosed
from tests.core.walk import AGENTS, Walk

SEEDS_MAX = 24
"""Within so many seeds they must."""


def test_walks_come_to_everything_that_property_knows() -> None:
    """Every command is accepted; modules change hands in every way, also for want of money or of a stated value."""
    accepted: dict[str, int] = {}
    how: dict[str, None] = {}
    ways = {*get_args(HowMoved), *get_args(WhyForeclosed)} - {"revoked"}
    for seed in range(1, SEEDS_MAX + 1):
        taken = Walk(seed, "property", check_every=20)
        taken.run(1_500)
        accepted.update(taken.accepted)
        for agent in AGENTS:
            for event in taken.venue.events(agent):
                if isinstance(event, OwnershipMoved):
                    how[event.how] = None
                elif isinstance(event, ModuleForeclosed):
                    how[event.why] = None
        ownership = taken.venue.engine.mechanisms["property"]
        missing = [kind for kind in ownership.commands() if tag_of(kind) not in accepted]
        if not missing and ways <= how.keys():
            return
    assert (missing, sorted(ways - how.keys())) == ([], [])

"""Walks come to everything that property knows."""

from __future__ import annotations

from typing import get_args

from exchange.mechanisms.property import Property
from exchange.messages import tag_of
from exchange.messages.admin import RevokeAgent
from exchange.messages.property import HowMoved, ModuleDepositLow, ModuleForeclosed, OwnershipMoved, WhyForeclosed
from exchange.testing import OPERATOR
from tests.core.walk import AGENTS, Walk

SEEDS_MAX = 24
"""Within so many seeds they must."""


def test_walks_come_to_everything_that_property_knows() -> None:
    """Every command is accepted; modules change hands in every way, also for want of money or of a stated value.

    In the middle of a walk an agent that owns modules is revoked, and others go on with what it had.
    """
    accepted: dict[str, int] = {}
    how: dict[str, None] = {}
    ways = {*get_args(HowMoved), *get_args(WhyForeclosed), "warned"}
    for seed in range(1, SEEDS_MAX + 1):
        taken = Walk(seed, "property", check_every=20)
        for _ in range(900):
            taken.step()
        ownership = taken.venue.engine.mechanisms["property"]
        assert isinstance(ownership, Property)
        revoked = max(AGENTS, key=lambda name: len(ownership.by_owner.get(name, ())))
        taken.submit(OPERATOR, RevokeAgent, agent=revoked)
        taken.run(600)
        accepted.update(taken.accepted)
        for agent in AGENTS:
            for event in taken.venue.events(agent):
                if isinstance(event, OwnershipMoved):
                    how[event.how] = None
                elif isinstance(event, ModuleForeclosed):
                    how[event.why] = None
                elif isinstance(event, ModuleDepositLow):
                    how["warned"] = None
        missing = [kind for kind in ownership.commands() if tag_of(kind) not in accepted]
        if not missing and ways <= how.keys():
            return
    assert (missing, sorted(ways - how.keys())) == ([], [])

"""Walks through all mechanisms prove conservation, invariants, replay and snapshots; and they find what is broken."""

from __future__ import annotations

import pytest

from exchange.build_info import CORE
from exchange.ledger import LedgerError
from exchange.mechanisms.base import EngineBroken
from tests.core.planted import PLANTED, Planted
from tests.core.walk import walk

SEEDS_MAX = 12
"""Within so many seeds every planted fault must be caught."""

interpreted = pytest.mark.skipif(CORE != "interpreted", reason="compiled classes cannot be changed at run time")


@pytest.mark.parametrize("seed", range(1, 5))
def test_a_walk_through_all_mechanisms(seed: int) -> None:
    """Whatever agents do, and whenever: nothing is lost, all invariants hold, a replay comes to the same."""
    taken = walk(seed, steps=1_500)
    assert taken.accepted


@interpreted
@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_planted_fault_is_caught(planted: Planted) -> None:
    """A walk in the fault's families fails by a proof, or because the engine breaks, which a daemon stops at."""
    with planted.grow(), pytest.raises((AssertionError, EngineBroken, LedgerError, KeyError)):
        _walk_on(planted)


def _walk_on(planted: Planted) -> None:
    for seed in dict.fromkeys((planted.seed, *range(1, SEEDS_MAX + 1))):
        walk(seed, *planted.families, steps=600)

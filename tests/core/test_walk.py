"""Walks through all mechanisms prove conservation, invariants, replay and snapshots; and they find what is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exchange.build_info import CORE
from exchange.ledger import LedgerError
from exchange.mechanisms.base import EngineBroken
from exchange.mechanisms.packages import Packages
from exchange.mechanisms.predictions import Predictions
from exchange.messages import tag_of
from exchange.messages.base import VENUE_AGENT
from exchange.messages.packages import DeterminePackages
from tests.core.planted import PLANTED, Planted
from tests.core.walk import Walk, walk

if TYPE_CHECKING:
    from exchange.messages.base import Command
    from exchange.testing import Answer

SEEDS_MAX = 12
"""Within so many seeds every planted fault must be caught."""

interpreted = pytest.mark.skipif(CORE != "interpreted", reason="compiled classes cannot be changed at run time")


@pytest.mark.parametrize("seed", range(1, 5))
def test_a_walk_through_all_mechanisms(seed: int) -> None:
    """Whatever agents do, and whenever: nothing is lost, all invariants hold, a replay comes to the same."""
    taken = walk(seed, steps=1_500)
    assert taken.accepted


def test_walks_come_to_everything_that_package_auctions_know() -> None:
    """Every command is accepted; winners come from a solver and by the simple rule; wrong and late answers do, too."""
    accepted: dict[str, int] = {}
    ends: dict[tuple[bool | None, str | None], None] = {}
    refused: dict[str, None] = {}

    def observe(agent: str, command: Command, answer: Answer) -> None:
        if agent == VENUE_AGENT and isinstance(command, DeterminePackages) and not answer.accepted:
            refused[str(answer.reason)] = None

    for seed in range(1, 4):
        taken = Walk(seed, "packages", observe=observe)
        taken.run(900)
        accepted.update(taken.accepted)
        packages = taken.venue.engine.mechanisms["packages"]
        assert isinstance(packages, Packages)
        for auction in packages.ended.values():
            if auction.awards:
                ends[auction.optimal, auction.priced] = None
    assert [kind for kind in packages.commands() if tag_of(kind) not in accepted] == []
    assert sorted(map(str, ends)) == ["(False, 'pay_as_bid')", "(True, 'pay_as_bid')", "(True, 'vcg')"]
    assert sorted(refused) == ["invalid_determination", "wrong_state"]


def test_walks_come_to_everything_that_prediction_markets_know() -> None:
    """Every command is accepted; markets of both kinds end in every way, after disputes and with their tasks, too."""
    accepted: dict[str, int] = {}
    ends: dict[tuple[str, str | None], None] = {}
    disputed = traded_about_tasks = 0
    reasons = ("resolved", "unawarded", "unresolved", "void")
    wanted = [(kind, reason) for kind in ("book", "lmsr") for reason in reasons]
    mixes = (("predictions",), ("predictions", "predictions", "disputes"), ("predictions", "tasks"))
    for seed, families in ((seed, families) for seed in range(1, SEEDS_MAX + 1) for families in mixes):
        taken = Walk(seed, *families, check_every=20)
        taken.run(600)
        accepted.update(taken.accepted)
        predictions = taken.venue.engine.mechanisms["predictions"]
        assert isinstance(predictions, Predictions)
        for market in predictions.ended.values():
            ends[market.kind, market.ended] = None
            disputed += market.dispute is not None
        markets = (*predictions.live.values(), *predictions.ended.values())
        traded_about_tasks += sum(market.task is not None and market.trades > 0 for market in markets)
        missing = [kind for kind in predictions.commands() if tag_of(kind) not in accepted]
        if not missing and len(ends) == len(wanted) and disputed > 1 and traded_about_tasks:
            break
    assert missing == []
    assert sorted(ends, key=str) == wanted
    assert disputed > 1
    assert traded_about_tasks > 0


@interpreted
@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_planted_fault_is_caught(planted: Planted) -> None:
    """A walk in the fault's families fails by a proof, or because the engine breaks, which a daemon stops at."""
    with planted.grow(), pytest.raises((AssertionError, EngineBroken, LedgerError, KeyError)):
        _walk_on(planted)


def _walk_on(planted: Planted) -> None:
    for seed in dict.fromkeys((planted.seed, *range(1, SEEDS_MAX + 1))):
        walk(seed, *planted.families, steps=600)

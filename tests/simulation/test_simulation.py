"""Seeds of the simulator hold; the same seed is the same run; what breaks the product is noticed."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from exchange.build_info import CORE
from exchange.mechanisms import REGISTRY
from tests.simulation.__main__ import main, run_seeds
from tests.simulation.commands import COMMANDS
from tests.simulation.plan import FAULTS, NOISES, POINTS, Plan, draw_plan
from tests.simulation.planted import PLANTED, Planted
from tests.simulation.shrink import shrink
from tests.simulation.world import run

ROOT: Final = Path(__file__).resolve().parents[2]
SEEDS: Final = 150
BOUND: Final = 400
"""Within so many seeds every planted fault must be caught."""

interpreted = pytest.mark.skipif(CORE != "interpreted", reason="compiled classes cannot be changed at run time")


@pytest.mark.slow
def test_seeds_hold() -> None:
    """Whatever is lost, late, doubled, broken, frozen and killed: nothing that was promised is violated."""
    counts: dict[str, int] = {}
    failed = []
    for report in run_seeds(1, SEEDS, os.cpu_count() or 1):
        for what, count in report.counts.items():
            counts[what] = counts.get(what, 0) + count
        if not report.is_good:
            failed.append((report.seed, report.violated, report.detail))
    assert failed == []
    # The seeds are worth something only if everything happened in them.
    assert [kind for kind in FAULTS if not counts.get(f"fault: {kind}")] == []
    assert [kind for kind in NOISES if not counts.get(kind)] == []
    assert len([point for point in POINTS if counts.get(f"killed: {point}")]) > len(POINTS) // 2
    assert counts["killed: any await"] > SEEDS // 2
    assert counts["corruption refused"] > 10
    assert counts["poisoned"] > 5
    assert counts["takeovers"] > SEEDS
    # Winners of package auctions are found by whoever leads, by the next leader, and by the simple rule.
    for how in ("by a solver", "by the simple rule", "by another leader"):
        assert counts.get(f"auctions: {how}"), how
    assert counts["solvers killed"]


@functools.cache
def traces_here() -> list[str]:
    """Return what the same seeds come to in this process."""
    return [run(draw_plan(seed)).trace_hash for seed in range(40, 48)]


@pytest.mark.parametrize("hash_seed", ["1", "4242"])
def test_the_same_seed_is_the_same_run_everywhere(hash_seed: str) -> None:
    """Another process with other hashes sends the same messages in the same order."""
    code = (
        "from tests.simulation.plan import draw_plan; from tests.simulation.world import run\n"
        "print(*(run(draw_plan(seed)).trace_hash for seed in range(40, 48)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )  # fmt: skip
    assert done.stdout.split() == traces_here()


def test_every_mechanism_draws_commands() -> None:
    """A mechanism without random commands would never be simulated."""
    assert set(COMMANDS) == {mechanism.family for mechanism in REGISTRY}


@interpreted
@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_planted_fault_is_caught(planted: Planted) -> None:
    """Some seed violates one of the properties that the fault breaks."""
    with planted.grow():
        for seed in (planted.seed, *range(1, BOUND)):
            report = run(planted.plan(seed))
            if not report.is_good:
                break
    assert report.violated in planted.caught_by, (report.seed, report.violated, report.detail)


@interpreted
def test_a_failing_seed_is_told_and_shrunk(capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints the seed, the property, and a short trace; the shrunk plan is smaller and fails alike."""
    planted = next(planted for planted in PLANTED if planted.name.startswith("replies leave before"))
    with planted.grow():
        assert main(["--seed", str(planted.seed), "--seeds", "2", "--jobs", "1", "--json", "--shrink", "3"]) == 1
        out, err = capsys.readouterr()
        failed = json.loads(out)["failed"]
        assert failed
        seed, violated = failed[0]["seed"], failed[0]["violated"]
        assert f"seed {seed} violates {violated}" in err
        assert f"seed {seed}, shrunk:" in err
        plan = draw_plan(seed)
        # Until it is smaller, however long a busy machine takes for that.
        small = shrink(plan, violated, steps=1)
        assert run(small).violated == violated
    assert size(small) < size(plan)
    assert run(plan).is_good


def size(plan: Plan) -> float:
    """Return how much there is of everything that shrinking may leave out."""
    parts = len(plan.faults) + len(plan.noises) + len(plan.limits) + plan.agents + plan.nodes
    return parts + plan.hostile + (plan.snapshot_every > 0) + plan.duration_s


def test_good_seeds_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a failure the command ends with 0 and says how much was done."""
    assert main(["--seeds", "3", "--seed", "20", "--jobs", "1"]) == 0
    assert "3 seeds from 20" in capsys.readouterr().out

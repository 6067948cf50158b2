"""Measure the engine alone: commands per second through ``apply``, and how their cost grows.

Ids, ledger, book, outcomes and events, encoded, are in it. Decoding and the journal are not: every
batch is decoded just before it is applied, as the gateway does, and the clock runs for ``apply`` only.
"""

from __future__ import annotations

import contextlib
import gc
import statistics
from collections.abc import Iterator
from time import perf_counter
from typing import Final

from benchmarks.flow import Flow, decoded
from benchmarks.report import Report
from exchange.engine import Engine
from exchange.messages.base import WINDOW_OUTCOMES

__all__ = ["Run", "no_collector", "run"]

_PAIRS: Final = 5
"""So often a flow is timed right after the base, since the machine changes its speed within seconds."""


def run(*, quick: bool) -> Report:
    """Measure the flow, then its growth with book, markets and agents."""
    report = Report(
        "engine.apply",
        ["what", "commands", "commands/s", "µs per command", "relative"],
        "flow: 55 % passive, 15 % aggressive, 30 % cancels over 100 agents unless told otherwise; best of\n"
        "the repeats; relative: median ratio to the first row of the group, timed right before, repeatedly",
    )
    size = 20_000 if quick else 200_000
    flow, prepared = _prepare(size, resting=1_000)
    cost = min(_time(flow, prepared) for _ in range(2 if quick else 3)) / size
    report.row("the flow", f"{size:,}", f"{1 / cost:,.0f}", f"{cost * 1e6:.2f}", "")
    report.keys["commands_per_s"] = 1 / cost
    report.keys["us_per_command"] = cost * 1e6
    _measure_books(report, size // 4, quick=quick)
    _measure_crowds(report, size // 4, quick=quick)
    return report


def _measure_books(report: Report, commands: int, *, quick: bool) -> None:
    """Let the book grow; every memory of ids is full, so that only the book differs."""
    base = _prepare(commands, resting=1_000, steady=True)
    for resting in (1_000, 10_000) if quick else (1_000, 100, 10_000, 100_000, 1_000_000):
        name = f"resting orders: {resting:,}"
        ratio = _compare(name, report, base, commands, quick=quick, resting=resting, steady=True)
        report.keys[f"cost_ratio_{resting}_orders"] = ratio


def _measure_crowds(report: Report, commands: int, *, quick: bool) -> None:
    """Let markets and agents grow; nobody's memory of ids is full."""
    base = _prepare(commands, resting=1_000)
    for markets in (1, 10, 1_000) if quick else (1, 10, 100, 1_000, 10_000):
        agents = max(2 * markets, 100)
        name = f"markets: {markets:,}, agents: {agents:,}"
        ratio = _compare(name, report, base, commands, quick=quick, agents=agents, markets=markets)
        report.keys[f"cost_ratio_{markets}_markets"] = ratio
    for agents in (1_000,) if quick else (1_000, 10_000):
        ratio = _compare(f"markets: 1, agents: {agents:,}", report, base, commands, quick=quick, agents=agents)
        report.keys[f"cost_ratio_{agents}_agents"] = ratio


def _prepare(
    commands: int, *, resting: int, agents: int = 100, markets: int = 1, steady: bool = False
) -> tuple[Flow, int]:
    """Return a flow on a book of ``resting`` orders, and how many of its batches only prepare it.

    ``steady``: every agent's memory of ids is full, so that each outcome drives out an old one.
    """
    flow = Flow(agents=agents, markets=markets)
    # A deep book is deep at many prices.
    levels = max(resting // 100, 200)
    # Everybody has ordered before: the first command of a session costs more, once.
    flow.rest(max(resting, 4 * agents) if agents > 100 else resting, levels=levels)
    if steady:
        flow.churn(agents * (WINDOW_OUTCOMES + 100), levels=levels)
    prepared = len(flow.batches)
    flow.mixed(commands, levels=levels)
    return flow, prepared


def _compare(
    name: str,
    report: Report,
    base: tuple[Flow, int],
    commands: int,
    *,
    quick: bool,
    resting: int = 1_000,
    agents: int = 100,
    markets: int = 1,
    steady: bool = False,
) -> float:
    """Time a flow right after the base, several times, and return the median ratio of their costs."""
    flow, prepared = _prepare(commands, resting=resting, agents=agents, markets=markets, steady=steady)
    pairs = []
    for _ in range(1 if quick else _PAIRS):
        runs = (Run(*base), Run(flow, prepared))
        with no_collector():
            pairs.append([run.time() for run in runs])
        for run in runs:
            run.check()
    cost = min(ours for _, ours in pairs) / commands
    ratio = statistics.median(ours / reference for reference, ours in pairs)
    report.row(name, f"{commands:,}", f"{1 / cost:,.0f}", f"{cost * 1e6:.2f}", f"{ratio:.2f}")
    return ratio


class Run:
    """Run a flow on a fresh engine, which is prepared at once."""

    def __init__(self, flow: Flow, prepared: int) -> None:
        self._flow = flow
        self._prepared = prepared
        self._engine = Engine()
        for batch in flow.batches[:prepared]:
            self._engine.apply(batch)

    def time(self) -> float:
        """Return how long the engine takes for what comes after the preparation."""
        return sum(self.steps())

    def steps(self) -> Iterator[float]:
        """Take batch after batch of what comes after the preparation, and yield how long each takes."""
        for recorded in self._flow.batches[self._prepared :]:
            batch = decoded(recorded)
            started = perf_counter()
            self._engine.apply(batch)
            yield perf_counter() - started

    def check(self) -> None:
        """Make sure that what was timed is what was prepared."""
        if self._engine.state_hash() != self._flow.engine.state_hash():
            message = "the measured run ended in another state than the prepared one"
            raise RuntimeError(message)


def _time(flow: Flow, prepared: int) -> float:
    """Return how long a fresh engine takes for what comes after the preparation."""
    run = Run(flow, prepared)
    with no_collector():
        elapsed = run.time()
    run.check()
    return elapsed


@contextlib.contextmanager
def no_collector() -> Iterator[None]:
    """Keep the collector of garbage off, as the daemon does while it serves."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()

"""Measure the engine alone: commands per second through ``apply``, and how their cost grows.

Ids, ledger, book, outcomes and events, encoded, are in it. Decoding and the journal are not: every
batch is decoded just before it is applied, as the gateway does, and the clock runs for ``apply`` only.
"""

from __future__ import annotations

import gc
import statistics
from time import perf_counter

from benchmarks.flow import Flow, decoded
from benchmarks.report import Report
from exchange.engine import Engine

__all__ = ["run"]


def run(*, quick: bool) -> Report:
    """Measure the flow, then its growth with book, markets and agents."""
    report = Report(
        "engine.apply",
        ["what", "commands", "commands/s", "µs per command", "relative"],
        "flow: 55 % passive, 15 % aggressive, 30 % cancels over 100 agents unless told otherwise; best of\n"
        "the repeats; relative: median ratio to 1,000 resting orders, 1 market, 100 agents, run in turn with it",
    )
    size = 20_000 if quick else 200_000
    repeats = 2 if quick else 3
    flow, prepared = _prepare(size, resting=1_000)
    cost = min(_time(flow, prepared) for _ in range(repeats)) / size
    report.row("the flow", f"{size:,}", f"{1 / cost:,.0f}", f"{cost * 1e6:.2f}", "")
    report.keys["commands_per_s"] = 1 / cost
    report.keys["us_per_command"] = cost * 1e6
    base = _prepare(size // 4, resting=1_000)
    sizes = (100, 10_000) if quick else (100, 10_000, 100_000, 1_000_000)
    for resting in sizes:
        ratio = _compare(f"{resting:,} resting orders", report, base, size // 4, repeats, resting=resting)
    report.keys["cost_ratio_1e6_to_1e3"] = ratio
    for markets in (10, 1_000) if quick else (10, 100, 1_000, 10_000):
        agents = max(2 * markets, 100)
        name = f"{markets:,} markets, {agents:,} agents"
        ratio = _compare(name, report, base, size // 4, repeats, resting=1_000, agents=agents, markets=markets)
        report.keys[f"cost_ratio_{markets}_markets"] = ratio
    for agents in (1_000,) if quick else (1_000, 10_000):
        ratio = _compare(f"1 market, {agents:,} agents", report, base, size // 4, repeats, resting=1_000, agents=agents)
        report.keys[f"cost_ratio_{agents}_agents"] = ratio
    return report


def _prepare(commands: int, *, resting: int, agents: int = 100, markets: int = 1) -> tuple[Flow, int]:
    """Return a flow on a book of ``resting`` orders, and how many of its batches only prepare it."""
    flow = Flow(agents=agents, markets=markets)
    # A deep book is deep at many prices.
    levels = max(resting // 100, 200)
    # Everybody has ordered before: the first command of a session costs more, once.
    flow.rest(max(resting, 4 * agents) if agents > 100 else resting, levels=levels)
    prepared = len(flow.batches)
    flow.mixed(commands, levels=levels)
    return flow, prepared


def _compare(
    name: str,
    report: Report,
    base: tuple[Flow, int],
    commands: int,
    repeats: int,
    *,
    resting: int,
    agents: int = 100,
    markets: int = 1,
) -> float:
    """Time a flow in turn with the base, since the machine changes its speed; return the median ratio."""
    flow, prepared = _prepare(commands, resting=resting, agents=agents, markets=markets)
    pairs = [(_time(*base), _time(flow, prepared)) for _ in range(repeats)]
    cost = min(ours for _, ours in pairs) / commands
    ratio = statistics.median(ours / reference for reference, ours in pairs)
    report.row(name, f"{commands:,}", f"{1 / cost:,.0f}", f"{cost * 1e6:.2f}", f"{ratio:.2f}")
    return ratio


def _time(flow: Flow, prepared: int) -> float:
    """Return how long a fresh engine takes for what comes after the preparation."""
    engine = Engine()
    for batch in flow.batches[:prepared]:
        engine.apply(batch)
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        elapsed = 0.0
        for recorded in flow.batches[prepared:]:
            batch = decoded(recorded)
            started = perf_counter()
            engine.apply(batch)
            elapsed += perf_counter() - started
    finally:
        gc.enable()
        gc.unfreeze()
    if engine.state_hash() != flow.engine.state_hash():
        message = "the measured run ended in another state than the prepared one"
        raise RuntimeError(message)
    return elapsed

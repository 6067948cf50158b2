"""Measure the engine alone: commands per second through ``apply``, and how their cost grows.

Ids, ledger, book, outcomes and events, encoded, are in it. Decoding and the journal are not: every
batch is decoded just before it is applied, as the gateway does, and the clock runs for ``apply`` only.
"""

from __future__ import annotations

import gc
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
        "flow: 55 % passive, 15 % aggressive, 30 % cancels; relative to 1,000 resting orders, 1 market, 100 agents",
    )
    size = 20_000 if quick else 200_000
    repeats = 2 if quick else 3
    base = _measure("100 agents, 1,000 resting", report, size, repeats, resting=1_000)
    report.keys["commands_per_s"] = 1 / base
    report.keys["us_per_command"] = base * 1e6
    growth = size // 4
    sizes = (100, 1_000, 10_000) if quick else (100, 1_000, 10_000, 100_000, 1_000_000)
    costs = {
        resting: _measure(f"{resting:,} resting orders", report, growth, repeats, resting=resting, base=base)
        for resting in sizes
    }
    report.keys["cost_ratio_1e6_to_1e3"] = costs[sizes[-1]] / costs[1_000]
    for markets in (10, 1_000) if quick else (10, 100, 1_000, 10_000):
        agents = max(2 * markets, 100)
        cost = _measure(
            f"{markets:,} markets, {agents:,} agents", report, growth, repeats,
            resting=1_000, agents=agents, markets=markets, base=base,
        )  # fmt: skip
        report.keys[f"cost_ratio_{markets}_markets"] = cost / base
    for agents in (1_000,) if quick else (1_000, 10_000):
        cost = _measure(
            f"1 market, {agents:,} agents", report, growth, repeats, resting=1_000, agents=agents, base=base
        )
        report.keys[f"cost_ratio_{agents}_agents"] = cost / base
    return report


def _measure(
    name: str,
    report: Report,
    commands: int,
    repeats: int,
    *,
    resting: int,
    agents: int = 100,
    markets: int = 1,
    base: float | None = None,
) -> float:
    """Return the seconds per command of the mixed flow on a book of ``resting`` orders."""
    flow = Flow(agents=agents, markets=markets)
    # At rest the flow fills and drains the book alike; a deep book is deep at many prices.
    levels = max(resting // 100, 200)
    # Everybody has ordered before: the first command of a session costs more, once.
    flow.rest(max(resting, 4 * agents) if agents > 100 else resting, levels=levels)
    prepared = len(flow.batches)
    flow.mixed(commands, levels=levels)
    best = min(_time(flow, prepared) for _ in range(repeats))
    cost = best / commands
    report.row(
        name,
        f"{commands:,}",
        f"{1 / cost:,.0f}",
        f"{cost * 1e6:.2f}",
        "1.00" if base is None else f"{cost / base:.2f}",
    )
    return cost


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

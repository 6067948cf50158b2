"""Measure what the commons cost those who trade beside them: modules under Harberger tax, and open prediction markets.

The same flow of orders runs on a venue with neither and on one that is full of both, batch by batch in turns, since the
machine changes its speed; the clock runs for ``apply`` only. Those who trade own the modules, pay tax on them, opened
the prediction markets and hold shares of their outcomes: whatever the cost of an order could grow with is theirs.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Final

from benchmarks.core import Run, no_collector
from benchmarks.flow import Flow
from benchmarks.report import Report
from exchange.messages.admin import RegisterAgent
from exchange.messages.predictions import BuyShares, OpenPrediction
from exchange.messages.property import RegisterModule, StateValue

if TYPE_CHECKING:
    from exchange.messages.base import Command

__all__ = ["run"]

_AGENTS: Final = 100
_RESTING: Final = 1_000
_CREDIT: Final = 10**6
_DAY_US: Final = 86_400_000_000
_HOLDERS: Final = 3
"""So many agents hold shares of a market."""
_RESOLVER: Final = "resolver"


def run(*, quick: bool) -> Report:
    """Time the flow on both venues, and compare what an order costs."""
    report = Report(
        "engine.apply beside the commons",
        ["venue", "orders", "orders/s", "µs per order", "relative"],
        "flow: 55 % passive, 15 % aggressive, 30 % cancels over 100 agents; in every round both venues take it,\n"
        "batch by batch in turns; medians of the rounds, of their ratios as well",
    )
    modules, markets = (1_000, 100) if quick else (10_000, 1_000)
    orders, rounds = (10_000, 2) if quick else (100_000, 10)
    empty, full = _venue(orders, 0, 0), _venue(orders, modules, markets)
    pairs = [_round(empty, full, is_reversed=bool(number % 2)) for number in range(rounds)]
    ratio = statistics.median(ours / reference for reference, ours in pairs)
    names = ("empty", f"{modules:,} modules under tax, {markets:,} open prediction markets")
    for place, (key, name) in enumerate(zip(("empty", "commons"), names, strict=True)):
        cost = statistics.median(pair[place] for pair in pairs) / orders
        shown = f"{ratio:.3f}" if place else ""
        report.row(name, f"{orders:,}", f"{1 / cost:,.0f}", f"{cost * 1e6:.2f}", shown)
        report.keys[f"orders_per_s_{key}"] = 1 / cost
    report.keys["cost_ratio"] = ratio
    report.keys |= {"modules": modules, "prediction_markets": markets, "rounds": rounds}
    return report


def _round(empty: tuple[Flow, int], full: tuple[Flow, int], *, is_reversed: bool) -> tuple[float, float]:
    """Return how long the flow takes on the empty venue, and on the full one; they take its batches by turns."""
    runs = [Run(*empty), Run(*full)]
    steps = [run.steps() for run in (reversed(runs) if is_reversed else runs)]
    with no_collector():
        first, second = (sum(times) for times in zip(*zip(*steps, strict=True), strict=True))
    for one in runs:
        one.check()
    return (second, first) if is_reversed else (first, second)


def _venue(orders: int, modules: int, markets: int) -> tuple[Flow, int]:
    """Return a flow of orders on a venue with a commons, and how many of its batches only prepare it."""
    flow = Flow(agents=_AGENTS)
    flow.furnish([*_modules(modules), *_markets(markets, flow.engine.time_us)])
    _check(flow, modules, markets)
    flow.rest(_RESTING)
    prepared = len(flow.batches)
    flow.mixed(orders)
    return flow, prepared


def _agent(number: int) -> str:
    return f"agent{number % _AGENTS}"


def _modules(count: int) -> list[tuple[str, type[Command], dict[str, Any]]]:
    """Return the commands that register modules, each depending on some before it, and state their values."""
    given: list[tuple[str, type[Command], dict[str, Any]]] = []
    for number in range(count):
        module = f"module-{number}"
        needed = [f"module-{number - back}" for back in (1, 7, 50) if number >= back]
        owned = {"owner": _agent(number), "regime": "harberger", "dependencies": needed}
        given.append(("operator", RegisterModule, {"module": module, **owned}))
        # At 5 % a month the deposit covers forty days.
        stated = {"value": (50 + number % 100) * _CREDIT, "deposit": 10 * _CREDIT}
        given.append((_agent(number), StateValue, {"module": module, **stated}))
    return given


def _markets(count: int, now_us: int) -> list[tuple[str, type[Command], dict[str, Any]]]:
    """Return the commands that open prediction markets, and buy of each."""
    given: list[tuple[str, type[Command], dict[str, Any]]] = []
    if count:
        resolver = {"agent": _RESOLVER, "owner": _RESOLVER, "roles": ["trader", "attester"]}
        given.append(("operator", RegisterAgent, resolver))
    for number in range(count):
        ends = {"closes_at_us": now_us + 30 * _DAY_US, "resolve_by_us": now_us + 40 * _DAY_US}
        given.append((_agent(number), OpenPrediction, {"question": f"is {number} done", "resolver": _RESOLVER, **ends}))
        for holder in range(1, _HOLDERS + 1):
            outcome = "yes" if holder % 2 else "no"
            bought = {"market": number + 1, "outcome": outcome, "shares": 3 * _CREDIT, "max_cost": 3 * _CREDIT}
            given.append((_agent(number + holder), BuyShares, bought))
    return given


def _check(flow: Flow, modules: int, markets: int) -> None:
    """Make sure that the venue has what it is said to have."""
    by_family = flow.engine.mechanisms
    found = (len(by_family["property"].modules), len(by_family["predictions"].live))  # type: ignore[attr-defined]
    if found != (modules, markets):
        message = f"the venue has {found} modules and markets, not {(modules, markets)}"
        raise RuntimeError(message)

"""``python -m tests.simulation --seeds N --seed S``: run seeds, and shrink the first that fails to a short trace."""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import sys
import traceback
from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.simulation.plan import FAULTS, NOISES, draw_plan
from tests.simulation.shrink import shrink
from tests.simulation.world import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.simulation.world import Report

__all__ = ["main", "run_seeds"]

_CHUNK: Final = 8
_COLLECT_EVERY: Final = 16
_TOLD: Final = 60
_FAILURES_TOLD: Final = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says; return 1 if a property was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many (default 100)")
    parser.add_argument("--seed", type=int, default=1, help="the first (default 1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one per core)")
    parser.add_argument(
        "--shrink", type=float, default=60.0, metavar="SECONDS", help="for at most so long (default 60)"
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    parser.add_argument("--trace", action="store_true", help="print the whole trace of the first seed, and no more")
    options = parser.parse_args(arguments)
    if options.trace:
        return _trace(options.seed)
    began_s = monotonic()
    counts: Counter[str] = Counter()
    failed: list[Report] = []
    for report in _with_progress(run_seeds(options.seed, options.seeds, options.jobs), options.seeds):
        counts.update(report.counts)
        if not report.is_good:
            failed.append(report)
    failed.sort(key=lambda report: report.seed)
    summary = _summary(options.seed, options.seeds, counts, failed, monotonic() - began_s)
    if options.json:
        print(json.dumps(summary))  # noqa: T201
    else:
        _tell(summary)
    if failed:
        _explain(failed, options.shrink)
    return 1 if failed else 0


def run_seeds(first: int, count: int, jobs: int) -> Iterator[Report]:
    """Yield the reports of ``count`` seeds from ``first`` on, as they come."""
    seeds = range(first, first + count)
    if jobs <= 1:
        yield from map(_run_seed, seeds)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap_unordered(_run_seed, seeds, _CHUNK)


def _run_seed(seed: int) -> Report:
    if seed % _COLLECT_EVERY == 0:
        gc.collect()
    report = run(draw_plan(seed))
    report.error = None
    return report


def _with_progress(reports: Iterator[Report], total: int) -> Iterator[Report]:
    console = Console(stderr=True)
    columns = (
        TextColumn("seeds"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=total)
        failures = 0
        for report in reports:
            failures += not report.is_good
            progress.update(bar, advance=1, description=f"[red]{failures} failed" if failures else "")
            yield report


def _summary(first: int, seeds: int, counts: Counter[str], failed: list[Report], seconds: float) -> dict[str, Any]:
    faults = {kind: counts[f"fault: {kind}"] for kind in FAULTS}
    deaths = {
        key.removeprefix("killed: "): count for key, count in sorted(counts.items()) if key.startswith("killed: ")
    }
    return {
        "first_seed": first,
        "seeds": seeds,
        "failed": [{"seed": report.seed, "violated": report.violated} for report in failed],
        "seconds": round(seconds, 1),
        "steps": counts["steps"],
        "commands": counts["commands"],
        "hostile_messages": counts["hostile messages"],
        "records": counts["records"],
        "takeovers": counts["takeovers"],
        "faults": faults,
        "deaths": deaths,
        "noise": {kind: counts[kind] for kind in NOISES},
    }


def _tell(summary: dict[str, Any]) -> None:
    """Print the summary for people."""
    failed = len(summary["failed"])
    lines = [
        f"{summary['seeds']:,} seeds from {summary['first_seed']} in {summary['seconds']} s: {failed} failed",
        f"{summary['steps']:,} steps, {summary['commands']:,} commands, {summary['records']:,} records",
        f"{summary['hostile_messages']:,} hostile messages, {summary['takeovers']:,} times somebody began to lead",
    ]
    for name, title in (("faults", "faults"), ("deaths", "killed at"), ("noise", "noise")):
        lines.append(f"{title}: " + ", ".join(f"{kind} {count:,}" for kind, count in summary[name].items()))
    print("\n".join(lines))  # noqa: T201


def _explain(failed: list[Report], seconds: float) -> None:
    """Shrink the first failure and tell how it comes about."""
    for report in failed[:_FAILURES_TOLD]:
        _say(f"seed {report.seed} violates {report.violated}: {report.detail}")
    first = failed[0]
    _say(f"\nshrinking seed {first.seed} …")
    plan = shrink(
        draw_plan(first.seed), first.violated, seconds=seconds, say=lambda what: _say(f"  still fails {what}")
    )
    report = run(plan, trace=True)
    _say(f"\nseed {first.seed}, shrunk:")
    for line in plan.tell():
        _say(f"  {line}")
    for line in report.trace[-_TOLD:]:
        _say(line)
    if report.error is not None:
        traceback.print_exception(report.error)
    _say(f"\nseed {first.seed} violates {report.violated}: {report.detail}")
    _say(f"all of it, as drawn: python -m tests.simulation --trace --seed {first.seed}")


def _trace(seed: int) -> int:
    plan = draw_plan(seed)
    report = run(plan, trace=True)
    _say("\n".join((*plan.tell(), *report.trace, f"violated: {report.violated or 'nothing'} {report.detail}")))
    if report.error is not None:
        traceback.print_exception(report.error)
    return 0 if report.is_good else 1


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())

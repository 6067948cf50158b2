"""Make docs/reliability.md of what tests recorded, and find the tests that record."""

from __future__ import annotations

import ast
import os
import platform
import subprocess
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from exchange.adapters.embedded_server import find_server
from exchange.build_info import VERSION
from tests.faults.record import FaultRecord

__all__ = ["PAGE", "ROOT", "Run", "read_run", "recording_tests", "render", "rows", "where"]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"

_HEADER = "| fault | times | acknowledged | lost | doubled | back after, s | what came of it | test |"

_INTRODUCTION = """\
# Reliability

What was done to real processes, and to the whole venue in a simulation, and what came of it. `python -m tests.faults`
runs every test that records what it did, and writes this page; a test compares its rows with those tests.

"Acknowledged" counts what agents were told had happened, each compared with a replay of the journal by a program that
is not the daemon: **lost** is what of it the journal does not have, **doubled** what happened twice, or came out
differently to two who asked. A test that finds any of either fails. "Back after" is the median and the longest time
from the fault's end (or from the restart after it) until orders were acknowledged again, or until a standby led.
"""


class Run(msgspec.Struct):
    """Hold what one run recorded: the faults, and the summary of the simulation, if it ran."""

    faults: list[FaultRecord]
    simulation: dict[str, Any] | None = None
    where: str = ""


def read_run(path: Path) -> Run:
    """Read the lines that tests, and ``python -m tests.faults``, have written."""
    run = Run([])
    for line in path.read_bytes().splitlines():
        said = msgspec.json.decode(line)
        if "simulation" in said:
            run.simulation, run.where = said["simulation"], said["where"]
        else:
            run.faults.append(msgspec.convert(said, FaultRecord))
    return run


def where() -> str:
    """Say on what a run takes place."""
    server = subprocess.run([find_server(), "--version"], capture_output=True, text=True, check=True).stdout
    return (
        f"agent-exchange {VERSION}, CPython {platform.python_version()}, {server.strip().replace(': v', ' ')}, "
        f"{platform.system()}, {os.cpu_count()} cores"
    )


# ── which tests record ──────────────────────────────────────────────────────────────────────────────


def recording_tests() -> list[str]:
    """Return the tests that record what they did, as pytest names them, without parameters."""
    found = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        if "tests.faults.record import" not in source:
            continue
        functions = [
            each for each in ast.parse(source).body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        recording = {each.name for each in functions if _calls(each) & {"record"}}
        # A helper of the module may record for its tests.
        found += [
            f"{path.relative_to(ROOT)}::{each.name}"
            for each in functions
            if each.name.startswith("test_") and (each.name in recording or _calls(each) & recording)
        ]
    return found


def _calls(function: ast.AST) -> set[str]:
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return {call.id for call in calls if isinstance(call, ast.Name)}


# ── the page ────────────────────────────────────────────────────────────────────────────────────────


def rows(run: Run) -> list[FaultRecord]:
    """Return one record for each fault of each test, in the order of the tests; parameters count together."""

    def key(record: FaultRecord) -> tuple[str, str]:
        return record.test.partition("[")[0], record.fault

    order = recording_tests()
    ordered = sorted(run.faults, key=lambda record: (order.index(key(record)[0]), record.fault))
    return [_sum(test, list(records)) for (test, _), records in groupby(ordered, key)]


def _sum(test: str, records: list[FaultRecord]) -> FaultRecord:
    return FaultRecord(
        fault=records[0].fault,
        test=test,
        times=sum(record.times for record in records),
        acknowledged=sum(record.acknowledged for record in records),
        lost=sum(record.lost for record in records),
        doubled=sum(record.doubled for record in records),
        recovery_s=[seconds for record in records for seconds in record.recovery_s],
        remark=records[0].remark,
    )


def render(run: Run) -> str:
    """Return the page."""
    table = [_HEADER, "|---|---:|---:|---:|---:|---:|---|---|", *map(_row, rows(run))]
    total = (
        f"In all {sum(record.times for record in run.faults):,} faults, and "
        f"{sum(record.acknowledged for record in run.faults):,} acknowledgements compared, on {run.where}."
    )
    parts = [_INTRODUCTION, "## Real processes\n", total + "\n", "\n".join(table) + "\n"]
    if run.simulation is not None:
        parts += ["## Simulation\n", _simulation(run.simulation)]
    return "\n".join(parts)


def _row(record: FaultRecord) -> str:
    recovery = "–"
    if record.recovery_s:
        recovery = f"{median(record.recovery_s):.2f} / {max(record.recovery_s):.2f}"
    path, _, name = record.test.partition("::")
    cells = (
        record.fault,
        f"{record.times:,}",
        f"{record.acknowledged:,}" if record.acknowledged else "–",
        str(record.lost),
        str(record.doubled),
        recovery,
        record.remark or "–",
        f"[`{name}`](../{path})",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _simulation(summary: dict[str, Any]) -> str:
    first, count = summary["first_seed"], summary["seeds"]
    lines = [
        "`python -m tests.simulation` runs the real gateway, engine, journal protocol, takeover and SDK in one",
        "process, on a bus, a journal, disks and clocks that it makes up from a seed. After every step it checks every",
        "invariant; at the end the journal is replayed, and everything that agents were told must follow from it.",
        "",
        "| | |",
        "|---|---:|",
        f"| seeds | {count:,} ({first:,} … {first + count - 1:,}) |",
        f"| seeds that violated a property | {len(summary['failed']):,} |",
    ]
    for name in ("steps", "commands", "hostile_messages", "records", "takeovers"):
        lines.append(f"| {name.replace('_', ' ')} | {summary[name]:,} |")
    for name, title in (("faults", "faults injected"), ("deaths", "deaths of a daemon, by where"), ("noise", "noise")):
        counts = summary[name]
        lines += ["", f"| {title} | {sum(counts.values()):,} |", "|---|---:|"]
        lines += [f"| {kind} | {times:,} |" for kind, times in counts.items()]
    return "\n".join(lines) + "\n"

"""Measure snapshots of a large book, alone and under a daemon that serves orders.

Alone: how long orders wait for the fork, how long a snapshot takes, how long loading takes. Under a daemon, as its
users run it: a whole start through snapshot and journal, and the acknowledgements of a steady flow of orders,
first without snapshots and then while it takes, copies and archives one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.flow import Flow
from benchmarks.large_venue import AGENT, MARKET, MID, levels_of
from benchmarks.report import Report
from exchange.adapters.snapshots import SnapshotStore
from exchange.daemon.host import Host
from exchange.daemon.snapshotter import Snapshotter

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["run"]

_TAKEN = re.compile(r'exchange_snapshots_total\{outcome="taken"\} (\S+)')
_PRESERVED = re.compile(r'exchange_preservations_total\{outcome="(\w+)"\} (\S+)')
_FIRST_S = 60
"""So long the load goes on at most until a snapshot was taken and copied."""


def run(*, quick: bool) -> Report:
    """Take a snapshot of a venue with many resting orders, and start from it."""
    report = Report(
        "snapshot", ["what", "orders", "seconds"],
        "fork: the daemon waits; take: the child dumps, writes, syncs, reads back, loads, compares; load: into a host; "
        "start: `exchange serve` until it takes orders; ack: over NATS, fsynced, at a steady rate",
    )  # fmt: skip
    orders = 20_000 if quick else 1_000_000
    _measure_alone(report, orders)
    gc.unfreeze()
    gc.collect()
    _measure_daemon(report, orders, quick=quick)
    return report


def _measure_alone(report: Report, orders: int) -> None:
    host = _host()
    flow = Flow()
    flow.rest(orders, levels=levels_of(orders))
    for batch in flow.batches:
        host.release(host.apply(batch.submissions, [], batch.time_us, batch.epoch))
    expected = host.engine.state_hash()
    del flow
    gc.collect()
    gc.freeze()
    with tempfile.TemporaryDirectory() as directory:
        store = SnapshotStore(Path(directory))
        fork_s, take_s = asyncio.run(_take(host, store))
        size = store.path(host.engine.index).stat().st_size
        started = perf_counter()
        loaded = _host()
        gc.disable()
        loaded.load(next(store.good_ones()))
        gc.enable()
        load_s = perf_counter() - started
    if loaded.engine.state_hash() != expected:
        message = "the loaded state is another one"
        raise RuntimeError(message)
    for name, seconds in (("fork", fork_s), ("take", take_s), ("load", load_s)):
        report.row(name, f"{orders:,}", f"{seconds:.3f}")
    report.keys["fork_ms"] = fork_s * 1e3
    report.keys["take_s"] = take_s
    report.keys["load_s"] = load_s
    report.keys["bytes_per_order"] = size / orders


def _measure_daemon(report: Report, orders: int, *, quick: bool) -> None:
    """Start the daemon on a venue with so many resting orders, and send it a steady flow."""
    tail = orders // 2
    rate, seconds = (500, 4) if quick else (1_000, 40)
    results = {}
    with tempfile.TemporaryDirectory(prefix="exchange-bench-") as directory:
        data = Path(directory) / "venue"
        subprocess.run(
            [sys.executable, "-m", "benchmarks.large_venue", str(data), str(orders), str(tail)], check=True, timeout=600
        )
        for name, every_commands in (("without", 0), ("with", 1)):
            with _daemon(Path(directory), data, every_commands) as (state, start_s):
                report.row(f"start {name} snapshots to come", f"{orders:,}", f"{start_s:.3f}")
                report.keys[f"start_s_{name}"] = start_s
                results[name] = _load(Path(directory), state["url"], data, rate, rate * seconds)
                taken, copied = _snapshots(state["metrics_url"])
                # A short load may end before the first one, on a busy machine.
                until_s = perf_counter() + _FIRST_S
                while every_commands and not (taken and copied) and perf_counter() < until_s:
                    more = _load(Path(directory), state["url"], data, rate, rate * seconds)
                    results[name] = sorted(results[name] + more)
                    taken, copied = _snapshots(state["metrics_url"])
        for name, latencies in results.items():
            for percent in (50, 99, 100):
                at = min(len(latencies) * percent // 100, len(latencies) - 1)
                label = "max" if percent == 100 else f"p{percent}"
                report.row(f"ack {label}, {name} snapshots", f"{orders:,}", f"{latencies[at] / 1e3:.4f}")
                report.keys[f"ack_{label}_ms_{name}"] = latencies[at]
    report.keys["start_s"] = max(report.keys[f"start_s_{name}"] for name in ("without", "with"))
    report.keys["start_commands_replayed"] = tail
    report.keys["ack_p99_ms_added"] = float(report.keys["ack_p99_ms_with"]) - float(report.keys["ack_p99_ms_without"])
    report.keys["snapshots_meanwhile"] = taken
    report.keys["copied_meanwhile"] = copied
    report.row("snapshots taken meanwhile", f"{orders:,}", f"{taken:.0f} in {len(results['with']) // rate} s")


def _snapshots(metrics_url: str) -> tuple[float, float]:
    """Return how many snapshots were taken so far, and how many copied."""
    found = _metrics(metrics_url)
    preserved = {outcome: float(count) for outcome, count in _PRESERVED.findall(found)}
    return float(_TAKEN.findall(found)[0]), preserved.get("done", 0.0)


@contextlib.contextmanager
def _daemon(directory: Path, data: Path, every_commands: int) -> Iterator[tuple[dict[str, Any], float]]:
    """Run `exchange serve` with every record fsynced; yield where it is, and after how many seconds it was ready."""
    config = directory / "bench.toml"
    config.write_text(
        f'data = "{data}"\n[nats]\nport = 0\n[metrics]\nport = 0\n[log]\nlevel = "warning"\n'
        f"[snapshots]\nevery_commands = {every_commands}\n"
        "[limits]\ncommands_per_s = 10000000\ncommands_burst = 10000000\n"
    )
    started = perf_counter()
    process = subprocess.Popen(
        # The flow's own time is long ago.
        [sys.executable, "-m", "exchange", "serve", "--config", str(config), "--accept-time", "--json"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            message = "the daemon did not start"
            raise RuntimeError(message)
        yield json.loads(line), perf_counter() - started
    finally:
        process.terminate()
        process.wait(timeout=60)
        if process.stdout is not None:
            process.stdout.close()


def _load(directory: Path, url: str, data: Path, rate: int, messages: int) -> list[float]:
    """Send orders at a steady rate; return the milliseconds until each was acknowledged, sorted."""
    settings = {
        "url": url, "agent": AGENT, "creds": str(data / "creds" / f"{AGENT}.creds"), "seed": time.time_ns(),
        "messages": messages, "per_message": 1, "in_flight": messages, "rate": rate, "market": MARKET, "mid": MID,
        "result": str(directory / "load.json"),
    }  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "benchmarks.load"], input=json.dumps(settings) + "\ngo\n", text=True, check=True,
        stdout=subprocess.DEVNULL, timeout=300,
    )  # fmt: skip
    result = json.loads((directory / "load.json").read_text(encoding="utf-8"))
    if result["refused"]:
        message = f"{result['refused']} messages were refused"
        raise RuntimeError(message)
    latencies: list[float] = result["latencies_ms"]
    return latencies


def _metrics(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - the daemon's own
        return str(answer.read().decode())


async def _take(host: Host, store: SnapshotStore) -> tuple[float, float]:
    """Return for how long the caller waited, and after how long there was a snapshot."""
    ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    snapshotter = Snapshotter(store, 1, lambda _index, _seconds, is_good: ended.set_result(is_good))
    started = perf_counter()
    snapshotter.take(host)
    fork_s = perf_counter() - started
    if not await ended:
        message = "the snapshot failed"
        raise RuntimeError(message)
    return fork_s, perf_counter() - started


def _host() -> Host:
    return Host(send=lambda _subject, _payload: None, now_s=time.monotonic)

"""Measure a snapshot of a large book: how long orders wait for the fork, how long it takes, how long loading takes."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from pathlib import Path
from time import perf_counter

from benchmarks.flow import Flow
from benchmarks.report import Report
from exchange.adapters.snapshots import SnapshotStore
from exchange.daemon.host import Host
from exchange.daemon.snapshotter import Snapshotter

__all__ = ["run"]


def run(*, quick: bool) -> Report:
    """Take a snapshot of a venue with many resting orders, and start from it."""
    report = Report(
        "snapshot", ["what", "orders", "seconds"],
        "fork: the daemon waits; take: the child dumps, writes, syncs, reads back, loads, compares; load: a start",
    )  # fmt: skip
    orders = 20_000 if quick else 1_000_000
    host = _host()
    flow = Flow()
    flow.rest(orders, levels=max(orders // 100, 200))
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
    return report


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

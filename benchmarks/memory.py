"""Measure the memory of a resting order: what the process grows by, divided by the orders."""

from __future__ import annotations

import gc
import resource
import sys
import tracemalloc

from benchmarks.flow import Flow
from benchmarks.report import Report
from exchange.engine import Engine

__all__ = ["run"]


def run(*, quick: bool) -> Report:
    """Rest orders and count the bytes that stay."""
    report = Report(
        "memory", ["what", "orders", "bytes per order"],
        "traced: allocated by Python; the memory of ids (1,024 outcomes per session) is bounded and apart",
    )  # fmt: skip
    orders = 20_000 if quick else 200_000
    flow = Flow()
    # Full sessions first, so that the memory of ids does not grow while orders do.
    flow.rest(120_000, levels=1_000)
    prepared = len(flow.batches)
    flow.rest(orders, levels=max(orders // 100, 200))
    engine = Engine()
    for batch in flow.batches[:prepared]:
        engine.apply(batch)
    gc.collect()
    tracemalloc.start()
    rss_before = _rss_bytes()
    before = tracemalloc.get_traced_memory()[0]
    for batch in flow.batches[prepared:]:
        engine.apply(batch)
    gc.collect()
    traced = (tracemalloc.get_traced_memory()[0] - before) / orders
    resident = (_rss_bytes() - rss_before) / orders
    tracemalloc.stop()
    report.row("traced", f"{orders:,}", f"{traced:,.0f}")
    report.keys["bytes_per_resting_order"] = traced
    report.keys["peak_resident_bytes_per_resting_order_while_traced"] = resident
    return report


def _rss_bytes() -> int:
    """Return the peak resident size; the unit of ``ru_maxrss`` is a kilobyte but on macOS a byte."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

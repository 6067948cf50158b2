"""Measure the replay of a journal: read records, check their chain, apply, compare the outputs."""

from __future__ import annotations

import gc
import time
from time import perf_counter

from benchmarks.flow import Flow
from benchmarks.report import Report
from exchange.daemon.host import Host

__all__ = ["run"]


def run(*, quick: bool) -> Report:
    """Write a journal in memory and replay it."""
    report = Report(
        "replay", ["what", "records", "commands", "commands/s", "MB/s"],
        "decode, apply, encode outputs and compare their hash, check the chain, fill the views",
    )  # fmt: skip
    commands = 20_000 if quick else 200_000
    flow = Flow()
    flow.rest(1_000)
    flow.mixed(commands)
    writer = _host()
    bodies = []
    for batch in flow.batches:
        step = writer.apply(batch.submissions, [], batch.time_us, batch.epoch)
        writer.release(step)
        bodies.append(step.body)
    total = sum(len(batch.submissions) for batch in flow.batches)
    best = min(_time(bodies, writer.hash) for _ in range(5))
    megabytes = sum(map(len, bodies)) / 1e6
    report.row("replay", f"{len(bodies):,}", f"{total:,}", f"{total / best:,.0f}", f"{megabytes / best:.1f}")
    report.keys["commands_per_s"] = total / best
    report.keys["journal_bytes_per_command"] = megabytes * 1e6 / total
    return report


def _host() -> Host:
    return Host(send=lambda _subject, _payload: None, now_s=time.monotonic)


def _time(bodies: list[bytes], expected: bytes) -> float:
    host = _host()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        started = perf_counter()
        for body in bodies:
            host.replay(body)
        elapsed = perf_counter() - started
    finally:
        gc.enable()
        gc.unfreeze()
    if host.hash != expected:
        message = "the replay ended with another hash"
        raise RuntimeError(message)
    return elapsed

"""Measure what a large package auction costs those who trade while its winners are found.

A daemon as its users run it, every record fsynced, takes orders at a steady rate. By turns nothing else happens, and
an auction of 100 items with 1,000 bids closes, is solved by the daemon's worker, checked and awarded. The same
is then done on an engine alone, to tell how long each part holds it up.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import nats

from benchmarks.flow import submission
from benchmarks.large_venue import AGENT, MARKET, MID, store
from benchmarks.package_auctions import POSTER, batches_of
from benchmarks.report import Report
from exchange.daemon.determiner import command_of, open_problems
from exchange.engine import Batch, Engine
from exchange.messages.base import VENUE_AGENT
from exchange.solver import determine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nats.aio.msg import Msg

__all__ = ["run"]

_DETERMINE_S: Final = 30
_AFTER_S: Final = 0.5
"""So long after the award orders count as disturbed by it."""
_START_S: Final = 20
"""So long the daemon and the load have to start."""


class _Sizes(NamedTuple):
    items: int
    bids: int
    auctions: int
    rate: int
    quiet_s: int
    wait_s: int
    """So long after a close the next quiet time begins."""


def run(*, quick: bool) -> Report:
    """Take orders without and with auctions, by turns."""
    sizes = _Sizes(16, 60, 1, 200, 4, 8) if quick else _Sizes(100, 1_000, 3, 500, 25, _DETERMINE_S + 3)
    report = Report(
        "package auctions", ["what", "seconds", "ack p50 ms", "ack p99 ms", "ack max ms"],
        f"{sizes.auctions} auctions of {sizes.items} items and {sizes.bids:,} bids; "
        f"{sizes.rate:,} orders and cancels per second over NATS, each fsynced before its acknowledgement",
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="exchange-bench-") as directory:
        _measure_orders(report, Path(directory), sizes)
    _measure_engine(report, sizes)
    return report


# ── orders meanwhile ────────────────────────────────────────────────────────────────────────────


def _measure_orders(report: Report, directory: Path, sizes: _Sizes) -> None:
    data = directory / "venue"
    every_s = sizes.quiet_s + sizes.wait_s
    closes_s = [time.time() + _START_S + sizes.quiet_s + number * every_s for number in range(sizes.auctions)]
    batches = batches_of([int(close_s * 1e6) for close_s in closes_s], sizes.items, sizes.bids, seed=1)
    asyncio.run(store(data, batches, [AGENT, POSTER], len(batches)))
    with _daemon(directory, data) as url, _load(directory, url, data, sizes, closes_s[-1] + sizes.wait_s) as load:
        late_s = time.time() - (closes_s[0] - sizes.quiet_s)
        if late_s > 0:
            message = f"the start took {late_s:.1f} s too long"
            raise RuntimeError(message)
        ended = asyncio.run(_watch(url, data, sizes.auctions, closes_s[-1] + _DETERMINE_S + 5))
    samples = _samples(load)
    windows = {
        "nothing else": [(close_s - sizes.quiet_s, close_s - 0.1) for close_s in closes_s],
        "close to award": [(close_s, ended[n][0] + _AFTER_S) for n, close_s in enumerate(closes_s, 1)],
        "the second of the close": [(close_s, close_s + 1) for close_s in closes_s],
        "the second around the award": [(at_s - _AFTER_S, at_s + _AFTER_S) for at_s, _ in ended.values()],
    }
    for (name, spans), key in zip(windows.items(), ("without", "with", "close", "award"), strict=True):
        found = sorted(took for due_s, took in samples if any(first <= due_s <= last for first, last in spans))
        p50, p99, longest = found[len(found) // 2], found[len(found) * 99 // 100], found[-1]
        report.row(
            f"orders: {name}", f"{sum(last - first for first, last in spans):.1f}",
            f"{p50:.2f}", f"{p99:.2f}", f"{longest:.2f}",
        )  # fmt: skip
        report.keys |= {f"ack_p50_ms_{key}": p50, f"ack_p99_ms_{key}": p99, f"ack_max_ms_{key}": longest}
    for percent in ("p50", "p99"):
        keys = report.keys
        keys[f"ack_{percent}_ratio"] = float(keys[f"ack_{percent}_ms_with"]) / float(keys[f"ack_{percent}_ms_without"])
    _report_auctions(report, closes_s, ended)


def _report_auctions(report: Report, closes_s: list[float], ended: dict[int, tuple[float, dict[str, Any]]]) -> None:
    views = [view for _, view in ended.values()]
    took = [ended[number][0] - close_s for number, close_s in enumerate(closes_s, 1)]
    gains = [view["surplus"] / view["greedy_surplus"] for view in views]
    for number, seconds in enumerate(took, 1):
        view = ended[number][1]
        what = "optimal" if view.get("optimal") else "not proven"
        gain = view["surplus"] / view["greedy_surplus"]
        text = f"auction {number}: {len(view['winners'])} win, {what}, {view['priced']}, {gain:.3f} × greedy"
        report.row(text, f"{seconds:.2f}", "", "", "")
    report.keys |= {
        "award_s": statistics.median(took),
        "award_s_max": max(took),
        "optimal_share": sum(bool(view.get("optimal")) for view in views) / len(views),
        "vcg_share": sum(view["priced"] == "vcg" for view in views) / len(views),
        "surplus_over_greedy": statistics.median(gains),
        "winners": statistics.median(len(view["winners"]) for view in views),
    }


@contextlib.contextmanager
def _daemon(directory: Path, data: Path) -> Iterator[str]:
    """Run `exchange serve`; only its rate limits are lifted."""
    config = directory / "bench.toml"
    config.write_text(
        f'data = "{data}"\n[nats]\nport = 0\n[metrics]\nport = 0\n[log]\nlevel = "warning"\n'
        "[limits]\ncommands_per_s = 10000000\ncommands_burst = 10000000\n"
    )
    serve = [sys.executable, "-m", "exchange", "serve", "--config", str(config), "--accept-time", "--json"]
    process = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            message = "the daemon did not start"
            raise RuntimeError(message)
        yield json.loads(line)["url"]
    finally:
        process.terminate()
        process.wait(timeout=60)
        if process.stdout is not None:
            process.stdout.close()


@contextlib.contextmanager
def _load(directory: Path, url: str, data: Path, sizes: _Sizes, until_s: float) -> Iterator[Path]:
    """Send orders at a steady rate; yield the file that tells of them in the end."""
    result = directory / "load.json"
    messages = int((until_s - time.time()) * sizes.rate)
    settings = {
        "url": url, "agent": AGENT, "creds": str(data / "creds" / f"{AGENT}.creds"), "seed": 1,
        "messages": messages, "per_message": 1, "in_flight": messages, "rate": sizes.rate, "market": MARKET,
        "mid": MID, "samples": True, "result": str(result),
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(settings) + "\ngo\n")
        process.stdin.flush()
        yield result
        process.communicate(timeout=180)
        if process.returncode:
            message = f"the load ended with exit code {process.returncode}"
            raise RuntimeError(message)
    finally:
        process.kill()
        process.wait()


def _samples(path: Path) -> list[tuple[float, float]]:
    result = json.loads(path.read_text(encoding="utf-8"))
    if result["refused"]:
        message = f"{result['refused']} messages were refused"
        raise RuntimeError(message)
    samples: list[tuple[float, float]] = result["samples"]
    return samples


async def _watch(url: str, data: Path, auctions: int, until_s: float) -> dict[int, tuple[float, dict[str, Any]]]:
    """Wait as the poster until all have ended; return when each did, and what is told of it."""
    ended: dict[int, tuple[float, dict[str, Any]]] = {}
    client = await nats.connect(
        url, user_credentials=str(data / "creds" / f"{POSTER}.creds"), inbox_prefix=f"_INBOX.{POSTER}"
    )
    done = asyncio.Event()

    async def on_events(msg: Msg) -> None:
        at_s = time.time()
        for event in json.loads(msg.data)["events"]:
            if event["type"] == "packages.ended":
                ended[event["auction"]] = (at_s, {})
        if len(ended) == auctions:
            done.set()

    await client.subscribe(f"exchange.v1.evt.{POSTER}", cb=on_events)
    async with asyncio.timeout(until_s - time.time()):
        await done.wait()
    for number, (at_s, _) in ended.items():
        query = json.dumps({"type": "packages.get", "auction": number}).encode()
        answer = await client.request(f"exchange.v1.query.{POSTER}.packages", query, timeout=10)
        ended[number] = (at_s, json.loads(answer.data)["auction"])
    await client.close()
    return ended


# ── the engine alone ────────────────────────────────────────────────────────────────────────────


def _measure_engine(report: Report, sizes: _Sizes) -> None:
    """Tell for how long each part of an auction holds up the engine, or the loop around it."""
    close_us = int(time.time() * 1e6)
    engine = Engine()
    for batch in batches_of([close_us], sizes.items, sizes.bids, seed=1):
        engine.apply(batch)
    took: dict[str, float] = {}

    def apply(*submissions: Any) -> None:
        time_us = max(close_us, engine.time_us + 1)
        engine.apply(Batch(0, engine.index + 1, time_us, list(submissions)))

    with _timed(took, "close"):
        apply()
    with _timed(took, "problem"):
        (problem,) = open_problems(engine)
    with _timed(took, "encode"):
        msgspec.msgpack.encode(problem)
    with _timed(took, "solve"):
        answer = determine(problem)
    command = command_of(answer, engine.index + 1, engine.time_us)
    with _timed(took, "award"):
        apply(submission(VENUE_AGENT, command))
    for part, seconds in took.items():
        report.row(f"engine alone: {part}", f"{seconds:.4f}", "", "", "")
        report.keys[f"{part}_ms"] = seconds * 1e3


@contextlib.contextmanager
def _timed(took: dict[str, float], part: str) -> Iterator[None]:
    started = perf_counter()
    yield
    took[part] = perf_counter() - started

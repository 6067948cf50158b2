"""Measure durable orders over NATS against a raw NATS echo of the same payload, in the same run.

Everything is a process of its own: nats-server, daemon (with its embedded nats-server, which syncs
every record to disk before it is acknowledged), echo, and the load processes.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.report import Report
from exchange.adapters.embedded_server import find_server

__all__ = ["run"]

_AGENTS = ("load-a", "load-b")


def run(*, quick: bool) -> Report:
    """Run every load against echo and exchange, alternating, and compare."""
    report = Report(
        "wire", ["load", "system", "orders/s", "ack p50 ms", "ack p99 ms"],
        "exchange: fsync before every ack; ratios are medians over interleaved rounds",
    )  # fmt: skip
    scale = 0.1 if quick else 1.0
    rounds = 1 if quick else 3
    # name, load processes, in flight in all, messages in all, commands per message
    loads = [
        ("1 in flight", 1, 1, int(4_000 * scale), 1),
        ("64 in flight", 2, 64, int(60_000 * scale), 1),
        ("1,000 in flight", 2, 1_000, int(100_000 * scale), 1),
        ("1,000 in flight, arrays of 100", 2, 20, int(1_500 * scale), 100),
    ]
    with tempfile.TemporaryDirectory(prefix="exchange-bench-") as directory, contextlib.ExitStack() as stack:
        echo_url = stack.enter_context(_echo(Path(directory)))
        venue = stack.enter_context(_venue(Path(directory) / "venue"))
        seed = 0
        for name, processes, in_flight, messages, per_message in loads:
            results: dict[str, list[dict[str, float]]] = {"echo": [], "exchange": []}
            # A single time is spoiled by one busy moment of the machine, and these rounds are short.
            for _ in range(rounds if in_flight > 1 or quick else 3 * rounds):
                seed += 1
                for system, target in (("echo", {"url": echo_url}), ("exchange", venue)):
                    results[system].append(
                        _load(Path(directory), system, target, processes, in_flight, messages, per_message, seed)
                    )
            _add(report, name, results)
    return report


def _add(report: Report, name: str, results: dict[str, list[dict[str, float]]]) -> None:
    median = {
        system: {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
        for system, rounds in results.items()
    }
    for system, values in median.items():
        report.row(
            name,
            system,
            f"{values['orders_per_s']:,.0f}",
            f"{values['p50_ms']:.2f}",
            f"{values['p99_ms']:.2f}",
        )
    pairs = list(zip(results["exchange"], results["echo"], strict=True))
    throughput = statistics.median(ours["orders_per_s"] / echo["orders_per_s"] for ours, echo in pairs)
    latency = statistics.median(ours["p50_ms"] / echo["p50_ms"] for ours, echo in pairs)
    report.row("", "exchange / echo", f"{throughput:.2f}", f"{latency:.2f}", "")
    ours = median["exchange"]
    if name == "1 in flight":
        report.keys["ack_p50_ratio"] = latency
        report.keys["ack_p50_ms_1"] = ours["p50_ms"]
    elif name == "64 in flight":
        report.keys["orders_per_s_64"] = ours["orders_per_s"]
        report.keys["throughput_ratio_64"] = throughput
    elif name == "1,000 in flight":
        report.keys["orders_per_s"] = ours["orders_per_s"]
        report.keys["throughput_ratio"] = throughput
        report.keys["ack_p99_ms_1000"] = ours["p99_ms"]
    else:
        report.keys["orders_per_s_arrays"] = ours["orders_per_s"]


def _load(
    directory: Path,
    system: str,
    target: dict[str, Any],
    processes: int,
    in_flight: int,
    messages: int,
    per_message: int,
    seed: int,
) -> dict[str, float]:
    """Run the load processes at once and merge what they measured."""
    running = []
    for number in range(processes):
        agent = _AGENTS[number]
        settings = {
            "url": target["url"], "agent": agent, "creds": target.get(agent), "seed": seed * 10 + number,
            "messages": messages // processes, "per_message": per_message,
            "in_flight": max(in_flight // processes, 1), "result": str(directory / f"{number}.json"),
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(settings) + "\n")
        process.stdin.flush()
        running.append(process)
    for process in running:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            message = "a load process did not start"
            raise RuntimeError(message)
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    results = []
    for number, process in enumerate(running):
        process.communicate(timeout=180)
        if process.returncode:
            message = f"a load process ended with exit code {process.returncode}"
            raise RuntimeError(message)
        results.append(json.loads((directory / f"{number}.json").read_text(encoding="utf-8")))
    refused = sum(result["refused"] for result in results)
    if refused:
        message = f"{system} refused {refused} messages"
        raise RuntimeError(message)
    latencies = sorted(latency for result in results for latency in result["latencies_ms"])
    elapsed = max(result["ended"] for result in results) - min(result["started"] for result in results)
    return {
        "orders_per_s": len(latencies) * per_message / elapsed,
        "p50_ms": latencies[len(latencies) // 2],
        "p99_ms": latencies[len(latencies) * 99 // 100],
    }


@contextlib.contextmanager
def _process(arguments: list[str], ready: str) -> Iterator[str]:
    """Run a process and yield the line in which it says that it is ready."""
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if ready in line:
                yield line
                break
        else:
            message = f"{arguments[:4]} ended before it was ready"
            raise RuntimeError(message)
    finally:
        process.terminate()
        process.wait(timeout=20)
        if process.stdout is not None:
            process.stdout.close()


@contextlib.contextmanager
def _echo(directory: Path) -> Iterator[str]:
    """Run a plain nats-server and an echo on it."""
    ports = directory / "ports"
    ports.mkdir()
    server = subprocess.Popen(
        [
            str(find_server()),
            "-a",
            "127.0.0.1",
            "-p",
            "-1",
            "--ports_file_dir",
            str(ports),
            "-l",
            str(directory / "log"),
        ]
    )
    try:
        url = _wait_for_url(server, ports)
        with _process([sys.executable, "-m", "benchmarks.echo", url], "ready"):
            yield url
    finally:
        server.terminate()
        server.wait(timeout=20)


def _wait_for_url(server: subprocess.Popen[bytes], ports: Path) -> str:
    import time

    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        for file in ports.glob("*.ports"):
            with contextlib.suppress(json.JSONDecodeError):
                url: str = json.loads(file.read_text())["nats"][0]
                return url
        time.sleep(0.02)
    message = "nats-server did not start"
    raise RuntimeError(message)


@contextlib.contextmanager
def _venue(data: Path) -> Iterator[dict[str, Any]]:
    """Run the daemon as its users do, with a market and two rich agents; only its rate limits are lifted."""
    data.mkdir(parents=True)
    config = data / "bench.toml"
    config.write_text(
        f'data = "{data / "data"}"\n[nats]\nport = 0\n[metrics]\nport = 0\n[log]\nlevel = "warning"\n'
        "[limits]\ncommands_per_s = 10000000\ncommands_burst = 10000000\n"
    )
    serve = [sys.executable, "-m", "exchange", "serve", "--config", str(config), "--json"]
    with _process(serve, '"url"') as line:
        state = json.loads(line)
        target: dict[str, Any] = {"url": state["url"]}

        def exchange(*arguments: str) -> None:
            subprocess.run(
                [sys.executable, "-m", "exchange", *arguments, "--data", str(data / "data")],
                check=True, stdout=subprocess.DEVNULL, timeout=60,
            )  # fmt: skip

        exchange("market", "add", "cpu", "--base", "cpu", "--create-asset", "--tick", "0.000001", "--band-bp", "0")
        for agent in _AGENTS:
            creds = data / f"{agent}.creds"
            exchange("agent", "add", agent, "--owner", agent, "--endowment", "10000", "--out", str(creds))
            exchange("asset", "issue", "cpu", agent, "1000000000")
            target[agent] = str(creds)
        yield target

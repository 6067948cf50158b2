"""Run the demonstration for real: a daemon, its nats-server and processes of agents."""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from exchange.demo.experiment import Plan, _pair
from exchange.demo.run import DemoError, run_demo
from exchange.demo.smith import InducedTrade
from exchange.demo.venue import PromiseBroken
from exchange.demo.wire import Fill, TraderPeriod
from tests.demo.support import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exchange.demo.report import RunReport
    from exchange.demo.strategies import StrategyName

WAIT_S = 30.0


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that is about to happen."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {WAIT_S} s: {what}"
        time.sleep(0.02)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a directory for a venue; every process started meanwhile is marked by it and must be gone."""
    directory = tmp_path / "venue"
    monkeypatch.setenv("DEMO_TEST", str(directory))
    yield directory
    assert processes(directory) == []


@pytest.fixture
def script(data: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a long demonstration in a process of its own, and wait until agents trade."""
    program = (
        "import pathlib, sys\n"
        "from exchange.demo.run import run_demo\n"
        f"run_demo(seconds=60, agents=6, data=pathlib.Path({str(data)!r}), json=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) as running:
        try:
            wait_until(lambda: (data / "agents.log").exists() or running.poll() is not None, "agents are started")
            assert running.poll() is None, running.communicate()
            yield running
        finally:
            running.kill()


def check(report: RunReport) -> None:
    """Check what must hold for every run."""
    assert report.succeeded
    assert report.verified is True
    assert report.conserved
    assert {row.asset for row in report.conservation} == {"credit", "unit"}
    assert report.journal_index > 0
    assert len(report.state_hash) == 64
    assert report.orders >= 2 * report.trades > 0
    assert report.ack_p50_ms is not None
    assert report.ack_p99_ms is not None
    assert 0 < report.ack_p50_ms <= report.ack_p99_ms
    assert report.restarts == 0


@pytest.mark.parametrize("strategy", ["zip", "zic"])
def test_traders_come_near_the_equilibrium(data: Path, strategy: StrategyName) -> None:
    """A short real run realises most of the surplus, conserves all, and replays to the same state."""
    console = Console(file=io.StringIO(), width=120)
    report = run_demo(seconds=4.2, agents=22, strategy=strategy, periods=3, data=data, console=console)
    check(report)
    assert report.efficiency is not None
    assert report.efficiency > 80
    assert len(report.periods) == 3
    assert report.data == str(data)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 4
    assert lines[-1].startswith("period 3 of 3: ")


def test_the_command_prints_json_and_nothing_else(data: Path) -> None:
    """``exchange demo --json`` prints one JSON document, and its exit code is that of the report."""
    command = [sys.executable, "-m", "exchange", "demo", "--json", "--data", str(data)]
    settings = ["--seconds", "1", "--periods", "1", "--agents", "8", "--strategy", "zip", "--seed", "3"]
    done = subprocess.run([*command, *settings], capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["succeeded"] is True
    assert told["verified"] is True
    assert told["agents"] == 8
    assert told["seed"] == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_it_is_interrupted(
    data: Path, script: subprocess.Popen[str], number: signal.Signals
) -> None:
    """Ctrl-C and SIGTERM stop the agents, the daemon and its server."""
    script.send_signal(number)
    _, stderr = script.communicate(timeout=WAIT_S)
    assert script.returncode != 0
    assert ("KeyboardInterrupt" if number == signal.SIGINT else "told to stop") in stderr
    assert processes(data) == []


def test_nothing_is_left_when_it_is_killed(data: Path, script: subprocess.Popen[str]) -> None:
    """What was started ends by itself when who started it is killed."""
    script.kill()
    script.communicate(timeout=WAIT_S)
    wait_until(lambda: not processes(data), "all processes have ended")


class Killer(io.StringIO):
    """Kill the daemon when the end of the first period is told."""

    def __init__(self, data: Path) -> None:
        super().__init__()
        self._data = data

    def write(self, text: str) -> int:
        if "period 1 of" in text:
            self.kill()
        return super().write(text)

    def kill(self) -> None:
        os.kill(json.loads((self._data / "run.json").read_bytes())["pid"], signal.SIGKILL)


def test_agents_survive_the_daemon(data: Path) -> None:
    """The daemon is killed between the agents' orders: it recovers, they go on, and nothing is lost."""
    # The second period must be much longer than the daemon takes to come back on a busy machine.
    report = run_demo(seconds=12, agents=8, strategy="zic", periods=2, data=data, console=Console(file=Killer(data)))
    assert report.restarts == 1
    assert report.succeeded
    assert report.verified is True
    assert all(period.trades > 0 for period in report.periods)


def test_a_daemon_that_does_not_start_again_is_told(
    data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When starting it again does not help, the demonstration ends, quotes the daemon, and leaves nothing."""

    class Saboteur(Killer):
        def kill(self) -> None:
            monkeypatch.setenv("EXCHANGE_CONFIG", str(data / "absent.toml"))
            super().kill()

    with pytest.raises(DemoError, match=r"(?s)the daemon did not start.*absent\.toml"):
        run_demo(seconds=60, agents=4, strategy="zic", periods=30, data=data, console=Console(file=Saboteur(data)))
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_a_directory_that_holds_something_is_refused(data: Path) -> None:
    """No venue is mixed with what is there already."""
    data.mkdir()
    (data / "notes").write_text("mine", encoding="utf-8")
    with pytest.raises(DemoError, match="holds something already"):
        run_demo(data=data, json=True)


def test_a_daemon_that_does_not_start_is_told(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message quotes what the daemon said, and nothing is left."""
    monkeypatch.setenv("EXCHANGE_CONFIG", str(data / "absent.toml"))
    with pytest.raises(DemoError, match=r"(?s)the daemon did not start.*absent\.toml"):
        run_demo(data=data, json=True)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"agents": 1}, "at least 2"),
        ({"periods": 0}, "1 to 30"),
        ({"periods": 31}, "1 to 30"),
        ({"seconds": 0}, "no time"),
    ],
)
def test_plans_that_cannot_be_conducted_are_refused(settings: dict[str, int], what: str) -> None:
    """What cannot work is told before anything is started."""
    with pytest.raises(DemoError, match=what):
        run_demo(**settings, json=True)  # type: ignore[arg-type]


def test_the_same_seed_makes_the_same_traders() -> None:
    """Traders, their sides, values, costs and random numbers follow from the plan alone."""
    plan = Plan.of(seconds=20, agents=22, strategy="mixed", seed=7, periods=None)
    assert plan.periods == 10
    assert plan.traders() == plan.traders()
    assert len({trader.seed for trader in plan.traders()}) == 22
    assert {trader.seed for trader in plan.traders()}.isdisjoint(
        trader.seed for trader in Plan.of(seconds=20, agents=22, strategy="mixed", seed=8, periods=None).traders()
    )


def test_the_two_sides_of_a_trade_are_joined() -> None:
    """A trade is what its buyer and its seller heard, in the order of trades, with value and cost."""
    traders = {trader.agent: trader for trader in Plan(1, 4, "zip", 1, 1).traders()}
    done = [
        TraderPeriod("buyer-001", [Fill(8, 210)]),
        TraderPeriod("seller-001", [Fill(7, 190)]),
        TraderPeriod("buyer-002", [Fill(7, 190)]),
        TraderPeriod("seller-002", [Fill(8, 210)]),
    ]
    assert _pair(done, traders) == [InducedTrade(190, 75, 75), InducedTrade(210, 325, 325)]


@pytest.mark.parametrize(
    ("done", "what"),
    [
        ([TraderPeriod("buyer-001", [Fill(1, 200)])], "two sides of trade 1"),
        ([TraderPeriod("buyer-001", [Fill(1, 200)]), TraderPeriod("seller-001", [Fill(1, 201)])], "two sides"),
        ([TraderPeriod("buyer-001", [Fill(1, 200), Fill(2, 200)])], "had one unit and traded 2"),
    ],
)
def test_a_broken_promise_is_noticed(done: list[TraderPeriod], what: str) -> None:
    """A lost event, a price that differs, and a unit traded twice end the experiment."""
    traders = {trader.agent: trader for trader in Plan(1, 4, "zip", 1, 1).traders()}
    with pytest.raises(PromiseBroken, match=what):
        _pair(done, traders)

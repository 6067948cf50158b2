"""Test that the examples do what they say."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import ROOT, TIMEOUT_S, Serving, environment, run_json

EXAMPLES = ROOT / "examples"


def test_the_tests_of_the_examples_pass() -> None:
    """Maker and taker work against the exchange in memory, as the examples' own tests say."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", EXAMPLES / "test_my_agent.py"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=2 * TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_maker_and_taker_trade_on_a_real_venue(tmp_path: Path) -> None:
    """The taker gets what it wants from the maker, who leaves no quotes behind."""
    data = tmp_path / "venue"
    with Serving(data) as serving:
        run_json("agent", "add", "alice", "--owner", "acme", "--data", data)
        run_json("agent", "add", "bob", "--owner", "bert", "--data", data)
        run_json("market", "add", "cpu", "--base", "cpu", "--create-asset", "--tick", "0.01", "--data", data)
        run_json("asset", "issue", "cpu", "bob", "10", "--data", data)
        maker = _start(serving, "bob", "market_maker.py", "cpu", "--fair", "5.00", "--size", "2", "--seconds", "6")
        taker = _start(serving, "alice", "taker.py", "cpu", "--quantity", "4", "--limit", "5.20")
        bought = _output(taker)
        made = _output(maker)
        markets = run_json("market", "list", "--data", data)
    # Two at 5.05; then the maker has moved a tick up.
    assert "buy 2 @ 5.050000 = 10.100000, fee 0" in bought
    assert "bought 4, 79.780000 credits left" in bought
    assert "inventory -4" in made
    assert markets[0]["open_orders"] == 0


@pytest.mark.slow
def test_a_fleet_mends_a_repository() -> None:
    """A bad delivery is disputed and not paid, the dear worker mends it; all are processes of their own."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "maintenance_fleet.py"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=6 * TIMEOUT_S, check=False,
    )  # fmt: skip
    said = done.stdout
    assert done.returncode == 0, said + done.stderr
    assert re.search(r"poster +task 1 goes to junior for 20\.000000, of 2 bids", said)
    assert re.search(r"judge +rules for poster", said)
    assert re.search(r"poster +task 1 goes to senior for 30\.000000, of 1 bids", said)
    assert re.search(r"all +the repository is mended", said)
    # 100 − the bond of 3 that it lost + 20 for the other task, with its bonus, less the arbitrator's fee.
    assert re.search(r"junior +has 118\.000000 credits of 100", said)
    assert re.search(r"senior +has 132\.000000 credits of 100", said)


@pytest.mark.slow
def test_an_economy_of_commons_comes_to_what_it_says() -> None:
    """Who breaks something pays who suffers; debt, a public good, a bet and a vote come to their ends; it adds up."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "commons.py"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=6 * TIMEOUT_S, check=False,
    )  # fmt: skip
    said = done.stdout
    assert done.returncode == 0, said + done.stderr
    assert re.search(r"ci +finds what the change broke: api \(100 %\), which costs cid 20\.000000", said)
    assert re.search(r"ben +is paid for the harm: 20\.000000", said)
    assert re.search(r"dot +has earned 15\.000000", said)
    assert re.search(r"ann +proposal 1 is enacted: the rate is 15\.000000 now", said)
    assert re.search(r"all +0 credits were made or lost", said)
    # What she did not lose on the market that she made, eve has won.
    has = {name: Decimal(amount) for name, amount in re.findall(r"(\w+) +has (\S+) credits of 100", said)}
    assert has["ann"] + has["eve"] == 155
    # 20 for api, 10 for the tests, 4 of deposit, which the tax is taken from.
    assert has["ben"] == 106
    # The task paid 30; the harm cost 20, the debt 15, and 1 for its hour of interest a month.
    assert has["cid"] == 94
    assert has["fay"] == 130


# ── the lease market ────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_lease_market_follows_the_load(tmp_path: Path) -> None:
    """What is leased, and what it costs, go up and down with the load; all are processes of their own."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "lease_market.py", "--json"],
        cwd=ROOT, env=environment(TMPDIR=str(tmp_path)), capture_output=True, text=True, timeout=5 * TIMEOUT_S,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert [slot["hour"] for slot in found["slots"]] == list(range(24))
    for market in ("gpu", "cpu"):
        slots = sorted((slot[market] for slot in found["slots"]), key=lambda slot: slot["load"])
        trough, peak = slots[0], slots[-1]
        assert peak["load"] > trough["load"]
        assert peak["utilisation"] > 2 * trough["utilisation"]
        assert all(0 <= slot["leased"] <= found["capacity"][market] for slot in slots)
        assert found["correlation"][market]["utilisation"] > 0.5
        assert found["correlation"][market]["price"] > 0.2
    leases, counts = found["leases"], found["consumers"]
    assert leases["renewed"] > 0
    assert leases["released"] > 0
    assert leases["opened"] == leases["released"] + leases.get("ended", 0)
    assert counts["sets_acquired"] > 0
    assert counts["jobs_done"] > 0
    # Whoever still shows the token of a lease that is over is turned away by the machine itself.
    assert counts["stale_refused"] == counts["stale_shown"] == leases["released"]
    assert found["machines"]["refused"] >= counts["stale_refused"]
    # No fees: what the lessees paid is what the lessors got.
    assert found["conserved"]
    assert set(found["conservation"]) == {"credit", "gpu", "cpu"}
    assert not any(row["difference"] for row in found["conservation"].values())
    assert sum(found["balances"].values()) == pytest.approx(6_000, abs=1e-3)
    assert set(found["exit_codes"].values()) == {0}
    assert set(found["exit_codes"]) == {"hydro", "city", "diesel", "web", "chat", "lab"}
    assert list(_processes(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for what still runs in /proc")
@pytest.mark.parametrize(
    ("victim", "number", "code", "told"),
    [
        ("", signal.SIGINT, 130, "stopped, and all its processes with it"),
        ("hydro", signal.SIGKILL, 1, "the process of hydro ended with exit code -9"),
    ],
    ids=["ctrl-c", "a provider dies"],
)
def test_a_lease_market_leaves_nothing_behind(
    tmp_path: Path, victim: str, number: signal.Signals, code: int, told: str
) -> None:
    """However its day ends, a sentence says why, and the venue and all agents are stopped."""
    market = subprocess.Popen(
        [sys.executable, EXAMPLES / "lease_market.py"],
        cwd=ROOT, env=environment(TMPDIR=str(tmp_path)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert market.stdout is not None
    for line in market.stdout:
        if line.startswith("web "):
            break
    pid = market.pid if not victim else next(pid for pid, words in _processes(tmp_path) if victim in words)
    os.kill(pid, number)
    _, errors = market.communicate(timeout=TIMEOUT_S)
    assert market.returncode == code, errors
    assert told in errors
    assert "Traceback" not in errors
    assert list(_processes(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def test_a_lease_market_of_no_time_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "lease_market.py", "--hour", "0"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "argument --hour: 0 is not a whole number of seconds from 1 to 60" in done.stderr


def _processes(place: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the processes, with their arguments, that work on something in a directory."""
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it ended meanwhile
            continue
        if any(str(place) in word for word in words):
            yield int(directory.name), words


def _start(serving: Serving, agent: str, program: str, *arguments: str) -> subprocess.Popen[str]:
    creds = serving.data / "creds" / f"{agent}.creds"
    return subprocess.Popen(
        [sys.executable, EXAMPLES / program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(NATS_URL=serving.facts["url"], EXCHANGE_CREDS=str(creds)),
    )


def _output(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, output
    return output

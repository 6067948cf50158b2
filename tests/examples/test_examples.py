"""Test that the examples do what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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

"""Test that every benchmark runs and tells what it promises; its figures are for people to judge."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("core", {"commands_per_s", "cost_ratio_10000_orders", "cost_ratio_1000_markets", "cost_ratio_1000_agents"}),
        ("replay", {"commands_per_s"}),
        ("memory", {"bytes_per_resting_order"}),
        (
            "snapshot",
            {
                "fork_ms",
                "take_s",
                "load_s",
                "bytes_per_order",
                "start_s",
                "ack_p99_ms_without",
                "ack_p99_ms_with",
                "snapshots_meanwhile",
                "copied_meanwhile",
            },
        ),
        ("idle", {"ack_p99_ratio_10_s", "ack_p99_ratio_60_s", "connect_s", "restart_until_all_served_s"}),
        (
            "packages",
            {"ack_p99_ratio", "ack_p50_ratio", "ack_p99_ms_without", "ack_max_ms_with", "award_s", "solve_ms"},
        ),
        ("commons", {"cost_ratio", "orders_per_s_empty", "orders_per_s_commons", "modules", "prediction_markets"}),
        ("wire", {"throughput_ratio", "ack_p50_ratio", "orders_per_s", "orders_per_s_arrays"}),
    ],
)
def test_a_benchmark_ends_with_one_flat_object(name: str, keys: set[str]) -> None:
    """With ``--json`` the last line is one flat object that holds the promised keys, all positive."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", name, "--quick", "--json"],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert keys <= figures.keys()
    assert all(figures[key] > 0 for key in keys)


def test_an_order_stays_below_a_kilobyte() -> None:
    """A resting order takes less than 1 kB; memory, unlike time, can be asserted on any machine."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "memory", "--quick", "--json"],
        capture_output=True,
        text=True,
        timeout=170,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1])["bytes_per_resting_order"] < 1_000

"""A year of venue time, with every accrual, maturity, vote and foreclosure in it, conserves and replays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 600
DAYS = 365


def _begin(hash_seed: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    command = [sys.executable, "-m", "tests.core.year", "1", str(DAYS)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def _end(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    result: dict[str, Any] = json.loads(output)
    return result


def test_a_year_conserves_credits_to_the_unit_and_replays_to_the_same_hash() -> None:
    """Two processes, with other hash seeds, come to the same; each has replayed its own year, batch by batch.

    Credits are counted after every batch, every invariant is proven every day, and the books are kept a second time by
    an account that knows only the events.
    """
    processes = [_begin(hash_seed) for hash_seed in (0, 4_242)]
    try:
        one, other = [_end(process) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert one == other
    assert one["difference"] == 0
    happened = one["happened"]
    wanted = [
        # accruals
        "property.tax_collected", "debts.interest_due", "leases.ended",
        # maturities and other ends
        "debts.matured", "debts.repayment_final", "debts.paydown_ordered", "debts.paydown_ended",
        "predictions.reported", "predictions.ended", "assurance.reached", "assurance.ended", "externalities.ended",
        "tasks.ended", "contracts.ended",
        # votes
        "governance.proposal_passed", "governance.proposal_ended",
        # foreclosures, sales by force, liens
        "property.deposit_low", "property.foreclosed", "property.auction_closed", "property.ownership_moved",
        "payments.lien_changed",
    ]  # fmt: skip
    assert [tag for tag in wanted if not happened.get(tag)] == []
    # What the public fund had above its cap went back to the owners every month.
    assert one["months_shared"] >= 12
    # Modules were lost for want of money, for want of a stated value, and with their owner.
    assert sorted(one["foreclosed"]) == ["deposit_exhausted", "no_value_stated", "revoked"]
    assert one["foreclosed"]["deposit_exhausted"] >= 3
    # The rate at which values are taxed was voted down and up again.
    assert one["rates"] == [400, 500, 600]

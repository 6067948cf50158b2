"""Record what a fault did, for the table in docs/reliability.md.

Every test that does harm to real processes says here what it did and what came of it. The records go to the file
that ``EXCHANGE_FAULTS_FILE`` names, a JSON object a line; without it, nowhere.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

__all__ = ["FAULTS_FILE", "FaultRecord", "record"]

FAULTS_FILE = "EXCHANGE_FAULTS_FILE"


class FaultRecord(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Say what was done and what came of it, in numbers that the test has counted, never assumed.

    ``recovery_s``: seconds from each fault until orders were acknowledged again (or the standby led); empty where
    nothing has to recover. ``acknowledged``: commands whose acknowledgements were compared with the journal.
    """

    fault: str
    """What was done, as the table's row says it: `kill -9` of the leader under load."""
    test: str
    """The test that did it, as pytest names it."""
    times: int
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    recovery_s: Sequence[float] = ()
    remark: str = ""


def record(
    fault: str,
    *,
    times: int,
    acknowledged: int = 0,
    lost: int = 0,
    doubled: int = 0,
    recovery_s: Sequence[float] = (),
    remark: str = "",
) -> None:
    """Add a record of the test that runs, if records are kept."""
    path = os.environ.get(FAULTS_FILE)
    if not path:
        return
    test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]
    line = FaultRecord(
        fault=fault, test=test, times=times, acknowledged=acknowledged, lost=lost, doubled=doubled,
        recovery_s=[round(seconds, 3) for seconds in recovery_s], remark=remark,
    )  # fmt: skip
    with Path(path).open("ab") as file:
        file.write(msgspec.json.encode(line) + b"\n")

"""One bit of a stopped venue flips: the start comes to the same state, or says what is wrong and what can be done."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest

from exchange.daemon import DaemonError
from tests.daemon.support import running_daemon, set_up_market
from tests.daemon.test_snapshots import settings, snapshot_now, trade
from tests.faults.flips import flip_bit, journal_blocks
from tests.faults.record import record

if TYPE_CHECKING:
    from pathlib import Path

WHAT_CAN_BE_DONE = re.compile(r"[Pp]ut (it|the store) back from a copy|put its data back|Restore the right one")

KINDS = {
    "the journal's records (`.blk`)": 24,
    "the other files of the journal's stream": 8,
    "a snapshot": 6,
    "the high-water mark": 6,
}


def files_of(data: Path, kind: str) -> list[Path]:
    """Return the files of one kind that a stopped venue has."""
    if kind == "a snapshot":
        return sorted((data / "snapshots").glob("*.snapshot"))
    if kind == "the high-water mark":
        return [data / "high-water"]
    blocks = journal_blocks(data / "nats")
    if ".blk" in kind:
        return blocks
    stream = blocks[0].parents[1]
    return sorted(path for path in stream.rglob("*") if path.is_file() and path.suffix != ".blk")


@pytest.mark.slow
async def test_no_flipped_bit_loses_anything_in_silence(tmp_path: Path) -> None:
    """Wherever it is: the same state with every acknowledged order, or a refusal that helps."""
    original = tmp_path / "original"
    async with running_daemon(settings(original, every_commands=0)) as setting:
        await set_up_market(setting, "alice", "bob")
        await trade(setting, 4)
        await snapshot_now(setting)
        await trade(setting, 4)
        await snapshot_now(setting)
        await trade(setting, 4)
    want, last, commands = setting.engine.business_hash(), setting.engine.index, setting.engine.commands_applied
    random = Random(51)
    for kind, times in KINDS.items():
        ends: Counter[str] = Counter()
        for number in range(times):
            data = tmp_path / f"{number}"
            shutil.copytree(original, data)
            flipped = flip_bit(random.choice(files_of(data, kind)), random)
            try:
                async with running_daemon(settings(data, every_commands=0)) as setting:
                    found = setting.engine.business_hash()
                    assert (found, setting.engine.index > last) == (want, True), f"another state: {flipped}"
                ends["led to the same state"] += 1
            except DaemonError as error:
                refusal = str(error)
                ends["were refused"] += 1
            else:
                refusal = None
            assert refusal is None or WHAT_CAN_BE_DONE.search(refusal), f"{flipped}: {refusal}"
            shutil.rmtree(data)
        assert ends.total() == times
        record(
            f"one bit flips in {kind} of a stopped venue",
            times=times, acknowledged=commands,
            remark=", ".join(f"{count} starts {end}" for end, count in sorted(ends.items())),
        )  # fmt: skip
        if kind in {"a snapshot", "the high-water mark"}:
            assert ends == {"led to the same state": times}

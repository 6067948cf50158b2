"""What a leader lets out when it stood still at a bad moment, driven without any I/O but the mark's file."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import msgspec

from exchange.adapters.clock import VenueClock
from exchange.adapters.high_water import HighWaterFile
from exchange.adapters.metrics import Metrics
from exchange.adapters.records import decode_record
from exchange.adapters.snapshots import SnapshotStore
from exchange.daemon.leader import Leader
from exchange.daemon.lease import Lease
from exchange.daemon.snapshotter import Snapshotter
from tests.daemon.support import wait_until
from tests.gateway.desk import START_US, Desk

if TYPE_CHECKING:
    from pathlib import Path

TAKEOVER_S = 1.0


class Machine:
    """Be journal and way out of one daemon, which stands still right after its next replies when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.stands_still_s = 0.0
        self.epochs: list[int] = []
        self.sent: list[str] = []

    async def append(self, index: int, body: bytes) -> None:
        """Store a record."""
        del index
        self.epochs.append(decode_record(body).epoch)

    async def send(self, messages: list[tuple[str, bytes]]) -> None:
        """Take messages; the first replies are the moment at which it stands still."""
        self.sent += [subject for subject, _ in messages]
        if any(subject.startswith("_INBOX.ann") for subject, _ in messages):
            self.now_s, self.stands_still_s = self.now_s + self.stands_still_s, 0.0

    def silence(self) -> None:
        """Nothing leaves any more."""


async def test_a_leader_that_stood_still_amid_a_release_says_no_more_of_it(tmp_path: Path) -> None:
    """Another may lead by then. Where nobody does, a new epoch makes everybody ask for what was not said."""
    machine, desk = Machine(), Desk()
    desk.open_market("ann")
    mark = HighWaterFile(tmp_path / "mark")
    lease = Lease(TAKEOVER_S, now_s=lambda: machine.now_s)
    leader = Leader(
        desk.host, machine, machine, VenueClock(START_US, wall_ns=lambda: 0), lease, Metrics(desk.host), mark,
        Snapshotter(SnapshotStore(tmp_path / "snapshots"), 0),
    )  # fmt: skip
    await leader.begin()
    leading = asyncio.create_task(leader.run())

    def order() -> None:
        leader.receive_command(
            "exchange.v1.cmd.ann.orders", "_INBOX.ann.1", msgspec.json.encode(desk.order("ann", price=1))
        )

    try:
        order()
        await wait_until(lambda: "exchange.v1.evt.ann" in machine.sent, "no event of a plain order")
        assert machine.epochs[-1] == 1
        machine.sent.clear()
        machine.stands_still_s = TAKEOVER_S
        order()
        await wait_until(lambda: machine.epochs[-1] == 2, "no new epoch")
        heard = machine.sent[: machine.sent.index("_INBOX.ann.1") + 2]
        assert "exchange.v1.evt.ann" not in heard
        await wait_until(lambda: "exchange.v1.md._venue" in machine.sent, "it does not go on")
        assert "exchange.v1.evt.ann" not in machine.sent
    finally:
        leading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leading
        mark.close()

"""Write golden files of this version: ``python -m tests.golden``. Those of other formats stay as they are.

Do it when a format has a new number, and never to make a test pass that says that an old file is read otherwise.
Until a version with it is released, the directory of that one format may be removed before, to be written anew.
"""

from __future__ import annotations

import sys
from random import Random

import msgspec

from exchange.adapters.archive import Archive
from exchange.adapters.records import FORMAT
from exchange.adapters.snapshots import SNAPSHOT_FORMAT, SnapshotStore
from exchange.mechanisms import REGISTRY
from tests.core.driver import Driver, trading_venue
from tests.golden.files import describe, journal_directory, new_host, snapshot_directory

_COMMANDS = 400
_SEED = 3


def write_journal() -> None:
    """Trade at random over three epochs, and keep the records."""
    venue = trading_venue(REGISTRY)
    driver = Driver(Random(_SEED))
    for _ in range(_COMMANDS):
        drawn = driver.next(venue.time_us)
        if isinstance(drawn, int):
            venue.advance_to(venue.time_us + drawn)
        else:
            agent, kind, fields = drawn
            answer = venue.submit(agent, kind, **fields)
            if answer.outcome.order is not None:
                driver.learn(agent, answer.order)
    host, bodies = new_host(), []
    for number, batch in enumerate(venue.batches):
        epoch = 3 * number // len(venue.batches)
        step = host.apply(batch.submissions, [], batch.time_us, epoch)
        host.release(step)
        bodies.append(step.body)
    directory = journal_directory(FORMAT)
    Archive(directory).write(1, bodies)
    text = msgspec.json.format(msgspec.json.encode(describe(host)))
    (directory / "expected.json").write_bytes(text + b"\n")


def write_snapshot() -> None:
    """Take a snapshot in the middle of the golden journal."""
    records = list(Archive(journal_directory(FORMAT)).read())
    host = new_host()
    for _, body in records[: len(records) // 2]:
        host.replay(body)
    SnapshotStore(snapshot_directory(SNAPSHOT_FORMAT)).write(host.snapshot())


if __name__ == "__main__":
    if not journal_directory(FORMAT).exists():
        write_journal()
    if not snapshot_directory(SNAPSHOT_FORMAT).exists():
        write_snapshot()
    sys.stdout.write(f"journal format {FORMAT}, snapshot format {SNAPSHOT_FORMAT}\n")

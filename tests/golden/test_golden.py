"""What earlier versions wrote is read as it was meant; a format that changes gets a new number."""

from __future__ import annotations

import msgspec
import pytest

from exchange.adapters.archive import Archive
from exchange.adapters.records import FORMAT
from exchange.adapters.snapshots import MIGRATIONS, SNAPSHOT_FORMAT, SnapshotCorrupt, SnapshotStore
from tests.golden.__main__ import __doc__ as how
from tests.golden.files import GOLDEN, Expected, describe, journal_directory, new_host, snapshot_directory

JOURNALS = sorted(int(path.name.partition("-")[2]) for path in GOLDEN.glob("journal-*"))
SNAPSHOTS = sorted(int(path.name.partition("-")[2]) for path in GOLDEN.glob("snapshot-*"))


def expected(journal: int = FORMAT) -> Expected:
    """Return what the golden journal came to when it was written."""
    return msgspec.json.decode((journal_directory(journal) / "expected.json").read_bytes(), type=Expected)


@pytest.mark.parametrize("number", JOURNALS)
def test_a_golden_journal_replays_to_what_it_always_was(number: int) -> None:
    """Every record brings forth the outputs it was written with, and money and orders are where they were."""
    host = new_host()
    for _, body in Archive(journal_directory(number)).read():
        host.replay(body)
    assert describe(host) == expected(number)
    assert host.engine.check_invariants() == []
    assert host.engine.conservation_difference() == 0


@pytest.mark.parametrize("number", SNAPSHOTS)
def test_a_golden_snapshot_is_gone_on_from_or_skipped(number: int) -> None:
    """One of this format, or with a migration to it, is loaded; another is refused by its number, for replay to do."""
    store = SnapshotStore(snapshot_directory(number))
    (index,) = store.indexes()
    if number != SNAPSHOT_FORMAT and number not in MIGRATIONS:
        with pytest.raises(SnapshotCorrupt, match=f"it has format {number}; this version reads {SNAPSHOT_FORMAT}"):
            store.read(index)
        return
    host = new_host()
    host.load(store.read(index))
    for _, body in Archive(journal_directory(FORMAT)).read(index + 1):
        host.replay(body)
    assert describe(host) == expected()


def test_the_layout_of_a_snapshot_has_a_number_of_its_own() -> None:
    """A state that is dumped in another way is another format: raise SNAPSHOT_FORMAT and write golden files of it."""
    assert FORMAT in JOURNALS, how
    assert SNAPSHOT_FORMAT in SNAPSHOTS, how
    store = SnapshotStore(snapshot_directory(SNAPSHOT_FORMAT))
    (index,) = store.indexes()
    host = new_host()
    for at, body in Archive(journal_directory(FORMAT)).read():
        if at > index:
            break
        host.replay(body)
    written, now = store.read(index), host.snapshot()
    assert now.state == written.state, how
    assert (now.events, now.trades, now.hash, now.incarnation) == (
        written.events, written.trades, written.hash, written.incarnation,
    )  # fmt: skip

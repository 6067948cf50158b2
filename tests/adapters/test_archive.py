"""The archive of records: files that chain, are read back, and tell every damage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exchange.adapters.archive import Archive, ArchiveCorrupt
from exchange.adapters.records import JournalCorrupt, chain_hash
from exchange.daemon.host import Host
from exchange.engine import genesis_batch

if TYPE_CHECKING:
    from pathlib import Path


def records(count: int) -> tuple[list[bytes], bytes]:
    """Return a genesis and empty records after it, and the chain hash after the last."""
    host = Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0)
    batch = genesis_batch("operator", 1_000_000)
    bodies = [host.apply(batch.submissions, [], batch.time_us, batch.epoch).body]
    bodies += [host.apply([], [], 1_000_000 + n, 0).body for n in range(1, count)]
    return bodies, host.hash


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Return an archive that does not exist yet."""
    return Archive(tmp_path / "archive")


def test_what_is_archived_comes_back(archive: Archive) -> None:
    """Files are named by their records and read as one journal, from any record on."""
    bodies, after = records(9)
    assert (archive.end(), archive.parts(), list(archive.read())) == (None, [], [])
    archive.write(1, bodies[:4])
    archive.write(5, bodies[4:])
    assert [part.path.name for part in archive.parts()] == ["1-4.records", "5-9.records"]
    assert archive.end() == (9, after)
    assert list(archive.read()) == list(enumerate(bodies, 1))
    assert list(archive.read(6)) == list(enumerate(bodies[5:], 6))


def test_files_may_overlap(archive: Archive) -> None:
    """Two daemons may have archived the same records, in other files: each record comes once."""
    bodies, _ = records(9)
    archive.write(1, bodies[:6])
    archive.write(3, bodies[2:5])
    archive.write(4, bodies[3:])
    assert list(archive.read()) == list(enumerate(bodies, 1))


@pytest.mark.parametrize(
    ("kept", "told"), [((1, 4, 8, 9), "records 5 to 7 are missing"), ((2, 9, 2, 9), "record 1 is missing")]
)
def test_a_gap_is_told(archive: Archive, kept: tuple[int, int, int, int], told: str) -> None:
    """The missing records are named, and the file after them; what comes before was read."""
    bodies, _ = records(9)
    archive.write(kept[0], bodies[kept[0] - 1 : kept[1]])
    archive.write(kept[2], bodies[kept[2] - 1 : kept[3]])
    read: list[tuple[int, bytes]] = []
    with pytest.raises(ArchiveCorrupt, match=told):
        read_into(read, archive)
    assert read == list(enumerate(bodies[:4] if kept[0] == 1 else [], 1))


def read_into(read: list[tuple[int, bytes]], archive: Archive) -> None:
    """Read an archive for as long as it goes."""
    for record in archive.read():
        read.append(record)


def test_every_damage_is_noticed(archive: Archive) -> None:
    """No byte can change, none can be missing, and a file cannot pass for another."""
    bodies, _ = records(3)
    path = archive.write(1, bodies).path
    data = path.read_bytes()
    for at in range(0, len(data), 7):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        with pytest.raises(ArchiveCorrupt, match=r"1-3\.records"):
            list(archive.read())
        path.write_bytes(data[:at])
        with pytest.raises(ArchiveCorrupt, match=r"1-3\.records"):
            archive.end()
    path.write_bytes(data)
    path.rename(archive.directory / "1-4.records")
    with pytest.raises(ArchiveCorrupt, match="holds records 1 to 3, not those of its name"):
        list(archive.read())


def test_records_that_do_not_follow_each_other_are_refused(archive: Archive) -> None:
    """Nothing is written of them: an archive always chains."""
    bodies, after = records(4)
    for wrong in (bodies[::-1], [bodies[0], bodies[2]]):
        with pytest.raises(JournalCorrupt, match="does not chain"):
            archive.write(1, wrong)
    assert archive.parts() == []
    assert after == chain_hash(records(3)[1], bodies[3])

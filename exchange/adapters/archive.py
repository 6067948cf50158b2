"""Keep records that the journal lets go of: files of consecutive records, which chain from one to the next.

A file is named by its first and last record. It holds a head (magic, the two indexes, the chain hash before
the first record and after the last), the records with their lengths, and a BLAKE2b of all that. It is only
ever seen whole: written beside, synced, read back from the disk and compared, and then renamed.
"""

from __future__ import annotations

import os
import re
import struct
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

from exchange.adapters.durable import sync_directory, write_synced
from exchange.adapters.records import JournalCorrupt, chain_hash, decode_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["ARCHIVE_FORMAT", "Archive", "ArchiveCorrupt", "Part"]

ARCHIVE_FORMAT: Final = 1

_MAGIC: Final = b"EXAR"
_HASH_BYTES: Final = 32
_HEAD: Final = struct.Struct(">4sIQQ32s32s")
_LENGTH: Final = struct.Struct(">I")
_SUFFIX: Final = ".records"
_PARTIAL: Final = ".partial"
_NAME: Final = re.compile(r"(\d+)-(\d+)\.records")


class ArchiveCorrupt(Exception):
    """Raised when a file of the archive is not what was written, or does not fit the journal."""


class Part(NamedTuple):
    """Name one file of an archive by the records that it holds."""

    path: Path
    first: int
    last: int


class Archive:
    """Keep the records of one venue in a directory, which is made when something is written."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def parts(self) -> list[Part]:
        """Return the files by their first record; what they hold is not looked at."""
        if not self.directory.is_dir():
            return []
        names = [(path, _NAME.fullmatch(path.name)) for path in self.directory.iterdir()]
        return sorted(
            (Part(path, int(name[1]), int(name[2])) for path, name in names if name), key=lambda part: part[1:]
        )

    def end(self) -> tuple[int, bytes] | None:
        """Return the last record that is archived and the chain hash after it; None for an empty archive.

        Raises:
            ArchiveCorrupt: the newest file is damaged.
            OSError: it cannot be read.
        """
        parts = self.parts()
        if not parts:
            return None
        newest = max(parts, key=lambda part: part.last)
        return newest.last, _check(newest, newest.path.read_bytes())[1]

    def tidy(self) -> None:
        """Remove what a writer that was killed left behind."""
        for partial in self.directory.glob(f"*{_PARTIAL}"):
            partial.unlink(missing_ok=True)

    def write(self, first: int, bodies: list[bytes]) -> Part:
        """Store consecutive records; return once they are on the disk and were read back from it.

        Raises:
            ArchiveCorrupt: what was read back is not what was written.
            JournalCorrupt: the records do not follow each other.
            OSError: they cannot be written.
        """
        last = first + len(bodies) - 1
        data = _encode(first, last, bodies)
        part = Part(self.directory / f"{first}-{last}{_SUFFIX}", first, last)
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Whoever archives the same records at the same time writes a file of its own.
        partial = self.directory / f"{part.path.name}.{os.getpid()}{_PARTIAL}"
        try:
            _write_and_compare(partial, data)
            partial.rename(part.path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_directory(self.directory)
        return part

    def read(self, first: int = 1) -> Iterator[tuple[int, bytes]]:
        """Yield the index and body of every record from ``first`` to the end, without a gap.

        Raises:
            ArchiveCorrupt: a file is damaged, or records are missing.
            OSError: a file cannot be read.
        """
        expected = first
        for part in self.parts():
            if part.last < expected:
                continue
            if part.first > expected:
                missing = (
                    f"record {expected} is"
                    if part.first == expected + 1
                    else f"records {expected} to {part.first - 1} are"
                )
                message = f"{missing} missing: {part.path} begins with record {part.first}"
                raise ArchiveCorrupt(message)
            bodies, _ = _check(part, part.path.read_bytes())
            yield from enumerate(bodies[expected - part.first :], expected)
            expected = part.last + 1


def _name_range(first: int, last: int) -> str:
    return f"record {first} is" if first == last else f"records {first} to {last} are"


def _write_and_compare(path: Path, data: bytes) -> None:
    write_synced(path, data)
    if path.read_bytes() != data:
        message = f"{path}: what was read back is not what was written; the disk may be failing"
        raise ArchiveCorrupt(message)


def _encode(first: int, last: int, bodies: list[bytes]) -> bytes:
    before = after = decode_record(bodies[0]).previous_hash
    for index, body in enumerate(bodies, first):
        record = decode_record(body)
        if record.index != index or record.previous_hash != after:
            message = f"record {record.index} does not chain to the record before it"
            raise JournalCorrupt(message)
        after = chain_hash(after, body)
    parts = [_HEAD.pack(_MAGIC, ARCHIVE_FORMAT, first, last, before, after)]
    for body in bodies:
        parts += (_LENGTH.pack(len(body)), body)
    data = b"".join(parts)
    return data + blake2b(data, digest_size=_HASH_BYTES).digest()


def _check(part: Part, data: bytes) -> tuple[list[bytes], bytes]:
    """Return the records in a file, and the chain hash after the last.

    Raises:
        ArchiveCorrupt: they are not those that were written.
    """
    whole = memoryview(data)[:-_HASH_BYTES]
    if len(data) < _HEAD.size + _HASH_BYTES or blake2b(whole, digest_size=_HASH_BYTES).digest() != data[-_HASH_BYTES:]:
        message = f"{part.path}: its {len(data)} bytes do not have the hash that was written with them"
        raise ArchiveCorrupt(message)
    magic, found, first, last, _, after = _HEAD.unpack_from(data)
    if magic != _MAGIC or found != ARCHIVE_FORMAT:
        message = f"{part.path}: it has format {found}; this version reads {ARCHIVE_FORMAT}"
        raise ArchiveCorrupt(message)
    if (first, last) != (part.first, part.last):
        message = f"{part.path}: it holds records {first} to {last}, not those of its name"
        raise ArchiveCorrupt(message)
    bodies = []
    at = _HEAD.size
    while at < len(whole):
        (size,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        bodies.append(data[at : at + size])
        at += size
    return bodies, after

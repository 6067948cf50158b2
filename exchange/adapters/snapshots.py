"""Keep snapshots: the whole state after one record, so that a start need not replay the journal from its first.

A snapshot is a file named after its record. It holds MessagePack, followed by its BLAKE2b, and is only
ever seen whole: it is written beside, synced, read back and proved, and then renamed.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from exchange.adapters.crash_points import crash_point
from exchange.adapters.durable import sync_directory, write_synced
from exchange.messages.orders import Trade

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "MIGRATIONS",
    "SNAPSHOT_FORMAT",
    "Snapshot",
    "SnapshotCorrupt",
    "SnapshotStore",
    "decode_snapshot",
    "encode_snapshot",
]

SNAPSHOT_FORMAT: Final = 4
"""The layout of the state; a version that cannot read it replays the journal instead."""

_STATE_HASH, _STATE = 5, 6
"""Where they stand among the fields."""


def _dump_anew(fields: list[Any]) -> list[Any]:
    """Bring the state to the present layout: what is new since then begins empty, or as its default says."""
    from exchange.engine import Engine, hash_state

    engine = Engine()
    engine.load(fields[_STATE])
    state = engine.dump()
    migrated = [SNAPSHOT_FORMAT, *fields[1:]]
    migrated[_STATE], migrated[_STATE_HASH] = state, hash_state(state)
    return migrated


MIGRATIONS: Final[dict[int, Callable[[list[Any]], list[Any]]]] = {2: _dump_anew, 3: _dump_anew}
"""How the fields of a snapshot of one format become those of a later one, ``format`` among them. What has none is
replayed instead: all there was before a release, for one."""


_written: Final = crash_point("snapshot_written")
_renamed: Final = crash_point("snapshot_renamed")

_HASH_BYTES: Final = 32
_SUFFIX: Final = ".snapshot"
_PARTIAL: Final = ".partial"

log = structlog.get_logger(__name__)


class SnapshotCorrupt(Exception):
    """Raised when a snapshot is not what was written, or this version cannot read it."""


class Snapshot(msgspec.Struct, array_like=True, frozen=True):
    """Hold the state of a venue after record ``index``, whose chain hash is ``hash``.

    ``state`` is what the engine dumped and ``state_hash`` its hash; ``events`` and ``trades`` are the
    recent ones, which are no state but would be missed.
    """

    format: int
    version: str
    incarnation: int
    index: int
    hash: bytes
    state_hash: str
    state: bytes
    events: list[tuple[str, int, int, bytes]]
    trades: list[Trade]


class _Head(msgspec.Struct, array_like=True):
    """Read the first field only: what follows may be of another format."""

    format: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Snapshot).decode
_decode_head = msgspec.msgpack.Decoder(_Head).decode


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Return the bytes of a snapshot's file."""
    body = _encode(snapshot)
    return body + _hash(body)


def decode_snapshot(data: bytes) -> Snapshot:
    """Return the snapshot in the bytes of a file.

    Raises:
        SnapshotCorrupt: they are not those that were written, or of a format that this version cannot read.
    """
    body: bytes | memoryview = memoryview(data)[:-_HASH_BYTES]
    if not _is_whole(data):
        message = f"its {len(data)} bytes do not have the hash that was written with them"
        raise SnapshotCorrupt(message)
    try:
        found = _decode_head(body).format
        if found in MIGRATIONS:
            body, found = _migrate(body, found)
        if found != SNAPSHOT_FORMAT:
            message = f"it has format {found}; this version reads {SNAPSHOT_FORMAT}"
            raise SnapshotCorrupt(message)
        return _decode(body)
    except (msgspec.DecodeError, ValueError) as error:
        message = f"it cannot be read: {error}"
        raise SnapshotCorrupt(message) from error


def _migrate(body: bytes | memoryview, found: int) -> tuple[bytes, int]:
    """Bring a snapshot of an older format as far as there are migrations."""
    fields = msgspec.msgpack.decode(body)
    while found in MIGRATIONS:
        fields = MIGRATIONS[found](fields)
        found = fields[0]
    return _encode(fields), found


def _is_whole(data: bytes) -> bool:
    return len(data) > _HASH_BYTES and _hash(memoryview(data)[:-_HASH_BYTES]) == data[-_HASH_BYTES:]


def _is_readable(data: bytes) -> bool:
    try:
        found = _decode_head(memoryview(data)[:-_HASH_BYTES]).format
    except (msgspec.DecodeError, ValueError):
        return False
    return found == SNAPSHOT_FORMAT or found in MIGRATIONS


def _hash(body: bytes | memoryview) -> bytes:
    return blake2b(body, digest_size=_HASH_BYTES).digest()


class SnapshotStore:
    """Keep the newest snapshots of a venue in a directory."""

    def __init__(self, directory: Path, *, keep: int = 2) -> None:
        self.directory = directory
        self._keep = keep

    def indexes(self) -> list[int]:
        """Return the records of which there are snapshots, the newest first; they may be corrupt."""
        if not self.directory.is_dir():
            return []
        names = [path.stem for path in self.directory.glob(f"*{_SUFFIX}")]
        return sorted((int(name) for name in names if name.isdecimal()), reverse=True)

    def path(self, index: int) -> Path:
        """Return the file of the snapshot after record ``index``."""
        return self.directory / f"{index}{_SUFFIX}"

    def read(self, index: int) -> Snapshot:
        """Return one snapshot.

        Raises:
            SnapshotCorrupt: it is damaged.
            OSError: it cannot be read.
        """
        return decode_snapshot(self.path(index).read_bytes())

    def good_ones(self) -> Iterator[Snapshot]:
        """Yield the readable snapshots, the newest first; warn of the others, which stay where they are."""
        for index in self.indexes():
            try:
                snapshot = self.read(index)
            except (SnapshotCorrupt, OSError) as error:
                log.warning("snapshot skipped", file=str(self.path(index)), error=str(error))
                continue
            yield snapshot

    def write(self, snapshot: Snapshot, prove: Callable[[Snapshot], None] = lambda _snapshot: None) -> Path:
        """Store a snapshot, and drop those that are older than the ones to keep.

        ``prove`` gets what was read back from the file and raises if it does not stand for the state.
        """
        self.directory.mkdir(mode=0o700, exist_ok=True)
        path = self.path(snapshot.index)
        partial = path.with_suffix(_PARTIAL)
        try:
            write_synced(partial, encode_snapshot(snapshot))
            prove(decode_snapshot(partial.read_bytes()))
            _written()
            partial.rename(path)
            _renamed()
        except BaseException:
            # On a full disk, what could be written of it is in everybody's way.
            partial.unlink(missing_ok=True)
            raise
        sync_directory(self.directory)
        self._drop_old()
        return path

    def adopt(self, index: int, data: bytes) -> Path:
        """Store the bytes of a snapshot that was kept elsewhere; a damaged file of the same name makes room.

        Raises:
            SnapshotCorrupt: they are damaged, or of another record.
        """
        if (found := decode_snapshot(data).index) != index:
            message = f"it was taken after record {found}, not {index}"
            raise SnapshotCorrupt(message)
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.path(index)
        partial = path.with_suffix(_PARTIAL)
        try:
            write_synced(partial, data)
            partial.rename(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_directory(self.directory)
        return path

    def whole_ones(self) -> Iterator[int]:
        """Yield the records of the snapshots that a start can use, the newest first.

        Their bytes are those that were written, in a format that this version reads.
        """
        for index in self.indexes():
            try:
                data = self.path(index).read_bytes()
            except OSError:
                continue
            if _is_whole(data) and _is_readable(data):
                yield index

    def _drop_old(self) -> None:
        """Keep the newest; a damaged one does not count as one of them."""
        kept = 0
        for index in self.indexes():
            path = self.path(index)
            if kept >= self._keep:
                path.unlink(missing_ok=True)
            elif _is_whole(path.read_bytes()):
                kept += 1

    def tidy(self) -> None:
        """Remove what a writer that was killed left behind."""
        for partial in self.directory.glob(f"*{_PARTIAL}"):
            partial.unlink(missing_ok=True)

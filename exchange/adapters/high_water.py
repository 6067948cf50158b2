"""Remember locally how far the journal got, to notice when it comes back shorter or different."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final
from zlib import crc32

__all__ = ["HighWaterFile"]

_SLOT: Final = struct.Struct(">4sQ32sI")
_MAGIC: Final = b"EXHW"
_SLOT_BYTES: Final = 512
"""Each of the two slots has a sector of its own, so a torn write spoils one at most."""


class HighWaterFile:
    """Keep the highest acknowledged (index, chain hash) in a small file.

    It is written after every acknowledgement but not synced: it must survive the death of the
    daemon, which the page cache does; after a power loss it may be behind, which does no harm.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def read(self) -> tuple[int, bytes] | None:
        """Return the highest (index, chain hash) that was written, or None in a new file."""
        best: tuple[int, bytes] | None = None
        for slot in (0, 1):
            data = os.pread(self._file, _SLOT.size, slot * _SLOT_BYTES)
            if len(data) < _SLOT.size:
                continue
            magic, index, chain_hash, check = _SLOT.unpack(data)
            is_whole = magic == _MAGIC and check == crc32(data[:-4])
            if is_whole and (best is None or index > best[0]):
                best = (index, chain_hash)
        return best

    def write(self, index: int, chain_hash: bytes) -> None:
        """Write the position of an acknowledged record over the older of the two slots."""
        data = _SLOT.pack(_MAGIC, index, chain_hash, 0)[:-4]
        os.pwrite(self._file, data + crc32(data).to_bytes(4, "big"), index % 2 * _SLOT_BYTES)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

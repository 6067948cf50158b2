"""Flip single bits in files, as a failing disk or memory does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

__all__ = ["flip_bit", "journal_blocks"]


def flip_bit(path: Path, random: Random) -> str:
    """Flip one bit somewhere in a file; say which."""
    data = bytearray(path.read_bytes())
    at, bit = random.randrange(len(data)), random.randrange(8)
    data[at] ^= 1 << bit
    path.write_bytes(data)
    return f"bit {bit} of byte {at} of {path.name}"


def journal_blocks(store: Path) -> list[Path]:
    """Return the files with the records in the store of a nats-server, the oldest first."""
    files = [path for path in store.rglob("streams/JOURNAL/msgs/*.blk") if path.stat().st_size]
    return sorted(files, key=lambda path: int(path.stem))

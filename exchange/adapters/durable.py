"""Write large files without standing in the way of small ones."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["sync_directory", "write_synced"]

_STEP_BYTES: Final = 1024 * 1024


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and return once it is on the disk.

    It is synced every megabyte: whoever syncs another file meanwhile, as the journal does for every record,
    waits for no more than that.
    """
    view = memoryview(data)
    with path.open("wb", buffering=0) as file:
        for at in range(0, len(view), _STEP_BYTES):
            left = view[at : at + _STEP_BYTES]
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        _forget_cached(file.fileno())


def _forget_cached(descriptor: int) -> None:
    """Let what is read next come from the disk and not from memory, where the system can be told so."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def sync_directory(directory: Path) -> None:
    """Make a new name durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

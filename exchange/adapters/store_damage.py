"""Look into JetStream's files for the damage at which nats-server hangs instead of saying what is wrong.

A bit that flips in the sequence of a stored message can leave a gap of 2⁴⁰ behind it, which nats-server fills in
memory, message by message. Its format is read as far as it is known; what is not, is left to the server.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["find_damage"]

_HEAD: Final = struct.Struct("<IQqH")
"""Length of the whole, sequence, time, length of the subject."""

_LENGTH: Final = (1 << 31) - 1
_SEQUENCE: Final = (1 << 62) - 1
"""The bits above are flags: the message has headers; it was deleted."""

_CHECKSUM_BYTES: Final = 8
_GAP_MAX: Final = 1_000_000


def find_damage(store: Path, stream: str) -> str | None:
    """Return where the sequences of a stream's messages leap, None when they do not as far as can be read."""
    previous: int | None = None
    blocks = store.rglob(f"streams/{stream}/msgs/*.blk")
    for block in sorted(blocks, key=lambda path: int(path.stem) if path.stem.isdecimal() else 0):
        for at, sequence in _sequences(block.read_bytes()):
            if previous is not None and abs(sequence - previous) > _GAP_MAX:
                return f"at byte {at} of {block} message {sequence} follows message {previous}"
            previous = sequence
    return None


def _sequences(data: bytes) -> list[tuple[int, int]]:
    """Return the offset and the sequence of every message in a block; none if they do not fill it."""
    found, at = [], 0
    while at < len(data):
        if at + _HEAD.size > len(data):
            return []
        length, sequence, _, subject = _HEAD.unpack_from(data, at)
        length &= _LENGTH
        if length < _HEAD.size + subject + _CHECKSUM_BYTES:
            return []
        found.append((at, sequence & _SEQUENCE))
        at += length
    return found if at == len(data) else []

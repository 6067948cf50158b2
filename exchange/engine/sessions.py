"""Remember what became of commands, so that no id is ever executed twice."""

from __future__ import annotations

from typing import Final
from zlib import crc32

from exchange.messages.base import WINDOW_OUTCOMES

__all__ = ["FORGET_AFTER_US", "Remembered", "Session", "digest_of"]

FORGET_AFTER_US: Final = 600_000_000
"""A session may be forgotten 10 minutes after the last ``valid_until_us`` that it used."""

_MASK: Final = WINDOW_OUTCOMES - 1


Remembered = tuple[int, int, bytes]
"""The ``n`` of a command, its digest, its encoded outcome."""

digest_of = crc32
"""Digest a command's canonical bytes.

It tells an honest repetition from an id that an agent reused by mistake. A collision could only be
contrived by the agent itself, and all it would get is its own earlier outcome, so 32 bits do; a
cryptographic digest takes three times as long on the way of every order.
"""


class Session:
    """Remember the last 1,024 outcomes of one session of one agent, in a ring by ``n``."""

    __slots__ = ("highest", "last_valid_until_us", "ring")

    def __init__(self) -> None:
        self.highest = 0
        self.last_valid_until_us = 0
        # Grows up to the window, so that short sessions stay small.
        self.ring: list[Remembered | None] = []

    def find(self, n: int) -> Remembered | None:
        """Return what is remembered of command ``n``, if anything."""
        slot = n & _MASK
        ring = self.ring
        if slot < len(ring):
            found = ring[slot]
            if found is not None and found[0] == n:
                return found
        return None

    def is_forgotten(self, n: int) -> bool:
        """Return whether ``n`` is older than the window."""
        return n <= self.highest - WINDOW_OUTCOMES

    def remember(self, n: int, digest: int, outcome: bytes, valid_until_us: int) -> None:
        """Keep the outcome of command ``n``; what is a window older gives way."""
        slot = n & _MASK
        ring = self.ring
        size = len(ring)
        if slot < size:
            ring[slot] = (n, digest, outcome)
        else:
            if slot > size:
                ring += [None] * (slot - size)
            ring.append((n, digest, outcome))
        if n > self.highest:  # noqa: PLR1730 - max() costs more, on the way of every order
            self.highest = n
        if valid_until_us > self.last_valid_until_us:  # noqa: PLR1730 - as before
            self.last_valid_until_us = valid_until_us

    def dump(self) -> list[object]:
        """Return the state as plain data, for hashes and snapshots."""
        oldest = self.highest - WINDOW_OUTCOMES
        kept = sorted(entry for entry in self.ring if entry is not None and entry[0] > oldest)
        return [self.highest, self.last_valid_until_us, [list(entry) for entry in kept]]

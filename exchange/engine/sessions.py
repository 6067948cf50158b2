"""Remember what became of commands, so that no id is ever executed twice."""

from __future__ import annotations

from array import array
from typing import Any, Final
from zlib import crc32

from exchange.messages.base import MAX_AMOUNT, WINDOW_OUTCOMES

__all__ = ["FORGET_AFTER_US", "Remembered", "Session", "digest_of"]

FORGET_AFTER_US: Final = 600_000_000
"""A session may be forgotten 10 minutes after the last ``valid_until_us`` that it used."""

_MASK: Final = WINDOW_OUTCOMES - 1

Remembered = tuple[int, bytes]
"""The digest of a command, and its encoded outcome."""

digest_of: Final = crc32
"""Digest a command's canonical bytes.

It tells an honest repetition from an id that an agent reused by mistake. A collision could only be
contrived by the agent itself, and all it would get is its own earlier outcome, so 32 bits do; a
cryptographic digest takes three times as long on the way of every order.
"""


class Session:
    """Remember the last 1,024 outcomes of one session of one agent, in a ring by ``n``.

    There are many of these and what lies in them is cold, so an entry is one object: ``n`` follows
    from its place, and the digests lie side by side in an array.
    """

    __slots__ = ("_digests", "_outcomes", "_prefix", "highest", "last_valid_until_us", "next_id")

    def __init__(self, name: str) -> None:
        self._prefix = name + "."
        self.highest = 0
        self.next_id = self._prefix + "1"
        """The id of the command after the highest: whoever comes with it need not be looked up."""
        self.last_valid_until_us = 0
        # Both grow up to the window, so that short sessions stay small.
        self._outcomes: list[bytes | None] = []
        self._digests = array("I")

    def find(self, n: int) -> Remembered | None:
        """Return what is remembered of command ``n``, if anything."""
        if n < 1 or n > self.highest or self.is_forgotten(n):
            return None
        slot = (n - 1) & _MASK
        outcome = self._outcomes[slot]
        return None if outcome is None else (self._digests[slot], outcome)

    def is_forgotten(self, n: int) -> bool:
        """Return whether ``n`` is older than the window; what is no number of a command never was in it."""
        return 0 < n <= self.highest - WINDOW_OUTCOMES

    def remember(self, n: int, digest: Any, outcome: bytes, valid_until_us: int) -> None:
        """Keep the outcome of command ``n``, which is not forgotten; what is a window older gives way."""
        slot = (n - 1) & _MASK
        if n > self.highest:
            if n > self.highest + 1:
                self._skip_to(n)
            self.highest = n
            self._expect_next()
        if slot < len(self._outcomes):
            self._outcomes[slot] = outcome
            self._digests[slot] = digest
        else:
            self._outcomes.append(outcome)
            self._digests.append(digest)
        if valid_until_us > self.last_valid_until_us:  # noqa: PLR1730 - max() costs more, on the way of every order
            self.last_valid_until_us = valid_until_us

    def _skip_to(self, n: int) -> None:
        """Leave the numbers between the highest and ``n`` open: they were overtaken and may still come."""
        outcomes = self._outcomes
        for skipped in range(max(self.highest, n - WINDOW_OUTCOMES) + 1, n):
            slot = (skipped - 1) & _MASK
            while slot >= len(outcomes):
                outcomes.append(None)
                self._digests.append(0)
            outcomes[slot] = None

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave; nothing may be remembered yet."""
        self.highest, self.last_valid_until_us, kept = state
        size = min(self.highest, WINDOW_OUTCOMES)
        self._outcomes = [None] * size
        self._digests = array("I", bytes(self._digests.itemsize * size))
        for n, digest, outcome in kept:
            slot = (n - 1) & _MASK
            self._outcomes[slot] = outcome
            self._digests[slot] = digest
        self._expect_next()

    def _expect_next(self) -> None:
        # The last number of all has no successor.
        self.next_id = self._prefix + str(self.highest + 1) if self.highest < MAX_AMOUNT else ""

    def dump(self) -> list[object]:
        """Return the state as plain data, for hashes and snapshots."""
        kept = []
        for n in range(max(self.highest - WINDOW_OUTCOMES, 0) + 1, self.highest + 1):
            found = self.find(n)
            if found is not None:
                kept.append([n, *found])
        return [self.highest, self.last_valid_until_us, kept]

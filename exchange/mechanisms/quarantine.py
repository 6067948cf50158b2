"""Remember the commands that broke the engine, so that nobody runs them again. State, given by journaled commands."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final, NamedTuple

__all__ = ["STRIKES_MAX", "Quarantine", "Quarantined", "quarantine_digest"]

STRIKES_MAX: Final = 3
"""An owner with so many poisonous commands in a family is refused there; so many owners suspend the family."""

_ENTRIES_MAX: Final = 4_096
"""The oldest give way: their ``valid_until_us`` has long passed, so they cannot run again anyway."""

_ADMIN: Final = "admin"
"""Whoever is to undo all this must be heard, so in this family only the commands themselves are refused."""


def quarantine_digest(agent: str, body: bytes) -> str:
    """Name one command of one agent, by its canonical bytes."""
    return blake2b(agent.encode() + b"\0" + body, digest_size=16).hexdigest()


class Quarantined(NamedTuple):
    """Hold what is known of one command: who sent it, and what came of running it.

    ``is_certain``: it is the one; otherwise one of a batch of which nobody could tell which.
    """

    digest: str
    agent: str
    owner: str
    command_id: str
    tag: str
    error: str
    time_us: int
    is_certain: bool

    @property
    def family(self) -> str:
        """The family of the command."""
        return self.tag.partition(".")[0]


class Quarantine:
    """Hold the quarantined commands by digest; asking costs next to nothing for whom none of them concerns."""

    def __init__(self) -> None:
        self.entries: dict[str, Quarantined] = {}
        self._senders: dict[str, int] = {}
        self._strikes: dict[tuple[str, str], int] = {}
        """How many commands of a family certainly were an owner's."""

    def add(self, entry: Quarantined) -> None:
        """Take a command in that is not here yet; the oldest gives way when there are too many."""
        self.entries[entry.digest] = entry
        self._count(entry, 1)
        if len(self.entries) > _ENTRIES_MAX:
            self.release(next(iter(self.entries)))

    def release(self, digest: str) -> bool:
        """Let a command go; return whether it was here."""
        entry = self.entries.pop(digest, None)
        if entry is None:
            return False
        self._count(entry, -1)
        return True

    def _count(self, entry: Quarantined, by: int) -> None:
        self._senders[entry.agent] = self._senders.get(entry.agent, 0) + by
        if entry.is_certain:
            key = (entry.owner, entry.family)
            self._strikes[key] = self._strikes.get(key, 0) + by

    def owners(self, family: str) -> int:
        """Return how many owners' commands of a family are here for certain."""
        return sum(count > 0 and key[1] == family for key, count in self._strikes.items())

    def concerns(self, agent: str, owner: str, family: str) -> bool:
        """Return whether a command of this agent could be refused."""
        return bool(self._senders.get(agent)) or self._is_out(owner, family)

    def _is_out(self, owner: str, family: str) -> bool:
        return family != _ADMIN and self._strikes.get((owner, family), 0) >= STRIKES_MAX

    def find(self, agent: str, owner: str, family: str, body: bytes) -> str | None:
        """Return why a command must not run; None if it may."""
        entry = self.entries.get(quarantine_digest(agent, body))
        if entry is not None:
            return f"this command broke the venue before, as {entry.digest}; an operator may release it"
        if self._is_out(owner, family):
            return f"{STRIKES_MAX} {family} commands of owner {owner} broke the venue; an operator may release them"
        return None

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        for fields in state:
            self.add(Quarantined(*fields))

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [list(entry) for entry in self.entries.values()]

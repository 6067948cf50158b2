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
    """Hold the quarantined commands by digest."""

    def __init__(self) -> None:
        self.entries: dict[str, Quarantined] = {}

    def add(self, entry: Quarantined) -> None:
        """Take a command in; the oldest gives way when there are too many."""
        self.entries[entry.digest] = entry
        if len(self.entries) > _ENTRIES_MAX:
            del self.entries[next(iter(self.entries))]

    def strikes(self, owner: str, family: str) -> int:
        """Return how many commands of a family are here that certainly were this owner's."""
        return sum(
            entry.is_certain and entry.owner == owner and entry.family == family for entry in self.entries.values()
        )

    def owners(self, family: str) -> int:
        """Return how many owners' commands of a family are here for certain."""
        certain = [entry.owner for entry in self.entries.values() if entry.is_certain and entry.family == family]
        return len(dict.fromkeys(certain))

    def find(self, agent: str, owner: str, family: str, body: bytes) -> str | None:
        """Return why a command must not run; None if it may."""
        entry = self.entries.get(quarantine_digest(agent, body))
        if entry is not None:
            return f"this command broke the venue before, as {entry.digest}; an operator may release it"
        if family != _ADMIN and self.strikes(owner, family) >= STRIKES_MAX:
            return f"{STRIKES_MAX} {family} commands of owner {owner} broke the venue; an operator may release them"
        return None

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        self.entries = {entry[0]: Quarantined(*entry) for entry in state}

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [list(entry) for entry in self.entries.values()]

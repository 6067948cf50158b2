"""Lay out the data directory of a venue."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from exchange.adapters.crash_points import crash_point
from exchange.adapters.credentials import Keyring
from exchange.adapters.embedded_server import auth_config

__all__ = ["OPERATOR", "VenueFiles"]

_keys_written: Final = crash_point("keys_written")

OPERATOR: Final = "operator"
"""The agent id of the first operator, unless told otherwise."""


class VenueFiles:
    """Name the files of a venue's data directory."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.keys = data / "keys"
        self.creds = data / "creds"
        self.nats = data / "nats"
        self.high_water = data / "high-water"
        self.snapshots = data / "snapshots"
        self.poison = data / "poison.json"
        self.accept_time = data / "accept-time"
        """Stands where an operator has said, for one start, that the clock is right."""
        self.creating = data / "creating"
        """Stands while a venue is being created, and names its first operator; a killed start goes on from it."""

    def exists(self) -> bool:
        """Return whether a venue was created here."""
        return (self.keys).is_dir()

    def agent_creds(self, agent: str) -> Path:
        """Return where the credential of an agent is written by default."""
        return self.creds / f"{agent}.creds"

    def create_keyring(self, operator: str = OPERATOR) -> Keyring:
        """Create the keys of a venue and the credential of its first operator.

        From here until ``finish_creation`` a start may create the journal, and only then: a journal
        that is missing later is lost, not new.
        """
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.creating.write_text(operator, encoding="utf-8")
        _sync(self.creating)
        keyring = Keyring.load(self.keys) if self.exists() else Keyring.create(self.keys)
        self.creds.mkdir(exist_ok=True, mode=0o700)
        keyring.write_agent_creds(operator, self.agent_creds(operator))
        _keys_written()
        return keyring

    def write_trust(self, keyring: Keyring) -> None:
        """Write `auth.conf`, from which a server learns whom to trust: signed claims, no secrets.

        Where the accounts were made elsewhere, the servers know them from there.
        """
        if keyring.is_imported:
            return
        (self.data / "auth.conf").write_text(auth_config(keyring), encoding="utf-8")

    def creating_operator(self) -> str | None:
        """Return the first operator of a venue that is still being created, None of one that is not."""
        try:
            return self.creating.read_text(encoding="utf-8") or OPERATOR
        except FileNotFoundError:
            return None

    def finish_creation(self) -> None:
        """Say that the genesis is durable."""
        self.creating.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Write a file through to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

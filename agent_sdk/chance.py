"""Draw what nobody may guess, and by how much to spread what must not come all at once."""

from __future__ import annotations

import random
import secrets
import string
from typing import Final

__all__ = ["Chance"]

_ALPHABET: Final = string.ascii_letters + string.digits
_TOKEN_LENGTH: Final = 12


class Chance:
    """Be the only source of randomness in this SDK: a run that must repeat hands in one that is seeded."""

    def token(self) -> str:
        """Return 12 letters and digits that nobody can guess: 71 bits."""
        return "".join(secrets.choice(_ALPHABET) for _ in range(_TOKEN_LENGTH))

    def spread(self, lowest: float, highest: float) -> float:
        """Return a factor between two, for pauses that many agents would otherwise end at the same moment."""
        return random.uniform(lowest, highest)  # noqa: S311 - spreads in time

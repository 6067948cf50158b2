"""Draw panels: by stake, without replacement, one seat per owner, from a hash."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

__all__ = ["Candidate", "draw", "odd_size"]


class Candidate(NamedTuple):
    """Be somebody who may be drawn, with a weight above 0."""

    agent: str
    owner: str
    weight: int


def draw(candidates: list[Candidate], seats: int, seed: bytes) -> list[Candidate]:
    """Draw up to ``seats`` candidates of as many owners, each in proportion to its weight among those that are left.

    All that counts is the seed and the order of the candidates.
    """
    drawn: list[Candidate] = []
    left = candidates
    while left and len(drawn) < seats:
        digest = blake2b(seed + len(drawn).to_bytes(4, "big"), digest_size=64).digest()
        ticket = int.from_bytes(digest, "big") % sum(candidate.weight for candidate in left)
        chosen = _holder_of(ticket, left)
        drawn.append(chosen)
        left = [candidate for candidate in left if candidate.owner != chosen.owner]
    return drawn


def _holder_of(ticket: int, candidates: list[Candidate]) -> Candidate:
    for candidate in candidates:
        ticket -= candidate.weight
        if ticket < 0:
            return candidate
    message = "the ticket is above all weights"
    raise AssertionError(message)


def odd_size(wanted: int, owners: int) -> int:
    """Return the largest odd number of seats up to ``wanted`` that so many owners can fill; 0 without any."""
    size = min(wanted, owners)
    return size if size % 2 or not size else size - 1

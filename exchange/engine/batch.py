"""Name what goes into the engine and what comes out of it."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from exchange.messages.base import Command

if TYPE_CHECKING:
    from exchange.messages.orders import Trade

__all__ = ["AgentEvents", "Batch", "Outputs", "Submission"]


Submission = tuple[str, Command, bytes]
"""One command of a batch: who sent it, what it says, its canonical bytes.

A plain tuple, because those are made and taken apart without a call, and this is done per order.
"""


class Batch(msgspec.Struct, frozen=True):
    """Hold what one journal record says happened, at one venue time."""

    epoch: int
    index: int
    time_us: int
    submissions: list[Submission]


class AgentEvents(NamedTuple):
    """Hold the events of one batch for one agent: ``events`` is their encoded JSON array."""

    agent: str
    first: int
    total: int
    events: bytes


class Outputs(NamedTuple):
    """Hold what may leave once the batch is durable."""

    outcomes: list[bytes]
    """One encoded outcome per submission, in order."""
    events: list[AgentEvents]
    trades: list[Trade]
    markets: list[Any]
    """The markets whose public view changed, in order of change."""
    rejections: dict[str, int]
    """How many commands each reason rejected."""

    def digest(self) -> bytes:
        """Return the hash over the encoded outcomes and events: what a replay must reproduce."""
        hasher = blake2b(b"\n".join(self.outcomes), digest_size=32)
        for events in self.events:
            hasher.update(b"\n%b %d " % (events.agent.encode(), events.first))
            hasher.update(events.events)
        return hasher.digest()

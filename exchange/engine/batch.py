"""Name what goes into the engine and what comes out of it."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Raw

from exchange.messages.base import Command

if TYPE_CHECKING:
    from exchange.messages.orders import Trade

__all__ = ["AgentEvents", "Batch", "Outputs", "Submission"]


Submission = tuple[str, Command, bytes | Raw]
"""One command of a batch: who sent it, what it says, its canonical bytes (of a replay, where the record has them).

A plain tuple, because those are made and taken apart without a call, and this is done per order.
"""


class Batch:
    """Hold what one journal record says happened, at one venue time."""

    __slots__ = ("epoch", "index", "previous_hash", "submissions", "time_us")

    def __init__(
        self, epoch: int, index: int, time_us: int, submissions: list[Submission], previous_hash: bytes = b""
    ) -> None:
        self.epoch = epoch
        self.index = index
        self.time_us = time_us
        self.submissions = submissions
        self.previous_hash = previous_hash
        """The chain hash of the record before: chance, for the rules that need some."""


AgentEvents = tuple[str, int, int, bytes]
"""The events of one batch for one agent: the agent, the first ``seq``, how many, their encoded JSON array."""


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
        """Return the SHA-256 of the encoded outcomes and events: what a replay must reproduce.

        Processors have instructions for it, so it takes half the time of BLAKE2; one call for all of
        it costs less than one per agent.
        """
        parts = [*self.outcomes]
        for agent, first, _, events in self.events:
            parts += (b"%b %d" % (agent.encode(), first), events)
        return sha256(b"\n".join(parts)).digest()

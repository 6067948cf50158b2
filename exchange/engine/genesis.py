"""Make the first batch of a venue."""

from __future__ import annotations

import msgspec

from exchange.engine.batch import Batch
from exchange.messages.admin import Genesis, Settings
from exchange.messages.base import VENUE_AGENT

__all__ = ["DEFAULT_SUPPLY", "genesis_batch"]

DEFAULT_SUPPLY = 1_000_000_000_000_000
"""One thousand million credits, in the credit's smallest unit."""


def genesis_batch(operator: str, time_us: int, supply: int = DEFAULT_SUPPLY, settings: Settings | None = None) -> Batch:
    """Return record 1: the supply of credits, the first operator, the settings."""
    command = Genesis(
        id="genesis.1",
        valid_until_us=time_us,
        supply=supply,
        operator=operator,
        settings=settings or Settings(),
    )
    body = msgspec.msgpack.encode(command)
    return Batch(epoch=0, index=1, time_us=time_us, submissions=[(VENUE_AGENT, command, body)])

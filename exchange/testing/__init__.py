"""Test agents without a server: the real exchange in memory.

``LocalExchange`` gives the SDK's ``Agent`` over the real gateway and engine, with time in the test's
hand. ``Venue`` drives the engine alone, a batch per call, with proofs after every command.
"""

from __future__ import annotations

from exchange.testing.local import LocalExchange
from exchange.testing.venue import (
    OPERATOR,
    SECOND_US,
    START_US,
    Answer,
    Venue,
    assert_rejected,
    brief,
    encode_command,
)

__all__ = [
    "OPERATOR",
    "SECOND_US",
    "START_US",
    "Answer",
    "LocalExchange",
    "Venue",
    "assert_rejected",
    "brief",
    "encode_command",
]

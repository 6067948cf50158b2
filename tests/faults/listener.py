"""Hear an agent's events and much market data in a process of its own, which a test freezes.

``python -m tests.faults.listener URL CREDS OUT`` writes a line of JSON for every event and every gap.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from agent_sdk import Gap, connect
from agent_sdk.nats_transport import NatsTransport

__all__ = ["FEEDS", "Heard"]

FEEDS = 20
"""So many times it hears all market data: a server's queue for it grows that much faster."""


class Heard(msgspec.Struct):
    """Hold the number of one event, or the first and last of a gap."""

    first: int
    last: int
    is_gap: bool


async def main(url: str, creds: str, out: Path) -> None:
    """Listen until killed."""
    transport = NatsTransport(url, creds)
    async with connect(transport=transport) as agent:
        for _ in range(FEEDS):
            await transport.subscribe("exchange.v1.md.cpu.>", lambda _subject, _payload: None)
        with out.open("ab", buffering=0) as file:
            async for event in agent.events(since=0):
                if isinstance(event, Gap):
                    heard = Heard(event.missed_from, event.missed_to, is_gap=True)
                else:
                    heard = Heard(event.seq, event.seq, is_gap=False)
                file.write(msgspec.json.encode(heard) + b"\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))

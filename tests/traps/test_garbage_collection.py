"""A full collection over a large venue."""

from __future__ import annotations

import asyncio
import gc
import time

from exchange.cli._serve import _collect_by_hand

OBJECTS = 1_000_000


def full_collection_s() -> float:
    """Return how long a full collection stops everything."""
    began = time.perf_counter()
    gc.collect()
    return time.perf_counter() - began


async def test_a_full_collection_stops_a_large_venue_and_ours_does_not_look_at_it() -> None:
    """The trap: a million objects take tens of milliseconds. While serving they are out of the collector's sight."""
    venue = [[n] for n in range(OBJECTS)]
    plain_s = full_collection_s()
    with _collect_by_hand():
        assert not gc.isenabled()
        assert gc.get_freeze_count() >= OBJECTS
        assert full_collection_s() < plain_s / 4
        await asyncio.sleep(0)
    assert gc.isenabled()
    assert len(venue) == OBJECTS

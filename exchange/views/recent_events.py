"""Keep the encoded recent events of every agent, to fill the gaps of those who missed some."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from exchange.engine import AgentEvents

__all__ = ["EVENTS_KEPT_MIN", "RecentEvents"]

EVENTS_KEPT_MIN: Final = 2_000
"""At least so many events are kept per agent …"""

_BYTES_KEPT: Final = 1024 * 1024
"""… and beyond them only what fits into this many bytes."""

_events = msgspec.json.Decoder(list[msgspec.Raw])


class _Ring:
    __slots__ = ("bytes", "chunks", "count", "last")

    def __init__(self) -> None:
        self.chunks: deque[AgentEvents] = deque()
        self.bytes = 0
        self.count = 0
        self.last = 0


class RecentEvents:
    """Hold a ring of encoded events per agent."""

    def __init__(self) -> None:
        self._rings: dict[str, _Ring] = {}

    def fold(self, batch: list[AgentEvents]) -> None:
        """Take in the events of a batch."""
        for chunk in batch:
            agent, first, total, events = chunk
            ring = self._rings.get(agent)
            if ring is None:
                ring = self._rings[agent] = _Ring()
            ring.chunks.append(chunk)
            ring.bytes += len(events)
            ring.count += total
            ring.last = first + total - 1
            while ring.bytes > _BYTES_KEPT and ring.count - ring.chunks[0][2] >= EVENTS_KEPT_MIN:
                _, _, total, events = ring.chunks.popleft()
                ring.bytes -= len(events)
                ring.count -= total

    def dump(self) -> list[AgentEvents]:
        """Return what is held, for snapshots."""
        return [chunk for ring in self._rings.values() for chunk in ring.chunks]

    def last(self, agent: str) -> int:
        """Return the ``seq`` of an agent's latest event."""
        ring = self._rings.get(agent)
        return 0 if ring is None else ring.last

    def since(self, agent: str, since: int, limit: int, bytes_max: int) -> tuple[int, bytes, bool]:
        """Return the first ``seq``, the encoded array, and whether some asked for are no longer held.

        What is returned follows ``since`` without a gap unless some are lost.
        """
        ring = self._rings.get(agent)
        if ring is None or since >= ring.last:
            return since + 1, b"[]", False
        oldest = ring.chunks[0][1]
        if since + 1 < oldest:
            return oldest, b"[]", True
        picked: list[bytes] = []
        size = 0
        first = since + 1
        for _, start, total, events in ring.chunks:
            if start + total <= first:
                continue
            for event in _events.decode(events)[max(first - start, 0) :]:
                encoded = bytes(event)
                if len(picked) >= limit or (picked and size + len(encoded) > bytes_max):
                    return first, b"[" + b",".join(picked) + b"]", False
                picked.append(encoded)
                size += len(encoded) + 1
        return first, b"[" + b",".join(picked) + b"]", False

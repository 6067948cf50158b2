"""Say what an agent knows when it chooses its next command."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from exchange.messages import tag_of
from exchange.messages.base import Command

__all__ = ["Drawn", "MarketTerms", "View"]

Drawn = tuple[type[Command], dict[str, Any]]


@dataclass(frozen=True)
class MarketTerms:
    """Say what a price and a quantity must be multiples of."""

    market: str
    base: str
    tick: int
    lot: int


@dataclass
class View:
    """Hold what one agent knows."""

    agent: str
    owner: str
    is_operator: bool
    agents: tuple[str, ...]
    owners: tuple[str, ...]
    markets: tuple[MarketTerms, ...]
    venue_time_us: int = 0
    orders: list[int] = field(default_factory=list)
    """Orders that it placed, not long ago."""
    heard: dict[str, deque[Any]] = field(default_factory=dict)
    """The latest events of other families than ``orders`` and ``admin``, by tag, as the wire has them."""
    undo: list[Drawn] = field(default_factory=list)
    """What takes back what it did, or trade would come to a stand."""
    made: int = 0
    """How many names it made up."""

    def hear(self, event: Any) -> None:
        """Remember an event."""
        self.heard.setdefault(tag_of(type(event)), deque(maxlen=12)).append(event)

    def recent(self, tag: str) -> list[Any]:
        """Return the latest events of a tag, the oldest first."""
        return list(self.heard.get(tag, ()))

"""Say what an agent knows when it chooses its next command."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from exchange.messages import tag_of
from exchange.messages.base import Command

if TYPE_CHECKING:
    from random import Random

__all__ = ["Drawn", "Estate", "MarketTerms", "View"]

_NUMBERED: Final = (
    "task", "settlement", "lease", "contract", "auction", "dispute", "offer", "good", "externality", "proposal",
    "rental",
)  # fmt: skip

Drawn = tuple[type[Command], dict[str, Any]]


@dataclass(frozen=True)
class MarketTerms:
    """Say what a price and a quantity must be multiples of."""

    market: str
    base: str
    tick: int
    lot: int


@dataclass
class Estate:
    """Know who owns, wants and sells which module."""

    writers: dict[str, str] = field(default_factory=dict)
    """Who was told last that it may write to a module."""
    owners: dict[str, str | None] = field(default_factory=dict)
    auctions: dict[str, int] = field(default_factory=dict)
    """When the auction of a module closes."""
    rentals: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Owner and renter of the rentals that run."""

    def hear(self, agent: str, tag: str, event: Any) -> None:
        """Take in what an agent was told."""
        if tag == "property.write_access_moved" and event.may_write:
            self.writers.pop(event.module, None)
            self.writers[event.module] = agent
        elif tag == "property.ownership_moved":
            self.owners[event.module] = event.owner
        elif tag == "property.auction_opened":
            self.auctions[event.module] = event.closes_at_us
        elif tag == "property.auction_closed":
            self.auctions.pop(event.module, None)
        elif tag == "property.rental_begun":
            self.rentals[event.rental] = (event.owner, event.renter)
        elif tag == "property.rental_ended":
            self.rentals.pop(event.rental, None)


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
    debt_bids: deque[int] = field(default_factory=lambda: deque(maxlen=3))
    """Debts that it meant to bid for, not long ago: nothing tells of sealed bids."""
    heard: dict[str, deque[Any]] = field(default_factory=dict)
    """The latest events of other families than ``orders`` and ``admin``, by tag, as the wire has them."""
    public: dict[str, deque[int]] = field(default_factory=dict)
    """The latest numbers of tasks and the like, by what they number, that anybody heard of: all views share them."""
    auctions: dict[int, tuple[int, str]] = field(default_factory=dict)
    """When the latest package auctions close, and whose they are, as everybody may know: all views share them."""
    estate: Estate = field(default_factory=Estate)
    """What anybody could find out about modules: all views share it."""
    undo: list[Drawn] = field(default_factory=list)
    """What takes back what it did, or trade would come to a stand."""
    made: int = 0
    """How many names it made up."""

    def hear(self, event: Any, tag: str = "") -> None:
        """Remember an event."""
        tag = tag or tag_of(type(event))
        self.heard.setdefault(tag, deque(maxlen=12)).append(event)
        self.estate.hear(self.agent, tag, event)
        # Offers of debts, and offers and auctions of modules, have numbers of their own.
        prefix = "module_" if tag.startswith("property.") else ""
        for name in _NUMBERED if tag != "debts.offered" else ():
            self._note(prefix + name, getattr(event, name, None))
        self._note_kinds(event, tag)
        if tag == "packages.opened":
            self.auctions[event.auction] = event.closes_at_us, self.owner

    def _note_kinds(self, event: Any, tag: str) -> None:
        """Remember numbers by more than what they number."""
        if tag == "assurance.proposed":
            self._note(f"good_{event.unit}", event.good)
        if tag in ("assurance.reached", "assurance.ended"):
            for name, known in self.public.items():
                if name.startswith("good_") and event.good in known:
                    known.remove(event.good)
        if tag == "predictions.opened":
            self._note(f"prediction:{event.kind}", event.market)
        if tag.startswith("debts."):
            self._note_debts(event, tag)
        if tag == "predictions.began":
            self._note("prediction:begun", event.market)

    def _note_debts(self, event: Any, tag: str) -> None:
        """Remember debts, those that are auctioned, and the tasks of paydowns."""
        self._note("debt", event.token)
        if tag == "debts.paydown_ordered":
            self._note("paydown", event.task)
        if tag == "debts.auctioned":
            self._note("debt_auction", event.token)
        auctioned = self.public.get("debt_auction", [])
        if tag in ("debts.auction_closed", "debts.sale_ended") and event.token in auctioned:
            auctioned.remove(event.token)

    def _note(self, name: str, number: int | None) -> None:
        known = self.public.setdefault(name, deque(maxlen=8))
        if number and number not in known:
            known.append(number)

    def guess(self, random: Random, name: str) -> int:
        """Return the number of something that somebody heard of lately; now and then of something else."""
        known = self.public.get(name)
        if not known or random.random() < 0.05:
            return random.randrange(1, 30)
        return known[-1 - min(int(random.expovariate(0.7)), len(known) - 1)]

    def recent(self, tag: str) -> list[Any]:
        """Return the latest events of a tag, the oldest first."""
        return list(self.heard.get(tag, ()))

"""Build the scene that tests of package auctions start from: a poster with two items, bidders, the venue's worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import convert

from exchange.daemon.determiner import command_of
from exchange.mechanisms.packages import Packages
from exchange.messages.base import VENUE_AGENT
from exchange.messages.packages import (
    Alternative,
    BidOnPackages,
    DeterminePackages,
    GetPackages,
    OpenPackages,
    PackageItem,
    Share,
    SignPackageBid,
)
from exchange.solver import determine
from exchange.testing import OPERATOR
from tests.core.work import CREDIT, HOUR_US, MINUTE_US, Work

if TYPE_CHECKING:
    from exchange.mechanisms.packages.choosing import Problem
    from exchange.messages.packages import PackagesView
    from exchange.testing import Answer

__all__ = ["House"]


class House(Work):
    """Be a venue where ``poster`` auctions the items ``a`` and ``b``, with reserves of 20."""

    def open(self, **terms: Any) -> Answer:
        fields = {
            "title": "two modules",
            "items": [{"name": "a", "reserve": 20 * CREDIT}, {"name": "b", "reserve": 20 * CREDIT}],
            "closes_at_us": self.time_us + MINUTE_US,
            "deliver_by_us": self.time_us + HOUR_US,
            **terms,
        }
        return self.submit("poster", OpenPackages, **(fields | {"items": convert(fields["items"], list[PackageItem])}))

    def offer(
        self,
        agent: str,
        *alternatives: tuple[str, int],
        team: dict[str, int] | None = None,
        unit: int = CREDIT,
        auction: int = 1,
    ) -> Answer:
        return self.submit(
            agent,
            BidOnPackages,
            auction=auction,
            alternatives=[Alternative(items=list(items), price=price * unit) for items, price in alternatives],
            team=[Share(agent=name, weight=weight) for name, weight in (team or {}).items()],
        )

    def sign(self, agent: str, bidder: str, version: int = 1, auction: int = 1) -> Answer:
        return self.submit(agent, SignPackageBid, auction=auction, bidder=bidder, version=version)

    def close_bids(self) -> None:
        self.advance_to(self.auction().closes_at_us)

    def auction(self) -> PackagesView:
        return self.engine.query(OPERATOR, GetPackages(auction=1)).auction  # type: ignore[attr-defined,no-any-return]

    @property
    def packages(self) -> Packages:
        found = self.engine.mechanisms["packages"]
        assert isinstance(found, Packages)
        return found

    def answer(self, problem: Problem | None = None, **changes: Any) -> Answer:
        """Let the venue give the solver's answer to a problem, by default the first that is open, changed."""
        command = command_of(determine(problem or self.packages.open_problems()[0]), 1, self.time_us)
        fields = {name: getattr(command, name) for name in command.__struct_fields__}
        return self.send(VENUE_AGENT, DeterminePackages(**{**fields, **changes}))

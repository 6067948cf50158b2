"""Faults of package auctions."""

from __future__ import annotations

from typing import Any

from exchange.mechanisms.packages import mechanism
from exchange.mechanisms.packages.auction import Auction, Bid
from exchange.mechanisms.packages.mechanism import Packages
from tests.core.planted import plant

_load = Packages.load


def _forget_without_index(self: Packages, auction: Auction, bid: Bid) -> None:
    del self
    del auction.bids[bid.number]
    del auction.by_bidder[bid.bidder]


def _pay_the_weights(self: Bid, amount: int) -> list[tuple[str, int]]:
    return [(name, amount) for name in self.weights]


def _check_nothing(self: Packages, auction: Auction, bid: Bid) -> None:
    del self, auction, bid


def _load_without_problems(self: Packages, state: Any) -> None:
    _load(self, [*state[:4], []])


plant("a package bid stays in the index", Packages, "_forget_bid", _forget_without_index, "packages")
plant("every member of a team is paid all", Bid, "parts", _pay_the_weights, "packages", "settlements")
plant("a package may cost more than its reserves", Packages, "_check_prices", _check_nothing, "packages")
plant("a snapshot forgets what is determined", Packages, "load", _load_without_problems, "packages")
plant("what a solver says is not checked", mechanism, "check", lambda *_: None, "packages", "settlements")

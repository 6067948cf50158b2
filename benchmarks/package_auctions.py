"""Make package auctions: modules of a system, and sealed bids for a few that lie side by side.

Items lie on a square. Bids are for one to five neighbours, as those who build one module build the next one
cheaper ("regions" of Leyton-Brown, Pearson and Shoham 2000, "Towards a universal test suite for combinatorial
auctions"). Up to three alternatives of a bid exclude each other. Everything follows from the seed.
"""

from __future__ import annotations

import random
from math import isqrt
from typing import TYPE_CHECKING, Any, Final

from benchmarks.flow import open_venue, submission
from exchange.engine import Batch
from exchange.messages.admin import RegisterAgent
from exchange.messages.packages import Alternative, BidOnPackages, OpenPackages, PackageItem

if TYPE_CHECKING:
    from exchange.messages.base import Command

__all__ = ["BEFORE_US", "POSTER", "batches_of", "package_bids"]

POSTER: Final = "poster"
BEFORE_US: Final = 61_000_000
"""So long before the first close the auctions are opened."""

_CREDIT: Final = 10**6
_RESERVE: Final = 25 * _CREDIT
_SIZES: Final = (1, 2, 2, 3, 3, 4, 5)
_PER_BATCH: Final = 250


def package_bids(items: int, bids: int, seed: int) -> list[list[tuple[list[int], int]]]:
    """Return of every bid its alternatives: items by place, and the price."""
    rng = random.Random(seed)
    costs = [rng.randrange(5, 25) for _ in range(items)]
    found = []
    for _ in range(bids):
        skill = rng.uniform(0.7, 1.3)
        alternatives = []
        for _ in range(rng.randrange(1, 4)):
            size = min(rng.choice(_SIZES), items)
            package = _package(rng, items, size)
            cost = sum(costs[item] for item in package) * _CREDIT
            price = int(cost * (1 - 0.06 * (size - 1)) * skill * rng.uniform(0.9, 1.1))
            alternatives.append((package, min(price, _RESERVE * size)))
        found.append(alternatives)
    return found


def _package(rng: random.Random, items: int, size: int) -> list[int]:
    package = [rng.randrange(items)]
    while len(package) < size:
        border = sorted({near for item in package for near in _neighbours(item, items)} - set(package))
        package.append(rng.choice(border))
    return sorted(package)


def _neighbours(item: int, items: int) -> list[int]:
    side = isqrt(items)
    row, column = divmod(item, side)
    places = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
    return [x * side + y for x, y in places if x >= 0 and 0 <= y < side and x * side + y < items]


def batches_of(closes_us: list[int], items: int, bids: int, seed: int) -> list[Batch]:
    """Return the batches of a venue with a market, in which auctions close at these times, with all bids in."""
    batches = open_venue(100, 1)
    time_us = closes_us[0] - BEFORE_US
    count = 0

    def identify() -> dict[str, Any]:
        nonlocal count
        count += 1
        return {"id": f"packages{count // 1_000:06d}.{count % 1_000 + 1}", "valid_until_us": time_us + 10_000_000}

    agents = [f"bidder{number}" for number in range(bids)]
    setup = [RegisterAgent(agent=agent, owner=agent, endowment=0, **identify()) for agent in agents]
    endowment = len(closes_us) * items * _RESERVE
    setup.append(RegisterAgent(agent=POSTER, owner=POSTER, endowment=endowment, **identify()))
    names = [f"module-{number}" for number in range(items)]
    given: list[tuple[str, Command]] = [("operator", command) for command in setup]
    for at_us in closes_us:
        modules = [PackageItem(name=name, reserve=_RESERVE) for name in names]
        deliver_by_us = at_us + 86_400_000_000
        opening = OpenPackages(
            title="the modules of a system", items=modules, closes_at_us=at_us, deliver_by_us=deliver_by_us,
            **identify(),
        )  # fmt: skip
        given.append((POSTER, opening))
    for auction in range(1, len(closes_us) + 1):
        for agent, choices in zip(agents, package_bids(items, bids, seed + auction), strict=True):
            alternatives = [
                Alternative(items=[names[item] for item in package], price=price) for package, price in choices
            ]
            given.append((agent, BidOnPackages(auction=auction, alternatives=alternatives, **identify())))
    for at in range(0, len(given), _PER_BATCH):
        submissions = [submission(agent, command) for agent, command in given[at : at + _PER_BATCH]]
        batches.append(Batch(0, len(batches) + 1, time_us + at, submissions))
    return batches

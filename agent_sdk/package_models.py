"""Hold what users see of package auctions. Amounts are whole credits, times are of the venue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from agent_sdk.reading import Credits

if TYPE_CHECKING:
    from collections.abc import Collection

    from agent_sdk.money import Number

__all__ = [
    "OpenedPackages",
    "Package",
    "PackageAlternative",
    "PackageAuction",
    "PackageBid",
    "PackageItem",
    "PackageMember",
    "PackageWinner",
    "PlacedPackageBid",
]

PackagesState = Literal["open", "determining", "awarded", "unawarded", "canceled"]


@dataclass(frozen=True, slots=True)
class Package:
    """Ask, or in a sale offer, ``price`` credits for all of these items together."""

    items: Collection[str]
    price: Number


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedPackages:
    """Tell the number of a new auction, and what is in escrow for it."""

    id: int
    escrow: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedPackageBid:
    """Tell the version of a bid, for which its team signs, and what is held of the agent for it."""

    version: int
    held: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageItem:
    """Describe an item: ``reserve`` is what is paid for it at most, or in a sale asked at least."""

    name: str
    reserve: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageWinner:
    """Describe an award. ``discount`` is by how much the payment is better for the bidder than the ``price`` it bid."""

    bidder: str
    alternative: int
    items: tuple[str, ...]
    price: Credits
    payment: Credits
    discount: Credits
    parts: dict[str, Credits]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageAuction:
    """Describe an auction; of bids nothing is known before it ended.

    ``surplus`` is by how much all awards together are better than the reserves, ``greedy_surplus`` what the simple rule
    would have found. ``optimal``: the venue's solver found that nothing is better. ``priced``: how the winners pay,
    which is as bid where ``pricing`` could not be had.
    """

    id: int
    poster: str
    title: str
    detail: str
    state: PackagesState
    direction: Literal["procurement", "sale"]
    pricing: Literal["vcg", "pay_as_bid"]
    items: tuple[PackageItem, ...]
    closes_at_us: int
    deliver_by_us: int
    attester: str | None
    outcome: str | None
    bids: int | None
    priced: Literal["vcg", "pay_as_bid"] | None
    optimal: bool | None
    surplus: Credits | None
    greedy_surplus: Credits | None
    winners: tuple[PackageWinner, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageAlternative:
    """Describe one alternative of a bid."""

    items: tuple[str, ...]
    price: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageMember:
    """Describe a member of a team by its weight in what is paid."""

    agent: str
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageBid:
    """Describe a sealed bid to its members; ``held`` is of the agent that asks."""

    auction: int
    bidder: str
    version: int
    alternatives: tuple[PackageAlternative, ...]
    team: tuple[PackageMember, ...]
    signed: tuple[str, ...]
    held: Credits

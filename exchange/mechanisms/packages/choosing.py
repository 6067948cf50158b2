"""Choose winners by a simple rule, and check what a solver has chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exchange.mechanisms.packages.auction import Auction
    from exchange.messages.packages import PackageWinner, Pricing

__all__ = ["Pick", "Problem", "check", "greedy", "surplus_of"]

Problem = tuple[int, int, bool, bool, list[tuple[int, list[str], list[tuple[list[int], int, int]]]]]
"""Number of the auction, revision, whether it is a sale, whether VCG is wanted, and the bids: number, owners, and of
every alternative its items, its surplus over the reserves, and its price."""

_SCALE: Final = 1 << 32


class Pick(NamedTuple):
    """Hold one alternative that wins, and what is paid for it."""

    bid: int
    alternative: int
    payment: int


def greedy(auction: Auction) -> list[Pick]:
    """Take alternatives as long as they fit, by surplus² per item; ties go to the earlier bid, then alternative.

    Surplus by the square root of the size is the order of Lehmann, O'Callaghan and Shoham (2002), "Truth revelation
    in approximately efficient combinatorial auctions"; its square needs no root.
    """
    ranked: list[tuple[int, int, int]] = []
    for bid in auction.bids.values():
        for place, choice in enumerate(bid.choices):
            surplus = auction.surplus_of(choice)
            ranked.append((-(surplus * surplus * _SCALE // len(choice.items)), bid.number, place))
    ranked.sort()
    items: dict[int, None] = {}
    owners: dict[str, None] = {}
    picks: list[Pick] = []
    for _, number, place in ranked:
        bid = auction.bids[number]
        choice = bid.choices[place]
        if any(owner in owners for owner in bid.owners) or any(item in items for item in choice.items):
            continue
        items.update(dict.fromkeys(choice.items))
        owners.update(dict.fromkeys(bid.owners))
        picks.append(Pick(number, place, choice.price))
    picks.sort()
    return picks


def surplus_of(auction: Auction, picks: Sequence[Pick]) -> int:
    """Return by how much all awards together are better than the reserves."""
    return sum([auction.surplus_of(auction.bids[pick.bid].choices[pick.alternative]) for pick in picks])


def check(auction: Auction, winners: Sequence[PackageWinner], pricing: Pricing, least: int) -> str | None:
    """Return which rule an answer breaks; None if it may be acted upon. ``least`` is the greedy choice's surplus."""
    if pricing == "vcg" and auction.terms.pricing != "vcg":
        return "this auction pays as bid"
    for winner in winners:
        broken = _check_payment(auction, winner, pricing)
        if broken is not None:
            return broken
    picks = [Pick(winner.bid, winner.alternative, winner.payment) for winner in winners]
    broken = _check_overlap(auction, picks)
    if broken is not None:
        return broken
    if surplus_of(auction, picks) < least:
        return "the greedy choice is better"
    return None


def _check_payment(auction: Auction, winner: PackageWinner, pricing: Pricing) -> str | None:
    """Say whether a winner is there, and nobody pays more, or is paid less, than it bid; and the reserves hold."""
    bid = auction.bids.get(winner.bid)
    if bid is None or winner.alternative >= len(bid.choices):
        return f"there is no bid {winner.bid} with an alternative {winner.alternative}"
    choice = bid.choices[winner.alternative]
    low, high = choice.price, choice.price + auction.surplus_of(choice)
    if auction.terms.direction == "sale":
        low, high = choice.price - auction.surplus_of(choice), choice.price
    if pricing == "pay_as_bid" and winner.payment != choice.price:
        return f"bid {winner.bid} pays as bid"
    if not low <= winner.payment <= high:
        return f"the payment of bid {winner.bid} is between its price and the reserves"
    return None


def _check_overlap(auction: Auction, picks: Sequence[Pick]) -> str | None:
    """Say whether every owner and every item is in one award at most."""
    items: dict[int, None] = {}
    owners: dict[str, None] = {}
    for pick in picks:
        bid = auction.bids[pick.bid]
        for owner in bid.owners:
            if owner in owners:
                return f"owner {owner} would win twice"
            owners[owner] = None
        for item in bid.choices[pick.alternative].items:
            if item in items:
                return f"item {auction.terms.names[item]} would be awarded twice"
            items[item] = None
    return None

"""Hold package auctions and their sealed bids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.shares import largest_remainder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exchange.messages.packages import Alternative, Direction, EndReason, PackagesState, Pricing

__all__ = ["Auction", "Award", "Bid", "Choice", "Terms", "choices_of"]


class Terms(NamedTuple):
    """Hold what an auction was opened with; it never changes."""

    poster: str
    title: str
    detail: str
    direction: Direction
    pricing: Pricing
    names: tuple[str, ...]
    reserves: tuple[int, ...]
    closes_at_us: int
    deliver_by_us: int
    attester: str | None

    @property
    def budget(self) -> int:
        """Return what is in escrow until the award."""
        return sum(self.reserves) if self.direction == "procurement" else 0


class Choice(NamedTuple):
    """Hold one alternative of a bid; items by their place in the auction."""

    items: tuple[int, ...]
    price: int


class Bid:
    """Be one sealed bid, of an agent or a team."""

    __slots__ = ("bidder", "choices", "held", "number", "owners", "version", "weights")

    def __init__(
        self,
        number: int,
        bidder: str,
        version: int,
        weights: dict[str, int],
        owners: tuple[str, ...],
        choices: tuple[Choice, ...],
    ) -> None:
        self.number = number
        """Orders all bids of the venue by age. Nobody is told: it would say how many others there are."""
        self.bidder = bidder
        self.version = version
        """Counts the bids of this bidder in this auction."""
        self.weights = weights
        """The weight of each member in what is paid."""
        self.owners = owners
        """Those of the members: no other bid of any of them can win beside this one."""
        self.choices = choices
        self.held: dict[str, int] = {}
        """What is held of each member that has signed."""

    @property
    def is_signed(self) -> bool:
        """Return whether every member has signed."""
        return len(self.held) == len(self.weights)

    def hold_of(self, agent: str) -> int:
        """Return what a member may have to pay at most: its part of the highest price, rounded up."""
        highest = max(choice.price for choice in self.choices)
        return -(-highest * self.weights[agent] // sum(self.weights.values()))

    def parts(self, amount: int) -> list[tuple[str, int]]:
        """Split a payment among the members by their weights."""
        return largest_remainder(amount, self.weights)

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.number, self.bidder, self.version, list(self.weights.items()), list(self.owners),
            [[list(choice.items), choice.price] for choice in self.choices], list(self.held.items()),
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Bid:
        """Return the bid of which ``dump`` gave the state."""
        number, bidder, version, weights, owners, choices, held = state
        made = tuple(Choice(tuple(items), price) for items, price in choices)
        bid = Bid(number, bidder, version, dict(weights), tuple(owners), made)
        bid.held = dict(held)
        return bid


class Award(NamedTuple):
    """Hold what a bid has won, for everybody to see."""

    bidder: str
    alternative: int
    items: tuple[int, ...]
    price: int
    payment: int
    parts: tuple[tuple[str, int], ...]


class Auction:
    """Be one auction, from its opening until it ended, and for a while after."""

    __slots__ = (
        "awards", "bids", "by_bidder", "count", "deadline_id", "greedy_surplus", "number", "optimal", "outcome",
        "priced", "revision", "state", "surplus", "terms", "versions",
    )  # fmt: skip

    def __init__(self, number: int, terms: Terms) -> None:
        self.number = number
        self.terms = terms
        self.state: PackagesState = "open"
        self.deadline_id = 0
        self.revision = 0
        """Of the problem that is to be solved; it changes when a bid drops out."""
        self.bids: dict[int, Bid] = {}
        self.by_bidder: dict[str, int] = {}
        self.versions: dict[str, int] = {}
        """How many bids each bidder has made here so far."""
        self.count: int | None = None
        """How many bids took part, once that may be known."""
        self.outcome: EndReason | None = None
        self.priced: Pricing | None = None
        self.optimal: bool | None = None
        self.surplus: int | None = None
        self.greedy_surplus: int | None = None
        self.awards: list[Award] = []

    @property
    def cause(self) -> str:
        """Return the cause under which its money moves, and its origin for settlements."""
        return f"packages:{self.number}"

    def escrow_of_part(self, bidder: str, agent: str) -> str:
        """Return the escrow of one member's part of what a bidder has won."""
        return f"{escrow_of(self.cause)}:{bidder}:{agent}"

    def surplus_of(self, choice: Choice) -> int:
        """Return by how much an alternative is better than the reserves of its items."""
        reserves = self.terms.reserves
        reserve = sum([reserves[item] for item in choice.items])
        return reserve - choice.price if self.terms.direction == "procurement" else choice.price - reserve

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.number, list(self.terms), self.state, self.deadline_id, self.revision,
            [bid.dump() for bid in self.bids.values()], list(self.versions.items()), self.count, self.outcome,
            self.priced, self.optimal, self.surplus, self.greedy_surplus, [list(award) for award in self.awards],
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Auction:
        """Return the auction of which ``dump`` gave the state."""
        number, fields = state[:2]
        fields = list(fields)
        fields[5], fields[6] = tuple(fields[5]), tuple(fields[6])
        auction = Auction(number, Terms(*fields))
        auction.state, auction.deadline_id, auction.revision, bids, versions, auction.count = state[2:8]
        auction.outcome, auction.priced, auction.optimal, auction.surplus, auction.greedy_surplus, awards = state[8:]
        auction.versions = dict(versions)
        for bid_fields in bids:
            bid = Bid.load(bid_fields)
            auction.bids[bid.number] = bid
            auction.by_bidder[bid.bidder] = bid.number
        for bidder, alternative, items, price, payment, parts in awards:
            made = tuple((agent, amount) for agent, amount in parts)
            auction.awards.append(Award(bidder, alternative, tuple(items), price, payment, made))
        return auction


def choices_of(auction: Auction, alternatives: Sequence[Alternative]) -> tuple[Choice, ...] | str:
    """Return the alternatives of a bid with their items by place, or what is wrong with them."""
    places = {name: place for place, name in enumerate(auction.terms.names)}
    choices: list[Choice] = []
    for alternative in alternatives:
        items: dict[int, None] = {}
        for name in alternative.items:
            place = places.get(name)
            if place is None:
                return f"the auction has no item {name}"
            items[place] = None
        if len(items) != len(alternative.items):
            return "an alternative names every item once"
        choices.append(Choice(tuple(sorted(items)), alternative.price))
    return tuple(choices)

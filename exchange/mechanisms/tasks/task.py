"""Hold tasks, sealed bids and standing bids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from exchange.mechanisms.tasks.pricing import Ranked

if TYPE_CHECKING:
    from exchange.messages.tasks import Direction, EndReason, Pricing, TaskState

__all__ = ["Award", "Bid", "StandingBid", "Task", "Terms"]

_POSTED_FIELDS: Final = 25
"""So many fields have the terms of a task that an agent has posted."""


class Terms(NamedTuple):
    """Hold what a task was posted with, defaults filled in; it never changes."""

    poster: str
    title: str
    detail: str
    effort_minutes: int
    value: int | None
    skills: tuple[str, ...]
    direction: Direction
    pricing: Pricing
    reserve: int
    max_price: int
    reward: int
    bond: int
    quality_bonus: int
    efficiency_bonus: int
    late_hours: int
    late_per_hour: int | None
    confirm_seconds: int
    attester: str | None
    min_reputation: int
    critical: bool
    max_rounds: int
    reopens: bool
    round_us: int
    deadline_us: int
    floor: int
    """What a critical task pays at least."""
    origin: str = ""
    """The cause of the mechanism that has it done; empty where an agent has posted it with its own money."""
    refund: str = ""
    """The account of such a task that takes what is not spent."""
    excluded_owners: tuple[str, ...] = ()

    @property
    def budget(self) -> int:
        """Return what is in escrow while the auction is open."""
        price = self.max_price if self.direction == "procurement" else self.reward
        return price + self.quality_bonus + self.efficiency_bonus

    @property
    def refund_account(self) -> str:
        """Return the account that takes what is not spent."""
        return self.refund or self.poster

    def dump(self) -> list[object]:
        """Return the terms as plain data, as they were before mechanisms had work done where none does."""
        fields: list[object] = list(self)
        return fields if self.origin else fields[:_POSTED_FIELDS]


class Bid(NamedTuple):
    """Hold one bid of a round. ``held`` is on hold on the agent's account; a standing bid holds nothing.

    ``unsecured``: the bond could not be held, and is owed on failure.
    """

    bid: int
    agent: str
    owner: str
    price: int
    held: int
    is_standing: bool = False
    unsecured: bool = False

    @property
    def ranked(self) -> Ranked:
        """Return what counts of it."""
        return Ranked(self.price, self.bid)


class Award(NamedTuple):
    """Hold what everybody may know once a task was awarded."""

    winner: str
    owner: str
    price: int
    bids: int
    awarded_us: int
    settlement: int
    unsecured: bool


class StandingBid(NamedTuple):
    """Hold an agent's standing bid."""

    number: int
    agent: str
    owner: str
    skills: tuple[str, ...]
    price_per_hour: int
    fixed_price: int
    load_markup_bp: int
    max_effort_minutes: int | None
    max_bond: int | None
    min_payer_reputation: int
    capacity: int
    until_us: int | None
    deadline_id: int


class Task:
    """Be one task, from its posting until it ended, and for a while after."""

    __slots__ = (
        "award", "banned", "bids", "closes_at_us", "deadline_id", "decided", "number", "offered", "outcome", "reserve",
        "round", "state", "terms",
    )  # fmt: skip

    def __init__(self, number: int, terms: Terms) -> None:
        self.number = number
        self.terms = terms
        self.state: TaskState = "open"
        self.round = 0
        self.reserve = terms.reserve
        """Of the present round."""
        self.closes_at_us = 0
        self.deadline_id = 0
        """That of the close, or of the offer."""
        self.bids: dict[str, Bid] = {}
        """The sealed bids of the round by owner; none is left after an award."""
        self.decided: dict[str, Bid] = {}
        """The bids that an award was decided among, by owner, for their bidders to see."""
        self.offered: str | None = None
        """The owner whose standing bid has won and may decline."""
        self.banned: dict[str, None] = {}
        """Owners whose agents failed at it."""
        self.award: Award | None = None
        self.outcome: EndReason | None = None

    @property
    def cause(self) -> str:
        """Return the cause under which its money moves, and its origin for settlements."""
        return f"tasks:{self.number}"

    @property
    def spare(self) -> int:
        """Return what an award leaves of the price for another round, should it fail."""
        terms = self.terms
        if terms.direction != "procurement" or not self.may_reopen or self.award is None:
            return 0
        return terms.max_price - self.award.price

    @property
    def may_reopen(self) -> bool:
        """Return whether there is another round after a failure."""
        return self.terms.reopens and self.round < self.terms.max_rounds

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.number, self.terms.dump(), self.state, self.round, self.reserve, self.closes_at_us, self.deadline_id,
            [list(bid) for bid in self.bids.values()], self.offered, list(self.banned),
            None if self.award is None else list(self.award), self.outcome,
            [list(bid) for bid in self.decided.values()],
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Task:
        """Return the task of which ``dump`` gave the state."""
        number, fields = state[:2]
        fields[5] = tuple(fields[5])
        if len(fields) > _POSTED_FIELDS:
            fields[-1] = tuple(fields[-1])
        task = Task(number, Terms(*fields))
        task.state, task.round, task.reserve, task.closes_at_us, task.deadline_id = state[2:7]
        bids, task.offered, banned, award, task.outcome, decided = state[7:]
        for bid_fields in bids:
            bid = Bid(*bid_fields)
            task.bids[bid.owner] = bid
        for bid_fields in decided:
            bid = Bid(*bid_fields)
            task.decided[bid.owner] = bid
        task.banned = dict.fromkeys(banned)
        task.award = None if award is None else Award(*award)
        return task

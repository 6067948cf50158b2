"""Hold goods and the pledges for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from exchange.messages.assurance import GoodState, GoodUnit

__all__ = ["BASIS_POINTS", "Good", "Pledge", "bond_for"]

BASIS_POINTS: Final = 10_000
_HOUR_MINUTES: Final = 60


def bond_for(minutes: int, hour_bond: int) -> int:
    """Return the bond of so many minutes of work, rounded up."""
    return -(-minutes * hour_bond // _HOUR_MINUTES)


class Pledge:
    """Be what one agent pledged, in all. ``credits`` and ``bond`` are in escrow until the good is reached or ends.

    Once it is reached, ``share``, ``share_minutes`` and ``bond`` are what is given, and the rest has gone back.
    """

    __slots__ = (
        "agent", "bond", "bonus", "counts", "credits", "delivered", "earned", "minutes", "number", "owner", "refunded",
        "settlement", "share", "share_minutes",
    )  # fmt: skip

    def __init__(self, number: int, agent: str, owner: str, counts: bool) -> None:  # noqa: FBT001 - also from dumps
        self.number = number
        self.agent = agent
        self.owner = owner
        self.counts = counts
        """Whether its owner counts as one, has a voice and gets the bonus: proposer and provider do not."""
        self.credits = 0
        self.minutes = 0
        self.bond = 0
        self.share = 0
        self.share_minutes = 0
        self.settlement = 0
        self.delivered: bool | None = None
        """Whether the work was done; None while that is not final."""
        self.refunded = 0
        """What of credits and bond has come back by now."""
        self.bonus = 0
        self.earned = 0
        """What it got of forfeited bonds."""

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.number, self.agent, self.owner, self.counts, self.credits, self.minutes, self.bond, self.share,
            self.share_minutes, self.settlement, self.delivered, self.refunded, self.bonus, self.earned,
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Pledge:
        """Return the pledge of which ``dump`` gave the state."""
        pledge = Pledge(*state[:4])
        (
            pledge.credits, pledge.minutes, pledge.bond, pledge.share, pledge.share_minutes, pledge.settlement,
            pledge.delivered, pledge.refunded, pledge.bonus, pledge.earned,
        ) = state[4:]  # fmt: skip
        return pledge


class Good:
    """Be one good, from its proposal until it ended, and for a while after; its pledges are forgotten before it."""

    __slots__ = (
        "attester", "bonus_bp", "bonus_fund", "bonus_paid", "by_number", "cap", "confirm_seconds", "confirmed",
        "confirmed_weight", "credits", "deadline_id", "deadline_us", "deliver_by_us", "delivered_minutes", "detail",
        "hour_bond", "is_provided", "last_pledge", "max_pledges", "min_credits", "min_minutes", "minutes", "number",
        "owners", "pledge_count", "pledges", "pot", "proposer", "provider", "settlement", "state", "subsidy",
        "subsidy_share", "threshold", "title", "unit", "voting", "waiting", "weights",
    )  # fmt: skip

    def __init__(self, number: int, proposer: str, title: str, detail: str, unit: GoodUnit) -> None:
        self.number = number
        self.proposer = proposer
        self.title = title
        self.detail = detail
        self.unit: GoodUnit = unit
        # The terms, as they were when it was proposed.
        self.threshold = 0
        self.cap = 0
        self.deadline_us = 0
        self.deliver_by_us = 0
        self.provider: str | None = None
        self.attester: str | None = None
        self.min_credits = 0
        self.min_minutes = 0
        self.bonus_bp = 0
        self.hour_bond = 0
        self.confirm_seconds = 0
        self.max_pledges = 0
        # What is pledged.
        self.state: GoodState = "open"
        self.deadline_id = 0
        self.pledges: dict[str, Pledge] = {}
        self.last_pledge = 0
        self.pledge_count = 0
        self.credits = 0
        self.minutes = 0
        self.owners = 0
        """How many owners count."""
        self.voting = 0
        """The credits of owners that count."""
        self.bonus_fund = 0
        """What is in escrow for the bonus."""
        self.bonus_paid = 0
        self.subsidy = 0
        """Public money that counts."""
        # What comes of it.
        self.subsidy_share = 0
        self.settlement = 0
        """The provider's."""
        self.is_provided: bool | None = None
        self.waiting = 0
        """How many settlements are not final."""
        self.pot = 0
        """The bonds of those who did not do their work."""
        self.delivered_minutes = 0
        self.confirmed: dict[str, None] = {}
        """The owners that accepted what the provider delivered."""
        self.confirmed_weight = 0
        """Their credits."""
        # These follow from the pledges.
        self.by_number: dict[int, Pledge] = {}
        self.weights: dict[str, int] = {}
        """The credits of each owner that counts."""

    @property
    def cause(self) -> str:
        """Return the cause under which its money moves."""
        return f"assurance:{self.number}"

    @property
    def takes_credits(self) -> bool:
        """Return whether credits are pledged for it."""
        return self.unit == "credits" or self.min_credits > 0

    @property
    def takes_minutes(self) -> bool:
        """Return whether work is pledged for it."""
        return self.unit == "minutes" or self.min_minutes > 0

    @property
    def raised(self) -> int:
        """Return what there is of what the threshold counts."""
        if self.unit == "owners":
            return self.owners
        return self.credits + self.subsidy if self.unit == "credits" else self.minutes

    @property
    def bonus_max(self) -> int:
        """Return the most that the bonus can come to, rounded up."""
        counted = self.cap if self.unit == "credits" else self.cap * self.min_credits if self.unit == "owners" else 0
        return -(-counted * self.bonus_bp // BASIS_POINTS)

    @property
    def credits_due(self) -> int:
        """Return what the provider gets: the threshold, however much is pledged."""
        if self.unit == "credits":
            return self.threshold
        return self.threshold * self.min_credits if self.unit == "owners" else 0

    @property
    def paid(self) -> int:
        """Return what the provider has got."""
        return self.credits_due if self.is_provided else 0

    @property
    def minutes_due(self) -> int:
        """Return how much work is done: the threshold, however much is pledged."""
        if self.unit == "minutes":
            return self.threshold
        return self.threshold * self.min_minutes if self.unit == "owners" else 0

    def parties(self) -> list[str]:
        """Return proposer, provider and attester, each once."""
        names = [self.proposer]
        if self.provider is not None:
            names.append(self.provider)
        if self.attester is not None:
            names.append(self.attester)
        return list(dict.fromkeys(names))

    def listeners(self) -> list[str]:
        """Return the parties and all who pledged, each once."""
        return list(dict.fromkeys([*self.parties(), *self.pledges]))

    def add(self, agent: str, owner: str, credits_: int, minutes: int, *, counts: bool) -> Pledge:
        """Add to what an agent has pledged, and to the sums."""
        pledge = self.pledges.get(agent)
        if pledge is None:
            self.last_pledge += 1
            self.pledge_count += 1
            pledge = self.pledges[agent] = self.by_number[self.last_pledge] = Pledge(
                self.last_pledge, agent, owner, counts
            )
        pledge.credits += credits_
        pledge.minutes += minutes
        pledge.bond = bond_for(pledge.minutes, self.hour_bond)
        self.credits += credits_
        self.minutes += minutes
        if counts:
            self.weights[owner] = self.weights.get(owner, 0) + credits_
            self.owners = len(self.weights)
            self.voting += credits_
        return pledge

    def remove_owner(self, owner: str) -> list[Pledge]:
        """Take out the pledges of an owner, all of them, and return them."""
        removed = [pledge for pledge in self.pledges.values() if pledge.owner == owner]
        for pledge in removed:
            del self.pledges[pledge.agent], self.by_number[pledge.number]
            self.pledge_count -= 1
            self.credits -= pledge.credits
            self.minutes -= pledge.minutes
        self.voting -= self.weights.pop(owner, 0)
        self.owners = len(self.weights)
        return removed

    def in_escrow(self) -> int:
        """Return what must be in its escrow."""
        if self.state == "open":
            pledged = sum(pledge.credits + pledge.bond for pledge in self.pledges.values())
            return self.bonus_fund + self.subsidy + pledged
        bonds = sum(
            pledge.bond for pledge in self.pledges.values() if pledge.share_minutes and pledge.delivered is None
        )
        shares = sum(pledge.share for pledge in self.pledges.values()) + self.subsidy_share
        return bonds + self.pot + (shares if self.is_provided is None else 0)

    def forget_pledges(self) -> None:
        """Forget the pledges of a good that has ended; the sums are kept."""
        self.pledges = {}
        self.by_number = {}

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.number, self.proposer, self.title, self.detail, self.unit, self.threshold, self.cap,
            self.deadline_us, self.deliver_by_us, self.provider, self.attester, self.min_credits, self.min_minutes,
            self.bonus_bp, self.hour_bond, self.confirm_seconds, self.max_pledges, self.state, self.deadline_id,
            [pledge.dump() for pledge in self.pledges.values()], self.last_pledge, self.pledge_count, self.credits,
            self.minutes, self.owners, self.voting, self.bonus_fund, self.subsidy, self.subsidy_share,
            self.settlement, self.is_provided, self.waiting, self.pot, self.delivered_minutes, list(self.confirmed),
            self.confirmed_weight, self.bonus_paid,
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Good:
        """Return the good of which ``dump`` gave the state."""
        good = Good(*state[:5])
        (
            good.threshold, good.cap, good.deadline_us, good.deliver_by_us, good.provider, good.attester,
            good.min_credits, good.min_minutes, good.bonus_bp, good.hour_bond, good.confirm_seconds,
            good.max_pledges, good.state, good.deadline_id, pledges, good.last_pledge, good.pledge_count,
            good.credits, good.minutes, good.owners, good.voting, good.bonus_fund, good.subsidy, good.subsidy_share,
            good.settlement, good.is_provided, good.waiting, good.pot, good.delivered_minutes, confirmed,
            good.confirmed_weight, good.bonus_paid,
        ) = state[5:]  # fmt: skip
        good.confirmed = dict.fromkeys(confirmed)
        for fields in pledges:
            pledge = Pledge.load(fields)
            good.pledges[pledge.agent] = good.by_number[pledge.number] = pledge
            if pledge.counts:
                good.weights[pledge.owner] = good.weights.get(pledge.owner, 0) + pledge.credits
        return good

"""Hold one dispute, and the seats of its panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.facts import DisputeTerms

if TYPE_CHECKING:
    from exchange.messages.disputes import DisputeVerdict

__all__ = ["Dispute", "Seat"]

_MATTER: Final = 4
"""Where it stands among the terms, if it does."""

SeatState = Literal["pending", "ruled", "absent", "revoked"]


class Seat:
    """Be one seat, and what came of it."""

    __slots__ = ("agent_id", "owner", "state", "statement", "upheld")

    def __init__(self, agent_id: str, owner: str) -> None:
        self.agent_id = agent_id
        self.owner = owner
        self.state: SeatState = "pending"
        self.upheld = False
        self.statement = ""

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [self.agent_id, self.owner, self.state, self.upheld, self.statement]

    @staticmethod
    def load(state: Any) -> Seat:
        """Return the seat of which ``dump`` gave the state."""
        seat = Seat(state[0], state[1])
        seat.state, seat.upheld, seat.statement = state[2:]
        return seat


class Dispute:
    """Be one dispute, from its opening until it is decided, and for a while after.

    ``claimant`` of its terms is who disputes. ``deadline_id`` is the one deadline that it waits for.
    """

    __slots__ = (
        "deadline_id", "decided_us", "deposit", "disputer", "family", "number", "opened_us", "round", "seats", "size",
        "statement", "subject", "terms", "verdict",
    )  # fmt: skip

    def __init__(
        self, number: int, family: str, subject: int, terms: DisputeTerms, disputer: str, deposit: int, opened_us: int
    ) -> None:
        self.number = number
        self.family = family
        self.subject = subject
        self.terms = terms
        self.disputer = disputer
        self.deposit = deposit
        self.opened_us = opened_us
        self.statement = ""
        self.round = 0
        """How often arbitrators were drawn: the second time only for those who did not rule."""
        self.size = 0
        """How many rulings there should be."""
        self.seats: list[Seat] = []
        self.deadline_id = 0
        self.verdict: DisputeVerdict | None = None
        self.decided_us = 0

    @property
    def cause(self) -> str:
        """Return the cause under which its money moves."""
        return f"disputes:{self.number}"

    @property
    def escrow(self) -> str:
        """Return the escrow that has the deposit."""
        return escrow_of(self.cause)

    def parties(self) -> list[str]:
        """Return who is told of it."""
        return list(dict.fromkeys((self.disputer, self.terms.claimant, self.terms.respondent)))

    def seat_of(self, agent_id: str) -> Seat | None:
        """Return an arbitrator's seat."""
        for seat in self.seats:
            if seat.agent_id == agent_id:
                return seat
        return None

    def judges(self) -> list[Seat]:
        """Return the seats of those who rule, or have ruled."""
        return [seat for seat in self.seats if seat.state in ("pending", "ruled")]

    def is_pending(self) -> bool:
        """Return whether anybody still has to rule."""
        return any(seat.state == "pending" for seat in self.seats)

    def ruled(self) -> list[Seat]:
        """Return the seats with a ruling."""
        return [seat for seat in self.seats if seat.state == "ruled"]

    def majority(self) -> DisputeVerdict:
        """Return what more than half of the panel ruled."""
        ruled = self.ruled()
        upheld = sum(seat.upheld for seat in ruled)
        if 2 * upheld > self.size:
            return "upheld"
        if 2 * (len(ruled) - upheld) > self.size:
            return "rejected"
        return "no_majority"

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        terms = self.terms
        return [
            self.number, self.family, self.subject,
            [terms.claimant, terms.respondent, terms.amount, list(terms.excluded), terms.matter],
            self.disputer, self.deposit, self.opened_us, self.statement, self.round, self.size,
            [seat.dump() for seat in self.seats], self.deadline_id, self.verdict, self.decided_us,
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Dispute:
        """Return the dispute of which ``dump`` gave the state."""
        number, family, subject, fields, disputer, deposit, opened_us = state[:7]
        claimant, respondent, amount, excluded = fields[:_MATTER]
        # What was disputed before there were markets to bet on it names no matter.
        matter = fields[_MATTER] if len(fields) > _MATTER else ""
        terms = DisputeTerms(claimant, respondent, amount, tuple(excluded), matter)
        dispute = Dispute(number, family, subject, terms, disputer, deposit, opened_us)
        dispute.statement, dispute.round, dispute.size, seats = state[7:11]
        dispute.deadline_id, dispute.verdict, dispute.decided_us = state[11:]
        dispute.seats = [Seat.load(fields) for fields in seats]
        return dispute

"""Hold one settlement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.mechanisms.facts import SettlementTerms

if TYPE_CHECKING:
    from exchange.messages.settlements import FailureCause, SettlementState

__all__ = ["HOUR_US", "REMEMBERED", "Settlement"]

HOUR_US: Final = 3_600_000_000

REMEMBERED: Final = 1_000
"""So many ended settlements can still be asked for."""


class Settlement:
    """Be one settlement, from its opening until it is final, and for a while after.

    ``deadline_id`` is the one deadline that changes its state by silence; ``lease_id`` that of its work lease.
    """

    __slots__ = (
        "cause", "deadline_id", "delivered_us", "digest", "dispute", "escrow", "fencing_token", "frozen_state",
        "late_fee", "late_since_us", "lease_id", "number", "opened_us", "origin", "reference", "score", "state",
        "terms",
    )  # fmt: skip

    def __init__(self, number: int, origin: str, escrow: str, terms: SettlementTerms, opened_us: int) -> None:
        self.number = number
        self.origin = origin
        self.escrow = escrow
        self.terms = terms
        self.opened_us = opened_us
        self.state: SettlementState = "open"
        self.deadline_id = 0
        self.fencing_token = 0
        self.lease_id = 0
        self.late_since_us: int | None = None
        """When it became late; None while it is not."""
        self.delivered_us: int | None = None
        self.reference = ""
        self.digest = ""
        self.late_fee = 0
        self.cause: FailureCause | None = None
        self.dispute: int | None = None
        """The dispute over it, the only one there may be."""
        self.frozen_state: SettlementState = "open"
        """What it was when it was disputed."""
        self.score: int | None = None

    @property
    def cause_of_postings(self) -> str:
        """Return the cause under which its money moves."""
        return f"settlements:{self.number}"

    @property
    def family(self) -> str:
        """Return the family of the mechanism by which it was agreed on."""
        return self.origin.partition(":")[0]

    @property
    def is_final(self) -> bool:
        """Return whether its money has moved."""
        return self.state in ("completed", "failed", "called_off")

    def listeners(self) -> list[str]:
        """Return who hears of it."""
        terms = self.terms
        names = [terms.payer, terms.provider]
        if terms.attester is not None:
            names.append(terms.attester)
        return list(dict.fromkeys(names))

    def late_fee_at(self, time_us: int) -> int:
        """Return what a delivery at a time costs its provider: so much for each started hour, at most the price."""
        if self.late_since_us is None:
            return 0
        hours = (time_us - self.late_since_us) // HOUR_US + 1
        return min(hours * self.terms.late_per_hour, self.terms.price)

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.number, self.origin, self.escrow, self.terms.dump(), self.opened_us, self.state, self.deadline_id,
            self.fencing_token, self.lease_id, self.late_since_us, self.delivered_us, self.reference, self.digest,
            self.late_fee, self.cause, self.dispute, self.frozen_state, self.score,
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Settlement:
        """Return the settlement of which ``dump`` gave the state."""
        number, origin, escrow, terms, opened_us = state[:5]
        settlement = Settlement(number, origin, escrow, SettlementTerms(*terms), opened_us)
        (
            settlement.state, settlement.deadline_id, settlement.fencing_token, settlement.lease_id,
            settlement.late_since_us, settlement.delivered_us, settlement.reference, settlement.digest,
            settlement.late_fee, settlement.cause, settlement.dispute, settlement.frozen_state, settlement.score,
        ) = state[5:]  # fmt: skip
        return settlement

"""Hold a lease, and the arithmetic of its rent."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Lease", "Period"]


class Period(NamedTuple):
    """Be one term of a lease: its rent accrues evenly from its start to its end."""

    start_us: int
    end_us: int
    rent: int

    def accrued(self, at_us: int) -> int:
        """Return the rent for the time up to ``at_us``, rounded down."""
        return (
            self.rent * min(max(at_us - self.start_us, 0), self.end_us - self.start_us) // (self.end_us - self.start_us)
        )


class Lease:
    """Be one lease from its opening until its money has moved.

    What accrued is a function of the time alone, so it does not matter how often it is asked for or paid.
    """

    __slots__ = (
        "asset", "compensation", "dispute", "disputer", "end_id", "escrow", "fencing_token", "frozen_us", "lessee",
        "lessor", "market", "number", "paid", "past_rent", "periods", "price", "quantity", "renewal_price",
        "started_us", "term_us", "trade_id", "units_returned", "was_disputed",
    )  # fmt: skip

    def __init__(
        self, number: int, market: str, trade_id: int, escrow: str, lessee: str, lessor: str, asset: str, quantity: int,
        price: int, compensation: int, term_us: int, fencing_token: int, first: Period,
    ) -> None:  # fmt: skip
        self.number = number
        self.market = market
        self.trade_id = trade_id
        self.escrow = escrow
        self.lessee = lessee
        self.lessor = lessor
        self.asset = asset
        self.quantity = quantity
        self.price = price
        self.compensation = compensation
        self.term_us = term_us
        self.fencing_token = fencing_token
        self.started_us = first.start_us
        self.periods: list[Period] = [first]
        """The terms that are not over, or were not when somebody last looked; at least one."""
        self.past_rent = 0
        """The rent of the terms before."""
        self.paid = 0
        """What rent the lessor was paid so far."""
        self.end_id = 0
        self.renewal_price: int | None = None
        self.frozen_us: int | None = None
        """Since when a dispute stops the accrual."""
        self.dispute: int | None = None
        self.disputer = ""
        self.was_disputed = False
        self.units_returned = False

    @property
    def ends_us(self) -> int:
        """Return when the last term is over."""
        return self.periods[-1].end_us

    @property
    def rent(self) -> int:
        """Return the rent of all terms together."""
        return self.past_rent + sum(period.rent for period in self.periods)

    def accrued(self, at_us: int) -> int:
        """Return the rent that is due to the lessor for the time up to ``at_us``, what it was paid included."""
        if self.frozen_us is not None:
            at_us = min(at_us, self.frozen_us)
        return self.past_rent + sum(period.accrued(at_us) for period in self.periods)

    def extend(self, rent: int, now_us: int) -> None:
        """Add a term after the last one; forget those that are over."""
        self.periods.append(Period(self.ends_us, self.ends_us + self.term_us, rent))
        while self.periods[0].end_us <= now_us:
            self.past_rent += self.periods.pop(0).rent

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.number, self.market, self.trade_id, self.escrow, self.lessee, self.lessor, self.asset, self.quantity,
            self.price, self.compensation, self.term_us, self.fencing_token, self.started_us,
            [list(period) for period in self.periods], self.past_rent, self.paid, self.end_id, self.renewal_price,
            self.frozen_us, self.dispute, self.disputer, self.was_disputed, self.units_returned,
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Lease:
        """Return the lease of which ``dump`` gave the state."""
        periods = [Period(*period) for period in state[13]]
        lease = Lease(
            state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7], state[8], state[9],
            state[10], state[11], periods[0],
        )  # fmt: skip
        lease.periods = periods
        (
            lease.past_rent, lease.paid, lease.end_id, lease.renewal_price, lease.frozen_us, lease.dispute,
            lease.disputer, lease.was_disputed, lease.units_returned,
        ) = state[14:]  # fmt: skip
        lease.started_us = state[12]
        return lease

"""Faults of leases, and of markets whose trades are settled later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exchange.mechanisms.leases.lease import Lease, Period
from exchange.mechanisms.leases.mechanism import Leases
from exchange.mechanisms.leases.turns import Turns
from exchange.mechanisms.orders.pledging import Pledges
from tests.core.planted import plant

if TYPE_CHECKING:
    from exchange.mechanisms.leases.turns import Turn, TurnBid
    from exchange.mechanisms.orders.order import Order

_return_units = Leases._return_units
_close = Turns.close
_needed = Pledges.needed
_settle_taker = Pledges.settle_taker


def _accrue_the_whole(self: Lease, at_us: int) -> int:
    """Let a term's rent be due when it begins."""
    return self.past_rent + sum(period.rent for period in self.periods if period.start_us < at_us)


def _forget_the_past(self: Lease, rent: int, now_us: int) -> None:
    """Lose the rent of terms that are over when a lease is renewed."""
    self.periods = [Period(self.ends_us, self.ends_us + self.term_us, rent)]
    del now_us


def _keep_the_token(self: Leases, lease: Lease) -> None:
    """Let the token of a lease that is over stay good."""
    _return_units(self, lease)
    self.by_token[lease.fencing_token] = lease.number


def _keep_the_losers(self: Turns, resource: str, turn: Turn | None, escrow: str) -> list[TurnBid]:
    """Release only the winner."""
    if turn is not None:
        self.bids[resource] = {turn.winner.owner: turn.winner}
    return _close(self, resource, turn, escrow)


def _round_up(self: Pledges, worst_price: int, quantity: int) -> int:
    """Pledge too much for single trades of a whole."""
    return _needed(self, worst_price, quantity) + 1


def _keep_the_pledge(self: Pledges, order: Order) -> None:
    """Cancel a sell order, but not what it pledged."""
    del self, order


def _pay_the_seller(self: Pledges, order: Order, quantity: int, value: int, fee: int, *rest: Any, **kept: Any) -> None:
    """Pay a seller that takes at the trade, beside the escrow."""
    if not order.is_buy:
        rest[0].append((order.trader.credit, value, 0))
    _settle_taker(self, order, quantity, value, fee, *rest, **kept)


plant("rent is due in advance", Lease, "accrued", _accrue_the_whole, "leases")
plant("a renewal loses rent", Lease, "extend", _forget_the_past, "leases")
plant("an old token stays good", Leases, "_return_units", _keep_the_token, "leases")
plant("losing bids stay held", Turns, "close", _keep_the_losers, "leases")
plant("bonds round up", Pledges, "needed", _round_up, "orders", "leases")
plant("a canceled sell keeps its pledge", Pledges, "cancel", _keep_the_pledge, "orders", "leases")
plant("a seller is paid twice", Pledges, "settle_taker", _pay_the_seller, "orders", "leases")

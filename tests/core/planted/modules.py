"""Faults of property."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exchange.mechanisms.property.access import Access
from exchange.mechanisms.property.auctioning import Auctions
from exchange.mechanisms.property.homesteading import Homesteads
from exchange.mechanisms.property.regime import Regime
from exchange.mechanisms.property.renting import Rental, Renting
from tests.core.planted import plant

if TYPE_CHECKING:
    from exchange.mechanisms.cashier import Posting
    from exchange.mechanisms.property.auctioning import Auction, Bid
    from exchange.mechanisms.property.module import Module

_collect_legs = Regime._collect_legs
_forget = Homesteads._forget
_warn = Regime.warn


def _keep_a_unit(self: Regime, module: Module, posting: Posting) -> int:
    due = _collect_legs(self, module, posting)
    if module.holding is not None and due:
        module.holding.collected -= 1
    return due


def _leave_exhausted(self: Regime) -> None:
    self.exhaust_id = 0


def _never_reschedule(self: Regime) -> None:
    if not self.exhaust_id and self.next_exhaustion_us() is not None:
        self.exhaust_id = self._context.deadlines.schedule(self.next_exhaustion_us() or 0, "property.exhaust")
    self.warn_id = self._stand_for(self.warn_id, "property.warn", self.next_warning_us())


def _warn_again(self: Regime) -> None:
    first = self.warnings.first()
    _warn(self)
    if first is not None:
        self.warnings.put(first[1], first[0])
        self._schedule()


def _refund_all(self: Renting, rental: Rental, posting: Posting, until_us: int | None = None) -> tuple[int, int]:
    del until_us
    refunded = rental.rent - rental.paid
    posting.give_back(rental.escrow, rental.renter, refunded - 1)
    return 0, refunded


def _forget_nothing_held(self: Auctions, auction: Auction, bid: Bid) -> None:
    self._forget_bid(auction, bid)


def _keep_writing(self: Access, module: Module, writer: str) -> None:
    del self
    module.writer = module.writer or writer


def _leave_deadline(self: Homesteads, claim: Any, how: Any) -> None:
    claim.deadline_id = 0
    _forget(self, claim, how)


plant("a unit of tax is collected twice", Regime, "_collect_legs", _keep_a_unit, "property")
plant("an exhausted deposit is not foreclosed", Regime, "exhaust", _leave_exhausted, "property")
plant("a new first exhaustion has no deadline", Regime, "_schedule", _never_reschedule, "property")
plant("an owner is warned again and again", Regime, "warn", _warn_again, "property")
plant("a rental that ends loses a unit", Renting, "close", _refund_all, "property")
plant("a withdrawn bid stays held", Auctions, "_drop", _forget_nothing_held, "property")
plant("a seller writes for ever", Access, "begin_handover", _keep_writing, "property")
plant("a claim that ended lapses", Homesteads, "_forget", _leave_deadline, "property")

"""Hold a market: its terms, its phase, its prices; and the arithmetic of values, fees and holds."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import astuple

from exchange.mechanisms.orders.stops import StopBook

if TYPE_CHECKING:
    from exchange.ledger import Asset
    from exchange.mechanisms.orders.book import Book, BookSide
    from exchange.mechanisms.orders.order import Order
    from exchange.mechanisms.orders.pledging import Pledges
    from exchange.messages.orders import CreateMarket, Phase

__all__ = ["Market"]

_BP: Final = 10_000
"""Basis points in the whole."""

_PLAIN_NOTIONAL_MAX: Final = 2**61
"""An order worth more takes the slower way: comparing with ``NOTIONAL_MAX`` needs more than a machine word."""

_REFERENCE_US: Final = 60_000_000
"""The reference follows the last trade once a minute, so a run of trades cannot drag it along."""


class Market:
    """Be one market against credits."""

    __slots__ = (
        "asks", "auction_price", "base", "bids", "fee_free", "last_price", "lot", "maker_bp", "market_id",
        "max_quantity", "min_quantity",
        "open_orders", "phase", "phase_deadline", "phase_until_us", "pledges", "reference_price", "reference_time_us",
        "scale", "stops", "taker_bp", "terms", "tick", "trades", "triggered", "triggering", "volume", "worst_bp",
    )  # fmt: skip

    def __init__(self, terms: CreateMarket, base: Asset, book: Book) -> None:
        self.market_id = terms.market
        self.terms = terms
        self.base = base
        self.scale = base.scale
        self.tick = terms.tick
        self.lot = terms.lot
        self.min_quantity = terms.min_quantity or terms.lot
        self.max_quantity = terms.max_quantity
        self.maker_bp = terms.maker_fee_bp
        self.taker_bp = terms.taker_fee_bp
        self.worst_bp = max(terms.maker_fee_bp, terms.taker_fee_bp)
        self.fee_free = self.worst_bp == 0
        self.bids: BookSide = book.bids
        self.asks: BookSide = book.asks
        self.pledges: Pledges | None = None
        """What sellers pledge, where the settlement is not instant."""
        self.stops = StopBook()
        # Stops that were set off and wait for their turn.
        self.triggered: deque[Order] = deque()
        self.triggering = False
        """Whether a follow-up that executes them is queued or running; never true between commands."""
        self.phase: Phase = "open"
        self.phase_until_us: int | None = None
        self.phase_deadline = 0
        self.auction_price: int | None = None
        """The price of an uncrossing that takes more than one step."""
        self.reference_price = terms.reference_price
        self.reference_time_us = 0
        self.last_price: int | None = None
        self.open_orders = 0
        self.volume = 0
        self.trades = 0

    def takes(self, price: int, quantity: int) -> bool:
        """Return whether an order of this price and quantity surely is in order; ``check_order`` says what is not."""
        return (
            price % self.tick == 0
            and quantity % self.lot == 0
            and self.min_quantity <= quantity <= self.max_quantity
            and price * quantity <= _PLAIN_NOTIONAL_MAX
        )

    # ── arithmetic ──────────────────────────────────────────────────────────────────────────────

    def value(self, price: int, quantity: int) -> int:
        """Return price × quantity in the credit's smallest unit; exact by the terms of the market."""
        return price * quantity // self.scale

    def fee_due(self, numerator: int) -> int:
        """Return an order's total fee: Σ value × basis points, rounded up once over all its fills."""
        return -(-numerator // _BP)

    def worst_cost(self, price: int, quantity: int, fee_numerator: int = 0, fee_paid: int = 0) -> int:
        """Return the most that buying ``quantity`` at no more than ``price`` can still cost, fees included."""
        value = price * quantity // self.scale
        if self.fee_free:
            return value
        return value + self.fee_due(fee_numerator + value * self.worst_bp) - fee_paid

    def needed_hold(self, order: Order) -> int:
        """Return what an order must hold for what remains of it."""
        if not order.is_buy:
            return order.remaining
        return self.worst_cost(order.price, order.remaining, order.fee_numerator, order.fee)

    def affordable(self, price: int, credits: int, fee_numerator: int, fee_paid: int) -> int:
        """Return the largest quantity in whole lots that ``credits`` buy at ``price``, taker fee included.

        From ``value + ceil((numerator + value × bp) / 10,000) − paid ≤ credits``, solved for the value.
        """
        value = (_BP * (credits + fee_paid) - fee_numerator) // (_BP + self.taker_bp)
        quantity = value * self.scale // price
        return max(quantity - quantity % self.lot, 0)

    # ── price band ──────────────────────────────────────────────────────────────────────────────

    def reference(self, time_us: int) -> int | None:
        """Return the reference price as of now."""
        if self.last_price is not None and time_us - self.reference_time_us >= _REFERENCE_US:
            return self.last_price
        return self.reference_price

    def roll_reference(self, time_us: int) -> None:
        """Let the reference follow the last trade when its minute is over."""
        if time_us - self.reference_time_us >= _REFERENCE_US:
            if self.last_price is not None:
                self.reference_price = self.last_price
            self.reference_time_us = time_us

    def band(self, time_us: int) -> tuple[int, int] | None:
        """Return the lowest and the highest price at which a trade may happen, or None without a band.

        Both are on the tick and at least one tick.
        """
        reference = self.reference(time_us)
        width = self.terms.price_band_bp
        if width == 0 or reference is None:
            return None
        low = -(-reference * (_BP - width) // _BP)
        low = max(-(-low // self.tick) * self.tick, self.tick)
        high = reference * (_BP + width) // _BP
        return low, max(high - high % self.tick, low)

    # ── state ───────────────────────────────────────────────────────────────────────────────────

    def side_of(self, order: Order) -> BookSide:
        """Return the side on which an order rests."""
        return self.bids if order.is_buy else self.asks

    def is_crossed(self) -> bool:
        """Return whether the best bid meets the best ask, as it may during a call auction."""
        bid, ask = self.bids.best_price, self.asks.best_price
        return bid is not None and ask is not None and bid >= ask

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave but for the orders, which need their traders."""
        (
            _, self.phase, self.phase_until_us, self.phase_deadline, self.auction_price, self.reference_price,
            self.reference_time_us, self.last_price, self.open_orders, volume, self.trades, *_,
        ) = state  # fmt: skip
        self.volume = int(volume)

    def dump(self) -> list[object]:
        """Return the state as plain data, for hashes and snapshots."""
        return [
            # Without the id and the deadline of the command that brought them.
            list(astuple(self.terms)[2:]),
            self.phase, self.phase_until_us, self.phase_deadline, self.auction_price, self.reference_price,
            self.reference_time_us, self.last_price, self.open_orders, str(self.volume), self.trades,
            *(() if self.pledges is None else (self.pledges.dump(),)),
            [order.dump() for order in self.bids.orders()],
            [order.dump() for order in self.asks.orders()],
            [order.dump() for order in self.stops.orders()],
            [order.dump() for order in self.triggered],
        ]  # fmt: skip

"""Hold what users of the SDK get to see: whole units as ``Decimal``, times in microseconds of venue time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from decimal import Decimal

    from exchange.messages.base import Outcome

__all__ = [
    "AccountSnapshot",
    "AgentInfo",
    "Asset",
    "Balance",
    "Bbo",
    "Book",
    "Level",
    "Market",
    "NewOrder",
    "Order",
    "OrderStatus",
    "OrderTerms",
    "SettledOutcome",
    "Side",
    "SpendLimitInfo",
    "TimedOrderTerms",
    "Trade",
]

Side = Literal["buy", "sell"]
OrderStatus = Literal["new", "partially_filled", "filled", "canceled", "expired", "rejected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Describe an order as it stood at one moment.

    Quantities are in whole units of the market's base asset, prices and values in credits.
    What a reply does not tell (say, the price after a cancel) is None.
    """

    id: int
    market: str
    status: OrderStatus
    filled: Decimal
    remaining: Decimal
    filled_value: Decimal
    fee: Decimal
    side: Side | None = None
    order_type: str | None = None
    time_in_force: str | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    display_quantity: Decimal | None = None
    held: Decimal | None = None
    """What is held for it: credits of a buyer, units of the base asset of a seller."""
    expires_at_us: int | None = None
    client_order_id: str | None = None
    command_id: str | None = None

    @property
    def is_live(self) -> bool:
        """Whether the order may still trade."""
        return self.status in ("new", "partially_filled")

    @property
    def average_price(self) -> Decimal | None:
        """The mean price of the fills, rounded by the caller's decimal context; None before the first."""
        return self.filled_value / self.filled if self.filled else None


OrderType = Literal["limit", "market", "budget", "stop", "stop_limit", "iceberg"]
TimeInForce = Literal["gtc", "gtd", "ioc", "fok"]
SelfTradePrevention = Literal["none", "expire_taker", "expire_maker", "expire_both", "decrement"]


class OrderTerms(TypedDict, total=False):
    """Name the terms of an order beyond market, side, quantity and price; see `NewOrder`."""

    order_type: OrderType
    time_in_force: TimeInForce
    expires_in: float | None
    expires_at_us: int | None
    post_only: bool
    self_trade_prevention: SelfTradePrevention
    trigger_price: Decimal | int | str | None
    display_quantity: Decimal | int | str | None
    budget: Decimal | int | str | None
    client_order_id: str | None


class TimedOrderTerms(OrderTerms, total=False):
    """Add the time-out of the command in seconds of venue time."""

    timeout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """Hold the terms of an order to be placed, as ``Agent.place`` takes them.

    Quantities are whole units of the base asset, prices credits per whole unit, ``budget`` credits (in
    the place of ``quantity``). ``expires_in`` is in seconds, ``expires_at_us`` venue time; either makes
    a ``gtc`` order ``gtd``.
    """

    market: str
    side: Side
    quantity: Decimal | int | str | None = None
    price: Decimal | int | str | None = None
    order_type: OrderType = "limit"
    time_in_force: TimeInForce = "gtc"
    expires_in: float | None = None
    expires_at_us: int | None = None
    post_only: bool = False
    self_trade_prevention: SelfTradePrevention = "expire_taker"
    trigger_price: Decimal | int | str | None = None
    display_quantity: Decimal | int | str | None = None
    budget: Decimal | int | str | None = None
    client_order_id: str | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """Describe one balance in whole units of the asset."""

    asset: str
    available: Decimal
    held: Decimal

    @property
    def total(self) -> Decimal:
        """What is available and what is held."""
        return self.available + self.held


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Describe a market: prices in credits per whole unit, quantities in whole units of ``base``."""

    name: str
    base: str
    base_decimals: int
    tick: Decimal
    lot: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    maker_fee_bp: int
    taker_fee_bp: int
    price_band_bp: int
    settlement: str
    phase: str
    phase_until_us: int | None
    reference_price: Decimal | None
    last_price: Decimal | None
    best_bid: Decimal | None
    best_ask: Decimal | None
    open_orders: int
    volume: Decimal
    trades: int


@dataclass(frozen=True, slots=True)
class Level:
    """Describe one price level of a book."""

    price: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Hold the best levels of a book, the best first, as of journal index ``index``."""

    market: str
    index: int
    venue_time_us: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]

    @property
    def best_bid(self) -> Level | None:
        """The highest bid."""
        return self.bids[0] if self.bids else None

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask."""
        return self.asks[0] if self.asks else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bbo:
    """Hold the best bid and ask, and the phase of the market."""

    market: str
    index: int
    venue_time_us: int
    bid: Level | None
    ask: Level | None
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """Describe a trade; ``gap_before`` says that trades before it may be missing."""

    id: int
    market: str
    price: Decimal
    quantity: Decimal
    taker_side: Side | None
    venue_time_us: int
    gap_before: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSnapshot:
    """Hold the whole account as of event ``event_seq``."""

    event_seq: int
    venue_time_us: int
    balances: tuple[Balance, ...] = ()
    orders: tuple[Order, ...] = ()


@dataclass(frozen=True, slots=True)
class Asset:
    """Describe an asset; ``issued`` is in whole units."""

    name: str
    decimals: int
    issuer: str | None
    issued: Decimal


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """Describe a registered agent."""

    id: str
    owner: str
    roles: tuple[str, ...]
    state: str
    skills: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendLimitInfo:
    """Describe one spend limit and how far it is used, in credits."""

    scope: str
    subject: str
    total: Decimal | None
    total_used: Decimal
    per_period: Decimal | None
    period_used: Decimal
    period_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledOutcome:
    """Tell what became of a command.

    ``accepted`` and ``rejected``: it was handled, ``outcome`` is the venue's answer.
    ``never_executed``: it was not and will not be.
    """

    id: str
    state: Literal["accepted", "rejected", "never_executed"]
    reason: str | None = None
    detail: str | None = None
    order: Order | None = None
    """For a command about an order, where its market is known."""
    outcome: Outcome | None = field(default=None, repr=False)

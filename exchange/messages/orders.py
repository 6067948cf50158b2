"""Speak about markets and orders: the continuous double auction, family ``orders``.

Prices are integers in the smallest unit of the credit for one *whole* unit of the base asset;
quantities are integers in the smallest unit of the base asset. The terms of a market guarantee that
``price * quantity`` divides by the scale of the base asset, so every value is an exact integer.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from exchange.messages.base import (
    MAX_AMOUNT,
    AgentId,
    AssetId,
    BasisPoints,
    ClientOrderId,
    Command,
    Event,
    MarketId,
    NewMarketId,
    OrderId,
    Outcome,
    OwnerId,
    PositiveAmount,
    Query,
    Result,
    TimestampUs,
)

__all__ = [
    "AmendOrder",
    "BboMessage",
    "BookMessage",
    "BookResult",
    "BookSnapshot",
    "CancelAllAfter",
    "CancelOrder",
    "CreateMarket",
    "GetBook",
    "GetOrder",
    "ListMarkets",
    "ListOrders",
    "ListTrades",
    "MarketDataMessage",
    "MarketView",
    "MarketsResult",
    "MassCancel",
    "MassCancelOutcome",
    "OrderAmended",
    "OrderCanceled",
    "OrderExpired",
    "OrderFilled",
    "OrderOutcome",
    "OrderPlaced",
    "OrderReduced",
    "OrderResult",
    "OrderTriggered",
    "OrderView",
    "OrdersResult",
    "Phase",
    "PlaceOrder",
    "SelfTradePrevention",
    "Settlement",
    "Side",
    "TimeInForce",
    "Trade",
    "TradesMessage",
    "TradesResult",
]

Side = Literal["buy", "sell"]
OrderType = Literal["limit", "market", "budget", "stop", "stop_limit", "iceberg"]
TimeInForce = Literal["gtc", "gtd", "ioc", "fok"]
SelfTradePrevention = Literal["none", "expire_taker", "expire_maker", "expire_both", "decrement"]
OrderStatus = Literal["new", "partially_filled", "filled", "canceled", "expired", "rejected"]
Liquidity = Literal["maker", "taker", "auction"]
Phase = Literal["open", "auction", "cancel_only", "halted"]
Settlement = Literal["instant", "delivery", "lease"]
DeliverSeconds = Annotated[int, Meta(ge=60, le=31_622_400)]
TermSeconds = Annotated[int, Meta(ge=1, le=31_622_400)]
ConfirmSeconds = Annotated[int, Meta(ge=60, le=2_592_000)]
LateHours = Annotated[int, Meta(ge=0, le=720)]
BondBasisPoints = Annotated[int, Meta(ge=0, le=5_000)]
CancelReason = Literal["requested", "mass_cancel", "dead_man", "revoked", "forced_debit"]
ExpireReason = Literal["time_in_force", "gtd", "self_trade", "price_band", "effects_cap", "budget_spent"]


# ── commands ────────────────────────────────────────────────────────────────────────────────────


class PlaceOrder(Command, tag="orders.place", kw_only=True):
    """Place an order.

    ``price`` is the limit; for ``market``, ``budget`` and ``stop`` it is the protection price, by
    default the edge of the price band. ``budget`` (in credits' smallest unit) takes the place of
    ``quantity`` in an order of type ``budget``.
    """

    market: MarketId
    side: Side
    quantity: PositiveAmount | None = None
    price: PositiveAmount | None = None
    order_type: OrderType = "limit"
    time_in_force: TimeInForce = "gtc"
    expires_at_us: TimestampUs | None = None
    post_only: bool = False
    self_trade_prevention: SelfTradePrevention = "expire_taker"
    trigger_price: PositiveAmount | None = None
    display_quantity: PositiveAmount | None = None
    budget: PositiveAmount | None = None
    client_order_id: ClientOrderId | None = None


class AmendOrder(Command, tag="orders.amend", kw_only=True):
    """Change a live order in one step. ``quantity`` is the new total, what is filled included."""

    order_id: OrderId
    quantity: PositiveAmount | None = None
    price: PositiveAmount | None = None
    trigger_price: PositiveAmount | None = None


class CancelOrder(Command, tag="orders.cancel", kw_only=True):
    """Cancel a live order, named by exactly one of its two ids."""

    order_id: OrderId | None = None
    client_order_id: ClientOrderId | None = None


class MassCancel(Command, tag="orders.mass_cancel", kw_only=True):
    """Cancel all live orders of the agent, or of the whole ``owner``, of a market, of a side."""

    market: MarketId | None = None
    side: Side | None = None
    owner: OwnerId | None = None


class CancelAllAfter(Command, tag="orders.cancel_all_after", kw_only=True):
    """Arm the dead man's switch: cancel everything unless renewed within ``seconds``; 0 disarms it."""

    seconds: Annotated[int, Meta(ge=0, le=86_400)]


class CreateMarket(Command, tag="orders.create_market", kw_only=True):
    """Open a market for ``base`` against credits (operators only).

    ``price_band_bp`` 0 means no band; a band needs a ``reference_price``. With ``settlement`` ``delivery`` a seller
    delivers within ``deliver_seconds``, and pledges ``bond_bp`` (default 1,000) of the value; being late is allowed for
    ``late_hours`` (0) at ``late_bp_per_hour`` (500) of the value. With ``lease`` the price is for ``term_seconds``, and
    the lessor pledges ``compensation_bp`` (1,000) of the rent. Both need a band.
    """

    market: NewMarketId
    base: AssetId
    tick: PositiveAmount
    lot: PositiveAmount = 1
    min_quantity: PositiveAmount | None = None
    max_quantity: PositiveAmount = MAX_AMOUNT
    maker_fee_bp: BasisPoints = 0
    taker_fee_bp: BasisPoints = 0
    price_band_bp: BasisPoints = 1_000
    reference_price: PositiveAmount | None = None
    halt_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 60
    auction_seconds: Annotated[int, Meta(ge=0, le=604_800)] = 0
    settlement: Settlement = "instant"
    deliver_seconds: DeliverSeconds | None = None
    confirm_seconds: ConfirmSeconds | None = None
    bond_bp: BondBasisPoints | None = None
    late_hours: LateHours | None = None
    late_bp_per_hour: BasisPoints | None = None
    attester: AgentId | None = None
    term_seconds: TermSeconds | None = None
    compensation_bp: BondBasisPoints | None = None


# ── outcomes ────────────────────────────────────────────────────────────────────────────────────


class OrderResult(msgspec.Struct, omit_defaults=True, gc=False):
    """Say where an order stands after the command."""

    order_id: int
    status: OrderStatus
    filled: int = 0
    remaining: int = 0
    filled_value: int = 0
    fee: int = 0


class OrderOutcome(Outcome, tag="outcome"):
    """Answer a command about one order."""

    order: OrderResult | None = None


class MassCancelOutcome(Outcome, tag="outcome"):
    """Answer a mass cancel; ``left`` live orders are over the cap of one command: send another."""

    canceled: int = 0
    left: int = 0


# ── events ──────────────────────────────────────────────────────────────────────────────────────


class OrderPlaced(Event, tag="orders.placed", kw_only=True):
    """Tell that an order was accepted; its fills follow as events of their own."""

    order_id: int
    command_id: str
    market: str
    side: Side
    order_type: OrderType = "limit"
    quantity: int = 0
    price: int | None = None
    client_order_id: str | None = None


class OrderFilled(Event, tag="orders.filled", kw_only=True):
    """Tell of one fill. ``fee`` is what this fill cost; ``remaining`` what is left of the order."""

    order_id: int
    trade_id: int
    market: str
    side: Side
    price: int
    quantity: int
    value: int
    remaining: int
    liquidity: Liquidity
    fee: int = 0
    client_order_id: str | None = None


class OrderCanceled(Event, tag="orders.canceled", kw_only=True):
    """Tell that the ``remaining`` quantity of an order was canceled."""

    order_id: int
    market: str
    remaining: int
    reason: CancelReason = "requested"
    client_order_id: str | None = None


class OrderExpired(Event, tag="orders.expired", kw_only=True):
    """Tell that the ``remaining`` quantity of an order ended by its own terms."""

    order_id: int
    market: str
    remaining: int
    reason: ExpireReason
    client_order_id: str | None = None


class OrderAmended(Event, tag="orders.amended", kw_only=True):
    """Tell the new terms of an order; ``remaining`` is before any fill that the new terms caused."""

    order_id: int
    command_id: str
    market: str
    quantity: int
    remaining: int
    price: int | None = None
    trigger_price: int | None = None
    client_order_id: str | None = None


class OrderReduced(Event, tag="orders.reduced", kw_only=True):
    """Tell that self-trade prevention ``decrement`` took ``quantity`` off an order."""

    order_id: int
    market: str
    quantity: int
    remaining: int
    client_order_id: str | None = None


class OrderTriggered(Event, tag="orders.triggered", kw_only=True):
    """Tell that a stop was set off and is now a live market or limit order."""

    order_id: int
    market: str
    client_order_id: str | None = None


# ── queries and their results ───────────────────────────────────────────────────────────────────


class ListMarkets(Query, tag="orders.markets"):
    """Ask for the terms and the phase of every market, in order of creation, a page at a time, or of one."""

    after: str | None = None
    market: MarketId | None = None


class GetBook(Query, tag="orders.book"):
    """Ask for the best ``depth`` price levels of each side."""

    market: MarketId
    depth: Annotated[int, Meta(ge=1, le=1_000)] = 20


class ListTrades(Query, tag="orders.trades"):
    """Ask for the most recent trades of a market, newest last."""

    market: MarketId
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class ListOrders(Query, tag="orders.list"):
    """Ask for the agent's own live orders, by ascending id, a page at a time."""

    market: MarketId | None = None
    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 500


class GetOrder(Query, tag="orders.get"):
    """Ask for one of the agent's own live orders."""

    order_id: OrderId | None = None
    client_order_id: ClientOrderId | None = None


class MarketView(msgspec.Struct, kw_only=True):
    """Describe a market: its terms, its phase, its last prices."""

    market: str
    base: str
    base_decimals: int
    tick: int
    lot: int
    min_quantity: int
    max_quantity: int
    maker_fee_bp: int
    taker_fee_bp: int
    price_band_bp: int
    settlement: str
    phase: Phase
    phase_until_us: int | None = None
    reference_price: int | None = None
    last_price: int | None = None
    best_bid: int | None = None
    best_ask: int | None = None
    open_orders: int = 0
    volume: int = 0
    trades: int = 0
    deliver_seconds: int | None = None
    confirm_seconds: int | None = None
    bond_bp: int | None = None
    late_hours: int | None = None
    late_bp_per_hour: int | None = None
    attester: str | None = None
    term_seconds: int | None = None
    compensation_bp: int | None = None


class MarketsResult(Result, tag="markets", kw_only=True):
    """Answer ``ListMarkets``; ``next`` is the ``after`` of the next page, if there is one."""

    markets: list[MarketView]
    next: str | None = None


class OrderView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a live order of the asking agent; ``pledged`` are the credits that a sell holds besides its units."""

    order_id: int
    market: str
    side: Side
    order_type: OrderType
    quantity: int
    price: int | None
    status: OrderStatus
    filled: int
    remaining: int
    filled_value: int
    fee: int
    held: int
    time_in_force: TimeInForce
    expires_at_us: int | None = None
    trigger_price: int | None = None
    display_quantity: int | None = None
    client_order_id: str | None = None
    pledged: int = 0


class OrdersResult(Result, tag="orders", kw_only=True):
    """Answer ``ListOrders`` and ``GetOrder``."""

    orders: list[OrderView]
    next: int | None = None


class BookResult(Result, tag="book", kw_only=True):
    """Answer ``GetBook``: levels are ``[price, displayed quantity]``, the best first."""

    market: str
    phase: Phase
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class Trade(msgspec.Struct, gc=False):
    """Describe a trade to everybody: who traded is not told."""

    trade_id: int
    market: str
    price: int
    quantity: int
    taker_side: Side | None
    venue_time_us: int


class TradesResult(Result, tag="trades_result", kw_only=True):
    """Answer ``ListTrades``."""

    market: str
    trades: list[Trade]


# ── market data ─────────────────────────────────────────────────────────────────────────────────


class MarketDataMessage(msgspec.Struct, tag_field="type", tag="md", kw_only=True, omit_defaults=True):
    """Carry one batch of one channel: ``prev`` is the ``seq`` of the message before, 0 at the first."""

    epoch: int
    seq: int
    prev: int
    market: str
    venue_time_us: int


class BboMessage(MarketDataMessage, tag="bbo", kw_only=True):
    """Carry the best bid and ask (L1) and the phase; prices are absent where a side is empty."""

    phase: Phase
    bid: int | None = None
    bid_quantity: int = 0
    ask: int | None = None
    ask_quantity: int = 0


class BookMessage(MarketDataMessage, tag="book", kw_only=True):
    """Carry changed levels (L2) as ``[price, displayed quantity]``; quantity 0 removes a level.

    With ``snapshot`` the levels are the whole book and replace what was known.
    """

    snapshot: bool = False
    bids: list[tuple[int, int]] = []
    asks: list[tuple[int, int]] = []


class TradesMessage(MarketDataMessage, tag="trades", kw_only=True):
    """Carry the trades of one batch."""

    trades: list[Trade] = []


class BookSnapshot(msgspec.Struct, kw_only=True):
    """Hold a book as a viewer knows it: the best level first on each side."""

    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]

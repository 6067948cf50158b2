"""Speak about prediction markets: family ``predictions``.

Amounts are in the credit's smallest unit, times in microseconds of venue time. Shares are in millionths: 1,000,000 of
them pay one credit if their outcome happens. Prices are what a whole share costs, in the credit's smallest unit.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from exchange.messages.base import MAX_AMOUNT, AgentId, Amount, Command, Event, Outcome, PositiveAmount, Query, Result
from exchange.messages.base import TimestampUs as Timestamp

__all__ = [
    "OUTCOMES_MAX",
    "SHARE",
    "AcceptResolution",
    "BookLevel",
    "BuyShares",
    "CancelShareOrder",
    "ClaimOutcome",
    "EndReason",
    "ForecastView",
    "GetPrediction",
    "ListPredictions",
    "ListShareOrders",
    "ListShares",
    "MarketKind",
    "MergeSets",
    "MintSets",
    "OpenPrediction",
    "OutcomeView",
    "PlaceShareOrder",
    "PredictionBegan",
    "PredictionClosed",
    "PredictionEnded",
    "PredictionOpened",
    "PredictionOutcome",
    "PredictionReported",
    "PredictionResult",
    "PredictionState",
    "PredictionView",
    "PredictionsResult",
    "QuoteResult",
    "QuoteShares",
    "ResolvePrediction",
    "SellShares",
    "ShareOrderCanceled",
    "ShareOrderOutcome",
    "ShareOrderView",
    "ShareOrdersResult",
    "SharesResult",
    "SharesTraded",
    "SharesView",
    "Side",
    "StopReason",
    "TradeOutcome",
]

SHARE: Final = 1_000_000
"""So many millionths are one share, which pays one credit."""

OUTCOMES_MAX: Final = 16
"""No market has more outcomes."""

MarketNumber = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
ShareOrderNumber = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
OutcomeName = Annotated[str, Meta(min_length=1, max_length=64)]
Price = Annotated[int, Meta(ge=1, le=SHARE - 1)]
Liquidity = Annotated[int, Meta(ge=1_000, le=10**15)]
MarketKind = Literal["lmsr", "book"]
Side = Literal["buy", "sell"]
PredictionState = Literal["pending", "open", "closed", "reported", "disputed", "resolved", "void", "lapsed"]
StopReason = Literal["closes_at", "delivered", "failed", "reported"]
EndReason = Literal["resolved", "void", "unresolved", "unawarded"]
ShareOrderEnd = Literal[
    "canceled", "closed", "self_trade", "too_many_fills", "revoked", "dead_man", "forced_debit", "immediate"
]


# ── commands ────────────────────────────────────────────────────────────────────────────────────


class OpenPrediction(Command, tag="predictions.open", kw_only=True):
    """Open a market on a question; the first ``outcomes`` default to ``yes`` and ``no``.

    A market of kind ``lmsr`` has a market maker with ``liquidity`` (default 10 credits), whose greatest loss goes into
    escrow now. One of kind ``book`` trades complete sets, and costs nothing. ``resolver`` says what happened, until
    ``resolve_by_us``. With ``task`` it is about a task of the agent's own that is not awarded yet: trading begins at
    the award, ends with the first delivery or failure, and what comes of the award is the resolution.
    """

    question: Annotated[str, Meta(min_length=1, max_length=200)]
    outcomes: Annotated[list[OutcomeName], Meta(min_length=2, max_length=OUTCOMES_MAX)] = msgspec.field(
        default_factory=lambda: ["yes", "no"]
    )
    kind: MarketKind = "lmsr"
    liquidity: Liquidity | None = None
    closes_at_us: Timestamp | None = None
    resolve_by_us: Timestamp | None = None
    resolver: AgentId | None = None
    task: Annotated[int, Meta(ge=1, le=MAX_AMOUNT)] | None = None
    detail: Annotated[str, Meta(max_length=8_192)] = ""


class BuyShares(Command, tag="predictions.buy", kw_only=True):
    """Buy shares of the market maker, for at most ``max_cost``."""

    market: MarketNumber
    outcome: OutcomeName
    shares: PositiveAmount
    max_cost: PositiveAmount


class SellShares(Command, tag="predictions.sell", kw_only=True):
    """Sell shares to the market maker, for at least ``min_proceeds``."""

    market: MarketNumber
    outcome: OutcomeName
    shares: PositiveAmount
    min_proceeds: Amount = 0


class MintSets(Command, tag="predictions.mint", kw_only=True):
    """Pay one credit for one share of every outcome, ``sets`` times, in a market of kind ``book``."""

    market: MarketNumber
    sets: Annotated[int, Meta(ge=1, le=MAX_AMOUNT // SHARE)]


class MergeSets(Command, tag="predictions.merge", kw_only=True):
    """Give one share of every outcome for one credit, ``sets`` times, in a market of kind ``book``."""

    market: MarketNumber
    sets: Annotated[int, Meta(ge=1, le=MAX_AMOUNT // SHARE)]


class PlaceShareOrder(Command, tag="predictions.place", kw_only=True):
    """Buy or sell whole shares at ``price`` or better, in a market of kind ``book``; the rest waits, unless ``ioc``."""

    market: MarketNumber
    outcome: OutcomeName
    side: Side
    shares: PositiveAmount
    price: Price
    time_in_force: Literal["gtc", "ioc"] = "gtc"


class CancelShareOrder(Command, tag="predictions.cancel", kw_only=True):
    """Take back what is left of an order."""

    market: MarketNumber
    order: ShareOrderNumber


class ResolvePrediction(Command, tag="predictions.resolve", kw_only=True):
    """Say, as the resolver, what happened, or that nobody can say: then the market is ``void``."""

    market: MarketNumber
    outcome: OutcomeName | None = None
    void: bool = False


class ClaimOutcome(Command, tag="predictions.claim", kw_only=True):
    """Say what a dispute of the resolution that this agent may open is to come to: an outcome, or ``void``.

    Without a claim it comes to the other outcome of two, or to void.
    """

    market: MarketNumber
    outcome: OutcomeName | None = None
    void: bool = False


class AcceptResolution(Command, tag="predictions.accept", kw_only=True):
    """Accept a resolution that goes against the agent; when all whom it goes against have, it is final."""

    market: MarketNumber


class PredictionOutcome(Outcome, tag="outcome"):
    """Answer ``OpenPrediction``: the number of the market, and what is in escrow for its maker."""

    market: int = 0
    subsidy: int = 0


class TradeOutcome(Outcome, tag="outcome"):
    """Answer a trade with the maker, or of sets: what was paid or received, and how many shares the agent has now."""

    amount: int = 0
    shares: int = 0


class ShareOrderOutcome(Outcome, tag="outcome"):
    """Answer ``PlaceShareOrder``; ``value`` is what was paid for the filled shares, or received.

    Below 0 it is the other way round: those who want all other outcomes offer more than a credit for them.
    """

    order_number: int = 0
    filled: int = 0
    remaining: int = 0
    value: int = 0


# ── events ──────────────────────────────────────────────────────────────────────────────────────


class PredictionOpened(Event, tag="predictions.opened", kw_only=True):
    """Tell creator and resolver of a market; ``pending``: it waits for the award of its task."""

    market: int
    question: str
    outcomes: list[str]
    kind: MarketKind
    creator: str
    closes_at_us: int
    subsidy: int
    pending: bool = False
    task: int | None = None


class PredictionBegan(Event, tag="predictions.began", kw_only=True):
    """Tell the creator that trading has begun, because its task was awarded."""

    market: int
    task: int


class SharesTraded(Event, tag="predictions.traded", kw_only=True):
    """Tell a trader what it bought or sold for ``value``; ``order`` None: of or to the market maker."""

    market: int
    outcome: str
    side: Side
    shares: int
    value: int
    order: int | None = None
    remaining: int = 0


class ShareOrderCanceled(Event, tag="predictions.order_canceled", kw_only=True):
    """Tell that what was left of an order is gone, and why."""

    market: int
    order: int
    reason: ShareOrderEnd


class PredictionClosed(Event, tag="predictions.closed", kw_only=True):
    """Tell creator, resolver and traders that trading has stopped, and why."""

    market: int
    reason: StopReason


class PredictionReported(Event, tag="predictions.reported", kw_only=True):
    """Tell what the resolver said; ``market`` is the number to dispute it by, until ``final_at_us``."""

    market: int
    final_at_us: int
    outcome: str | None = None


class PredictionEnded(Event, tag="predictions.ended", kw_only=True):
    """Tell how a market ended, and what this agent was paid for its shares or got back.

    ``brier`` and ``log`` are what its forecasts moved the prices by, towards what happened, in points of 100 that 50
    stands in the middle of; ``scored``: they count for its reputation.
    """

    market: int
    reason: EndReason
    outcome: str | None = None
    paid: int = 0
    scored: bool = False
    brier: int = 0
    log: int = 0


# ── queries and their results ───────────────────────────────────────────────────────────────────


class GetPrediction(Query, tag="predictions.get"):
    """Ask for one market. Of ended ones the last 1,000 are known."""

    market: MarketNumber


class ListPredictions(Query, tag="predictions.list"):
    """Ask for the markets that have not ended, by number, paged."""

    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 200


class ListShares(Query, tag="predictions.shares"):
    """Ask for the agent's shares in markets that have not ended, by the number of the market, paged."""

    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 200


class ListShareOrders(Query, tag="predictions.orders"):
    """Ask for the agent's open orders in a market, the oldest first."""

    market: MarketNumber


class QuoteShares(Query, tag="predictions.quote"):
    """Ask what the market maker would take or pay for shares now."""

    market: MarketNumber
    outcome: OutcomeName
    shares: PositiveAmount
    side: Side = "buy"


class BookLevel(msgspec.Struct, kw_only=True):
    """Say how many shares are wanted or offered at a price."""

    price: int
    shares: int


class OutcomeView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe an outcome: ``probability`` in billionths; ``average`` likewise, over the time of trading so far."""

    name: str
    probability: int
    average: int
    shares: int
    bids: list[BookLevel] = msgspec.field(default_factory=list)
    asks: list[BookLevel] = msgspec.field(default_factory=list)


class PredictionView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe a market. ``outcome`` is what was reported, or happened; ``claimed`` what a dispute says instead.

    ``liquidity`` and ``subsidy`` are 0 without a market maker; ``in_escrow`` is what there is to pay shares from.
    """

    market: int
    question: str
    kind: MarketKind
    state: PredictionState
    creator: str
    outcomes: list[OutcomeView]
    closes_at_us: int
    traders: int
    trades: int
    in_escrow: int
    liquidity: int = 0
    subsidy: int = 0
    detail: str = ""
    resolver: str | None = None
    resolve_by_us: int | None = None
    task: int | None = None
    performer: str | None = None
    outcome: str | None = None
    is_void: bool = False
    final_at_us: int | None = None
    dispute: int | None = None
    claimed: str | None = None
    ended: EndReason | None = None


class PredictionResult(Result, tag="prediction", kw_only=True):
    """Answer ``GetPrediction``."""

    prediction: PredictionView


class PredictionsResult(Result, tag="predictions", kw_only=True):
    """Answer ``ListPredictions``; ``next`` is the ``after`` of the next page, if there is one."""

    predictions: list[PredictionView]
    next: int | None = None


class ForecastView(msgspec.Struct, kw_only=True):
    """Say what stands on an agent's forecasts in a market so far."""

    stake: int
    trades: int


class SharesView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe what an agent has in a market, by outcome; ``offered`` of them wait in orders."""

    market: int
    question: str
    state: PredictionState
    shares: dict[str, int]
    offered: dict[str, int] = msgspec.field(default_factory=dict)
    forecast: ForecastView | None = None


class SharesResult(Result, tag="shares", kw_only=True):
    """Answer ``ListShares``; ``next`` is the ``after`` of the next page, if there is one."""

    shares: list[SharesView]
    next: int | None = None


class ShareOrderView(msgspec.Struct, kw_only=True):
    """Describe an open order."""

    order: int
    outcome: str
    side: Side
    price: int
    remaining: int


class ShareOrdersResult(Result, tag="share_orders", kw_only=True):
    """Answer ``ListShareOrders``."""

    orders: list[ShareOrderView]


class QuoteResult(Result, tag="quote", kw_only=True):
    """Answer ``QuoteShares``: what it costs or brings, and the probability of the outcome then, in billionths."""

    amount: int
    probability: int

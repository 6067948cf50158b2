"""Hold what users see of prediction markets. Amounts and shares are whole, probabilities at most 1."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from agent_sdk.reading import Credits
from exchange.messages.predictions import EndReason, MarketKind, PredictionState, Side

__all__ = [
    "OpenedPrediction",
    "PlacedShareOrder",
    "PredictedOutcome",
    "Prediction",
    "ShareLevel",
    "ShareOrder",
    "ShareQuote",
    "ShareTrade",
    "SharesHeld",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedPrediction:
    """Tell the number of a new market, and what its maker can lose, which is in escrow."""

    id: int
    subsidy: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareTrade:
    """Tell what a trade with the maker came to, or one of sets, and how many shares the agent has now."""

    amount: Credits
    shares: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedShareOrder:
    """Tell where an order stands; ``value`` is what was paid for what was filled, or received."""

    id: int
    filled: Credits
    remaining: Credits
    value: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareQuote:
    """Tell what the maker takes or pays now, and the probability of the outcome after that."""

    amount: Credits
    probability: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareLevel:
    """Say how many shares are wanted or offered at a price."""

    price: Credits
    shares: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedOutcome:
    """Describe an outcome; ``average`` is its probability over the time of trading so far."""

    name: str
    probability: Decimal
    average: Decimal
    shares: Credits
    bids: tuple[ShareLevel, ...]
    asks: tuple[ShareLevel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Describe a market. ``outcome`` is what was reported, or happened; ``claimed`` what a dispute says instead."""

    id: int
    question: str
    kind: MarketKind
    state: PredictionState
    creator: str
    outcomes: tuple[PredictedOutcome, ...]
    closes_at_us: int
    traders: int
    trades: int
    in_escrow: Credits
    liquidity: Credits
    subsidy: Credits
    detail: str
    resolver: str | None
    resolve_by_us: int | None
    task: int | None
    performer: str | None
    outcome: str | None
    is_void: bool
    final_at_us: int | None
    dispute: int | None
    claimed: str | None
    ended: EndReason | None

    def probability(self, outcome: str = "yes") -> Decimal:
        """Return the probability of an outcome by its name.

        Raises:
            KeyError: The market has no such outcome.

        """
        for each in self.outcomes:
            if each.name == outcome:
                return each.probability
        raise KeyError(outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharesHeld:
    """Describe what the agent has in a market, by outcome; ``offered`` of them wait in orders.

    ``stake`` and ``moves`` are what its forecasts there will be scored by.
    """

    market: int
    question: str
    state: PredictionState
    shares: dict[str, Credits]
    offered: dict[str, Credits]
    stake: Credits
    moves: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareOrder:
    """Describe an open order of the agent's own."""

    id: int
    outcome: str
    side: Side
    price: Credits
    remaining: Credits

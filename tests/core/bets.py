"""Build the scene that tests of prediction markets start from: a creator, traders, and who says what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.mechanisms.predictions import Predictions
from exchange.messages.predictions import (
    BuyShares,
    GetPrediction,
    ListShares,
    OpenPrediction,
    PlaceShareOrder,
    ResolvePrediction,
    SellShares,
)
from exchange.testing import OPERATOR
from tests.core.work import CREDIT, DAY_US, HOUR_US, Work

if TYPE_CHECKING:
    from exchange.mechanisms.predictions.market import Market
    from exchange.messages.predictions import PredictionView
    from exchange.testing import Answer

__all__ = ["SHARE", "Bets"]

SHARE: Final = CREDIT
"""A whole share, which pays one credit."""


class Bets(Work):
    """Be a venue where ``poster`` opens markets that ``ci`` resolves, and ``ann``, ``ben``, ``cid`` trade."""

    def try_to_open(self, creator: str = "poster", **terms: Any) -> Answer:
        fields = {
            "question": "will it rain on Friday",
            "closes_at_us": self.time_us + HOUR_US,
            "resolve_by_us": self.time_us + DAY_US,
            "resolver": "ci",
            **terms,
        }
        return self.submit(creator, OpenPrediction, **{name: value for name, value in fields.items() if value != ...})

    def open(self, creator: str = "poster", **terms: Any) -> int:
        answer = self.try_to_open(creator, **terms)
        assert answer.accepted, answer.outcome
        return int(answer.data["market"])

    def bet_on(self, task: int = 1, **terms: Any) -> int:
        """Open a market about a task."""
        return self.open(task=task, closes_at_us=..., resolve_by_us=..., resolver=..., **terms)

    def try_to_buy(self, agent: str, outcome: str = "yes", shares: int = 5 * SHARE, **terms: Any) -> Answer:
        fields = {"market": 1, "outcome": outcome, "shares": shares, "max_cost": 100 * CREDIT, **terms}
        return self.submit(agent, BuyShares, **fields)

    def buy_shares(self, agent: str, outcome: str = "yes", shares: int = 5 * SHARE, **terms: Any) -> int:
        """Buy of the maker, and return what it cost."""
        answer = self.try_to_buy(agent, outcome, shares, **terms)
        assert answer.accepted, answer.outcome
        return int(answer.data["amount"])

    def sell_shares(self, agent: str, outcome: str = "yes", shares: int = 5 * SHARE, **terms: Any) -> int:
        """Sell to the maker, and return what it brought."""
        answer = self.submit(agent, SellShares, market=terms.pop("market", 1), outcome=outcome, shares=shares, **terms)
        assert answer.accepted, answer.outcome
        return int(answer.data.get("amount", 0))

    def order(
        self, agent: str, side: str, whole: int, cents: int, outcome: str = "yes", market: int = 1, **terms: Any
    ) -> Answer:
        """Place an order for whole shares at a price in hundredths of a credit."""
        return self.submit(
            agent,
            PlaceShareOrder,
            market=market,
            outcome=outcome,
            side=side,
            shares=whole * SHARE,
            price=cents * 10_000,
            **terms,
        )

    def resolve(self, outcome: str | None = "yes", market: int = 1, by: str = "ci") -> Answer:
        said: dict[str, Any] = {"void": True} if outcome is None else {"outcome": outcome}
        return self.submit(by, ResolvePrediction, market=market, **said)

    def let_be_final(self) -> None:
        self.advance_to(self.time_us + DAY_US)

    def look(self, market: int = 1) -> PredictionView:
        query = GetPrediction(market=market)
        return self.engine.query(OPERATOR, query).prediction  # type: ignore[attr-defined,no-any-return]

    def shares(self, agent: str, market: int = 1) -> dict[str, int]:
        """Return an agent's shares by outcome, in whole ones."""
        views = self.engine.query(agent, ListShares()).shares  # type: ignore[attr-defined]
        found: dict[str, int] = next((view.shares for view in views if view.market == market), {})
        return {name: count // SHARE for name, count in found.items()}

    @property
    def predictions(self) -> Predictions:
        found = self.engine.mechanisms["predictions"]
        assert isinstance(found, Predictions)
        return found

    def market_state(self, market: int = 1) -> Market:
        return self.predictions.live[market]

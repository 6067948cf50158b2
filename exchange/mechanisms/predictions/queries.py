"""Answer what may be known of prediction markets: everything but who has what, which only its owner sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.mechanisms.base import NotFound
from exchange.mechanisms.predictions import lmsr
from exchange.messages.predictions import (
    BookLevel,
    ForecastView,
    GetPrediction,
    ListPredictions,
    ListShareOrders,
    ListShares,
    OutcomeView,
    PredictionResult,
    PredictionsResult,
    PredictionView,
    QuoteResult,
    QuoteShares,
    ShareOrdersResult,
    ShareOrderView,
    SharesResult,
    SharesView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.predictions.market import Market
    from exchange.mechanisms.predictions.mechanism import Predictions
    from exchange.messages.base import Query, Result

__all__ = ["Queries"]

_LEVELS: Final = 10
"""So many prices of each side are shown."""


class Queries:
    """Read the markets; change nothing."""

    def __init__(self, predictions: Predictions) -> None:
        self._predictions = predictions

    def readers(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader of each query."""
        return {
            GetPrediction: self._get,
            ListPredictions: self._list,
            ListShares: self._shares,
            ListShareOrders: self._orders,
            QuoteShares: self._quote,
        }

    def _find(self, number: int) -> Market:
        market = self._predictions.live.get(number) or self._predictions.ended.get(number)
        if market is None:
            message = f"no prediction market {number}"
            raise NotFound(message)
        return market

    def _get(self, agent: AgentRecord, query: GetPrediction) -> PredictionResult:
        del agent
        return PredictionResult(prediction=self._view(self._find(query.market)))

    def _list(self, agent: AgentRecord, query: ListPredictions) -> PredictionsResult:
        del agent
        live = self._predictions.live
        numbers = sorted(number for number in live if number > query.after)
        page = numbers[: query.limit]
        views = [self._view(live[number]) for number in page]
        return PredictionsResult(predictions=views, next=page[-1] if len(numbers) > query.limit else None)

    def _shares(self, agent: AgentRecord, query: ListShares) -> SharesResult:
        mine = self._predictions.by_agent.get(agent.agent_id, ())
        numbers = sorted(number for number in mine if number > query.after)
        page = numbers[: query.limit]
        views: list[SharesView] = []
        for number in page:
            market = self._predictions.live[number]
            trader = market.traders[agent.agent_id]
            forecast = ForecastView(stake=trader.stake, trades=trader.trades) if trader.trades else None
            views.append(
                SharesView(
                    market=number,
                    question=market.question,
                    state=market.state,
                    shares=dict(zip(market.outcomes, trader.shares, strict=True)),
                    offered={name: count for name, count in zip(market.outcomes, trader.offered, strict=True) if count},
                    forecast=forecast,
                )
            )
        return SharesResult(shares=views, next=page[-1] if len(numbers) > query.limit else None)

    def _orders(self, agent: AgentRecord, query: ListShareOrders) -> ShareOrdersResult:
        market = self._find(query.market)
        views = [
            ShareOrderView(
                order=order.number,
                outcome=market.outcomes[order.outcome],
                side=order.side,
                price=order.price,
                remaining=order.remaining,
            )
            for order in market.book.of(agent.agent_id)
        ]
        return ShareOrdersResult(orders=views)

    def _quote(self, agent: AgentRecord, query: QuoteShares) -> QuoteResult:
        del agent
        market = self._find(query.market)
        place = market.place_of(query.outcome)
        if place is None or market.kind != "lmsr" or market.state != "open":
            message = f"no market maker quotes {query.outcome!r} in market {query.market} now"
            raise NotFound(message)
        is_buy = query.side == "buy"
        after = market.sold[place] + (query.shares if is_buy else -query.shares)
        # However far an outcome is ahead, it can be sold.
        if after < 0 or (is_buy and self._predictions.trading.check_size(market, after) is not None):
            message = f"market {query.market} does not trade {query.shares} shares of {query.outcome!r} at once"
            raise NotFound(message)
        change, prices = lmsr.moved(market.liquidity, market.sold, place, after)
        amount = lmsr.charged(change) if is_buy else lmsr.paid(change)
        return QuoteResult(amount=amount, probability=prices[place])

    def _view(self, market: Market) -> PredictionView:
        claimed = next(iter(market.claims.values()), None) if market.dispute is not None else None
        return PredictionView(
            market=market.number,
            question=market.question,
            detail=market.detail,
            kind=market.kind,
            state=market.state,
            creator=market.creator,
            outcomes=self._outcomes(market),
            closes_at_us=market.closes_at_us,
            traders=market.total_traders,
            trades=market.trades,
            in_escrow=market.pot,
            liquidity=market.liquidity,
            subsidy=market.subsidy,
            resolver=market.resolver,
            resolve_by_us=market.resolve_by_us or None,
            task=market.task,
            performer=market.performer or None,
            outcome=market.name_of(market.resolution),
            is_void=market.resolution is not None and market.resolution < 0,
            final_at_us=market.final_at_us or None,
            dispute=market.dispute,
            claimed=market.name_of(claimed),
            ended=market.ended,
        )

    def _outcomes(self, market: Market) -> list[OutcomeView]:
        now_us = self._predictions.context.time_us if market.state == "open" else market.priced_us
        elapsed_us, life_us = now_us - market.priced_us, now_us - market.began_us
        views: list[OutcomeView] = []
        for place, name in enumerate(market.outcomes):
            price = market.prices[place]
            average = (market.averages[place] + price * elapsed_us) // life_us if life_us else price
            views.append(
                OutcomeView(
                    name=name,
                    probability=price,
                    average=average,
                    shares=market.sold[place],
                    bids=self._levels(market, place, "buy"),
                    asks=self._levels(market, place, "sell"),
                )
            )
        return views

    @staticmethod
    def _levels(market: Market, place: int, side: Any) -> list[BookLevel]:
        return [BookLevel(price=price, shares=shares) for price, shares in market.book.depth(place, side, _LEVELS)]

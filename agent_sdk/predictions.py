"""Open prediction markets, trade shares of outcomes, and say what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent_sdk.markets import credits_from
from agent_sdk.money import from_units, to_credits, to_units
from agent_sdk.prediction_models import (
    OpenedPrediction,
    PlacedShareOrder,
    PredictedOutcome,
    Prediction,
    ShareLevel,
    ShareOrder,
    ShareQuote,
    SharesHeld,
    ShareTrade,
)
from agent_sdk.reading import Namespace, page_through, read
from exchange.messages import predictions as wire

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from agent_sdk.money import Number

__all__ = ["Predictions"]

_SHARE_DECIMALS: Final = 6
_PROBABILITY_DECIMALS: Final = 9


def _shares(shares: Number) -> int:
    return to_units(shares, _SHARE_DECIMALS, "shares")


def _prediction(view: wire.PredictionView) -> Prediction:
    outcomes = tuple(
        PredictedOutcome(
            name=each.name,
            probability=from_units(each.probability, _PROBABILITY_DECIMALS),
            average=from_units(each.average, _PROBABILITY_DECIMALS),
            shares=credits_from(each.shares),
            bids=tuple(read(ShareLevel, level) for level in each.bids),
            asks=tuple(read(ShareLevel, level) for level in each.asks),
        )
        for each in view.outcomes
    )
    return read(Prediction, view, id=view.market, outcomes=outcomes)


def _held(view: wire.SharesView) -> SharesHeld:
    forecast = view.forecast
    stake = credits_from(0 if forecast is None else forecast.stake)
    return read(SharesHeld, view, stake=stake, moves=0 if forecast is None else forecast.trades)


def _trade(outcome: wire.TradeOutcome) -> ShareTrade:
    return ShareTrade(amount=credits_from(outcome.amount), shares=credits_from(outcome.shares))


class Predictions(Namespace):
    """Forecast. Every method raises like `Agent.place`: ``Rejected`` says which rule said no."""

    # ── opening ─────────────────────────────────────────────────────────────────────────────────

    async def open(
        self,
        question: str,
        *,
        resolver: str,
        closes_in: float,
        resolve_in: float,
        outcomes: Sequence[str] = ("yes", "no"),
        kind: wire.MarketKind = "lmsr",
        liquidity: Number | None = None,
        detail: str = "",
    ) -> OpenedPrediction:
        """Open a market that trades for ``closes_in`` seconds and is resolved within ``resolve_in`` by ``resolver``.

        With ``lmsr`` there is a maker, and what it can lose, ``liquidity`` times the logarithm of the number of
        outcomes, goes into escrow; with ``book`` complete sets are traded by orders.

        Raises:
            InsufficientCredits: The subsidy is not there.
            InvalidPredictionTerms: The detail says what does not fit.

        """
        return await self._open(
            question=question,
            outcomes=list(outcomes),
            kind=kind,
            liquidity=None if liquidity is None else to_credits(liquidity, "liquidity"),
            closes_at_us=self._at(closes_in),
            resolve_by_us=self._at(resolve_in),
            resolver=resolver,
            detail=detail,
        )

    async def open_for_task(
        self,
        task: int,
        question: str,
        *,
        closes_in: float | None = None,
        kind: wire.MarketKind = "lmsr",
        liquidity: Number | None = None,
        detail: str = "",
    ) -> OpenedPrediction:
        """Open a market on whether a task of the agent's own is done; trading begins with its award."""
        return await self._open(
            question=question,
            task=task,
            kind=kind,
            liquidity=None if liquidity is None else to_credits(liquidity, "liquidity"),
            closes_at_us=None if closes_in is None else self._at(closes_in),
            detail=detail,
        )

    async def _open(self, **fields: object) -> OpenedPrediction:
        outcome = await self._give(wire.OpenPrediction, wire.PredictionOutcome, **fields)
        return OpenedPrediction(id=outcome.market, subsidy=credits_from(outcome.subsidy))

    # ── trading with the maker ──────────────────────────────────────────────────────────────────

    async def quote(
        self, market: int, outcome: str, shares: Number, *, side: Literal["buy", "sell"] = "buy"
    ) -> ShareQuote:
        """Return what the maker takes or pays for shares now.

        Raises:
            NotFound: No maker trades that in this market now.

        """
        query = wire.QuoteShares(market=market, outcome=outcome, shares=_shares(shares), side=side)
        result = await self._connection.query(query, wire.QuoteResult)
        probability = from_units(result.probability, _PROBABILITY_DECIMALS)
        return ShareQuote(amount=credits_from(result.amount), probability=probability)

    async def buy(self, market: int, outcome: str, shares: Number, *, max_cost: Number) -> ShareTrade:
        """Buy shares of the maker for at most ``max_cost``.

        Raises:
            PriceMoved: They cost more by now.

        """
        fields = {"market": market, "outcome": outcome, "shares": _shares(shares)}
        limit = to_credits(max_cost, "max_cost")
        return _trade(await self._give(wire.BuyShares, wire.TradeOutcome, **fields, max_cost=limit))

    async def sell(self, market: int, outcome: str, shares: Number, *, min_proceeds: Number = 0) -> ShareTrade:
        """Sell shares to the maker for at least ``min_proceeds``.

        Raises:
            PriceMoved: They bring less by now.

        """
        fields = {"market": market, "outcome": outcome, "shares": _shares(shares)}
        limit = 0 if min_proceeds == 0 else to_credits(min_proceeds, "min_proceeds")
        return _trade(await self._give(wire.SellShares, wire.TradeOutcome, **fields, min_proceeds=limit))

    # ── complete sets ───────────────────────────────────────────────────────────────────────────

    async def mint(self, market: int, sets: int) -> ShareTrade:
        """Pay a credit for a share of every outcome, so many times."""
        return _trade(await self._give(wire.MintSets, wire.TradeOutcome, market=market, sets=sets))

    async def merge(self, market: int, sets: int) -> ShareTrade:
        """Give a share of every outcome for a credit, so many times."""
        return _trade(await self._give(wire.MergeSets, wire.TradeOutcome, market=market, sets=sets))

    async def place(
        self,
        market: int,
        outcome: str,
        side: Literal["buy", "sell"],
        shares: int,
        price: Number,
        *,
        time_in_force: Literal["gtc", "ioc"] = "gtc",
    ) -> PlacedShareOrder:
        """Buy or sell whole shares at ``price`` or better; the rest waits, unless ``ioc``."""
        placed = await self._give(
            wire.PlaceShareOrder,
            wire.ShareOrderOutcome,
            market=market,
            outcome=outcome,
            side=side,
            shares=_shares(shares),
            price=to_credits(price, "price"),
            time_in_force=time_in_force,
        )
        return PlacedShareOrder(
            id=placed.order_number,
            filled=credits_from(placed.filled),
            remaining=credits_from(placed.remaining),
            value=credits_from(placed.value),
        )

    async def cancel(self, market: int, order: int) -> None:
        """Take back what is left of an order."""
        await self._give(wire.CancelShareOrder, market=market, order=order)

    # ── resolution ──────────────────────────────────────────────────────────────────────────────

    async def resolve(self, market: int, outcome: str | None) -> None:
        """Say, as the resolver, what happened; None: nobody can say, and the market is void."""
        await self._give(wire.ResolvePrediction, market=market, outcome=outcome, void=outcome is None)

    async def claim(self, market: int, outcome: str | None) -> None:
        """Say what happened instead, before disputing a report (`Disputes.open` with the number of the market)."""
        await self._give(wire.ClaimOutcome, market=market, outcome=outcome, void=outcome is None)

    async def accept(self, market: int) -> None:
        """Accept a report that goes against the agent, instead of letting the window pass."""
        await self._give(wire.AcceptResolution, market=market)

    # ── asking ──────────────────────────────────────────────────────────────────────────────────

    async def get(self, market: int) -> Prediction:
        """Return one market.

        Raises:
            NotFound: There is none, or it ended long ago.

        """
        result = await self._connection.query(wire.GetPrediction(market=market), wire.PredictionResult)
        return _prediction(result.prediction)

    async def shares(self) -> list[SharesHeld]:
        """Return what the agent has in markets that have not ended."""

        async def ask(after: int) -> wire.SharesResult:
            return await self._connection.query(wire.ListShares(after=after), wire.SharesResult)

        return [_held(view) for view in await page_through(ask, "shares")]

    async def orders(self, market: int) -> list[ShareOrder]:
        """Return the agent's open orders in a market, the oldest first."""
        result = await self._connection.query(wire.ListShareOrders(market=market), wire.ShareOrdersResult)
        return [read(ShareOrder, view, id=view.order) for view in result.orders]

    async def list(self) -> list[Prediction]:
        """Return the markets that have not ended, the oldest first."""

        async def ask(after: int) -> wire.PredictionsResult:
            return await self._connection.query(wire.ListPredictions(after=after), wire.PredictionsResult)

        return [_prediction(view) for view in await page_through(ask, "predictions")]

"""Prediction markets by the SDK, on the exchange in memory."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from agent_sdk import (
    NotFound,
    PredictionBegan,
    PredictionClosed,
    PredictionEnded,
    PredictionOpened,
    PredictionReported,
    Rejected,
    ShareOrderCanceled,
    SharesTraded,
)
from agent_sdk.errors import InsufficientShares, PriceMoved
from exchange.testing import LocalExchange
from tests.sdk.test_agreements import heard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_sdk import Agent

HOUR = 3_600.0
DAY = 86_400.0


@contextlib.asynccontextmanager
async def exchange_with_agents() -> AsyncIterator[tuple[LocalExchange, dict[str, Agent]]]:
    async with LocalExchange() as exchange:
        operator = await exchange.operator()
        await operator.admin.register_agent("ci", owner="ci", roles=["attester"], endowment=0)
        agents = {name: await exchange.agent(name, credits=100) for name in ("poster", "ann", "ben")}
        yield exchange, {**agents, "ci": await exchange.agent("ci")}


async def test_a_market_with_a_maker_from_opening_to_payout() -> None:
    async with exchange_with_agents() as (exchange, agents):
        poster, ann, ben, ci = agents.values()
        opened = await poster.predictions.open("rain", resolver="ci", closes_in=HOUR, resolve_in=DAY)
        assert opened.subsidy == Decimal("6.931472")
        (told,) = await heard(ci, PredictionOpened)
        assert (told.market, told.outcomes, told.pending) == (opened.id, ("yes", "no"), False)

        quote = await ann.predictions.quote(opened.id, "yes", 5)
        assert (quote.amount, quote.probability) == (Decimal("2.809299"), Decimal("0.622459331"))
        with pytest.raises(PriceMoved, match=r"2\.809299"):
            await ann.predictions.buy(opened.id, "yes", 5, max_cost="2.80")
        bought = await ann.predictions.buy(opened.id, "yes", 5, max_cost=quote.amount)
        assert (bought.amount, bought.shares) == (quote.amount, 5)
        await ben.predictions.buy(opened.id, "no", "2.5", max_cost=3)
        sold = await ann.predictions.sell(opened.id, "yes", 1, min_proceeds="0.1")
        assert sold.shares == 4
        with pytest.raises(InsufficientShares):
            await ann.predictions.sell(opened.id, "yes", 5)
        (held,) = await ann.predictions.shares()
        assert (held.shares, held.offered, held.moves) == ({"yes": 4, "no": 0}, {}, 2)
        assert held.stake == bought.amount + sold.amount
        assert [(event.side, event.shares, event.order) for event in await heard(ann, SharesTraded)] == [
            ("buy", 5, None),
            ("sell", 1, None),
        ]

        (market,) = await ben.predictions.list()
        assert (market.id, market.state, market.traders, market.trades) == (opened.id, "open", 2, 3)
        assert sum(outcome.probability for outcome in market.outcomes) == 1
        with pytest.raises(KeyError):
            market.probability("perhaps")

        await ci.predictions.resolve(opened.id, "yes")
        (reported,) = await heard(ben, PredictionReported)
        assert (reported.market, reported.outcome) == (opened.id, "yes")
        assert [event.reason for event in await heard(ben, PredictionClosed)] == ["reported"]
        await ben.predictions.accept(opened.id)
        with pytest.raises(Rejected, match=r"does not go against|has ended"):
            await ann.predictions.accept(opened.id)
        await exchange.advance(DAY)
        (ended,) = await heard(ann, PredictionEnded)
        assert (ended.reason, ended.outcome, ended.paid, ended.scored) == ("resolved", "yes", 4, True)
        assert ended.brier > 50
        assert (await ann.predictions.get(opened.id)).ended == "resolved"
        with pytest.raises(NotFound):
            await ann.predictions.get(99)
        with pytest.raises(NotFound, match="no market maker"):
            await ann.predictions.quote(opened.id, "yes", 1)
        assert (await ann.help.reputation("ann"))["forecast"].score > 50


async def test_a_market_of_complete_sets() -> None:
    async with exchange_with_agents() as (_, agents):
        poster, ann, ben, _ = agents.values()
        market = (await poster.predictions.open("rain", resolver="ci", closes_in=HOUR, resolve_in=DAY, kind="book")).id
        minted = await ann.predictions.mint(market, 10)
        assert (minted.amount, minted.shares) == (10, 10)
        assert (await ann.predictions.merge(market, 4)).amount == 4
        placed = await ann.predictions.place(market, "yes", "sell", 5, "0.60")
        assert (placed.filled, placed.remaining) == (0, 5)
        taken = await ben.predictions.place(market, "yes", "buy", 2, "0.65", time_in_force="ioc")
        assert (taken.filled, taken.value) == (2, Decimal("1.2"))
        view = await ben.predictions.get(market)
        assert [(level.price, level.shares) for level in view.outcomes[0].asks] == [(Decimal("0.6"), 3)]
        (order,) = await ann.predictions.orders(market)
        assert (order.id, order.outcome, order.side, order.remaining) == (placed.id, "yes", "sell", 3)
        (held,) = await ann.predictions.shares()
        assert (held.shares, held.offered) == ({"yes": 4, "no": 6}, {"yes": 3})
        await ann.predictions.cancel(market, placed.id)
        assert [(event.order, event.reason) for event in await heard(ann, ShareOrderCanceled)] == [
            (placed.id, "canceled")
        ]


async def test_a_market_about_a_task_and_a_disputed_report() -> None:
    async with exchange_with_agents() as (exchange, agents):
        poster, ann, ben, ci = agents.values()
        task = await poster.tasks.post("mend it", effort_minutes=60, reserve=20, deadline_in=DAY)
        opened = await poster.predictions.open_for_task(task.id, "done by Friday?", liquidity=5)
        assert (await ann.predictions.get(opened.id)).state == "pending"
        await ann.tasks.bid(task.id, 10)
        await exchange.advance(66)
        assert [event.market for event in await heard(poster, PredictionBegan)] == [opened.id]
        market = await ben.predictions.get(opened.id)
        assert (market.state, market.performer, market.resolver) == ("open", "ann", None)

        other = await poster.predictions.open("rain", resolver="ci", closes_in=HOUR, resolve_in=DAY, outcomes="abc")
        await ben.predictions.buy(other.id, "a", 3, max_cost=3)
        await ci.predictions.resolve(other.id, None)
        await ben.predictions.claim(other.id, "a")
        await ben.disputes.open("predictions", other.id, "it rained")
        view = await ben.predictions.get(other.id)
        assert (view.state, view.is_void, view.claimed) == ("disputed", True, "a")


async def test_amounts_are_exact() -> None:
    async with exchange_with_agents() as (_, agents):
        ann = agents["ann"]
        with pytest.raises(TypeError, match="float"):
            await ann.predictions.buy(1, "yes", 0.5, max_cost=1)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="decimals"):
            await ann.predictions.buy(1, "yes", "0.0000001", max_cost=1)

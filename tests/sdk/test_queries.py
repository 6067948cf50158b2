"""Answers are in whole units and all pages of them; what an operator gives arrives in smallest units."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from agent_sdk import NotFound, UnknownMarket, UnknownOrder
from exchange.messages.admin import (
    AgentsResult,
    AgentView,
    AssetsResult,
    AssetView,
    GetSpendLimits,
    ListAgents,
    ListAssets,
    SpendLimitsResult,
    SpendLimitView,
)
from exchange.messages.base import Refusal
from exchange.messages.orders import (
    GetOrder,
    ListMarkets,
    ListOrders,
    MarketsResult,
    OrdersResult,
    OrderView,
    Trade,
)
from exchange.messages.reasons import RefusalReason
from exchange.messages.venue import AccountResult, GetAccount
from tests.sdk.doubles import ScriptedVenue, connected, market_view, run


def order_view(order_id: int, side: Any = "buy") -> OrderView:
    """Return a live order for 1.5 units, 0.5 of them filled at 2 credits."""
    return OrderView(
        order_id=order_id,
        market="gpu",
        side=side,
        order_type="limit",
        quantity=1_500,
        price=2_000_000,
        status="partially_filled",
        filled=500,
        remaining=1_000,
        filled_value=1_000_000,
        fee=0,
        held=2_000,
        time_in_force="gtc",
    )


def test_open_orders_are_all_pages_in_whole_units() -> None:
    """Pages are put together, and a buyer's hold is credits, a seller's units."""

    async def main() -> None:
        venue = ScriptedVenue()
        pages = {0: ([order_view(1)], 1), 1: ([order_view(2, "sell")], None)}
        venue.answers[ListOrders] = lambda query: OrdersResult(orders=pages[query.after][0], next=pages[query.after][1])
        async with connected(venue) as agent:
            first, second = await agent.open_orders()
            assert (first.quantity, first.remaining, first.price) == (Decimal("1.5"), Decimal(1), Decimal(2))
            assert (first.held, second.held) == (Decimal("0.002"), Decimal(2))
            assert first.average_price == 2
            assert first.is_live
            await agent.cancel(2)
            assert not any(isinstance(query, GetOrder) for query in venue.queries)

    run(main())


def test_markets_are_listed_over_all_pages() -> None:
    """Pages are followed until there is none after."""

    async def main() -> None:
        venue = ScriptedVenue()
        pages = {None: ([market_view("a", 0)], "a"), "a": ([market_view("b", 2)], None)}
        venue.answers[ListMarkets] = lambda query: MarketsResult(
            markets=pages[query.after][0], next=pages[query.after][1]
        )
        async with connected(venue) as agent:
            assert [market.name for market in await agent.markets()] == ["a", "b"]

    run(main())


def test_one_market_is_asked_for_by_its_name() -> None:
    """Neither a look at one market nor the first order in it makes the venue list them all."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            assert (await agent.market("gpu")).lot == Decimal("0.001")
            await agent.buy("cpu", 1, 1)
            await agent.buy("cpu", 1, 1)
            asked = [query.market for query in venue.queries if isinstance(query, ListMarkets)]
            assert asked == ["gpu", "cpu"]

    run(main())


@pytest.mark.parametrize("name", ["c", "", "c" * 33])
def test_an_unknown_market_is_an_error(name: str) -> None:
    """A name that no market has, or could have, is ``UnknownMarket`` for queries and orders alike."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            with pytest.raises(UnknownMarket):
                await agent.market(name)
            with pytest.raises(UnknownMarket):
                await agent.buy(name, 1, 1)

    run(main())


def test_an_answer_without_the_market_is_an_error() -> None:
    """A venue that answers with an empty list, or with another market, does not know this one."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            for views in ([], [market_view("other", 0)]):
                venue.answers[ListMarkets] = lambda _query, views=views: MarketsResult(markets=views)
                with pytest.raises(UnknownMarket):
                    await agent.market("c")

    run(main())


def test_an_order_that_is_gone_is_unknown() -> None:
    """Both an empty answer and a refusal ``not_found`` mean that the order is not live."""

    async def main() -> None:
        venue = ScriptedVenue()
        async with connected(venue) as agent:
            with pytest.raises(UnknownOrder):
                await agent.order(5)
            venue.answers[GetOrder] = lambda _query: Refusal(RefusalReason.NOT_FOUND, "no such order")
            with pytest.raises(UnknownOrder):
                await agent.order(client_order_id="x")
            venue.answers[GetSpendLimits] = lambda _query: Refusal(RefusalReason.NOT_FOUND, "none")
            with pytest.raises(NotFound):
                await agent.spend_limits()

    run(main())


def test_an_account_that_moves_on_between_pages_is_read_again() -> None:
    """The pages of a snapshot belong together."""

    async def main() -> None:
        venue = ScriptedVenue()
        seqs = iter([1, 2, 2, 2])

        def answer(query: GetAccount) -> AccountResult:
            return AccountResult(
                agent="alice",
                event_seq=next(seqs),
                balances=[],
                orders=[order_view(query.after + 1)],
                next=None if query.after else 1,
            )

        venue.answers[GetAccount] = answer
        async with connected(venue) as agent:
            account = await agent.account()
            assert (account.event_seq, [order.id for order in account.orders]) == (2, [1, 2])

    run(main())


def test_what_everybody_can_see_is_in_whole_units() -> None:
    """Book, trades, agents and limits come as Decimals and tuples."""

    async def main() -> None:
        venue = ScriptedVenue()
        venue.bids = [(2_000_000, 1_500), (1_000_000, 1)]
        venue.trades = [Trade(1, "gpu", 2_000_000, 500, "sell", 7)]
        agents = {"": ("a", "a"), "a": ("b", None)}
        venue.answers[ListAgents] = lambda query: AgentsResult(
            agents=[AgentView(agent=agents[query.after][0], owner="o", roles=["trader"], state="active", skills=[])],
            next=agents[query.after][1],
        )
        venue.answers[GetSpendLimits] = lambda _query: SpendLimitsResult(
            limits=[
                SpendLimitView(
                    scope="agent",
                    subject="alice",
                    total=10_000_000,
                    total_used=2_500_000,
                    per_period=None,
                    period_used=0,
                    period_seconds=60,
                )
            ]
        )
        async with connected(venue) as agent:
            book = await agent.book("gpu", depth=1)
            assert book.best_bid is not None
            assert (book.best_bid.price, book.best_bid.quantity, len(book.bids)) == (
                Decimal(2),
                Decimal("1.5"),
                1,
            )
            assert book.best_ask is None
            assert [trade.quantity for trade in await agent.recent_trades("gpu")] == [Decimal("0.5")]
            assert [view.id for view in await agent.agents()] == ["a", "b"]
            (limit,) = await agent.spend_limits()
            assert (limit.total, limit.total_used, limit.per_period) == (Decimal(10), Decimal("2.5"), None)
            assert (agent.id, agent.owner, agent.roles) == ("alice", "acme", ("trader",))

    run(main())


def test_an_operators_amounts_are_converted_with_the_assets_decimals() -> None:
    """Whole units become smallest units by the decimals of the asset concerned."""

    async def main() -> list[dict[str, Any]]:
        venue = ScriptedVenue()
        venue.answers[ListAssets] = lambda _query: AssetsResult(
            assets=[AssetView(asset="hours", decimals=3, issuer="alice", issued=0)]
        )
        async with connected(venue) as agent:
            await agent.admin.issue_asset("hours", "bob", "1.5")
            await agent.admin.create_market("h", "hours", tick="0.01", lot="0.5", taker_fee_bp=5)
            await agent.admin.set_spend_limit(agent="bob", total=0, per_period="2.5")
            await agent.admin.halt_market("h", "cancel_only")
        return [msgspec.json.decode(payload) for payload in venue.received]

    issue, create, limit, halt = run(main())
    assert (issue["type"], issue["quantity"]) == ("admin.issue_asset", 1_500)
    assert (create["tick"], create["lot"], create["taker_fee_bp"]) == (10_000, 500, 5)
    assert (limit["total"], limit["per_period"]) == (0, 2_500_000)
    assert (halt["market"], halt["state"]) == ("h", "cancel_only")

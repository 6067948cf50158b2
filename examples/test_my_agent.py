"""Test agents without a server: ``pytest examples/test_my_agent.py``.

`LocalExchange` is the real engine behind the real SDK, in memory; venue time is in the test's hand.
"""

# ruff: noqa: S101 - tests assert

from __future__ import annotations

import asyncio
from decimal import Decimal

from market_maker import MarketMaker
from taker import take

from exchange.testing import LocalExchange


def test_the_maker_leans_against_its_inventory() -> None:
    """After a sale both quotes move a tick up."""

    async def scene() -> None:
        async with LocalExchange() as exchange:
            await exchange.open_market("cpu", tick="0.01", issue={"bob": 10})
            bob, alice = await exchange.agent("bob"), await exchange.agent("alice")
            maker = MarketMaker(bob, "cpu", fair=Decimal(5), half_spread=Decimal("0.05"), size=Decimal(1))
            running = asyncio.create_task(maker.run())
            assert await take(alice, "cpu", Decimal(1), Decimal("5.10")) == 1
            async for book in alice.books("cpu"):
                if book.best_bid is not None and book.best_bid.price == Decimal("4.96"):
                    break
            assert maker.inventory == -1
            running.cancel()

    asyncio.run(asyncio.wait_for(scene(), 10))


def test_a_dead_maker_leaves_no_quotes() -> None:
    """When the maker stops renewing, the venue cancels its quotes."""

    async def scene() -> None:
        async with LocalExchange() as exchange:
            await exchange.open_market("cpu", tick="0.01", issue={"bob": 10})
            bob, alice = await exchange.agent("bob"), await exchange.agent("alice")
            maker = MarketMaker(bob, "cpu", fair=Decimal(5), half_spread=Decimal("0.05"), size=Decimal(1))
            running = asyncio.create_task(maker.run())
            async for book in alice.books("cpu"):
                if book.bids and book.asks:
                    break
            running.cancel()
            await exchange.advance(11)
            after = await alice.book("cpu")
            assert (after.bids, after.asks) == ((), ())

    asyncio.run(asyncio.wait_for(scene(), 10))

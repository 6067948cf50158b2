"""Test the exchange in memory as users' own tests see it."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from agent_sdk import InsufficientCredits
from agent_sdk.event_models import OrderFilled, OrderPlaced
from exchange.testing import LocalExchange


async def test_two_agents_trade() -> None:
    """An order is placed, filled, paid for and told about, without any server."""
    async with LocalExchange() as exchange:
        await exchange.open_market("cpu", issue={"bob": 10})
        alice, bob = await exchange.agent("alice", credits=100), await exchange.agent("bob")
        await bob.sell("cpu", 2, price=5)
        order = await alice.buy("cpu", 2, price=6)
        assert (order.status, order.filled, order.filled_value) == ("filled", 2, Decimal(10))
        balances = await alice.balances()
        assert (balances["credit"].available, balances["cpu"].available) == (Decimal(90), Decimal(2))


async def test_a_rejection_is_a_typed_exception() -> None:
    """What an agent cannot pay is refused by name, and nothing changes."""
    async with LocalExchange() as exchange:
        await exchange.open_market("cpu")
        alice = await exchange.agent("alice", credits=1)
        before = (await alice.balances())["credit"]
        with pytest.raises(InsufficientCredits, match=r"needs 10\.00 credit, available 1\.00"):
            await alice.buy("cpu", 2, price=5)
        assert (await alice.balances())["credit"] == before


async def test_events_arrive_in_order() -> None:
    """The stream of an agent's own events starts where asked and is dense."""
    async with LocalExchange() as exchange:
        await exchange.open_market("cpu", issue={"bob": 10})
        alice, bob = await exchange.agent("alice"), await exchange.agent("bob")
        await alice.buy("cpu", 2, price=5)
        await bob.sell("cpu", 2, price=5)
        heard = []
        async with asyncio.timeout(10):
            async for event in alice.events(since=0):
                heard.append(event)
                if isinstance(event, OrderFilled):
                    break
        assert [event.seq for event in heard] == list(range(1, len(heard) + 1))
        assert isinstance(heard[-2], OrderPlaced)


async def test_time_passes_at_once() -> None:
    """A dead man's switch fires when venue time is advanced past it."""
    async with LocalExchange() as exchange:
        await exchange.open_market("cpu")
        alice = await exchange.agent("alice")
        await alice.buy("cpu", 2, price=5)
        await alice.cancel_all_after(60)
        await exchange.advance(59)
        assert len(await alice.open_orders()) == 1
        await exchange.advance(2)
        assert await alice.open_orders() == []

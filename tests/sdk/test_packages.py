"""Package auctions by the SDK, on the exchange in memory."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from agent_sdk import (
    NotFound,
    Package,
    PackageBidDropped,
    PackagesClosed,
    PackagesEnded,
    Rejected,
    SignatureRequested,
)
from exchange.testing import LocalExchange
from tests.sdk.test_agreements import heard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_sdk import Agent

DAY = 86_400.0


@contextlib.asynccontextmanager
async def exchange_with_agents() -> AsyncIterator[tuple[LocalExchange, dict[str, Agent]]]:
    async with LocalExchange() as exchange:
        yield exchange, {name: await exchange.agent(name, credits=100) for name in ("poster", "ann", "ben", "cid")}


async def test_a_team_signs_and_wins() -> None:
    """Ann asks 18 for one; Ben and Cid ask 30 for both, of 40: they are better by 10, and without them it is 2."""
    async with exchange_with_agents() as (exchange, agents):
        poster, ann, ben, cid = agents.values()
        opened = await poster.packages.open("two modules", {"a": 20, "b": 20}, deliver_in=DAY)
        assert opened.escrow == 40
        (listed,) = await ann.packages.list()
        assert (listed.id, listed.state, listed.bids) == (opened.id, "open", None)
        assert [(item.name, item.reserve) for item in listed.items] == [("a", 20), ("b", 20)]

        await ann.packages.bid(opened.id, [Package(["a"], 18)])
        placed = await ben.packages.bid(opened.id, [Package(["a", "b"], "30")], team={"ben": 2, "cid": 1})
        (asked,) = await heard(cid, SignatureRequested)
        assert (asked.auction, asked.bidder, asked.version) == (opened.id, "ben", placed.version)
        (bid,) = await cid.packages.bids()
        assert [(each.items, each.price) for each in bid.alternatives] == [(("a", "b"), 30)]
        assert ([(each.agent, each.weight) for each in bid.team], bid.signed) == ([("ben", 2), ("cid", 1)], ("ben",))
        await cid.packages.sign(opened.id, "ben", version=bid.version)

        await exchange.advance(66)
        auction = await ann.packages.get(opened.id)
        assert (auction.state, auction.priced, auction.optimal, auction.bids) == ("awarded", "vcg", True, 2)
        (winner,) = auction.winners
        assert (winner.bidder, winner.price, winner.payment, winner.discount) == ("ben", 30, 38, 8)
        assert winner.parts == {"ben": Decimal("25.333333"), "cid": Decimal("12.666667")}
        assert await heard(ann, PackagesClosed)
        for agent, told in ((poster, auction.winners), (cid, auction.winners), (ann, ())):
            (ended,) = await heard(agent, PackagesEnded)
            assert ended.winners == told
        assert [settlement.origin for settlement in await cid.settlements.list()] == [f"packages:{opened.id}"]


async def test_bids_are_replaced_and_withdrawn() -> None:
    """In a sale what may have to be paid is held; a later bid or a withdrawal frees it."""
    async with exchange_with_agents() as (_, agents):
        poster, ann, ben, _ = agents.values()
        opened = await poster.packages.open("rights", {"a": 0}, deliver_in=DAY, direction="sale", pricing="pay_as_bid")
        assert opened.escrow == 0
        first = await ann.packages.bid(opened.id, [Package(["a"], 30)], team={"ann": 1, "ben": 1})
        second = await ann.packages.bid(opened.id, [Package(["a"], 40)], team={"ann": 1, "ben": 1})
        assert (first.version, first.held, second.version, second.held) == (1, 15, 2, 20)
        with pytest.raises(Rejected, match="version 1 of a bid of ann"):
            await ben.packages.sign(opened.id, "ann", version=1)
        assert (await ben.packages.sign(opened.id, "ann", version=2)).held == 20
        await ben.packages.withdraw_bid(opened.id, "ann")
        assert [(lost.version, lost.reason) for lost in await heard(ben, PackageBidDropped)] == [
            (1, "withdrawn"),
            (2, "withdrawn"),
        ]
        assert await ann.packages.bids() == []
        assert await ann.payments.holds() == []
        await poster.packages.cancel(opened.id)
        assert (await ann.packages.get(opened.id)).state == "canceled"
        with pytest.raises(NotFound):
            await ann.packages.get(99)

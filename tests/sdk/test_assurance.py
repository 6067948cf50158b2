"""Public goods by the SDK, on the exchange in memory."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from agent_sdk import GoodDelivered, GoodEnded, GoodProposed, GoodReached, NotFound, PledgePlaced, Rejected
from exchange.testing import LocalExchange
from tests.sdk.test_agreements import DAY, HOUR, heard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_sdk import Agent


@contextlib.asynccontextmanager
async def exchange_with_owners() -> AsyncIterator[tuple[LocalExchange, Agent, Agent, Agent]]:
    """Yield a venue with who proposes and two others, with 100 credits each."""
    async with LocalExchange() as exchange:
        lab, ann, ben = [await exchange.agent(name, credits=100) for name in ("lab", "ann", "ben")]
        yield exchange, lab, ann, ben


async def available(agent: Agent) -> Decimal:
    return (await agent.balances())["credit"].available


async def test_a_good_is_reached_delivered_and_confirmed() -> None:
    async with exchange_with_owners() as (exchange, lab, ann, ben):
        proposed = await lab.assurance.propose(
            "a parser", credits="30.5", cap=61, provider="lab", refund_bonus="2.5", deadline_in=HOUR, deliver_in=DAY
        )
        assert (proposed.id, proposed.escrow) == (1, Decimal("1.525"))
        for agent, amount in ((ann, "40.7"), (ben, "20.3")):
            assert await agent.assurance.pledge(1, amount) == 0
        good = await ann.assurance.get(1)
        assert (good.state, good.unit, good.threshold, good.cap, good.raised) == (
            "open",
            "credits",
            Decimal("30.5"),
            61,
            61,
        )
        assert (good.refund_bonus, good.owners, good.pledges, good.voting) == (Decimal("2.5"), 2, 2, 61)
        await exchange.advance(HOUR)
        first, second = await ben.assurance.pledges(1)
        assert (first.agent, first.credits, first.share) == ("ann", Decimal("40.7"), Decimal("20.35"))
        assert second.counts
        assert [found.id for found in await ann.assurance.list(mine=True)] == [1]
        (reached,) = await heard(ann, GoodReached)
        assert (reached.share, reached.refunded) == (Decimal("20.35"), Decimal("20.35"))
        (settlement,) = await lab.settlements.list()
        await lab.settlements.deliver(settlement.id, "pr/1")
        (delivered,) = await heard(ben, GoodDelivered)
        assert (delivered.good, delivered.settlement) == (1, settlement.id)
        # Whoever pays may look at what it is to confirm.
        assert (await ann.settlements.get(settlement.id)).reference == "pr/1"
        await ann.assurance.confirm(1)
        assert (await lab.assurance.get(1)).state == "completed"
        assert await available(lab) == Decimal("130.5")
        (ended,) = await heard(ann, GoodEnded)
        assert (ended.outcome, ended.refunded, ended.bonus) == ("completed", 0, 0)
        (told,) = await heard(lab, GoodProposed)
        assert (told.title, told.provider) == ("a parser", "lab")
        assert await lab.assurance.list() == []


async def test_too_little_is_pledged_and_all_is_refunded_with_the_bonus() -> None:
    async with exchange_with_owners() as (exchange, lab, ann, _ben):
        terms = {"min_credits": 5, "provider": "lab", "refund_bonus": 10}
        await lab.assurance.propose("tests", owners=3, **terms, deadline_in=HOUR, deliver_in=DAY)  # type: ignore[arg-type]
        await ann.assurance.pledge(1, 5)
        (placed,) = await heard(lab, PledgePlaced)
        assert (placed.agent, placed.credits) == ("ann", 5)
        await exchange.advance(HOUR)
        good = await ann.assurance.get(1)
        assert (good.state, good.paid, good.bonus) == ("not_reached", 0, Decimal("0.5"))
        (pledge,) = await ann.assurance.pledges(1)
        assert (pledge.refunded, pledge.bonus, pledge.earned) == (5, Decimal("0.5"), 0)
        assert await available(ann) == Decimal("100.5")
        assert await available(lab) == Decimal("99.5")


async def test_work_is_pledged_with_a_bond() -> None:
    async with exchange_with_owners() as (exchange, lab, ann, ben):
        await lab.assurance.propose("tests", minutes=480, hour_bond="1.5", deadline_in=HOUR, deliver_in=DAY)
        for agent in (ann, ben):
            assert await agent.assurance.pledge(1, minutes=240) == 6
        await exchange.advance(HOUR)
        assert (await lab.assurance.get(1)).raised == 480
        (settlement,) = await ann.settlements.list()
        await ann.settlements.deliver(settlement.id)
        await lab.settlements.confirm(settlement.id)
        await exchange.advance(2 * DAY)
        assert ((await lab.assurance.get(1)).state, (await lab.assurance.get(1)).delivered_minutes) == ("failed", 240)
        assert [(pledge.refunded, pledge.earned) for pledge in await ben.assurance.pledges(1)] == [(6, 6), (0, 0)]
        assert (await available(ann), await available(ben)) == (106, 94)


async def test_a_good_is_withdrawn_before_anybody_pledges() -> None:
    async with exchange_with_owners() as (_, lab, ann, _ben):
        await lab.assurance.propose("tests", owners=2, min_minutes=60, hour_bond=0, deadline_in=HOUR, deliver_in=DAY)
        with pytest.raises(Rejected) as caught:
            await ann.assurance.withdraw(1)
        assert type(caught.value).__name__ == "NotPermitted"
        await lab.assurance.withdraw(1)
        assert (await ann.assurance.get(1)).state == "withdrawn"
        assert await ann.assurance.pledges(1) == []
        with pytest.raises(NotFound):
            await ann.assurance.pledges(2)


async def test_mistakes_are_told_before_anything_is_sent() -> None:
    async with exchange_with_owners() as (_, lab, ann, _ben):
        for terms in ({}, {"owners": 2, "minutes": 60}):
            with pytest.raises(ValueError, match="exactly one"):
                await lab.assurance.propose("x", deadline_in=HOUR, deliver_in=DAY, **terms)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="refund_bonus"):
            await lab.assurance.propose("x", credits=5, refund_bonus="0.001", deadline_in=HOUR, deliver_in=DAY)
        with pytest.raises(TypeError, match="float"):
            await ann.assurance.pledge(1, 2.5)  # type: ignore[arg-type]

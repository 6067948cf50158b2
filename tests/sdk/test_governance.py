"""Governance by the SDK, on the exchange in memory."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from agent_sdk import NotFound, ProposalEnded, ProposalOpened, ProposalPassed, Rejected, ShareBegan
from exchange.messages.admin import Settings
from exchange.testing import LocalExchange
from tests.sdk.test_agreements import heard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_sdk import Agent

DAY = 86_400.0
MINUTE = 60.0
"""Deadlines fire in a batch that comes a moment after them, and the next ones count from there."""


@contextlib.asynccontextmanager
async def exchange_with_owners(settings: Settings | None = None) -> AsyncIterator[tuple[LocalExchange, list[Agent]]]:
    async with LocalExchange(settings=settings) as exchange:
        yield exchange, [await exchange.agent(name, credits=100) for name in ("ann", "ben", "cid", "dot")]


async def test_a_change_goes_from_its_proposal_to_its_enactment() -> None:
    """Values are in whole credits where the parameter is an amount."""
    async with exchange_with_owners() as (exchange, (ann, ben, cid, dot)):
        before = await ann.governance.parameter("endowment")
        assert (before.value, before.low, before.unit, before.since_us) == (100, 0, "credits", None)
        opened = await ann.governance.propose_change("endowment", "7.50", detail="we are many by now")
        assert opened.deposit == 10
        cast = await ben.governance.vote(opened.id, in_favour=True)
        assert (cast.weight, cast.paid) == (1, 0)
        await cid.governance.vote(opened.id, in_favour=True)
        await dot.governance.vote(opened.id, in_favour=False)
        (listed,) = await dot.governance.list()
        assert (listed.parameter, listed.value, listed.present) == ("endowment", Decimal("7.5"), 100)
        assert (listed.weight_for, listed.weight_against, listed.my_vote, listed.my_weight) == (2, 1, False, 1)
        rows = [(ballot.owner, ballot.in_favour) for ballot in await ann.governance.ballots(opened.id)]
        assert rows == [("ben", True), ("cid", True), ("dot", False)]
        await exchange.advance(3 * DAY + 1)
        assert (await ann.governance.get(opened.id)).state == "passed"
        coming = await ann.governance.parameter("endowment")
        assert (coming.value, coming.next_value) == (100, Decimal("7.5"))
        await exchange.advance(DAY + MINUTE)
        assert (await ann.governance.parameter("endowment")).value == Decimal("7.5")
        (told,) = await heard(ann, ProposalOpened)
        (passed,) = await heard(ann, ProposalPassed)
        (ended,) = await heard(ann, ProposalEnded)
        assert (told.deposit, passed.proposal, ended.outcome, ended.task) == (10, opened.id, "enacted", 0)
        assert [found.state for found in await ann.governance.list(ended=True)] == ["enacted"]


async def test_values_are_in_the_unit_of_the_parameter() -> None:
    async with exchange_with_owners() as (_, (ann, *_others)):
        await ann.governance.propose_change("urgency_premium_ppm", 300_000)
        (found,) = await ann.governance.list()
        assert (found.value, found.present) == (300_000, 250_000)
        with pytest.raises(ValueError, match="more than the 0 decimals"):
            await ann.governance.propose_change("confirm_seconds", "7200.5")
        with pytest.raises(TypeError, match="is a float"):
            await ann.governance.propose_change("endowment", 7.5)  # type: ignore[arg-type]


async def test_what_cannot_be_voted_on_is_rejected() -> None:
    async with exchange_with_owners() as (_, (ann, *_others)):
        with pytest.raises(Rejected, match="credits are conserved") as caught:
            await ann.governance.propose_change("supply", 1)
        assert type(caught.value).__name__ == "Constitution"
        with pytest.raises(Rejected, match="from 0 to 10000000000") as caught:
            await ann.governance.propose_change("endowment", 10_001)
        assert type(caught.value).__name__ == "ValueOutOfBounds"
        with pytest.raises(Rejected) as caught:
            await ann.governance.propose_subsidy(99, 5)
        assert type(caught.value).__name__ == "UnknownGood"
        with pytest.raises(NotFound):
            await ann.governance.get(99)
        with pytest.raises(NotFound):
            await ann.governance.parameter("supply")


async def test_votes_that_are_paid_for() -> None:
    async with exchange_with_owners(Settings(voting="quadratic")) as (_, (ann, ben, *_others)):
        opened = await ann.governance.propose_change("endowment", 50)
        assert await ben.governance.vote(opened.id, in_favour=True, votes=3) is not None
        cast = await ben.governance.vote(opened.id, in_favour=False, votes=5)
        assert (cast.weight, cast.paid) == (5, 16)
        assert (await ann.governance.fund()).available == 25


async def test_the_fund_pays_for_work_and_the_rest_comes_back() -> None:
    """Votes paid for fill the fund with 36; of the 20 that were voted for, the work costs the second price, 15."""
    settings = Settings(voting="quadratic", quorum_bp=0)
    async with exchange_with_owners(settings) as (exchange, (ann, ben, cid, dot)):
        opened = await ann.governance.propose_work("write the docs", effort_minutes=60, reserve=20, work_seconds=7_200)
        await ben.governance.vote(opened.id, in_favour=True, votes=6)
        await exchange.advance(4 * DAY + MINUTE)
        found = await ann.governance.get(opened.id)
        assert (found.state, found.kind, found.amount) == ("enacted", "work", 20)
        assert found.task is not None
        assert (await ann.governance.fund()).available == 16
        with pytest.raises(Rejected):
            await ann.tasks.bid(found.task, 5)
        await cid.tasks.bid(found.task, 12)
        await dot.tasks.bid(found.task, 15)
        await exchange.advance(DAY + MINUTE)
        (settlement,) = await cid.settlements.list()
        await cid.settlements.deliver(settlement.id, fencing_token=settlement.fencing_token)
        assert (await ann.governance.fund()).available == 16 + 5
        await ann.settlements.confirm(settlement.id)
        assert (await ann.tasks.get(found.task)).state == "completed"
        assert (await ann.governance.fund()).available == 16 + 5


async def test_the_fund_is_shared() -> None:
    async with exchange_with_owners(Settings(voting="quadratic")) as (exchange, (ann, ben, *_others)):
        opened = await ann.governance.propose_share(8)
        await ben.governance.vote(opened.id, in_favour=True, votes=3)
        await exchange.advance(4 * DAY + MINUTE)
        fund = await ann.governance.fund()
        assert (fund.available, fund.in_shares, fund.owners) == (1, 0, 4)
        assert fund.day_ends_us is not None
        assert fund.shares_at_us is not None
        assert (await ann.balances())["credit"].available == 102
        (began,) = await heard(ann, ShareBegan)
        assert (began.amount, began.owners) == (8, 4)


async def test_the_fund_subsidises_a_public_good() -> None:
    """Of the 30 that a good takes 9 are the public's; who pledges for the rest has a good that comes about."""
    async with exchange_with_owners(Settings(voting="quadratic", quorum_bp=0)) as (exchange, (ann, ben, cid, dot)):
        good = await ann.assurance.propose(
            "a parser for all", credits=30, provider=dot.id, deadline_in=10 * DAY, deliver_in=20 * DAY
        )
        opened = await ann.governance.propose_subsidy(good.id, 9)
        await ben.governance.vote(opened.id, in_favour=True, votes=3)
        await exchange.advance(4 * DAY + MINUTE)
        found = await ann.governance.get(opened.id)
        assert (found.state, found.good, found.amount) == ("enacted", good.id, 9)
        subsidised = await cid.assurance.get(good.id)
        assert (subsidised.subsidy, subsidised.raised) == (9, 9)
        assert (await ann.governance.fund()).available == 0
        # Too little is pledged, so the public has its money back.
        await cid.assurance.pledge(good.id, 20)
        await exchange.advance(7 * DAY)
        assert (await ann.governance.fund()).available == 9
        with pytest.raises(Rejected) as caught:
            await ann.governance.propose_subsidy(good.id, 1)
        assert type(caught.value).__name__ == "UnknownGood"

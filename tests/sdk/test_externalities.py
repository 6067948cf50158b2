"""Externalities by the SDK, on the exchange in memory: levies, declared changes, rates, typed events."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from agent_sdk import ChangeEnded, ExternalityEnded, ExternalityReported, NotFound, Rejected
from exchange.messages.admin import Settings
from exchange.messages.property import RegisterModule
from exchange.testing import LocalExchange
from tests.sdk.test_agreements import DAY, heard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_sdk import Agent

WEEK = 7 * DAY


@contextlib.asynccontextmanager
async def neighbours() -> AsyncIterator[tuple[LocalExchange, Agent, Agent, Agent]]:
    """Yield a venue where ben's module depends on ann's, with both and an attester; each has 100."""
    async with LocalExchange(settings=Settings(dependency_age_seconds=0)) as exchange:
        operator = await exchange.operator()
        await operator.admin.register_agent("ci", owner="ci", roles=["attester"], endowment=100)
        ann, ben = [await exchange.agent(name, credits=100) for name in ("ann", "ben")]
        for module, owner, dependencies in (("base", "ann", []), ("bens", "ben", ["base"])):
            # What property offers is its own to test.
            await operator.externalities._give(RegisterModule, module=module, owner=owner, dependencies=dependencies)
        yield exchange, ann, ben, await exchange.agent("ci")


async def test_a_declared_change_breaks_something_and_its_bond_pays() -> None:
    async with neighbours() as (exchange, ann, ben, ci):
        declared = await ann.externalities.declare("base", "12.5")
        (change,) = await ben.externalities.changes("base")
        assert (change.id, change.agent, change.bond, change.is_open) == (1, "ann", Decimal("12.5"), True)
        reported = await ci.externalities.report(
            "coupling",
            "ann",
            "shop a..b",
            digest="d",
            module="base",
            affected={"bens": 50},
            change=str(declared.change),
        )
        assert (reported.amount, reported.held, reported.stake) == (5, 5, 50)
        (levy,) = await ben.externalities.list()
        assert (levy.id, levy.kind, levy.state, levy.is_doubled, levy.change) == (1, "coupling", "open", False, 1)
        assert [(each.beneficiary, each.share, each.units) for each in levy.shares] == [("ben", 5, 50)]
        assert [(each.module, each.severity, each.beneficiary) for each in levy.affected] == [("bens", 50, "ben")]
        assert (levy.final_at_us, levy.from_bond) == (reported.final_at_us, 5)
        await ann.externalities.accept(1)
        assert (await ben.balances())["credit"].available == 105
        assert await ben.externalities.list(everybodys=True) == []
        assert (await ben.externalities.get(1)).outcome == "accepted"
        await exchange.advance(WEEK)
        assert (await ann.balances())["credit"].available == 95
        (told,) = await heard(ben, ExternalityReported)
        assert (told.share, told.attester, told.is_doubled) == (5, "ci", False)
        (ended,) = await heard(ben, ExternalityEnded)
        assert (ended.paid, ended.owed, ended.outcome) == (5, 0, "accepted")
        (over,) = await heard(ann, ChangeEnded)
        assert (over.change, over.bond, over.returned) == (1, Decimal("12.5"), Decimal("7.5"))


async def test_what_is_not_declared_is_doubled_and_other_kinds_have_a_target() -> None:
    async with neighbours() as (_, ann, ben, ci):
        reported = await ci.externalities.report(
            "coupling", "ann", "shop a..b", module="base", affected={"bens": 50}, change=""
        )
        assert reported.amount == 10
        assert (await ann.externalities.get(1)).is_doubled
        with pytest.raises(Rejected, match="already_reported"):
            await ci.externalities.report("coupling", "ann", "shop a..b", module="base", affected={"bens": 50})
    async with neighbours() as (exchange, _, ben, ci):
        await ci.externalities.report("blocking", "ann", "queue/7", target="ben", units=3)
        await exchange.advance(DAY)
        assert (await ben.balances())["credit"].available == 106
        with pytest.raises(NotFound):
            await ben.externalities.get(7)


async def test_rates_are_to_be_known() -> None:
    async with neighbours() as (_, ann, _, _):
        rates = await ann.externalities.rates()
        assert (rates.stake, rates.bond_min) == (50, 5)
        by_kind = {each.kind: each for each in rates.rates}
        assert (by_kind["coupling"].rate, by_kind["coupling"].cap, by_kind["blocking"].rate) == (10, 100, 2)

"""Property by the SDK, on the exchange in memory: modules, access, sales, auctions, rentals, values, typed events."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from agent_sdk import (
    AttestationEnded,
    ClaimEnded,
    ModuleAuctionClosed,
    ModuleDepositLow,
    ModuleForeclosed,
    ModuleTaxCollected,
    NotFound,
    OwnershipMoved,
    Rejected,
    RentalEnded,
    WriteAccessMoved,
)
from exchange.testing import LocalExchange
from tests.sdk.test_agreements import DAY, HOUR, heard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_sdk import Agent

MONTH = 30 * DAY


@contextlib.asynccontextmanager
async def estate() -> AsyncIterator[tuple[LocalExchange, Agent, Agent, Agent]]:
    """Yield a venue where ann owns a private and a taxed module, with its operator, her and ben; each has 400."""
    async with LocalExchange() as exchange:
        operator = await exchange.operator()
        ann, ben = [await exchange.agent(name, credits=400) for name in ("ann", "ben")]
        await operator.property.register("base", owner="ann")
        await operator.property.register("app", owner="ann", regime="harberger", dependencies=["base"])
        yield exchange, operator, ann, ben


async def test_who_may_write_is_told_with_a_token_that_rises() -> None:
    async with estate() as (_, _, ann, ben):
        before = await ben.property.may_write("base")
        assert (before.may_write, before.owner) == (False, "ann")
        await ann.property.grant("base", "ben")
        assert (await ann.property.may_write("base", "ben")).may_write
        token = await ann.property.revoke_grant("base", "ben")
        assert token > before.fencing_token
        assert not (await ben.property.may_write("base")).may_write
        assert [event.may_write for event in await heard(ben, WriteAccessMoved)] == [True, False]
        with pytest.raises(NotFound):
            await ben.property.may_write("nowhere")


async def test_a_module_is_sold_and_auctioned() -> None:
    async with estate() as (exchange, _, ann, ben):
        with pytest.raises(Rejected):
            await ben.property.buy("base", max_price=1_000)
        await ann.property.offer("base", "12.5", buyer="ben")
        assert (await ben.property.get("base")).price == Decimal("12.5")
        await ben.property.buy("base", max_price=13)
        assert [module.id for module in await ann.property.list(owner="ben")] == ["base"]
        assert (await ann.balances())["credit"].available == Decimal("412.5")
        await ben.property.auction("base", reserve=5, closes_in=HOUR)
        (open_,) = await ann.property.auctions()
        assert (open_.module, open_.seller, open_.reserve) == ("base", "ben", 5)
        await ann.property.bid("base", 40)
        (bid,) = await ann.property.bids()
        assert (bid.module, bid.price) == ("base", 40)
        await exchange.advance(HOUR)
        (closed,) = await heard(ann, ModuleAuctionClosed)
        assert (closed.winner, closed.price, closed.bids) == ("ann", 5, 1)
        moved = await heard(ann, OwnershipMoved)
        assert (moved[-1].module, moved[-1].how, moved[-1].price) == ("base", "won", 5)


async def test_a_stated_value_is_taxed_and_is_a_price_for_everybody() -> None:
    """Of 100 a month costs 5; whoever buys states a value and pays tax on that."""
    async with estate() as (exchange, _, ann, ben):
        stated = await ann.property.state_value("app", 100, deposit=15)
        assert (stated.value, stated.deposit) == (100, 15)
        await exchange.advance(MONTH)
        assert (await ben.property.get("app")).deposit == 10
        taxed = await heard(ann, ModuleTaxCollected)
        assert taxed[-1].deposit == 15 - sum(event.amount for event in taxed)
        assert (await ann.property.top_up("app", 10)).deposit == 20
        assert (await ann.property.withdraw_deposit("app", 5)).deposit == 15
        await ben.property.buy("app", max_price=100, new_value=200, deposit=10)
        module = await ben.property.get("app")
        assert (module.owner, module.value, module.deposit) == ("ben", 200, 10)
        assert [each.module for each in module.dependencies] == ["base"]
        # 15 left of the deposit, and the price.
        assert (await ann.balances())["credit"].available == 400 - 15 - 10 + 5 + 15 + 100
        await exchange.advance(MONTH)
        (low,) = await heard(ben, ModuleDepositLow)
        assert (low.module, low.value, low.exhausted_at_us) == ("app", 200, module.exhausted_at_us)
        assert 0 < low.deposit <= 1
        (lost,) = await heard(ben, ModuleForeclosed)
        assert (lost.module, lost.why, lost.refunded, lost.at_us) == (
            "app",
            "deposit_exhausted",
            0,
            low.exhausted_at_us,
        )
        (open_,) = await ann.property.auctions()
        assert (open_.module, open_.seller) == ("app", None)


async def test_write_access_is_let_and_given_back() -> None:
    async with estate() as (exchange, _, ann, ben):
        offer = await ann.property.offer_rental("base", 10, term_seconds=int(10 * HOUR))
        begun = await ben.property.rent(offer)
        assert (await ben.property.may_write("base")).may_write
        await exchange.advance(4 * HOUR)
        (rental,) = await ben.property.rentals()
        assert (rental.id, rental.renter) == (begun.rental, "ben")
        assert 4 <= rental.accrued < Decimal("4.001")
        collected = await ann.property.collect_rent(begun.rental)
        assert 4 <= collected.paid < Decimal("4.001")
        ended = await ben.property.end_rental(begun.rental)
        assert Decimal("5.99") < ended.refunded <= 6
        (over,) = await heard(ann, RentalEnded)
        assert over.paid + over.refunded == 10


async def test_a_module_of_nobody_is_claimed_by_attested_work() -> None:
    async with estate() as (exchange, operator, ann, ben):
        await operator.admin.register_agent("ci", owner="ci", roles=["attester"], endowment=100)
        ci = await exchange.agent("ci")
        await ann.property.release("base")
        assert [module.id for module in await ben.property.list(unowned=True)] == ["base"]
        claimed = await ben.property.claim("base")
        assert claimed.claim == 1
        attested = await ci.property.attest_work("base", "ben", "commit 1")
        await exchange.advance(DAY)
        assert (await ben.property.get("base")).owner == "ben"
        assert [event.how for event in await heard(ben, ClaimEnded)] == ["homesteaded"]
        assert [event.attestation for event in await heard(ci, AttestationEnded)] == [attested.attestation]
        checked = await ci.property.attest_check("base", 80)
        await ben.property.accept_check(checked.attestation)
        assert "module" in await ann.help.reputation("ben")

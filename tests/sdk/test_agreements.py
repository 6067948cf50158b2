"""Leases, contracts, disputes and payments by the SDK, on the exchange in memory."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

import pytest

from agent_sdk import (
    ContractEnded,
    DisputeOpened,
    HelpEngaged,
    LeaseEnded,
    LeaseOpened,
    LeaseWish,
    NewContractPart,
    NotFound,
    RatingPublished,
    Rejected,
    StakeChanged,
    conditions,
)
from agent_sdk.reading import Credits, wire_name
from agent_sdk.work_events import WORK_EVENTS
from exchange.testing import LocalExchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_sdk import Agent

HOUR = 3_600.0
DAY = 24 * HOUR

EventT = TypeVar("EventT")


@contextlib.asynccontextmanager
async def exchange_with_agents() -> AsyncIterator[tuple[LocalExchange, Agent, Agent, Agent]]:
    """Yield a venue with a lab that has 4 cores and one exclusive bench to let by the hour, and two others."""
    async with LocalExchange() as exchange:
        admin = (await exchange.operator()).admin
        lab, ann, ben = [await exchange.agent(name, credits=100) for name in ("lab", "ann", "ben")]
        for asset, units, market in (("core", 4, "cores"), ("bench", 1, "benches")):
            await admin.register_asset(asset, decimals=1)
            await admin.issue_asset(asset, "lab", units)
            terms = {"settlement": "lease", "term_seconds": 3_600}
            await admin.create_market(market, asset, tick="0.01", reference_price=5, **terms)
        yield exchange, lab, ann, ben


async def heard(agent: Agent, kind: type[EventT]) -> list[EventT]:
    """Return the events of one class so far."""
    found: list[EventT] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            async for event in agent.events(since=0):
                if isinstance(event, kind):
                    found.append(event)
    return found


@pytest.mark.parametrize("wire", WORK_EVENTS, ids=lambda kind: kind.__struct_config__.tag)
def test_every_field_of_an_event_is_one_of_the_wire(wire: Any) -> None:
    """A field that was renamed on the wire would fail only when the event arrives."""
    hints = get_type_hints(WORK_EVENTS[wire], include_extras=True)
    shown = {wire_name(field.name, hints[field.name]) for field in dataclasses.fields(WORK_EVENTS[wire])} - {"seq"}  # type: ignore[arg-type]
    assert shown <= {*wire.__struct_fields__}


@pytest.mark.parametrize("wire", WORK_EVENTS, ids=lambda kind: kind.__struct_config__.tag)
def test_amounts_of_events_are_credits(wire: Any) -> None:
    amounts = {
        "price",
        "rent",
        "paid",
        "refunded",
        "compensation",
        "bond",
        "deposit",
        "fee",
        "stake",
        "total",
        "amount",
        "share",
        "bonus",
        "earned",
        "weight",
        "voting",
    }
    for name, hint in get_type_hints(WORK_EVENTS[wire], include_extras=True).items():
        if name in amounts:
            assert hint == Credits or Credits in get_args(hint), name


# ── leases ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_term_may_be_a_second() -> None:
    """Capacity can be let for a moment; only a term of no time at all is none."""
    async with exchange_with_agents() as (exchange, lab, ann, _):
        admin = (await exchange.operator()).admin
        await admin.create_market("moments", "core", tick="0.01", reference_price=5, settlement="lease", term_seconds=1)
        await lab.sell("moments", 1, 5)
        await ann.leases.acquire(LeaseWish("moments", 1, 5))
        (lease,) = await ann.leases.list("moments")
        assert lease.ends_us - lease.started_us == 1_000_000
        await exchange.advance(1)
        assert await ann.leases.list("moments") == []
        assert (await lab.balances())["credit"].available == 105
        with pytest.raises(ValueError, match="term_seconds"):
            await admin.create_market(
                "none", "core", tick="0.01", reference_price=5, settlement="lease", term_seconds=0
            )


async def test_a_lease_is_acquired_and_released() -> None:
    """2 cores at 5 are 10 an hour; after 20 minutes 3.33 have accrued, and released then, 30 minutes are due."""
    async with exchange_with_agents() as (exchange, lab, ann, _):
        await lab.sell("cores", 4, 5)
        (acquired,) = await ann.leases.acquire(LeaseWish("cores", 2, "5.20"))
        assert (acquired.quantity, acquired.rent) == (2, 10)
        (lease,) = await ann.leases.list("cores")
        assert (lease.quantity, lease.price, lease.rent, lease.lessor) == (2, 5, 10, "lab")
        assert lease.ends_us - lease.started_us == HOUR * 1_000_000
        holder = await lab.leases.holder(fencing_token=lease.fencing_token)
        assert (holder.holder, holder.quantity) == ("ann", 2)
        use = await ann.leases.use("cores")
        assert (use.leased, use.offered, use.utilisation_bp) == (2, 4, 5_000)
        await exchange.advance(HOUR / 3)
        assert Decimal("3.33") < await lab.leases.collect(lease.id) < Decimal("3.36")
        with pytest.raises(Rejected) as caught:
            await ann.leases.release(lease.id, fencing_token=lease.fencing_token + 1)
        assert type(caught.value).__name__ == "StaleFencingToken"
        released = await ann.leases.release(lease.id, fencing_token=lease.fencing_token)
        assert Decimal("4.95") < released.refunded <= 5
        with pytest.raises(NotFound):
            await ann.leases.get(lease.id)
        (opened,) = await heard(ann, LeaseOpened)
        assert (opened.rent, opened.quantity) == (10, 20)
        (ended,) = await heard(ann, LeaseEnded)
        assert (ended.how, ended.paid + ended.refunded) == ("released", 10)


async def test_a_lease_is_renewed_and_revoked() -> None:
    async with exchange_with_agents() as (_, lab, ann, _ben):
        await lab.sell("cores", 1, 5)
        await ann.buy("cores", 1, 5)
        (lease,) = await ann.leases.list()
        await lab.leases.offer_renewal("4.50", market="cores")
        assert (await ann.leases.get(lease.id)).renewal_price == Decimal("4.50")
        renewed = await ann.leases.renew(lease.id, fencing_token=lease.fencing_token, max_price="4.50")
        assert renewed.ends_us == lease.ends_us + HOUR * 1_000_000
        await lab.leases.withdraw_renewal(market="cores")
        await lab.leases.revoke(lease.id)
        (ended,) = await heard(ann, LeaseEnded)
        assert (ended.how, ended.compensation) == ("revoked", Decimal("0.5"))


async def test_a_turn_goes_to_the_highest_bid() -> None:
    async with exchange_with_agents() as (exchange, lab, ann, ben):
        await lab.sell("benches", 1, 5)
        await ann.buy("benches", 1, 5)
        await lab.leases.offer_renewal(4, market="benches")
        await ben.leases.bid_turn("bench", 7)
        assert [(bid.resource, bid.amount) for bid in await ben.leases.turn_bids()] == [("bench", 7)]
        (hold,) = await ben.payments.holds()
        assert (hold.asset, hold.amount, hold.cause.partition(":")[0]) == ("credit", 7, "leases")
        await exchange.advance(HOUR + 1)
        (lease,) = await ben.leases.list()
        assert lease.rent == 4
        assert (await ann.leases.holder(resource="bench")).holder == "ben"
        await ann.leases.bid_turn("bench", 6)
        await ann.leases.withdraw_turn("bench")
        assert await ann.leases.turn_bids() == ()


async def test_amounts_are_never_floats() -> None:
    async with exchange_with_agents() as (_, lab, ann, _ben):
        for attempt in (
            ann.leases.acquire(LeaseWish("cores", 2, 5.2)),  # type: ignore[arg-type]
            ann.leases.bid_turn("bench", 7.0),  # type: ignore[arg-type]
            lab.disputes.stake(50.0),  # type: ignore[arg-type]
            lab.help.offer("rust", 1.5, minutes=30, lasts=HOUR),  # type: ignore[arg-type]
            lab.payments.pay_liens(1.0),  # type: ignore[arg-type]
        ):
            with pytest.raises(TypeError, match="is a float"):
                await attempt


# ── help ────────────────────────────────────────────────────────────────────────────────────────


async def test_help_is_engaged_paid_and_rated() -> None:
    """The helper is paid its own price; a fifth of it is its bond."""
    async with exchange_with_agents() as (_, lab, ann, ben):
        placed = await ben.help.offer("rust", 10, minutes=30, lasts=DAY)
        assert placed.bond == 2
        (topic,) = await ann.help.topics()
        assert (topic.topic, topic.offers, topic.lowest_price) == ("rust", 1, 10)
        (offer,) = await ann.help.offers("rust")
        assert (offer.id, offer.helper, offer.price, offer.score, offer.evidence) == (placed.id, "ben", 10, 50, 0)
        engaged = await ann.help.request("rust", "12.50", minutes=20)
        assert (engaged.helper, engaged.price) == ("ben", 10)
        (session,) = await ben.help.sessions()
        assert (session.session, session.bond) == (engaged.session, 2)
        (event,) = await heard(ben, HelpEngaged)
        assert (event.settlement, event.price) == (session.settlement, 10)
        await ben.settlements.deliver(session.settlement)
        await ann.settlements.confirm(session.settlement)
        assert (await ben.balances())["credit"].available == 110
        await ann.help.rate(session.settlement, 90)
        (ratable,) = await ann.help.ratable()
        assert (ratable.other, ratable.score) == ("ben", 90)
        await ben.help.rate(session.settlement, 80)
        (rating, _) = await heard(ann, RatingPublished)
        assert rating.domain == "help:rust"
        reputation = (await lab.help.reputation("ben"))["help:rust"]
        assert 50 < reputation.score < 90
        assert reputation.evidence > 0


async def test_an_offer_of_help_is_withdrawn() -> None:
    async with exchange_with_agents() as (_, _lab, _ann, ben):
        placed = await ben.help.offer("rust", 10, minutes=30, lasts=DAY)
        await ben.help.withdraw_offer(placed.id)
        assert await ben.help.offers() == []


# ── contracts ───────────────────────────────────────────────────────────────────────────────────


async def propose(payer: Agent, **terms: Any) -> int:
    parts = [
        NewContractPart(name=name, assignee=name, share=share, deliver_in=DAY)
        for name, share in (("ann", 20), ("ben", "10.5"))
    ]
    return await payer.contracts.propose("both", parts, sign_in=HOUR, evaluate_in=DAY, **terms)


async def test_all_parts_are_delivered_and_everybody_is_paid() -> None:
    async with exchange_with_agents() as (_, payer, ann, ben):
        number = await propose(payer)
        contract = await ann.contracts.get(number)
        assert (contract.total, contract.state, [part.bond for part in contract.parts]) == (
            Decimal("30.5"),
            "proposed",
            [4, Decimal("2.1")],
        )
        for agent in (ann, ben):
            await agent.contracts.sign(number)
        for agent in (ann, ben):
            (settlement,) = await agent.settlements.list()
            await agent.settlements.deliver(settlement.id, "pr/1", fencing_token=settlement.fencing_token)
            await payer.settlements.confirm(settlement.id)
        assert (await ben.contracts.get(number)).state == "met"
        assert (await ben.balances())["credit"].available == Decimal("110.5")
        assert await ben.contracts.list() == []
        (ended,) = await heard(ben, ContractEnded)
        assert (ended.outcome, ended.paid) == ("met", Decimal("10.5"))


async def test_a_statement_is_attested() -> None:
    async with exchange_with_agents() as (exchange, payer, ann, ben):
        admin = (await exchange.operator()).admin
        await admin.register_agent("judge", owner="judge", roles=["attester"])
        judge = await exchange.agent("judge")
        number = await propose(payer, condition=conditions.Statement(statement="it builds", attester="judge"))
        for agent in (ann, ben):
            await agent.contracts.sign(number)
        await judge.contracts.attest(number, "it builds", holds=True)
        (statement,) = (await payer.contracts.get(number)).statements
        assert (statement.statement, statement.holds, statement.is_final) == ("it builds", True, False)
        await payer.contracts.accept_attestation(number, "it builds")
        (statement,) = (await payer.contracts.get(number)).statements
        assert statement.is_final


async def test_a_contract_that_is_declined_costs_nothing() -> None:
    async with exchange_with_agents() as (_, payer, ann, _ben):
        number = await propose(payer)
        await ann.contracts.decline(number)
        assert (await payer.balances())["credit"].available == 100


# ── disputes ────────────────────────────────────────────────────────────────────────────────────


async def test_a_delivery_is_disputed() -> None:
    """The deposit is 5 % of what is at stake, at least 1."""
    async with exchange_with_agents() as (_, payer, ann, ben):
        number = await propose(payer)
        for agent in (ann, ben):
            await agent.contracts.sign(number)
        (settlement,) = await ann.settlements.list()
        await ann.settlements.deliver(settlement.id, "pr/1", fencing_token=settlement.fencing_token)
        opened = await payer.disputes.open("settlements", settlement.id, "it does not build")
        assert opened.deposit >= 1
        (dispute,) = await ann.disputes.list()
        assert (dispute.id, dispute.disputer, dispute.verdict, dispute.rulings) == (opened.id, "lab", None, ())
        assert await ann.disputes.get(opened.id) == dispute
        (event,) = await heard(ann, DisputeOpened)
        assert (event.deposit, event.number) == (opened.deposit, settlement.id)
        with pytest.raises(Rejected):
            await ben.disputes.rule(opened.id, upheld=True)


async def test_arbitrators_have_something_at_stake() -> None:
    async with exchange_with_agents() as (exchange, *_):
        admin = (await exchange.operator()).admin
        await admin.register_agent("solomon", owner="solomon", roles=["arbitrator"], endowment=100)
        arbitrator = await exchange.agent("solomon")
        assert await arbitrator.disputes.stake(60) == 60
        mine = await arbitrator.disputes.my_stake()
        assert (mine.stake, mine.disputes) == (60, ())
        assert await arbitrator.disputes.unstake("9.5") == Decimal("50.5")
        changes = await heard(arbitrator, StakeChanged)
        assert [change.change for change in changes] == [60, Decimal("-9.5")]


# ── payments ────────────────────────────────────────────────────────────────────────────────────


async def test_nobody_owes_anything() -> None:
    async with exchange_with_agents() as (exchange, lab, _, _ben):
        assert await lab.payments.liens() == []
        assert await (await exchange.operator()).payments.liens() == []
        with pytest.raises(Rejected):
            await lab.payments.pay_liens(1)

"""Disputes from delivery to money, and the debts that they leave, by the SDK, on the exchange in memory."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

import pytest

from agent_sdk import (
    ArbitratorSeated,
    DisputeDecided,
    DisputeOpened,
    LienChanged,
    Rejected,
    SettlementDisputed,
    SettlementEnded,
    StakeChanged,
)
from exchange.testing import LocalExchange
from tests.sdk.test_agreements import heard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_sdk import Agent

WEEK = 7 * 86_400.0
PANEL = ("ada", "bob", "cyd")

EventT = TypeVar("EventT")


class Scene:
    """Hold a venue with a poster, a worker, and three arbitrators who have had 60 at stake for a week."""

    def __init__(self, exchange: LocalExchange, poster: Agent, worker: Agent, panel: dict[str, Agent]) -> None:
        self.exchange = exchange
        self.poster = poster
        self.worker = worker
        self.panel = panel

    async def deliver(self, price: int = 30, bond: int = 3) -> int:
        """Let the worker win a task by the only bid, and deliver; return the settlement."""
        task = await self.poster.tasks.post(
            "mend it", effort_minutes=60, reserve=price, bond=bond, deadline_in=86_400.0, skills={"python"}
        )
        await self.worker.tasks.bid(task.id, price)
        await self.exchange.advance(66)
        (settlement,) = await self.worker.settlements.list()
        await self.worker.settlements.deliver(settlement.id, "pr/7", fencing_token=settlement.fencing_token)
        return settlement.id

    async def dispute(self, settlement: int, statement: str) -> int:
        """Let the poster dispute, and the panel be drawn; return the dispute."""
        opened = await self.poster.disputes.open("settlements", settlement, statement)
        # 5 % of 30.
        assert opened.deposit == Decimal("1.5")
        await self.exchange.advance(10)
        await self.exchange.advance(1)
        return opened.id

    async def rule(self, dispute: int, **rulings: bool) -> None:
        """Let the panel rule, each with a word of its own."""
        for name, upheld in rulings.items():
            await self.panel[name].disputes.rule(dispute, upheld=upheld, statement=f"{name} has looked")

    async def has(self, *names: str) -> list[Decimal]:
        """Return what is available to agents."""
        agents = [await self.exchange.agent(name) for name in names]
        return [(await agent.balances())["credit"].available for agent in agents]

    async def stakes(self) -> list[Decimal]:
        return [(await agent.disputes.my_stake()).stake for agent in self.panel.values()]


@contextlib.asynccontextmanager
async def scene(*, worker_has: int = 100) -> AsyncIterator[Scene]:
    async with LocalExchange() as exchange:
        admin = (await exchange.operator()).admin
        await admin.register_agent("worker", owner="worker", endowment=worker_has, skills=["python"])
        for name in PANEL:
            await admin.register_agent(name, owner=name, roles=["arbitrator"], endowment=100)
        panel = {name: await exchange.agent(name) for name in PANEL}
        for arbitrator in panel.values():
            await arbitrator.disputes.stake(60)
        await exchange.advance(WEEK)
        yield Scene(exchange, await exchange.agent("poster"), await exchange.agent("worker"), panel)


async def the_one(agent: Agent, kind: type[EventT]) -> EventT:
    (event,) = await heard(agent, kind)
    return event


async def test_a_dispute_that_is_not_upheld_pays_the_worker_and_costs_the_deposit() -> None:
    """The panel has the deposit of 1.5; who was outvoted forfeits 5 % of 60 to the other two."""
    async with scene() as play:
        settlement = await play.deliver()
        dispute = await play.dispute(settlement, "it does not build")
        seated = await the_one(play.panel["ada"], ArbitratorSeated)
        assert (seated.dispute, seated.disputer, seated.respondent) == (dispute, "poster", "worker")
        assert (seated.amount, seated.statement) == (30, "it does not build")
        assert (await the_one(play.worker, SettlementDisputed)).dispute == dispute
        with pytest.raises(Rejected, match="wrong_state"):
            await play.poster.settlements.confirm(settlement)
        await play.rule(dispute, ada=True, bob=False)
        # Sealed until the last has ruled, also from those who have.
        for agent in (play.poster, play.worker, play.panel["ada"], play.panel["cyd"]):
            shown = await agent.disputes.get(dispute)
            assert (shown.verdict, shown.rulings) == (None, ())
            assert await heard(agent, DisputeDecided) == []
        await play.rule(dispute, cyd=False)
        for agent in (play.poster, play.worker, *play.panel.values()):
            decided = await the_one(agent, DisputeDecided)
            assert (decided.dispute, decided.family, decided.number) == (dispute, "settlements", settlement)
            assert (decided.verdict, decided.fee) == ("rejected", Decimal("1.5"))
            rulings = {ruling.arbitrator: (ruling.upheld, ruling.statement) for ruling in decided.rulings}
            assert rulings == {
                "ada": (True, "ada has looked"),
                "bob": (False, "bob has looked"),
                "cyd": (False, "cyd has looked"),
            }
        ended = await the_one(play.worker, SettlementEnded)
        assert (ended.outcome, ended.paid, ended.refunded, ended.forfeited) == ("completed", 30, 0, 0)
        assert await play.has("poster", "worker") == [Decimal("68.5"), 130]
        assert await play.has(*PANEL) == [Decimal("40.5"), 42, 42]
        assert await play.stakes() == [57, 60, 60]
        changed = await heard(play.panel["ada"], StakeChanged)
        assert [(change.stake, change.change, change.dispute) for change in changed[1:]] == [(57, -3, dispute)]


async def test_a_dispute_that_is_upheld_refunds_the_poster_with_the_bond() -> None:
    """The worker loses the bond of 3, and owes the panel's fee of 1.5; the deposit goes back."""
    async with scene() as play:
        settlement = await play.deliver()
        dispute = await play.dispute(settlement, "it does not build")
        assert (await the_one(play.worker, DisputeOpened)).deposit == Decimal("1.5")
        assert await play.has("poster") == [Decimal("68.5")]
        await play.rule(dispute, ada=True, bob=False, cyd=True)
        decided = await the_one(play.poster, DisputeDecided)
        assert (decided.verdict, decided.fee) == ("upheld", Decimal("1.5"))
        assert {ruling.arbitrator: ruling.upheld for ruling in decided.rulings} == {
            "ada": True,
            "bob": False,
            "cyd": True,
        }
        ended = await the_one(play.worker, SettlementEnded)
        assert (ended.outcome, ended.paid, ended.refunded, ended.forfeited) == ("failed", 0, 30, 3)
        assert await play.has("poster", "worker") == [103, Decimal("95.5")]
        assert await play.has(*PANEL) == [42, Decimal("40.5"), 42]
        assert await play.stakes() == [60, 57, 60]
        assert (await play.poster.settlements.get(settlement)).cause == "dispute"
        with pytest.raises(Rejected):
            await play.worker.disputes.open("settlements", settlement, "again")


async def test_who_cannot_pay_the_fee_owes_it_until_it_is_paid_off() -> None:
    """Of the fee of 1.5 the worker has 1; what is missing is a lien that takes a quarter of what it earns."""
    async with scene(worker_has=4) as play:
        await play.exchange.open_market("cpu", issue={"worker": 1})
        settlement = await play.deliver()
        await play.rule(await play.dispute(settlement, "it does not build"), ada=True, bob=True, cyd=True)
        assert await play.has("worker", *PANEL) == [0, Decimal("40.5"), Decimal("40.5"), 40]
        operator = await play.exchange.operator()
        for agent in (play.worker, play.panel["cyd"], operator):
            (lien,) = await agent.payments.liens()
            assert (lien.debtor, lien.creditor, lien.amount) == ("worker", "cyd", Decimal("0.5"))
            assert lien.cause == "disputes:1"
        assert await play.panel["ada"].payments.liens() == []
        # What a trade brings is no earning; a lien takes of it only what leaves more than 20.
        await play.poster.buy("cpu", 1, 1)
        await play.worker.sell("cpu", 1, 1)
        assert await play.has("worker", "cyd") == [1, 40]
        await play.poster.settlements.confirm(await play.deliver(price=1, bond=0))
        assert await play.has("worker", "cyd") == [Decimal("1.75"), Decimal("40.25")]
        assert await play.worker.payments.pay_liens("0.05") == (Decimal("0.05"), Decimal("0.2"))
        assert await play.worker.payments.pay_liens(5) == (Decimal("0.2"), 0)
        assert await play.has("worker", "cyd") == [Decimal("1.5"), Decimal("40.5")]
        for agent in (play.worker, play.panel["cyd"], operator):
            assert await agent.payments.liens() == []
        for agent in (play.worker, play.panel["cyd"]):
            changes = [(change.change, change.amount) for change in await heard(agent, LienChanged)]
            assert changes == [
                (Decimal("0.5"), Decimal("0.5")),
                (Decimal("-0.25"), Decimal("0.25")),
                (Decimal("-0.05"), Decimal("0.2")),
                (Decimal("-0.2"), 0),
            ]

"""Who decides, or does, what others bet on has nothing to gain by it: no shares, no contract, no seat."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.mechanisms.contracts import Contracts
from exchange.messages.contracts import ContractPart, PredictionResolved, ProposeContract, SignContract
from exchange.messages.disputes import OpenDispute, Rule, Stake
from exchange.messages.predictions import ResolvePrediction
from exchange.messages.reasons import Reason
from exchange.testing import Answer, assert_rejected
from tests.core.bets import SHARE, Bets
from tests.core.work import CREDIT, DAY_US, HOUR_US

ARBITRATORS = ("ada", "bob", "cyd", "dan")


class Bench(Bets):
    """Be a venue with four arbitrators that may trade, and two traders more."""

    def __init__(self) -> None:
        super().__init__()
        self.register(*ARBITRATORS, roles=["arbitrator", "trader"], endowment=200 * CREDIT)
        self.register("ada-2", owner="ada", endowment=100 * CREDIT)
        self.register("eve", "fay", endowment=100 * CREDIT)
        for name in ARBITRATORS:
            self.must(name, Stake, amount=60 * CREDIT)
        self.advance_to(self.time_us + 7 * DAY_US)

    def start_work(self) -> None:
        """Let ``ann`` have a task of ``poster``'s, with a market about it."""
        self.post()
        self.bet_on()
        self.bid("ann", 20)
        self.close()

    def offer(self, payer: str, assignee: str, outcome: str = "yes", market: int = 1) -> Answer:
        """Propose to pay 5 for a part if a market ends with an outcome."""
        until_us = self.time_us + 20 * DAY_US
        return self.submit(
            payer,
            ProposeContract,
            title="if it happens",
            condition=PredictionResolved(market=market, outcome=outcome),
            parts=[ContractPart(name="a", assignee=assignee, share=5 * CREDIT, deliver_by_us=until_us)],
            sign_by_us=self.time_us + 5 * DAY_US,
            evaluate_by_us=until_us,
        )

    def sign(self, assignee: str, contract: int = 1) -> Answer:
        return self.submit(assignee, SignContract, contract=contract)

    def dispute_report(self, by: str = "ben") -> None:
        """Let a market's report be disputed, and the panel be drawn."""
        self.submit("ci", ResolvePrediction, market=1, outcome="yes")
        self.dispute(by, "predictions")

    def dispute(self, by: str, family: str) -> None:
        self.must(by, OpenDispute, family=family, number=1)
        self.advance(10)
        self.advance(1)

    def seated(self) -> list[str]:
        return [name for name in ARBITRATORS if self.told(name, "disputes.seated")]


@pytest.fixture
def venue() -> Bench:
    return Bench()


# ── shares ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("reloads", [False, True])
def test_nobody_judges_a_task_whose_owner_traded_in_the_market_about_it(venue: Bench, *, reloads: bool) -> None:
    """Whatever it has by then, and by whichever of its agents it traded."""
    venue.start_work()
    venue.buy_shares("ada-2", "no")
    venue.buy_shares("bob", "yes")
    venue.sell_shares("bob", "yes")
    venue.deliver()
    if reloads:
        venue.reload()
    venue.dispute("poster", "settlements")
    # Of the two that are left an odd number.
    assert len(venue.seated()) == 1
    assert venue.seated()[0] in ("cyd", "dan")


def test_a_market_about_another_task_is_no_matter_of_the_panel(venue: Bench) -> None:
    venue.start_work()
    venue.post()
    venue.bet_on(2)
    venue.bid("ben", 20, 2)
    venue.close(2)
    for name in ("ada-2", "bob"):
        venue.buy_shares(name, "no", market=2)
    venue.deliver()
    venue.dispute("poster", "settlements")
    assert len(venue.seated()) == 3


def test_who_replaces_an_absent_arbitrator_has_no_shares_either(venue: Bench) -> None:
    venue.start_work()
    venue.buy_shares("ada", "no")
    venue.deliver()
    venue.dispute("poster", "settlements")
    seated = venue.seated()
    assert sorted(seated) == ["bob", "cyd", "dan"]
    for name in seated[1:]:
        venue.must(name, Rule, dispute=1, upheld=True)
    venue.advance_to(venue.time_us + 2 * DAY_US)
    venue.advance(10)
    venue.advance(1)
    # Nobody is left but ``ada``: two of three decide.
    assert "ada" not in venue.seated()
    assert venue.told("ada", "disputes.seated") == []
    assert venue.look().outcome == "no"


def test_who_judges_cannot_trade_in_what_it_judges(venue: Bench) -> None:
    """There is no trade any more in what can be disputed: it ended with the delivery, or with the report."""
    venue.start_work()
    venue.buy_shares("eve", "yes")
    venue.deliver()
    venue.dispute("poster", "settlements")
    for name in venue.seated():
        assert_rejected(venue.try_to_buy(name, "no"), Reason.WRONG_STATE)
    venue.open()
    venue.buy_shares("ben", "no", market=2)
    venue.resolve("yes", market=2)
    venue.must("ben", OpenDispute, family="predictions", number=2)
    for name in ARBITRATORS:
        assert_rejected(venue.try_to_buy(name, "no", market=2), Reason.WRONG_STATE)


# ── contracts ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("reloads", [False, True])
def test_parties_of_a_contract_about_a_market_do_not_judge_its_report(venue: Bench, *, reloads: bool) -> None:
    venue.open()
    venue.buy_shares("ben", "no")
    assert venue.offer("ada-2", "fay").accepted
    assert venue.offer("eve", "bob").accepted
    assert venue.sign("bob", 2).accepted
    # Who was only named has nothing: else anybody could keep anybody from judging.
    assert venue.offer("eve", "cyd").accepted
    if reloads:
        venue.reload()
    venue.dispute_report()
    assert len(venue.seated()) == 1
    assert venue.seated()[0] in ("cyd", "dan")


def test_a_contract_that_has_ended_keeps_nobody_from_judging(venue: Bench) -> None:
    venue.open(resolve_by_us=venue.time_us + 30 * DAY_US)
    venue.buy_shares("ben", "no")
    for payer in ("ada", "bob"):
        assert venue.offer(payer, "fay").accepted
    venue.advance_to(venue.time_us + 5 * DAY_US)
    contracts = venue.engine.mechanisms["contracts"]
    assert isinstance(contracts, Contracts)
    assert (contracts.live, contracts.parties) == ({}, {})
    venue.dispute_report()
    assert len(venue.seated()) == 3


def test_parties_of_a_contract_about_a_tasks_market_do_not_judge_the_task(venue: Bench) -> None:
    venue.start_work()
    for payer in ("ada", "bob"):
        assert venue.offer(payer, "fay").accepted
    venue.deliver()
    venue.dispute("poster", "settlements")
    assert len(venue.seated()) == 1
    assert venue.seated()[0] in ("cyd", "dan")


@pytest.mark.parametrize("about", ["report", "task"])
def test_who_judges_signs_and_proposes_no_contract_about_it(venue: Bench, about: str) -> None:
    """Nor does another agent of its owner; who does not judge may."""
    if about == "report":
        venue.open()
        venue.buy_shares("ben", "no")
    else:
        venue.start_work()
    for name in (*ARBITRATORS, "ada-2"):
        assert venue.offer("eve", name).accepted
    if about == "report":
        venue.dispute_report()
    else:
        venue.deliver()
        venue.dispute("poster", "settlements")
    seated = venue.seated()
    assert len(seated) == 3
    for place, name in enumerate((*ARBITRATORS, "ada-2"), 1):
        if name in seated or (name == "ada-2" and "ada" in seated):
            assert_rejected(venue.sign(name, place), Reason.INSIDER)
            assert_rejected(venue.offer(name, "fay"), Reason.INSIDER)
        else:
            assert venue.sign(name, place).accepted
            assert venue.offer(name, "fay").accepted
    # Naming somebody tells nothing of the panel.
    assert all(venue.offer("eve", name).accepted for name in ARBITRATORS)


def test_who_says_or_does_what_a_market_is_about_has_no_contract_about_it(venue: Bench) -> None:
    venue.register("ci-2", owner="ci", endowment=100 * CREDIT)
    venue.register("ann-2", owner="ann", endowment=100 * CREDIT)
    venue.open()
    assert_rejected(venue.offer("eve", "ci-2"), Reason.INSIDER)
    assert_rejected(venue.offer("ci-2", "eve"), Reason.INSIDER)
    venue.start_work()
    for outcome in ("yes", "no"):
        for payer, assignee in (("ann-2", "eve"), ("eve", "ann-2"), ("poster", "eve"), ("eve", "poster")):
            assert_rejected(venue.offer(payer, assignee, outcome, market=2), Reason.INSIDER)
    assert venue.offer("eve", "ben", "no", market=2).accepted


@pytest.mark.parametrize("closes_early", [False, True])
def test_nobody_makes_a_contract_about_an_award_before_it_is_known_whose_it_is(
    venue: Bench, *, closes_early: bool
) -> None:
    """Else who is paid if it fails could bid for it, and fail."""
    venue.post()
    terms: dict[str, Any] = {"closes_at_us": venue.time_us + 1} if closes_early else {"closes_at_us": ...}
    venue.open(task=1, resolve_by_us=..., resolver=..., **terms)
    venue.advance(1)
    assert venue.look().state == ("closed" if closes_early else "pending")
    assert_rejected(venue.offer("eve", "ann", "no"), Reason.UNKNOWN_PREDICTION)
    venue.bid("ann", 20)
    venue.close()
    assert venue.offer("eve", "ben", "no").accepted
    venue.advance_to(venue.time_us + HOUR_US)


def test_shares_are_still_paid_to_who_may_not_judge(venue: Bench) -> None:
    """The market goes on as ever."""
    venue.start_work()
    paid = venue.buy_shares("ada", "yes", 2 * SHARE)
    venue.deliver()
    venue.dispute("poster", "settlements")
    before = venue.balance("ada")[0]
    for name in venue.seated():
        venue.must(name, Rule, dispute=1, upheld=False)
    assert venue.look().outcome == "yes"
    assert venue.balance("ada")[0] == before + 2 * SHARE
    assert paid < 2 * SHARE

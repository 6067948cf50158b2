"""Disputes: stakes, panels, sealed rulings, verdicts, fees and forfeits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from exchange.engine import Engine
from exchange.messages.admin import HaltAgent, RevokeAgent, Settings
from exchange.messages.disputes import GetDispute, GetMyStake, ListDisputes, OpenDispute, Rule, Stake, Unstake
from exchange.messages.payments import GetLiens
from exchange.messages.reasons import Reason
from exchange.messages.settlements import Deliver, GetSettlement
from exchange.testing import OPERATOR, SECOND_US, Venue, assert_rejected
from tests.core.agreements import WITH_AGREEMENTS, Agree

if TYPE_CHECKING:
    from exchange.messages.disputes import DisputeView
    from exchange.messages.settlements import SettlementView

CREDIT: Final = 1_000_000
HOUR_US: Final = 3_600 * SECOND_US
DAY_US: Final = 24 * HOUR_US
WEEK_US: Final = 7 * DAY_US
GRACE_US: Final = 300 * SECOND_US
ARBITRATORS: Final = ("ada", "bob", "cyd", "dan", "eva")


def build(settings: Settings | None = None, stakes: dict[str, int] | None = None) -> Venue:
    """Return a venue in which arbitrators have had their stakes for a week."""
    venue = Venue(mechanisms=WITH_AGREEMENTS, settings=settings)
    venue.register("payer", "worker", "other", endowment=1_000 * CREDIT)
    venue.register("mate", owner="payer", roles=["arbitrator"], endowment=500 * CREDIT)
    venue.register("ci", roles=["attester"], endowment=0)
    venue.register(*ARBITRATORS, roles=["arbitrator"], endowment=500 * CREDIT)
    for name, amount in (dict.fromkeys(ARBITRATORS, 100) if stakes is None else stakes).items():
        venue.must(name, Stake, amount=amount * CREDIT)
    venue.advance_to(venue.time_us + WEEK_US)
    return venue


@pytest.fixture
def venue() -> Venue:
    return build()


def deliver(venue: Venue, price: int = 200, bond: int = 20, **terms: Any) -> None:
    """Let the worker deliver something for which the payer has agreed to pay."""
    fields = {"provider": "worker", "price": price * CREDIT, "bond": bond * CREDIT}
    venue.must("payer", Agree, **{**fields, "deliver_by_us": venue.time_us + HOUR_US, **terms})
    number = venue.engine.mechanisms["settlements"].dump()[0]  # type: ignore[index]
    venue.must("worker", Deliver, settlement=number)


def seat(venue: Venue) -> list[str]:
    """Let the panel be drawn; return who was seated since, the first first."""
    before = {name: len(venue.events(name)) for name in (*ARBITRATORS, "mate")}
    venue.advance(10)
    venue.advance(1)
    return [
        name
        for name, first in before.items()
        if any(event.__struct_config__.tag == "disputes.seated" for event in venue.events(name)[first:])
    ]


def dispute(venue: Venue, **terms: Any) -> list[str]:
    """Let the payer dispute a delivery; return the panel."""
    deliver(venue, **terms)
    venue.must("payer", OpenDispute, family="settlements", number=1, statement="it does not build")
    return seat(venue)


def view(venue: Venue, asker: str = OPERATOR, number: int = 1) -> DisputeView:
    return venue.engine.query(asker, GetDispute(dispute=number)).dispute


def settlement(venue: Venue, number: int = 1) -> SettlementView:
    return venue.engine.query(OPERATOR, GetSettlement(settlement=number)).settlement


def purse(venue: Venue, name: str) -> int:
    return venue.balance(name)[0]


def stake(venue: Venue, name: str) -> int:
    return venue.engine.query(name, GetMyStake()).stake


def reload(venue: Venue) -> None:
    """Go on from a snapshot."""
    dumped = venue.engine.dump()
    engine = Engine(WITH_AGREEMENTS)
    engine.load(dumped)
    assert engine.dump() == dumped
    venue.engine = engine


# ── verdicts ────────────────────────────────────────────────────────────────────────────────────


def test_a_dispute_that_is_upheld_brings_the_opposite_of_silence(venue: Venue) -> None:
    panel = dispute(venue)
    assert purse(venue, "payer") == (1_000 - 200 - 10) * CREDIT
    first, second, third = panel
    venue.must(first, Rule, dispute=1, upheld=True, statement="it does not build")
    venue.must(second, Rule, dispute=1, upheld=False, statement="it does here")
    assert settlement(venue).state == "disputed"
    venue.must(third, Rule, dispute=1, upheld=True)
    assert settlement(venue).state == "failed"
    # The payer has its deposit and the bond, the worker owes the fee of 10.
    assert purse(venue, "payer") == 1_020 * CREDIT
    assert purse(venue, "worker") == (1_000 - 20 - 10) * CREDIT
    # 10 are split by three; who was outvoted forfeits 5 % of 100 to the other two.
    assert [purse(venue, name) for name in panel] == [
        400 * CREDIT + 3_333_334 + 2_500_000,
        400 * CREDIT + 3_333_333,
        400 * CREDIT + 3_333_333 + 2_500_000,
    ]
    assert [stake(venue, name) for name in panel] == [100 * CREDIT, 95 * CREDIT, 100 * CREDIT]
    assert view(venue).verdict == "upheld"


def test_a_dispute_that_is_rejected_brings_what_silence_would_have(venue: Venue) -> None:
    panel = dispute(venue)
    for name in panel:
        venue.must(name, Rule, dispute=1, upheld=False)
    assert settlement(venue).state == "completed"
    assert purse(venue, "payer") == (1_000 - 200 - 10) * CREDIT
    assert purse(venue, "worker") == 1_200 * CREDIT
    assert [purse(venue, name) for name in panel] == [400 * CREDIT + part for part in (3_333_334, 3_333_333, 3_333_333)]
    assert [stake(venue, name) for name in panel] == [100 * CREDIT] * 3


def test_without_a_majority_it_is_as_silence_would_have_it(venue: Venue) -> None:
    first, second, third = dispute(venue)
    venue.must(first, Rule, dispute=1, upheld=True)
    venue.must(second, Rule, dispute=1, upheld=False)
    venue.advance_to(venue.time_us + 2 * DAY_US)
    (fourth,) = seat(venue)
    venue.advance_to(venue.time_us + DAY_US)
    assert (view(venue).verdict, settlement(venue).state) == ("no_majority", "completed")
    # The deposit of 10 and twice 5 for absence are for the two who ruled.
    assert [purse(venue, name) for name in (first, second)] == [410 * CREDIT, 410 * CREDIT]
    assert [stake(venue, name) for name in (first, second, third, fourth)] == [
        amount * CREDIT for amount in (100, 100, 95, 95)
    ]
    assert purse(venue, "payer") == (1_000 - 200 - 10) * CREDIT


def test_if_nobody_rules_the_deposit_goes_back(venue: Venue) -> None:
    panel = dispute(venue)
    venue.advance_to(venue.time_us + 2 * DAY_US)
    replacements = seat(venue)
    assert len(panel) + len(replacements) == 5
    before = venue.system_credits("public_fund")
    venue.advance_to(venue.time_us + DAY_US)
    assert (view(venue).verdict, settlement(venue).state) == ("no_majority", "completed")
    assert purse(venue, "payer") == 800 * CREDIT
    assert venue.system_credits("public_fund") - before == 25 * CREDIT
    assert [stake(venue, name) for name in ARBITRATORS] == [95 * CREDIT] * 5


def test_without_arbitrators_there_is_no_majority() -> None:
    venue = build(stakes={"mate": 100})
    assert dispute(venue) == []
    assert (view(venue).verdict, settlement(venue).state) == ("no_majority", "completed")
    assert purse(venue, "payer") == 800 * CREDIT


@pytest.mark.parametrize(("present", "size"), [(1, 1), (2, 1), (3, 3), (4, 3), (5, 3)])
def test_a_panel_is_the_largest_odd_number_there_is(present: int, size: int) -> None:
    assert len(dispute(build(stakes=dict.fromkeys(ARBITRATORS[:present], 100)))) == size


@pytest.mark.parametrize("size", [1, 3, 5])
def test_the_size_of_panels_is_a_setting(size: int) -> None:
    panel = dispute(build(Settings(dispute_panel=size)))  # type: ignore[arg-type]
    assert len(panel) == size


def test_a_failure_is_disputed_by_the_provider(venue: Venue) -> None:
    venue.must("payer", Agree, provider="worker", price=10 * CREDIT, bond=CREDIT, deliver_by_us=venue.time_us + 1)
    venue.advance(1)
    assert settlement(venue).state == "failing"
    assert_rejected(venue.submit("payer", OpenDispute, family="settlements", number=1), Reason.NOT_PERMITTED)
    answer = venue.must("worker", OpenDispute, family="settlements", number=1)
    # 5 % of 10 are less than the least there is.
    assert (answer.data["dispute"], answer.data["deposit"]) == (1, CREDIT)
    for name in seat(venue):
        venue.must(name, Rule, dispute=1, upheld=True)
    assert settlement(venue).state == "completed"
    assert purse(venue, "worker") == 1_010 * CREDIT
    assert purse(venue, "payer") == (1_000 - 10 - 1) * CREDIT


def test_a_deposit_is_rounded_up(venue: Venue) -> None:
    deliver(venue, price=0, bond=0)
    venue.must("payer", Agree, provider="worker", price=20 * CREDIT + 1, deliver_by_us=venue.time_us + HOUR_US)
    venue.must("worker", Deliver, settlement=2)
    answer = venue.must("payer", OpenDispute, family="settlements", number=2)
    assert answer.data["deposit"] == CREDIT + 1


def test_who_cannot_pay_the_fee_owes_it(venue: Venue) -> None:
    venue.register("poor", endowment=2 * CREDIT)
    deliver(venue, bond=0, provider="worker")
    venue.must("payer", Agree, provider="poor", price=200 * CREDIT, deliver_by_us=venue.time_us + HOUR_US)
    venue.must("poor", Deliver, settlement=2)
    venue.must("payer", OpenDispute, family="settlements", number=2)
    panel = seat(venue)
    for name in panel:
        venue.must(name, Rule, dispute=1, upheld=True)
    assert purse(venue, "poor") == 0
    liens = venue.engine.query("poor", GetLiens()).liens
    assert [(lien.creditor, lien.amount) for lien in liens] == [
        (panel[0], 3_333_334 - 2 * CREDIT),
        (panel[1], 3_333_333),
        (panel[2], 3_333_333),
    ]


# ── deadlines ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("reloads", [False, True])
def test_a_ruling_is_possible_to_the_last_microsecond(venue: Venue, reloads: bool) -> None:
    first, second, third = dispute(venue)
    until_us = view(venue, first).rule_by_us
    assert until_us == venue.time_us + 2 * DAY_US
    if reloads:
        reload(venue)
    venue.advance_to(until_us - 1)
    venue.must(first, Rule, dispute=1, upheld=True)
    venue.advance_to(until_us)
    assert_rejected(venue.submit(second, Rule, dispute=1, upheld=True), Reason.WRONG_STATE)
    assert "disputes.absent" in venue.heard(third)
    if reloads:
        reload(venue)
    replacements = seat(venue)
    assert len(replacements) == 2
    until_us = view(venue, replacements[0]).rule_by_us
    assert until_us == venue.time_us + DAY_US
    venue.advance_to(until_us - 1)
    venue.must(replacements[0], Rule, dispute=1, upheld=True)
    venue.advance_to(until_us)
    # Two of three, and nobody is replaced twice.
    assert view(venue).verdict == "upheld"
    assert_rejected(venue.submit(replacements[1], Rule, dispute=1, upheld=True), Reason.WRONG_STATE)
    # 5 for each of three who were absent, to the two who ruled.
    assert [purse(venue, name) - 400 * CREDIT for name in (first, replacements[0])] == [12_500_000, 12_500_000]


def test_an_outage_leaves_arbitrators_their_time(venue: Venue) -> None:
    first, second, third = dispute(venue)
    venue.advance_to(view(venue, first).rule_by_us - 1)
    venue.change_leader(outage_seconds=3_600)
    back_us = venue.time_us
    venue.advance_to(back_us + GRACE_US - 1)
    for name in (first, second, third):
        venue.must(name, Rule, dispute=1, upheld=True)
    assert view(venue).verdict == "upheld"


def test_an_outage_does_not_last_for_ever(venue: Venue) -> None:
    first, *_ = dispute(venue)
    venue.advance_to(view(venue, first).rule_by_us - 1)
    venue.change_leader(outage_seconds=3_600)
    venue.advance_to(venue.time_us + GRACE_US)
    assert_rejected(venue.submit(first, Rule, dispute=1, upheld=True), Reason.WRONG_STATE)


def test_what_is_disputed_waits_for_the_decision(venue: Venue) -> None:
    dispute(venue)
    venue.advance_to(venue.time_us + 2 * DAY_US)
    venue.advance_to(venue.time_us + 2 * DAY_US - 1)
    assert settlement(venue).state == "disputed"


# ── who may do what ─────────────────────────────────────────────────────────────────────────────


def test_what_cannot_be_disputed(venue: Venue) -> None:
    deliver(venue)
    assert_rejected(venue.submit("payer", OpenDispute, family="orders", number=1), Reason.UNKNOWN_MECHANISM)
    assert_rejected(venue.submit("payer", OpenDispute, family="settlements", number=9), Reason.UNKNOWN_SETTLEMENT)
    assert_rejected(venue.submit("worker", OpenDispute, family="settlements", number=1), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("other", OpenDispute, family="settlements", number=1), Reason.NOT_PERMITTED)
    venue.must("payer", OpenDispute, family="settlements", number=1)
    assert_rejected(venue.submit("payer", OpenDispute, family="settlements", number=1), Reason.ALREADY_DISPUTED)


def test_there_is_one_dispute_also_after_the_decision(venue: Venue) -> None:
    for name in dispute(venue):
        venue.must(name, Rule, dispute=1, upheld=False)
    reload(venue)
    assert_rejected(venue.submit("payer", OpenDispute, family="settlements", number=1), Reason.ALREADY_DISPUTED)


def test_who_cannot_pay_the_deposit_cannot_dispute(venue: Venue) -> None:
    deliver(venue, price=1_000 - 9)
    assert_rejected(venue.submit("payer", OpenDispute, family="settlements", number=1), Reason.INSUFFICIENT_CREDITS)


def test_who_may_rule(venue: Venue) -> None:
    assert_rejected(venue.submit("ada", Rule, dispute=1, upheld=True), Reason.UNKNOWN_DISPUTE)
    panel = dispute(venue)
    outsider = next(name for name in ARBITRATORS if name not in panel)
    assert_rejected(venue.submit(outsider, Rule, dispute=1, upheld=True), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("payer", Rule, dispute=1, upheld=True), Reason.NOT_PERMITTED)
    venue.must(panel[0], Rule, dispute=1, upheld=True)
    assert_rejected(venue.submit(panel[0], Rule, dispute=1, upheld=False), Reason.WRONG_STATE)


def test_who_is_halted_may_dispute_and_rule_but_is_not_drawn(venue: Venue) -> None:
    deliver(venue)
    for name in ("payer", "ada", "bob"):
        venue.must(OPERATOR, HaltAgent, agent=name)
    venue.must("payer", OpenDispute, family="settlements", number=1)
    assert seat(venue) == ["cyd", "dan", "eva"]
    venue.must(OPERATOR, HaltAgent, agent="cyd")
    venue.must("cyd", Rule, dispute=1, upheld=True)
    assert_rejected(venue.submit("cyd", Stake, amount=CREDIT), Reason.AGENT_HALTED)


# ── stakes ──────────────────────────────────────────────────────────────────────────────────────


def test_stakes_have_a_least_and_wait_for_seats(venue: Venue) -> None:
    assert_rejected(venue.submit("payer", Stake, amount=50 * CREDIT), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("mate", Stake, amount=50 * CREDIT - 1), Reason.INVALID_QUANTITY)
    assert_rejected(venue.submit("mate", Stake, amount=500 * CREDIT + 1), Reason.INSUFFICIENT_CREDITS)
    assert_rejected(venue.submit("mate", Unstake, amount=1), Reason.INSUFFICIENT_CREDITS)
    assert venue.must("mate", Stake, amount=60 * CREDIT).data["stake"] == 60 * CREDIT
    assert_rejected(venue.submit("mate", Unstake, amount=11 * CREDIT), Reason.INVALID_QUANTITY)
    assert_rejected(venue.submit("mate", Unstake, amount=61 * CREDIT), Reason.INSUFFICIENT_CREDITS)
    panel = dispute(venue)
    assert_rejected(venue.submit(panel[0], Unstake, amount=CREDIT), Reason.WRONG_STATE)
    venue.must(panel[0], Rule, dispute=1, upheld=True)
    # It has ruled, but its stake still answers for that.
    assert_rejected(venue.submit(panel[0], Unstake, amount=CREDIT), Reason.WRONG_STATE)
    venue.must("mate", Unstake, amount=60 * CREDIT)
    assert purse(venue, "mate") == 500 * CREDIT


def test_there_are_only_so_many_arbitrators() -> None:
    venue = build(Settings(max_arbitrators=2), stakes={"ada": 50, "bob": 50})
    assert_rejected(venue.submit("cyd", Stake, amount=50 * CREDIT), Reason.TOO_MANY_ARBITRATORS)
    venue.must("ada", Stake, amount=CREDIT)
    venue.must("bob", Unstake, amount=50 * CREDIT)
    venue.must("cyd", Stake, amount=50 * CREDIT)


def test_a_stake_counts_when_it_is_seven_days_old() -> None:
    venue = Venue(mechanisms=WITH_AGREEMENTS)
    venue.register("ada", "bob", roles=["arbitrator"], endowment=500 * CREDIT)
    venue.register("payer", "worker", endowment=1_000 * CREDIT)
    venue.must("ada", Stake, amount=50 * CREDIT)
    venue.advance_to(venue.time_us + 1)
    venue.must("bob", Stake, amount=50 * CREDIT)
    deliver(venue, confirm_seconds=30 * 86_400)
    venue.advance_to(venue.time_us + WEEK_US - 1)
    venue.must("payer", OpenDispute, family="settlements", number=1)
    venue.advance(10)
    venue.advance(1)
    assert ("disputes.seated" in venue.heard("ada"), "disputes.seated" in venue.heard("bob")) == (True, False)


def test_what_went_and_came_again_is_young(venue: Venue) -> None:
    venue.must("ada", Unstake, amount=50 * CREDIT)
    venue.must("ada", Stake, amount=400 * CREDIT)
    answer = venue.engine.query("ada", GetMyStake())
    assert (answer.stake, answer.counts) == (450 * CREDIT, 50 * CREDIT)
    venue.must("ada", Unstake, amount=400 * CREDIT)
    answer = venue.engine.query("ada", GetMyStake())
    assert (answer.stake, answer.counts) == (50 * CREDIT, 50 * CREDIT)


def test_a_revoked_arbitrator_is_replaced_and_has_its_stake_back(venue: Venue) -> None:
    first, second, third = dispute(venue)
    venue.must(second, Rule, dispute=1, upheld=True)
    before = venue.system_credits("treasury")
    venue.must(OPERATOR, RevokeAgent, agent=first)
    assert venue.system_credits("treasury") - before == 500 * CREDIT
    # Who has ruled answers for it until the decision.
    venue.must(OPERATOR, RevokeAgent, agent=second)
    assert venue.system_credits("treasury") - before == 900 * CREDIT
    venue.must(third, Rule, dispute=1, upheld=True)
    (replacement,) = seat(venue)
    venue.must(replacement, Rule, dispute=1, upheld=True)
    assert view(venue).verdict == "upheld"
    assert venue.system_credits("treasury") - before == 1_000 * CREDIT + 3_333_333 + (
        second == min(second, third, replacement)
    )


def test_revoked_parties_change_nothing_of_it(venue: Venue) -> None:
    panel = dispute(venue)
    venue.must(OPERATOR, RevokeAgent, agent="payer")
    venue.must(OPERATOR, RevokeAgent, agent="worker")
    for name in panel:
        venue.must(name, Rule, dispute=1, upheld=True)
    assert view(venue).verdict == "upheld"
    # The deposit, price and bond are the payer's heir's. Nobody is left who could owe the fee.
    assert purse(venue, "mate") == (500 + 790 + 230) * CREDIT
    assert [purse(venue, name) for name in panel] == [400 * CREDIT] * 3


# ── what is sealed ──────────────────────────────────────────────────────────────────────────────


def shown(venue: Venue, *names: str) -> list[object]:
    """Return all that these agents and the operators can see."""
    seen: list[object] = [sorted(str(row) for m in venue.engine.mechanisms.values() for row in m.metrics())]
    for name in (*names, OPERATOR):
        seen += [
            venue.events(name),
            view(venue, name),
            venue.engine.query(name, ListDisputes()).disputes,
            venue.balance(name),
        ]
    return seen


def test_nothing_shows_before_the_decision(venue: Venue) -> None:
    panel = dispute(venue)
    watchers = ("payer", "worker", panel[1], panel[2])
    before = shown(venue, *watchers)
    venue.must(panel[0], Rule, dispute=1, upheld=True, statement="mine")
    assert shown(venue, *watchers) == before
    assert view(venue, "payer").rulings == []
    venue.advance_to(view(venue, panel[1]).rule_by_us)
    replacements = seat(venue)
    parties = ("payer", "worker", replacements[0])
    before = shown(venue, "payer", "worker")
    venue.must(replacements[0], Rule, dispute=1, upheld=False)
    assert shown(venue, "payer", "worker") == before
    venue.must(replacements[1], Rule, dispute=1, upheld=False)
    rulings = [(ruling.arbitrator, ruling.upheld) for ruling in view(venue, "payer").rulings]
    absent = [(name, None) for name in panel[1:]]
    assert sorted(rulings) == sorted([(panel[0], True), *absent, *((name, False) for name in replacements)])
    for name in (*parties, *panel):
        assert venue.events(name)[-1].__struct_config__.tag in (
            "disputes.decided",
            "settlements.final",
            "payments.posted",
            "expertise.rating_opened",
        )


def test_absence_shows_to_nobody_else(venue: Venue) -> None:
    panel = dispute(venue)
    venue.must(panel[0], Rule, dispute=1, upheld=True)
    before = shown(venue, "payer", "worker", panel[0])
    venue.advance_to(view(venue, panel[1]).rule_by_us)
    seat(venue)
    assert shown(venue, "payer", "worker", panel[0]) == before


def test_strangers_see_no_dispute(venue: Venue) -> None:
    panel = dispute(venue)
    outsider = next(name for name in ARBITRATORS if name not in panel)
    for name in (outsider, "other"):
        with pytest.raises(Exception, match="no dispute 1"):
            view(venue, name)
        assert venue.engine.query(name, ListDisputes()).disputes == []
    assert [found.dispute for found in venue.engine.query("worker", ListDisputes()).disputes] == [1]
    assert [found.dispute for found in venue.engine.query(panel[0], ListDisputes()).disputes] == [1]

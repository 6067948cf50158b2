"""The days of governance: dynamic rates follow their use, fees are swept, and what is opened keeps its terms."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.daemon.host import Host
from exchange.engine import Engine, genesis_batch
from exchange.mechanisms import REGISTRY
from exchange.mechanisms.facts import ExternalityFinal, ParameterChanged, TaskFinal, UrgentAuctionClosed
from exchange.mechanisms.governance import Governance
from exchange.mechanisms.governance.parameters import EXTERNALITY_RATES, PARAMETERS, adjusted
from exchange.messages.admin import ResumeMechanism, SuspendMechanism
from exchange.messages.contracts import Attest, ContractPart, ProposeContract, SignContract, Statement
from exchange.messages.disputes import GetDispute, OpenDispute, Stake
from exchange.messages.governance import Vote
from exchange.messages.tasks import CancelTask
from exchange.testing import OPERATOR, START_US
from tests.core.bets import Bets
from tests.core.council import CREDIT, DAY_US, HOUR_US, Council
from tests.core.work import Work

PREMIUM = PARAMETERS["urgency_premium_ppm"]
DYNAMIC = [parameter for parameter in PARAMETERS.values() if parameter.target]


@pytest.fixture
def venue() -> Council:
    return Council()


# ── the daily rule ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rate", "observed", "target", "result"),
    [
        # At the target nothing moves; twice the target, or more, is an eighth up; nothing at all is an eighth down.
        (250_000, 5, 5, 250_000),
        (250_000, 10, 5, 281_250),
        (250_000, 1_000_000, 5, 281_250),
        (250_000, 0, 5, 218_750),
        # (7 - 5) / 5 = 0.4: 250,000 · 1.05. (4 - 5) / 5 = -0.2: 250,000 · 0.975.
        (250_000, 7, 5, 262_500),
        (250_000, 4, 5, 243_750),
        # 100,003 · 25 / 24 = 104,169.79…, rounded down; 100,003 · 23 / 24 = 95,836.2….
        (100_003, 4, 3, 104_169),
        (100_003, 2, 3, 95_836),
        # Within the bounds, 1 % and 100 %.
        (950_000, 99, 5, 1_000_000),
        (10_500, 0, 5, 10_000),
        (10_000, 10, 5, 11_250),
        # A target of 0 moves nothing, and what was created outside of the bounds stays.
        (250_000, 99, 0, 250_000),
        (0, 99, 5, 0),
        (9_999, 99, 5, 9_999),
    ],
)
def test_the_daily_rule_by_hand(rate: int, observed: int, target: int, result: int) -> None:
    assert adjusted(PREMIUM, rate, observed, target) == result


@given(
    st.sampled_from(DYNAMIC), st.integers(0, 10**9), st.integers(0, 10**12), st.integers(0, 10**6), st.data()
)  # fmt: skip
def test_rates_stay_within_their_bounds_and_follow_what_is_observed(
    parameter: Any, offset: int, observed: int, target: int, data: st.DataObject
) -> None:
    """Never more than an eighth; more use never makes it cheaper; a dearer rate never becomes the cheaper one."""
    rate = min(parameter.low + offset, parameter.high)
    moved = adjusted(parameter, rate, observed, target)
    assert parameter.low <= moved <= parameter.high
    assert 8 * abs(moved - rate) <= rate + 8
    assert moved <= adjusted(parameter, rate, observed + data.draw(st.integers(0, 10**12)), target)
    higher = data.draw(st.integers(rate, parameter.high))
    assert moved <= adjusted(parameter, higher, observed, target)
    if target:
        assert (moved >= rate) or observed < target
        assert (moved <= rate) or observed > target


@pytest.mark.parametrize("parameter", DYNAMIC, ids=lambda parameter: parameter.name)
def test_a_rate_rises_from_its_lower_bound(parameter: Any) -> None:
    """A bound below 8 would be one that a rate never leaves again."""
    assert adjusted(parameter, parameter.low, 200, 100) > parameter.low


# ── what is counted ─────────────────────────────────────────────────────────────────────────────


def announce(venue: Council, *facts: Any) -> None:
    """Let mechanisms hear of facts, as those that they come from would have announced them."""
    for fact in facts:
        venue.engine.context.announce(fact)
    venue.engine._run_follow_ups()


def test_urgent_auctions_that_close_empty_raise_the_premium(venue: Council) -> None:
    announce(venue, *(UrgentAuctionClosed(n, False, f"o{n}") for n in range(10)), UrgentAuctionClosed(11, True, "o0"))
    assert venue.parameter("urgency_premium_ppm").observed == 10
    venue.advance_to(venue.governance.days.ends_us - 1)  # type: ignore[operator]
    assert venue.parameter("urgency_premium_ppm").value == 250_000
    venue.advance_to(venue.time_us + 1)
    view = venue.parameter("urgency_premium_ppm")
    assert (view.value, view.observed, view.since_us) == (281_250, 0, venue.time_us)


def test_critical_tasks_that_fail_raise_the_floor(venue: Council) -> None:
    announce(
        venue,
        TaskFinal(1, False, "o0", is_critical=True),
        TaskFinal(2, False, "o1", is_critical=True),
        TaskFinal(3, True, "o2", is_critical=True),
        TaskFinal(4, False, "o3"),
        TaskFinal(5, False, "o4", is_critical=True, is_called_off=True),
    )
    venue.advance(86_400)
    # Two of a target of one: 10 credits and an eighth.
    assert venue.parameter("critical_floor").value == 11_250_000


def test_an_owner_cannot_raise_the_premium_or_the_floor_by_tasks_that_nobody_can_want(venue: Council) -> None:
    """However many it posts, by however many agents, and on however many days: of a day one counts."""
    venue.register("o0-b", owner="o0")
    for _ in range(3):
        before = {name: venue.parameter(name).value for name in ("urgency_premium_ppm", "critical_floor")}
        for poster in ("o0", "o0-b") * 6:
            announce(venue, UrgentAuctionClosed(1, False, poster), TaskFinal(1, False, poster, is_critical=True))
            venue.reload()
        assert [venue.parameter(name).observed for name in before] == [1, 1]
        venue.advance(86_400)
        assert all(venue.parameter(name).value <= value for name, value in before.items())


def test_two_friends_cannot_raise_a_rate_by_what_they_do_to_each_other(venue: Council) -> None:
    """What one pays the other costs them nothing together, so a pair counts no more than a day should see."""
    assert venue.parameter("blocking_rate").target == 40
    announce(venue, ExternalityFinal("blocking", 1_000, CREDIT, "o0", "o1"))
    assert venue.parameter("blocking_rate").observed == 40
    announce(venue, ExternalityFinal("blocking", 2_000, CREDIT, "o1", "o0"))
    assert venue.parameter("blocking_rate").observed == 40
    announce(venue, ExternalityFinal("blocking", 10, CREDIT, "o2", "o1"))
    assert venue.parameter("blocking_rate").observed == 50


@pytest.mark.parametrize(("kind", "name"), EXTERNALITY_RATES.items())
def test_levies_count_once_for_each_pair_of_owners(kind: str, name: str) -> None:
    venue = Council()
    venue.register("o1-b", owner="o1")
    facts = [
        ExternalityFinal(kind, 3, CREDIT, "o0", "o1"),
        ExternalityFinal(kind, 8, CREDIT, "o0", "o1-b"),
        ExternalityFinal(kind, 5, CREDIT, "o0", "o1"),
        ExternalityFinal(kind, 7, CREDIT, "o1", "o0"),
        ExternalityFinal(kind, 2, CREDIT, "o0", None),
        ExternalityFinal(kind, 4, CREDIT, "o2", "o1"),
        ExternalityFinal(kind, 9, CREDIT, "o1", "o1-b"),
    ]
    announce(venue, *facts)
    assert venue.parameter(name).observed == 8 + 2 + 4
    venue.reload()
    announce(venue, ExternalityFinal(kind, 9, CREDIT, "o1", "o0"))
    assert venue.parameter(name).observed == 9 + 2 + 4
    before = venue.parameter(name)
    venue.advance(86_400)
    assert before.target is not None
    assert venue.parameter(name).value == adjusted(PARAMETERS[name], before.value, 15, before.target)
    announce(venue, ExternalityFinal(kind, 3, CREDIT, "o0", "o1"))
    assert venue.parameter(name).observed == 3


def test_a_target_of_0_leaves_a_rate_to_votes() -> None:
    venue = Council(urgent_empty_target=0)
    announce(venue, UrgentAuctionClosed(1, False, "o0"))
    venue.advance(86_400)
    view = venue.parameter("urgency_premium_ppm")
    assert (view.value, view.is_dynamic, view.target, view.observed) == (250_000, False, None, None)
    assert venue.parameter("critical_floor").is_dynamic


def test_others_hear_what_a_parameter_was(venue: Council) -> None:
    heard: list[ParameterChanged] = []
    venue.engine.context.react(ParameterChanged, heard.append)
    venue.propose("o0", "harberger_rate_bp", 600)
    venue.vote("o1 o2")
    venue.enact()
    assert ParameterChanged("harberger_rate_bp", 500, 600) in heard
    # Nothing was urgent for four days.
    premiums = [(fact.before, fact.after) for fact in heard if fact.name == "urgency_premium_ppm"]
    assert premiums[0] == (250_000, 218_750)


# ── days ────────────────────────────────────────────────────────────────────────────────────────


def test_fees_are_swept_into_the_public_fund_when_a_day_ends(venue: Council) -> None:
    venue.pay_fees(1_234_567)
    ends_us = venue.fund().day_ends_us
    assert ends_us == venue.time_us + DAY_US
    venue.advance_to(ends_us - 1)
    assert (venue.system_credits("fees"), venue.fund().fees) == (1_234_567, 1_234_567)
    venue.advance_to(ends_us)
    assert (venue.system_credits("fees"), venue.system_credits("public_fund")) == (0, 1_234_567)
    assert venue.fund().day_ends_us == ends_us + DAY_US


def test_fees_of_real_trades_come_in() -> None:
    venue = Council()
    venue.market(taker_fee_bp=100, maker_fee_bp=50)
    venue.issue("o0", 10)
    venue.sell("o0", 10, 2 * CREDIT)
    venue.buy("o1", 10, 2 * CREDIT)
    fees = venue.system_credits("fees")
    assert fees == 20 * CREDIT * 150 // 10_000
    venue.advance(86_400)
    assert (venue.system_credits("fees"), venue.system_credits("public_fund")) == (0, fees)


def test_an_outage_of_days_is_one_day(venue: Council) -> None:
    """Nobody could have done anything in them; the days go on where they would have been."""
    ends_us = venue.fund().day_ends_us
    assert ends_us is not None
    venue.change_leader(outage_seconds=5 * 86_400 + 100)
    assert venue.parameter("urgency_premium_ppm").value == 218_750
    assert venue.fund().day_ends_us == ends_us + 5 * DAY_US


def test_a_suspended_mechanism_ends_its_day_when_it_works_again(venue: Council) -> None:
    venue.must(OPERATOR, SuspendMechanism, family="governance")
    venue.pay_fees(CREDIT)
    venue.advance(3 * 86_400)
    assert venue.system_credits("fees") == CREDIT
    venue.must(OPERATOR, ResumeMechanism, family="governance")
    venue.advance(0)
    assert venue.system_credits("fees") == 0
    assert venue.parameter("urgency_premium_ppm").value == 218_750


def test_days_go_on_after_reloads_and_changes_of_leader() -> None:
    hashes = []
    for reloads in (False, True):
        venue = Council()
        for _ in range(3):
            announce(venue, UrgentAuctionClosed(1, False, "o0"), ExternalityFinal("debt", 9, 1, "o0", "o1"))
            venue.pay_fees(7)
            if reloads:
                venue.reload()
            venue.change_leader()
            venue.advance(86_400)
        hashes.append(venue.engine.state_hash())
        assert venue.system_credits("public_fund") == 21
    assert hashes[0] == hashes[1]


# ── venues that are older than governance ───────────────────────────────────────────────────────


def _host() -> Host:
    return Host(send=lambda _subject, _payload: None, now_s=lambda: 0.0)


def _governance(engine: Engine) -> Governance:
    found = engine.mechanisms["governance"]
    assert isinstance(found, Governance)
    return found


def test_the_first_epoch_of_a_new_venue_begins_its_days_and_a_replay_begins_them_there() -> None:
    host, again = _host(), _host()
    batch = genesis_batch(OPERATOR, START_US)
    steps = [host.apply(batch.submissions, [], batch.time_us, 0), host.begin_epoch(START_US + 5)]
    steps += [host.begin_epoch(START_US + 9)]
    assert _governance(host.engine).days.begun_us == START_US + 5
    assert steps[2].batch.submissions == []
    for step in steps:
        again.replay(step.body)
    assert again.engine.state_hash() == host.engine.state_hash()


def test_a_snapshot_from_before_there_was_governance_is_gone_on_from() -> None:
    """Who was registered before may vote; the days begin as a daemon of this version begins to lead."""
    old = [kind for kind in REGISTRY if kind.family != "governance"]
    venue = Council(begins=False, mechanisms=old)
    venue.register("o1-b", owner="o1")
    engine = Engine(REGISTRY)
    engine.load(venue.engine.dump())
    venue.engine = engine
    assert engine.check_invariants() == []
    venue.register("later")
    venue.change_leader()
    venue.begin()
    assert venue.fund().owners == 11
    venue.propose()
    venue.vote("o1-b later o3")
    assert venue.view_proposal().total_weight == 11
    venue.pay_fees(5)
    venue.enact()
    assert (venue.parameter().value, venue.system_credits("public_fund")) == (7 * CREDIT, 5)


def test_a_vote_after_a_snapshot_from_before_there_was_governance() -> None:
    old = [kind for kind in REGISTRY if kind.family != "governance"]
    venue = Council(begins=False, mechanisms=old)
    engine = Engine(REGISTRY)
    engine.load(venue.engine.dump())
    venue.engine = engine
    venue.propose("o0")
    assert venue.submit("o1", Vote, proposal=1, in_favour=True).accepted


# ── tasks: where the facts come from ────────────────────────────────────────────────────────────


class _Market(Work):
    """Hear what tasks announce."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []
        for kind in (UrgentAuctionClosed, TaskFinal):
            self.engine.context.react(kind, self.heard.append)


def test_tasks_tell_of_urgent_rounds_with_and_without_an_award() -> None:
    """Urgent is a round that opens with less than twice the effort left."""
    venue = _Market()
    urgent = {"effort_minutes": 60, "deadline_us": venue.time_us + 2 * HOUR_US - 1}
    venue.post(**urgent)
    venue.close()
    assert venue.heard == [
        UrgentAuctionClosed(1, is_awarded=False, poster="poster"),
        TaskFinal(1, is_completed=False, poster="poster"),
    ]
    venue.heard.clear()
    venue.post(**urgent | {"deadline_us": venue.time_us + HOUR_US})
    venue.bid("ann", 20, task=2)
    venue.close(2)
    assert venue.heard == [UrgentAuctionClosed(2, is_awarded=True, poster="poster")]
    venue.heard.clear()
    venue.post(**urgent | {"deadline_us": venue.time_us + 2 * HOUR_US})
    venue.close(3)
    assert venue.heard == [TaskFinal(3, is_completed=False, poster="poster")]


def test_tasks_tell_whether_they_were_critical_and_called_off() -> None:
    venue = _Market()
    venue.post(critical=True, min_reputation=1)
    venue.close()
    venue.post(critical=True, min_reputation=1)
    venue.must("poster", CancelTask, task=2)
    assert venue.heard == [
        TaskFinal(1, is_completed=False, poster="poster", is_critical=True),
        TaskFinal(2, is_completed=False, poster="poster", is_critical=True, is_called_off=True),
    ]


def test_urgent_tasks_that_nobody_can_want_count_once_for_their_owner() -> None:
    venue = Work()
    for n in range(1, 13):
        # Enough for a critical task, and a reputation that nobody has.
        terms = {"critical": n % 2 == 0, "reserve": 10 * CREDIT, "min_reputation": 100}
        venue.post(effort_minutes=60, deadline_us=venue.time_us + HOUR_US, **terms)
        venue.close(n)
    governance = venue.engine.mechanisms["governance"]
    assert isinstance(governance, Governance)
    assert governance.rates.counts == {"urgency_premium_ppm": 1, "critical_floor": 1}


# ── what is open keeps its terms ────────────────────────────────────────────────────────────────


def change(venue: Work, name: str, value: int) -> None:
    """Let a parameter have another value, as an enacted vote would."""
    governance = venue.engine.mechanisms["governance"]
    assert isinstance(governance, Governance)
    assert governance.rates.set(name, value)
    venue.engine._run_follow_ups()


def test_a_round_keeps_the_premium_that_it_opened_with() -> None:
    venue = Work()
    due = {"effort_minutes": 60, "deadline_us": venue.time_us + HOUR_US, "max_price": 50 * CREDIT}
    venue.post(**due)
    change(venue, "urgency_premium_ppm", 1_000_000)
    venue.post(**due)
    assert [venue.view_task(n).reserve for n in (1, 2)] == [37_500_000, 50 * CREDIT]
    venue.bid("ann", 37)
    venue.close()
    # A single bid gets the reserve of its round.
    assert venue.settlement(1).price == 37_500_000


def test_a_task_keeps_the_floor_that_it_was_posted_with() -> None:
    venue = Work()
    venue.post(critical=True, min_reputation=1)
    change(venue, "critical_floor", 40 * CREDIT)
    assert not venue.try_to_post(critical=True, min_reputation=1).accepted
    venue.bid("ann", 3)
    venue.bid("ben", 2)
    venue.close()
    # The second price is 3, the floor of its posting 10.
    assert venue.settlement(1).price == 10 * CREDIT


def test_a_task_keeps_the_time_to_confirm_that_it_was_posted_with() -> None:
    venue = Work()
    venue.post()
    change(venue, "confirm_seconds", 3_600)
    venue.bid("ann", 20)
    venue.close()
    venue.deliver()
    assert venue.settlement().until_us == venue.time_us + DAY_US


@pytest.mark.parametrize("reloads", [False, True])
def test_a_settlement_keeps_the_window_that_it_opened_with(*, reloads: bool) -> None:
    venue = Work()
    deadline_us = venue.time_us + 2 * HOUR_US
    venue.post(deadline_us=deadline_us)
    venue.bid("ann", 20)
    venue.close()
    venue.advance(60)
    change(venue, "dispute_window_seconds", 7_200)
    venue.post(deadline_us=deadline_us)
    venue.bid("ben", 20, task=2)
    venue.advance(60)
    venue.advance(1)
    change(venue, "dispute_window_seconds", 3_600)
    if reloads:
        venue.reload()
    venue.advance(60)
    # Nobody renews the work leases, so both fail ten minutes later.
    venue.advance(600)
    assert venue.settlement(1).state == venue.settlement(2).state == "failing"
    failed_us = [venue.told("poster", "settlements.failing")[n].venue_time_us for n in (0, 1)]
    until_us = [venue.settlement(n).until_us for n in (1, 2)]
    assert [until - at for until, at in zip(until_us, failed_us, strict=True)] == [DAY_US, 2 * HOUR_US]


@pytest.mark.parametrize("reloads", [False, True])
def test_a_prediction_market_keeps_the_window_that_it_opened_with(*, reloads: bool) -> None:
    venue = Bets()
    venue.open()
    venue.buy_shares("ann", "no")
    venue.advance(1)
    change(venue, "dispute_window_seconds", 3_600)
    venue.advance(1)
    venue.open()
    venue.buy_shares("ann", "no", market=2)
    if reloads:
        venue.reload()
    venue.resolve("yes")
    venue.resolve("yes", market=2)
    assert venue.look(1).final_at_us == venue.time_us + DAY_US
    assert venue.look(2).final_at_us == venue.time_us + HOUR_US


@pytest.mark.parametrize("reloads", [False, True])
def test_a_contract_keeps_the_window_that_it_was_bound_with(*, reloads: bool) -> None:
    """As the settlements of its parts do, which open then."""
    venue = Work()
    until_us = venue.time_us + 3 * DAY_US
    terms = {
        "title": "if it rains",
        "condition": Statement(statement="it rained", attester="ci"),
        "parts": [ContractPart(name="a", assignee="ann", share=CREDIT, deliver_by_us=until_us)],
        "sign_by_us": venue.time_us + HOUR_US,
        "evaluate_by_us": until_us,
    }
    for number in (1, 2):
        venue.must("poster", ProposeContract, **terms)
        venue.must("ann", SignContract, contract=number)
        venue.advance(1)
        change(venue, "dispute_window_seconds", 3_600 * number)
        venue.advance(1)
    if reloads:
        venue.reload()
    for number in (1, 2):
        venue.must("ci", Attest, contract=number, statement="it rained", holds=True)
    final_us = [event.final_at_us for event in venue.told("poster", "contracts.attested")]
    assert final_us == [venue.time_us + DAY_US, venue.time_us + HOUR_US]


def test_a_dispute_keeps_its_deposit_and_its_time_to_rule() -> None:
    venue = Work()
    venue.register("jo", roles=["arbitrator"], endowment=100 * CREDIT)
    venue.must("jo", Stake, amount=50 * CREDIT)
    venue.advance(8 * 86_400)
    venue.post()
    venue.bid("ann", 20)
    venue.close()
    venue.advance_to(venue.view_task().deadline_us)
    deposit = venue.must("ann", OpenDispute, family="settlements", number=1).data["deposit"]
    venue.advance(1)
    change(venue, "dispute_deposit_min", 9 * CREDIT)
    change(venue, "ruling_seconds", 3_600)
    venue.advance(10)
    venue.advance(1)
    view = venue.engine.query("jo", GetDispute(dispute=1)).dispute  # type: ignore[attr-defined]
    assert view.deposit == deposit == 30 * CREDIT * 5 // 100
    assert view.rule_by_us == venue.time_us + 2 * DAY_US


def test_what_a_parameter_was_is_known_long_enough() -> None:
    """Also after a hundred changes; the oldest value known counts for what is older than that."""
    venue = Work()
    context = venue.engine.context
    values = []
    for n in range(300):
        values.append((venue.time_us, context.settings.endowment))
        venue.advance(1)
        change(venue, "endowment", 1_000 + n)
    assert all(context.setting_at("endowment", at_us) == value for at_us, value in values[50:])
    assert context.setting_at("endowment", 0) == values[44][1]
    assert context.setting_at("endowment", venue.time_us) == 1_299

"""Conditional contracts: met and not met, and what becomes of shares and bonds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.mechanisms.contracts.conditions import evaluate, leaves_of
from exchange.mechanisms.shares import largest_remainder
from exchange.messages.admin import RevokeAgent, Settings
from exchange.messages.contracts import (
    AcceptAttestation,
    Attest,
    Condition,
    DeclineContract,
    GetContract,
    ListContracts,
    ProposeContract,
    SignContract,
    TaskCompleted,
    TimeReached,
)
from exchange.messages.orders import CancelAllAfter
from exchange.messages.predictions import AcceptResolution, BuyShares, OpenPrediction, ResolvePrediction
from exchange.messages.reasons import Reason
from exchange.messages.settlements import Deliver, GiveUp, RenewWorkLease
from exchange.testing import OPERATOR, assert_rejected
from tests.core.work import CREDIT, DAY_US, HOUR_US, MINUTE_US, WORKERS, Work

if TYPE_CHECKING:
    from exchange.messages.contracts import ContractView
    from exchange.testing import Answer

ALL_THREE: dict[str, Any] = {"type": "all", "of": [{"type": "part", "part": name} for name in "abc"]}


@pytest.fixture
def venue() -> Work:
    return Work()


def offer(venue: Work, **terms: Any) -> Answer:
    """Propose: 50 if all three parts are delivered by Friday, the shares being 20, 20 and 10."""
    friday_us = venue.time_us + 3 * DAY_US
    parts = [
        {"name": name, "assignee": agent, "share": share * CREDIT, "deliver_by_us": friday_us}
        for name, agent, share in zip("abc", WORKERS, (20, 20, 10), strict=True)
    ]
    fields = {
        "title": "all three by Friday",
        "parts": parts,
        "condition": ALL_THREE,
        "sign_by_us": venue.time_us + HOUR_US,
        "evaluate_by_us": friday_us,
        **terms,
    }
    command = venue.command("poster", ProposeContract, **fields)
    return venue.send("poster", msgspec.convert(msgspec.to_builtins(command), ProposeContract))


def propose(venue: Work, **terms: Any) -> None:
    answer = offer(venue, **terms)
    assert answer.accepted, answer.outcome


def sign_all(venue: Work) -> None:
    for name in WORKERS:
        venue.must(name, SignContract, contract=1)


def purses(venue: Work) -> list[int]:
    return [venue.purse(name)[0] for name in ("poster", *WORKERS)]


def view(venue: Work) -> ContractView:
    return venue.engine.query(OPERATOR, GetContract(contract=1)).contract  # type: ignore[attr-defined,no-any-return]


# ── the example ─────────────────────────────────────────────────────────────────────────────────


def test_all_three_are_delivered_and_everybody_is_paid_in_one_step(venue: Work) -> None:
    propose(venue)
    assert purses(venue) == [50, 100, 100, 100]
    sign_all(venue)
    # Bonds are 20 % of the shares: 4, 4 and 2.
    assert purses(venue) == [50, 96, 96, 98]
    for number in (1, 2, 3):
        venue.deliver(number)
    venue.confirm(1)
    venue.confirm(2)
    assert purses(venue) == [50, 96, 96, 98]
    venue.confirm(3)
    assert purses(venue) == [50, 120, 120, 110]
    assert view(venue).state == "met"


def test_one_is_missing_and_the_payer_is_refunded_in_one_step(venue: Work) -> None:
    """The bond of who did not deliver, 2, goes to who did, by their shares."""
    propose(venue)
    sign_all(venue)
    for number in (1, 2):
        venue.deliver(number)
        venue.confirm(number)
    venue.advance_to(view(venue).evaluate_by_us)
    # That the third failed is not final before its window has passed.
    assert purses(venue) == [50, 96, 96, 98]
    assert view(venue).holds is None
    venue.advance_to(venue.settlement(3).until_us)
    assert purses(venue) == [100, 101, 101, 98]
    assert view(venue).state == "not_met"


def test_a_delivery_before_the_deadline_counts_though_it_is_final_later(venue: Work) -> None:
    propose(venue)
    sign_all(venue)
    venue.advance_to(view(venue).evaluate_by_us - 1)
    for number in (1, 2, 3):
        venue.deliver(number)
    venue.advance_to(view(venue).evaluate_by_us)
    assert view(venue).state == "bound"
    venue.reload()
    venue.advance_to(view(venue).evaluate_by_us + DAY_US)
    assert purses(venue) == [50, 120, 120, 110]


def test_at_the_deadline_it_is_too_late(venue: Work) -> None:
    propose(venue)
    sign_all(venue)
    venue.advance_to(view(venue).evaluate_by_us)
    assert_rejected(venue.submit("ann", Deliver, settlement=1), Reason.WRONG_STATE)
    venue.advance_to(venue.time_us + DAY_US)
    # Nobody delivered, so the payer has all bonds.
    assert purses(venue) == [110, 96, 96, 98]


def test_an_outage_across_the_deadline_gives_five_minutes(venue: Work) -> None:
    propose(venue)
    sign_all(venue)
    venue.advance_to(view(venue).evaluate_by_us - 1)
    venue.change_leader(outage_seconds=3_600)
    venue.advance(299)
    for number in (1, 2, 3):
        venue.deliver(number)
        venue.confirm(number)
    assert view(venue).state == "met"


# ── other conditions ────────────────────────────────────────────────────────────────────────────


def test_any_is_met_by_the_first_and_the_others_are_called_off(venue: Work) -> None:
    propose(venue, condition={**ALL_THREE, "type": "any"})
    sign_all(venue)
    venue.deliver(2)
    venue.confirm(2)
    assert purses(venue) == [50, 120, 120, 110]
    assert [venue.settlement(number).state for number in (1, 2, 3)] == ["called_off", "completed", "called_off"]
    venue.advance(4 * 86_400)
    assert purses(venue) == [50, 120, 120, 110]


def test_at_least_two_of_three(venue: Work) -> None:
    propose(venue, condition={**ALL_THREE, "type": "at_least", "count": 2})
    sign_all(venue)
    for number in (1, 3):
        venue.deliver(number)
        venue.confirm(number)
    assert view(venue).state == "met"


def test_a_part_by_an_earlier_time(venue: Work) -> None:
    by_us = venue.time_us + DAY_US
    propose(venue, condition={"type": "part", "part": "a", "by_us": by_us})
    sign_all(venue)
    venue.advance_to(by_us)
    # Certainly not met; who has not had to deliver yet has its bond back.
    assert purses(venue) == [100, 100, 100, 100]


def test_a_task_of_the_venue(venue: Work) -> None:
    venue.register("other", endowment=100 * CREDIT)
    venue.post("other")
    propose(venue, condition={"type": "task", "task": 1})
    sign_all(venue)
    venue.bid("ann", 20)
    venue.close()
    number = venue.view_task().settlement or 0
    venue.deliver(number)
    venue.confirm(number, by="other")
    assert view(venue).state == "met"


@pytest.mark.parametrize(("said", "state"), [("yes", "met"), ("no", "not_met"), (None, "not_met")])
def test_a_prediction_of_the_venue(venue: Work, said: str | None, state: str) -> None:
    """It counts when it is final, the other outcome and void against it; and it is remembered over a reload."""
    venue.register("other", endowment=100 * CREDIT)
    times = {"closes_at_us": venue.time_us + HOUR_US, "resolve_by_us": venue.time_us + 20 * HOUR_US}
    venue.must("other", OpenPrediction, question="will it rain", resolver="ci", **times)
    venue.must("other", BuyShares, market=1, outcome="no", shares=CREDIT, max_cost=CREDIT)
    propose(venue, condition={"type": "prediction", "market": 1, "outcome": "yes"})
    sign_all(venue)
    said_so = {"void": True} if said is None else {"outcome": said}
    venue.must("ci", ResolvePrediction, market=1, **said_so)
    venue.reload()
    assert view(venue).state == "bound"
    venue.must("other", AcceptResolution, market=1)
    assert view(venue).state == state


def test_a_prediction_that_is_not_final_in_time_does_not_hold(venue: Work) -> None:
    """What the resolver has said, but may still be disputed at the last evaluation, is not waited for."""
    venue.register("other", endowment=100 * CREDIT)
    times = {"closes_at_us": venue.time_us + HOUR_US, "resolve_by_us": venue.time_us + 300 * HOUR_US}
    venue.must("other", OpenPrediction, question="will it rain", resolver="ci", **times)
    venue.must("other", BuyShares, market=1, outcome="no", shares=CREDIT, max_cost=CREDIT)
    propose(venue, condition={"type": "prediction", "market": 1, "outcome": "yes"})
    sign_all(venue)
    evaluate_by_us = view(venue).evaluate_by_us
    venue.advance_to(evaluate_by_us - 1)
    venue.must("ci", ResolvePrediction, market=1, outcome="yes")
    assert view(venue).state == "bound"
    # The parts that nobody delivered may still be disputed; meanwhile the prediction becomes final, too late.
    venue.advance_to(evaluate_by_us)
    venue.advance_to(evaluate_by_us + DAY_US)
    assert view(venue).state == "not_met"


def test_a_task_that_is_completed_after_the_last_evaluation_does_not_hold(venue: Work) -> None:
    """Not even while the contract still waits for what was on its way."""
    venue.register("other", "worker", endowment=100 * CREDIT, skills=["python"])
    venue.post("other", deadline_us=venue.time_us + 30 * DAY_US)
    propose(venue, condition={"type": "task", "task": 1})
    sign_all(venue)
    venue.bid("worker", 20)
    venue.close()
    number = venue.view_task().settlement or 0
    evaluate_by_us = view(venue).evaluate_by_us
    while venue.time_us < evaluate_by_us:
        venue.must("worker", RenewWorkLease, settlement=number, fencing_token=venue.settlement(number).fencing_token)
        venue.advance_to(min(venue.time_us + 9 * MINUTE_US, evaluate_by_us))
    assert view(venue).state == "bound"
    venue.deliver(number)
    venue.confirm(number, by="other")
    venue.advance_to(evaluate_by_us + 2 * DAY_US)
    assert view(venue).state == "not_met"


@pytest.mark.parametrize(("holds", "state"), [(True, "met"), (False, "not_met")])
def test_a_statement_is_attested_and_final_when_nobody_disputes_it(venue: Work, holds: bool, state: str) -> None:
    propose(venue, condition={"type": "statement", "statement": "it rained", "attester": "ci"})
    sign_all(venue)
    assert_rejected(venue.submit("ann", Attest, contract=1, statement="it rained", holds=True), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("ci", Attest, contract=1, statement="it snowed", holds=True), Reason.NOT_PERMITTED)
    venue.must("ci", Attest, contract=1, statement="it rained", holds=holds)
    assert_rejected(venue.submit("ci", Attest, contract=1, statement="it rained", holds=True), Reason.NO_CHANGE)
    venue.advance_to(venue.time_us + DAY_US - 1)
    assert view(venue).state == "bound"
    venue.reload()
    venue.advance_to(venue.time_us + 1)
    assert view(venue).state == state


def test_the_payer_may_accept_what_goes_against_it(venue: Work) -> None:
    propose(venue, condition={"type": "statement", "statement": "it rained", "attester": "ci"})
    sign_all(venue)
    accept = {"contract": 1, "statement": "it rained"}
    assert_rejected(venue.submit("poster", AcceptAttestation, **accept), Reason.WRONG_STATE)
    venue.must("ci", Attest, **accept, holds=True)
    assert_rejected(venue.submit("ann", AcceptAttestation, **accept), Reason.NOT_PERMITTED)
    venue.must("poster", AcceptAttestation, **accept)
    assert view(venue).state == "met"


def test_time_alone_can_be_a_condition(venue: Work) -> None:
    at_us = venue.time_us + 2 * HOUR_US
    propose(venue, condition={"type": "time", "at_us": at_us})
    sign_all(venue)
    venue.advance_to(at_us - 1)
    assert view(venue).state == "bound"
    venue.advance_to(at_us)
    assert view(venue).state == "met"


# ── binding ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("at_us", [-1, 0])
def test_it_lapses_unless_all_sign_in_time(venue: Work, at_us: int) -> None:
    propose(venue)
    venue.must("ann", SignContract, contract=1)
    assert_rejected(venue.submit("ann", SignContract, contract=1), Reason.NO_CHANGE)
    assert_rejected(venue.submit("poster", SignContract, contract=1), Reason.NOT_PERMITTED)
    venue.must("ben", SignContract, contract=1)
    venue.advance_to(view(venue).sign_by_us + at_us)
    answer = venue.submit("cid", SignContract, contract=1)
    if at_us < 0:
        assert answer.accepted
        assert view(venue).state == "bound"
    else:
        assert_rejected(answer, Reason.WRONG_STATE)
        assert purses(venue) == [100, 100, 100, 100]


def test_before_it_binds_anybody_may_leave_and_after_nobody(venue: Work) -> None:
    propose(venue)
    venue.must("ann", SignContract, contract=1)
    assert_rejected(venue.submit("ci", DeclineContract, contract=1), Reason.NOT_PERMITTED)
    venue.must("cid", DeclineContract, contract=1)
    assert purses(venue) == [100, 100, 100, 100]
    venue = Work()
    propose(venue)
    sign_all(venue)
    for name in ("poster", "ann"):
        assert_rejected(venue.submit(name, DeclineContract, contract=1), Reason.WRONG_STATE)


@pytest.mark.parametrize("revoked", ["poster", "ann", "cid"])
def test_what_does_not_bind_lapses_with_its_agents(venue: Work, revoked: str) -> None:
    propose(venue)
    venue.must("ann", SignContract, contract=1)
    venue.must(OPERATOR, RevokeAgent, agent=revoked)
    assert view(venue).state == "lapsed"
    assert sum(purses(venue)) == 300


def test_what_binds_runs_to_its_end(venue: Work) -> None:
    propose(venue)
    sign_all(venue)
    venue.must(OPERATOR, RevokeAgent, agent="cid")
    for number in (1, 2):
        venue.deliver(number)
        venue.confirm(number)
    venue.advance_to(view(venue).evaluate_by_us)
    venue.advance_to(venue.settlement(3).until_us)
    assert purses(venue) == [100, 101, 101, 0]


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"condition": {"type": "part", "part": "z"}}, Reason.INVALID_CONTRACT_TERMS),
        ({"condition": {"type": "task", "task": 7}}, Reason.UNKNOWN_TASK),
        ({"condition": {"type": "prediction", "market": 7, "outcome": "yes"}}, Reason.UNKNOWN_PREDICTION),
        ({"condition": {**ALL_THREE, "type": "at_least", "count": 4}}, Reason.INVALID_CONTRACT_TERMS),
        ({"condition": {"type": "statement", "statement": "x", "attester": "ann"}}, Reason.UNKNOWN_AGENT),
        ({"condition": {"type": "statement", "statement": "x", "attester": "mate"}}, Reason.SAME_OWNER),
        ({"sign_by_us": 0}, Reason.INVALID_CONTRACT_TERMS),
        ({"evaluate_by_us": 0}, Reason.INVALID_CONTRACT_TERMS),
        ({"evaluate_by_us": 2**53 - 1}, Reason.INVALID_CONTRACT_TERMS),
    ],
)
def test_terms_that_are_refused(venue: Work, terms: dict[str, Any], reason: Reason) -> None:
    venue.register("mate", owner="poster", roles=["attester"])
    assert_rejected(offer(venue, **terms), reason)


def test_parts_that_are_refused(venue: Work) -> None:
    venue.register("mate", owner="poster", roles=["trader", "attester"])
    due_us = venue.time_us + DAY_US

    def with_part(**changes: Any) -> Answer:
        part = {"name": "a", "assignee": "ann", "share": 10 * CREDIT, "deliver_by_us": due_us, **changes}
        condition = {"type": "part", "part": "a"}
        return offer(venue, parts=[part], condition=condition)

    assert_rejected(with_part(assignee="mate"), Reason.SAME_OWNER)
    assert_rejected(with_part(attester="mate"), Reason.SAME_OWNER)
    assert_rejected(with_part(assignee="nobody"), Reason.UNKNOWN_AGENT)
    assert_rejected(with_part(share=101 * CREDIT), Reason.INSUFFICIENT_CREDITS)
    assert_rejected(with_part(bond=2**53 - 1), Reason.NOTIONAL_TOO_LARGE)
    assert_rejected(with_part(deliver_by_us=venue.time_us), Reason.INVALID_CONTRACT_TERMS)
    assert with_part().accepted
    assert_rejected(venue.submit("ann", SignContract, contract=9), Reason.UNKNOWN_CONTRACT)
    assert [found.contract for found in venue.engine.query("ann", ListContracts()).contracts] == [1]
    assert venue.engine.query("ben", ListContracts()).contracts == []


def test_an_owner_pays_for_so_many_at_a_time() -> None:
    venue = Work(settings=Settings(max_open_contracts=1))
    propose(venue)
    assert_rejected(offer(venue), Reason.TOO_MANY_CONTRACTS)


# ── certain, and for good ───────────────────────────────────────────────────────────────────────


def test_what_is_certain_at_the_signature_ends_at_once(venue: Work) -> None:
    """The settlements of its parts are called off, also those that have just been opened."""
    propose(venue, condition={"type": "time", "at_us": venue.time_us})
    sign_all(venue)
    assert view(venue).state == "met"
    assert [venue.settlement(number).state for number in (1, 2, 3)] == ["called_off"] * 3
    assert purses(venue) == [50, 120, 120, 110]


@pytest.mark.parametrize(("early_us", "state"), [(1, "met"), (0, "not_met")])
def test_before_an_earlier_time_and_at_it(venue: Work, early_us: int, state: str) -> None:
    by_us = venue.time_us + DAY_US
    propose(venue, condition={"type": "part", "part": "a", "by_us": by_us})
    sign_all(venue)
    venue.advance_to(by_us - early_us)
    venue.submit("ann", Deliver, settlement=1)
    venue.reload()
    venue.advance_to(by_us + 2 * DAY_US)
    assert view(venue).state == state


def test_an_outage_across_an_earlier_time_gives_five_minutes(venue: Work) -> None:
    by_us = venue.time_us + DAY_US
    propose(venue, condition={"type": "part", "part": "a", "by_us": by_us})
    sign_all(venue)
    venue.advance_to(by_us - 1)
    venue.change_leader(outage_seconds=3_600)
    venue.advance(299)
    venue.reload()
    venue.deliver(1)
    venue.confirm(1)
    assert view(venue).state == "met"


def test_nobody_signs_what_an_outage_made_too_late(venue: Work) -> None:
    """There is still time to sign, but none to deliver: nobody's bond is to be lost by that."""
    sign_by_us = venue.time_us + HOUR_US
    parts = [
        {"name": name, "assignee": agent, "share": 10 * CREDIT, "deliver_by_us": sign_by_us}
        for name, agent in zip("abc", WORKERS, strict=True)
    ]
    propose(venue, parts=parts, sign_by_us=sign_by_us, evaluate_by_us=sign_by_us + DAY_US)
    venue.must("ann", SignContract, contract=1)
    venue.must("ben", SignContract, contract=1)
    venue.advance_to(sign_by_us - 1)
    venue.change_leader(outage_seconds=3_600)
    venue.advance(299)
    assert_rejected(venue.submit("cid", SignContract, contract=1), Reason.WRONG_STATE)
    venue.advance(1)
    assert view(venue).state == "lapsed"
    assert purses(venue) == [100, 100, 100, 100]


def test_no_time_after_the_last_evaluation_makes_it_true(venue: Work) -> None:
    friday_us = venue.time_us + 3 * DAY_US
    late = {"type": "any", "of": [ALL_THREE, {"type": "time", "at_us": friday_us + 1}]}
    assert_rejected(offer(venue, condition=late), Reason.INVALID_CONTRACT_TERMS)


def test_a_condition_is_five_deep_and_about_64_things_at_most(venue: Work) -> None:
    def nested(depth: int) -> dict[str, Any]:
        condition: dict[str, Any] = {"type": "part", "part": "a"}
        for _ in range(depth):
            condition = {"type": "any", "of": [condition]}
        return condition

    assert_rejected(offer(venue, condition=nested(6)), Reason.INVALID_CONTRACT_TERMS)
    assert_rejected(offer(venue, condition=nested(16)), Reason.INVALID_CONTRACT_TERMS)
    many = {"type": "any", "of": [{"type": "all", "of": [nested(0)] * 13}] * 5}
    assert_rejected(offer(venue, condition=many), Reason.INVALID_CONTRACT_TERMS)
    assert offer(venue, condition=nested(5)).accepted


@pytest.mark.parametrize("depth", [17, 100, 400])
def test_what_is_nested_deeper_is_not_even_read(venue: Work, depth: int) -> None:
    """Else it would be in the journal, and whoever reads that back might run out of stack."""
    condition = msgspec.json.decode('{"type":"any","of":[' * depth + '{"type":"part","part":"a"}' + "]}" * depth)
    with pytest.raises(msgspec.ValidationError, match="nested deeper than 16"):
        offer(venue, condition=condition)
    assert venue.balance("poster") == (100 * CREDIT, 0)


def test_who_failed_gets_no_bond_back_by_another_part(venue: Work) -> None:
    """A bond of 8 for what was not delivered; all of the owner's other parts count for nothing."""
    due_us = venue.time_us + DAY_US
    venue.register("twin", owner="ann", endowment=100 * CREDIT)
    work = (("a", "ann", 10), ("b", "twin", 40), ("c", "ben", 5))
    parts = [
        {"name": name, "assignee": agent, "share": share * CREDIT, "deliver_by_us": due_us}
        for name, agent, share in work
    ]
    propose(venue, parts=parts, evaluate_by_us=due_us)
    for name in ("ann", "twin", "ben"):
        venue.must(name, SignContract, contract=1)
    for number in (1, 3):
        venue.deliver(number)
        venue.confirm(number)
    venue.must("twin", GiveUp, settlement=2)
    assert view(venue).state == "not_met"
    assert [venue.purse(name)[0] for name in ("poster", "ann", "twin", "ben")] == [100, 100, 92, 108]


def test_what_is_left_of_a_bond_goes_to_the_largest_remainder(venue: Work) -> None:
    """A bond of 5 units for shares of 20 and 20: 3 to ann, who comes first by name, and 2 to ben."""
    due_us = venue.time_us + DAY_US
    parts = [
        {"name": name, "assignee": agent, "share": 20 * CREDIT, "bond": bond, "deliver_by_us": due_us}
        for name, agent, bond in (("b", "ben", 0), ("a", "ann", 0), ("c", "cid", 5))
    ]
    propose(venue, parts=[*parts[:2], parts[2] | {"share": 10 * CREDIT}], evaluate_by_us=due_us)
    sign_all(venue)
    for number in (1, 2):
        venue.deliver(number)
        venue.confirm(number)
    venue.must("cid", GiveUp, settlement=3)
    expected = [100 * CREDIT, 100 * CREDIT + 3, 100 * CREDIT + 2, 100 * CREDIT - 5]
    assert [venue.balance(name)[0] for name in ("poster", *WORKERS)] == expected


def test_a_proposal_lapses_with_its_attester(venue: Work) -> None:
    propose(venue, condition={"type": "statement", "statement": "it rained", "attester": "ci"})
    venue.must(OPERATOR, RevokeAgent, agent="ci")
    assert view(venue).state == "lapsed"
    assert purses(venue) == [100, 100, 100, 100]


@pytest.mark.parametrize(("who", "state"), [("poster", "lapsed"), ("ann", "lapsed"), ("ben", "proposed")])
def test_a_dead_mans_switch_withdraws_what_does_not_bind(venue: Work, who: str, state: str) -> None:
    """A proposal, or a signature; whoever only has been asked has nothing to withdraw."""
    propose(venue)
    venue.must("ann", SignContract, contract=1)
    venue.must(who, CancelAllAfter, seconds=5)
    venue.advance(5)
    assert view(venue).state == state


def test_a_dead_mans_switch_withdraws_nothing_that_binds(venue: Work) -> None:
    propose(venue)
    sign_all(venue)
    venue.must("poster", CancelAllAfter, seconds=5)
    venue.advance(5)
    assert view(venue).state == "bound"


# ── arithmetic ──────────────────────────────────────────────────────────────────────────────────


def trees() -> st.SearchStrategy[Any]:
    leaves = st.builds(lambda at: {"type": "time", "at_us": at}, st.integers(0, 7)) | st.builds(
        lambda task: {"type": "task", "task": task + 1}, st.integers(0, 7)
    )

    def join(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        of = st.lists(children, min_size=1, max_size=3)
        return st.builds(lambda kind, parts: {"type": kind, "of": parts}, st.sampled_from(["all", "any"]), of) | (
            of.flatmap(lambda parts: st.builds(
                lambda count: {"type": "at_least", "count": count, "of": parts}, st.integers(1, len(parts))
            ))
        )  # fmt: skip

    return st.recursive(leaves, join, max_leaves=8)


FACTS = st.lists(st.sampled_from([True, False]), min_size=16, max_size=16)


@given(tree=trees(), facts=FACTS, order=st.permutations(range(16)))
def test_what_is_certain_stays_certain(tree: Any, facts: list[bool], order: list[int]) -> None:
    """As facts become known one by one, the value goes from None to what it comes to in the end, and stays."""
    condition = msgspec.convert(tree, Condition)
    known: dict[int, bool] = {}

    def look(leaf: Any) -> bool | None:
        place = leaf.at_us if isinstance(leaf, TimeReached) else 8 + leaf.task - 1
        return known.get(place)

    values = [evaluate(condition, look)]
    for place in order:
        known[place] = facts[place]
        values.append(evaluate(condition, look))
    assert values[-1] is not None
    assert set(values) <= {None, values[-1]}
    assert values == sorted(values, key=lambda value: value is not None)
    assert all(isinstance(leaf, TimeReached | TaskCompleted) for leaf in leaves_of(condition))


@given(
    amount=st.integers(0, 10**12),
    weights=st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 10**9), min_size=1, max_size=8),
)
def test_shares_add_up_and_are_fair_to_a_unit(amount: int, weights: dict[str, int]) -> None:
    parts = largest_remainder(amount, weights)
    total = sum(weights.values())
    assert sum(part for _, part in parts) == amount
    assert all(0 <= part * total - amount * weights[name] + total <= 2 * total for name, part in parts)


def test_ties_of_remainders_go_to_the_smaller_name() -> None:
    assert largest_remainder(4, {"c": 1, "b": 1, "a": 1}) == [("c", 1), ("b", 1), ("a", 2)]

"""Governance: proposals, votes of four weights, quorum and majority, the lock, and what no vote can touch."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from exchange.mechanisms.base import NotFound
from exchange.mechanisms.governance.parameters import PARAMETERS
from exchange.messages import COMMANDS
from exchange.messages.admin import Genesis, HaltVenue, RevokeAgent, Settings, SuspendAgent
from exchange.messages.governance import (
    BeginGovernance,
    ListBallots,
    ListParameters,
    ListProposals,
    ProposeChange,
    ProposeShare,
    ProposeSubsidy,
    ProposeWork,
    Vote,
)
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, SECOND_US, assert_rejected
from tests.core.council import CREDIT, DAY_US, HOUR_US, Council


@pytest.fixture
def venue() -> Council:
    return Council()


# ── from the proposal to the enactment ──────────────────────────────────────────────────────────


def test_a_change_that_is_voted_for_is_enacted_after_its_lock(venue: Council) -> None:
    """Three days of votes, one day of lock; the deposit comes back with the count of the votes."""
    proposed_us = venue.time_us
    venue.propose("o0", "endowment", 7 * CREDIT)
    assert venue.purse("o0") == 90
    venue.vote("o1 o2")
    view = venue.close()
    assert (view.state, view.closes_at_us) == ("passed", proposed_us + 3 * DAY_US)
    assert venue.purse("o0") == 100
    parameter = venue.parameter()
    assert (parameter.value, parameter.next_value) == (100 * CREDIT, 7 * CREDIT)
    assert parameter.next_at_us == view.enacts_at_us == proposed_us + 4 * DAY_US
    venue.advance_to(proposed_us + 4 * DAY_US - 1)
    venue.register("early")
    assert venue.purse("early") == 100
    venue.advance_to(proposed_us + 4 * DAY_US)
    venue.register("late")
    assert venue.purse("late") == 7
    parameter = venue.parameter()
    assert (parameter.value, parameter.next_value, parameter.since_us) == (7 * CREDIT, None, proposed_us + 4 * DAY_US)
    assert venue.view_proposal().state == "enacted"


def test_who_proposed_hears_of_it(venue: Council) -> None:
    venue.propose("o0")
    venue.vote("o1 o2")
    venue.enact()
    (opened,) = venue.told("o0", "governance.proposal_opened")
    (passed,) = venue.told("o0", "governance.proposal_passed")
    (ended,) = venue.told("o0", "governance.proposal_ended")
    assert (opened.kind, opened.deposit, passed.proposal, ended.outcome) == ("change", 10 * CREDIT, 1, "enacted")


def test_a_vote_counts_until_the_microsecond_before_the_close(venue: Council) -> None:
    venue.propose()
    closes_at_us = venue.view_proposal().closes_at_us
    venue.vote("o1")
    venue.advance_to(closes_at_us - 1)
    venue.vote("o2")
    venue.advance_to(closes_at_us)
    assert_rejected(venue.try_to_vote("o3"), Reason.WRONG_STATE)
    assert venue.view_proposal().state == "passed"


# ── quorum and majority ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("owners", "votes_for", "votes_against", "state", "deposit_back"),
    [
        # 20 % of 10 owners are 2; of 11 they are 2.2, so 3 must vote.
        (10, 2, 0, "passed", True),
        (10, 1, 0, "no_quorum", False),
        (10, 1, 1, "rejected", True),
        (10, 2, 1, "passed", True),
        (10, 1, 2, "rejected", True),
        (10, 0, 2, "rejected", True),
        (10, 0, 0, "no_quorum", False),
        (11, 2, 0, "no_quorum", False),
        (11, 3, 0, "passed", True),
        (11, 2, 1, "passed", True),
        (5, 1, 0, "passed", True),
    ],
)
def test_quorum_and_majority_at_their_edges(
    owners: int, votes_for: int, votes_against: int, state: str, *, deposit_back: bool
) -> None:
    """A fifth of the weight, exactly, is enough; a tie fails; without the quorum the deposit is the public's."""
    venue = Council(owners=owners, begins=False)
    venue.propose()
    names = [f"o{n}" for n in range(owners)]
    venue.vote(" ".join(names[:votes_for]), against=" ".join(names[votes_for : votes_for + votes_against]))
    assert venue.close().state == state
    assert venue.purse("o0") == (100 if deposit_back else 90)
    assert venue.system_credits("public_fund") == (0 if deposit_back else 10 * CREDIT)
    venue.advance_to(venue.time_us + 2 * DAY_US)
    assert (venue.parameter().value == 7 * CREDIT) == (state == "passed")


def test_a_vote_can_be_changed_and_is_counted_once_per_owner(venue: Council) -> None:
    venue.register("o1-b", owner="o1")
    venue.propose()
    venue.vote("o1")
    venue.vote("", against="o1-b")
    view = venue.view_proposal(agent="o1")
    assert (view.weight_for, view.weight_against, view.voters, view.my_vote) == (0, 1, 1, False)
    assert_rejected(venue.try_to_vote("o1-b", in_favour=False), Reason.NO_CHANGE)


def test_votes_are_public(venue: Council) -> None:
    venue.propose()
    venue.vote("o1 o2", against="o3")
    result = venue.engine.query("o9", ListBallots(proposal=1, limit=2))
    rows = [(ballot.owner, ballot.in_favour, ballot.weight) for ballot in result.ballots]  # type: ignore[attr-defined]
    assert rows == [("o1", True, 1), ("o2", True, 1)]
    result = venue.engine.query("o9", ListBallots(proposal=1, limit=2, after=2))
    assert [ballot.owner for ballot in result.ballots] == ["o3"]  # type: ignore[attr-defined]


def test_owners_that_come_later_have_no_vote(venue: Council) -> None:
    venue.propose()
    venue.register("late")
    assert_rejected(venue.try_to_vote("late"), Reason.NO_WEIGHT)
    assert venue.view_proposal().total_weight == 10
    assert venue.view_proposal(agent="late").my_weight == 0


def test_who_may_not_trade_neither_votes_nor_counts(venue: Council) -> None:
    """The operator, attesters and observers are no part of the electorate."""
    venue.register("looker", roles=["observer"])
    venue.propose()
    assert venue.view_proposal().total_weight == 10
    assert_rejected(venue.try_to_vote("looker"), Reason.NOT_PERMITTED)
    assert_rejected(venue.try_to_vote(OPERATOR), Reason.NOT_PERMITTED)


# ── the four weights ────────────────────────────────────────────────────────────────────────────


def test_one_owner_one_vote_however_many_agents() -> None:
    venue = Council(owners=3)
    venue.register(*(f"o0-{n}" for n in range(6)), owner="o0")
    venue.propose()
    venue.vote("o0-1", against="o1 o2")
    view = venue.view_proposal()
    assert (view.weight_for, view.weight_against, view.total_weight) == (1, 2, 3)


def test_one_agent_one_vote_but_of_an_owner_at_most_five() -> None:
    venue = Council(owners=3, voting="one_agent")
    venue.register(*(f"o0-{n}" for n in range(6)), owner="o0")
    venue.register("o1-b", owner="o1")
    venue.propose()
    venue.vote("o0", against="o1 o2")
    view = venue.view_proposal()
    assert (view.weight_for, view.weight_against, view.total_weight) == (5, 3, 8)
    # What was registered later does not count, what was revoked since does not, either.
    venue.register("o1-c", owner="o1")
    venue.must(OPERATOR, RevokeAgent, agent="o1-b")
    assert venue.view_proposal().weight_against == 2
    for name in ("o0-0", "o0-1", "o0-2"):
        venue.must(OPERATOR, RevokeAgent, agent=name)
    assert venue.view_proposal().weight_for == 4


def test_credits_vote_as_they_were_when_it_was_proposed() -> None:
    """Available and held, of all agents of the owner, after the deposit; moving them later changes nothing."""
    venue = Council(owners=0, voting="credits")
    for name, amount in (("ann", 50), ("ben", 30), ("cid", 40)):
        venue.register(name, endowment=amount * CREDIT)
    venue.register("ann-b", owner="ann", endowment=5 * CREDIT, roles=["attester"])
    venue.market()
    venue.buy("ann", 2, 10 * CREDIT)
    assert venue.balance("ann") == (30 * CREDIT, 20 * CREDIT)
    venue.propose("ann")
    assert venue.view_proposal().total_weight == (120 + 5 - 10) * CREDIT
    venue.issue("ben", 2)
    venue.sell("ben", 2, 10 * CREDIT)
    assert venue.balance("ben") == (50 * CREDIT, 0)
    venue.vote("ann", against="ben cid")
    view = venue.view_proposal()
    assert (view.weight_for, view.weight_against) == (45 * CREDIT, 70 * CREDIT)
    venue.reload()
    venue.must(OPERATOR, RevokeAgent, agent="cid")
    assert venue.view_proposal().weight_against == 30 * CREDIT
    assert venue.close().state == "passed"


def test_credits_that_nobody_has_do_not_vote() -> None:
    venue = Council(owners=2, voting="credits")
    venue.register("poor", endowment=0)
    venue.propose()
    assert_rejected(venue.try_to_vote("poor"), Reason.NO_WEIGHT)


def test_the_same_credits_do_not_vote_twice() -> None:
    """What was moved to another owner while it was voted still votes as its first one's, and no more than there was."""
    venue = Council(owners=2, voting="credits")
    venue.register("seller", endowment=0)
    venue.register("new", owner="new", endowment=0)
    venue.market()
    venue.propose("o1")
    venue.vote("o0")
    assert venue.view_proposal().weight_for == 100 * CREDIT
    # All that ``o0`` has goes to ``seller`` and ``new``, which are other owners, for what is worth nothing.
    for name in ("seller", "new"):
        venue.issue(name, 5)
        venue.sell(name, 5, 10 * CREDIT)
        venue.buy("o0", 5, 10 * CREDIT)
        assert venue.purse(name) == 50
        assert_rejected(venue.try_to_vote(name, in_favour=False), Reason.NO_WEIGHT)
    assert venue.purse("o0") == 0
    venue.vote("", against="o0")
    venue.vote("o0")
    view = venue.view_proposal()
    assert (view.weight_for, view.turnout, view.total_weight) == (100 * CREDIT, 100 * CREDIT, 190 * CREDIT)
    # In the next vote they are whose they are.
    venue.propose("o1", value=8 * CREDIT)
    assert venue.view_proposal(2, "seller").my_weight == 50 * CREDIT
    assert_rejected(venue.try_to_vote("o0", proposal=2), Reason.NO_WEIGHT)


def test_two_changes_of_one_parameter_are_both_enacted_and_what_opened_between_keeps_the_first(
    venue: Council,
) -> None:
    low, high = PARAMETERS["confirm_seconds"].low, PARAMETERS["confirm_seconds"].high
    venue.propose("o0", "confirm_seconds", high)
    venue.advance(1)
    venue.propose("o1", "confirm_seconds", low)
    venue.vote("o1 o2")
    venue.vote("o1 o2", proposal=2)
    first, second = venue.close(1), venue.close(2)
    assert first.enacts_at_us is not None
    assert second.enacts_at_us == first.enacts_at_us + SECOND_US
    # Nothing may be proposed beyond the bounds meanwhile, however near the present value is to them.
    answer = venue.submit("o3", ProposeChange, parameter="confirm_seconds", value=high + 1)
    assert_rejected(answer, Reason.VALUE_OUT_OF_BOUNDS)
    view = venue.parameter("confirm_seconds")
    assert (view.next_value, view.next_at_us) == (high, first.enacts_at_us)
    venue.advance_to(first.enacts_at_us)
    assert (venue.parameter("confirm_seconds").value, venue.parameter("confirm_seconds").next_value) == (high, low)
    venue.advance_to(second.enacts_at_us)
    assert venue.parameter("confirm_seconds").value == low
    assert venue.engine.context.setting_at("confirm_seconds", first.enacts_at_us) == high
    assert venue.engine.context.setting_at("confirm_seconds", first.enacts_at_us - 1) == 86_400


def test_a_tie_of_weights_fails_and_one_unit_decides() -> None:
    venue = Council(owners=0, voting="credits")
    for name, amount in (("ann", 60), ("ben", 50), ("cid", 50)):
        venue.register(name, endowment=amount * CREDIT + (name == "cid"))
    venue.propose("ann")
    venue.vote("ann", against="ben")
    assert venue.close().state == "rejected"
    venue.propose("ann", value=8 * CREDIT)
    venue.vote("cid", against="ben", proposal=2)
    assert venue.close(2).state == "passed"


def test_nothing_but_the_genesis_sets_what_is_not_voted_on() -> None:
    """No command takes settings, and the fields that may be voted on are exactly those with bounds."""
    takers = [kind for kind in COMMANDS.values() if "settings" in kind.__struct_fields__]
    assert takers == [Genesis]
    venue = Council()
    for name in Settings.__struct_fields__:
        if name not in PARAMETERS:
            assert_rejected(venue.submit("o0", ProposeChange, parameter=name, value=1), Reason.CONSTITUTION)
    answer = venue.submit(OPERATOR, Genesis, supply=1, operator="root", settings=Settings(quorum_bp=0))
    assert not answer.accepted
    assert venue.engine.context.settings.quorum_bp == 2_000


def test_quadratic_votes_cost_their_square_and_are_never_refunded() -> None:
    """3 votes cost 9, 5 cost 25: whoever had 3 pays 16 more; to turn them round costs nothing."""
    venue = Council(voting="quadratic")
    venue.propose()
    answer = venue.submit("o1", Vote, proposal=1, in_favour=True, votes=3)
    assert (answer.data["weight"], answer.data["paid"]) == (3, 9 * CREDIT)
    assert (venue.purse("o1"), venue.system_credits("public_fund")) == (91, 9 * CREDIT)
    assert venue.submit("o1", Vote, proposal=1, in_favour=True, votes=5).data["paid"] == 16 * CREDIT
    turned = venue.submit("o1", Vote, proposal=1, in_favour=False, votes=4)
    assert turned.data["weight"] == 4
    assert "paid" not in turned.data
    # It has paid for 5, so it may have 5 again.
    assert "paid" not in venue.submit("o1", Vote, proposal=1, in_favour=False, votes=5).data
    assert venue.purse("o1") == 75
    venue.vote("o2", votes=6)
    view = venue.close()
    # The quorum is counted in owners: 2 of 10.
    assert (view.weight_for, view.weight_against, view.turnout, view.total_weight) == (6, 5, 2, 10)
    assert view.state == "passed"
    assert venue.system_credits("public_fund") == (25 + 36) * CREDIT


def test_an_owner_cannot_split_its_quadratic_votes_among_its_agents() -> None:
    """Five agents with one vote each would pay 5 for what costs 25."""
    venue = Council(owners=2, voting="quadratic")
    venue.register(*(f"o0-{n}" for n in range(4)), owner="o0", endowment=50 * CREDIT)
    venue.propose("o1")
    paid = 0
    for votes, name in enumerate(("o0", "o0-0", "o0-1", "o0-2", "o0-3"), start=1):
        assert venue.view_proposal(agent=name).my_weight == 1
        paid += venue.submit(name, Vote, proposal=1, in_favour=True, votes=votes).data["paid"]
        view = venue.view_proposal()
        assert (view.weight_for, view.voters) == (votes, 1)
        assert paid == votes * votes * CREDIT
    # One vote by each, without counting up, is one vote of the owner.
    assert venue.submit("o0-0", Vote, proposal=1, in_favour=True, votes=1).accepted
    assert venue.view_proposal().weight_for == 1


@hypothesis_settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(("o0", "o0-b", "o1")), st.integers(1, 8), st.booleans()), max_size=12))
def test_quadratic_votes_cost_the_square_of_the_most_an_owner_ever_had(rows: list[tuple[str, int, bool]]) -> None:
    venue = Council(owners=3, voting="quadratic", begins=False)
    venue.register("o0-b", owner="o0", endowment=100 * CREDIT)
    venue.propose("o2")
    most = {"o0": 0, "o1": 0}
    for name, votes, in_favour in rows:
        if venue.submit(name, Vote, proposal=1, in_favour=in_favour, votes=votes).accepted:
            owner = name[:2]
            most[owner] = max(most[owner], votes)
    assert venue.system_credits("public_fund") == sum(votes * votes for votes in most.values()) * CREDIT


# ── what is rejected ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name",
    ["supply", "quorum_bp", "voting", "voting_seconds", "enactment_lock_seconds", "max_agents", "conservation", "x"],
)
def test_the_constitution_is_not_voted_on(venue: Council, name: str) -> None:
    answer = venue.submit("o0", ProposeChange, parameter=name, value=1)
    assert_rejected(answer, Reason.CONSTITUTION)
    assert "credits are conserved" in (answer.outcome.detail or "")


@pytest.mark.parametrize("parameter", PARAMETERS.values(), ids=lambda parameter: parameter.name)
def test_every_parameter_has_bounds_and_settings_can_hold_them(venue: Council, parameter: object) -> None:
    """Proposals are within the bounds, which are within what the settings may be, and around their defaults."""
    assert hasattr(parameter, "low")
    name, low, high = parameter.name, parameter.low, parameter.high  # type: ignore[attr-defined]
    for value in (low, high):
        changed = msgspec.structs.replace(Settings(), **{name: value})
        assert msgspec.convert(msgspec.to_builtins(changed), Settings) == changed
    assert low <= getattr(Settings(), name) <= high
    if low:
        assert_rejected(venue.submit("o0", ProposeChange, parameter=name, value=low - 1), Reason.VALUE_OUT_OF_BOUNDS)
    answer = venue.submit("o0", ProposeChange, parameter=name, value=high + 1)
    assert_rejected(answer, Reason.VALUE_OUT_OF_BOUNDS)
    assert str(high) in (answer.outcome.detail or "")
    venue.propose("o0", name, high)
    venue.vote("o1 o2")
    venue.enact()
    assert venue.parameter(name).value == high


def test_proposals_that_are_rejected(venue: Council) -> None:
    assert_rejected(venue.submit("o0", ProposeChange, parameter="endowment", value=100 * CREDIT), Reason.NO_CHANGE)
    work = {"title": "docs", "effort_minutes": 60, "reserve": CREDIT}
    answer = venue.submit("o0", ProposeWork, **work, attester="o1")
    assert_rejected(answer, Reason.UNKNOWN_AGENT)
    assert_rejected(venue.submit("o0", ProposeWork, **work | {"reserve": 10**15}), Reason.INVALID_PROPOSAL)
    short = Council(min_auction_seconds=120)
    assert_rejected(short.submit("o0", ProposeWork, **work, bidding_seconds=119), Reason.INVALID_PROPOSAL)
    assert_rejected(venue.submit("o0", ProposeSubsidy, good=77, amount=CREDIT), Reason.UNKNOWN_GOOD)
    assert_rejected(venue.submit(OPERATOR, ProposeShare, amount=CREDIT), Reason.NOT_PERMITTED)
    venue.register("poor", endowment=9 * CREDIT)
    assert_rejected(venue.submit("poor", ProposeShare, amount=CREDIT), Reason.INSUFFICIENT_CREDITS)
    venue.must(OPERATOR, SuspendAgent, agent="o3")
    assert_rejected(venue.submit("o3", ProposeShare, amount=CREDIT), Reason.AGENT_SUSPENDED)


def test_votes_that_are_rejected(venue: Council) -> None:
    assert_rejected(venue.try_to_vote("o0"), Reason.UNKNOWN_PROPOSAL)
    venue.propose()
    assert_rejected(venue.try_to_vote("o0", votes=2), Reason.FIELD_NOT_ALLOWED)
    quadratic = Council(voting="quadratic")
    quadratic.propose()
    answer = quadratic.try_to_vote("o1", votes=11)
    assert_rejected(answer, Reason.INSUFFICIENT_CREDITS)
    assert "11 votes cost 121.00" in (answer.outcome.detail or "")


def test_so_many_proposals_and_no_more() -> None:
    venue = Council(max_open_proposals=3, max_open_proposals_per_owner=2)
    venue.register("o0-b", owner="o0")
    venue.propose("o0", value=1)
    venue.propose("o0-b", value=2)
    assert_rejected(venue.submit("o0", ProposeChange, parameter="endowment", value=3), Reason.TOO_MANY_PROPOSALS)
    venue.propose("o1", value=3)
    assert_rejected(venue.submit("o2", ProposeChange, parameter="endowment", value=4), Reason.TOO_MANY_PROPOSALS)
    venue.close(1)
    venue.propose("o0", value=4)


def test_only_the_venue_itself_begins_the_days_and_only_once() -> None:
    venue = Council(begins=False)
    assert_rejected(venue.submit(OPERATOR, BeginGovernance), Reason.NOT_PERMITTED)
    assert venue.begin().accepted
    assert_rejected(venue.begin(), Reason.NO_CHANGE)


def test_who_is_suspended_may_still_vote(venue: Council) -> None:
    """As arbitrators may still rule: it takes on nothing by it."""
    venue.propose()
    venue.must(OPERATOR, SuspendAgent, agent="o1")
    assert venue.try_to_vote("o1").accepted


# ── who is revoked ──────────────────────────────────────────────────────────────────────────────


def test_an_owner_without_agents_has_no_vote_any_more(venue: Council) -> None:
    venue.propose()
    venue.vote("o1 o2")
    venue.must(OPERATOR, RevokeAgent, agent="o1")
    view = venue.view_proposal()
    assert (view.weight_for, view.turnout, view.voters, view.total_weight) == (1, 1, 1, 10)
    assert venue.close().state == "no_quorum"


def test_an_owner_keeps_its_vote_while_it_has_another_agent(venue: Council) -> None:
    venue.register("o1-b", owner="o1")
    venue.propose()
    venue.vote("o1 o2")
    venue.must(OPERATOR, RevokeAgent, agent="o1")
    assert venue.close().state == "passed"


@pytest.mark.parametrize("has_heir", [True, False])
def test_what_a_revoked_agent_proposed_is_voted_on(*, has_heir: bool) -> None:
    """It is the voters' business by then; the deposit goes to its owner's oldest agent, else to the treasury."""
    venue = Council()
    if has_heir:
        venue.register("heir", owner="o0", endowment=0)
    venue.propose("o0")
    venue.must(OPERATOR, RevokeAgent, agent="o0")
    before = venue.system_credits("treasury")
    venue.vote("o1 o2")
    venue.close()
    if has_heir:
        assert venue.purse("heir") == 100
    else:
        assert venue.system_credits("treasury") == before + 10 * CREDIT
    venue.advance_to(venue.time_us + DAY_US)
    assert venue.view_proposal().state == "enacted"


# ── halts, outages, reloads ─────────────────────────────────────────────────────────────────────


def test_a_vote_that_ends_in_a_halt_goes_on_for_five_minutes_after_it(venue: Council) -> None:
    venue.propose()
    closes_at_us = venue.view_proposal().closes_at_us
    venue.vote("o1")
    venue.advance_to(closes_at_us - 1)
    venue.must(OPERATOR, HaltVenue, state="halted")
    venue.advance_to(closes_at_us + HOUR_US)
    assert_rejected(venue.try_to_vote("o2"), Reason.VENUE_HALTED)
    venue.must(OPERATOR, HaltVenue, state="open")
    venue.advance(299)
    venue.vote("o2")
    assert venue.view_proposal().closes_at_us == closes_at_us + HOUR_US + 300 * SECOND_US
    assert venue.close().state == "passed"


def test_a_vote_that_ends_while_nobody_leads_goes_on_for_five_minutes(venue: Council) -> None:
    venue.propose()
    venue.vote("o1")
    venue.advance_to(venue.view_proposal().closes_at_us - SECOND_US)
    venue.change_leader(outage_seconds=7_200)
    venue.vote("o2")
    venue.advance(300)
    assert venue.view_proposal().state == "passed"


@pytest.mark.parametrize("voting", ["one_owner", "one_agent", "credits", "quadratic"])
def test_reloads_and_changes_of_leader_change_nothing(voting: str) -> None:
    """At each step the venue goes on from a snapshot, with another leader."""
    hashes = []
    for reloads in (False, True):
        venue = Council(voting=voting)
        venue.register("o1-b", owner="o1")

        def go_on(venue: Council = venue, *, reloads: bool = reloads) -> None:
            if reloads:
                venue.reload()
            venue.change_leader()

        venue.propose()
        go_on()
        venue.vote("o1 o3", against="o2")
        go_on()
        venue.must(OPERATOR, RevokeAgent, agent="o1")
        venue.register("late")
        go_on()
        assert_rejected(venue.try_to_vote("late"), Reason.NO_WEIGHT)
        venue.vote("o4 o5")
        venue.close()
        go_on()
        venue.advance_to(venue.time_us + DAY_US)
        go_on()
        assert venue.parameter().value == 7 * CREDIT
        hashes.append(venue.engine.state_hash())
    assert hashes[0] == hashes[1]


# ── asking ──────────────────────────────────────────────────────────────────────────────────────


def test_every_parameter_is_listed(venue: Council) -> None:
    result = venue.engine.query("o1", ListParameters())
    assert [view.parameter for view in result.parameters] == list(PARAMETERS)  # type: ignore[attr-defined]
    with pytest.raises(NotFound, match="no parameter x"):
        venue.engine.query("o1", ListParameters(parameter="x"))


def test_proposals_are_listed_page_by_page() -> None:
    venue = Council(max_open_proposals_per_owner=9)
    for value in range(3):
        venue.propose("o0", value=value)
    first = venue.engine.query("o1", ListProposals(limit=2))
    assert ([view.proposal for view in first.proposals], first.next) == ([1, 2], 2)  # type: ignore[attr-defined]
    venue.close(3)
    ended = venue.engine.query("o1", ListProposals(ended=True))
    assert [view.state for view in ended.proposals] == ["no_quorum"] * 3  # type: ignore[attr-defined]
    with pytest.raises(NotFound, match="no proposal 9"):
        venue.view_proposal(9)

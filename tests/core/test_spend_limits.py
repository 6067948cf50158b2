"""Test spend limits: per agent and per owner, in total and per rolling period, with events."""

from __future__ import annotations

import pytest

from exchange.messages.admin import GetSpendLimits, ResumeAgent, RevokeAgent, SetSpendLimit, SpendLimitReached
from exchange.messages.orders import CancelOrder, MassCancel
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, Venue, assert_rejected


def reached(venue: Venue, agent: str) -> list[tuple[int, int, int]]:
    """Return (percent, used, limit) of every limit event so far."""
    return [
        (event.percent, event.used, event.limit)
        for event in venue.events(agent)
        if isinstance(event, SpendLimitReached)
    ]


def limit(venue: Venue, sender: str = OPERATOR, **fields: object) -> None:
    """Set a spend limit."""
    venue.must(sender, SetSpendLimit, **fields)


def test_present_holds_count_against_the_total(venue: Venue) -> None:
    """500 may be held or spent, 501 not; a cancel gives room again."""
    limit(venue, agent="alice", total=500)
    venue.buy("alice", 3, 100)
    assert_rejected(venue.buy("alice", 201, 1), Reason.SPEND_LIMIT)
    assert venue.buy("alice", 2, 100).accepted
    venue.submit("alice", CancelOrder, order_id=1)
    assert venue.buy("alice", 3, 100).accepted


def test_spending_is_net(venue: Venue) -> None:
    """What comes in counts against what went out."""
    limit(venue, agent="alice", total=500)
    venue.sell("bob", 5, 100)
    venue.buy("alice", 5, 100)
    assert_rejected(venue.buy("alice", 1, 1), Reason.SPEND_LIMIT)
    venue.buy("bob", 2, 100)
    venue.sell("alice", 2, 100)
    assert_rejected(venue.buy("alice", 201, 1), Reason.SPEND_LIMIT)
    assert venue.buy("alice", 200, 1).accepted


def test_a_period_rolls(venue: Venue) -> None:
    """Full at once, refused within the hour, free after it."""
    limit(venue, agent="alice", per_period=500, period_seconds=3_600)
    venue.sell("bob", 10, 100)
    venue.buy("alice", 5, 100)
    venue.advance(3_500)
    assert_rejected(venue.buy("alice", 1, 100), Reason.SPEND_LIMIT)
    venue.advance(101)
    assert venue.buy("alice", 5, 100).brief == "filled 5+0"


def test_what_was_spent_at_different_times_leaves_at_different_times(venue: Venue) -> None:
    """300 at 0 s and 200 at 1,800 s: at 3,601 s there is room for 300, no more."""
    limit(venue, agent="alice", per_period=500, period_seconds=3_600)
    venue.sell("bob", 10, 100)
    venue.buy("alice", 3, 100)
    venue.advance(1_800)
    venue.buy("alice", 2, 100)
    venue.advance(1_801)
    assert_rejected(venue.buy("alice", 301, 1), Reason.SPEND_LIMIT)
    assert venue.buy("alice", 3, 100).accepted


def test_events_at_80_and_100_percent(venue: Venue) -> None:
    """Each once on the way up; after falling back they are news again."""
    limit(venue, agent="alice", total=500)
    venue.buy("alice", 399, 1)
    assert reached(venue, "alice") == []
    venue.buy("alice", 1, 1)
    assert reached(venue, "alice") == [(80, 400, 500)]
    venue.buy("alice", 50, 1)
    venue.buy("alice", 50, 1)
    assert reached(venue, "alice") == [(80, 400, 500), (100, 500, 500)]
    venue.submit("alice", MassCancel)
    venue.buy("alice", 450, 1)
    assert reached(venue, "alice")[2:] == [(80, 450, 500)]


def test_a_jump_over_both_marks_tells_the_higher(venue: Venue) -> None:
    """From nothing to everything in one command: one event, 100 per cent."""
    limit(venue, agent="alice", total=500)
    venue.buy("alice", 500, 1)
    assert reached(venue, "alice") == [(100, 500, 500)]


def test_a_full_period_is_told_anew_after_it_rolled(venue: Venue) -> None:
    """Full, rolled over in silence, full again at once: two events."""
    limit(venue, agent="alice", per_period=500, period_seconds=60)
    venue.sell("bob", 10, 100)
    venue.buy("alice", 5, 100)
    venue.advance(200)
    venue.buy("alice", 5, 100)
    assert reached(venue, "alice") == [(100, 500, 500), (100, 500, 500)]


def test_an_owners_limit_binds_all_its_agents(venue: Venue) -> None:
    """Also those registered later; all of them hear of it."""
    limit(venue, owner="alice", total=500)
    venue.register("alma", owner="alice", endowment=1_000)
    venue.buy("alice", 3, 100)
    assert_rejected(venue.buy("alma", 3, 100), Reason.SPEND_LIMIT)
    assert venue.buy("alma", 2, 100).accepted
    assert reached(venue, "alice") == reached(venue, "alma") == [(100, 500, 500)]


def test_trades_within_a_fleet_are_no_spending_of_the_owner(venue: Venue) -> None:
    """What one agent pays another of the same owner gets."""
    venue.register("alma", owner="alice", endowment=1_000)
    venue.issue("alma", 5)
    limit(venue, owner="alice", total=500)
    venue.sell("alma", 5, 100)
    venue.buy("alice", 5, 100, self_trade_prevention="none")
    assert venue.buy("alice", 5, 100).accepted


def test_holds_that_stood_before_the_limit_count(venue: Venue) -> None:
    """A limit below what is held already refuses everything new and tells 100 per cent."""
    venue.buy("alice", 6, 100)
    limit(venue, agent="alice", total=500)
    assert reached(venue, "alice") == [(100, 600, 500)]
    assert_rejected(venue.buy("alice", 1, 1), Reason.SPEND_LIMIT)


def test_a_new_limit_counts_from_now_on_and_none_lifts_it(venue: Venue) -> None:
    """Setting it again forgets what was spent; without amounts it binds no more."""
    limit(venue, agent="alice", total=500)
    venue.sell("bob", 10, 100)
    venue.buy("alice", 5, 100)
    limit(venue, agent="alice", total=100)
    assert venue.buy("alice", 1, 100).accepted
    limit(venue, agent="alice")
    assert venue.buy("alice", 4, 100).accepted


def test_a_limit_of_zero_allows_nothing(venue: Venue) -> None:
    """Selling goes on; what comes in can be spent, for spending is net."""
    limit(venue, agent="alice", total=0)
    assert_rejected(venue.buy("alice", 1, 1), Reason.SPEND_LIMIT)
    venue.buy("bob", 1, 100)
    venue.sell("alice", 1, 100)
    assert venue.buy("alice", 1, 100).accepted


@pytest.mark.parametrize(
    ("sender", "fields", "reason"),
    [
        (OPERATOR, {"agent": "alice"}, None),
        (OPERATOR, {"owner": "alice"}, None),
        ("alma", {"agent": "alice"}, None),
        ("alice", {"agent": "alice"}, Reason.NOT_PERMITTED),
        ("bob", {"agent": "alice"}, Reason.NOT_PERMITTED),
        ("bob", {"owner": "alice"}, Reason.NOT_PERMITTED),
        (OPERATOR, {}, Reason.MISSING_FIELD),
        (OPERATOR, {"agent": "alice", "owner": "alice"}, Reason.MISSING_FIELD),
        (OPERATOR, {"agent": "nobody"}, Reason.UNKNOWN_AGENT),
        (OPERATOR, {"owner": "nobody"}, Reason.UNKNOWN_AGENT),
    ],
)
def test_who_may_set_a_limit(venue: Venue, sender: str, fields: dict[str, str], reason: Reason | None) -> None:
    """Operators any; the owner's other agents; never the agent itself."""
    venue.register("alma", owner="alice")
    answer = venue.submit(sender, SetSpendLimit, total=500, **fields)
    if reason is None:
        assert answer.accepted
    else:
        assert_rejected(answer, reason)


def test_an_owner_may_bind_itself_once_and_only_an_operator_loosens_it(venue: Venue) -> None:
    """The first limit may be set by any of its agents."""
    limit(venue, "alice", owner="alice", total=500)
    assert_rejected(venue.submit("alice", SetSpendLimit, owner="alice", total=900), Reason.NOT_PERMITTED)
    assert venue.submit(OPERATOR, SetSpendLimit, owner="alice", total=900).accepted


def test_an_event_belongs_to_the_command_that_caused_it(venue: Venue) -> None:
    """A stop of alice that bob's trade sets off uses up her limit: she hears it in the same batch."""
    limit(venue, agent="alice", total=1_000)
    venue.sell("carol", 9, 100)
    venue.sell("bob", 1, 95)
    venue.buy("alice", 9, 110, order_type="stop", trigger_price=95)  # holds 990
    venue.buy("dave", 1, 95)
    # The stop paid 900 and gave 90 back.
    assert reached(venue, "alice") == [(80, 990, 1_000)]
    answer = venue.submit("alice", ResumeAgent, agent="alice")
    assert_rejected(answer, Reason.NOT_PERMITTED)
    view = venue.engine.query("alice", GetSpendLimits()).limits[0]  # type: ignore[attr-defined]
    assert (view.total, view.total_used) == (1_000, 900)


def test_a_rejection_after_a_triggered_stop_changes_nothing(venue: Venue) -> None:
    """What a set-off stop released was accounted for in its own command."""
    limit(venue, agent="alice", total=1_000)
    venue.sell("bob", 1, 95)
    venue.buy("alice", 9, 110, order_type="stop", trigger_price=95)  # holds 990, finds no seller
    venue.buy("dave", 1, 95)
    assert venue.orders("alice") == []
    assert_rejected(venue.buy("alice", 1_001, 1), Reason.SPEND_LIMIT)


def test_what_a_revoked_agent_passes_on_is_income_of_the_heir(venue: Venue) -> None:
    """It gives the heir's limit room, and changes nothing for the owner's."""
    venue.register("alma", owner="alice", endowment=300)
    limit(venue, agent="alice", total=100)
    limit(venue, owner="alice", total=100)
    venue.must(OPERATOR, RevokeAgent, agent="alma")
    assert_rejected(venue.buy("alice", 101, 1), Reason.SPEND_LIMIT)
    limit(venue, owner="alice")
    assert venue.buy("alice", 400, 1).accepted

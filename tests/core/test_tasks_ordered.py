"""Tasks that a mechanism has done: nobody's command posts them, and nothing of their money is the poster's."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.engine import Engine
from exchange.mechanisms.facts import TaskFinal, TaskOpened
from exchange.messages.admin import RevokeAgent, Settings
from exchange.messages.payments import PayLiens
from exchange.messages.reasons import Reason
from exchange.messages.settlements import GiveUp
from exchange.messages.tasks import CancelTask, ListTasks
from exchange.testing import OPERATOR, assert_rejected
from tests.core.ordering import KEPT, WITH_ORDERING, Have, Ordering
from tests.core.work import CREDIT, MINUTE_US, Work

REFUNDS = ("public_fund", "keeper", KEPT)


@pytest.fixture
def venue() -> Work:
    venue = Work(mechanisms=WITH_ORDERING)
    venue.register("payer", "keeper", endowment=100 * CREDIT, skills=["python"])
    return venue


def have(venue: Work, **terms: Any) -> None:
    """Let ``payer`` pay 40 for a task with a reserve of 40, which ``poster`` confirms."""
    fields = {"poster": "poster", "paid": 40 * CREDIT, "reserve": 40 * CREDIT, "refund": "public_fund"}
    venue.must("payer", Have, **fields | terms)


def facts(venue: Work) -> list[Any]:
    mechanism = venue.engine.mechanisms["ordering"]
    assert isinstance(mechanism, Ordering)
    return mechanism.facts


def has(venue: Work, account: str) -> int:
    """Return what an account has, in whole credits, of what agents do not start with."""
    if account in venue.engine.agents:
        return venue.purse(account)[0] - 100
    found = venue.engine.ledger.accounts.get(account)
    return 0 if found is None else found.balances["credit"].available // CREDIT


@pytest.mark.parametrize("refund", REFUNDS)
def test_it_is_paid_from_the_escrow_and_the_rest_goes_where_it_was_ordered_to(venue: Work, refund: str) -> None:
    have(venue, refund=refund)
    assert facts(venue) == [TaskOpened("ordering:1", 1)]
    assert venue.view_task().origin == "ordering:1"
    venue.bid("ann", 20)
    venue.bid("ben", 30)
    assert venue.close().price == 30 * CREDIT
    assert has(venue, refund) == 10
    venue.deliver()
    venue.confirm()
    assert [has(venue, name) for name in (refund, "ann", "poster", "payer")] == [10, 30, 0, -40]
    assert facts(venue)[1:] == [TaskFinal(1, is_completed=True, poster="poster")]


@pytest.mark.parametrize("refund", REFUNDS)
def test_a_failure_refunds_price_and_bond_there_and_not_to_the_poster(venue: Work, refund: str) -> None:
    have(venue, refund=refund)
    venue.bid("ann", 20)
    venue.close()
    venue.must("ann", GiveUp, settlement=1, fencing_token=venue.settlement().fencing_token)
    # All 40, and the bond: a tenth of the reserve.
    assert [has(venue, name) for name in (refund, "ann", "poster", "payer")] == [44, -4, 0, -40]
    assert facts(venue)[1:] == [TaskFinal(1, is_completed=False, poster="poster")]
    assert venue.view_task().outcome == "failed"


@pytest.mark.parametrize("refund", REFUNDS)
def test_a_bond_that_could_not_be_held_is_owed_there(venue: Work, refund: str) -> None:
    venue.register("poor", endowment=CREDIT, skills=["python"])
    have(venue, refund=refund)
    venue.bid("poor", 20)
    venue.close()
    venue.must("poor", GiveUp, settlement=1, fencing_token=venue.settlement().fencing_token)
    # It paid 1 of 4; what it earns later goes there, too.
    assert has(venue, refund) == 41
    venue.engine.ledger.transfer(
        venue.engine.ledger.balance("keeper", "credit"), venue.engine.ledger.balance("poor", "credit"), 3 * CREDIT
    )
    venue.must("poor", PayLiens, amount=3 * CREDIT)
    assert has(venue, refund) == 44 - 3 * (refund == "keeper")


@pytest.mark.parametrize("refund", REFUNDS)
def test_without_a_bid_everything_goes_there(venue: Work, refund: str) -> None:
    have(venue, refund=refund)
    venue.close()
    assert has(venue, refund) == 40
    assert facts(venue)[1:] == [TaskFinal(1, is_completed=False, poster="poster")]
    assert venue.view_task().outcome == "no_bids"


def test_the_reserve_is_at_most_what_there_is_and_the_rest_is_for_urgency(venue: Work) -> None:
    have(venue, paid=30 * CREDIT)
    assert venue.view_task().reserve == 30 * CREDIT
    venue.close()
    have(venue, paid=40 * CREDIT, reserve=20 * CREDIT)
    assert venue.view_task(2).reserve == 20 * CREDIT
    venue.bid("ann", 20, task=2)
    assert venue.close(2).price == 20 * CREDIT
    assert has(venue, "public_fund") == 30 + 20


def test_one_that_closes_at_once_ends_without_a_bid(venue: Work) -> None:
    have(venue, closes_in_us=0)
    venue.advance(0)
    assert facts(venue)[1:] == [TaskFinal(1, is_completed=False, poster="poster")]
    assert has(venue, "public_fund") == 40


def test_owners_that_are_excluded_may_not_bid_and_their_standing_bids_stay_out(venue: Work) -> None:
    venue.stand("ben", 10)
    have(venue, excluded=("ann", "ben"))
    assert_rejected(venue.bid("ann", 20), Reason.NOT_PERMITTED)
    assert_rejected(venue.bid("poster", 20), Reason.SAME_OWNER)
    venue.bid("cid", 35)
    assert venue.close().winner == "cid"
    assert venue.view_task().bids == 1


def test_its_poster_neither_takes_it_back_nor_needs_to_stay(venue: Work) -> None:
    have(venue)
    assert_rejected(venue.submit("poster", CancelTask, task=1), Reason.NOT_PERMITTED)
    venue.must(OPERATOR, RevokeAgent, agent="poster")
    venue.bid("ann", 20)
    venue.close()
    venue.deliver()
    venue.advance_to(venue.settlement().until_us)
    assert venue.view_task().state == "completed"
    assert has(venue, "ann") == 40


def test_it_does_not_count_for_its_posters_owner(venue: Work) -> None:
    venue = Work(mechanisms=WITH_ORDERING, settings=Settings(max_open_tasks=1))
    venue.register("payer", endowment=100 * CREDIT)
    have(venue)
    venue.post(closes_at_us=venue.time_us + 2 * MINUTE_US)
    assert_rejected(venue.try_to_post(), Reason.TOO_MANY_TASKS)
    listed = venue.engine.query("poster", ListTasks(mine=True)).tasks  # type: ignore[attr-defined]
    assert [task.origin for task in listed] == ["ordering:1", None]
    venue.close()
    assert_rejected(venue.try_to_post(), Reason.TOO_MANY_TASKS)


def test_it_goes_on_from_a_snapshot(venue: Work) -> None:
    have(venue, excluded=("ben",), refund="keeper")
    venue.bid("ann", 20)
    for _ in range(2):
        dumped = venue.engine.dump()
        venue.engine = Engine(WITH_ORDERING)
        venue.engine.load(dumped)
        assert venue.engine.dump() == dumped
        assert venue.engine.check_invariants() == []
        if venue.view_task().state == "open":
            assert_rejected(venue.bid("ben", 10), Reason.NOT_PERMITTED)
            venue.close()
    venue.must("ann", GiveUp, settlement=1, fencing_token=venue.settlement().fencing_token)
    assert has(venue, "keeper") == 44

"""Declared changes: which change a bond answers for, and when it returns."""

from __future__ import annotations

import pytest

from exchange.messages.admin import RevokeAgent, Settings
from exchange.messages.externalities import DeclareChange
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, assert_rejected
from tests.core.neighbours import WEEK_US, Neighbours
from tests.core.work import CREDIT, DAY_US


@pytest.fixture
def venue() -> Neighbours:
    return Neighbours()


def test_a_bond_returns_after_a_week_to_the_microsecond(venue: Neighbours) -> None:
    answer = venue.must("ann", DeclareChange, module="base", bond=20 * CREDIT)
    returns_us = venue.time_us + WEEK_US
    assert answer.data["returns_us"] == returns_us
    assert venue.purses("ann") == [80]
    venue.advance_to(returns_us - 1)
    venue.reload()
    assert venue.purses("ann") == [80]
    venue.advance_to(returns_us)
    assert venue.purses("ann") == [100]
    (event,) = venue.told("ann", "externalities.change_ended")
    assert (event.change, event.bond, event.returned) == (1, 20 * CREDIT, 20 * CREDIT)
    (change,) = venue.changes()
    assert (change.is_open, change.left) == (False, 0)


def test_it_has_a_module_and_a_bond_that_is_there(venue: Neighbours) -> None:
    answer = venue.submit("ann", DeclareChange, module="unheard_of", bond=20 * CREDIT)
    assert_rejected(answer, Reason.UNKNOWN_MODULE)
    answer = venue.submit("ann", DeclareChange, module="base", bond=5 * CREDIT - 1)
    assert_rejected(answer, Reason.INVALID_EXTERNALITY_TERMS)
    answer = venue.submit("ann", DeclareChange, module="base", bond=100 * CREDIT + 1)
    assert_rejected(answer, Reason.INSUFFICIENT_CREDITS)


def test_a_change_before_its_declaration_was_not_declared(venue: Neighbours) -> None:
    venue.advance(1)
    venue.declare()
    declared_us = venue.time_us
    venue.report(**venue.broken(bens=10), changed_us=declared_us - 1)
    assert (venue.levy().change, venue.levy().is_doubled) == (None, True)
    answer = venue.try_to_report(**venue.broken(bens=10), changed_us=declared_us - 1, change=1, reference="2")
    assert_rejected(answer, Reason.WRONG_STATE)
    venue.report(**venue.broken(bens=10), changed_us=declared_us, reference="3")
    assert (venue.levy(2).change, venue.levy(2).is_doubled) == (1, False)


def test_it_is_done_in_the_week_and_may_be_reported_after_it(venue: Neighbours) -> None:
    venue.declare()
    returns_us = venue.time_us + WEEK_US
    venue.advance_to(returns_us + DAY_US)
    # The bond has returned, so ann pays it herself; but it is not doubled.
    venue.report(**venue.broken(bens=10), changed_us=returns_us, reference="too late")
    assert (venue.levy(1).change, venue.levy(1).is_doubled) == (None, True)
    venue.report(**venue.broken(bens=10), changed_us=returns_us - 1)
    assert (venue.levy(2).change, venue.levy(2).is_doubled, venue.levy(2).from_bond) == (1, False, 0)


def test_a_declaration_is_for_one_change(venue: Neighbours) -> None:
    venue.declare()
    venue.report(**venue.broken(bens=10))
    venue.report(**venue.broken(bens=10), reference="another")
    assert [venue.levy(number).is_doubled for number in (1, 2)] == [False, True]
    answer = venue.try_to_report(**venue.broken(bens=10), reference="one more", change=1)
    assert_rejected(answer, Reason.WRONG_STATE)


def test_the_oldest_that_fits_answers_unless_another_is_named(venue: Neighbours) -> None:
    for _ in range(3):
        venue.declare()
        venue.advance(1)
    venue.report(**venue.broken(bens=10), change=2)
    venue.report(**venue.broken(bens=10), reference="another")
    venue.report(**venue.broken(bens=10), reference="one more")
    assert [venue.levy(number).change for number in (1, 2, 3)] == [2, 1, 3]


def test_any_agent_of_the_owner_declares_for_any_other_but_for_nobody_else(venue: Neighbours) -> None:
    venue.declare("amy")
    venue.declare("dot")
    venue.declare("ann", module="bens")
    for change in (2, 3, 4):
        answer = venue.try_to_report(**venue.broken(bens=10), change=change)
        assert_rejected(answer, Reason.UNKNOWN_CHANGE)
    venue.report(**venue.broken(bens=10))
    assert venue.levy().change == 1


def test_the_bond_pays_first_and_the_source_the_rest(venue: Neighbours) -> None:
    venue.declare(bond=6)
    venue.report(**venue.broken(bens=100))
    assert (venue.levy().from_bond, venue.levy().held) == (6 * CREDIT, 10 * CREDIT)
    assert venue.purses("ann") == [90]
    venue.accept()
    venue.advance_to(venue.time_us + WEEK_US)
    assert venue.purses("ann", "ben") == [90, 110]


def test_a_change_is_forgotten_when_nothing_of_it_can_be_reported(venue: Neighbours) -> None:
    venue.declare()
    venue.advance_to(venue.time_us + WEEK_US)
    returned_us = venue.time_us
    venue.reload()
    venue.advance_to(returned_us + 30 * DAY_US - 1)
    assert len(venue.changes()) == 1
    venue.advance_to(returned_us + 30 * DAY_US)
    assert venue.changes() == []
    assert venue.changes("ann", module=None) == []


def test_a_dispute_can_take_longer_than_a_change_is_remembered() -> None:
    venue = Neighbours(settings=Settings(externality_report_seconds=60))
    venue.declare()
    venue.report(**venue.broken(bens=100))
    venue.dispute()
    venue.advance_to(venue.time_us + WEEK_US)
    venue.advance(60)
    assert venue.changes() == []
    venue.reload()
    venue.decide(upheld=True)
    assert venue.purses("ann") == [150]


def test_an_owner_has_so_many_changes_and_no_more() -> None:
    venue = Neighbours(settings=Settings(max_declared_changes=2))
    venue.declare("ann")
    venue.declare("amy")
    for name in ("ann", "amy"):
        answer = venue.submit(name, DeclareChange, module="base", bond=20 * CREDIT)
        assert_rejected(answer, Reason.TOO_MANY_CHANGES)
    assert venue.declare("ben", module="bens") == 3


def test_the_bond_of_a_revoked_agent_goes_to_its_owners_oldest(venue: Neighbours) -> None:
    venue.declare()
    venue.must(OPERATOR, RevokeAgent, agent="ann")
    venue.report(source="amy", **venue.broken(bens=50))
    assert venue.levy().from_bond == 5 * CREDIT
    venue.advance_to(venue.time_us + WEEK_US)
    assert venue.purses("amy", "ben") == [195, 105]


def test_everybody_may_know_what_is_to_change(venue: Neighbours) -> None:
    venue.declare()
    venue.declare("amy", module="amys")
    assert [change.change for change in venue.changes("ben", module="base")] == [1]
    assert [change.change for change in venue.changes("ann", module=None)] == [1, 2]
    assert venue.changes("ben", module=None) == []

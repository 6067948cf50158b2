"""Owners are warned before their deposits are exhausted: once, in time, and of every deposit."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.mechanisms.property.tax import MONTH_US
from exchange.messages.admin import HaltVenue, Settings
from exchange.messages.property import ReleaseModule, StateValue, TopUpDeposit, WithdrawDeposit
from exchange.testing import OPERATOR, SECOND_US
from tests.core.estate import Estate
from tests.core.work import CREDIT, DAY_US, HOUR_US

AHEAD_US: Final = 3 * DAY_US


@pytest.fixture
def venue() -> Estate:
    return Estate()


def warned(venue: Estate, agent: str = "ann") -> list[Any]:
    return venue.told(agent, "property.deposit_low")


def exhausted_at(venue: Estate, module: str = "core") -> int:
    at_us = venue.module(module).exhausted_at_us
    assert at_us is not None
    return at_us


def test_an_owner_is_warned_three_days_before_to_the_microsecond(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 5)
    at_us = exhausted_at(venue)
    venue.advance_to(at_us - AHEAD_US - 1)
    venue.reload()
    assert warned(venue) == []
    venue.advance_to(at_us - AHEAD_US)
    [event] = warned(venue)
    assert (event.module, event.value, event.deposit) == ("core", 100 * CREDIT, CREDIT // 2)
    assert (event.exhausted_at_us, event.venue_time_us) == (at_us, at_us - AHEAD_US)
    venue.reload()
    venue.advance_to(at_us)
    assert len(warned(venue)) == 1
    assert venue.ownership.owner_of("core") is None


def test_whoever_tops_up_in_time_is_warned_again_when_that_runs_out(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 5)
    at_us = exhausted_at(venue)
    venue.advance_to(at_us - DAY_US)
    venue.must("ann", TopUpDeposit, module="core", amount=5 * CREDIT)
    venue.advance_to(at_us + MONTH_US - AHEAD_US - 1)
    assert len(warned(venue)) == 1
    venue.advance_to(at_us + MONTH_US - AHEAD_US)
    assert [event.exhausted_at_us for event in warned(venue)] == [at_us, at_us + MONTH_US]


def test_what_leaves_too_little_is_told_at_once(venue: Estate) -> None:
    """Also by a top-up that does not help for long, or by a rate that rises."""
    venue.hold("ann", "core", 100, 10)
    venue.set_rate(10_000)
    venue.advance(1)
    # 10 of 100 at 100 % a month: three days, less what has passed.
    [event] = warned(venue)
    assert event.exhausted_at_us == exhausted_at(venue)
    venue.must("ann", TopUpDeposit, module="core", amount=1)
    venue.advance(1)
    assert [each.exhausted_at_us for each in warned(venue)][1:] == [exhausted_at(venue)]
    venue.advance_to(exhausted_at(venue) - 1)
    assert len(warned(venue)) == 2


def test_a_rate_that_changes_moves_the_warning(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 10)
    venue.advance_to(venue.time_us + DAY_US)
    venue.set_rate(250)
    at_us = exhausted_at(venue)
    venue.advance_to(at_us - AHEAD_US - 1)
    assert warned(venue) == []
    venue.advance_to(at_us - AHEAD_US)
    assert len(warned(venue)) == 1


def test_the_buyer_is_warned_of_its_own_deposit(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 5)
    venue.advance_to(exhausted_at(venue) - DAY_US)
    assert venue.buy("ben", "core", 100, 100, 5).accepted
    venue.advance_to(exhausted_at(venue) - AHEAD_US)
    assert (len(warned(venue)), len(warned(venue, "ben"))) == (1, 1)


def test_what_is_worth_nothing_or_released_warns_nobody(venue: Estate) -> None:
    venue.hold("ann", "free", 0, 3)
    venue.hold("ann", "left", 100, 5)
    venue.must("ann", ReleaseModule, module="left")
    venue.advance_to(venue.time_us + 2 * MONTH_US)
    assert warned(venue) == []


def test_halts_do_not_move_it_and_outages_do_not_skip_it(venue: Estate) -> None:
    venue.hold("ann", "core", 100, 5)
    venue.must(OPERATOR, HaltVenue, state="halted")
    venue.advance_to(exhausted_at(venue) - AHEAD_US)
    assert len(warned(venue)) == 1
    venue.must(OPERATOR, HaltVenue, state="open")
    venue.hold("ben", "app", 100, 5)
    at_us = exhausted_at(venue, "app")
    venue.change_leader(40 * 86_400)
    # It comes before the foreclosure that it is about, though in the same batch.
    tags = [event.__struct_config__.tag for event in venue.events("ben")]
    assert tags.index("property.deposit_low") < tags.index("property.foreclosed")
    assert [event.exhausted_at_us for event in warned(venue, "ben")] == [at_us]


def test_one_deadline_stands_for_all_warnings_and_a_bounded_number_is_told_at_once() -> None:
    venue = Estate(check_every=100)
    for number in range(250):
        venue.hold("ann", f"m{number}", 1, 1)
    deadlines: Any = venue.engine.context.deadlines
    pending = len(deadlines)
    venue.set_rate(10_000)
    assert len(deadlines) == pending
    venue.advance_to(exhausted_at(venue, "m0") - AHEAD_US)
    venue.advance(60)
    assert [event.module for event in warned(venue)] == [f"m{number}" for number in range(250)]
    kinds = [entry[2] for entry in deadlines._live.values()]
    assert kinds.count("property.warn") == 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("state", "top_up", "withdraw", "rate", "wait", "wait", "wait")),
        st.sampled_from(("a", "b", "c")),
        st.integers(1, 400),
    ),
    min_size=4,
    max_size=14,
)


@given(STEPS, st.integers(1, 20))
def test_every_deposit_is_warned_of_once_until_it_changes(steps: list[tuple[str, str, int]], days: int) -> None:
    """Against a model that looks at every module after every step."""
    venue = Estate(check_every=3, settings=Settings(harberger_warning_seconds=days * 86_400))
    told = dict.fromkeys(("a", "b", "c"), 0)
    is_warned = dict.fromkeys(told, False)
    for name in told:
        venue.hold("ann", name, 10, 20)
    for what, name, amount in steps:
        if what == "state":
            answer = venue.submit("ann", StateValue, module=name, value=amount * CREDIT, deposit=CREDIT)
        elif what == "top_up":
            answer = venue.submit("ann", TopUpDeposit, module=name, amount=amount)
        elif what == "withdraw":
            answer = venue.submit("ann", WithdrawDeposit, module=name, amount=amount * CREDIT // 40)
        elif what == "rate":
            venue.set_rate(amount * 5)
        if what in ("state", "top_up", "withdraw") and answer.accepted:
            is_warned[name] = False
        # What is due because of a command fires with the next batch.
        venue.advance_to(venue.time_us + (amount * HOUR_US if what == "wait" else SECOND_US))
        for each in told:
            at_us = venue.module(each).exhausted_at_us
            is_due = at_us is not None and at_us - days * DAY_US <= venue.time_us
            is_lost = venue.ownership.owner_of(each) is None
            if (is_due or is_lost) and not is_warned[each]:
                is_warned[each] = True
                told[each] += 1
        counts = [event.module for event in warned(venue)]
        assert {each: counts.count(each) for each in told} == told
    venue.reload()
    assert venue.engine.check_invariants() == []

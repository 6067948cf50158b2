"""Test that halts and outages move the deadlines of parties' acts, and nothing else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.engine import Engine
from exchange.engine.deadlines import GRACE_US, Deadlines
from exchange.mechanisms.admin import Admin
from exchange.mechanisms.orders import Orders
from exchange.messages.admin import HaltMarket, HaltVenue, ResumeMechanism, SuspendMechanism
from exchange.messages.orders import CancelAllAfter
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, SECOND_US, Venue
from tests.core.chores import Chores, Keep, Promise

if TYPE_CHECKING:
    from collections.abc import Callable

MECHANISMS: Final = (Admin, Orders, Chores)
MINUTE_US: Final = 60 * SECOND_US


def scene() -> Venue:
    """Return a venue with a market and two agents."""
    venue = Venue(mechanisms=MECHANISMS)
    venue.register("alice", "bob", endowment=1_000_000)
    venue.market()
    return venue


@pytest.fixture
def venue() -> Venue:
    """Return a venue with a market and two agents."""
    return scene()


def chores(venue: Venue) -> Chores:
    """Return the mechanism under test."""
    found = venue.engine.mechanisms["chores"]
    assert isinstance(found, Chores)
    return found


def promise(venue: Venue, after_us: int, scope: str = "venue", *, is_act: bool = True) -> int:
    """Let alice promise something; return the deadline."""
    deadline_us = venue.time_us + after_us
    venue.must("alice", Promise, deadline_us=deadline_us, scope=scope, is_act=is_act)
    return deadline_us


def reload(venue: Venue) -> None:
    """Put an engine in the venue's place that was loaded from its state."""
    dumped = venue.engine.dump()
    engine = Engine(MECHANISMS)
    engine.load(dumped)
    assert engine.dump() == dumped
    venue.engine = engine


def passes_at(venue: Venue, time_us: int, number: int = 0) -> None:
    """Assert that a deadline passes at a time, and not a microsecond earlier."""
    venue.advance_to(time_us - 1)
    assert number not in chores(venue).passed
    reload(venue)
    venue.advance_to(time_us)
    assert chores(venue).passed[number] == time_us


STOPS: Final[dict[str, tuple[str, tuple[type, dict[str, Any]], tuple[type, dict[str, Any]]]]] = {
    "venue": ("venue", (HaltVenue, {"state": "halted"}), (HaltVenue, {"state": "open"})),
    "venue to cancel_only": ("venue", (HaltVenue, {"state": "halted"}), (HaltVenue, {"state": "cancel_only"})),
    "market": (
        "market:cpu",
        (HaltMarket, {"market": "cpu", "state": "halted"}),
        (HaltMarket, {"market": "cpu", "state": "open"}),
    ),
    "mechanism": ("venue", (SuspendMechanism, {"family": "chores"}), (ResumeMechanism, {"family": "chores"})),
    "mechanism in a market": (
        "market:cpu",
        (SuspendMechanism, {"family": "chores", "state": "halted"}),
        (ResumeMechanism, {"family": "chores"}),
    ),
}


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize(
    ("before_us", "after_us", "is_moved"),
    [
        (MINUTE_US, MINUTE_US, True),
        (1, 1, True),
        (1, 0, True),  # it works again at the deadline: until then nobody could act
        (0, MINUTE_US, False),  # at the deadline it has passed, before the halt of the same moment
        (2, -1, False),  # it works again a microsecond before the deadline
    ],
)
def test_a_halt_moves_what_falls_into_it(
    venue: Venue, stop: str, before_us: int, after_us: int, *, is_moved: bool
) -> None:
    """From after it begins until and with the moment of its end; whoever is not in it keeps his deadline."""
    scope, halt, reopen = STOPS[stop]
    deadline_us = promise(venue, 10 * MINUTE_US, scope)
    venue.advance_to(deadline_us - before_us)
    venue.must(OPERATOR, halt[0], **halt[1])
    venue.advance_to(deadline_us + after_us)
    venue.must(OPERATOR, reopen[0], **reopen[1])
    if is_moved:
        passes_at(venue, deadline_us + after_us + GRACE_US)
    else:
        venue.advance_to(max(venue.time_us, deadline_us))
        assert chores(venue).passed == {0: deadline_us}


@pytest.mark.parametrize(
    ("last_us", "first_us", "is_moved"),
    [(-MINUTE_US, MINUTE_US, True), (-1, 0, True), (-1, 1, True), (0, MINUTE_US, False), (-2, -1, False)],
)
def test_an_outage_moves_what_falls_into_it(venue: Venue, last_us: int, first_us: int, *, is_moved: bool) -> None:
    """From after the last record of an epoch until and with the first of the next, however short."""
    deadline_us = promise(venue, 10 * MINUTE_US)
    venue.advance_to(deadline_us + last_us)
    venue.epoch += 1
    venue.advance_to(deadline_us + first_us)
    if is_moved:
        passes_at(venue, deadline_us + first_us + GRACE_US)
    else:
        venue.advance_to(max(venue.time_us, deadline_us))
        assert chores(venue).passed == {0: deadline_us}


def test_the_end_of_the_grace_may_fall_into_an_outage(venue: Venue) -> None:
    """Then five minutes begin anew with its end, and once more."""
    deadline_us = promise(venue, MINUTE_US)
    venue.advance_to(deadline_us - 1)
    for _ in range(3):
        venue.change_leader(299)
    assert chores(venue).passed == {}
    passes_at(venue, venue.time_us + GRACE_US)


def test_overlapping_halts_end_with_the_last(venue: Venue) -> None:
    """The venue is halted, then the market; the venue opens first."""
    deadline_us = promise(venue, 10 * MINUTE_US, "market:cpu")
    venue.advance_to(deadline_us - MINUTE_US)
    venue.must(OPERATOR, HaltVenue, state="halted")
    venue.must(OPERATOR, HaltMarket, market="cpu", state="halted")
    venue.advance(120)
    venue.must(OPERATOR, HaltVenue, state="open")
    reload(venue)
    venue.advance(3_600)
    venue.must(OPERATOR, HaltMarket, market="cpu", state="open")
    passes_at(venue, venue.time_us + GRACE_US)


def test_a_halt_within_the_grace_begins_it_anew(venue: Venue) -> None:
    """Five minutes are five minutes in which one can act."""
    promise(venue, MINUTE_US)
    venue.must(OPERATOR, HaltVenue, state="halted")
    venue.advance(120)
    venue.must(OPERATOR, HaltVenue, state="open")
    venue.advance(60)
    venue.must(OPERATOR, HaltVenue, state="halted")
    venue.advance(60)
    venue.must(OPERATOR, HaltVenue, state="open")
    passes_at(venue, venue.time_us + GRACE_US)


def test_the_party_may_act_until_it_has_passed(venue: Venue) -> None:
    """An act in the grace is in time, though the deadline that was promised is past."""
    for _ in range(2):
        promise(venue, MINUTE_US)
    venue.change_leader(3_600)
    venue.advance(299)
    assert venue.submit("alice", Keep, number=0).accepted
    venue.advance(1)
    assert venue.submit("alice", Keep, number=1).reason is Reason.NO_CHANGE
    assert list(chores(venue).passed) == [1]


def test_a_deadline_that_waits_can_be_kept_and_canceled(venue: Venue) -> None:
    """Whoever acts while the market is halted, where the mechanism lets it, is done with it."""
    promise(venue, MINUTE_US, "market:cpu")
    venue.must(OPERATOR, HaltMarket, market="cpu", state="halted")
    venue.advance(120)
    assert venue.submit("alice", Keep, number=0).accepted
    venue.must(OPERATOR, HaltMarket, market="cpu", state="open")
    venue.advance(3_600)
    assert chores(venue).passed == {}


def test_what_is_no_act_does_not_move(venue: Venue) -> None:
    """Neither an outage nor a halt moves it; a suspended mechanism's fires once it is resumed, in order."""
    passed = [promise(venue, after * MINUTE_US, is_act=False) for after in (1, 3)]
    late = [promise(venue, after * MINUTE_US, is_act=False) for after in (9, 8, 8)]
    venue.change_leader(120)
    venue.must(OPERATOR, HaltVenue, state="halted")
    venue.advance(120)
    assert list(chores(venue).passed) == [0, 1]
    assert max(chores(venue).passed.values()) < passed[1] + 2 * MINUTE_US
    venue.must(OPERATOR, SuspendMechanism, family="chores")
    venue.advance(3_600)
    reload(venue)
    assert list(chores(venue).passed) == [0, 1]
    assert (venue.engine.next_deadline_us() or venue.time_us + 1) > venue.time_us
    venue.must(OPERATOR, ResumeMechanism, family="chores")
    assert venue.engine.next_deadline_us() == min(late)
    venue.advance_to(venue.time_us + 1)
    assert list(chores(venue).passed) == [0, 1, 3, 4, 2]


def test_many_outages_cost_each_deadline_little() -> None:
    """A thousand outages look at the deadlines that fell into one, not at a hundred thousand that lie ahead."""
    deadlines = Deadlines()
    for n in range(100_000):
        deadlines.schedule_act(10**9 + n, "chores.lapse", "venue", n)
    started = time.process_time()
    for n in range(1, 1_001):
        deadlines.time_us = n * 1_000
        deadlines.end_outage()
        assert deadlines.pop_due(n * 1_000) is None
    assert time.process_time() - started < 1


# ── an oracle that knows the history ────────────────────────────────────────────────────────────


class History:
    """Drive a venue and write down when which scope was stopped; say when a deadline should have passed."""

    def __init__(self) -> None:
        self.venue = scene()
        self.stopped: dict[str, int] = {}
        self.stops: list[tuple[str, int, int]] = []
        self.acts: list[tuple[int, str, bool]] = []
        self.kept: dict[int, int] = {}

    def wait(self, seconds: int) -> None:
        self.venue.advance(seconds)

    def promise(self, after: int, scope: str, *, is_act: bool = True) -> None:
        deadline_us = self.venue.time_us + after * SECOND_US
        if self.venue.submit("alice", Promise, deadline_us=deadline_us, scope=scope, is_act=is_act).accepted:
            self.acts.append((deadline_us, scope, is_act))

    def toggle(self, name: str) -> None:
        scope = {"venue": "venue", "market": "market:cpu"}.get(name, "mechanism:chores")
        _, halt, reopen = STOPS[name]
        if scope in self.stopped:
            self.stops.append((scope, self.stopped.pop(scope), self.venue.time_us))
            self.venue.must(OPERATOR, reopen[0], **reopen[1])
        else:
            self.stopped[scope] = self.venue.time_us
            self.venue.must(OPERATOR, halt[0], **halt[1])

    def outage(self, seconds: int) -> None:
        self.stops.append(("venue", self.venue.time_us, self.venue.time_us + seconds * SECOND_US))
        self.venue.change_leader(seconds)

    def expected(self, deadline_us: int, scope: str) -> int | None:
        """Return when an act's deadline passes by its history; None: not yet, something is stopped."""
        scopes = ("venue", scope, "mechanism:chores")
        stops = [(begin, end) for name, begin, end in self.stops if name in scopes]
        stops += [(begin, 2**62) for name, begin in self.stopped.items() if name in scopes]
        worked_us, due_us = 0, deadline_us
        while True:
            # Within its grace any stop counts, before it only one that the deadline falls into.
            hit = [end for begin, end in stops if worked_us <= end and begin < due_us <= end]
            hit += [end for begin, end in stops if worked_us and worked_us < end and begin < due_us]
            if not hit:
                return due_us
            worked_us = max(hit)
            if worked_us == 2**62:
                return None
            due_us = worked_us + GRACE_US

    def check(self) -> None:
        """Compare what has passed with what should have."""
        passed = chores(self.venue).passed
        times = [batch.time_us for batch in self.venue.batches]
        for number, (deadline_us, scope, is_act) in enumerate(self.acts):
            if not is_act:
                continue
            due_us = self.expected(deadline_us, scope)
            after = [] if due_us is None else [time_us for time_us in times if time_us >= due_us]
            assert passed.get(number) == (after[0] if after else None), (number, deadline_us, due_us)


STEPS: Final[st.SearchStrategy[Callable[[History], None]]] = st.one_of(
    st.builds(
        lambda after, scope, is_act: lambda history: history.promise(after, scope, is_act=is_act),
        st.integers(1, 900),
        st.sampled_from(("venue", "market:cpu")),
        st.sampled_from((True, True, False)),
    ),
    st.builds(lambda seconds: lambda history: history.wait(seconds), st.sampled_from((1, 60, 150, 299, 300, 301))),
    st.builds(
        lambda name: lambda history: history.toggle(name), st.sampled_from(("venue", "market", "mechanism in a market"))
    ),
    st.builds(lambda seconds: lambda history: history.outage(seconds), st.sampled_from((0, 1, 60, 299, 300, 400))),
    st.just(lambda history: reload(history.venue)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, min_size=5, max_size=40))
def test_deadlines_pass_when_their_history_says(steps: list[Callable[[History], None]]) -> None:
    """Whatever halts, overlaps, outages and restarts there were: an oracle that sees all of it agrees."""
    history = History()
    for step in steps:
        step(history)
    for name, scope in (("venue", "venue"), ("market", "market:cpu"), ("mechanism", "mechanism:chores")):
        if scope in history.stopped:
            history.toggle(name)
    history.check()
    for _ in range(4):
        history.wait(299)
        history.check()


def test_a_resumed_mechanism_starts_its_dead_mans_switches_anew(venue: Venue) -> None:
    """Nobody could renew one while all of its commands were refused."""
    venue.must("alice", CancelAllAfter, seconds=30)
    venue.buy("alice", 1, 10)
    venue.must(OPERATOR, SuspendMechanism, family="orders", state="halted")
    venue.advance(60)
    venue.must(OPERATOR, ResumeMechanism, family="orders")
    venue.advance(29)
    assert len(venue.orders("alice")) == 1
    venue.advance(1)
    assert venue.orders("alice") == []

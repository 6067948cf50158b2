"""Venue time follows the wall clock, but neither jumps nor goes back, whatever that does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.adapters.clock import VenueClock

SECOND_NS = 1_000_000_000
HOUR_S = 3_600
START_S = 1_795_000_000
PPM = 500


class Clocks:
    """Be the clocks of a machine, set by hand."""

    def __init__(self, journal_s: float = START_S) -> None:
        self.monotonic_ns = 0
        self.wall_ns = START_S * SECOND_NS
        self.venue = VenueClock(
            int(journal_s * 1e6), monotonic_ns=lambda: self.monotonic_ns, wall_ns=lambda: self.wall_ns
        )

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        self.monotonic_ns += int(seconds * SECOND_NS)
        self.wall_ns += int(seconds * SECOND_NS)

    def jump_s(self, seconds: float) -> None:
        """Set the wall clock."""
        self.wall_ns += int(seconds * SECOND_NS)


@pytest.mark.parametrize("hours", [1, -1])
def test_an_hour_is_not_jumped(hours: int) -> None:
    """Set by an hour either way, venue time goes on second by second, and catches up by 500 µs in each."""
    clocks = Clocks()
    before_us = clocks.venue.now_us()
    clocks.jump_s(hours * HOUR_S)
    assert clocks.venue.now_us() == before_us
    assert clocks.venue.offset_ns == -hours * HOUR_S * SECOND_NS
    for second in range(1, 61):
        clocks.pass_s(1)
        assert clocks.venue.now_us() == before_us + second * (1_000_000 + hours * PPM)
    assert clocks.venue.offset_ns == -hours * (HOUR_S * SECOND_NS - 60 * PPM * 1_000)
    for _ in range(8_000):
        clocks.pass_s(1_000)
        clocks.venue.now_us()
    assert clocks.venue.offset_ns == 0
    assert clocks.venue.now_us() == clocks.wall_ns // 1_000


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-2 * HOUR_S, 2 * HOUR_S)), max_size=50))
def test_it_never_goes_back_nor_faster_than_it_may(steps: list[tuple[float, float]]) -> None:
    """Whatever the wall clock does: between two looks passes what has passed, give or take 500 ppm."""
    clocks = Clocks()
    before_us, before_ns = clocks.venue.now_us(), 0
    for seconds, jump in steps:
        clocks.pass_s(seconds)
        clocks.jump_s(jump)
        passed_us = (clocks.monotonic_ns - before_ns) / 1_000
        now_us = clocks.venue.now_us()
        assert now_us >= before_us
        assert abs(now_us - before_us - passed_us) <= passed_us * PPM / 1e6 + 2
        before_us, before_ns = now_us, clocks.monotonic_ns


@pytest.mark.parametrize(
    ("past_s", "problem"),
    [
        (0, None),
        (HOUR_S, None),
        (HOUR_S + 0.000_001, "1:00:00 before this machine's clock"),
        (26 * HOUR_S, "1 day, 2:00:00 before this machine's clock"),
        (-1, None),
        (-1.000_001, "0:00:01 after this machine's clock"),
        (-7 * HOUR_S, "7:00:00 after this machine's clock"),
    ],
)
def test_a_clock_far_from_the_journal_needs_a_word(past_s: float, problem: str | None) -> None:
    """Before the journal's time, or more than an hour past it; both times are said, and what to do."""
    found = Clocks(START_S - past_s).venue.find_problem()
    if problem is None:
        assert found is None
    else:
        assert found is not None
        assert problem in found
        assert "2026-11-18 11:06:40 UTC" in found
        assert "--accept-time" in found


def test_it_goes_on_from_the_journal() -> None:
    """Ahead of the clock it stays ahead, a little slower; never does it show a time that is journaled already."""
    clocks = Clocks(START_S + HOUR_S)
    assert clocks.venue.offset_ns == HOUR_S * SECOND_NS
    assert clocks.venue.now_us() == (START_S + HOUR_S) * 1_000_000
    clocks.pass_s(10)
    assert clocks.venue.now_us() == (START_S + HOUR_S) * 1_000_000 + 10 * (1_000_000 - PPM)

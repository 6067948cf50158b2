"""Test the fast book against the naive one: the same commands, the same outputs, the same state."""

from __future__ import annotations

from random import Random
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.mechanisms import REGISTRY
from exchange.testing import SECOND_US, Venue
from tests.core.driver import MARKETS, Driver, trading_venue
from tests.core.registries import NAIVE

LONG_RUN_COMMANDS: Final = 20_000


class Pair:
    """Drive two venues alike and compare what comes out."""

    def __init__(self, random: Random, *, check_every: int = 1) -> None:
        self.fast = trading_venue(REGISTRY, check_every=check_every)
        self.naive = trading_venue(NAIVE, check_every=check_every)
        self._driver = Driver(random)
        self.reasons: dict[str, int] = {}
        self.commands = 0

    def step(self) -> None:
        """Do the next thing to both; their outcomes and events must be the same bytes."""
        drawn = self._driver.next(self.fast.time_us)
        if isinstance(drawn, int):
            for venue in (self.fast, self.naive):
                venue.advance_to(venue.time_us + drawn)
        else:
            agent, kind, fields = drawn
            answers = [venue.submit(agent, kind, **fields) for venue in (self.fast, self.naive)]
            assert answers[0].encoded == answers[1].encoded
            if answers[0].outcome.order is not None:
                self._driver.learn(agent, answers[0].order)
            if answers[0].reason is not None:
                self.reasons[answers[0].reason] = self.reasons.get(answers[0].reason, 0) + 1
                assert answers[0].unchanged or not self._hashed, answers[0].outcome
            self.commands += 1
        assert self.fast.digests[-1] == self.naive.digests[-1]

    @property
    def _hashed(self) -> bool:
        return self.fast.hashed_last

    def compare(self) -> None:
        """Compare the whole state and every book."""
        assert self.fast.engine.state_hash() == self.naive.engine.state_hash()
        for market in MARKETS:
            assert self.fast.book(market) == self.naive.book(market)

    def finish(self) -> None:
        """Let everything that waits come to its end; compare once more."""
        for venue in (self.fast, self.naive):
            venue.advance(3_600)
            venue.advance(3_600)
            assert venue.engine.check_invariants() == []
        self.compare()


@settings(max_examples=40)
@given(st.randoms(use_true_random=False), st.integers(min_value=1, max_value=80))
def test_both_books_do_the_same_under_any_commands(random: Random, steps: int) -> None:
    """Whatever is sent, outcomes, events and state are the same, and the invariants hold throughout."""
    pair = Pair(random)
    for _ in range(steps):
        pair.step()
    pair.compare()
    pair.finish()


def test_both_books_do_the_same_in_a_long_run() -> None:
    """20,000 commands in five markets: fees, bands, auctions, stops, icebergs, self-trade prevention."""
    pair = Pair(Random(20_261_123), check_every=97)
    while pair.commands < LONG_RUN_COMMANDS:
        pair.step()
        if pair.commands % 500 == 0:
            pair.compare()
    pair.finish()
    trades = sum(pair.fast.view(market).trades for market in MARKETS)
    # The run is worth something only if much happened in it.
    assert trades > 3_000
    assert pair.fast.time_us > 3_600 * SECOND_US
    assert len(pair.reasons) >= 15, pair.reasons


def test_a_naive_venue_runs_the_same_scene() -> None:
    """The reference book is an ordinary book: a trade in it is a trade."""
    venue: Venue = trading_venue(NAIVE)
    venue.sell("ann", 2, 1_000, market="plain")
    assert venue.buy("cid", 2, 1_000, market="plain").brief == "filled 2+0"

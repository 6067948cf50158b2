"""Test that an engine which took over a dumped state goes on exactly as the one that dumped it would have."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.engine import Engine, hash_state
from exchange.mechanisms import REGISTRY
from exchange.mechanisms.base import EngineBroken
from exchange.messages import EVENTS
from exchange.messages.admin import HaltAgent, ResumeAgent, SetSpendLimit
from exchange.messages.base import WINDOW_OUTCOMES, Outcome
from exchange.messages.orders import CancelAllAfter, PlaceOrder
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, SECOND_US, Venue, assert_rejected
from tests.core.driver import Driver, trading_venue
from tests.core.registries import NAIVE

if TYPE_CHECKING:
    from exchange.mechanisms.base import Mechanism

FAST: Final = REGISTRY


def reload(venue: Venue, mechanisms: tuple[type[Mechanism], ...] = FAST) -> None:
    """Put an engine in the venue's place that was loaded from its state."""
    dumped = venue.engine.dump()
    engine = Engine(mechanisms)
    engine.load(dumped)
    assert engine.dump() == dumped
    assert engine.state_hash() == hash_state(dumped) == venue.engine.state_hash()
    assert engine.business_hash() == venue.engine.business_hash()
    assert engine.check_invariants() == []
    assert engine.conservation_difference() == 0
    venue.engine = engine


class Twins:
    """Drive two venues alike; one of them is reloaded now and then."""

    def __init__(self, random: Random, *, check_every: int = 1) -> None:
        self.kept = trading_venue(FAST, check_every=check_every)
        self.reloaded = trading_venue(FAST, check_every=check_every)
        self._driver = Driver(random)

    def step(self) -> None:
        """Do the next thing to both; the same must come out."""
        drawn = self._driver.next(self.kept.time_us)
        if isinstance(drawn, int):
            for venue in (self.kept, self.reloaded):
                venue.advance_to(venue.time_us + drawn)
        else:
            agent, kind, fields = drawn
            answers = [venue.submit(agent, kind, **fields) for venue in (self.kept, self.reloaded)]
            assert answers[0].encoded == answers[1].encoded
            if answers[0].outcome.order is not None:
                self._driver.learn(agent, answers[0].order)
        assert self.kept.digests[-1] == self.reloaded.digests[-1]

    def finish(self) -> None:
        """Let everything that waits come to its end; both must be the same in everything."""
        for venue in (self.kept, self.reloaded):
            venue.advance(7_200)
        assert self.kept.digests == self.reloaded.digests
        assert self.kept.engine.dump() == self.reloaded.engine.dump()


@settings(max_examples=40)
@given(st.randoms(use_true_random=False), st.lists(st.integers(0, 30), min_size=1, max_size=5))
def test_a_loaded_engine_goes_on_as_the_dumped_one(random: Random, steps: list[int]) -> None:
    """Whatever happened before and happens after, at any moment."""
    twins = Twins(random)
    for count in steps:
        for _ in range(count):
            twins.step()
        reload(twins.reloaded)
    twins.finish()


def test_a_loaded_engine_goes_on_in_a_long_run() -> None:
    """Thousands of commands, loaded a hundred times, by turns into the naive book and back."""
    twins = Twins(Random(20_261_124), check_every=97)
    for turn in range(100):
        for _ in range(60):
            twins.step()
        reload(twins.reloaded, NAIVE if turn % 2 else FAST)
    twins.finish()


@pytest.fixture
def venue() -> Venue:
    """Return a venue with one market, and two traders of one owner who have something to trade."""
    venue = Venue()
    venue.register("alice", "bob", owner="fleet", endowment=1_000_000)
    venue.market()
    venue.issue("bob", 1_000)
    return venue


def test_ids_are_remembered(venue: Venue) -> None:
    """A repetition after loading is answered from memory, within the window and beyond it."""
    commands = [venue.command("alice", CancelAllAfter, seconds=0) for _ in range(WINDOW_OUTCOMES + 5)]
    answers = [venue.send("alice", command) for command in commands]
    reload(venue)
    for n in (5, 6, WINDOW_OUTCOMES, WINDOW_OUTCOMES + 4):
        again = venue.send("alice", commands[n])
        assert (again.encoded, again.unchanged) == (answers[n].encoded, True)
    assert_rejected(venue.send("alice", commands[4]), Reason.OUTCOME_FORGOTTEN)
    changed = venue.command("alice", CancelAllAfter, seconds=9, id=commands[-1].id)
    assert_rejected(venue.send("alice", changed), Reason.DUPLICATE_ID)
    assert venue.submit("alice", CancelAllAfter, seconds=0).accepted


def test_overtaken_numbers_may_still_come(venue: Venue) -> None:
    """A number that was skipped before the dump is new after it."""
    late = venue.command("alice", CancelAllAfter, seconds=0)
    venue.must("alice", CancelAllAfter, seconds=0)
    reload(venue)
    assert venue.send("alice", late).accepted


def test_spend_limits_go_on_counting(venue: Venue) -> None:
    """What was spent and held before counts after, for the agent and for its owner."""
    venue.must(OPERATOR, SetSpendLimit, owner="fleet", total=1_000)
    venue.must(OPERATOR, SetSpendLimit, agent="alice", total=600, per_period=600, period_seconds=60)
    venue.must("alice", PlaceOrder, market="cpu", side="buy", quantity=50, price=10)
    reload(venue)
    assert_rejected(
        venue.submit("alice", PlaceOrder, market="cpu", side="buy", quantity=11, price=10), Reason.SPEND_LIMIT
    )
    assert_rejected(
        venue.submit("bob", PlaceOrder, market="cpu", side="buy", quantity=51, price=10), Reason.SPEND_LIMIT
    )
    assert venue.submit("bob", PlaceOrder, market="cpu", side="buy", quantity=50, price=10).accepted


def test_who_halted_an_agent_is_known(venue: Venue) -> None:
    """What its owner halted, its owner may resume."""
    venue.must("bob", HaltAgent, agent="alice")
    reload(venue)
    assert venue.submit("bob", ResumeAgent, agent="alice").accepted


def test_deadlines_still_fire_and_can_be_canceled(venue: Venue) -> None:
    """A good-till-date order expires in time, unless it is canceled before; an armed switch goes off."""
    until_us = venue.time_us + 20 * SECOND_US
    for agent in ("alice", "bob"):
        venue.must(
            agent, PlaceOrder, market="cpu", side="buy", quantity=1, price=10, time_in_force="gtd",
            expires_at_us=until_us, client_order_id="mine",
        )  # fmt: skip
    venue.must("bob", CancelAllAfter, seconds=5)
    reload(venue)
    venue.advance(6)
    assert venue.orders("bob") == []
    assert len(venue.orders("alice")) == 1
    venue.advance_to(until_us)
    assert venue.orders("alice") == []


def test_an_engine_with_a_state_takes_over_no_other(venue: Venue) -> None:
    """Loading is for new engines: what one has would be mixed with what it gets."""
    with pytest.raises(EngineBroken, match="has a state already"):
        venue.engine.load(venue.engine.dump())


@pytest.mark.parametrize("kind", [*EVENTS.values(), *Outcome.__subclasses__()], ids=lambda kind: kind.__name__)
def test_defaults_of_what_is_hashed_have_an_identity(kind: type[msgspec.Struct]) -> None:
    """Msgspec omits a default that is the same object; what was loaded is equal at best, and would be written out."""
    # These come from decoded commands or from the source, never from a state.
    from_elsewhere = {("OrderPlaced", "order_type"), ("OrderCanceled", "reason")}
    for field in msgspec.structs.fields(kind):
        default = field.default
        if default is msgspec.NODEFAULT or (kind.__name__, field.name) in from_elsewhere:
            continue
        assert default is None or default == "" or (isinstance(default, int) and -5 <= default <= 256), field.name

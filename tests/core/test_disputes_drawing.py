"""How panels are drawn, and random histories of disputes."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.engine import Engine
from exchange.mechanisms.disputes.drawing import Candidate, draw, odd_size
from exchange.mechanisms.disputes.mechanism import _split as split
from exchange.mechanisms.disputes.stakes import LAYERS_MAX, Arbitrator
from exchange.messages.admin import RevokeAgent
from exchange.messages.disputes import GetDispute, OpenDispute, Rule, Stake, Unstake
from exchange.testing import OPERATOR, SECOND_US, Venue
from tests.core.agreements import WITH_AGREEMENTS, Agree
from tests.core.test_disputes import CREDIT, DAY_US, HOUR_US, WEEK_US, build, deliver, reload
from tests.core.walk import walk

if TYPE_CHECKING:
    from collections.abc import Iterator

DRAWS: Final = 4_000


def seeds(total: int = DRAWS) -> Iterator[bytes]:
    for number in range(total):
        yield blake2b(number.to_bytes(4, "big"), digest_size=32).digest()


def three(*weights: int) -> list[Candidate]:
    return [Candidate(name, name.upper(), weight) for name, weight in zip("abc", weights, strict=True)]


# ── drawing ─────────────────────────────────────────────────────────────────────────────────────


def test_a_draw_depends_on_nothing_but_its_seed() -> None:
    candidates = [Candidate(f"agent{n}", f"owner{n % 9}", 50 + n) for n in range(40)]
    for seed in seeds(50):
        assert draw(candidates, 5, seed) == draw(list(candidates), 5, seed)


def test_the_chance_of_the_first_seat_is_the_stake() -> None:
    firsts = [draw(three(100, 200, 700), 1, seed)[0].agent for seed in seeds()]
    shares = [firsts.count(name) / DRAWS for name in "abc"]
    # Four standard deviations are at most 0.032.
    assert shares == pytest.approx([0.1, 0.2, 0.7], abs=0.032)


def test_the_chance_of_the_second_seat_is_the_stake_among_those_left() -> None:
    """P(b second) = P(a first) × 2/9 + P(c first) × 2/3, worked by hand: 0.1 × 2/9 + 0.7 × 2/3."""
    seconds = [draw(three(100, 200, 700), 2, seed)[1].agent for seed in seeds()]
    expected = [0.2 * 1 / 8 + 0.7 * 1 / 3, 0.1 * 2 / 9 + 0.7 * 2 / 3, 0.1 * 7 / 9 + 0.2 * 7 / 8]
    assert [seconds.count(name) / DRAWS for name in "abc"] == pytest.approx(expected, abs=0.032)


def test_names_of_one_owner_share_its_seat() -> None:
    """An owner's chance is its stake, in however many names it stands; more seats than one it has never."""
    candidates = [*(Candidate(f"sybil{n}", "sybil", 50) for n in range(10)), Candidate("one", "one", 500)]
    panels = [draw(candidates, 5, seed) for seed in seeds(1_000)]
    assert all(sorted(candidate.owner for candidate in panel) == ["one", "sybil"] for panel in panels)
    firsts = [panel[0].owner for panel in panels]
    assert firsts.count("sybil") / 1_000 == pytest.approx(0.5, abs=0.064)


def test_everybody_is_drawn_if_there_are_seats_for_all() -> None:
    assert sorted(candidate.agent for candidate in draw(three(1, 1, 1), 5, b"")) == ["a", "b", "c"]
    assert draw([], 3, b"") == []


@pytest.mark.parametrize(
    ("wanted", "owners", "size"),
    [(3, 0, 0), (3, 1, 1), (3, 2, 1), (3, 3, 3), (3, 9, 3), (5, 4, 3), (5, 5, 5), (1, 9, 1)],
)
def test_panels_are_odd(wanted: int, owners: int, size: int) -> None:
    assert odd_size(wanted, owners) == size


@given(st.integers(0, 10**15), st.lists(st.sampled_from("abcdefg"), unique=True))
def test_shares_differ_by_a_unit_at_most_and_come_to_the_whole(amount: int, agents: list[str]) -> None:
    parts = split(amount, agents)
    if not agents:
        assert parts == []
        return
    amounts = [part for _, part in parts]
    assert sum(amounts) == amount
    assert max(amounts) - min(amounts) <= 1
    by_name = [part for _, part in sorted(parts)]
    assert by_name == sorted(amounts, reverse=True)
    assert [name for name, _ in parts] == sorted(agents)


def panel_of(venue: Venue) -> list[str]:
    dispute = venue.engine.mechanisms["disputes"].live[1]  # type: ignore[attr-defined]
    return [seat.agent_id for seat in dispute.seats]


def test_a_panel_follows_from_the_hash_of_the_first_record_ten_seconds_later() -> None:
    """Two histories that differ in what was written 10 seconds later differ in their panels, and in nothing else."""
    panels = []
    for amount in range(1, 13):
        venue = build()
        deliver(venue)
        venue.must("payer", OpenDispute, family="settlements", number=1)
        venue.advance_to(venue.time_us + 10 * SECOND_US - 1)
        venue.advance_to(venue.time_us + 1)
        assert panel_of(venue) == []
        # What gives the tickets is the hash of the record that was written just now: changed, it gives others.
        venue.digests[-1] = blake2b(bytes([amount]), digest_size=32).digest()
        venue.advance_to(venue.time_us + 1)
        panels.append(tuple(panel_of(venue)))
        candidates = [Candidate(name, name, 100 * CREDIT) for name in ("ada", "bob", "cyd", "dan", "eva")]
        seed = blake2b(b"1.1." + venue.digests[-2], digest_size=32).digest()
        assert panels[-1] == tuple(candidate.agent for candidate in draw(candidates, 3, seed))
    assert len(dict.fromkeys(panels)) > 6


def test_nothing_is_drawn_before_ten_seconds_are_over() -> None:
    venue = build()
    deliver(venue)
    venue.must("payer", OpenDispute, family="settlements", number=1)
    opened_us = venue.time_us
    for step_us in (1, 5 * SECOND_US, 10 * SECOND_US - 1):
        venue.advance_to(opened_us + step_us)
        assert panel_of(venue) == []
    # However late the first record after them is, it must be written before the draw.
    venue.advance_to(opened_us + 3_600 * SECOND_US)
    assert panel_of(venue) == []
    venue.advance_to(venue.time_us + 1)
    assert len(panel_of(venue)) == 3


# ── stakes by age ───────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-100, 100)), max_size=60))
def test_what_counts_has_been_there_all_the_time(steps: list[tuple[int, int]]) -> None:
    """Never more counts than the least that was at stake since; with few layers it is exactly that."""
    age, now = 7, 0
    arbitrator, history = Arbitrator("ada"), [0]
    for wait, change in steps:
        history += [history[-1]] * wait
        now += wait
        if change > 0:
            arbitrator.add(now, change, now - age)
        else:
            arbitrator.take(min(-change, arbitrator.stake))
        history[-1] = arbitrator.stake
        lowest = min(history[max(now - age, 0) :]) if now >= age else 0
        counts = arbitrator.stake_since(now - age)
        assert 0 <= counts <= arbitrator.stake
        assert len(arbitrator.layers) <= LAYERS_MAX
        assert counts <= lowest


def test_many_small_stakes_are_kept_in_few_layers() -> None:
    arbitrator = Arbitrator("ada")
    for now in range(100):
        arbitrator.add(now, 1, now - 1_000)
    assert (len(arbitrator.layers), arbitrator.stake) == (LAYERS_MAX, 100)
    # The first 15 are told apart; the rest counts from the last.
    assert [arbitrator.stake_since(time) for time in (0, 14, 98, 99)] == [1, 15, 15, 100]


# ── random histories ────────────────────────────────────────────────────────────────────────────

_NAMES: Final = ("ada", "bob", "cyd", "dan", "eva", "mate")


class _History:
    """Play disputes at random, and count all that arbitrators, parties and the public fund have."""

    def __init__(self) -> None:
        self.venue = build(stakes=dict.fromkeys(_NAMES, 100))
        self.whole = self.count()

    def count(self) -> int:
        names = ("payer", "worker", "other", *_NAMES)
        ledger = self.venue.engine.ledger
        balances = sum(sum(self.venue.balance(name)) for name in names)
        escrows = sum(ledger.balance(name, "credit").available for name in self.venue.engine.context.cashier.escrows)
        return balances + escrows + self.venue.system_credits("public_fund") + self.venue.system_credits("treasury")

    def step(self, data: st.DataObject) -> None:
        steps = (self._agree, self._rule, self._rule, self._rule, self._wait, self._wait, self._stake, self._revoke)
        data.draw(st.sampled_from(steps))(data)
        if data.draw(st.integers(0, 9)) == 0:
            reload(self.venue)
        assert self.count() == self.whole

    def _agree(self, data: st.DataObject) -> None:
        venue = self.venue
        fields = {"price": data.draw(st.integers(0, 50 * CREDIT)), "bond": data.draw(st.integers(0, CREDIT))}
        answer = venue.submit("payer", Agree, provider="worker", deliver_by_us=venue.time_us + 1, **fields)
        venue.advance_to(venue.time_us + 1)
        if answer.accepted:
            number = venue.engine.mechanisms["settlements"].dump()[0]  # type: ignore[index]
            venue.submit("worker", OpenDispute, family="settlements", number=number)

    def _rule(self, data: st.DataObject) -> None:
        disputes: Any = self.venue.engine.mechanisms["disputes"]
        for dispute in list(disputes.live.values()):
            for seat in list(dispute.seats):
                if data.draw(st.booleans()):
                    upheld = data.draw(st.booleans())
                    self.venue.submit(seat.agent_id, Rule, dispute=dispute.number, upheld=upheld)

    def _wait(self, data: st.DataObject) -> None:
        waits = (1, 10 * SECOND_US, HOUR_US, DAY_US - 1, DAY_US, 2 * DAY_US, WEEK_US)
        self.venue.advance_to(self.venue.time_us + data.draw(st.sampled_from(waits)))

    def _stake(self, data: st.DataObject) -> None:
        name, amount = data.draw(st.sampled_from(_NAMES)), data.draw(st.integers(1, 120 * CREDIT))
        self.venue.submit(name, data.draw(st.sampled_from((Stake, Unstake))), amount=amount)

    def _revoke(self, data: st.DataObject) -> None:
        if data.draw(st.integers(0, 5)) == 0:
            self.venue.submit(OPERATOR, RevokeAgent, agent=data.draw(st.sampled_from(_NAMES)))

    def finish(self) -> None:
        """Wait until everything is decided, and prove what must hold then."""
        venue = self.venue
        for _ in range(6):
            venue.advance_to(venue.time_us + 2 * DAY_US)
        disputes: Any = venue.engine.mechanisms["disputes"]
        assert not disputes.live
        for arbitrator in disputes.arbitrators.values():
            assert not arbitrator.disputes
        for number in disputes.decided:
            found = venue.engine.query(OPERATOR, GetDispute(dispute=number)).dispute  # type: ignore[attr-defined]
            upheld = sum(ruling.upheld is True for ruling in found.rulings)
            rejected = sum(ruling.upheld is False for ruling in found.rulings)
            assert (found.verdict == "upheld") <= (upheld > rejected)
            assert (found.verdict == "rejected") <= (rejected > upheld)
        copy = Engine(WITH_AGREEMENTS)
        for batch, digest in zip(venue.batches, venue.digests, strict=True):
            assert copy.apply(batch).digest() == digest
        assert copy.dump() == venue.engine.dump()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_random_disputes_keep_the_books(data: st.DataObject) -> None:
    history = _History()
    for _ in range(data.draw(st.integers(1, 25))):
        history.step(data)
    history.finish()


def test_walks_give_every_command() -> None:
    accepted: dict[str, int] = {}
    for seed in range(1, 5):
        for tag, total in walk(seed, "tasks", "settlements", "disputes", steps=1_000).accepted.items():
            accepted[tag] = accepted.get(tag, 0) + total
    for name in ("stake", "unstake", "open", "rule"):
        assert accepted[f"disputes.{name}"] > 4, name

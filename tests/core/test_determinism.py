"""Test that the same batches give the same state and the same outputs, byte for byte, anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from random import Random

import msgspec
import pytest

from exchange.build_info import CORE
from exchange.engine import Batch, Engine, genesis_batch
from exchange.mechanisms import REGISTRY
from exchange.mechanisms.base import EngineBroken
from exchange.messages import command_union
from exchange.messages.admin import (
    GetBalances,
    GetConservation,
    GetSpendLimits,
    ListAgents,
    ListAssets,
    Settings,
)
from exchange.messages.orders import CancelAllAfter, GetBook, ListMarkets, ListOrders, PlaceOrder
from exchange.testing import OPERATOR, SECOND_US, START_US, Venue
from tests.core.driver import TRADERS, Driver, trading_venue
from tests.core.scenes import scene

ROOT = Path(__file__).resolve().parents[2]


def busy_venue(commands: int, seed: int) -> Venue:
    """Return a venue after random trading."""
    venue = trading_venue(REGISTRY, check_every=50)
    driver = Driver(Random(seed))
    for _ in range(commands):
        drawn = driver.next(venue.time_us)
        if isinstance(drawn, int):
            venue.advance_to(venue.time_us + drawn)
            continue
        agent, kind, fields = drawn
        answer = venue.submit(agent, kind, **fields)
        if answer.outcome.order is not None:
            driver.learn(agent, answer.order)
    return venue


def fingerprint(commands: int = 1_500, seed: int = 7) -> str:
    """Return one hash over every output of a run and the state at its end."""
    venue = busy_venue(commands, seed)
    hasher = blake2b(b"".join(venue.digests), digest_size=16)
    hasher.update(venue.engine.state_hash().encode())
    return hasher.hexdigest()


@pytest.mark.parametrize("hash_seed", ["1", "4242"])
def test_another_process_with_another_hash_seed_comes_to_the_same(hash_seed: str) -> None:
    """Nothing depends on the order of sets or the addresses of objects."""
    code = "from tests.core.test_determinism import fingerprint; print(fingerprint())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )  # fmt: skip
    assert done.stdout.strip() == fingerprint()


@pytest.mark.skipif(CORE == "interpreted", reason="the core is not compiled: EXCHANGE_COMPILE=1 pip install -e .")
def test_the_compiled_core_does_what_its_sources_say() -> None:
    """Outputs and state of the compiled core and of the interpreted one are the same bytes."""
    code = (
        "import tests.core.interpreted\n"
        "from exchange.build_info import CORE\n"
        "from tests.core.test_determinism import fingerprint\n"
        "print(CORE, fingerprint())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["interpreted", fingerprint()]


def test_a_replay_of_the_canonical_bytes_gives_the_same_outputs_and_state() -> None:
    """Commands decoded from their stored form do exactly what they did."""
    venue = busy_venue(1_000, 11)
    decode = msgspec.msgpack.Decoder(command_union()).decode
    engine = Engine()
    digests = []
    for batch in venue.batches:
        stored = [(agent, decode(body), body) for agent, _, body in batch.submissions]
        outputs = engine.apply(Batch(batch.epoch, batch.index, batch.time_us, stored))
        digests.append(outputs.digest())
    assert digests == venue.digests
    assert engine.state_hash() == venue.engine.state_hash()


def test_how_commands_were_batched_does_not_matter_to_their_outcomes(venue: Venue) -> None:
    """Ten commands at one time come to the same business in one batch as in ten."""
    other = scene()
    orders = [
        (agent, {"market": "cpu", "side": side, "quantity": quantity, "price": price})
        for agent, side, quantity, price in [
            ("alice", "buy", 5, 100),
            ("bob", "sell", 3, 99),
            ("carol", "sell", 9, 101),
            ("dave", "buy", 4, 102),
        ]
    ]
    one_by_one = [venue.submit(agent, PlaceOrder, **terms).encoded for agent, terms in orders]
    at_once = other.send_batch([(agent, other.command(agent, PlaceOrder, **terms)) for agent, terms in orders])
    assert one_by_one == [answer.encoded for answer in at_once]
    assert venue.engine.business_hash() == other.engine.business_hash()


def test_queries_change_nothing() -> None:
    """Whatever is asked, the whole state stays as it was."""
    venue = busy_venue(300, 3)
    before = venue.engine.state_hash()
    for agent in (OPERATOR, *TRADERS):
        for query in (
            GetBalances(), GetConservation(), GetSpendLimits(), ListAgents(), ListAssets(), ListMarkets(),
            ListOrders(), GetBook(market="band"),
        ):  # fmt: skip
            assert venue.engine.answers(query)
            venue.engine.query(agent, query)
    assert venue.engine.state_hash() == before


def test_time_alone_is_state_but_not_business(venue: Venue) -> None:
    """An empty batch moves the clock: state_hash changes, business_hash does not."""
    business, state = venue.engine.business_hash(), venue.engine.state_hash()
    venue.advance(1)
    assert venue.engine.business_hash() == business
    assert venue.engine.state_hash() != state


def test_the_hashes_see_every_part_of_an_order(venue: Venue) -> None:
    """Two venues that differ in one order's owner, price or size have different hashes."""
    hashes = [venue.engine.business_hash()]
    for agent, quantity, price in (("alice", 1, 10), ("bob", 1, 10), ("alice", 2, 10), ("alice", 1, 11)):
        other = scene()
        other.buy(agent, quantity, price)
        hashes.append(other.engine.business_hash())
    assert len(set(hashes)) == 5


@pytest.mark.parametrize(("index", "epoch", "time"), [(0, 1, 0), (2, 1, 0), (1, 0, 0), (1, 1, -1)])
def test_a_batch_that_does_not_follow_is_refused(index: int, epoch: int, time: int) -> None:
    """A gap, a repetition, an older epoch or an earlier time stop the engine before anything changes."""
    venue = Venue()
    venue.change_leader()
    before = venue.engine.state_hash()
    with pytest.raises(EngineBroken):
        venue.engine.apply(Batch(epoch, venue.engine.index + index, venue.time_us + time, []))
    assert venue.engine.state_hash() == before


def test_deadlines_fire_by_time_then_by_age(venue: Venue) -> None:
    """In one batch that passes three of them: the earlier first, of equals the older."""
    for seconds in (20, 10, 10):
        venue.buy("alice", 1, 10, time_in_force="gtd", expires_at_us=venue.time_us + seconds * SECOND_US)
    venue.heard("alice")
    venue.advance(30)
    assert venue.heard("alice") == ["#2 expired 1 gtd", "#3 expired 1 gtd", "#1 expired 1 gtd"]


def test_deadlines_fire_before_the_first_command_of_their_batch(venue: Venue) -> None:
    """An order whose time is up does not trade with a command that came in the same batch."""
    venue.buy("alice", 1, 10, time_in_force="gtd", expires_at_us=venue.time_us + SECOND_US)
    command = venue.command("bob", PlaceOrder, market="cpu", side="sell", quantity=1, price=10)
    engine = venue.engine
    batch = Batch(
        venue.epoch, engine.index + 1, venue.time_us + SECOND_US,
        [("bob", command, msgspec.msgpack.encode(command))],
    )  # fmt: skip
    engine.apply(batch)
    assert venue.view().trades == 0
    assert venue.orders("alice") == []


def test_the_next_deadline_is_known(venue: Venue) -> None:
    """The leader learns when a batch is wanted; what was canceled is not waited for."""
    at = venue.time_us + 5 * SECOND_US
    venue.buy("alice", 1, 10, time_in_force="gtd", expires_at_us=at)
    assert venue.engine.next_deadline_us() == at
    venue.sell("bob", 1, 10)
    later = venue.engine.next_deadline_us()
    assert later is not None
    assert later > at


def test_one_batch_fires_a_bounded_number_of_deadlines() -> None:
    """With a cap of 2, five deadlines take three batches, in the same order."""
    venue = scene(Venue(settings=Settings(max_deadlines_per_batch=2)))
    for _ in range(5):
        venue.buy("alice", 1, 10, time_in_force="gtd", expires_at_us=venue.time_us + SECOND_US)
    venue.heard("alice")
    expired = []
    for _ in range(3):
        venue.advance(1)
        expired.append([line.split()[0] for line in venue.heard("alice")])
    assert expired == [["#1", "#2"], ["#3", "#4"], ["#5"]]


def test_the_cap_on_deadlines_lets_no_overdue_order_trade() -> None:
    """``t ≥ deadline`` means passed: such a batch is refused, or its commands find the order gone."""
    venue = scene(Venue(settings=Settings(max_deadlines_per_batch=2)))
    for _ in range(3):
        venue.buy("alice", 1, 10, time_in_force="gtd", expires_at_us=venue.time_us + SECOND_US)
    command = venue.command("bob", PlaceOrder, market="cpu", side="sell", quantity=1, price=10)
    submission = ("bob", command, msgspec.msgpack.encode(command))
    batch = Batch(venue.epoch, venue.engine.index + 1, venue.time_us + SECOND_US, [submission])
    with suppress(EngineBroken):
        venue.engine.apply(batch)
    assert venue.view().trades == 0


def test_a_new_epoch_starts_dead_mans_switches_anew(venue: Venue) -> None:
    """Nobody could renew while nobody led: the whole period begins with the new leader."""
    venue.buy("alice", 1, 10)
    venue.must("alice", CancelAllAfter, seconds=30)
    venue.advance(20)
    venue.change_leader(outage_seconds=60)
    venue.advance(29)
    assert len(venue.orders("alice")) == 1
    venue.advance(1)
    assert venue.orders("alice") == []


def test_a_new_epoch_arms_no_switch_that_was_off(venue: Venue) -> None:
    """Disarmed and lapsed switches stay off."""
    venue.must("alice", CancelAllAfter, seconds=30)
    venue.must("alice", CancelAllAfter, seconds=0)
    venue.must("bob", CancelAllAfter, seconds=1)
    venue.advance(2)
    venue.change_leader(outage_seconds=60)
    venue.buy("alice", 1, 10)
    venue.buy("bob", 1, 10)
    venue.advance(100)
    assert len(venue.orders("alice")) == len(venue.orders("bob")) == 1


def test_events_of_a_batch_are_dense_per_agent_and_go_on_over_batches(venue: Venue) -> None:
    """``seq`` is 1, 2, 3, … per agent, whatever others hear in between."""
    for price in (10, 11, 12):
        venue.buy("alice", 1, price)
        venue.buy("bob", 1, price)
    venue.sell("carol", 6, 10)
    for agent in ("alice", "bob", "carol"):
        seqs = [event.seq for event in venue.events(agent)]
        assert seqs == list(range(1, len(seqs) + 1))
        assert all(event.venue_time_us == venue.time_us for event in venue.events(agent))


def test_rejections_are_counted_by_reason() -> None:
    """The outputs say how many commands each reason rejected."""
    engine = Engine()
    engine.apply(genesis_batch(OPERATOR, START_US))
    bodies = [PlaceOrder(id=f"s.{n}", valid_until_us=START_US, market="none", side="buy") for n in (0, 0, 1)]
    submissions = [(OPERATOR, body, msgspec.msgpack.encode(body)) for body in bodies]
    outputs = engine.apply(Batch(0, 2, START_US, submissions))
    assert outputs.rejections == {"invalid_id": 2, "not_permitted": 1}

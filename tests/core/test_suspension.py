"""Test how the venue keeps away from itself what broke it: suspended mechanisms, quarantined commands."""

from __future__ import annotations

from typing import Any, Final

import pytest

from exchange.engine import Batch, Engine
from exchange.engine.engine import Offender
from exchange.mechanisms.admin import Admin
from exchange.mechanisms.base import EngineBroken, NotFound
from exchange.mechanisms.orders import Orders
from exchange.mechanisms.quarantine import quarantine_digest
from exchange.messages.admin import (
    GetQuarantine,
    QuarantineCommand,
    QuarantineResult,
    RegisterAgent,
    ReleaseCommand,
    ResumeMechanism,
    SuspendMechanism,
)
from exchange.messages.base import VENUE_AGENT, Command
from exchange.messages.orders import CancelAllAfter, CancelOrder, CreateMarket, PlaceOrder
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, SECOND_US, Venue, assert_rejected, encode_command
from tests.core.chores import Chores, Promise

MECHANISMS: Final = (Admin, Orders, Chores)


@pytest.fixture
def venue() -> Venue:
    """Return a venue with a market and agents of three owners."""
    venue = Venue(mechanisms=MECHANISMS)
    venue.register("alice", "bob", "carol", endowment=1_000_000)
    venue.market()
    return venue


def reload(venue: Venue) -> None:
    """Put an engine in the venue's place that was loaded from its state."""
    dumped = venue.engine.dump()
    engine = Engine(MECHANISMS)
    engine.load(dumped)
    assert engine.dump() == dumped
    venue.engine = engine


def quarantine(venue: Venue, n: int, agent: str, tag: str = "orders.place", **fields: Any) -> None:
    """Let the venue itself quarantine a command."""
    command = QuarantineCommand(
        id=f"venue.{n}", valid_until_us=venue.time_us, digest=f"d{n}", agent=agent, command="s.1", tag=tag,
        error="Boom()", **fields,
    )  # fmt: skip
    assert venue.send(VENUE_AGENT, command).accepted


def seen(venue: Venue) -> QuarantineResult:
    """Return what an operator sees of it."""
    result = venue.engine.query(OPERATOR, GetQuarantine())
    assert isinstance(result, QuarantineResult)
    return result


# ── suspended mechanisms ────────────────────────────────────────────────────────────────────────


def test_a_suspended_mechanism_takes_on_nothing_new(venue: Venue) -> None:
    """Orders and markets are refused, cancels and dead man's switches go on; after it, everything does."""
    order = venue.buy("alice", 1, 10)
    venue.must(OPERATOR, SuspendMechanism, family="orders")
    for _ in range(2):
        assert_rejected(venue.buy("bob", 1, 10), Reason.MECHANISM_SUSPENDED)
        assert_rejected(
            venue.submit(OPERATOR, CreateMarket, market="x", base="cpu", tick=1), Reason.MECHANISM_SUSPENDED
        )
        assert venue.submit("bob", CancelAllAfter, seconds=0).accepted
        assert venue.submit("bob", Promise, deadline_us=2 * venue.time_us).accepted
        reload(venue)
    assert venue.submit("alice", CancelOrder, order_id=order.order_id).accepted
    venue.must(OPERATOR, ResumeMechanism, family="orders")
    reload(venue)
    assert venue.buy("bob", 1, 10).accepted


def test_a_halted_mechanism_takes_nothing(venue: Venue) -> None:
    """Not even cancels; from halted it may go back to winding up."""
    order = venue.buy("alice", 1, 10)
    venue.must(OPERATOR, SuspendMechanism, family="orders", state="halted")
    reload(venue)
    assert_rejected(venue.submit("alice", CancelOrder, order_id=order.order_id), Reason.MECHANISM_SUSPENDED)
    venue.must(OPERATOR, SuspendMechanism, family="orders")
    assert venue.submit("alice", CancelOrder, order_id=order.order_id).accepted


def test_deadlines_rest_and_then_fire_in_order(venue: Venue) -> None:
    """An order that ends at five ends when the mechanism works again, before any command of that batch."""
    ends = [venue.time_us + seconds * SECOND_US for seconds in (30, 20)]
    for end in ends:
        venue.buy("alice", 1, 10, time_in_force="gtd", expires_at_us=end)
    venue.must(OPERATOR, SuspendMechanism, family="orders")
    venue.heard("alice")
    venue.advance(60)
    assert venue.heard("alice") == []
    assert len(venue.orders("alice")) == 2
    reload(venue)
    venue.must(OPERATOR, ResumeMechanism, family="orders")
    assert venue.submit("alice", CancelOrder, order_id=1).reason is Reason.UNKNOWN_ORDER
    assert venue.heard("alice") == ["#2 expired 1 gtd", "#1 expired 1 gtd"]


def test_the_engine_and_admin_stay_reachable(venue: Venue) -> None:
    """Deadlines of the engine itself can rest; of ``admin``, through which everything is undone, only deadlines do."""
    venue.must("alice", CancelAllAfter, seconds=0)
    venue.must(OPERATOR, SuspendMechanism, family="engine")
    venue.must(OPERATOR, SuspendMechanism, family="admin", state="halted")
    venue.advance(3_600)
    assert list(venue.engine.agents["alice"].sessions) == ["test"]
    venue.must(OPERATOR, RegisterAgent, agent="dave", owner="dave")
    venue.must(OPERATOR, ResumeMechanism, family="admin")
    venue.must(OPERATOR, ResumeMechanism, family="engine")
    venue.advance(1)
    assert list(venue.engine.agents["alice"].sessions) == []


def test_what_cannot_be_suspended_or_resumed(venue: Venue) -> None:
    """Each wrong order is a rejection that changes nothing; agents may give none of them."""
    venue.must(OPERATOR, SuspendMechanism, family="orders")
    assert_rejected(venue.submit(OPERATOR, SuspendMechanism, family="orders"), Reason.NO_CHANGE)
    assert_rejected(venue.submit(OPERATOR, SuspendMechanism, family="nonsense"), Reason.UNKNOWN_MECHANISM)
    assert_rejected(venue.submit(OPERATOR, ResumeMechanism, family="nonsense"), Reason.UNKNOWN_MECHANISM)
    assert_rejected(venue.submit(OPERATOR, ResumeMechanism, family="chores"), Reason.NO_CHANGE)
    assert_rejected(venue.submit("alice", ResumeMechanism, family="orders"), Reason.NOT_PERMITTED)


def test_a_new_leader_suspends_before_anything_is_due(venue: Venue) -> None:
    """The deadline that broke the engine does not fire in the batch that suspends its mechanism, nor after."""
    venue.must("alice", Promise, deadline_us=venue.time_us + SECOND_US, is_act=False)
    found = venue.engine.mechanisms["chores"]
    assert isinstance(found, Chores)
    command = SuspendMechanism(
        id="venue.1", valid_until_us=venue.time_us, family="chores", deadline="chores.lapse(0)", error="Boom()"
    )
    venue.epoch += 1
    venue.engine.apply(
        Batch(
            venue.epoch, venue.engine.index + 1, venue.time_us + 60 * SECOND_US,
            [(VENUE_AGENT, command, encode_command(command))],
        )
    )  # fmt: skip
    assert found.passed == {}
    assert [(view.family, view.state, view.detail) for view in seen(venue).mechanisms] == [
        ("chores", "cancel_only", "chores.lapse(0): Boom()")
    ]
    venue.must(OPERATOR, ResumeMechanism, family="chores")
    assert found.resumed == 1
    venue.advance(1)
    assert list(found.passed) == [0]


# ── quarantined commands ────────────────────────────────────────────────────────────────────────


def test_a_quarantined_command_is_found_until_it_is_released(venue: Venue) -> None:
    """By sender and bytes; another's of the same bytes, or other bytes, are none of it."""
    body = encode_command(venue.command("alice", PlaceOrder, market="cpu", side="buy", quantity=1, price=1))
    digest = quarantine_digest("alice", body)
    command = QuarantineCommand(
        id="venue.1", valid_until_us=venue.time_us, digest=digest, agent="alice", command="test.1", tag="orders.place",
    )  # fmt: skip
    assert venue.send(VENUE_AGENT, command).accepted
    assert_rejected(venue.send(VENUE_AGENT, command), Reason.NO_CHANGE)
    reload(venue)
    found = venue.engine.context.quarantine.find
    assert "broke the venue" in (found("alice", "alice", "orders", body) or "")
    assert found("bob", "bob", "orders", body) is None
    assert found("alice", "alice", "orders", body + b"x") is None
    venue.must(OPERATOR, ReleaseCommand, digest=digest)
    assert found("alice", "alice", "orders", body) is None
    assert_rejected(venue.submit(OPERATOR, ReleaseCommand, digest=digest), Reason.UNKNOWN_QUARANTINE)


def test_only_the_venue_quarantines(venue: Venue) -> None:
    """Not even an operator could otherwise silence an agent's commands one by one."""
    fields = {"digest": "d", "agent": "alice", "command": "s.1", "tag": "orders.place"}
    assert_rejected(venue.submit(OPERATOR, QuarantineCommand, **fields), Reason.NOT_PERMITTED)
    with pytest.raises(NotFound, match="operators"):
        venue.engine.query("alice", GetQuarantine())


def test_an_owner_of_three_is_refused_in_that_mechanism(venue: Venue) -> None:
    """An agent that varies its poison stops the venue three times at most; what was only suspected does not count."""
    found = venue.engine.context.quarantine.find
    for n in range(2):
        quarantine(venue, n, "alice")
    quarantine(venue, 2, "alice", is_certain=False)
    assert found("alice", "alice", "orders", b"") is None
    quarantine(venue, 3, "alice")
    assert "orders commands of owner alice" in (found("alice", "alice", "orders", b"") or "")
    assert found("alice", "alice", "chores", b"") is None
    assert found("bob", "bob", "orders", b"") is None
    venue.must(OPERATOR, ReleaseCommand, digest="d3")
    assert found("alice", "alice", "orders", b"") is None


def test_three_owners_suspend_the_mechanism_and_one_more_halts_it(venue: Venue) -> None:
    """Then it is the mechanism that is at fault."""
    for n, agent in enumerate(("alice", "bob")):
        quarantine(venue, n, agent)
    assert seen(venue).mechanisms == []
    quarantine(venue, 2, "carol")
    assert [(view.family, view.state) for view in seen(venue).mechanisms] == [("orders", "cancel_only")]
    quarantine(venue, 3, "carol", "orders.cancel")
    assert [(view.family, view.state) for view in seen(venue).mechanisms] == [("orders", "halted")]
    reload(venue)
    assert_rejected(venue.submit("alice", CancelOrder, order_id=1), Reason.MECHANISM_SUSPENDED)


def test_admin_is_never_closed(venue: Venue) -> None:
    """However many of its commands are poisonous: only those are refused, for operators undo all this by others."""
    for n, agent in enumerate(("alice", "bob", "carol", OPERATOR, OPERATOR, OPERATOR)):
        quarantine(venue, n, agent, "admin.register_agent")
    assert seen(venue).mechanisms == []
    assert venue.engine.context.quarantine.find(OPERATOR, "operator", "admin", b"") is None
    venue.must(OPERATOR, RegisterAgent, agent="dave", owner="dave")


# ── who did it ──────────────────────────────────────────────────────────────────────────────────


class Broken(Chores):
    """Break where it is told to."""

    at = ""

    def promise(self, agent: Any, command: Promise) -> Any:
        if command.scope == "poison":
            message = "poison"
            raise EngineBroken(message)
        return super().promise(agent, command)

    def lapse(self, place: int) -> None:
        if place == 1:
            message = "poison"
            raise ZeroDivisionError(message)
        super().lapse(place)

    def on_epoch(self, outage_us: int) -> None:
        del outage_us
        if type(self).at == "epoch":
            message = "poison"
            raise ValueError(message)


def offender(venue: Venue, *commands: tuple[str, Command], after_us: int = 0) -> Offender | None:
    """Apply a batch that breaks the engine; return whom it names."""
    batch = Batch(
        venue.epoch, venue.engine.index + 1, venue.time_us + after_us,
        [(agent, command, encode_command(command)) for agent, command in commands],
    )  # fmt: skip
    with pytest.raises(Exception, match="poison"):
        venue.engine.apply(batch)
    return venue.engine.offender(batch)


@pytest.fixture
def broken() -> Venue:
    """Return a venue with a mechanism that breaks, and two agents."""
    venue = Venue(mechanisms=(Admin, Orders, Broken))
    venue.register("alice", "bob")
    return venue


def test_the_engine_names_the_command(broken: Venue) -> None:
    """Of those in a batch, the one that was run when it broke; not one before it or after."""
    good, poison, unborn = (
        broken.command(agent, Promise, deadline_us=1, scope=scope, is_act=False)
        for agent, scope in (("alice", "venue"), ("bob", "poison"), ("bob", "poison"))
    )
    found = offender(broken, ("alice", good), ("bob", poison), ("bob", unborn))
    assert found is not None
    assert (found.family, found.deadline) == ("chores", None)
    assert found.submission is not None
    assert found.submission[:2] == ("bob", poison)


def test_the_engine_names_the_deadline(broken: Venue) -> None:
    """Of several that are due, the one that fired when it broke, though commands wait behind it."""
    for seconds in (1, 2, 3):
        broken.must("alice", Promise, deadline_us=broken.time_us + seconds * SECOND_US, is_act=False)
    found = offender(broken, ("bob", broken.command("bob", Promise, deadline_us=1)), after_us=5 * SECOND_US)
    assert found is not None
    assert found.submission is None
    assert found.deadline is not None
    assert found.deadline[2:] == ("chores.lapse", (1,))


def test_the_engine_names_who_could_not_begin_an_epoch(broken: Venue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Suspended, the mechanism is not asked again."""
    monkeypatch.setattr(Broken, "at", "epoch")
    broken.epoch += 1
    assert offender(broken) == Offender("chores", None, None)

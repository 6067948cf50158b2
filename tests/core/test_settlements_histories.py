"""Settlements: who acts for whom, and histories whose figures an independent rule works out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.engine import Engine
from exchange.mechanisms.base import NotFound
from exchange.messages.admin import HaltAgent, HaltVenue, RevokeAgent
from exchange.messages.reasons import Reason
from exchange.messages.settlements import (
    AcceptFailure,
    Confirm,
    Deliver,
    GetSettlement,
    GiveUp,
    RenewWorkLease,
)
from exchange.testing import OPERATOR, SECOND_US, Venue, assert_rejected
from tests.core.agreements import WITH_AGREEMENTS, Agree, Decide, Dispute
from tests.core.walk import walk

if TYPE_CHECKING:
    from exchange.messages.settlements import SettlementView

CREDIT: Final = 1_000_000
HOUR_US: Final = 3_600 * SECOND_US
DAY_US: Final = 24 * HOUR_US
GRACE_US: Final = 300 * SECOND_US


def build() -> Venue:
    built = Venue(mechanisms=WITH_AGREEMENTS)
    built.register("payer", "worker", "stranger", endowment=100 * CREDIT)
    built.register("payer2", owner="payer", endowment=0)
    built.register("worker2", owner="worker", endowment=0)
    built.register("ci", roles=["attester"], endowment=0)
    built.register("own_ci", owner="worker", roles=["attester"], endowment=0)
    return built


@pytest.fixture
def venue() -> Venue:
    return build()


def agree(venue: Venue, **terms: Any) -> None:
    fields = {
        "provider": "worker",
        "price": 20 * CREDIT,
        "bond": 2 * CREDIT,
        "deliver_by_us": venue.time_us + HOUR_US,
        **terms,
    }
    venue.must("payer", Agree, **fields)


def view(venue: Venue, reader: str = OPERATOR) -> SettlementView:
    return venue.engine.query(reader, GetSettlement(settlement=1)).settlement


def purses(venue: Venue) -> tuple[int, int]:
    return venue.balance("payer")[0] // CREDIT, venue.balance("worker")[0] // CREDIT


def reload(venue: Venue) -> None:
    dumped = venue.engine.dump()
    engine = Engine(WITH_AGREEMENTS)
    engine.load(dumped)
    assert engine.dump() == dumped
    venue.engine = engine


# ── owners ──────────────────────────────────────────────────────────────────────────────────────


def test_nobody_attests_what_its_own_owner_is_paid_for(venue: Venue) -> None:
    agree(venue, attester="own_ci")
    venue.must("own_ci", Deliver, settlement=1)
    assert_rejected(venue.submit("own_ci", Confirm, settlement=1, score=100), Reason.SAME_OWNER)
    venue.must("payer", Confirm, settlement=1)
    assert purses(venue) == (80, 120)


@pytest.mark.parametrize("stop", [HaltAgent, RevokeAgent])
def test_an_agent_of_the_owner_winds_up_for_who_was_stopped(venue: Venue, stop: Any) -> None:
    agree(venue, lease_seconds=600)
    for kind, fields in ((Deliver, {"fencing_token": 1}), (RenewWorkLease, {"fencing_token": 1})):
        assert_rejected(venue.submit("worker2", kind, settlement=1, **fields), Reason.NOT_PERMITTED)
    venue.must(OPERATOR, stop, agent="worker")
    venue.must(OPERATOR, stop, agent="payer")
    token = view(venue, "worker2").fencing_token
    assert_rejected(venue.submit("worker2", Deliver, settlement=1), Reason.STALE_FENCING_TOKEN)
    assert_rejected(venue.submit("payer2", Deliver, settlement=1, fencing_token=token), Reason.NOT_PERMITTED)
    venue.must("worker2", RenewWorkLease, settlement=1, fencing_token=token)
    # To let it fail is for the provider alone to say.
    assert_rejected(venue.submit("worker2", GiveUp, settlement=1, fencing_token=token), Reason.NOT_PERMITTED)
    venue.must("worker2", Deliver, settlement=1, fencing_token=token)
    assert_rejected(venue.submit("worker2", Confirm, settlement=1), Reason.NOT_PERMITTED)
    venue.must("payer2", Confirm, settlement=1)
    paid = "worker" if stop is HaltAgent else "worker2"
    assert venue.balance(paid)[0] >= 22 * CREDIT


def test_an_agent_of_the_owner_disputes_for_who_was_halted(venue: Venue) -> None:
    agree(venue)
    venue.must("worker", Deliver, settlement=1)
    assert_rejected(venue.submit("payer2", Dispute, settlement=1), Reason.NOT_PERMITTED)
    venue.must(OPERATOR, HaltAgent, agent="payer")
    venue.must("payer2", Dispute, settlement=1)
    venue.must(OPERATOR, Decide, settlement=1, upheld=True)
    assert purses(venue) == (102, 98)


def test_strangers_learn_nothing_from_what_they_are_refused(venue: Venue) -> None:
    agree(venue, attester="ci")
    for kind in (Deliver, Confirm, AcceptFailure, GiveUp, RenewWorkLease):
        fields = {"fencing_token": 1} if kind is RenewWorkLease else {}
        detail = str(venue.submit("stranger", kind, settlement=1, **fields).outcome.detail)
        assert not any(f" {name} " in f" {detail} " for name in ("worker", "ci"))
    with pytest.raises(NotFound):
        view(venue, "stranger")
    tags = [event.__struct_config__.tag for event in venue.events("stranger")]
    assert not any(str(tag).startswith("settlements.") for tag in tags)
    assert view(venue, "worker2").provider == "worker"


# ── deadlines ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("at_us", [-1, 0])
@pytest.mark.parametrize("deadline", ["deliver", "late", "lease"])
def test_every_deadline_to_deliver(venue: Venue, deadline: str, at_us: int, restarts: bool) -> None:
    late = {"late_hours": 2, "late_per_hour": CREDIT} if deadline == "late" else {}
    agree(venue, lease_seconds=600 if deadline == "lease" else 0, **late)
    due_us = view(venue).lease_until_us or view(venue).deliver_by_us + len(late) * HOUR_US
    if restarts:
        venue.advance(60)
        reload(venue)
    if late:
        venue.advance_to(view(venue).deliver_by_us)
    venue.advance_to(due_us + at_us)
    answer = venue.submit("worker", Deliver, settlement=1, fencing_token=view(venue).fencing_token)
    assert answer.accepted == (at_us < 0)
    assert view(venue).state == ("delivered" if at_us < 0 else "failing")


@pytest.mark.parametrize("step", ["deliver", "confirm", "refund", "late"])
def test_no_deadline_passes_while_the_venue_is_halted(venue: Venue, step: str) -> None:
    """What fell into the halt passes 5 minutes after it, and not a microsecond earlier."""
    agree(venue, late_hours=1 if step == "late" else 0)
    if step == "confirm":
        venue.must("worker", Deliver, settlement=1)
    if step in ("refund", "late"):
        venue.advance_to(view(venue).deliver_by_us)
    before = view(venue)
    venue.advance_to((before.until_us or 0) - 1)
    venue.must(OPERATOR, HaltVenue, state="halted")
    venue.advance(7_200)
    assert view(venue).state == before.state
    venue.must(OPERATOR, HaltVenue, state="open")
    venue.advance_to(venue.time_us + GRACE_US - 1)
    assert view(venue).state == before.state
    venue.advance_to(venue.time_us + 1)
    expected = {"deliver": "failing", "late": "failing", "confirm": "completed", "refund": "failed"}
    assert view(venue).state == expected[step]


@pytest.mark.parametrize("cause", ["delivered", "failing"])
def test_the_last_microsecond_to_accept(venue: Venue, cause: str) -> None:
    agree(venue)
    if cause == "delivered":
        venue.must("worker", Deliver, settlement=1)
    else:
        venue.advance_to(view(venue).deliver_by_us)
    venue.advance_to((view(venue).until_us or 0) - 1)
    if cause == "delivered":
        venue.must("payer", Confirm, settlement=1)
        assert purses(venue) == (80, 120)
    else:
        venue.must("worker", AcceptFailure, settlement=1)
        assert purses(venue) == (102, 98)
    finals = [event for event in venue.events("payer") if event.__struct_config__.tag == "settlements.final"]
    venue.advance_to(venue.time_us + 2 * DAY_US)
    assert len(finals) == 1
    assert [event for event in venue.events("payer") if event.__struct_config__.tag == "settlements.final"] == finals


# ── histories ───────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=60, deadline=None)
@given(
    price=st.integers(0, 30),
    bond=st.integers(0, 10),
    late_hours=st.integers(0, 4),
    late_per_hour=st.integers(0, 12),
    delivered_at_us=st.integers(0, 7 * HOUR_US)
    | st.integers(0, 6).flatmap(lambda hour: st.integers(-1, 1).map(lambda off: max(hour * HOUR_US + off, 0))),
    end=st.sampled_from(["silence", "confirm", "upheld", "not_upheld"]),
    reload_after=st.integers(0, 3),
)
def test_the_money_of_any_history(
    price: int, bond: int, late_hours: int, late_per_hour: int, delivered_at_us: int, end: str, reload_after: int
) -> None:
    venue = build()
    start_us, due_us = venue.time_us, HOUR_US
    agree(
        venue,
        price=price * CREDIT,
        bond=bond * CREDIT,
        late_hours=late_hours,
        late_per_hour=late_per_hour * CREDIT,
        deliver_by_us=start_us + due_us,
    )

    def turn(number: int) -> None:
        if number == reload_after:
            reload(venue)

    turn(0)
    for stop_us in (due_us, delivered_at_us):
        if stop_us <= delivered_at_us:
            venue.advance_to(start_us + stop_us)
    turn(1)
    delivered = venue.submit("worker", Deliver, settlement=1).accepted
    assert delivered == (delivered_at_us < due_us + late_hours * HOUR_US)
    turn(2)
    if end == "confirm":
        assert venue.submit("payer", Confirm, settlement=1).accepted == delivered
        venue.submit("worker", AcceptFailure, settlement=1)
    elif end != "silence":
        venue.must("payer" if delivered else "worker", Dispute, settlement=1)
        turn(3)
        venue.must(OPERATOR, Decide, settlement=1, upheld=end == "upheld")
    else:
        venue.advance(86_400)
    hours = 0 if delivered_at_us < due_us else (delivered_at_us - due_us) // HOUR_US + 1
    fee = min(hours * late_per_hour, price) if delivered else 0
    is_completed = delivered != (end == "upheld")
    paid = price - fee if is_completed else -bond
    assert purses(venue) == (100 - paid, 100 + paid)
    assert view(venue).state == ("completed" if is_completed else "failed")
    engine: Any = venue.engine
    assert engine.check_invariants() == []
    assert engine.context.cashier.escrows == {}


def test_walks_give_every_command() -> None:
    accepted: set[str] = set()
    for seed in range(1, 4):
        accepted.update(walk(seed, "tasks", "settlements", "settlements", steps=900).accepted)
    assert accepted >= {f"settlements.{verb}" for verb in ("deliver", "confirm", "accept_failure", "give_up", "renew")}

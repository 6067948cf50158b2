"""Settlements: delivered, confirmed, late, failed, given up, disputed; and when each deadline passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from exchange.engine import Engine
from exchange.messages.admin import HaltAgent, RevokeAgent
from exchange.messages.payments import GetLiens
from exchange.messages.reasons import Reason
from exchange.messages.settlements import (
    AcceptFailure,
    Confirm,
    Deliver,
    GetSettlement,
    GiveUp,
    ListSettlements,
    RenewWorkLease,
)
from exchange.testing import OPERATOR, SECOND_US, Venue, assert_rejected
from tests.core.agreements import WITH_AGREEMENTS, Agree, Decide, Dispute

if TYPE_CHECKING:
    from exchange.messages.settlements import SettlementView

CREDIT: Final = 1_000_000
HOUR_US: Final = 3_600 * SECOND_US
DAY_US: Final = 24 * HOUR_US
GRACE_US: Final = 300 * SECOND_US


@pytest.fixture
def venue() -> Venue:
    return scene()


def scene(**options: Any) -> Venue:
    """Build the venue of these tests."""
    built = Venue(mechanisms=WITH_AGREEMENTS, **options)
    built.register("payer", "worker", "other", endowment=100 * CREDIT)
    built.register("ci", roles=["attester"], endowment=0)
    built.register("mate", owner="payer", roles=["attester"], endowment=0)
    built.asset("report")
    return built


def agree(venue: Venue, **terms: Any) -> None:
    fields = {
        "provider": "worker",
        "price": 20 * CREDIT,
        "bond": 2 * CREDIT,
        "deliver_by_us": venue.time_us + HOUR_US,
        **terms,
    }
    venue.must("payer", Agree, **fields)


def purses(venue: Venue) -> tuple[int, int]:
    """Return what payer and worker have, in whole credits."""
    return venue.balance("payer")[0] // CREDIT, venue.balance("worker")[0] // CREDIT


def view(venue: Venue, number: int = 1) -> SettlementView:
    return venue.engine.query(OPERATOR, GetSettlement(settlement=number)).settlement


def reload(venue: Venue) -> None:
    """Go on from a snapshot."""
    dumped = venue.engine.dump()
    engine = Engine(WITH_AGREEMENTS)
    engine.load(dumped)
    assert engine.dump() == dumped
    venue.engine = engine


def test_a_delivery_that_is_confirmed_is_paid(venue: Venue) -> None:
    agree(venue)
    assert purses(venue) == (80, 98)
    venue.must("worker", Deliver, settlement=1, reference="https://example.org/pr/7", digest="sha256:1")
    assert view(venue).state == "delivered"
    assert purses(venue) == (80, 98)
    venue.must("payer", Confirm, settlement=1)
    assert purses(venue) == (80, 120)
    assert view(venue).state == "completed"
    assert [event.__struct_config__.tag for event in venue.events("worker")][-3:] == [
        "payments.posted",
        "settlements.final",
        "expertise.rating_opened",
    ]


@pytest.mark.parametrize("restarts", [False, True])
def test_silence_confirms_at_the_deadline_and_not_before(venue: Venue, restarts: bool) -> None:
    agree(venue)
    venue.must("worker", Deliver, settlement=1)
    confirm_by_us = venue.time_us + DAY_US
    assert view(venue).until_us == confirm_by_us
    if restarts:
        reload(venue)
    venue.advance_to(confirm_by_us - 1)
    assert purses(venue) == (80, 98)
    venue.advance_to(confirm_by_us)
    assert purses(venue) == (80, 120)


def test_delivery_is_possible_to_the_last_microsecond(venue: Venue) -> None:
    agree(venue)
    agree(venue, deliver_by_us=venue.time_us + HOUR_US)
    deadline_us = view(venue).deliver_by_us
    venue.advance_to(deadline_us - 1)
    venue.must("worker", Deliver, settlement=1)
    venue.advance_to(view(venue, 2).deliver_by_us)
    assert_rejected(venue.submit("worker", Deliver, settlement=2), Reason.WRONG_STATE)


@pytest.mark.parametrize("restarts", [False, True])
def test_what_is_not_delivered_fails_and_is_final_a_day_later(venue: Venue, restarts: bool) -> None:
    agree(venue)
    venue.advance_to(view(venue).deliver_by_us)
    assert (view(venue).state, view(venue).cause) == ("failing", "undelivered")
    assert purses(venue) == (80, 98)
    final_us = venue.time_us + DAY_US
    if restarts:
        reload(venue)
    venue.advance_to(final_us - 1)
    assert purses(venue) == (80, 98)
    venue.advance_to(final_us)
    assert purses(venue) == (102, 98)
    assert view(venue).state == "failed"


def test_an_outage_moves_every_deadline_that_fell_into_it(venue: Venue) -> None:
    agree(venue)
    venue.advance_to(view(venue).deliver_by_us - 1)
    venue.change_leader(outage_seconds=600)
    back_us = venue.time_us
    venue.advance_to(back_us + GRACE_US - 1)
    assert view(venue).state == "open"
    venue.must("worker", Deliver, settlement=1)
    agree(venue)
    venue.advance_to(view(venue, 2).deliver_by_us - 1)
    venue.change_leader(outage_seconds=600)
    venue.advance_to(venue.time_us + GRACE_US)
    assert view(venue, 2).state == "failing"


def test_who_accepts_a_failure_makes_it_final(venue: Venue) -> None:
    agree(venue)
    assert_rejected(venue.submit("worker", AcceptFailure, settlement=1), Reason.WRONG_STATE)
    venue.advance_to(view(venue).deliver_by_us)
    assert_rejected(venue.submit("payer", AcceptFailure, settlement=1), Reason.NOT_PERMITTED)
    venue.must("worker", AcceptFailure, settlement=1)
    assert purses(venue) == (102, 98)


def test_giving_up_is_final_at_once(venue: Venue) -> None:
    agree(venue)
    assert_rejected(venue.submit("payer", GiveUp, settlement=1), Reason.NOT_PERMITTED)
    venue.must("worker", GiveUp, settlement=1, detail="no such repository")
    assert purses(venue) == (102, 98)
    assert_rejected(venue.submit("worker", GiveUp, settlement=1), Reason.WRONG_STATE)


@pytest.mark.parametrize(
    ("after_us", "paid"), [(0, 19), (HOUR_US - 1, 19), (HOUR_US, 18), (3 * HOUR_US - 1, 17), (3 * HOUR_US, None)]
)
def test_late_hours_cost_for_each_that_has_begun(venue: Venue, after_us: int, paid: int | None) -> None:
    agree(venue, late_hours=3, late_per_hour=CREDIT)
    venue.advance_to(view(venue).deliver_by_us)
    venue.advance_to(venue.time_us + after_us)
    answer = venue.submit("worker", Deliver, settlement=1)
    if paid is None:
        assert answer.reason == Reason.WRONG_STATE
        assert view(venue).state == "failing"
        return
    venue.must("payer", Confirm, settlement=1)
    assert purses(venue) == (100 - paid, 100 + paid)


def test_a_late_fee_is_never_more_than_the_price(venue: Venue) -> None:
    agree(venue, late_hours=3, late_per_hour=15 * CREDIT)
    venue.advance_to(view(venue).deliver_by_us)
    venue.advance(3_600)
    venue.must("worker", Deliver, settlement=1)
    venue.must("payer", Confirm, settlement=1)
    assert purses(venue) == (100, 100)


def test_units_go_to_the_payer_or_back(venue: Venue) -> None:
    venue.issue("worker", 5, "report")
    agree(venue, asset="report", quantity=2)
    agree(venue, asset="report", quantity=1)
    assert venue.balance("worker", "report") == (2, 0)
    venue.must("worker", Deliver, settlement=1)
    venue.must("payer", Confirm, settlement=1)
    venue.must("worker", GiveUp, settlement=2)
    assert (venue.balance("payer", "report"), venue.balance("worker", "report")) == ((2, 0), (3, 0))


def test_who_had_no_bond_owes_it(venue: Venue) -> None:
    agree(venue, bond=0, unsecured_bond=150 * CREDIT)
    venue.must("worker", GiveUp, settlement=1)
    assert purses(venue) == (200, 0)
    (lien,) = venue.engine.query("payer", GetLiens()).liens
    assert (lien.debtor, lien.amount) == ("worker", 50 * CREDIT)


# ── who may do what ─────────────────────────────────────────────────────────────────────────────


def test_strangers_have_no_part_in_it(venue: Venue) -> None:
    agree(venue, attester="ci")
    assert_rejected(venue.submit("other", Deliver, settlement=1), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("payer", Deliver, settlement=1), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("mate", Deliver, settlement=1), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("worker", Deliver, settlement=2), Reason.UNKNOWN_SETTLEMENT)
    venue.must("worker", Deliver, settlement=1)
    assert_rejected(venue.submit("worker", Confirm, settlement=1), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("other", Confirm, settlement=1), Reason.NOT_PERMITTED)
    assert venue.engine.query("other", ListSettlements()).settlements == []


def test_a_second_delivery_is_refused(venue: Venue) -> None:
    agree(venue)
    venue.must("worker", Deliver, settlement=1, reference="first")
    assert_rejected(venue.submit("worker", Deliver, settlement=1, reference="second"), Reason.ALREADY_DELIVERED)
    assert view(venue).reference == "first"


def test_the_attester_delivers_confirms_and_scores(venue: Venue) -> None:
    agree(venue, attester="ci")
    venue.must("ci", Deliver, settlement=1, reference="build 12")
    assert_rejected(venue.submit("payer", Confirm, settlement=1, score=0), Reason.FIELD_NOT_ALLOWED)
    venue.must("ci", Confirm, settlement=1, score=87)
    assert purses(venue) == (80, 120)
    assert view(venue).score == 87


def test_who_is_halted_may_still_wind_up(venue: Venue) -> None:
    agree(venue)
    venue.must(OPERATOR, HaltAgent, agent="worker")
    venue.must(OPERATOR, HaltAgent, agent="payer")
    venue.must("worker", Deliver, settlement=1)
    venue.must("payer", Confirm, settlement=1)
    assert purses(venue) == (80, 120)


def test_what_a_revoked_provider_is_due_goes_on(venue: Venue) -> None:
    agree(venue)
    venue.must("worker", Deliver, settlement=1)
    venue.must(OPERATOR, RevokeAgent, agent="worker")
    before = venue.system_credits("treasury")
    venue.must("payer", Confirm, settlement=1)
    assert venue.system_credits("treasury") == before + 22 * CREDIT


# ── work leases ─────────────────────────────────────────────────────────────────────────────────


def test_a_work_lease_lapses_unless_it_is_renewed(venue: Venue) -> None:
    agree(venue, lease_seconds=600)
    assert view(venue).lease_until_us == venue.time_us + 600 * SECOND_US
    venue.advance_to((view(venue).lease_until_us or 0) - 1)
    venue.must("worker", RenewWorkLease, settlement=1, fencing_token=1)
    until_us = view(venue).lease_until_us or 0
    assert until_us == venue.time_us + 600 * SECOND_US
    reload(venue)
    venue.advance_to(until_us - 1)
    assert view(venue).state == "open"
    venue.advance_to(until_us)
    assert (view(venue).state, view(venue).cause) == ("failing", "lease_lapsed")
    # The worker froze; what it says when it comes back counts for nothing, and it hears that its token is old.
    for kind in (Deliver, RenewWorkLease, GiveUp):
        assert_rejected(venue.submit("worker", kind, settlement=1, fencing_token=1), Reason.STALE_FENCING_TOKEN)
    venue.advance_to(view(venue).until_us or 0)
    assert view(venue).state == "failed"
    for kind in (Deliver, RenewWorkLease, GiveUp):
        assert_rejected(venue.submit("worker", kind, settlement=1, fencing_token=1), Reason.STALE_FENCING_TOKEN)
        assert_rejected(venue.submit("payer", kind, settlement=1, fencing_token=1), Reason.WRONG_STATE)
    assert_rejected(venue.submit("payer", Confirm, settlement=1), Reason.WRONG_STATE)


def test_an_old_fencing_token_is_refused(venue: Venue) -> None:
    agree(venue, lease_seconds=600)
    agree(venue, lease_seconds=600)
    assert (view(venue).fencing_token, view(venue, 2).fencing_token) == (1, 2)
    for token in (0, 1, 3):
        for kind in (Deliver, RenewWorkLease, GiveUp):
            answer = venue.submit("worker", kind, settlement=2, fencing_token=token)
            assert_rejected(answer, Reason.STALE_FENCING_TOKEN)
    venue.must("worker", Deliver, settlement=2, fencing_token=2)


def test_an_outage_does_not_cost_a_worker_its_lease(venue: Venue) -> None:
    agree(venue, lease_seconds=600)
    venue.change_leader(outage_seconds=900)
    venue.advance(299)
    venue.must("worker", RenewWorkLease, settlement=1, fencing_token=1)


def test_without_a_work_lease_there_is_nothing_to_renew(venue: Venue) -> None:
    agree(venue)
    assert_rejected(venue.submit("worker", RenewWorkLease, settlement=1, fencing_token=0), Reason.FIELD_NOT_ALLOWED)


# ── disputes ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("upheld", "expected"), [(True, (102, 98)), (False, (80, 120))])
def test_the_payer_disputes_a_delivery(venue: Venue, upheld: bool, expected: tuple[int, int]) -> None:
    agree(venue)
    venue.must("worker", Deliver, settlement=1)
    assert_rejected(venue.submit("worker", Dispute, settlement=1), Reason.NOT_PERMITTED)
    venue.must("payer", Dispute, settlement=1)
    assert_rejected(venue.submit("payer", Dispute, settlement=1), Reason.ALREADY_DISPUTED)
    assert_rejected(venue.submit("payer", Confirm, settlement=1), Reason.WRONG_STATE)
    reload(venue)
    venue.advance(30 * 86_400)
    assert purses(venue) == (80, 98)
    venue.must(OPERATOR, Decide, settlement=1, upheld=upheld)
    assert purses(venue) == expected


@pytest.mark.parametrize(("upheld", "expected"), [(True, (80, 120)), (False, (102, 98))])
def test_the_provider_disputes_a_failure(venue: Venue, upheld: bool, expected: tuple[int, int]) -> None:
    agree(venue)
    assert_rejected(venue.submit("payer", Dispute, settlement=1), Reason.WRONG_STATE)
    venue.advance_to(view(venue).deliver_by_us)
    assert_rejected(venue.submit("payer", Dispute, settlement=1), Reason.NOT_PERMITTED)
    venue.must("worker", Dispute, settlement=1)
    venue.must(OPERATOR, Decide, settlement=1, upheld=upheld)
    assert purses(venue) == expected


@pytest.mark.parametrize("at_us", [-1, 0])
def test_the_window_to_dispute_ends_at_its_deadline(venue: Venue, at_us: int) -> None:
    agree(venue)
    venue.must("worker", Deliver, settlement=1)
    venue.advance_to((view(venue).until_us or 0) + at_us)
    answer = venue.submit("payer", Dispute, settlement=1)
    if at_us < 0:
        assert answer.accepted
    else:
        assert_rejected(answer, Reason.UNKNOWN_SETTLEMENT)


def test_only_a_thousand_ended_settlements_are_remembered() -> None:
    venue = scene(check_every=500)
    for number in range(1, 1_003):
        agree(venue, price=0, bond=0)
        venue.must("worker", GiveUp, settlement=number)
    settlements: Any = venue.engine.mechanisms["settlements"]
    assert list(settlements.ended) == list(range(3, 1_003))
    assert settlements.by_agent == {}
    assert venue.submit("worker", GiveUp, settlement=2).reason == Reason.UNKNOWN_SETTLEMENT

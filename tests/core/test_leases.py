"""Test leases as a reader would tell them: rent that accrues, early ends, renewals, disputes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.engine import Engine
from exchange.mechanisms.base import NotFound
from exchange.mechanisms.facts import DisputeTerms
from exchange.mechanisms.leases.lease import Period
from exchange.messages.admin import HaltAgent, HaltVenue, RevokeAgent, SetSpendLimit, Settings
from exchange.messages.leases import (
    AcquireLeases,
    CollectRent,
    GetLease,
    GetLeaseHolder,
    GetLeaseMarket,
    LeaseLeg,
    ListLeases,
    OfferRenewal,
    ReleaseLease,
    RenewLease,
    RevokeLease,
    WithdrawRenewal,
)
from exchange.messages.orders import CancelAllAfter
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, SECOND_US, Venue, assert_rejected
from tests.core.quarrels import WITH_QUARRELS, Quarrel, Rule

if TYPE_CHECKING:
    from exchange.messages.leases import LeaseView

CREDIT: Final = 1_000_000
HOUR_S: Final = 3_600
HOUR_US: Final = HOUR_S * SECOND_US
LEASE: Final[dict[str, Any]] = {"settlement": "lease", "term_seconds": HOUR_S, "reference_price": 5 * CREDIT}


def lease_venue(**settings: int) -> Venue:
    """Return a venue in which cores are let for an hour, at about 5 per core."""
    built = Venue(mechanisms=WITH_QUARRELS, settings=Settings(**settings))
    built.register("lab", "user", "other", endowment=100 * CREDIT)
    built.register("mate", owner="user", endowment=100 * CREDIT)
    built.market("cores", base="core", tick=CREDIT, **LEASE)
    built.issue("lab", 10, "core")
    return built


@pytest.fixture
def venue() -> Venue:
    return lease_venue()


def let(venue: Venue, quantity: int = 2, price: int = 5, lessee: str = "user") -> None:
    """Let the lab's cores to a lessee."""
    venue.sell("lab", quantity, price * CREDIT, market="cores")
    assert venue.buy(lessee, quantity, price * CREDIT, market="cores").brief == f"filled {quantity}+0"


def purse(venue: Venue, agent: str) -> tuple[int, int]:
    available, held = venue.balance(agent)
    return available // CREDIT, held // CREDIT


def view(venue: Venue, number: int = 1) -> LeaseView:
    (found,) = venue.engine.query(OPERATOR, GetLease(lease=number)).leases  # type: ignore[attr-defined]
    lease: LeaseView = found
    return lease


def events(venue: Venue, agent: str, tag: str) -> list[Any]:
    return [event for event in venue.events(agent) if event.__struct_config__.tag == tag]


def advance(venue: Venue, minutes: int) -> None:
    venue.advance(60 * minutes)


# ── the example: 2 cores for 1 hour at 5 per core and hour ──────────────────────────────────────


def test_two_cores_for_an_hour(venue: Venue) -> None:
    """The rent of 10 is in escrow with the compensation of 1; after an hour all is where it belongs."""
    let(venue)
    assert purse(venue, "user") == (90, 0)
    assert purse(venue, "lab") == (99, 0)
    assert venue.balance("lab", "core") == (8, 0)
    assert venue.balance("user", "core") == (0, 0)
    (opened,) = events(venue, "user", "leases.opened")
    assert (opened.lessee, opened.lessor, opened.quantity, opened.fencing_token) == ("user", "lab", 2, 1)
    assert (opened.rent, opened.compensation) == (10 * CREDIT, CREDIT)
    assert opened.ends_us == venue.time_us + HOUR_US
    venue.advance(HOUR_S)
    assert purse(venue, "user") == (90, 0)
    assert purse(venue, "lab") == (110, 0)
    assert venue.balance("lab", "core") == (10, 0)
    assert not venue.engine.context.cashier.escrows
    (ended,) = events(venue, "lab", "leases.ended")
    assert (ended.how, ended.paid, ended.refunded, ended.compensation) == ("ended", 10 * CREDIT, 0, 0)


def test_the_end_is_to_the_microsecond(venue: Venue) -> None:
    let(venue)
    ends_us = view(venue).ends_us
    venue.advance_to(ends_us - 1)
    assert venue.balance("lab", "core") == (8, 0)
    assert venue.engine.query("other", GetLeaseHolder(fencing_token=1)).holder == "user"  # type: ignore[attr-defined]
    venue.advance_to(ends_us)
    assert venue.balance("lab", "core") == (10, 0)
    with pytest.raises(NotFound):
        venue.engine.query("other", GetLeaseHolder(fencing_token=1))


def test_an_outage_does_not_lengthen_a_lease(venue: Venue) -> None:
    """A lease just ends; nobody must do anything for it, so no stopped clock moves it."""
    let(venue)
    venue.change_leader(2 * HOUR_S)
    assert purse(venue, "lab") == (110, 0)
    assert venue.balance("lab", "core") == (10, 0)


def test_a_halt_does_not_either(venue: Venue) -> None:
    let(venue)
    venue.must(OPERATOR, HaltVenue, state="halted")
    venue.advance(HOUR_S)
    assert venue.balance("lab", "core") == (10, 0)


# ── rent ────────────────────────────────────────────────────────────────────────────────────────


def test_rent_is_collected_as_it_accrues(venue: Venue) -> None:
    """10 an hour: after 15 minutes 2.50, after 45 in all 7.50."""
    let(venue)
    assert_rejected(venue.submit("lab", CollectRent, lease=1), Reason.NO_CHANGE)
    advance(venue, 15)
    answer = venue.must("lab", CollectRent, lease=1)
    assert (answer.data["paid"], answer.data["left"]) == (2_500_000, 7_500_000)
    advance(venue, 30)
    assert venue.must("lab", CollectRent, lease=1).data["paid"] == 5_000_000
    (first, second) = events(venue, "user", "leases.rent_paid")
    assert (first.amount, first.paid, second.amount, second.paid) == (2_500_000, 2_500_000, 5_000_000, 7_500_000)
    advance(venue, 15)
    assert purse(venue, "lab") == (110, 0)


def test_only_the_lessors_owner_collects(venue: Venue) -> None:
    let(venue)
    advance(venue, 1)
    assert_rejected(venue.submit("user", CollectRent, lease=1), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("lab", CollectRent, lease=2), Reason.UNKNOWN_LEASE)
    venue.register("deputy", owner="lab")
    venue.must("deputy", CollectRent, lease=1)
    assert venue.balance("lab")[0] == 99 * CREDIT + 10 * CREDIT // 60


@given(
    st.integers(min_value=0, max_value=10**15),
    st.integers(min_value=1, max_value=10**13),
    st.lists(st.integers(min_value=0, max_value=10**13), max_size=20),
)
def test_often_or_seldom_comes_to_the_same(rent: int, length: int, times: list[int]) -> None:
    """Whatever was collected when, the sum is what has accrued: all of it at the end, never more on the way."""
    period = Period(7, 7 + length, rent)
    paid = 0
    for at in sorted(times):
        due = period.accrued(at) - paid
        assert due >= 0
        paid += due
        assert paid * length <= rent * min(at, length) or at < 7
    assert paid + (period.accrued(7 + length) - paid) == rent


# ── early ends ──────────────────────────────────────────────────────────────────────────────────


def test_a_release_refunds_what_is_unused_less_the_notice(venue: Venue) -> None:
    """Released after 20 minutes: 30 are due, so half of the rent; the other half comes back."""
    let(venue)
    advance(venue, 20)
    answer = venue.must("user", ReleaseLease, lease=1, fencing_token=1)
    assert (answer.data["paid"], answer.data["refunded"]) == (5_000_000, 5_000_000)
    assert purse(venue, "user") == (95, 0)
    assert purse(venue, "lab") == (105, 0)
    assert venue.balance("lab", "core") == (10, 0)
    assert_rejected(venue.submit("user", ReleaseLease, lease=1, fencing_token=1), Reason.UNKNOWN_LEASE)


def test_the_notice_ends_with_the_term(venue: Venue) -> None:
    """In the last 10 minutes a release brings no money back, only the end."""
    let(venue)
    venue.advance_to(view(venue).ends_us - 1)
    assert "refunded" not in venue.must("user", ReleaseLease, lease=1, fencing_token=1).data
    assert purse(venue, "lab") == (110, 0)


def test_a_release_needs_the_token_and_the_side(venue: Venue) -> None:
    let(venue)
    let(venue, quantity=1)
    assert view(venue, 2).fencing_token == 2
    assert_rejected(venue.submit("user", ReleaseLease, lease=2, fencing_token=1), Reason.STALE_FENCING_TOKEN)
    assert_rejected(venue.submit("lab", ReleaseLease, lease=1, fencing_token=1), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("user", ReleaseLease, lease=3, fencing_token=3), Reason.UNKNOWN_LEASE)
    venue.must(OPERATOR, HaltAgent, agent="user")
    # Another agent of the owner winds up what the halted one has.
    venue.must("mate", ReleaseLease, lease=1, fencing_token=1)


def test_a_revocation_pays_the_compensation(venue: Venue) -> None:
    """After half an hour: 5 to the lessor, 5 and the compensation of 1 to the lessee."""
    let(venue)
    advance(venue, 30)
    assert_rejected(venue.submit("user", RevokeLease, lease=1), Reason.NOT_PERMITTED)
    venue.must("lab", RevokeLease, lease=1)
    assert purse(venue, "user") == (96, 0)
    assert purse(venue, "lab") == (104, 0)
    assert venue.balance("lab", "core") == (10, 0)
    (ended,) = events(venue, "user", "leases.ended")
    assert (ended.how, ended.paid, ended.refunded, ended.compensation) == ("revoked", 5_000_000, 5_000_000, CREDIT)
    assert_rejected(venue.submit("lab", RevokeLease, lease=1), Reason.UNKNOWN_LEASE)


def test_a_revoked_lessor_is_paid_through_its_owner(venue: Venue) -> None:
    venue.register("heir", owner="lab", endowment=0)
    let(venue)
    venue.must(OPERATOR, RevokeAgent, agent="lab")
    venue.advance(HOUR_S)
    assert purse(venue, "heir") == (110, 0)
    assert venue.balance("heir", "core") == (10, 0)


# ── renewals ────────────────────────────────────────────────────────────────────────────────────


def test_a_renewal_needs_an_offer(venue: Venue) -> None:
    let(venue)
    renewal = {"lease": 1, "fencing_token": 1, "max_price": 6 * CREDIT}
    assert_rejected(venue.submit("user", RenewLease, **renewal), Reason.NO_RENEWAL_OFFER)
    venue.must("lab", OfferRenewal, lease=1, price=7 * CREDIT)
    assert_rejected(venue.submit("user", RenewLease, **renewal), Reason.NO_RENEWAL_OFFER)
    venue.must("lab", OfferRenewal, lease=1, price=6 * CREDIT)
    ends_us = view(venue).ends_us
    answer = venue.must("user", RenewLease, **renewal)
    assert answer.data["ends_us"] == ends_us + HOUR_US
    assert purse(venue, "user") == (78, 0)
    # In the first hour 10 accrue, in the second 12.
    advance(venue, 90)
    assert view(venue).accrued == 16 * CREDIT
    advance(venue, 30)
    assert purse(venue, "lab") == (122, 0)


def test_the_offer_of_a_lease_goes_before_that_of_its_market(venue: Venue) -> None:
    let(venue)
    venue.must("lab", OfferRenewal, market="cores", price=4 * CREDIT)
    assert view(venue).renewal_price == 4 * CREDIT
    venue.must("lab", OfferRenewal, lease=1, price=6 * CREDIT)
    assert view(venue).renewal_price == 6 * CREDIT
    venue.must("lab", WithdrawRenewal, lease=1)
    assert view(venue).renewal_price == 4 * CREDIT
    venue.must("lab", WithdrawRenewal, market="cores")
    assert view(venue).renewal_price is None
    for fields in ({"lease": 1}, {"market": "cores"}, {"lease": 9}):
        assert_rejected(venue.submit("lab", WithdrawRenewal, **fields), Reason.NO_CHANGE)
    assert_rejected(venue.submit("lab", WithdrawRenewal), Reason.MISSING_FIELD)


@pytest.mark.parametrize(
    ("agent", "fields", "reason"),
    [
        ("lab", {"price": CREDIT}, Reason.MISSING_FIELD),
        ("lab", {"price": CREDIT, "lease": 1, "market": "cores"}, Reason.MISSING_FIELD),
        ("lab", {"price": CREDIT, "lease": 2}, Reason.UNKNOWN_LEASE),
        ("user", {"price": CREDIT, "lease": 1}, Reason.NOT_PERMITTED),
        ("lab", {"price": CREDIT, "market": "nowhere"}, Reason.UNKNOWN_MARKET),
        ("lab", {"price": CREDIT + 1, "lease": 1}, Reason.INVALID_PRICE),
    ],
)
def test_an_offer_that_breaks_a_rule(venue: Venue, agent: str, fields: dict[str, Any], reason: Reason) -> None:
    let(venue)
    assert_rejected(venue.submit(agent, OfferRenewal, **fields), reason)


def test_a_renewal_that_breaks_a_rule(venue: Venue) -> None:
    venue = lease_venue(max_lease_terms=2)
    let(venue)
    venue.must("lab", OfferRenewal, market="cores", price=5 * CREDIT)
    good = {"lease": 1, "fencing_token": 1, "max_price": 5 * CREDIT}
    assert_rejected(venue.submit("other", RenewLease, **good), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("user", RenewLease, **{**good, "fencing_token": 2}), Reason.STALE_FENCING_TOKEN)
    venue.must(OPERATOR, SetSpendLimit, agent="user", total=9 * CREDIT)
    assert_rejected(venue.submit("user", RenewLease, **good), Reason.SPEND_LIMIT)
    venue.must(OPERATOR, SetSpendLimit, agent="user")
    venue.must("user", RenewLease, **good)
    assert_rejected(venue.submit("user", RenewLease, **good), Reason.RENEWED_TOO_FAR)
    venue.advance(HOUR_S)
    # The first term is over, but counts until somebody looks: only terms to come are limited.
    venue.advance_to(view(venue).ends_us - 1)
    venue.advance(1)
    assert_rejected(venue.submit("user", RenewLease, **good), Reason.UNKNOWN_LEASE)


def test_a_switch_that_lapses_withdraws_offers(venue: Venue) -> None:
    let(venue)
    venue.must("lab", OfferRenewal, lease=1, price=5 * CREDIT)
    venue.must("lab", OfferRenewal, market="cores", price=4 * CREDIT)
    venue.must("lab", CancelAllAfter, seconds=60)
    advance(venue, 1)
    assert view(venue).renewal_price is None


# ── disputes ────────────────────────────────────────────────────────────────────────────────────


def test_a_dispute_stops_the_rent_and_a_lessee_who_is_right_gets_the_rest(venue: Venue) -> None:
    """Disputed after half an hour: 5 accrued. Upheld: the lessee gets 5 and the compensation of 1."""
    let(venue)
    advance(venue, 30)
    venue.must("user", Quarrel, family="leases", number=1)
    advance(venue, 10)
    assert view(venue).accrued == 5 * CREDIT
    assert view(venue).state == "disputed"
    assert_rejected(venue.submit("user", ReleaseLease, lease=1, fencing_token=1), Reason.WRONG_STATE)
    assert_rejected(venue.submit("lab", RevokeLease, lease=1), Reason.WRONG_STATE)
    venue.must("user", Rule, family="leases", number=1, upheld=True)
    assert purse(venue, "user") == (96, 0)
    assert purse(venue, "lab") == (104, 0)
    assert venue.balance("lab", "core") == (10, 0)


def test_a_lessor_who_is_right_is_paid_with_the_notice(venue: Venue) -> None:
    """Disputed after 20 minutes, with 10 of notice: 5 to the lessor, and its compensation back."""
    let(venue)
    advance(venue, 20)
    venue.must("lab", Quarrel, family="leases", number=1)
    advance(venue, 20)
    venue.must("lab", Rule, family="leases", number=1, upheld=True)
    assert purse(venue, "user") == (95, 0)
    assert purse(venue, "lab") == (105, 0)


def test_a_dispute_that_is_not_upheld_leaves_no_trace(venue: Venue) -> None:
    let(venue)
    advance(venue, 30)
    venue.must("user", Quarrel, family="leases", number=1)
    advance(venue, 15)
    venue.must("user", Rule, family="leases", number=1, upheld=False)
    assert view(venue).accrued == 7_500_000
    assert_rejected(venue.submit("lab", Quarrel, family="leases", number=1), Reason.ALREADY_DISPUTED)
    advance(venue, 15)
    assert purse(venue, "lab") == (110, 0)


@pytest.mark.parametrize(("upheld", "lab", "user"), [(False, 110, 90), (True, 104, 96)])
def test_units_return_at_the_end_although_money_is_in_dispute(
    venue: Venue,
    upheld: bool,
    lab: int,
    user: int,
) -> None:
    let(venue)
    advance(venue, 30)
    venue.must("user", Quarrel, family="leases", number=1)
    advance(venue, 30)
    assert venue.balance("lab", "core") == (10, 0)
    assert view(venue).units_returned
    assert purse(venue, "lab") == (99, 0)
    with pytest.raises(NotFound):
        venue.engine.query("other", GetLeaseHolder(fencing_token=1))
    venue.advance(2 * HOUR_S)
    venue.must("user", Rule, family="leases", number=1, upheld=upheld)
    assert (purse(venue, "lab"), purse(venue, "user")) == ((lab, 0), (user, 0))


def test_who_may_dispute_what(venue: Venue) -> None:
    let(venue)
    assert_rejected(venue.submit("other", Quarrel, family="leases", number=1), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("user", Quarrel, family="leases", number=2), Reason.UNKNOWN_LEASE)
    advance(venue, 30)
    venue.must("mate", Quarrel, family="leases", number=1)
    quarrels: Any = venue.engine.mechanisms["quarrels"]
    # What is left of the rent, and the compensation.
    assert quarrels.terms == DisputeTerms("user", "lab", 6 * CREDIT)
    venue.submit("mate", Rule, family="leases", number=1, upheld=True)
    assert purse(venue, "user") == (96, 0)


# ── several at once ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def two_markets(venue: Venue) -> Venue:
    venue.market("disks", base="disk", tick=CREDIT, **{**LEASE, "reference_price": 2 * CREDIT, "price_band_bp": 5_000})
    venue.issue("other", 10, "disk")
    venue.sell("lab", 4, 5 * CREDIT, market="cores")
    venue.sell("other", 2, 2 * CREDIT, market="disks")
    venue.sell("other", 2, 3 * CREDIT, market="disks")
    return venue


def legs(cores: int, disks: int, disk_price: int = 3) -> dict[str, Any]:
    return {"legs": [LeaseLeg("cores", cores, 5 * CREDIT), LeaseLeg("disks", disks, disk_price * CREDIT)]}


def test_all_of_it_or_nothing(two_markets: Venue) -> None:
    """2 cores at 5, 2 disks at 2 and 1 at 3: 17 in all, and three leases."""
    answer = two_markets.must("user", AcquireLeases, **legs(2, 3))
    assert [(leg["market"], leg["rent"]) for leg in answer.data["legs"]] == [
        ("cores", 10 * CREDIT),
        ("disks", 7 * CREDIT),
    ]
    assert purse(two_markets, "user") == (83, 0)
    found = two_markets.engine.query("user", ListLeases()).leases  # type: ignore[attr-defined]
    assert [(lease.market, lease.quantity) for lease in found] == [("cores", 2), ("disks", 2), ("disks", 1)]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (legs(2, 5), Reason.UNFILLABLE),
        (legs(5, 2), Reason.UNFILLABLE),
        (legs(2, 3, 2), Reason.UNFILLABLE),
        ({"legs": [LeaseLeg("cores", 1, 5 * CREDIT + 1)]}, Reason.INVALID_PRICE),
        ({"legs": [LeaseLeg("cores", 2**53 - 1, 5 * CREDIT)]}, Reason.NOTIONAL_TOO_LARGE),
        ({"legs": [LeaseLeg("nowhere", 1, 5 * CREDIT)]}, Reason.UNKNOWN_MARKET),
        ({"legs": [LeaseLeg("cores", 1, 5 * CREDIT)] * 2}, Reason.FIELD_NOT_ALLOWED),
        ({"legs": [LeaseLeg("cores", 4, 30 * CREDIT)]}, Reason.INSUFFICIENT_CREDITS),
    ],
)
def test_what_cannot_be_had_whole_is_not_had_at_all(two_markets: Venue, fields: dict[str, Any], reason: Reason) -> None:
    assert_rejected(two_markets.submit("user", AcquireLeases, **fields), reason)


def test_nobody_leases_from_its_own_owner(venue: Venue) -> None:
    """No volume, no utilisation and no reference price come from an owner's trades with itself."""
    venue.register("twin", owner="lab", endowment=100 * CREDIT)
    venue.sell("lab", 2, 5 * CREDIT, market="cores")
    assert_rejected(
        venue.buy("twin", 2, 5 * CREDIT, market="cores", self_trade_prevention="none"), Reason.FIELD_NOT_ALLOWED
    )
    assert venue.buy("twin", 2, 5 * CREDIT, market="cores").brief == "expired 0+0"
    assert_rejected(venue.submit("twin", AcquireLeases, legs=[LeaseLeg("cores", 2, 5 * CREDIT)]), Reason.UNFILLABLE)
    assert not venue.engine.mechanisms["leases"].leases  # type: ignore[attr-defined]


# ── looking ─────────────────────────────────────────────────────────────────────────────────────


def test_utilisation_is_leased_over_offered(venue: Venue) -> None:
    result: Any = venue.engine.query("other", GetLeaseMarket(market="cores"))
    assert (result.leased, result.offered, result.utilisation_bp) == (0, 0, None)
    venue.sell("lab", 8, 5 * CREDIT, market="cores")
    venue.buy("user", 2, 5 * CREDIT, market="cores")
    result = venue.engine.query("other", GetLeaseMarket(market="cores"))
    assert (result.leased, result.offered, result.utilisation_bp) == (2, 8, 2_500)
    rows = {(name, *labels.values()): value for name, _, labels, value in venue.engine.mechanisms["leases"].metrics()}
    assert rows["leased_units", "cores"] == 2
    assert rows["offered_units", "cores"] == 8
    with pytest.raises(NotFound):
        venue.engine.query("other", GetLeaseMarket(market="nowhere"))


def test_who_sees_what(venue: Venue) -> None:
    """A lease is its sides' affair; who holds what by a token is everybody's."""
    let(venue)
    let(venue, quantity=1, lessee="other")
    for agent in ("user", "mate", "lab", OPERATOR):
        assert venue.engine.query(agent, GetLease(lease=1)).leases[0].lessee == "user"  # type: ignore[attr-defined]
    with pytest.raises(NotFound):
        venue.engine.query("other", GetLease(lease=1))
    holder: Any = venue.engine.query("other", GetLeaseHolder(fencing_token=1))
    assert (holder.holder, holder.owner, holder.asset, holder.quantity) == ("user", "user", "core", 2)
    page: Any = venue.engine.query("lab", ListLeases(limit=1))
    assert ([lease.lease for lease in page.leases], page.next) == ([1], 1)
    page = venue.engine.query("lab", ListLeases(after=1, market="cores"))
    assert ([lease.lease for lease in page.leases], page.next) == ([2], None)


def test_leases_survive_a_snapshot(venue: Venue) -> None:
    let(venue)
    let(venue, quantity=1, lessee="other")
    venue.must("lab", OfferRenewal, market="cores", price=5 * CREDIT)
    venue.must("user", RenewLease, lease=1, fencing_token=1, max_price=5 * CREDIT)
    venue.must("other", Quarrel, family="leases", number=2)
    venue.advance(HOUR_S)
    copy = Engine(WITH_QUARRELS)
    copy.load(venue.engine.dump())
    assert copy.dump() == venue.engine.dump()
    assert copy.check_invariants() == []
    batches = len(venue.batches)
    venue.advance(HOUR_S)
    venue.must("other", Rule, family="leases", number=2, upheld=True)
    for batch, digest in zip(venue.batches[batches:], venue.digests[batches:], strict=True):
        assert copy.apply(batch).digest() == digest
    assert copy.state_hash() == venue.engine.state_hash()

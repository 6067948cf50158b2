"""Test whose turn is next: sealed bids for a busy exclusive resource."""

from __future__ import annotations

from typing import Any, Final

import pytest

from exchange.engine import Engine
from exchange.mechanisms.base import NotFound
from exchange.messages.admin import RevokeAgent, SetSpendLimit, Settings
from exchange.messages.leases import (
    BidTurn,
    GetLease,
    GetLeaseHolder,
    ListTurnBids,
    OfferRenewal,
    ReleaseLease,
    RenewLease,
    RevokeLease,
    WithdrawTurn,
)
from exchange.messages.orders import CancelAllAfter
from exchange.messages.payments import GetHolds
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, Venue, assert_rejected
from tests.core.quarrels import WITH_QUARRELS, Quarrel, Rule

CREDIT: Final = 1_000_000
HOUR_S: Final = 3_600
BIDDERS: Final = ("ann", "ben", "cid")


def slot_venue(**settings: int) -> Venue:
    """Return a venue with one slot, which the lab lets to the user for an hour at 5, and lets again at 4."""
    built = Venue(mechanisms=WITH_QUARRELS, settings=Settings(**settings))
    built.register("lab", "user", *BIDDERS, endowment=100 * CREDIT)
    built.register("twin", owner="ann", endowment=100 * CREDIT)
    built.register("lab2", owner="lab", endowment=100 * CREDIT)
    terms: dict[str, Any] = {"settlement": "lease", "term_seconds": HOUR_S, "reference_price": 5 * CREDIT}
    built.market("slot", base="slot", tick=CREDIT, **terms)
    built.issue("lab", 1, "slot")
    built.sell("lab", 1, 5 * CREDIT, market="slot")
    built.buy("user", 1, 5 * CREDIT, market="slot")
    built.must("lab", OfferRenewal, market="slot", price=4 * CREDIT)
    return built


@pytest.fixture
def venue() -> Venue:
    return slot_venue()


def bid(venue: Venue, agent: str, whole: int) -> None:
    venue.must(agent, BidTurn, resource="slot", amount=whole * CREDIT)


def purse(venue: Venue, agent: str) -> tuple[int, int]:
    available, held = venue.balance(agent)
    return available // CREDIT, held // CREDIT


def heard_of_turns(venue: Venue, agent: str) -> list[Any]:
    return [event for event in venue.events(agent) if event.__struct_config__.tag == "leases.turn_ended"]


def test_the_highest_bid_has_the_next_turn_and_pays_the_next_bid(venue: Venue) -> None:
    """9, 7 and 6 are bid; ben pays 7 to the lab, as the rent of an hour of its own."""
    for agent, amount in zip(BIDDERS, (7, 9, 6), strict=True):
        bid(venue, agent, amount)
    assert purse(venue, "ben") == (91, 9)
    venue.must("user", ReleaseLease, lease=1, fencing_token=1)
    # The units never went back, and the token is another.
    assert venue.balance("lab", "slot") == (0, 0)
    holder: Any = venue.engine.query("cid", GetLeaseHolder(resource="slot"))
    assert (holder.holder, holder.fencing_token, holder.lease) == ("ben", 2, 2)
    with pytest.raises(NotFound):
        venue.engine.query("cid", GetLeaseHolder(fencing_token=1))
    assert purse(venue, "ben") == (93, 0)
    assert (purse(venue, "ann"), purse(venue, "cid")) == ((100, 0), (100, 0))
    (won,) = heard_of_turns(venue, "ben")
    assert (won.won, won.lease, won.price) == (True, 2, 7 * CREDIT)
    (lost,) = heard_of_turns(venue, "ann")
    assert (lost.won, lost.lease, lost.price) == (False, None, None)
    venue.advance(HOUR_S)
    assert venue.balance("lab", "slot") == (1, 0)
    # 10 minutes of notice at 5 an hour, and the 7.
    assert venue.balance("lab")[0] == 107 * CREDIT + 5 * CREDIT // 6


def test_a_single_bid_pays_what_the_lessor_lets_again_at(venue: Venue) -> None:
    bid(venue, "ann", 9)
    venue.advance(HOUR_S)
    assert purse(venue, "ann") == (96, 0)


def test_equal_bids_go_to_the_earlier_and_a_new_bid_is_a_later_one(venue: Venue) -> None:
    bid(venue, "ann", 6)
    bid(venue, "ben", 6)
    bid(venue, "ann", 6)
    assert purse(venue, "ann") == (94, 6)
    venue.advance(HOUR_S)
    assert heard_of_turns(venue, "ben")[0].won
    assert not heard_of_turns(venue, "ann")[0].won


def test_without_an_offer_or_above_it_nobody_has_a_turn(venue: Venue) -> None:
    """3 is below what the lab lets again at: the slot returns, and the bid is released."""
    bid(venue, "ann", 3)
    venue.advance(HOUR_S)
    assert venue.balance("lab", "slot") == (1, 0)
    assert purse(venue, "ann") == (100, 0)
    assert not heard_of_turns(venue, "ann")[0].won


def test_who_renews_is_not_pre_empted(venue: Venue) -> None:
    bid(venue, "ann", 50)
    venue.must("user", RenewLease, lease=1, fencing_token=1, max_price=4 * CREDIT)
    venue.advance(HOUR_S)
    assert venue.engine.query("ann", GetLeaseHolder(resource="slot")).holder == "user"  # type: ignore[attr-defined]
    assert purse(venue, "ann") == (50, 50)
    venue.advance(HOUR_S)
    assert venue.engine.query("ann", GetLeaseHolder(resource="slot")).holder == "ann"  # type: ignore[attr-defined]


def test_a_lessor_that_revokes_has_its_resource_back(venue: Venue) -> None:
    bid(venue, "ann", 9)
    venue.must("lab", RevokeLease, lease=1)
    assert venue.balance("lab", "slot") == (1, 0)
    assert purse(venue, "ann") == (100, 0)


def test_a_dispute_ends_the_bids(venue: Venue) -> None:
    bid(venue, "ann", 9)
    venue.must("user", Quarrel, family="leases", number=1)
    venue.advance(HOUR_S)
    assert purse(venue, "ann") == (100, 0)
    assert venue.balance("lab", "slot") == (1, 0)
    venue.must("user", Rule, family="leases", number=1, upheld=False)
    assert venue.engine.check_invariants() == []


def test_bids_are_sealed(venue: Venue) -> None:
    """Nothing but the bidder's own holds and list, and nobody else's event, query or metric, tells of a bid."""
    seen = ("user", "lab", "ben", "lab2")
    before = {agent: len(venue.events(agent)) for agent in seen}
    rows = list(venue.engine.mechanisms["leases"].metrics())
    looks = [venue.engine.query(agent, GetLease(lease=1)).leases for agent in ("user", "lab")]  # type: ignore[attr-defined]
    bid(venue, "ann", 9)
    assert {agent: len(venue.events(agent)) for agent in seen} == before
    assert list(venue.engine.mechanisms["leases"].metrics()) == rows
    assert [venue.engine.query(agent, GetLease(lease=1)).leases for agent in ("user", "lab")] == looks  # type: ignore[attr-defined]
    assert venue.engine.query("ben", ListTurnBids()).bids == []  # type: ignore[attr-defined]
    (mine,) = venue.engine.query("ann", ListTurnBids()).bids  # type: ignore[attr-defined]
    assert (mine.resource, mine.amount) == ("slot", 9 * CREDIT)
    (hold,) = venue.engine.query("ann", GetHolds()).holds  # type: ignore[attr-defined]
    assert (hold.cause, hold.amount) == ("leases:turn:slot", 9 * CREDIT)


def test_a_bid_that_breaks_a_rule() -> None:
    venue = slot_venue(max_turn_bids_per_owner=1)
    good = {"resource": "slot", "amount": 5 * CREDIT}
    assert_rejected(venue.submit("ann", BidTurn, **{**good, "resource": "nothing"}), Reason.UNKNOWN_ASSET)
    venue.asset("disk")
    assert_rejected(venue.submit("ann", BidTurn, **{**good, "resource": "disk"}), Reason.RESOURCE_NOT_BUSY)
    for agent in ("lab", "lab2"):
        assert_rejected(venue.submit(agent, BidTurn, **good), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("ann", BidTurn, resource="slot", amount=101 * CREDIT), Reason.INSUFFICIENT_CREDITS)
    venue.must(OPERATOR, SetSpendLimit, agent="ann", total=4 * CREDIT)
    assert_rejected(venue.submit("ann", BidTurn, **good), Reason.SPEND_LIMIT)
    assert_rejected(venue.submit("ann", WithdrawTurn, resource="slot"), Reason.NO_CHANGE)
    bid(venue, "ann", 3)
    # One bid per owner, and one for the owner's agents together.
    assert_rejected(venue.submit("twin", BidTurn, **good), Reason.TOO_MANY_TURN_BIDS)
    assert_rejected(venue.submit("twin", WithdrawTurn, resource="slot"), Reason.NO_CHANGE)
    terms: dict[str, Any] = {"settlement": "lease", "term_seconds": HOUR_S, "reference_price": 5 * CREDIT}
    venue.market("seat", base="seat", tick=CREDIT, **terms)
    venue.issue("lab", 1, "seat")
    venue.sell("lab", 1, 5 * CREDIT, market="seat")
    venue.buy("user", 1, 5 * CREDIT, market="seat")
    assert_rejected(venue.submit("ann", BidTurn, resource="seat", amount=CREDIT), Reason.TOO_MANY_TURN_BIDS)
    # A second unit, and the slot is no exclusive resource any more.
    venue.issue("lab", 1, "slot")
    assert_rejected(venue.submit("ben", BidTurn, **good), Reason.RESOURCE_NOT_BUSY)


@pytest.mark.parametrize("how", ["withdraw", "switch", "revoke"])
def test_a_bid_is_withdrawn(venue: Venue, how: str) -> None:
    bid(venue, "ann", 9)
    if how == "withdraw":
        venue.must("ann", WithdrawTurn, resource="slot")
    elif how == "switch":
        venue.must("ann", CancelAllAfter, seconds=60)
        venue.advance(60)
    else:
        venue.must(OPERATOR, RevokeAgent, agent="ann")
    assert venue.balance("ann")[1] == 0
    venue.advance(HOUR_S)
    assert venue.balance("lab", "slot") == (1, 0)


def test_bids_survive_a_snapshot(venue: Venue) -> None:
    for agent, amount in zip(BIDDERS, (7, 9, 6), strict=True):
        bid(venue, agent, amount)
    copy = Engine(WITH_QUARRELS)
    copy.load(venue.engine.dump())
    assert copy.dump() == venue.engine.dump()
    batches = len(venue.batches)
    venue.advance(HOUR_S)
    for batch, digest in zip(venue.batches[batches:], venue.digests[batches:], strict=True):
        assert copy.apply(batch).digest() == digest
    assert copy.state_hash() == venue.engine.state_hash()


def test_a_turn_needs_the_only_unit(venue: Venue) -> None:
    """Another unit is issued while turns are bid for: whoever wants one can take it in the market."""
    bid(venue, "ann", 9)
    venue.issue("lab", 1, "slot")
    venue.must("user", ReleaseLease, lease=1, fencing_token=1)
    assert [event.won for event in heard_of_turns(venue, "ann")] == [False]
    assert purse(venue, "ann") == (100, 0)

"""What property exports."""

from __future__ import annotations

from exchange.messages.admin import RevokeAgent
from exchange.messages.property import (
    AttestCheck,
    AttestWork,
    AuctionModule,
    BidOnModule,
    BuyModule,
    ClaimModule,
    CollectModuleRent,
    OfferModule,
    OfferRental,
    RegisterModule,
    RentModule,
)
from exchange.testing import OPERATOR
from tests.core.estate import Estate
from tests.core.work import CREDIT, DAY_US, HOUR_US
from tests.metrics.test_work import Watched


def test_modules_and_how_they_change_hands() -> None:
    """One is bought for 40, won for 10, and a third homesteaded."""
    venue = Estate()
    read = Watched(venue)
    venue.own("ann", "core")
    venue.own("ben", "app")
    venue.must("dot", RegisterModule, module="free")
    assert read("property_registered_total") == 3
    assert (read("property_modules", state="owned"), read("property_modules", state="unowned")) == (2, 1)
    venue.must("ann", OfferModule, module="core", price=40 * CREDIT)
    venue.must("cid", BuyModule, module="core", max_price=40 * CREDIT)
    venue.must("ben", AuctionModule, module="app", reserve=10 * CREDIT, closes_at_us=venue.time_us + HOUR_US)
    venue.must("ann", ClaimModule, module="free")
    assert (read("property_open_auctions"), read("property_open_claims")) == (1, 1)
    venue.must("cid", BidOnModule, module="app", price=25 * CREDIT)
    venue.must("ci", AttestWork, module="free", agent="ann")
    assert read("property_waiting_attestations") == 1
    venue.advance_to(venue.time_us + DAY_US)
    assert (read("property_open_auctions"), read("property_open_claims")) == (0, 0)
    assert read("property_auctions_total", result="awarded") == 1
    assert read("property_claims_total") == 1
    assert read("property_attestations_total", kind="work", outcome="final") == 1
    assert {how: read("property_moved_total", how=how) for how in ("bought", "won", "homesteaded", "lapsed")} == {
        "bought": 1, "won": 1, "homesteaded": 1, "lapsed": 0,
    }  # fmt: skip
    # 40 were offered; the single bid paid the reserve.
    assert read("property_sale_credits_total") == 50


def test_rents_taxes_and_foreclosures() -> None:
    venue = Estate()
    read = Watched(venue)
    venue.hold("ann", "core", 300, 15)
    venue.own("ann", "mine")
    venue.must("ann", OfferRental, module="mine", price=48 * CREDIT, term_seconds=2 * 86_400, exclusive=True)
    venue.must("ben", RentModule, offer=1)
    assert (read("property_taxed_modules"), read("property_running_rentals")) == (1, 1)
    assert read("property_rentals_total", kind="exclusive") == 1
    venue.advance_to(venue.time_us + DAY_US)
    venue.must("ann", CollectModuleRent, rental=1)
    # A day of 300 at 5 % a month is half a credit; half of the rent has accrued.
    assert (read("property_tax_credits_total"), read("property_rent_credits_total")) == (0.5, 24)
    venue.advance_to(venue.time_us + 29 * DAY_US)
    assert (read("property_taxed_modules"), read("property_running_rentals")) == (0, 0)
    assert read("property_foreclosed_total", why="deposit_exhausted") == 1
    assert (read("property_tax_credits_total"), read("property_rent_credits_total")) == (15, 48)
    venue.must(OPERATOR, RevokeAgent, agent="ann")
    assert read("property_foreclosed_total", why="revoked") == 1
    assert read("property_moved_total", how="foreclosed") == 2
    venue.advance_to(venue.time_us + DAY_US)
    assert read("property_auctions_total", result="unawarded") == 2


def test_of_bids_and_scores_nothing_shows_before_they_are_open() -> None:
    """Two venues that differ in nothing but a bid and a score export the same."""
    shown = []
    for price, score in ((11, 0), (30, 100)):
        venue = Estate()
        read = Watched(venue)
        venue.own("ann", "core")
        venue.must("ann", AuctionModule, module="core", reserve=10 * CREDIT, closes_at_us=venue.time_us + HOUR_US)
        venue.must("ben", BidOnModule, module="core", price=price * CREDIT)
        venue.must("ci", AttestCheck, module="core", score=score)
        lines = read.metrics.render("text/plain")[0].decode().splitlines()
        shown.append([line for line in lines if "property" in line])
    assert shown[0] == shown[1]

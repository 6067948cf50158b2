"""Modules that belong to nobody are homesteaded, and attested checks rate their owners."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.messages.admin import HaltVenue, RevokeAgent, Settings
from exchange.messages.disputes import GetDispute, OpenDispute, Stake
from exchange.messages.disputes import Rule as RuleOnDispute
from exchange.messages.expertise import GetReputation
from exchange.messages.property import (
    AbandonClaim,
    AcceptCheck,
    AllocateModule,
    AttestCheck,
    AttestWork,
    AuctionModule,
    BidOnModule,
    ClaimModule,
    OfferModule,
    OfferRental,
    RegisterModule,
    RentModule,
    SetRegime,
)
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, SECOND_US, assert_rejected
from tests.core.estate import Estate
from tests.core.quarrels import Quarrel, Rule
from tests.core.work import CREDIT, DAY_US, HOUR_US, MINUTE_US

FORTNIGHT_US = 14 * DAY_US


@pytest.fixture
def venue() -> Estate:
    """Return an estate with a module ``core`` that belongs to nobody."""
    built = Estate()
    built.must("dot", RegisterModule, module="core")
    return built


def homestead(venue: Estate, agent: str = "ann", module: str = "core") -> None:
    """Let an agent be the first to have worked on a module, for good."""
    venue.must(agent, ClaimModule, module=module)
    answer = venue.must("ci", AttestWork, module=module, agent=agent)
    venue.advance_to(answer.data["final_at_us"])
    assert venue.ownership.owner_of(module) == agent


def reputation(venue: Estate, agent: str) -> int:
    [row] = [
        row
        for row in venue.engine.query(OPERATOR, GetReputation(agent=agent)).domains  # type: ignore[attr-defined]
        if row.domain == "module"
    ]
    return int(row.score)


# ── claiming ────────────────────────────────────────────────────────────────────────────────────


def test_the_first_attested_work_makes_the_owner(venue: Estate) -> None:
    for name in ("ann", "ben"):
        answer = venue.must(name, ClaimModule, module="core")
        assert answer.data["lapses_at_us"] == venue.time_us + FORTNIGHT_US
        # Nobody has it alone yet: both may work.
        assert venue.may_write("core", name) == (True, 1)
    answer = venue.must("ci", AttestWork, module="core", agent="ben", reference="commit 7")
    final_at_us = answer.data["final_at_us"]
    assert final_at_us == venue.time_us + DAY_US
    # Until it is final the first alone may write.
    assert venue.may_write("core", "ben") == (True, 2)
    assert venue.may_write("core", "ann") == (False, 2)
    [event] = venue.told("ann", "property.attested")
    assert (event.kind, event.agent, event.attestation, event.reference) == ("work", "ben", 1, "commit 7")
    assert_rejected(venue.submit("ci", AttestWork, module="core", agent="ann"), Reason.WRONG_STATE)
    assert_rejected(venue.submit(OPERATOR, AllocateModule, module="core", agent="ann"), Reason.WRONG_STATE)
    assert_rejected(venue.submit("ben", AbandonClaim, module="core"), Reason.WRONG_STATE)
    venue.reload()
    venue.advance_to(final_at_us - 1)
    assert venue.ownership.owner_of("core") is None
    venue.advance_to(final_at_us)
    view = venue.module()
    assert (view.owner, view.title, view.claims) == ("ben", "homesteaded", [])
    assert view.lapses_at_us == final_at_us + FORTNIGHT_US
    assert [event.how for event in venue.told("ben", "property.claim_ended")] == ["homesteaded"]
    assert [event.how for event in venue.told("ann", "property.claim_ended")] == ["taken"]
    assert venue.may_write("core", "ben") == (True, 2)


def test_an_owner_has_three_open_claims(venue: Estate) -> None:
    venue.register("amy", owner="ann", endowment=0)
    for name in "abc":
        venue.must("dot", RegisterModule, module=name)
        venue.must("ann" if name != "c" else "amy", ClaimModule, module=name)
    assert_rejected(venue.submit("ann", ClaimModule, module="core"), Reason.TOO_MANY_CLAIMS)
    venue.must("amy", AbandonClaim, module="c")
    venue.must("ann", ClaimModule, module="core")
    # What has been homesteaded is no open claim any more.
    answer = venue.must("ci", AttestWork, module="core", agent="ann")
    venue.advance_to(answer.data["final_at_us"])
    venue.must("ann", ClaimModule, module="c")


def test_a_claim_lapses_without_attested_work(venue: Estate) -> None:
    venue.must("ann", ClaimModule, module="core")
    lapses_at_us = venue.time_us + FORTNIGHT_US
    venue.advance_to(lapses_at_us - 1)
    assert venue.may_write("core", "ann") == (True, 1)
    venue.advance_to(lapses_at_us)
    assert venue.may_write("core", "ann") == (False, 2)
    assert [event.how for event in venue.told("ann", "property.claim_ended")] == ["lapsed"]
    venue.must("ann", ClaimModule, module="core")


def test_a_claim_whose_work_is_attested_lapses_no_more(venue: Estate) -> None:
    venue.must("ann", ClaimModule, module="core")
    venue.advance_to(venue.time_us + FORTNIGHT_US - 1)
    venue.must("ci", AttestWork, module="core", agent="ann")
    venue.advance_to(venue.time_us + DAY_US)
    assert venue.ownership.owner_of("core") == "ann"


def test_what_is_allocated_is_claimed_in_vain(venue: Estate) -> None:
    venue.must("ann", ClaimModule, module="core")
    venue.must(OPERATOR, AllocateModule, module="core", agent="ben")
    assert [event.how for event in venue.told("ann", "property.claim_ended")] == ["taken"]
    assert venue.may_write("core", "ben") == (True, 2)


def test_what_has_been_worked_for_keeps_its_regime(venue: Estate) -> None:
    """Whoever homesteads it gets what it worked for; an operator is too late."""
    venue.must("ann", ClaimModule, module="core")
    venue.must("ci", AttestWork, module="core", agent="ann")
    assert_rejected(venue.submit(OPERATOR, SetRegime, module="core", regime="harberger"), Reason.WRONG_STATE)
    venue.advance_to(venue.time_us + DAY_US)
    assert (venue.module().owner, venue.module().regime) == ("ann", "private")


def test_a_claimant_that_is_revoked_has_worked_for_nothing(venue: Estate) -> None:
    for name in ("ann", "ben"):
        venue.must(name, ClaimModule, module="core")
    venue.must("ci", AttestWork, module="core", agent="ann")
    venue.must(OPERATOR, RevokeAgent, agent="ann")
    assert venue.may_write("core", "ben") == (True, 3)
    assert [event.outcome for event in venue.told("ci", "property.attestation_ended")] == ["dropped"]
    venue.must("ci", AttestWork, module="core", agent="ben")
    venue.advance_to(venue.time_us + DAY_US)
    assert venue.ownership.owner_of("core") == "ben"


def test_a_halt_gives_a_claimant_time(venue: Estate) -> None:
    venue.must("ann", ClaimModule, module="core")
    venue.advance_to(venue.time_us + FORTNIGHT_US - SECOND_US)
    venue.must(OPERATOR, HaltVenue, state="halted")
    venue.advance_to(venue.time_us + HOUR_US)
    venue.must(OPERATOR, HaltVenue, state="open")
    venue.advance(299)
    venue.must("ci", AttestWork, module="core", agent="ann")


# ── using ───────────────────────────────────────────────────────────────────────────────────────


def test_a_homestead_lapses_without_attested_use(venue: Estate) -> None:
    homestead(venue)
    lapses_at_us = venue.time_us + FORTNIGHT_US
    venue.advance_to(lapses_at_us - 1)
    answer = venue.must("ci", AttestWork, module="core", agent="ann")
    assert answer.data["final_at_us"] == venue.time_us
    lapses_at_us = venue.time_us + FORTNIGHT_US
    venue.advance_to(lapses_at_us - 1)
    assert venue.ownership.owner_of("core") == "ann"
    venue.reload()
    venue.advance_to(lapses_at_us)
    assert venue.ownership.owner_of("core") is None
    assert venue.told("ann", "property.ownership_moved")[-1].how == "lapsed"
    venue.must("ben", ClaimModule, module="core")


def test_what_was_paid_for_does_not_lapse(venue: Estate) -> None:
    homestead(venue)
    venue.must("ann", OfferModule, module="core", price=CREDIT)
    assert venue.buy("ben", "core", 1).accepted
    venue.advance_to(venue.time_us + 2 * FORTNIGHT_US)
    assert venue.ownership.owner_of("core") == "ben"
    assert_rejected(venue.submit("ci", AttestWork, module="core", agent="ben"), Reason.NO_CHANGE)


def test_a_homestead_that_lapses_ends_what_was_under_way_with_it(venue: Estate) -> None:
    homestead(venue)
    lapses_at_us = venue.time_us + FORTNIGHT_US
    venue.must("ann", OfferRental, module="core", price=28 * CREDIT, term_seconds=28 * 86_400)
    venue.must("cid", RentModule, offer=1)
    closes_at_us = lapses_at_us + HOUR_US
    venue.must("ann", AuctionModule, module="core", reserve=0, closes_at_us=closes_at_us)
    venue.must("ben", BidOnModule, module="core", price=CREDIT)
    venue.advance_to(lapses_at_us)
    view = venue.module()
    assert (view.owner, view.auction) == (None, None)
    assert venue.balance("ben") == (1_000 * CREDIT, 0)
    [event] = venue.told("cid", "property.rental_ended")
    assert (event.how, event.paid, event.refunded) == ("lapsed", 14 * CREDIT, 14 * CREDIT)


def test_a_homestead_under_the_regime_has_its_deposit_back(venue: Estate) -> None:
    venue.must(OPERATOR, SetRegime, module="core", regime="harberger")
    homestead(venue)
    assert venue.module().value_due_us == venue.time_us + DAY_US
    venue.state("ann", "core", 300, 30)
    venue.advance_to(venue.time_us + FORTNIGHT_US)
    assert venue.ownership.owner_of("core") is None
    assert venue.credits("ann") == 1_000 * CREDIT - 7 * CREDIT
    assert venue.system_credits("public_fund") == 7 * CREDIT


# ── disputes ────────────────────────────────────────────────────────────────────────────────────


def test_work_is_disputed_by_others_with_a_claim(venue: Estate) -> None:
    for name in ("ann", "ben"):
        venue.must(name, ClaimModule, module="core")
    venue.must("ci", AttestWork, module="core", agent="ann")
    assert_rejected(venue.submit("cid", Quarrel, family="property", number=1), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("ann", Quarrel, family="property", number=1), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("ben", Quarrel, family="property", number=2), Reason.WRONG_STATE)
    venue.must("ben", Quarrel, family="property", number=1)
    assert_rejected(venue.submit("ben", Quarrel, family="property", number=1), Reason.ALREADY_DISPUTED)
    # Nothing comes of it before the dispute is decided.
    venue.advance_to(venue.time_us + 30 * DAY_US)
    assert venue.ownership.owner_of("core") is None
    venue.reload()
    venue.must(OPERATOR, Rule, family="property", number=1, upheld=True)
    assert [event.how for event in venue.told("ann", "property.claim_ended")] == ["overturned"]


def test_overturned_work_leaves_the_others_their_claims(venue: Estate) -> None:
    for name in ("ann", "ben"):
        venue.must(name, ClaimModule, module="core")
    venue.must("ci", AttestWork, module="core", agent="ann")
    venue.must("ben", Quarrel, family="property", number=1)
    venue.must(OPERATOR, Rule, family="property", number=1, upheld=True)
    assert venue.may_write("core", "ben") == (True, 3)
    venue.must("ci", AttestWork, module="core", agent="ben")
    venue.advance_to(venue.time_us + DAY_US)
    assert venue.ownership.owner_of("core") == "ben"


def test_work_that_was_disputed_in_vain_is_final(venue: Estate) -> None:
    for name in ("ann", "ben"):
        venue.must(name, ClaimModule, module="core")
    venue.must("ci", AttestWork, module="core", agent="ann")
    venue.must("ben", Quarrel, family="property", number=1)
    venue.must(OPERATOR, Rule, family="property", number=1, upheld=False)
    assert venue.ownership.owner_of("core") == "ann"


def test_a_dispute_over_work_that_was_dropped_decides_nothing(venue: Estate) -> None:
    for name in ("ann", "ben"):
        venue.must(name, ClaimModule, module="core")
    venue.must("ci", AttestWork, module="core", agent="ann")
    venue.must("ben", Quarrel, family="property", number=1)
    venue.must(OPERATOR, RevokeAgent, agent="ann")
    venue.must(OPERATOR, Rule, family="property", number=1, upheld=False)
    assert venue.ownership.owner_of("core") is None


def test_a_panel_decides_over_a_check() -> None:
    """The real thing: deposit, panel, rulings; the attester owes the fee of a check that is overturned."""
    venue = Estate()
    panel = ("ada", "bob", "cyd")
    venue.register(*panel, roles=["arbitrator"], endowment=100 * CREDIT)
    for name in panel:
        venue.must(name, Stake, amount=60 * CREDIT)
    venue.advance_to(venue.time_us + 7 * DAY_US)
    venue.own("ann", "core")
    venue.must("ci", AttestCheck, module="core", score=0)
    venue.must("ann", OpenDispute, family="property", number=1)
    venue.advance(10)
    venue.advance(1)
    dispute: Any = venue.engine.query("ann", GetDispute(dispute=1)).dispute  # type: ignore[attr-defined]
    assert (dispute.disputer, dispute.respondent) == ("ann", "ci")
    for name in panel:
        venue.must(name, RuleOnDispute, dispute=1, upheld=True)
    assert [event.outcome for event in venue.told("ann", "property.attestation_ended")] == ["overturned"]
    assert venue.module().attestations == []


# ── checks ──────────────────────────────────────────────────────────────────────────────────────


def test_a_check_rates_the_owner_when_its_window_has_passed(venue: Estate) -> None:
    venue.own("ann", "app")
    answer = venue.must("ci", AttestCheck, module="app", score=90, reference="run 12")
    final_at_us = answer.data["final_at_us"]
    [row] = venue.module("app").attestations
    assert (row.kind, row.score, row.agent, row.attester, row.reference) == ("check", 90, "ann", "ci", "run 12")
    venue.advance_to(final_at_us - 1)
    assert venue.told("ann", "property.attestation_ended") == []
    venue.advance_to(final_at_us)
    [event] = venue.told("ann", "property.attestation_ended")
    assert (event.kind, event.outcome) == ("check", "final")
    assert reputation(venue, "ann") > 500_000


def test_who_owned_the_module_then_is_rated_and_may_accept(venue: Estate) -> None:
    venue.own("ann", "app")
    venue.must("ci", AttestCheck, module="app", score=10)
    venue.must("ann", OfferModule, module="app", price=CREDIT)
    assert venue.buy("ben", "app", 1).accepted
    assert_rejected(venue.submit("ben", AcceptCheck, attestation=1), Reason.NOT_PERMITTED)
    venue.must("ann", AcceptCheck, attestation=1)
    assert reputation(venue, "ann") < 500_000
    assert_rejected(venue.submit("ann", AcceptCheck, attestation=1), Reason.WRONG_STATE)


def test_an_owner_of_attesters_has_one_check_at_a_time(venue: Estate) -> None:
    """Owners count: a fleet does not take all the room for checks, nor judge a module ten times."""
    venue.own("ann", "mine")
    venue.register("cia", owner="ci", roles=["attester"], endowment=0)
    venue.must("ci", AttestCheck, module="mine", score=0)
    assert_rejected(venue.submit("cia", AttestCheck, module="mine", score=0), Reason.NO_CHANGE)
    venue.advance_to(venue.time_us + DAY_US)
    venue.must("cia", AttestCheck, module="mine", score=0)


def test_a_disputed_check_waits_and_counts_not_if_it_is_overturned(venue: Estate) -> None:
    venue.own("ann", "app")
    venue.must("ci", AttestCheck, module="app", score=0)
    assert_rejected(venue.submit("ben", Quarrel, family="property", number=1), Reason.NOT_PERMITTED)
    venue.must("ann", Quarrel, family="property", number=1)
    assert_rejected(venue.submit("ann", AcceptCheck, attestation=1), Reason.WRONG_STATE)
    venue.advance_to(venue.time_us + 2 * DAY_US)
    assert venue.module("app").attestations[0].dispute == 1
    venue.must(OPERATOR, Rule, family="property", number=1, upheld=True)
    assert [event.outcome for event in venue.told("ann", "property.attestation_ended")] == ["overturned"]
    assert venue.engine.query(OPERATOR, GetReputation(agent="ann")).domains == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("price", [0, 5])
def test_a_check_counts_by_what_the_module_is_worth(price: int) -> None:
    """By the stated value or the last price; without either, or at nothing, by the venue's default of 10."""
    venue = Estate()
    venue.own("ann", "app")
    venue.must("ann", OfferModule, module="app", price=price * CREDIT)
    assert venue.buy("ben", "app", price).accepted
    venue.must("ci", AttestCheck, module="app", score=0)
    venue.must("ben", Quarrel, family="property", number=1)
    terms = venue.engine.mechanisms["quarrels"].terms  # type: ignore[attr-defined]
    assert (terms.claimant, terms.respondent, terms.amount) == ("ben", "ci", (price or 10) * CREDIT)


@pytest.mark.parametrize(
    ("agent", "kind", "fields", "reason"),
    [
        ("ann", ClaimModule, {"module": "what"}, Reason.UNKNOWN_MODULE),
        ("ann", ClaimModule, {"module": "app"}, Reason.WRONG_STATE),
        ("ben", ClaimModule, {"module": "core"}, Reason.NO_CHANGE),
        ("cid", ClaimModule, {"module": "core"}, Reason.TOO_MANY_CLAIMS),
        ("ann", AbandonClaim, {"module": "what"}, Reason.UNKNOWN_MODULE),
        ("ann", AbandonClaim, {"module": "core"}, Reason.UNKNOWN_CLAIM),
        ("bea", AbandonClaim, {"module": "core"}, Reason.UNKNOWN_CLAIM),
        ("ann", AttestWork, {"module": "core", "agent": "ben"}, Reason.NOT_PERMITTED),
        ("ci", AttestWork, {"module": "what", "agent": "ben"}, Reason.UNKNOWN_MODULE),
        ("ci", AttestWork, {"module": "core", "agent": "what"}, Reason.UNKNOWN_AGENT),
        ("ci", AttestWork, {"module": "core", "agent": "ann"}, Reason.UNKNOWN_CLAIM),
        ("ci", AttestWork, {"module": "core", "agent": "bea"}, Reason.UNKNOWN_CLAIM),
        ("ci", AttestWork, {"module": "app", "agent": "ben"}, Reason.WRONG_STATE),
        ("eve", AttestWork, {"module": "core", "agent": "ben"}, Reason.SAME_OWNER),
        ("ci", AttestCheck, {"module": "what", "score": 1}, Reason.UNKNOWN_MODULE),
        ("ci", AttestCheck, {"module": "core", "score": 1}, Reason.WRONG_STATE),
        ("ci", AttestCheck, {"module": "app", "score": 1}, Reason.NO_CHANGE),
        ("ada", AttestCheck, {"module": "app", "score": 1}, Reason.SAME_OWNER),
        ("eve", AttestCheck, {"module": "app", "score": 1}, Reason.TOO_MANY_CHECKS),
        ("ann", AcceptCheck, {"attestation": 9}, Reason.WRONG_STATE),
        ("full", ClaimModule, {"module": "core"}, Reason.TOO_MANY_CLAIMS),
    ],
)
def test_what_is_rejected(agent: str, kind: Any, fields: dict[str, Any], reason: Reason) -> None:
    venue = Estate(settings=Settings(max_claims_per_module=1, max_module_checks=1, max_modules_per_owner=1))
    venue.must("dot", RegisterModule, module="core")
    venue.register("bea", owner="ben", endowment=0)
    venue.register("full", endowment=0)
    venue.register("eve", owner="ben", roles=["attester"], endowment=0)
    venue.register("ada", owner="ann", roles=["attester"], endowment=0)
    venue.own("ann", "app")
    venue.must("ben", ClaimModule, module="core")
    venue.must("ci", AttestCheck, module="app", score=50)
    assert_rejected(venue.submit(agent, kind, **fields), reason)


def test_who_owns_as_much_as_it_may_claims_no_more() -> None:
    venue = Estate(settings=Settings(max_modules_per_owner=1))
    venue.must("dot", RegisterModule, module="core")
    venue.own("ann", "app")
    assert_rejected(venue.submit("ann", ClaimModule, module="core"), Reason.TOO_MANY_MODULES)


def test_a_homestead_is_held_from_the_moment_it_is_final(venue: Estate) -> None:
    venue.must("ann", ClaimModule, module="core")
    venue.must("ci", AttestWork, module="core", agent="ann")
    venue.change_leader(2 * 86_400)
    venue.advance_to(venue.time_us + 5 * MINUTE_US)
    assert venue.ownership.owner_since("core") == venue.time_us

"""Externalities: what harm costs, who is compensated, and when it is final."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from exchange.mechanisms.base import NotFound
from exchange.mechanisms.facts import EvidenceGiven, ExternalityFinal
from exchange.messages.admin import HaltAgent, HaltVenue, RevokeAgent, Settings, SuspendAgent
from exchange.messages.debts import IssueDebt, SignDebt
from exchange.messages.expertise import GetReputation
from exchange.messages.externalities import AcceptExternality, GetRates
from exchange.messages.payments import PayLiens
from exchange.messages.property import AllocateModule, ReleaseModule
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, SECOND_US, assert_rejected
from tests.core.neighbours import WEEK_US, Neighbours
from tests.core.quarrels import Quarrel
from tests.core.walk import walk
from tests.core.work import CREDIT, DAY_US

if TYPE_CHECKING:
    from exchange.messages.payments import LienView

PARTIES = ("ann", "ben", "cid", "ci")


@pytest.fixture
def venue() -> Neighbours:
    return Neighbours()


def liens(venue: Neighbours, agent: str = OPERATOR) -> list[LienView]:
    from exchange.messages.payments import GetLiens

    return venue.engine.query(agent, GetLiens()).liens  # type: ignore[attr-defined,no-any-return]


def spend(venue: Neighbours, agent: str, left: int) -> None:
    """Let an agent have so many credits left, in smallest units."""
    ledger = venue.engine.ledger
    ledger.transfer(ledger.balance(agent, "credit"), ledger.balance("dot", "credit"), venue.balance(agent)[0] - left)


# ── coupling ────────────────────────────────────────────────────────────────────────────────────


def test_who_breaks_others_pays_those_who_mend(venue: Neighbours) -> None:
    """A change of ``base`` breaks half of ben's module and a fifth of cid's: at 10 each, 5 and 2."""
    venue.break_(declared=20, bens=50, cids=20)
    # The bond paid it; the stake of 50 is the attester's.
    assert venue.purses(*PARTIES) == [80, 100, 100, 150]
    assert (venue.levy().amount, venue.levy().from_bond, venue.levy().held) == (7 * CREDIT, 7 * CREDIT, 7 * CREDIT)
    venue.accept()
    assert venue.purses(*PARTIES) == [80, 105, 102, 200]
    venue.advance_to(venue.time_us + WEEK_US)
    assert venue.purses(*PARTIES) == [93, 105, 102, 200]


def test_without_a_declaration_it_is_twice_as_much(venue: Neighbours) -> None:
    venue.break_(bens=50, cids=20)
    assert venue.levy().is_doubled
    assert [each.share for each in venue.levy().affected] == [10 * CREDIT, 4 * CREDIT]
    assert venue.purses(*PARTIES) == [86, 100, 100, 150]
    venue.accept()
    assert venue.purses(*PARTIES) == [86, 110, 104, 200]


def test_a_module_of_nobodys_is_broken_at_the_expense_of_the_public(venue: Neighbours) -> None:
    before = venue.system_credits("public_fund")
    venue.break_(declared=20, nobodys=100, bens=10)
    venue.accept()
    assert venue.system_credits("public_fund") - before == 10 * CREDIT
    assert venue.purses("ben") == [101]


def test_own_modules_do_not_count(venue: Neighbours) -> None:
    """Amy is of ann's owner."""
    venue.break_(declared=20, amys=100, bens=10)
    assert venue.levy().amount == CREDIT
    assert [(each.module, each.beneficiary) for each in venue.levy().affected] == [("amys", None), ("bens", "ben")]
    answer = venue.try_to_report(**venue.broken(amys=100), reference="another")
    assert_rejected(answer, Reason.NOTHING_AFFECTED)


def test_only_what_was_registered_to_depend_on_it_counts(venue: Neighbours) -> None:
    venue.module("apart", "dot")
    answer = venue.try_to_report(**venue.broken(apart=100, unheard_of=100, base=100))
    assert_rejected(answer, Reason.NOTHING_AFFECTED)
    venue.break_(declared=20, apart=100, bens=100)
    assert [share.beneficiary for share in venue.levy().shares] == ["ben"]


def test_a_dependency_counts_from_a_week_on_to_the_microsecond(venue: Neighbours) -> None:
    venue.module("young", "dot", "base")
    venue.advance_to(venue.time_us + WEEK_US - 1)
    assert_rejected(venue.try_to_report(**venue.broken(young=100)), Reason.NOTHING_AFFECTED)
    venue.advance_to(venue.time_us + 1)
    # It is the age at the time of the change that counts.
    answer = venue.try_to_report(**venue.broken(young=100), changed_us=venue.time_us - 1)
    assert_rejected(answer, Reason.NOTHING_AFFECTED)
    assert venue.report(**venue.broken(young=100), changed_us=venue.time_us) == 1


def test_the_week_is_a_setting() -> None:
    venue = Neighbours(settings=Settings(dependency_age_seconds=0))
    venue.module("young", "dot", "base")
    venue.break_(declared=20, young=100)
    assert venue.levy().shares[0].beneficiary == "dot"


def test_it_is_capped_before_it_is_doubled() -> None:
    venue = Neighbours(settings=Settings(max_coupling_tax=9 * CREDIT))
    venue.break_(declared=20, bens=100, cids=50)
    assert venue.levy().amount == 9 * CREDIT
    assert [share.share for share in venue.levy().shares] == [6 * CREDIT, 3 * CREDIT]
    venue.report(**venue.broken(bens=100, cids=50), reference="another")
    assert venue.levy(2).amount == 18 * CREDIT
    assert [share.share for share in venue.levy(2).shares] == [12 * CREDIT, 6 * CREDIT]


def test_what_does_not_divide_goes_by_the_largest_remainder() -> None:
    """100 smallest units for severities of 10, 10 and 10: 33 each, and the last to the first by name."""
    venue = Neighbours(settings=Settings(max_coupling_tax=100))
    venue.declare()
    venue.report(**venue.broken(nobodys=10, cids=10, bens=10))
    assert [(each.module, each.share) for each in venue.levy().affected] == [
        ("nobodys", 33),
        ("cids", 33),
        ("bens", 34),
    ]
    before = venue.system_credits("public_fund")
    venue.accept()
    assert [venue.balance(name)[0] - 100 * CREDIT for name in ("ben", "cid")] == [34, 33]
    assert venue.system_credits("public_fund") - before == 33


def test_several_modules_of_one_agent_are_compensated_together(venue: Neighbours) -> None:
    venue.module("bens_too", "ben", "base")
    venue.advance_to(venue.time_us + WEEK_US)
    venue.break_(declared=20, bens=30, bens_too=40, cids=30)
    assert [(share.beneficiary, share.share, share.units) for share in venue.levy().shares] == [
        ("ben", 7 * CREDIT, 70),
        ("cid", 3 * CREDIT, 30),
    ]


def test_what_comes_to_nothing_is_not_taken() -> None:
    venue = Neighbours(settings=Settings(coupling_rate=99))
    assert_rejected(venue.try_to_report(**venue.broken(bens=1)), Reason.NOTHING_AFFECTED)
    free = Neighbours(settings=Settings(blocking_rate=0))
    assert_rejected(free.try_to_report("blocking", units=3, target="ben"), Reason.NOTHING_AFFECTED)


# ── the owner at the time ───────────────────────────────────────────────────────────────────────


def test_who_owned_a_module_when_it_was_broken_is_compensated(venue: Neighbours) -> None:
    venue.advance(1)
    venue.must("ben", ReleaseModule, module="bens")
    venue.must(OPERATOR, AllocateModule, module="bens", agent="dot")
    moved_us = venue.time_us
    venue.advance(60)
    venue.declare("ann")
    venue.report(**venue.broken(bens=100), changed_us=moved_us - 1)
    venue.report(**venue.broken(bens=100), changed_us=moved_us, reference="another")
    assert [venue.levy(number).shares[0].beneficiary for number in (1, 2)] == ["ben", "dot"]
    venue.reload()
    venue.accept(1)
    venue.accept(2)
    assert venue.purses("ben", "dot") == [120, 120]


def test_a_module_between_two_owners_was_nobodys(venue: Neighbours) -> None:
    venue.must("ben", ReleaseModule, module="bens")
    released_us = venue.time_us
    venue.advance(60)
    venue.must(OPERATOR, AllocateModule, module="bens", agent="dot")
    venue.report(**venue.broken(bens=100), changed_us=released_us)
    assert venue.levy().shares[0].beneficiary == "public_fund"


def test_only_the_last_owners_are_remembered(venue: Neighbours) -> None:
    changed_us = venue.time_us
    for turn in range(10):
        venue.advance(1)
        venue.must("dot" if turn % 2 else "ben", ReleaseModule, module="bens")
        venue.must(OPERATOR, AllocateModule, module="bens", agent="ben" if turn % 2 else "dot")
    ownership: Any = venue.engine.mechanisms["property"]
    assert len(ownership.modules["bens"].former) == 16
    # Of what is forgotten, the earliest that is remembered is told.
    assert ownership.owner_at("bens", changed_us) in ("ben", "dot", None)
    assert ownership.owner_at("bens", venue.time_us) == "ben"


def test_it_must_not_be_in_the_future_nor_too_long_ago(venue: Neighbours) -> None:
    now_us = venue.time_us
    answer = venue.try_to_report("context_switch", target="ben", changed_us=now_us + 1)
    assert_rejected(answer, Reason.INVALID_EXTERNALITY_TERMS)
    oldest_us = now_us - 30 * DAY_US
    answer = venue.try_to_report("context_switch", target="ben", changed_us=oldest_us)
    assert_rejected(answer, Reason.EXTERNALITY_TOO_OLD)
    assert venue.report("context_switch", target="ben", changed_us=oldest_us + 1) == 1


# ── other kinds ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "fields", "amount", "beneficiary"),
    [
        ("context_switch", {"target": "ben"}, 1, "ben"),
        ("context_switch", {"target": "ben", "units": 3}, 3, "ben"),
        ("context_switch", {}, 1, "public_fund"),
        ("blocking", {"target": "cid", "units": 4}, 8, "cid"),
        ("blocking", {"units": 4, "module": "base"}, 8, "public_fund"),
        ("debt", {"units": 6}, 6, "public_fund"),
        ("debt", {"units": 6, "target": "dot"}, 6, "dot"),
        ("knowledge_hoarding", {"units": 2, "module": "base"}, 2, "public_fund"),
        ("knowledge_hoarding", {"units": 2, "module": "base", "target": "dot"}, 2, "dot"),
    ],
)
def test_every_kind_has_its_units_and_its_beneficiary(
    venue: Neighbours, kind: str, fields: dict[str, Any], amount: int, beneficiary: str
) -> None:
    finals = venue.facts(ExternalityFinal)
    venue.report(kind, **fields)
    view = venue.levy()
    assert (view.amount, view.shares[0].beneficiary, view.is_doubled) == (amount * CREDIT, beneficiary, False)
    venue.accept()
    target = None if beneficiary == "public_fund" else beneficiary
    assert finals == [ExternalityFinal(kind, fields.get("units", 1), amount * CREDIT, "ann", target)]


@pytest.mark.parametrize("kind", ["debt", "knowledge_hoarding"])
def test_debt_and_hoarding_are_split_among_the_owners_of_what_depends_on_it(venue: Neighbours, kind: str) -> None:
    finals = venue.facts(ExternalityFinal)
    venue.report(kind, units=10, **venue.broken(bens=75, cids=25, amys=100))
    venue.accept()
    assert venue.purses("ann", "ben", "cid") == [90, 107, 102]
    assert [(fact.units, fact.amount, fact.target) for fact in finals] == [
        (8, 7_500_000, "ben"),
        (2, 2_500_000, "cid"),
    ]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("coupling", {"affected": {"bens": 1}}),
        ("coupling", {"module": "base"}),
        ("coupling", {"module": "base", "affected": {"bens": 1}, "units": 1}),
        ("coupling", {"module": "base", "affected": {"bens": 1}, "target": "ben"}),
        ("context_switch", {"target": "ben", "change": 1}),
        ("context_switch", {"module": "base", "affected": {"bens": 1}}),
        ("blocking", {"target": "ben"}),
        ("blocking", {"units": 1, "module": "base", "affected": {"bens": 1}}),
        ("debt", {"target": "ben"}),
        ("debt", {"units": 1, "affected": {"bens": 1}}),
        ("debt", {"units": 1, "module": "base", "affected": {"bens": 1}, "target": "ben"}),
        ("knowledge_hoarding", {"units": 1}),
        ("knowledge_hoarding", {"module": "base"}),
        ("knowledge_hoarding", {"units": 1, "module": "bens"}),
        ("knowledge_hoarding", {"units": 1, "module": "nobodys"}),
        ("blocking", {"units": 501, "target": "ben"}),
    ],
)
def test_what_does_not_fit_the_kind_is_rejected(venue: Neighbours, kind: str, fields: dict[str, Any]) -> None:
    severities = fields.pop("affected", None)
    if severities:
        fields["affected"] = venue.broken(**severities)["affected"]
    assert_rejected(venue.try_to_report(kind, **fields), Reason.INVALID_EXTERNALITY_TERMS)


def test_a_module_is_named_once_and_is_registered(venue: Neighbours) -> None:
    affected = venue.broken(bens=1)["affected"] * 2
    answer = venue.try_to_report(module="base", affected=affected)
    assert_rejected(answer, Reason.INVALID_EXTERNALITY_TERMS)
    assert_rejected(venue.try_to_report(**venue.broken("unheard_of", bens=1)), Reason.UNKNOWN_MODULE)


def owe(venue: Neighbours, **terms: Any) -> None:
    """Let ann issue debt that everybody has signed whom it harms."""
    fields = {
        "feature": "the parser",
        "principal_hours_milli": 20_000,
        "interest_hours_milli_per_month": 2_500,
        "maturity_us": venue.time_us + 90 * DAY_US,
        "beneficiaries": {"ben": 3, "cid": 1},
        "sign_by_us": venue.time_us + DAY_US,
        **terms,
    }
    token = int(venue.must("ann", IssueDebt, **fields).data["token"])
    for name in fields["beneficiaries"]:
        venue.must(name, SignDebt, token=token)


def test_debt_is_priced_as_it_is_issued_and_that_is_final(venue: Neighbours) -> None:
    """2.5 hours of interest a month at 1 each, by weight: 1.875 for ben, 0.625 for cid; and started hours."""
    finals = venue.facts(ExternalityFinal)
    owe(venue)
    assert finals == [
        ExternalityFinal("debt", 2, 1_875_000, "ann", "ben"),
        ExternalityFinal("debt", 1, 625_000, "ann", "cid"),
    ]
    assert [venue.balance(name)[0] for name in ("ann", "ben", "cid")] == [97_500_000, 101_875_000, 100_625_000]
    view = venue.levy()
    assert (view.state, view.outcome, view.attester, view.reference) == ("final", "accepted", None, "debts:1")
    venue.reload()
    owe(venue)
    assert venue.levy(2).reference == "debts:2"


def test_debt_without_interest_costs_nothing_when_it_is_issued(venue: Neighbours) -> None:
    owe(venue, interest_hours_milli_per_month=0)
    assert venue.purses("ann") == [100]
    assert venue.levies(OPERATOR, everybodys=True) == []


def test_who_issues_debt_without_having_what_that_costs_owes_it(venue: Neighbours) -> None:
    spend(venue, "ann", CREDIT)
    owe(venue, beneficiaries={"ben": 1})
    assert [(lien.creditor, lien.amount) for lien in liens(venue)] == [("ben", 1_500_000)]


# ── who may report, of whom ─────────────────────────────────────────────────────────────────────


def test_an_attester_is_of_no_owner_whom_it_concerns(venue: Neighbours) -> None:
    for owner in ("ann", "ben", "cid"):
        venue.register(f"of_{owner}", owner=owner, roles=["attester"], endowment=60 * CREDIT)
        answer = venue.try_to_report(by=f"of_{owner}", **venue.broken(bens=50, cids=20))
        assert_rejected(answer, Reason.SAME_OWNER)
    # The owner of the changed module is concerned, too, also where somebody else changed it.
    answer = venue.try_to_report(by="of_ann", source="dot", **venue.broken(bens=50))
    assert_rejected(answer, Reason.SAME_OWNER)
    assert_rejected(venue.try_to_report("blocking", by="dot", units=1, target="ben"), Reason.NOT_PERMITTED)
    assert venue.report(by="of_cid", **venue.broken(bens=50)) == 1


def test_nobody_pays_for_what_it_does_to_itself(venue: Neighbours) -> None:
    assert_rejected(venue.try_to_report("context_switch", target="amy"), Reason.SAME_OWNER)
    assert_rejected(venue.try_to_report("context_switch", target="ann"), Reason.SAME_OWNER)


def test_source_and_target_are_registered(venue: Neighbours) -> None:
    assert_rejected(venue.try_to_report("context_switch", source="ghost"), Reason.UNKNOWN_AGENT)
    assert_rejected(venue.try_to_report("context_switch", target="ghost"), Reason.UNKNOWN_AGENT)


def test_the_same_is_reported_once_also_after_it_ended(venue: Neighbours) -> None:
    venue.report("context_switch", target="ben")
    for by in ("ci", "cy"):
        assert_rejected(venue.try_to_report("context_switch", by=by, target="ben"), Reason.ALREADY_REPORTED)
    # The other agent of the same owner has not done it again.
    answer = venue.try_to_report("context_switch", source="amy", target="ben")
    assert_rejected(answer, Reason.ALREADY_REPORTED)
    venue.accept()
    venue.reload()
    assert_rejected(venue.try_to_report("context_switch", target="ben"), Reason.ALREADY_REPORTED)
    assert venue.report("context_switch", target="cid") == 2
    assert venue.report("context_switch", target="ben", reference="a second time") == 3


def test_so_many_reports_of_an_owner_wait_and_no_more() -> None:
    venue = Neighbours(settings=Settings(max_open_reports=2))
    venue.register("cee", owner="ci", roles=["attester"], endowment=200 * CREDIT)
    venue.report("context_switch", reference="1")
    venue.report("context_switch", reference="2", by="cee")
    for by in ("ci", "cee"):
        assert_rejected(venue.try_to_report("context_switch", reference="3", by=by), Reason.TOO_MANY_REPORTS)
    venue.accept(1)
    assert venue.report("context_switch", reference="3") == 3


def test_a_report_needs_its_stake(venue: Neighbours) -> None:
    spend(venue, "ci", 50 * CREDIT - 1)
    assert_rejected(venue.try_to_report("context_switch"), Reason.INSUFFICIENT_CREDITS)
    spend(venue, "cy", 50 * CREDIT)
    assert venue.report("context_switch", by="cy") == 1
    assert venue.purses("cy") == [0]


def test_who_is_stopped_reports_nothing_new_but_accepts(venue: Neighbours) -> None:
    venue.report("context_switch")
    venue.must(OPERATOR, SuspendAgent, agent="ci")
    assert_rejected(venue.try_to_report("context_switch", reference="2"), Reason.AGENT_SUSPENDED)
    venue.must(OPERATOR, HaltAgent, agent="ann")
    venue.accept()


# ── when it is final ────────────────────────────────────────────────────────────────────────────


def test_it_is_final_when_its_window_has_passed_to_the_microsecond(venue: Neighbours) -> None:
    venue.report("blocking", units=5, target="ben")
    final_at_us = venue.levy().final_at_us
    assert final_at_us == venue.time_us + DAY_US
    assert venue.purses("ann", "ben") == [90, 100]
    venue.advance_to(final_at_us - 1)
    venue.reload()
    assert venue.purses("ben") == [100]
    venue.advance_to(final_at_us)
    assert venue.purses("ann", "ben", "ci") == [90, 110, 200]
    assert (venue.levy().state, venue.levy().outcome) == ("final", "undisputed")
    answer = venue.submit("ann", Quarrel, family="externalities", number=1)
    assert_rejected(answer, Reason.UNKNOWN_EXTERNALITY)


def test_an_outage_across_the_deadline_gives_five_minutes_to_dispute(venue: Neighbours) -> None:
    venue.report("blocking", units=5, target="ben")
    venue.advance_to(venue.levy().final_at_us - SECOND_US)
    venue.change_leader(3_600)
    assert venue.levy().state == "open"
    venue.dispute()
    assert venue.levy().state == "disputed"


def test_a_halt_of_the_venue_lets_it_wait(venue: Neighbours) -> None:
    venue.report("blocking", units=5, target="ben")
    venue.must(OPERATOR, HaltVenue, state="halted")
    venue.advance_to(venue.time_us + 2 * DAY_US)
    assert venue.levy().state == "open"
    venue.must(OPERATOR, HaltVenue, state="open")
    venue.advance(299)
    assert venue.levy().state == "open"
    venue.advance(1)
    assert venue.levy().state == "final"


def test_only_who_it_goes_against_accepts_it_and_once(venue: Neighbours) -> None:
    venue.report("blocking", units=5, target="ben")
    for name in ("ben", "ci", OPERATOR):
        assert_rejected(venue.submit(name, AcceptExternality, externality=1), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("ann", AcceptExternality, externality=2), Reason.UNKNOWN_EXTERNALITY)
    venue.accept(by="amy")
    assert_rejected(venue.submit("ann", AcceptExternality, externality=1), Reason.WRONG_STATE)
    assert venue.levy().outcome == "accepted"


def test_the_rate_of_the_report_stays() -> None:
    venue = Neighbours()
    venue.report("blocking", units=5, target="ben")
    import msgspec

    context = venue.engine.context
    context.settings = msgspec.structs.replace(context.settings, blocking_rate=9 * CREDIT)
    rates = {rate.kind: rate.rate for rate in venue.engine.query("ben", GetRates()).rates}  # type: ignore[attr-defined]
    assert rates["blocking"] == 9 * CREDIT
    venue.accept()
    assert venue.purses("ben") == [110]


# ── disputes ────────────────────────────────────────────────────────────────────────────────────


def test_an_overturned_report_gives_everything_back_and_forfeits_its_stake(venue: Neighbours) -> None:
    venue.break_(bens=50, cids=20)
    assert_rejected(venue.submit("ben", Quarrel, family="externalities", number=1), Reason.NOT_PERMITTED)
    venue.dispute()
    venue.advance_to(venue.time_us + 2 * DAY_US)
    assert venue.levy().state == "disputed"
    assert_rejected(venue.submit("ann", AcceptExternality, externality=1), Reason.WRONG_STATE)
    assert_rejected(venue.submit("amy", Quarrel, family="externalities", number=1), Reason.ALREADY_DISPUTED)
    venue.reload()
    finals, evidence = venue.facts(ExternalityFinal), venue.facts(EvidenceGiven)
    venue.decide(upheld=True)
    assert venue.purses(*PARTIES) == [150, 100, 100, 150]
    assert (venue.levy().state, venue.levy().outcome, finals, evidence) == ("overturned", "overturned", [], [])
    # It is not to be had a second time.
    assert_rejected(venue.try_to_report(**venue.broken(bens=50, cids=20)), Reason.ALREADY_REPORTED)


def test_a_dispute_that_is_lost_makes_it_final(venue: Neighbours) -> None:
    venue.break_(bens=50, cids=20)
    venue.dispute()
    venue.decide(upheld=False)
    assert venue.purses(*PARTIES) == [86, 110, 104, 200]
    assert venue.levy().outcome == "dispute_lost"


def test_who_judges_is_of_no_owner_whom_it_concerns(venue: Neighbours) -> None:
    venue.report(source="dot", **venue.broken(bens=50, nobodys=20))
    venue.dispute(by="dot")
    quarrels: Any = venue.engine.mechanisms["quarrels"]
    terms = quarrels.terms
    assert (terms.claimant, terms.respondent, terms.amount) == ("dot", "ci", venue.levy().amount)
    assert sorted(terms.excluded) == ["ann", "ben", "ci", "dot"]


def test_overturned_with_a_bond_the_bond_is_there_again_and_answers_for_the_next(venue: Neighbours) -> None:
    venue.break_(declared=5, bens=100)
    # The bond of 5 paid first, and ann the other 5.
    assert venue.purses("ann") == [90]
    venue.dispute()
    venue.decide(upheld=True)
    assert venue.purses("ann") == [145]
    (change,) = venue.changes()
    assert (change.left, change.externality, change.is_open) == (5 * CREDIT, None, True)
    venue.report(**venue.broken(bens=20), reference="another")
    assert (venue.levy(2).change, venue.levy(2).from_bond) == (1, 2 * CREDIT)
    venue.advance_to(venue.time_us + WEEK_US)
    assert venue.purses("ann") == [148]


def test_overturned_after_the_bond_was_over_it_returns_at_once(venue: Neighbours) -> None:
    venue.break_(declared=20, bens=100)
    venue.dispute()
    venue.advance_to(venue.time_us + WEEK_US)
    assert venue.purses("ann") == [90]
    venue.decide(upheld=True)
    assert venue.purses("ann") == [150]


# ── what cannot be paid ─────────────────────────────────────────────────────────────────────────


def test_what_the_source_does_not_have_is_a_lien_and_is_owed_to_those_who_suffer(venue: Neighbours) -> None:
    spend(venue, "ann", 4 * CREDIT)
    venue.break_(bens=75, cids=25)
    view = venue.levy()
    assert (view.amount, view.held, view.owed) == (20 * CREDIT, 4 * CREDIT, 16 * CREDIT)
    (lien,) = liens(venue)
    assert (lien.debtor, lien.creditor, lien.amount) == ("ann", "escrow:externalities:1", 16 * CREDIT)
    venue.accept()
    # Everybody is paid the same part, and owed the rest.
    assert venue.purses("ben", "cid", "ci") == [103, 101, 200]
    assert [(lien.creditor, lien.amount) for lien in liens(venue)] == [("ben", 12 * CREDIT), ("cid", 4 * CREDIT)]
    (told,) = venue.told("ben", "externalities.ended")
    assert (told.paid, told.owed) == (3 * CREDIT, 12 * CREDIT)
    venue.reload()
    fund(venue, "ann", 16)
    venue.must("ann", PayLiens, amount=16 * CREDIT)
    assert venue.purses("ann", "ben", "cid") == [0, 115, 105]
    assert liens(venue) == []


def fund(venue: Neighbours, agent: str, credits_: int) -> None:
    ledger = venue.engine.ledger
    ledger.transfer(ledger.balance("dot", "credit"), ledger.balance(agent, "credit"), credits_ * CREDIT)


def test_what_is_paid_of_the_lien_meanwhile_waits_with_the_rest(venue: Neighbours) -> None:
    spend(venue, "ann", 0)
    venue.break_(bens=75, cids=25)
    fund(venue, "ann", 8)
    venue.must("ann", PayLiens, amount=8 * CREDIT)
    assert (venue.levy().held, venue.levy().owed) == (8 * CREDIT, 12 * CREDIT)
    assert venue.purses("ben", "cid") == [100, 100]
    venue.advance_to(venue.levy().final_at_us)
    assert venue.purses("ben", "cid") == [106, 102]
    assert [lien.amount for lien in liens(venue)] == [9 * CREDIT, 3 * CREDIT]


def test_overturned_the_lien_is_gone_and_what_was_paid_of_it_comes_back(venue: Neighbours) -> None:
    spend(venue, "ann", 3 * CREDIT)
    venue.break_(bens=100)
    fund(venue, "ann", 2)
    venue.must("ann", PayLiens, amount=2 * CREDIT)
    venue.dispute()
    venue.decide(upheld=True)
    assert liens(venue) == []
    assert venue.purses("ann", "ben", "ci") == [55, 100, 150]


def test_liens_of_a_levy_are_as_old_as_its_report(venue: Neighbours) -> None:
    """After a week they bind every agent of the owner, also those that arose when it became final."""
    spend(venue, "ann", 0)
    reported_us = venue.time_us
    venue.break_(bens=50, cids=50)
    venue.advance_to(reported_us + DAY_US)
    assert [lien.since_us for lien in liens(venue)] == [reported_us, reported_us]
    venue.advance_to(reported_us + WEEK_US - 1)
    assert venue.purses("amy", "ben", "cid") == [100, 100, 100]
    venue.advance_to(reported_us + WEEK_US)
    assert venue.purses("amy", "ben", "cid") == [80, 110, 110]


def test_a_levy_disputed_for_longer_than_a_week_binds_the_owner_before_it_is_final(venue: Neighbours) -> None:
    spend(venue, "ann", 0)
    venue.break_(bens=50, cids=50)
    spend(venue, "amy", 5 * CREDIT)
    venue.dispute()
    venue.advance_to(venue.time_us + 8 * DAY_US)
    assert [lien.amount for lien in liens(venue, "amy")] == [20 * CREDIT]
    venue.decide(upheld=False)
    assert [lien.amount for lien in liens(venue, "amy")] == [10 * CREDIT, 10 * CREDIT]
    venue.reload()
    fund(venue, "amy", 30)
    venue.must("amy", PayLiens, amount=20 * CREDIT)
    assert venue.purses("amy", "ben", "cid") == [15, 110, 110]
    assert liens(venue) == []


def test_resting_orders_pay_before_a_lien(venue: Neighbours) -> None:
    venue.market()
    venue.buy("ann", 9, 10 * CREDIT)
    venue.break_(bens=50, cids=50)
    assert (venue.levy().held, venue.levy().owed) == (20 * CREDIT, 0)
    assert venue.balance("ann") == (80 * CREDIT, 0)


# ── revoked parties ─────────────────────────────────────────────────────────────────────────────


def test_parties_that_are_revoked_pay_and_are_paid_through_their_heirs(venue: Neighbours) -> None:
    venue.register("bea", owner="ben", endowment=0)
    venue.register("cia", owner="ci", endowment=0)
    venue.break_(bens=50, cids=50)
    for name in ("ann", "ben", "cid", "ci"):
        venue.must(OPERATOR, RevokeAgent, agent=name)
    treasury = venue.system_credits("treasury")
    venue.reload()
    venue.advance_to(venue.levy().final_at_us)
    # ben's 100 went to bea, cid had nobody.
    assert venue.purses("amy", "bea", "cia") == [180, 110, 200]
    assert venue.system_credits("treasury") - treasury == 10 * CREDIT


def test_what_a_revoked_agent_did_is_paid_by_its_owners_oldest(venue: Neighbours) -> None:
    venue.must(OPERATOR, RevokeAgent, agent="ann")
    venue.report("blocking", units=5, target="ben")
    assert venue.purses("amy") == [190]
    # The owner's other agents speak for it.
    venue.dispute(by="amy")
    venue.decide(upheld=True)
    assert venue.purses("amy") == [250]


def test_where_nobody_is_left_there_is_nothing_to_report(venue: Neighbours) -> None:
    for name in ("ann", "amy"):
        venue.must(OPERATOR, RevokeAgent, agent=name)
    assert_rejected(venue.try_to_report("blocking", units=5, target="ben"), Reason.AGENT_REVOKED)


def test_a_source_revoked_in_debt_still_owes(venue: Neighbours) -> None:
    venue.must(OPERATOR, RevokeAgent, agent="amy")
    spend(venue, "ann", CREDIT)
    venue.break_(bens=50)
    venue.must(OPERATOR, RevokeAgent, agent="ann")
    venue.advance_to(venue.levy().final_at_us)
    assert [(lien.debtor, lien.creditor) for lien in liens(venue)] == [("ann", "ben")]


# ── what others hear ────────────────────────────────────────────────────────────────────────────


def test_the_owner_of_a_module_that_broke_others_has_evidence_against_it(venue: Neighbours) -> None:
    evidence = venue.facts(EvidenceGiven)
    venue.report(source="dot", **venue.broken(bens=50, nobodys=50, amys=100))
    venue.accept(by="dot")
    stakes = {fact.rater: fact.stake // CREDIT for fact in evidence}
    assert {(fact.agent, fact.domain, fact.score) for fact in evidence} == {("ann", "module", 0)}
    # amy's own module suffered, too, but nobody rates itself.
    assert stakes == {"ben": 10, None: 10}
    (view,) = venue.engine.query("ben", GetReputation(agent="ann", domain="module")).domains  # type: ignore[attr-defined]
    assert view.score < 500_000


def test_every_party_is_told(venue: Neighbours) -> None:
    venue.break_(bens=50, nobodys=50)
    shares = {name: [event.share for event in venue.told(name, "externalities.reported")] for name in PARTIES}
    assert shares == {"ann": [0], "ben": [10 * CREDIT], "cid": [], "ci": [0]}
    venue.accept()
    paid = {name: [event.paid for event in venue.told(name, "externalities.ended")] for name in PARTIES}
    assert paid == {"ann": [0], "ben": [10 * CREDIT], "cid": [], "ci": [0]}


def test_levies_are_no_secret(venue: Neighbours) -> None:
    venue.break_(bens=50)
    assert venue.levy(agent="dot") == venue.levy(agent="ann")
    assert [venue.levies(name) for name in ("ann", "amy", "ben", "ci", "dot")] == [[1], [1], [1], [1], []]
    assert venue.levies("dot", everybodys=True) == [1]
    venue.report("context_switch", target="cid")
    query = {"everybodys": True, "limit": 1}
    assert venue.levies("dot", **query) == [1]
    assert venue.levies("dot", **query, after=1) == [2]
    venue.accept(1)
    assert venue.levies("ann") == [2]
    with pytest.raises(NotFound, match="no externality 9"):
        venue.levy(9)


def test_few_ended_levies_are_remembered() -> None:
    venue = Neighbours(check_every=500, settings=Settings(externality_stake=0, context_switch_rate=1))
    for turn in range(1_001):
        venue.report("context_switch", target="ben", reference=str(turn))
        venue.accept(turn + 1)
    with pytest.raises(NotFound):
        venue.levy(1)
    assert venue.levy(2).state == "final"
    assert venue.report("context_switch", target="ben", reference="0") == 1_002
    answer = venue.try_to_report("context_switch", target="ben", reference="1")
    assert answer.reason == Reason.ALREADY_REPORTED


def test_walks_come_to_every_command() -> None:
    accepted: dict[str, int] = {}
    ends: dict[str | None, None] = {}
    for seed in (1, 2):
        taken = walk(seed, "externalities", "disputes", steps=900)
        accepted.update(taken.accepted)
        externalities: Any = taken.venue.engine.mechanisms["externalities"]
        ends.update(dict.fromkeys(levy.outcome for levy in externalities.ended.values()))
    commands = ("externalities.declare", "externalities.report", "externalities.accept")
    assert [tag for tag in commands if tag not in accepted] == []
    assert {"accepted", "undisputed", "dispute_lost", "overturned"} <= set(ends)

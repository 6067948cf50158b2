"""Externalities over time: prices follow their use, and what is levied is what is paid, owed, or given back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.mechanisms.governance import Governance
from exchange.messages.admin import Settings
from exchange.messages.base import VENUE_AGENT
from exchange.messages.debts import IssueDebt, SignDebt
from exchange.messages.externalities import DeclareChange, GetRates
from exchange.messages.governance import BeginGovernance
from exchange.messages.payments import GetLiens, PayLiens
from exchange.messages.reasons import Reason
from exchange.testing import OPERATOR, assert_rejected
from tests.core.neighbours import WEEK_US, Neighbours
from tests.core.work import CREDIT, DAY_US, HOUR_US

if TYPE_CHECKING:
    from exchange.messages.payments import LienView

TARGET: Final = 100
"""So much severity a day leaves the rate where it is."""


class Governed(Neighbours):
    """Be neighbours whose rates follow their use, from now on by day."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(settings=Settings(**{"coupling_target": TARGET, **settings}))
        self.send(VENUE_AGENT, BeginGovernance(id="governance.2", valid_until_us=self.time_us))

    @property
    def governance(self) -> Governance:
        found = self.engine.mechanisms["governance"]
        assert isinstance(found, Governance)
        return found

    def rate(self, kind: str = "coupling") -> int:
        rates = self.engine.query("ben", GetRates()).rates  # type: ignore[attr-defined]
        (found,) = [each.rate for each in rates if each.kind == kind]
        return int(found)

    def end_day(self) -> None:
        ends_us = self.governance.days.ends_us
        assert ends_us is not None
        self.advance_to(ends_us)

    def pay_for(self, day: int, **severities: int) -> int:
        """Let ann declare a change, break others by it and accept that; return what it cost."""
        self.declare(bond=5)
        number = self.report(**self.broken(**severities), reference=f"day {day}")
        self.accept(number)
        return self.levy(number).amount


# ── congestion pricing ──────────────────────────────────────────────────────────────────────────


def test_who_breaks_more_than_the_venue_aims_at_makes_the_next_day_dearer() -> None:
    """Twice the target a day is an eighth more for the next; at the target it stays, below it falls again."""
    venue = Governed()
    costs, rates = [], []
    for day, severities in enumerate((
        {"bens": 100, "cids": 100},
        {"bens": 100, "cids": 100},
        {"bens": 100},
        {"bens": 40},
        {},
    )):  # fmt: skip
        rates.append(venue.rate())
        if severities:
            costs.append(venue.pay_for(day, **severities))
        venue.reload()
        venue.end_day()
    rates.append(venue.rate())
    # 10 · 9/8 · 9/8, then the target; 40 of 100 is 0.6 below: 37/40 of it; an idle day takes an eighth.
    assert rates == [10_000_000, 11_250_000, 12_656_250, 12_656_250, 11_707_031, 10_243_652]
    assert costs == [20_000_000, 22_500_000, 12_656_250, 12_656_250 * 40 // 100]


def test_only_what_is_final_moves_the_rate_and_on_the_day_on_which_it_is() -> None:
    venue = Governed()
    venue.declare(bond=20)
    venue.advance_to(venue.time_us + HOUR_US)
    venue.report(**venue.broken(bens=100, cids=100))
    venue.end_day()
    # Nothing was final on this day, which took an eighth.
    assert venue.rate() == 8_750_000
    venue.advance_to(venue.time_us + HOUR_US)
    assert venue.levy().state == "final"
    venue.end_day()
    assert venue.rate() == 8_750_000 * 9 // 8


def test_what_is_overturned_moves_no_rate() -> None:
    venue = Governed()
    venue.break_(bens=100, cids=100)
    venue.dispute()
    venue.decide(upheld=True)
    venue.end_day()
    assert venue.rate() == 8_750_000


def test_two_neighbours_alone_do_not_move_the_price_by_reporting_it_often() -> None:
    venue = Governed(max_open_reports=10, externality_stake=0)
    for turn in range(5):
        venue.accept(venue.report(**venue.broken(bens=TARGET // 2), reference=str(turn)))
    venue.end_day()
    # Half of the target, once: a sixteenth less.
    assert venue.rate() == 9_375_000


# ── terms are frozen ────────────────────────────────────────────────────────────────────────────


def test_what_was_done_is_priced_as_it_was_then() -> None:
    """A rate that rises counts forward: a report of today about yesterday costs what it did yesterday."""
    venue = Governed()
    venue.pay_for(0, bens=100, cids=100)
    yesterday_us = venue.time_us
    venue.end_day()
    assert venue.rate() == 11_250_000
    venue.report(**venue.broken(bens=10), changed_us=yesterday_us, reference="yesterday's")
    venue.report(**venue.broken(bens=10), changed_us=venue.time_us - 1, reference="still yesterday's")
    venue.report(**venue.broken(bens=10), changed_us=venue.time_us, reference="today's")
    assert [venue.levy(number).rate for number in (2, 3, 4)] == [10_000_000, 10_000_000, 11_250_000]
    assert [venue.levy(number).amount for number in (2, 4)] == [2_000_000, 2_250_000]


def test_a_declared_change_costs_what_it_did_when_it_was_declared() -> None:
    venue = Governed()
    venue.pay_for(0, bens=100, cids=100)
    venue.declare(bond=20)
    venue.advance_to(venue.time_us + 1)
    venue.governance.rates.set("max_coupling_tax", 9 * CREDIT)
    venue.end_day()
    venue.reload()
    venue.report(**venue.broken(bens=100), reference="declared yesterday")
    assert (venue.levy(2).rate, venue.levy(2).amount, venue.levy(2).is_doubled) == (10_000_000, 10_000_000, False)
    # By now the cap is lower.
    venue.declare(bond=20)
    venue.report(**venue.broken(bens=100), reference="declared today")
    assert (venue.levy(3).rate, venue.levy(3).amount) == (11_250_000, 9_000_000)


def test_a_window_that_has_begun_is_as_long_as_it_was_when_it_did() -> None:
    venue = Governed()
    venue.report(**venue.broken(bens=10))
    final_at_us = venue.time_us + DAY_US
    venue.advance_to(venue.time_us + HOUR_US)
    venue.governance.rates.set("dispute_window_seconds", 3_600)
    assert venue.levy().final_at_us == final_at_us
    venue.report(**venue.broken(bens=10), reference="another")
    assert venue.levy(2).final_at_us == venue.time_us + HOUR_US
    venue.advance_to(final_at_us - 1)
    assert [venue.levy(number).state for number in (1, 2)] == ["open", "final"]


# ── debt that is issued at the venue ────────────────────────────────────────────────────────────


def test_nobody_takes_the_place_of_the_price_of_debt_that_is_yet_to_be_issued() -> None:
    """A report of a trifle under the reference that the venue will use must not make the real thing free."""
    venue = Neighbours()
    assert_rejected(
        venue.try_to_report("debt", units=1, reference="debts:1"),
        Reason.INVALID_EXTERNALITY_TERMS,
    )
    terms = {
        "feature": "the parser",
        "principal_hours_milli": 20_000,
        "interest_hours_milli_per_month": 2_500,
        "maturity_us": venue.time_us + 90 * DAY_US,
        "beneficiaries": {"ben": 1},
        "sign_by_us": venue.time_us + DAY_US,
    }
    venue.must("ann", IssueDebt, **terms)
    venue.must("ben", SignDebt, token=1)
    assert (venue.levy().reference, venue.levy().amount) == ("debts:1", 2_500_000)


# ── conservation ────────────────────────────────────────────────────────────────────────────────

MODULES: Final = ("bens", "cids", "amys", "nobodys")
OWNERS: Final = {"bens": "ben", "cids": "cid", "nobodys": "public_fund"}


def liens(venue: Neighbours) -> list[LienView]:
    return venue.engine.query(OPERATOR, GetLiens()).liens  # type: ignore[attr-defined,no-any-return]


def worth(venue: Neighbours) -> dict[str, int]:
    """Return what everybody has available; nobody holds anything."""
    purses = {name: venue.balance(name)[0] for name in ("ann", "amy", "ben", "cid", "ci")}
    return {**purses, "public_fund": venue.system_credits("public_fund")}


@given(
    severities=st.dictionaries(st.sampled_from(MODULES), st.integers(1, 100), min_size=1),
    rate=st.integers(1, 30 * CREDIT),
    cap=st.integers(1, 40 * CREDIT),
    bond=st.one_of(st.none(), st.integers(5 * CREDIT, 30 * CREDIT)),
    purse=st.one_of(st.just(0), st.integers(0, 100 * CREDIT)),
    repaid=st.one_of(st.just(0), st.integers(0, 10 * CREDIT)),
    how=st.sampled_from(("accepted", "undisputed", "dispute_lost", "overturned")),
    reloads=st.booleans(),
)
def test_what_is_levied_is_paid_or_owed_to_those_who_are_due_or_given_back(
    severities: dict[str, int],
    rate: int,
    cap: int,
    bond: int | None,
    purse: int,
    repaid: int,
    how: str,
    reloads: bool,
) -> None:
    venue = Neighbours(settings=Settings(coupling_rate=rate, max_coupling_tax=cap, change_bond_min=1))
    ledger = venue.engine.ledger
    if bond is not None:
        venue.must("ann", DeclareChange, module="base", bond=bond)
    spent = max(venue.balance("ann")[0] - purse, 0)
    ledger.transfer(ledger.balance("ann", "credit"), ledger.balance("dot", "credit"), spent)
    before = worth(venue)
    answer = venue.try_to_report(**venue.broken(**severities))
    counted = sum(severity for module, severity in severities.items() if module in OWNERS)
    amount = min(rate * counted // 100, cap) * (1 if bond is not None else 2)
    if not amount:
        assert_rejected(answer, Reason.NOTHING_AFFECTED)
        assert worth(venue) == before
        return
    view = venue.levy()
    from_bond = min(bond or 0, amount)
    assert (view.amount, view.from_bond) == (amount, from_bond)
    assert view.held == from_bond + min(amount - from_bond, before["ann"])
    assert view.held + view.owed == amount == sum(share.share for share in view.shares)
    shares = {share.beneficiary: share.share for share in view.shares}
    assert sorted(shares) == sorted({OWNERS[module] for module in severities if module in OWNERS})
    # What is owed for a while is earned and paid meanwhile, or not.
    paid = min(repaid, view.owed)
    if paid:
        ledger.transfer(ledger.balance("dot", "credit"), ledger.balance("ann", "credit"), paid)
        before["ann"] += paid
        venue.must("ann", PayLiens, amount=paid)
    if reloads:
        venue.reload()
    _end(venue, how)
    after = worth(venue)
    if how == "overturned":
        # Everything is as it was, the bond too, but that the attester's stake is ann's.
        assert liens(venue) == []
        stake = 50 * CREDIT
        assert after == {**before, "ann": before["ann"] + stake, "ci": before["ci"] - stake}
    else:
        owed: dict[str, int] = {}
        for lien in liens(venue):
            owed[lien.creditor] = owed.get(lien.creditor, 0) + lien.amount
        for name, share in shares.items():
            assert after[name] - before[name] + owed.get(name, 0) == share
        assert sum(owed.values()) == view.owed - paid
        assert sum(after.values()) - sum(before.values()) == from_bond
        assert after["ci"] == before["ci"]
    venue.advance_to(venue.time_us + WEEK_US)
    left = (bond or 0) - (0 if how == "overturned" else from_bond)
    # A lien binds amy by now, too; what it takes of anybody goes to those who are due.
    assert sum(worth(venue).values()) - sum(after.values()) == left


def _end(venue: Neighbours, how: str) -> None:
    if how == "accepted":
        venue.accept()
    elif how == "undisputed":
        venue.advance_to(venue.time_us + DAY_US)
    else:
        venue.dispute()
        venue.decide(upheld=how == "overturned")
    assert venue.levy().outcome == how


@pytest.mark.parametrize("how", ["accepted", "overturned"])
def test_shares_that_come_to_nothing_are_no_obstacle(how: str) -> None:
    """One smallest unit among three who suffer: one of them has it."""
    venue = Neighbours(settings=Settings(max_coupling_tax=1))
    venue.declare()
    venue.report(**venue.broken(bens=30, cids=30, nobodys=30))
    assert [share.share for share in venue.levy().shares] == [1, 0, 0]
    _end(venue, how)
    assert venue.balance("ben")[0] == 100 * CREDIT + (how == "accepted")

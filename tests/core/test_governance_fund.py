"""The public fund: what comes in, work, subsidies and shares that are voted for, and what recirculates by itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from exchange.mechanisms import REGISTRY
from exchange.mechanisms.base import CommandRule, Mechanism
from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.facts import GoodSubsidised, TaskOpened, TaskOrdered
from exchange.messages.admin import RevokeAgent
from exchange.messages.governance import ProposeShare, ProposeSubsidy, ProposeWork
from exchange.testing import OPERATOR
from tests.core.council import CREDIT, DAY_US, Council

WORK: dict[str, Any] = {"title": "write the docs", "effort_minutes": 120, "reserve": 40 * CREDIT, "skills": ["docs"]}
SUPPLY = 1_000_000 * CREDIT


def passed(venue: Council, kind: type[Any], **terms: Any) -> int:
    """Let a proposal of ``o0`` pass."""
    number = int(venue.must("o0", kind, **terms).data["proposal"])
    venue.vote("o1 o2", proposal=number)
    assert venue.close(number).state == "passed"
    return number


def enacted_at(venue: Council, number: int) -> None:
    enacts_at_us = venue.view_proposal(number).enacts_at_us
    assert enacts_at_us is not None
    venue.advance_to(enacts_at_us)


# ── shares ──────────────────────────────────────────────────────────────────────────────────────


def test_a_share_goes_to_every_owner_alike_and_the_rest_to_who_was_first() -> None:
    """103 units among 10 owners: 10 each, and one more for the first three."""
    venue = Council(begins=False)
    venue.register("o1-b", owner="o1", endowment=0)
    venue.endow_fund(103)
    number = passed(venue, ProposeShare, amount=103)
    enacted_at(venue, number)
    assert [venue.balance(f"o{n}")[0] - 100 * CREDIT for n in range(10)] == [11, 11, 11, *[10] * 7]
    assert venue.balance("o1-b")[0] == 0
    assert venue.system_credits("public_fund") == 0
    (began,) = venue.told("o0", "governance.share_began")
    assert (began.amount, began.owners) == (103, 10)
    assert venue.view_proposal().state == "enacted"


def test_a_share_smaller_than_the_number_of_owners() -> None:
    venue = Council(begins=False)
    venue.endow_fund(3)
    enacted_at(venue, passed(venue, ProposeShare, amount=3))
    assert [venue.balance(f"o{n}")[0] - 100 * CREDIT for n in range(10)] == [1, 1, 1, *[0] * 7]


def test_a_lien_takes_its_quarter_of_a_share() -> None:
    venue = Council(owners=4, begins=False)
    venue.endow_fund(400)
    number = passed(venue, ProposeShare, amount=400)
    cashier = venue.engine.context.cashier
    assert cashier.charge("o3", "o2", 110 * CREDIT, "test") == 100 * CREDIT
    enacted_at(venue, number)
    assert (venue.balance("o3")[0], cashier.owed("o3")) == (75, 10 * CREDIT - 25)


def test_more_than_the_fund_has_is_not_shared() -> None:
    venue = Council(begins=False)
    venue.endow_fund(99)
    number = passed(venue, ProposeShare, amount=100)
    enacted_at(venue, number)
    assert (venue.view_proposal().state, venue.system_credits("public_fund")) == ("unfunded", 99)


@hypothesis_settings(max_examples=25, deadline=None)
@given(st.integers(1, 23), st.integers(1, 10**6), st.integers(1, 9), st.data())
def test_shares_are_paid_to_the_unit_whatever_the_page(
    owners: int, amount: int, page: int, data: st.DataObject
) -> None:
    """Whoever goes meanwhile: the others get what they would have got, and what is left comes back."""
    venue = Council(owners=owners, begins=False)
    venue.endow_fund(amount)
    venue.governance.fund.page = page
    venue.governance.fund.share(amount)
    gone = data.draw(st.sets(st.integers(0, owners - 1), max_size=3))
    for n in sorted(gone):
        venue.must(OPERATOR, RevokeAgent, agent=f"o{n}")
    while venue.governance.fund.shares:
        venue.reload()
        venue.governance.fund.page = page
        venue.advance(1)
    each, rest = divmod(amount, owners)
    gains = [venue.balance(f"o{n}")[0] - 100 * CREDIT for n in range(owners) if n not in gone]
    assert all(gain in (each, each + 1) for gain in gains)
    assert sum(gains) <= amount
    assert sum(gain > each for gain in gains) <= rest
    if not gone:
        assert sum(gains) == amount
        assert venue.system_credits("public_fund") == 0


def test_many_owners_are_paid_a_page_at_a_time() -> None:
    """A batch pays 500 owners at most; the next page waits for the next batch."""
    venue = Council(owners=1_201, begins=False, check_every=500)
    venue.endow_fund(1_201_000)
    venue.governance.fund.share(1_201_000)
    paid = []
    while venue.governance.fund.shares:
        paid.append(sum(venue.balance(f"o{n}")[0] > 100 * CREDIT for n in range(1_201)))
        venue.change_leader()
        venue.advance(1)
    # The operator, who has no share, is looked at, too.
    assert paid == [499, 999]
    assert all(venue.balance(f"o{n}")[0] == 100 * CREDIT + 1_000 for n in range(1_201))


def test_who_comes_while_a_share_is_being_paid_takes_nothing_from_who_was_there() -> None:
    """Not even an owner that had an agent before, which could not vote."""
    venue = Council(owners=0, begins=False)
    venue.register("late-ci", owner="late", roles=["attester"], endowment=0)
    venue.register("o0", "o1", "o2", endowment=0)
    venue.endow_fund(300)
    venue.governance.fund.page = 1
    assert venue.governance.fund.share(300) == 3
    venue.register("late", owner="late", endowment=0)
    venue.register("o3", endowment=0)
    while venue.governance.fund.shares:
        venue.reload()
        venue.governance.fund.page = 1
        venue.advance(1)
    assert [venue.balance(name)[0] for name in ("o0", "o1", "o2", "late", "o3")] == [100, 100, 100, 0, 0]
    assert venue.system_credits("public_fund") == 0


def test_what_nobody_is_there_to_share_stays_in_the_fund() -> None:
    venue = Council(owners=1, begins=True, voting_seconds=60, enactment_lock_seconds=60)
    number = int(venue.must("o0", ProposeShare, amount=5).data["proposal"])
    venue.vote("o0")
    venue.close(number)
    venue.must(OPERATOR, RevokeAgent, agent="o0")
    venue.endow_fund(SUPPLY // 2)
    enacted_at(venue, number)
    assert venue.view_proposal(number).state == "impossible"
    venue.advance(31 * 86_400)
    assert venue.system_credits("public_fund") == SUPPLY // 2


# ── recirculation ───────────────────────────────────────────────────────────────────────────────


def test_what_exceeds_a_fifth_of_the_supply_is_shared_after_a_month() -> None:
    """To the unit: of 200,000.0007 credits the 0.0007 above 20 % of a million are shared, 70 units each."""
    venue = Council()
    venue.endow_fund(200_000 * CREDIT + 700)
    fund = venue.fund()
    assert (fund.supply, fund.cap, fund.available) == (SUPPLY, 200_000 * CREDIT, 200_000 * CREDIT + 700)
    assert fund.shares_at_us == venue.time_us + 30 * DAY_US
    venue.advance_to(fund.shares_at_us - 1)
    assert venue.system_credits("public_fund") == 200_000 * CREDIT + 700
    venue.advance(1)
    assert venue.system_credits("public_fund") == 200_000 * CREDIT
    assert [venue.balance(f"o{n}")[0] for n in range(10)] == [100 * CREDIT + 70] * 10
    assert venue.fund().shares_at_us == fund.shares_at_us + 30 * DAY_US


def test_the_fees_of_the_last_day_are_swept_before_the_surplus_is_shared() -> None:
    venue = Council()
    venue.endow_fund(200_000 * CREDIT)
    venue.advance(29 * 86_400)
    venue.pay_fees(50)
    venue.advance(86_400)
    assert venue.balance("o0")[0] == 100 * CREDIT + 5
    assert (venue.system_credits("fees"), venue.system_credits("public_fund")) == (0, 200_000 * CREDIT)


def test_nothing_is_shared_at_the_cap_or_below() -> None:
    venue = Council()
    venue.endow_fund(200_000 * CREDIT)
    venue.advance(30 * 86_400)
    assert venue.balance("o0")[0] == 100 * CREDIT


def test_an_outage_over_the_end_of_a_month_shares_once() -> None:
    venue = Council()
    venue.endow_fund(200_000 * CREDIT + 100)
    venue.change_leader(outage_seconds=95 * 86_400)
    assert venue.balance("o0")[0] == 100 * CREDIT + 10
    venue.endow_fund(100)
    venue.advance(24 * 86_400)
    assert venue.balance("o0")[0] == 100 * CREDIT + 10
    venue.advance(86_400)
    assert venue.balance("o0")[0] == 100 * CREDIT + 20


def test_circulating_is_what_agents_and_escrows_have() -> None:
    venue = Council(begins=False)
    venue.endow_fund(5 * CREDIT)
    venue.pay_fees(2 * CREDIT)
    assert venue.fund().circulating == 1_000 * CREDIT
    venue.propose()
    assert venue.fund().circulating == 1_000 * CREDIT


# ── work ────────────────────────────────────────────────────────────────────────────────────────


class _Ordered:
    """Stand in for whoever opens tasks that others order: it takes the money in, and answers."""

    def __init__(self, venue: Council) -> None:
        self._context = venue.engine.context
        self.orders: list[TaskOrdered] = []
        reactions = self._context._reactions
        reactions[TaskOrdered] = [self._open]

    def _open(self, fact: TaskOrdered) -> None:
        self.orders.append(fact)
        cashier = self._context.cashier
        posting = cashier.posting("tasks:9")
        posting.move(fact.escrow, "treasury", cashier.in_escrow(fact.escrow))
        posting.post()
        self._context.announce(TaskOpened(fact.origin, 9))


def test_work_that_is_voted_for_is_ordered_with_the_money_of_the_fund() -> None:
    venue = Council(begins=False)
    ordered = _Ordered(venue)
    venue.register("ci", roles=["attester"])
    venue.endow_fund(50 * CREDIT)
    number = passed(venue, ProposeWork, **WORK, attester="ci", bidding_seconds=3_600, work_seconds=7_200)
    enacted_at(venue, number)
    (order,) = ordered.orders
    assert order == TaskOrdered(
        origin="governance:1",
        escrow=escrow_of("governance:1"),
        poster="o0",
        refund="public_fund",
        title="write the docs",
        detail="",
        skills=("docs",),
        effort_minutes=120,
        reserve=40 * CREDIT,
        closes_at_us=venue.time_us + 3_600_000_000,
        deadline_us=venue.time_us + 3 * 3_600_000_000,
        excluded_owners=("o0",),
        attester="ci",
    )
    view = venue.view_proposal()
    assert (view.state, view.task, venue.system_credits("public_fund")) == ("enacted", 9, 10 * CREDIT)
    (ended,) = venue.told("o0", "governance.proposal_ended")
    assert ended.task == 9


def test_work_that_nobody_opens_a_task_for_gives_its_money_back() -> None:
    venue = Council(begins=False)
    venue.engine.context._reactions.pop(TaskOrdered, None)
    venue.endow_fund(50 * CREDIT)
    enacted_at(venue, passed(venue, ProposeWork, **WORK))
    assert (venue.view_proposal().state, venue.system_credits("public_fund")) == ("impossible", 50 * CREDIT)


@pytest.mark.parametrize("has_heir", [True, False])
def test_work_of_who_was_revoked_is_confirmed_by_its_owner_or_nobody(*, has_heir: bool) -> None:
    venue = Council(begins=False)
    ordered = _Ordered(venue)
    venue.endow_fund(50 * CREDIT)
    if has_heir:
        venue.register("heir", owner="o0")
    number = passed(venue, ProposeWork, **WORK)
    venue.must(OPERATOR, RevokeAgent, agent="o0")
    enacted_at(venue, number)
    assert [order.poster for order in ordered.orders] == (["heir"] if has_heir else [])
    assert venue.view_proposal().state == ("enacted" if has_heir else "impossible")


def test_work_that_the_fund_cannot_pay_is_not_ordered() -> None:
    venue = Council(begins=False)
    venue.endow_fund(40 * CREDIT - 1)
    enacted_at(venue, passed(venue, ProposeWork, **WORK))
    assert venue.view_proposal().state == "unfunded"


# ── subsidies ───────────────────────────────────────────────────────────────────────────────────


class _Goods(Mechanism):
    """Stand in for public goods: number 3 is being pledged for, until somebody closes it."""

    family = "assurance"
    summary = "goods"

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.open = {3: None}
        self.given: list[GoodSubsidised] = []
        context.react(GoodSubsidised, self._take)

    def commands(self) -> dict[type[Any], CommandRule]:
        return {}

    def takes_subsidy(self, good: int) -> bool:
        return good in self.open

    def _take(self, fact: GoodSubsidised) -> None:
        self.given.append(fact)

    def escrows(self) -> list[str]:
        return [fact.escrow for fact in self.given]

    def dump(self) -> object:
        return [list(self.open)]

    def load(self, state: Any) -> None:
        (numbers,) = state
        self.open = dict.fromkeys(numbers)


@pytest.mark.parametrize("is_open", [True, False])
def test_a_subsidy_goes_to_a_good_that_is_still_being_pledged_for(*, is_open: bool) -> None:
    others = [kind for kind in REGISTRY if kind.family != "assurance"]
    venue = Council(begins=False, mechanisms=[*others, _Goods])
    goods = venue.engine.mechanisms["assurance"]
    assert isinstance(goods, _Goods)
    venue.endow_fund(50 * CREDIT)
    number = passed(venue, ProposeSubsidy, good=3, amount=20 * CREDIT)
    if not is_open:
        goods.open.clear()
    enacted_at(venue, number)
    assert venue.view_proposal().state == ("enacted" if is_open else "impossible")
    escrow = escrow_of("governance:1")
    assert goods.given == ([GoodSubsidised(3, escrow, 20 * CREDIT)] if is_open else [])
    assert venue.engine.context.cashier.in_escrow(escrow) == (20 * CREDIT if is_open else 0)
    assert venue.system_credits("public_fund") == (30 if is_open else 50) * CREDIT

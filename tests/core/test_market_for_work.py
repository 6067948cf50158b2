"""The market for work as a whole: what one mechanism decides has its consequences in the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from exchange.messages.disputes import OpenDispute, Rule, Stake
from exchange.messages.expertise import GetReputation
from exchange.messages.payments import GetLiens
from exchange.testing import OPERATOR
from tests.core.work import CREDIT, DAY_US, Work

if TYPE_CHECKING:
    from exchange.messages.payments import LienView

ARBITRATORS: Final = ("ada", "bob", "cyd")


@pytest.fixture
def venue() -> Work:
    """Return a venue with arbitrators, and ``dot``, a worker who can pay one bond of 3 and no more."""
    venue = Work()
    venue.register("dot", endowment=3 * CREDIT, skills=["python"])
    venue.register(*ARBITRATORS, roles=["arbitrator"], endowment=100 * CREDIT)
    for name in ARBITRATORS:
        venue.must(name, Stake, amount=100 * CREDIT)
    venue.advance_to(venue.time_us + 7 * DAY_US)
    return venue


def award(venue: Work, **bids: int) -> int:
    """Auction a task; return the number of its settlement."""
    task = venue.post()
    for name, credits_ in bids.items():
        assert venue.bid(name, credits_, task).accepted
    settlement = venue.close(task).settlement
    assert settlement is not None
    return settlement


def rule(venue: Work, *, upheld: bool) -> None:
    """Let a panel be drawn, of all arbitrators there are, and rule."""
    venue.advance(10)
    venue.advance(1)
    for name in ARBITRATORS:
        venue.must(name, Rule, dispute=1, upheld=upheld)


def reputation(venue: Work, agent: str) -> int:
    """Return the score of an agent's work, in millionths."""
    found = venue.engine.query(OPERATOR, GetReputation(agent=agent, domain="work"))
    return found.domains[0].score  # type: ignore[attr-defined,no-any-return]


def liens(venue: Work) -> list[LienView]:
    return venue.engine.query(OPERATOR, GetLiens()).liens  # type: ignore[attr-defined,no-any-return]


def test_bad_work_costs_bond_fee_and_name_and_the_next_pay_pays_the_debt(venue: Work) -> None:
    """An auction, a delivery, a dispute that is upheld, a lien for the fee; and a way back."""
    # ann bids 20 and dot 18: dot is to be paid 20, for which its 3 are the bond.
    number = award(venue, ann=20, dot=18)
    assert (venue.purse("dot"), venue.purse("poster")[0]) == ((0, 0), 80)
    venue.deliver(number)
    venue.must("poster", OpenDispute, family="settlements", number=number, statement="it does not build")
    assert venue.purse("poster")[0] == 79
    venue.reload()
    rule(venue, upheld=True)
    # The poster has everything back, and the bond. dot owes the panel the fee of 1, and has nothing.
    assert venue.settlement(number).state == "failed"
    assert venue.purse("poster")[0] == 103
    assert venue.purse("dot") == (0, 0)
    assert [(lien.debtor, lien.creditor, lien.amount) for lien in liens(venue)] == [
        ("dot", "ada", 333_334),
        ("dot", "bob", 333_333),
        ("dot", "cyd", 333_333),
    ]
    after_failing = reputation(venue, "dot")
    assert after_failing < 500_000
    # Who has nothing may have one award without a bond. Of what it pays, 25 % go to the liens; 1 is owed.
    venue.reload()
    number = award(venue, ann=20, dot=18)
    venue.deliver(number)
    venue.confirm(number)
    assert liens(venue) == []
    assert venue.purse("dot")[0] == 19
    assert [venue.balance(name)[0] for name in ARBITRATORS] == [333_334, 333_333, 333_333]
    assert reputation(venue, "dot") > after_failing


def test_a_dispute_in_vain_costs_the_poster_and_harms_nobody_else(venue: Work) -> None:
    number = award(venue, ann=20, dot=18)
    venue.deliver(number)
    venue.must("poster", OpenDispute, family="settlements", number=number)
    rule(venue, upheld=False)
    # 20 for the work, and the deposit of 1 for the panel.
    assert venue.settlement(number).state == "completed"
    assert venue.purse("poster")[0] == 79
    assert venue.purse("dot")[0] == 23
    assert liens(venue) == []
    assert reputation(venue, "dot") > 500_000

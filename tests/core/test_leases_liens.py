"""What a lessee earns by a revocation pays its debts, too."""

from __future__ import annotations

from typing import Any

from exchange.messages.leases import RevokeLease
from exchange.messages.payments import GetLiens
from exchange.messages.settlements import GiveUp
from tests.core.work import CREDIT, Work


def test_a_lien_takes_its_share_of_the_compensation() -> None:
    """Dan's first award has an unsecured bond, which it owes; of compensation of 0.50 a quarter goes to the poster."""
    venue = Work()
    venue.register("lab", endowment=100 * CREDIT)
    venue.register("dan", endowment=6 * CREDIT, skills=["python"])
    terms = {"settlement": "lease", "term_seconds": 3_600, "reference_price": 5 * CREDIT}
    venue.market("slot", base="slot", tick=CREDIT, **terms)
    venue.issue("lab", 1, "slot")
    venue.sell("lab", 1, 5 * CREDIT, market="slot")
    venue.buy("dan", 1, 5 * CREDIT, market="slot")
    venue.post(bond=15 * CREDIT)
    assert venue.bid("dan", 20).accepted
    venue.close()
    venue.must("dan", GiveUp, settlement=1, fencing_token=1)
    owed = debt(venue)
    assert owed > CREDIT
    venue.must("lab", RevokeLease, lease=1)
    assert owed - debt(venue) == CREDIT // 8


def debt(venue: Work) -> int:
    asked: Any = venue.engine.query("poster", GetLiens())
    (lien,) = asked.liens
    amount: int = lien.amount
    return amount

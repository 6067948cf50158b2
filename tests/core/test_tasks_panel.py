"""Who rules in a dispute about a task sees all bids of its award, and nobody else does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from exchange.mechanisms.base import NotFound
from exchange.messages.disputes import OpenDispute, Rule, Stake
from exchange.messages.tasks import ListAllBids
from exchange.testing import OPERATOR
from tests.core.work import CREDIT, DAY_US, WORKERS, Work

if TYPE_CHECKING:
    from exchange.messages.tasks import DecidedBidView

ARBITRATORS = ("ada", "bob", "cyd", "dan")


@pytest.fixture
def work() -> Work:
    venue = Work()
    venue.register(*ARBITRATORS, roles=["arbitrator"], endowment=100 * CREDIT)
    for name in ARBITRATORS:
        venue.must(name, Stake, amount=60 * CREDIT)
    venue.advance_to(venue.time_us + 7 * DAY_US)
    venue.post()
    venue.bid("ann", 20)
    venue.bid("ben", 18)
    venue.stand("cid", 25)
    venue.close()
    venue.deliver()
    return venue


def bids_for(work: Work, agent: str) -> list[DecidedBidView]:
    asked: Any = work.engine.query(agent, ListAllBids(task=1))
    found: list[DecidedBidView] = asked.bids
    return found


def assert_hidden(work: Work, *agents: str) -> None:
    for agent in agents:
        with pytest.raises(NotFound, match=f"task 1 about which {agent} is to rule"):
            bids_for(work, agent)


def test_only_the_panel_sees_all_bids(work: Work) -> None:
    everybody = ("poster", *WORKERS, OPERATOR, *ARBITRATORS)
    assert_hidden(work, *everybody)
    work.must("poster", OpenDispute, family="settlements", number=1, statement="it does not build")
    assert_hidden(work, *everybody)
    work.advance(10)
    work.advance(1)
    panel = [name for name in ARBITRATORS if work.told(name, "disputes.seated")]
    assert len(panel) == 3
    assert_hidden(work, *(name for name in everybody if name not in panel))
    work.reload()
    for name in panel:
        found = [(bid.agent, bid.price // CREDIT, bid.is_standing) for bid in bids_for(work, name)]
        assert found == [("ann", 20, False), ("ben", 18, False), ("cid", 25, True)]
    work.must(panel[0], Rule, dispute=1, upheld=True)
    assert len(bids_for(work, panel[0])) == 3
    for name in panel[1:]:
        work.must(name, Rule, dispute=1, upheld=True)
    assert_hidden(work, *everybody)


def test_a_panel_sees_no_other_task(work: Work) -> None:
    work.post()
    work.bid("ann", 20, task=2)
    work.must("poster", OpenDispute, family="settlements", number=1, statement="it does not build")
    work.advance(10)
    work.advance(1)
    for task in (2, 3):
        with pytest.raises(NotFound):
            work.engine.query("ada", ListAllBids(task=task))

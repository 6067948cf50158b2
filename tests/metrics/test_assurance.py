"""What public goods export."""

from __future__ import annotations

from tests.core.goods import OWNERS, Goods
from tests.metrics.test_work import Watched

HOUR_S = 3_600


def test_work_that_is_pledged_is_counted_in_seconds() -> None:
    """Two owners pledge four hours each for a good that takes ten times that."""
    venue = Goods()
    read = Watched(venue)
    assert read("assurance_pledged_seconds_total") == 0
    venue.propose_tests()
    for name in OWNERS[:2]:
        venue.pledge(name, hours=4)
    assert read("assurance_pledged_seconds_total") == 8 * HOUR_S
    assert read("assurance_open_pledges_seconds") == 8 * HOUR_S

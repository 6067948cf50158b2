"""Test leases as a reader would tell them: rent that accrues, early ends, renewals, turns."""

from __future__ import annotations

from exchange.messages.leases import RevokeLease
from exchange.messages.reasons import Reason
from exchange.testing import Venue, assert_rejected


def test_what_does_not_run_cannot_be_revoked() -> None:
    venue = Venue()
    venue.register("ann")
    for reason in (Reason.UNKNOWN_LEASE,):
        assert_rejected(venue.submit("ann", RevokeLease, lease=1), reason)
    assert {Reason.NO_RENEWAL_OFFER, Reason.RENEWED_TOO_FAR, Reason.RESOURCE_NOT_BUSY, Reason.TOO_MANY_TURN_BIDS}

"""Test help and reputation as a reader would tell it: offers, requests, sessions, ratings."""

from __future__ import annotations

from exchange.messages.expertise import RequestHelp
from exchange.messages.reasons import Reason
from exchange.testing import Venue, assert_rejected


def test_nobody_helps() -> None:
    venue = Venue()
    venue.register("ann")
    assert_rejected(venue.submit("ann", RequestHelp, topic="rust", max_price=1, minutes=1), Reason.NO_HELP_OFFERED)
    assert {Reason.UNKNOWN_HELP_OFFER, Reason.TOO_MANY_HELP_OFFERS, Reason.TOO_MANY_TOPICS, Reason.ALREADY_RATED}

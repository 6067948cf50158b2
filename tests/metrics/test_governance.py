"""What governance exports: parameters, proposals, votes, the fund and what circulates."""

from __future__ import annotations

from exchange.messages.governance import ProposeShare
from tests.core.council import CREDIT, DAY_US, Council
from tests.metrics.test_work import Watched


def test_parameters_are_gauges_of_their_present_value() -> None:
    """Amounts in whole credits, others in their own unit."""
    venue = Council()
    read = Watched(venue)
    assert read("governance_parameter_credits", parameter="endowment") == 100
    assert read("governance_parameter", parameter="urgency_premium_ppm") == 250_000
    venue.propose("o0", "endowment", 2_500_000)
    venue.vote("o1 o2")
    venue.enact()
    assert read("governance_parameter_credits", parameter="endowment") == 2.5
    assert read("governance_parameters_changed_total", cause="vote") == 1
    # Time jumped twice, so that two days have ended, and nothing was seen in either: all seven dynamic rates fell.
    assert read("governance_parameters_changed_total", cause="daily_rule") == 2 * 7


def test_proposals_are_counted_by_how_they_end() -> None:
    venue = Council(voting="quadratic", begins=False)
    read = Watched(venue)
    assert read("governance_electorate") == 10
    venue.propose("o0")
    venue.propose("o1", value=3 * CREDIT)
    venue.vote("o1 o2", votes=2)
    assert read("governance_open_proposals", state="voting") == 2
    assert (read("governance_votes_total"), read("governance_vote_credits_total")) == (2, 8)
    venue.advance_to(venue.time_us + 3 * DAY_US)
    assert read("governance_open_proposals", state="passed") == 1
    venue.advance_to(venue.time_us + DAY_US)
    assert read("governance_proposals_total", outcome="enacted") == 1
    assert read("governance_proposals_total", outcome="no_quorum") == 1
    assert read("governance_proposed_total", kind="change") == 2


def test_what_comes_into_the_fund_and_what_goes_out() -> None:
    venue = Council()
    read = Watched(venue)
    assert (read("governance_fund_credits"), read("governance_fund_cap_credits")) == (0, 200_000)
    assert read("governance_circulating_credits") == 1_000
    venue.pay_fees(6 * CREDIT)
    number = int(venue.must("o0", ProposeShare, amount=5 * CREDIT).data["proposal"])
    venue.vote("o1 o2", proposal=number)
    venue.enact(number)
    assert read("governance_fund_inflow_credits_total", source="fees") == 6
    assert read("governance_fund_outflow_credits_total", purpose="share") == 5
    assert (read("governance_fund_credits"), read("governance_circulating_credits")) == (1, 1_005)

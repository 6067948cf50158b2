"""Task auctions: who wins, what is paid and when; rounds, urgency, standing bids, bonds, bonuses."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.messages.admin import HaltAgent, RevokeAgent, Settings
from exchange.messages.orders import CancelAllAfter
from exchange.messages.payments import GetLiens
from exchange.messages.reasons import Reason
from exchange.messages.settlements import Deliver, GiveUp, RenewWorkLease
from exchange.messages.tasks import (
    AcceptOffer,
    CancelTask,
    ClearStandingBid,
    DeclineOffer,
    GetStandingBid,
    ListBids,
    ListTasks,
    SetStandingBid,
    WithdrawTaskBid,
)
from exchange.testing import OPERATOR, assert_rejected
from tests.core.work import CREDIT, DAY_US, HOUR_US, MINUTE_US, Work


@pytest.fixture
def venue() -> Work:
    return Work()


# ── who wins, at what price ─────────────────────────────────────────────────────────────────────


def test_a_sale_is_won_by_the_highest_bid_at_the_second_highest(venue: Work) -> None:
    """Reserve 10, bids of 50, 45 and 30: the first pays 45."""
    venue.post(direction="sale", reserve=10 * CREDIT, reward=60 * CREDIT)
    for agent, price in (("ann", 50), ("ben", 45), ("cid", 30)):
        assert venue.bid(agent, price).accepted
    assert venue.purse("ann") == (50, 50)
    task = venue.close()
    assert (task.state, task.winner, task.price, task.bids) == ("awarded", "ann", 45 * CREDIT, 3)
    # The poster was paid 45 at the award; its reward of 60 waits for the work.
    assert (venue.purse("ann"), venue.purse("poster")) == ((55, 0), (85, 0))
    assert (venue.purse("ben"), venue.purse("cid")) == ((100, 0), (100, 0))
    venue.deliver()
    venue.confirm()
    assert venue.purse("ann") == (115, 0)
    assert venue.view_task().state == "completed"


def test_a_procurement_is_won_by_the_lowest_bid_and_paid_the_second_lowest(venue: Work) -> None:
    """Bids of 20 and 18: the second is paid 20, 2 over what it asked for."""
    venue.post()
    assert venue.bid("ann", 20).accepted
    assert venue.bid("ben", 18).accepted
    task = venue.close()
    assert (task.winner, task.price, task.bids) == ("ben", 20 * CREDIT, 2)
    assert venue.purse("poster") == (80, 0)
    venue.deliver()
    venue.confirm()
    assert venue.purse("ben") == (120, 0)


@pytest.mark.parametrize(("direction", "price"), [("procurement", 30), ("sale", 30)])
def test_a_single_bid_gets_the_reserve(venue: Work, direction: str, price: int) -> None:
    venue.post(direction=direction)
    venue.bid("ann", 12 if direction == "procurement" else 70)
    assert venue.close().price == price * CREDIT


@pytest.mark.parametrize(("direction", "winner", "price"), [("procurement", "ben", 11), ("sale", "ann", 44)])
def test_first_price_is_the_winners_own_bid(venue: Work, direction: str, winner: str, price: int) -> None:
    reserve = 30 if direction == "procurement" else 5
    venue.post(direction=direction, pricing="first_price", reserve=reserve * CREDIT)
    venue.bid("ann", 22 if direction == "procurement" else 44)
    venue.bid("ben", 11)
    task = venue.close()
    assert (task.winner, task.price) == (winner, price * CREDIT)


@pytest.mark.parametrize("direction", ["procurement", "sale"])
def test_of_equal_bids_the_earlier_wins(venue: Work, direction: str) -> None:
    venue.post(direction=direction)
    venue.bid("ann", 30)
    venue.bid("ben", 30)
    # Who bids anew is later, though it says the same.
    venue.bid("ann", 30)
    assert venue.close().winner == "ben"


def test_without_a_bid_everything_goes_back(venue: Work) -> None:
    venue.post(quality_bonus=5 * CREDIT)
    assert venue.purse("poster") == (65, 0)
    task = venue.close()
    assert (task.state, task.outcome, task.bids, task.price) == ("unawarded", "no_bids", None, None)
    assert venue.purse("poster") == (100, 0)


# ── bidding ─────────────────────────────────────────────────────────────────────────────────────


def test_a_bid_can_be_replaced_and_withdrawn_until_the_close(venue: Work) -> None:
    venue.post(bond=4 * CREDIT)
    venue.bid("ann", 20)
    venue.bid("ann", 25)
    assert venue.purse("ann") == (96, 4)
    assert [bid.price for bid in venue.engine.query("ann", ListBids()).bids] == [25 * CREDIT]
    venue.must("ann", WithdrawTaskBid, task=1)
    assert venue.purse("ann") == (100, 0)
    assert_rejected(venue.submit("ann", WithdrawTaskBid, task=1), Reason.UNKNOWN_BID)
    venue.bid("ann", 21)
    venue.bid("ben", 22)
    venue.close()
    assert_rejected(venue.submit("ann", WithdrawTaskBid, task=1), Reason.WRONG_STATE)
    assert_rejected(venue.bid("ann", 19), Reason.WRONG_STATE)


@pytest.mark.parametrize(("at_us", "is_in_time"), [(-1, True), (0, False)])
def test_the_auction_closes_at_its_microsecond(venue: Work, at_us: int, is_in_time: bool) -> None:
    venue.post()
    venue.bid("ann", 20)
    venue.advance_to(venue.view_task().closes_at_us + at_us)
    assert venue.bid("ben", 10).accepted == is_in_time


def test_an_outage_gives_bidders_five_minutes(venue: Work) -> None:
    venue.post()
    venue.bid("ann", 20)
    venue.change_leader(outage_seconds=3_600)
    venue.reload()
    venue.advance(299)
    assert venue.bid("ben", 18).accepted
    venue.advance(1)
    assert venue.view_task().winner == "ben"


def test_one_bid_counts_per_owner(venue: Work) -> None:
    venue.register("ann2", owner="ann", endowment=50 * CREDIT, skills=["python"])
    venue.post(bond=3 * CREDIT)
    venue.bid("ann", 10)
    venue.bid("ann2", 25)
    assert (venue.purse("ann"), venue.purse("ann2")) == ((100, 0), (47, 3))
    venue.bid("ben", 20)
    task = venue.close()
    # Had both counted, the owner would have been the second price of its own bid.
    assert (task.winner, task.price, task.bids) == ("ben", 25 * CREDIT, 2)


def test_who_may_not_bid(venue: Work) -> None:
    venue.register("shill", owner="poster", skills=["python"])
    venue.register("novice", skills=["cooking"])
    venue.post(min_reputation=50)
    venue.post(min_reputation=51)
    assert_rejected(venue.bid("poster", 20), Reason.SAME_OWNER)
    assert_rejected(venue.bid("shill", 20), Reason.SAME_OWNER)
    assert_rejected(venue.bid("novice", 20), Reason.MISSING_SKILL)
    assert_rejected(venue.bid("ann", 31), Reason.BID_ABOVE_RESERVE)
    assert_rejected(venue.bid("ann", 20, task=2), Reason.REPUTATION_TOO_LOW)
    assert_rejected(venue.bid("ann", 20, task=3), Reason.UNKNOWN_TASK)
    assert_rejected(venue.bid("ci", 20), Reason.NOT_PERMITTED)
    venue.post(direction="sale", reserve=10 * CREDIT)
    assert_rejected(venue.bid("ann", 9, task=3), Reason.BID_BELOW_RESERVE)
    assert_rejected(venue.bid("ann", 101, task=3), Reason.INSUFFICIENT_CREDITS)


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"closes_at_us": 0}, Reason.INVALID_TASK_TERMS),
        ({"deadline_us": 0}, Reason.INVALID_TASK_TERMS),
        ({"deadline_us": 2**53 - 1}, Reason.INVALID_TASK_TERMS),
        ({"bond": 16 * CREDIT}, Reason.INVALID_TASK_TERMS),
        ({"max_price": 29 * CREDIT}, Reason.INVALID_TASK_TERMS),
        ({"reward": 1}, Reason.FIELD_NOT_ALLOWED),
        ({"direction": "sale", "bond": 1}, Reason.FIELD_NOT_ALLOWED),
        ({"critical": True}, Reason.MISSING_FIELD),
        ({"critical": True, "min_reputation": 50, "reserve": 9 * CREDIT}, Reason.INVALID_TASK_TERMS),
        ({"attester": "ann"}, Reason.UNKNOWN_AGENT),
        ({"reserve": 101 * CREDIT}, Reason.INSUFFICIENT_CREDITS),
    ],
)
def test_terms_that_are_refused(venue: Work, terms: dict[str, Any], reason: Reason) -> None:
    assert_rejected(venue.try_to_post(**terms), reason)


def test_there_are_caps_on_tasks_and_bids() -> None:
    venue = Work(settings=Settings(max_open_tasks=2, max_bids_per_task=1))
    venue.post()
    venue.post()
    assert_rejected(venue.try_to_post(), Reason.TOO_MANY_TASKS)
    venue.bid("ann", 20)
    venue.bid("ann", 21)
    assert_rejected(venue.bid("ben", 20), Reason.TOO_MANY_BIDS)
    venue.must("poster", CancelTask, task=2)
    assert venue.try_to_post().accepted


def test_a_task_can_be_taken_back_before_the_close(venue: Work) -> None:
    venue.post()
    venue.bid("ann", 20)
    assert_rejected(venue.submit("ann", CancelTask, task=1), Reason.NOT_PERMITTED)
    venue.must("poster", CancelTask, task=1)
    assert (venue.purse("poster"), venue.purse("ann")) == ((100, 0), (100, 0))
    assert venue.view_task().state == "canceled"
    assert [event.reason for event in venue.told("ann", "tasks.canceled")] == ["canceled"]
    assert_rejected(venue.submit("poster", CancelTask, task=1), Reason.WRONG_STATE)


def test_tasks_are_found_by_skill(venue: Work) -> None:
    venue.post(skills=["python"])
    venue.post(skills=["rust", "python"])
    venue.post(skills=[])

    def listed(**query: Any) -> list[int]:
        return [task.task for task in venue.engine.query("ann", ListTasks(**query)).tasks]

    assert (listed(), listed(skill="python"), listed(skill="rust")) == ([1, 2, 3], [1, 2], [2])
    assert listed(limit=2) == [1, 2]
    assert listed(after=2) == [3]
    venue.close(1)
    assert listed() == []
    assert [task.task for task in venue.engine.query("poster", ListTasks(mine=True)).tasks] == []


# ── urgency, rounds, failure ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("left", "reserve"),
    [
        (2 * HOUR_US, 20_000_000),
        (HOUR_US + HOUR_US // 2, 22_500_000),
        (HOUR_US, 25_000_000),
        (MINUTE_US * 2, 25_000_000),
    ],
)
def test_urgent_work_may_cost_more(venue: Work, left: int, reserve: int) -> None:
    """The premium begins at twice the effort and comes to 25 % at the effort itself."""
    venue.post(reserve=20 * CREDIT, max_price=40 * CREDIT, deadline_us=venue.time_us + left)
    assert venue.view_task().reserve == reserve


def test_urgency_never_costs_more_than_max_price_and_lowers_what_a_sale_asks(venue: Work) -> None:
    left = {"deadline_us": venue.time_us + HOUR_US}
    venue.post(reserve=20 * CREDIT, max_price=21 * CREDIT, **left)
    venue.post(reserve=20 * CREDIT, direction="sale", **left)
    assert (venue.view_task(1).reserve, venue.view_task(2).reserve) == (21 * CREDIT, 16 * CREDIT)


def test_a_round_without_bids_is_followed_by_another(venue: Work) -> None:
    venue.post(max_rounds=2)
    task = venue.close()
    assert (task.state, task.round) == ("open", 2)
    assert [event.round for event in venue.told("poster", "tasks.round_opened")] == [1, 2]
    venue.bid("ann", 20)
    assert venue.close().winner == "ann"


def test_a_failed_task_is_auctioned_again_without_who_failed(venue: Work) -> None:
    venue.post(max_rounds=2, on_failure="reopen", bond=3 * CREDIT)
    venue.bid("ann", 20)
    venue.bid("ben", 25)
    assert venue.close().winner == "ann"
    # What another round may cost beyond the price stays in escrow.
    assert venue.purse("poster") == (70, 0)
    venue.must("ann", GiveUp, settlement=1, fencing_token=1)
    task = venue.view_task()
    assert (task.state, task.round, task.winner) == ("open", 2, None)
    assert (venue.purse("poster"), venue.purse("ann")) == ((73, 0), (97, 0))
    assert_rejected(venue.bid("ann", 20), Reason.NOT_PERMITTED)
    venue.bid("ben", 25)
    assert venue.close().winner == "ben"
    venue.deliver(2)
    venue.confirm(2)
    assert (venue.purse("poster"), venue.purse("ben")) == ((73, 0), (130, 0))


def test_a_failed_task_ends_where_nothing_else_was_agreed(venue: Work) -> None:
    venue.post()
    venue.bid("ann", 20)
    venue.close()
    venue.must("ann", GiveUp, settlement=1, fencing_token=1)
    assert (venue.view_task().state, venue.view_task().outcome) == ("failed", "failed")
    assert (venue.purse("poster"), venue.purse("ann")) == ((103, 0), (97, 0))


def test_a_sale_that_fails_forfeits_the_reward(venue: Work) -> None:
    venue.post(direction="sale", reserve=10 * CREDIT, reward=50 * CREDIT)
    venue.bid("ann", 15)
    venue.close()
    venue.advance_to(venue.settlement().lease_until_us)
    venue.advance_to(venue.settlement().until_us)
    assert (venue.purse("poster"), venue.purse("ann")) == ((110, 0), (90, 0))


def test_a_worker_that_freezes_loses_the_task_and_its_token_is_refused(venue: Work) -> None:
    venue.post(max_rounds=2, on_failure="reopen", deadline_us=venue.time_us + 3 * DAY_US)
    venue.bid("ann", 20)
    venue.close()
    token = venue.settlement().fencing_token
    venue.advance_to(venue.settlement().lease_until_us)
    assert venue.settlement().state == "failing"
    venue.advance_to(venue.settlement().until_us)
    venue.bid("ben", 20)
    venue.close()
    assert venue.settlement(2).fencing_token > token
    assert_rejected(venue.submit("ann", Deliver, settlement=2, fencing_token=token), Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("ben", Deliver, settlement=2, fencing_token=token), Reason.STALE_FENCING_TOKEN)


def test_who_has_nothing_may_have_one_award_and_owes_its_bond(venue: Work) -> None:
    venue.register("poor", endowment=0, skills=["python"])
    venue.post(bond=3 * CREDIT)
    venue.post(bond=3 * CREDIT)
    assert venue.bid("poor", 20, task=1).accepted
    assert_rejected(venue.bid("poor", 20, task=2), Reason.INSUFFICIENT_CREDITS)
    venue.close(1)
    venue.must("poor", GiveUp, settlement=1, fencing_token=1)
    (lien,) = venue.engine.query("poster", GetLiens()).liens
    assert (lien.debtor, lien.amount, lien.cause) == ("poor", 3 * CREDIT, "settlements:1")


def test_a_critical_task_pays_at_least_the_floor(venue: Work) -> None:
    venue.post(critical=True, min_reputation=50, reserve=12 * CREDIT)
    venue.bid("ann", 4)
    venue.bid("ben", 6)
    assert venue.close().price == 10 * CREDIT


# ── bonuses ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("score", "minutes", "bonus"),
    # Of 10 for quality and 8 for efficiency: half the effort saved, at a quality of 80 %, is 8 + 3.2.
    [(80, 30, 11_200_000), (100, 0, 18_000_000), (100, 60, 10_000_000), (0, 0, 0), (None, 30, 7_000_000)],
)
def test_bonuses_pay_for_quality_and_speed(venue: Work, score: int | None, minutes: int, bonus: int) -> None:
    venue.post(attester="ci", quality_bonus=10 * CREDIT, efficiency_bonus=8 * CREDIT)
    venue.bid("ann", 20)
    venue.close()
    for _ in range(minutes // 5):
        venue.advance(300)
        venue.must("ann", RenewWorkLease, settlement=1, fencing_token=1)
    venue.deliver()
    if score is None:
        venue.advance_to(venue.settlement().until_us)
    else:
        venue.confirm(by="ci", score=score)
    assert venue.balance("ann") == (130 * CREDIT + bonus, 0)
    assert venue.balance("poster") == (70 * CREDIT - bonus, 0)
    (ended,) = venue.told("ann", "tasks.ended")
    assert ended.quality_bonus + ended.efficiency_bonus == bonus


# ── standing bids ───────────────────────────────────────────────────────────────────────────────


def test_a_poster_that_confirms_before_its_attester_has_scored_pays_the_whole_bonus(venue: Work) -> None:
    """Silence would count 50: to confirm at once must not be a way to pay half."""
    venue.post(quality_bonus=20 * CREDIT, attester="ci")
    venue.bid("ann", 20)
    venue.close()
    venue.deliver()
    venue.confirm(by="poster")
    assert venue.told("ann", "tasks.ended")[0].quality_bonus == 20 * CREDIT


@pytest.mark.parametrize(
    ("terms", "is_offered"),
    [({"price_per_hour": 29 * CREDIT, "max_effort_minutes": 30}, False), ({"price_per_hour": 13 * CREDIT}, False),
     ({"skills": ["rust"], "price_per_hour": 12 * CREDIT}, False), ({"price_per_hour": 11 * CREDIT}, True)],
)  # fmt: skip
def test_a_standing_bid_that_changed_while_another_had_its_offer(
    venue: Work, terms: dict[str, Any], is_offered: bool
) -> None:
    """Ben's is next when Ann declines; what would ask more by now, or takes such tasks no more, is not offered them."""
    venue.stand("ann", 10)
    venue.stand("ben", 12)
    venue.post()
    venue.close()
    venue.must("ben", SetStandingBid, **{"skills": ["python"], **terms})
    venue.must("ann", DeclineOffer, task=1)
    assert bool(venue.told("ben", "tasks.offered")) == is_offered


def test_a_standing_bid_enters_by_itself_and_may_decline(venue: Work) -> None:
    venue.stand("ann", 10)
    venue.stand("ben", 12)
    venue.post()
    venue.bid("cid", 20)
    assert venue.purse("ann") == (100, 0)
    task = venue.close()
    # Nobody sees yet that there was a bid, except who won.
    assert (task.state, task.winner, task.bids) == ("open", None, None)
    assert venue.view_task(agent="ann").state == "offered"
    (offer,) = venue.told("ann", "tasks.offered")
    assert (offer.price, offer.until_us) == (12 * CREDIT, venue.time_us + MINUTE_US)
    assert venue.purse("ann") == (97, 3)
    assert_rejected(venue.submit("ben", DeclineOffer, task=1), Reason.WRONG_STATE)
    venue.must("ann", DeclineOffer, task=1)
    assert venue.purse("ann") == (100, 0)
    # The next bid wins, and the price is computed without the one that declined.
    (offer,) = venue.told("ben", "tasks.offered")
    assert offer.price == 20 * CREDIT
    venue.must("ben", AcceptOffer, task=1)
    task = venue.view_task()
    assert (task.winner, task.price, task.bids) == ("ben", 20 * CREDIT, 2)


@pytest.mark.parametrize(("at_us", "is_awarded"), [(-1, False), (0, True)])
def test_silence_accepts_an_offer(venue: Work, at_us: int, is_awarded: bool) -> None:
    venue.stand("ann", 10)
    venue.post()
    venue.close()
    venue.reload()
    venue.advance_to(venue.told("ann", "tasks.offered")[0].until_us + at_us)
    assert venue.submit("ann", DeclineOffer, task=1).accepted != is_awarded
    assert (venue.view_task().winner == "ann") == is_awarded


def test_a_manual_bid_takes_the_place_of_the_owners_standing_bid(venue: Work) -> None:
    venue.stand("ann", 10)
    venue.post()
    venue.bid("ann", 29)
    task = venue.close()
    assert (task.winner, task.price, task.bids) == ("ann", 30 * CREDIT, 1)


def test_a_standing_bid_is_dearer_by_load_and_ends_at_its_capacity(venue: Work) -> None:
    venue.stand("ann", 10, load_markup_bp=5_000, capacity=2)
    for number in (1, 2, 3):
        venue.post(pricing="first_price")
        venue.close(number)
        if number < 3:
            venue.must("ann", AcceptOffer, task=number)
    assert [venue.view_task(number).price for number in (1, 2, 3)] == [10 * CREDIT, 15 * CREDIT, None]
    assert venue.engine.query("ann", GetStandingBid()).standing_bid.open_awards == 2


@pytest.mark.parametrize(
    "terms", [{"max_effort_minutes": 59}, {"max_bond": 1}, {"min_payer_reputation": 51}, {"fixed_price": 25 * CREDIT}]
)
def test_a_standing_bid_stays_out_of_what_it_does_not_want(venue: Work, terms: dict[str, Any]) -> None:
    venue.stand("ann", 10, **terms)
    venue.post()
    assert venue.close().outcome == "no_bids"


def test_a_standing_bid_needs_its_bond_at_the_close(venue: Work) -> None:
    venue.register("poor", endowment=2 * CREDIT, skills=["python"])
    venue.stand("poor", 1)
    venue.stand("ben", 5)
    venue.post(bond=3 * CREDIT)
    venue.close()
    assert [len(venue.told(name, "tasks.offered")) for name in ("poor", "ben")] == [0, 1]


def test_standing_bids_end_by_time_by_hand_and_by_the_dead_mans_switch(venue: Work) -> None:
    venue.stand("ann", 10, until_us=venue.time_us + HOUR_US)
    venue.advance_to(venue.time_us + HOUR_US)
    assert venue.engine.query("ann", GetStandingBid()).standing_bid is None
    assert_rejected(venue.submit("ann", ClearStandingBid), Reason.UNKNOWN_BID)
    venue.stand("ann", 10)
    venue.post()
    venue.bid("ann", 20)
    venue.must("ann", CancelAllAfter, seconds=5)
    venue.advance(5)
    assert venue.purse("ann") == (100, 0)
    assert venue.engine.query("ann", GetStandingBid()).standing_bid is None
    assert venue.close().outcome == "no_bids"
    assert_rejected(venue.submit("ann", SetStandingBid, skills=["python"]), Reason.MISSING_FIELD)
    assert_rejected(venue.submit("ann", SetStandingBid, skills=["cobol"], fixed_price=1), Reason.MISSING_SKILL)


def test_who_is_halted_wins_nothing_new_by_a_standing_bid(venue: Work) -> None:
    venue.stand("ann", 10)
    venue.stand("ben", 20)
    venue.post()
    venue.must(OPERATOR, HaltAgent, agent="ann")
    venue.close()
    assert len(venue.told("ben", "tasks.offered")) == 1


# ── ends of agents ──────────────────────────────────────────────────────────────────────────────


def test_a_revoked_bidder_is_out_and_what_it_was_offered_goes_on(venue: Work) -> None:
    venue.stand("ann", 10)
    venue.post()
    venue.bid("ben", 20)
    venue.bid("cid", 25)
    venue.close()
    venue.must(OPERATOR, RevokeAgent, agent="ann")
    assert (venue.view_task().winner, venue.view_task().price) == ("ben", 25 * CREDIT)
    venue.post()
    venue.bid("cid", 20, task=2)
    venue.must(OPERATOR, RevokeAgent, agent="cid")
    assert venue.close(2).outcome == "no_bids"


@pytest.mark.parametrize("is_offered", [False, True])
def test_a_revoked_posters_auctions_are_called_off(venue: Work, is_offered: bool) -> None:
    venue.post()
    venue.bid("cid", 25)
    if is_offered:
        venue.stand("ann", 10)
        venue.close()
    before = venue.system_credits("treasury")
    venue.must(OPERATOR, RevokeAgent, agent="poster")
    assert venue.system_credits("treasury") == before + 100 * CREDIT
    assert venue.purse("cid") == (100, 0)
    assert venue.view_task().state == "canceled"


def test_awards_end_with_the_day(venue: Work) -> None:
    """Whatever was awarded is final at the latest a day after its deadline."""
    venue.post(deadline_us=venue.time_us + HOUR_US)
    venue.bid("ann", 20)
    venue.close()
    venue.advance_to(venue.time_us + 2 * DAY_US)
    venue.advance_to(venue.time_us + 2 * DAY_US)
    assert venue.view_task().state == "failed"
    assert venue.engine.mechanisms["tasks"].awards_of == {}


# ── what adversaries try ────────────────────────────────────────────────────────────────────────


def test_a_bidder_sees_its_own_bid_after_the_award_too(venue: Work) -> None:
    venue.register("ann2", owner="ann")
    venue.post()
    venue.stand("ben", 18)
    venue.bid("ann", 20)
    venue.close()
    venue.must("ben", AcceptOffer, task=1)
    venue.reload()
    own = {name: venue.view_task(agent=name).own_bid for name in ("ann", "ann2", "ben", "cid", "poster")}
    assert own == {"ann": 20 * CREDIT, "ann2": 20 * CREDIT, "ben": 18 * CREDIT, "cid": None, "poster": None}


def test_no_owner_attests_its_own_work(venue: Work) -> None:
    """Its attester could deliver for it, and give it the whole bonus."""
    venue.register("ci2", owner="ann", roles=["attester"], endowment=0)
    venue.post(attester="ci2")
    assert_rejected(venue.bid("ann", 20), Reason.SAME_OWNER)
    venue.stand("ann", 10)
    assert venue.close().outcome == "no_bids"


def test_a_fleet_cannot_free_itself_of_a_bond_it_can_pay(venue: Work) -> None:
    """The second agent has nothing; what the first agent's bid holds would be free once it is replaced."""
    venue.register("rich", owner="fleet", endowment=3 * CREDIT, skills=["python"])
    venue.register("bare", owner="fleet", endowment=0, skills=["python"])
    venue.post(bond=3 * CREDIT)
    assert venue.bid("rich", 20).accepted
    assert_rejected(venue.bid("bare", 20), Reason.INSUFFICIENT_CREDITS)
    assert venue.purse("rich") == (0, 3)


def test_capacity_counts_when_a_declined_task_comes_back(venue: Work) -> None:
    """Two auctions close at once; the second is offered to the runner-up of the first, who has room for one."""
    venue.stand("ben", 8)
    venue.stand("ann", 10, capacity=1)
    venue.post()
    venue.post()
    venue.bid("cid", 20, task=1)
    venue.close(1)
    assert [event.task for event in venue.told("ben", "tasks.offered")] == [1]
    assert [event.task for event in venue.told("ann", "tasks.offered")] == [2]
    venue.must("ben", DeclineOffer, task=1)
    # It goes past the one that is busy to the next bid.
    assert venue.view_task(1).winner == "cid"
    assert [event.task for event in venue.told("ann", "tasks.offered")] == [2]


def test_a_standing_bid_that_was_cleared_is_offered_nothing_more(venue: Work) -> None:
    venue.stand("ann", 10)
    venue.stand("ben", 12)
    venue.post()
    venue.close()
    venue.must("ben", ClearStandingBid)
    venue.must("ann", DeclineOffer, task=1)
    assert venue.view_task().outcome == "no_bids"
    assert venue.told("ben", "tasks.offered") == []


def test_the_dead_mans_switch_declines_what_is_offered(venue: Work) -> None:
    """Nobody is there to do it: else the task would be lost until its lease lapses."""
    venue.stand("ann", 10)
    venue.post()
    venue.bid("ben", 20)
    venue.must("ann", CancelAllAfter, seconds=65)
    venue.close()
    assert venue.purse("ann") == (97, 3)
    venue.reload()
    venue.advance(5)
    assert venue.view_task().winner == "ben"
    assert venue.purse("ann") == (100, 0)
    assert [event.reason for event in venue.told("ann", "tasks.canceled")] == ["dead_man"]


def test_who_was_halted_takes_nothing_by_silence(venue: Work) -> None:
    venue.stand("ann", 10)
    venue.post()
    venue.bid("ben", 20)
    venue.close()
    venue.must(OPERATOR, HaltAgent, agent="ann")
    assert_rejected(venue.submit("ann", AcceptOffer, task=1), Reason.AGENT_HALTED)
    venue.advance(60)
    assert venue.view_task().winner == "ben"


def test_an_offer_without_a_bond_ends_with_its_poster_too(venue: Work) -> None:
    venue.stand("ann", 10)
    venue.post(bond=0)
    venue.close()
    assert_rejected(venue.submit("poster", CancelTask, task=1), Reason.WRONG_STATE)
    venue.must(OPERATOR, RevokeAgent, agent="poster")
    assert [event.reason for event in venue.told("ann", "tasks.canceled")] == ["revoked"]
    assert venue.engine.mechanisms["tasks"].awards_of == {}


def test_own_bids_are_paged_by_task_whatever_the_order_they_came_in(venue: Work) -> None:
    for _ in range(3):
        venue.post()
    for task in (3, 1, 2):
        venue.bid("ann", 20, task=task)
    venue.reload()
    page = venue.engine.query("ann", ListBids(limit=2))
    assert ([bid.task for bid in page.bids], page.next) == ([1, 2], 2)
    page = venue.engine.query("ann", ListBids(after=2, limit=2))
    assert ([bid.task for bid in page.bids], page.next) == ([3], None)


def test_a_critical_task_that_is_sold_has_a_reward_of_the_floor(venue: Work) -> None:
    terms = {"direction": "sale", "critical": True, "min_reputation": 50}
    assert_rejected(venue.try_to_post(reward=10 * CREDIT - 1, **terms), Reason.INVALID_TASK_TERMS)
    assert venue.try_to_post(reward=10 * CREDIT, **terms).accepted


def test_a_delivery_twice_pays_once(venue: Work) -> None:
    venue.post()
    venue.bid("ann", 20)
    venue.close()
    venue.deliver()
    token = venue.settlement().fencing_token
    assert_rejected(venue.submit("ann", Deliver, settlement=1, fencing_token=token), Reason.ALREADY_DELIVERED)
    venue.confirm()
    assert_rejected(venue.submit("ann", Deliver, settlement=1, fencing_token=token), Reason.WRONG_STATE)
    assert venue.purse("ann") == (130, 0)

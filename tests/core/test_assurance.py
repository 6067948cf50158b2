"""Public goods: reached and not reached, shares, bonuses, work, and who has a voice in it."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.mechanisms.assurance import Assurance
from exchange.mechanisms.base import NotFound
from exchange.messages import tag_of
from exchange.messages.admin import HaltAgent, RevokeAgent, Settings, SuspendAgent
from exchange.messages.assurance import ConfirmGood, ListGoods, Pledge, WithdrawGood
from exchange.messages.disputes import OpenDispute, Rule, Stake
from exchange.messages.orders import CancelAllAfter
from exchange.messages.reasons import Reason
from exchange.messages.settlements import Confirm, Deliver, GetSettlement, GiveUp
from exchange.testing import OPERATOR, assert_rejected
from tests.core.goods import OWNERS, WITH_SUBSIDIES, Goods, Subsidise
from tests.core.work import CREDIT, DAY_US

ALL = ("proposer", "builder", *OWNERS)


@pytest.fixture
def venue() -> Goods:
    return Goods()


def assurance(venue: Goods) -> Assurance:
    found = venue.engine.mechanisms["assurance"]
    assert isinstance(found, Assurance)
    return found


def everything(venue: Goods) -> list[int]:
    return [venue.purse(name) for name in ALL]


# ── the example: 40 hours of tests, 10 owners with 4 hours each ─────────────────────────────────


def test_ten_owners_pledge_and_everybody_works_and_is_settled(venue: Goods) -> None:
    venue.propose_tests()
    for name in OWNERS:
        venue.pledge(name, hours=4)
    # 1 credit an hour: 20 % of what an hour of owed work costs.
    assert venue.purses(*OWNERS) == [96] * 10
    assert venue.good().raised == 10
    assert venue.close().state == "reached"
    assert [view.share_minutes for view in venue.pledges()] == [240] * 10
    for number in range(1, 11):
        assert venue.settlement(number).origin == f"assurance:1:{number}"
        venue.deliver(number)
        venue.confirm_work(number)
    assert venue.good().state == "completed"
    assert venue.good().delivered_minutes == 2_400
    assert venue.purses(*OWNERS) == [100] * 10


def test_nine_owners_pledge_and_nobody_does_anything(venue: Goods) -> None:
    venue.propose_tests()
    for name in OWNERS[:9]:
        venue.pledge(name, hours=4)
    before = venue.purses(*ALL)
    assert before == [100, 100, *[96] * 9, 100]
    assert venue.close().state == "not_reached"
    assert venue.purses(*ALL) == [100] * 12
    # Not one settlement was opened.
    with pytest.raises(NotFound):
        venue.settlement(1)
    for name in OWNERS[:9]:
        (ended,) = venue.told(name, "assurance.ended")
        assert (ended.outcome, ended.refunded, ended.bonus) == ("not_reached", 4 * CREDIT, 0)


def test_nine_owners_pledge_credits_and_have_them_back_with_the_bonus(venue: Goods) -> None:
    """The bonus is 10 % of 5 credits each, from what the proposer has put aside for ten of them."""
    venue.propose(unit="owners", threshold=10, min_credits=5 * CREDIT, refund_bonus_bp=1_000)
    assert venue.purse("proposer") == 95 * CREDIT
    for name in OWNERS[:9]:
        venue.pledge(name, 5)
    assert venue.close().state == "not_reached"
    assert [venue.purse(name) for name in OWNERS] == [100_500_000] * 9 + [100_000_000]
    assert venue.purse("proposer") == 95_500_000
    assert venue.told(OWNERS[0], "assurance.ended")[0].bonus == 500_000


def test_ten_owners_pledge_credits_and_the_provider_is_paid(venue: Goods) -> None:
    venue.propose(unit="owners", threshold=10, min_credits=5 * CREDIT, refund_bonus_bp=1_000)
    for name in OWNERS:
        venue.pledge(name, 5)
    assert venue.close().state == "reached"
    # The bonus is not needed any more.
    assert venue.purses(*ALL) == [100, 100, *[95] * 10]
    venue.deliver()
    venue.accept(*OWNERS[:5])
    assert venue.good().state == "reached"
    venue.accept(OWNERS[5])
    assert venue.good().state == "completed"
    assert venue.purses(*ALL) == [100, 150, *[95] * 10]


def test_credits_and_work_together(venue: Goods) -> None:
    """Each of three owners gives 10 credits for the machine and two hours of work."""
    venue.propose(unit="owners", threshold=3, min_credits=10 * CREDIT, min_minutes=120, refund_bonus_bp=500)
    assert_rejected(venue.try_to_pledge(OWNERS[0], 10), Reason.PLEDGE_TOO_SMALL)
    for name in OWNERS[:3]:
        venue.pledge(name, 10, hours=2)
    venue.close()
    assert venue.purses(*OWNERS[:3]) == [88] * 3
    for number in range(1, 5):
        venue.deliver(number)
    # The provider is the first, the others are the work.
    venue.accept(*OWNERS[:2])
    assert venue.purse("builder") == 130 * CREDIT
    assert venue.good().state == "reached"
    venue.advance(86_400)
    assert venue.good().state == "completed"
    assert venue.purses(*OWNERS[:3]) == [90] * 3


# ── credits: threshold, cap, shares ─────────────────────────────────────────────────────────────


def test_above_the_threshold_everybody_gives_less_to_the_last_unit(venue: Goods) -> None:
    """A price of 10 units and three pledges of 5: 4, 3 and 3, because ties go to the smaller name."""
    venue.propose(threshold=10, cap=15, min_credits=1)
    for name in OWNERS[:3]:
        venue.must(name, Pledge, good=1, credits=5)
    venue.close()
    assert [view.share for view in venue.pledges()] == [4, 3, 3]
    assert [100 * CREDIT - venue.purse(name) for name in OWNERS[:3]] == [4, 3, 3]
    assert [venue.told(name, "assurance.reached")[0].refunded for name in OWNERS[:3]] == [1, 2, 2]
    venue.deliver()
    venue.advance(86_400)
    assert venue.purse("builder") == 100 * CREDIT + 10
    assert venue.good().state == "completed"


def test_a_pledge_above_the_cap_is_rejected(venue: Goods) -> None:
    venue.propose(cap=60 * CREDIT)
    venue.pledge(OWNERS[0], 55)
    assert_rejected(venue.try_to_pledge(OWNERS[1], 6), Reason.PLEDGE_ABOVE_CAP)
    venue.pledge(OWNERS[1], 5)
    assert_rejected(venue.submit(OWNERS[2], Pledge, good=1, credits=1), Reason.PLEDGE_ABOVE_CAP)
    assert venue.close().state == "reached"
    # 55 and 5 of 60 for 50.
    assert [view.share for view in venue.pledges()] == [45_833_333, 4_166_667]


def test_owners_above_the_threshold_work_less(venue: Goods) -> None:
    venue.propose_tests(threshold=4, cap=6)
    for name in OWNERS[:6]:
        venue.pledge(name, hours=4)
    assert_rejected(venue.try_to_pledge(OWNERS[6], hours=4), Reason.PLEDGE_ABOVE_CAP)
    venue.close()
    assert [view.share_minutes for view in venue.pledges()] == [160] * 6
    # The bonds have shrunk with the work: 2.67 instead of 4, rounded up.
    assert [view.bond for view in venue.pledges()] == [2_666_667] * 6


def test_hours_as_a_threshold(venue: Goods) -> None:
    venue.propose_tests(unit="minutes", threshold=600, cap=660, min_minutes=60)
    venue.pledge(OWNERS[0], hours=6)
    venue.pledge(OWNERS[1], hours=4)
    assert venue.good().raised == 600
    assert_rejected(venue.try_to_pledge(OWNERS[2], hours=2), Reason.PLEDGE_ABOVE_CAP)
    venue.pledge(OWNERS[2], hours=1)
    venue.close()
    assert [view.share_minutes for view in venue.pledges()] == [327, 218, 55]
    assert sum(view.share_minutes or 0 for view in venue.pledges()) == 600


def test_pledges_of_an_owner_add_up_and_it_counts_once(venue: Goods) -> None:
    venue.register("mate", owner=OWNERS[0], endowment=100 * CREDIT)
    venue.propose(unit="owners", threshold=2, min_credits=5 * CREDIT)
    venue.pledge(OWNERS[0], 5)
    venue.pledge(OWNERS[0], 1)
    venue.pledge("mate", 5)
    assert (venue.good().raised, venue.good().credits, venue.good().pledges) == (1, 11 * CREDIT, 2)
    venue.pledge(OWNERS[1], 5)
    assert venue.close().state == "reached"
    # 10 of 16 pledged: 3.75, 3.125 and 3.125.
    assert [view.share for view in venue.pledges()] == [3_750_000, 3_125_000, 3_125_000]


def test_the_least_pledge_fills_a_good_before_small_ones_do() -> None:
    """Unless a good says otherwise a pledge is so large that as many as may be come to the cap."""
    venue = Goods(settings=Settings(max_pledges=4))
    venue.propose(cap=90 * CREDIT)
    assert venue.good().min_credits == 22_500_000
    assert_rejected(venue.try_to_pledge(OWNERS[0], 22), Reason.PLEDGE_TOO_SMALL)
    for name in OWNERS[:3]:
        venue.pledge(name, 25)
    # What is missing to the cap is always enough.
    venue.pledge(OWNERS[3], 15)
    assert venue.close().state == "reached"


def test_a_good_has_a_number_of_pledges_that_bounds_its_end() -> None:
    venue = Goods(settings=Settings(max_pledges=2))
    venue.propose(min_credits=1)
    venue.pledge(OWNERS[0], 10)
    venue.pledge(OWNERS[1], 10)
    assert_rejected(venue.try_to_pledge(OWNERS[2], 10), Reason.TOO_MANY_PLEDGES)
    # Those who are in may go on.
    venue.pledge(OWNERS[0], 30)
    assert venue.close().state == "reached"


# ── the deadline ────────────────────────────────────────────────────────────────────────────────


def test_the_last_microsecond(venue: Goods) -> None:
    venue.propose()
    venue.propose()
    deadline_us = venue.good().deadline_us
    venue.advance_to(deadline_us - 1)
    venue.pledge(OWNERS[0], 50)
    venue.advance_to(venue.good(2).deadline_us)
    assert_rejected(venue.try_to_pledge(OWNERS[0], 10, good=2), Reason.WRONG_STATE)
    assert_rejected(venue.try_to_pledge(OWNERS[1], 10), Reason.WRONG_STATE)
    assert (venue.good(1).state, venue.good(2).state) == ("reached", "not_reached")


def test_an_outage_across_the_deadline_gives_five_minutes_to_pledge_and_the_provider_its_time(venue: Goods) -> None:
    venue.propose()
    deadline_us = venue.good().deadline_us
    venue.advance_to(deadline_us - 1)
    venue.change_leader(outage_seconds=3 * 86_400)
    venue.advance(299)
    venue.pledge(OWNERS[0], 50)
    assert venue.good().state == "open"
    venue.advance(1)
    assert venue.good().state == "reached"
    # A day after the close, as was promised, though the day that was named has passed.
    assert venue.settlement().deliver_by_us == venue.time_us + DAY_US
    venue.advance_to(venue.time_us + DAY_US - 1)
    venue.deliver()


def test_reloads_and_new_leaders_at_every_step(venue: Goods) -> None:
    def turn() -> None:
        venue.reload()
        venue.change_leader()

    venue.propose(unit="owners", threshold=2, cap=3, min_credits=6 * CREDIT, min_minutes=60, refund_bonus_bp=1_000)
    turn()
    for name in OWNERS[:3]:
        venue.pledge(name, 6, hours=1)
        turn()
    venue.close()
    turn()
    venue.deliver(1)
    turn()
    venue.accept(OWNERS[0])
    turn()
    venue.deliver(2)
    turn()
    venue.accept(OWNERS[1])
    turn()
    assert venue.purse("builder") == 112 * CREDIT
    venue.advance(86_400)
    turn()
    venue.advance(86_400)
    turn()
    # The third and fourth settlements failed: their bonds of 0.67 went to the one who worked.
    assert venue.good().state == "failed"
    assert [venue.purse(name) for name in OWNERS[:3]] == [97_333_334, 95_333_333, 95_333_333]


# ── who delivers, confirms, disputes ────────────────────────────────────────────────────────────


def reached(venue: Goods, **terms: Any) -> None:
    """Let three pledge 20, 20 and 10 of 50."""
    venue.propose(**terms)
    for name, amount in zip(OWNERS[:3], (20, 20, 10), strict=True):
        venue.pledge(name, amount)
    assert venue.close().state == "reached"


def test_a_provider_that_fails_is_paid_nothing_and_everybody_is_refunded(venue: Goods) -> None:
    reached(venue, cap=60 * CREDIT, refund_bonus_bp=1_000)
    assert venue.purses(*ALL[:5]) == [100, 100, 80, 80, 90]
    venue.advance_to(venue.good().deliver_by_us)
    assert venue.good().state == "reached"
    venue.advance(86_400)
    assert venue.good().state == "failed"
    # Without a bonus: it was reached.
    assert venue.purses(*ALL) == [100] * 12
    assert venue.told(OWNERS[2], "assurance.ended")[0].refunded == 10 * CREDIT


def test_a_failure_refunds_exactly_what_each_gave(venue: Goods) -> None:
    venue.propose(threshold=10, cap=15, min_credits=1)
    for name in OWNERS[:3]:
        venue.must(name, Pledge, good=1, credits=5)
    venue.close()
    venue.must("builder", GiveUp, settlement=1)
    assert everything(venue) == [100 * CREDIT] * 12


def test_more_than_half_of_the_credits_confirm(venue: Goods) -> None:
    reached(venue)
    assert_rejected(venue.submit(OWNERS[0], ConfirmGood, good=1), Reason.WRONG_STATE)
    venue.deliver()
    venue.accept(OWNERS[0])
    assert_rejected(venue.submit(OWNERS[0], ConfirmGood, good=1), Reason.NO_CHANGE)
    # 20 of 50, and with the third 30.
    assert (venue.good().confirmed, venue.good().voting, venue.purse("builder")) == (20 * CREDIT, 50 * CREDIT, 10**8)
    venue.accept(OWNERS[2])
    assert venue.purse("builder") == 150 * CREDIT
    assert venue.settlement().state == "completed"
    assert_rejected(venue.submit(OWNERS[1], ConfirmGood, good=1), Reason.WRONG_STATE)


def test_exactly_half_is_not_more(venue: Goods) -> None:
    venue.propose()
    venue.pledge(OWNERS[0], 25)
    venue.pledge(OWNERS[1], 25)
    venue.close()
    venue.deliver()
    venue.accept(OWNERS[0])
    assert venue.good().state == "reached"
    venue.advance(86_399)
    assert venue.good().state == "reached"
    venue.advance(1)
    assert venue.good().state == "completed"


def test_the_attester_confirms_alone(venue: Goods) -> None:
    reached(venue, attester="ci")
    venue.deliver()
    venue.must("ci", Confirm, settlement=1, score=90)
    assert venue.good().state == "completed"


def test_an_agent_speaks_for_its_owner(venue: Goods) -> None:
    venue.register("mate", owner=OWNERS[0], endowment=100 * CREDIT)
    venue.propose()
    venue.pledge(OWNERS[0], 20)
    venue.pledge("mate", 10)
    venue.pledge(OWNERS[1], 20)
    venue.close()
    venue.deliver()
    venue.accept("mate")
    assert venue.good().state == "completed"


def test_neither_proposer_nor_provider_confirms(venue: Goods) -> None:
    """Nobody who is to be paid, or who has asked for it, decides over the others' money."""
    venue.propose()
    venue.pledge("proposer", 20)
    venue.pledge("builder", 10)
    venue.pledge(OWNERS[0], 20)
    assert (venue.good().owners, venue.good().voting) == (1, 20 * CREDIT)
    assert venue.close().state == "reached"
    venue.deliver()
    assert_rejected(venue.submit("proposer", Confirm, settlement=1), Reason.NOT_PERMITTED)
    for name in ("proposer", "builder", OWNERS[1]):
        assert_rejected(venue.submit(name, ConfirmGood, good=1), Reason.NOT_PERMITTED)
    venue.accept(OWNERS[0])
    assert venue.purses("proposer", "builder", OWNERS[0]) == [80, 140, 80]


def arbitrated(venue: Goods) -> None:
    venue.register("ada", "bob", "cyd", roles=["arbitrator"], endowment=100 * CREDIT)
    # This one has pledged, so it does not judge.
    venue.register("mate", owner=OWNERS[1], roles=["arbitrator"], endowment=100 * CREDIT)
    for name in ("ada", "bob", "cyd", "mate"):
        venue.must(name, Stake, amount=60 * CREDIT)
    venue.advance_to(venue.time_us + 7 * DAY_US)


def rule(venue: Goods, *, upheld: bool) -> None:
    venue.advance(10)
    venue.advance(1)
    for name in ("ada", "bob", "cyd"):
        venue.must(name, Rule, dispute=1, upheld=upheld)


@pytest.mark.parametrize(("upheld", "state", "purse"), [(True, "failed", 100), (False, "completed", 87)])
def test_whoever_pledged_may_read_and_dispute_a_delivery(venue: Goods, upheld: bool, state: str, purse: int) -> None:
    arbitrated(venue)
    reached(venue)
    venue.deliver()
    view = venue.engine.query(OWNERS[2], GetSettlement(settlement=1)).settlement  # type: ignore[attr-defined]
    assert view.reference == "git:abc"
    with pytest.raises(NotFound):
        venue.engine.query(OWNERS[5], GetSettlement(settlement=1))
    for name in ("builder", OWNERS[5]):
        assert_rejected(venue.submit(name, OpenDispute, family="settlements", number=1), Reason.NOT_PERMITTED)
    answer = venue.must(OWNERS[2], OpenDispute, family="settlements", number=1)
    # 5 % of the 50 that all pay.
    assert answer.data["deposit"] == 2_500_000
    assert_rejected(venue.submit(OWNERS[0], ConfirmGood, good=1), Reason.WRONG_STATE)
    rule(venue, upheld=upheld)
    assert venue.good().state == state
    assert venue.purses(OWNERS[2]) == [purse]


def test_a_proposer_that_provides_does_not_dispute_its_own_delivery(venue: Goods) -> None:
    """Or it would use up the one dispute that there is."""
    venue.propose(provider="proposer")
    venue.pledge(OWNERS[0], 50)
    venue.close()
    venue.deliver()
    answer = venue.submit("proposer", OpenDispute, family="settlements", number=1)
    assert_rejected(answer, Reason.NOT_PERMITTED)
    assert_rejected(venue.submit("proposer", Confirm, settlement=1), Reason.NOT_PERMITTED)
    venue.accept(OWNERS[0])
    assert venue.purses("proposer", OWNERS[0]) == [150, 50]


def test_a_failure_that_the_provider_disputes(venue: Goods) -> None:
    arbitrated(venue)
    reached(venue)
    venue.advance_to(venue.good().deliver_by_us)
    venue.must("builder", OpenDispute, family="settlements", number=1)
    rule(venue, upheld=True)
    assert venue.good().state == "completed"
    # The proposer stands for those who pledged, and pays the panel; they pay nothing more than their shares.
    assert venue.purses("proposer", "builder", *OWNERS[:3]) == [97, 150, 80, 80, 90]


# ── work ────────────────────────────────────────────────────────────────────────────────────────


def working(venue: Goods, *hours: int, **terms: Any) -> None:
    total = sum(hours) * 60
    venue.propose_tests(**{"unit": "minutes", "threshold": total, "min_minutes": 60, **terms})
    for name, count in zip(OWNERS, hours, strict=False):
        venue.pledge(name, hours=count)
    assert venue.close().state == "reached"


def test_the_bonds_of_those_who_did_not_work_go_to_those_who_did(venue: Goods) -> None:
    working(venue, 6, 3, 2)
    venue.deliver(1)
    venue.deliver(2)
    venue.advance(86_400)
    # Who worked has its own bond back at once.
    assert venue.purses(*OWNERS[:3]) == [100, 100, 98]
    venue.advance(86_400)
    assert venue.good().state == "failed"
    assert [venue.purse(name) for name in OWNERS[:3]] == [101_333_333, 100_666_667, 98_000_000]
    assert venue.told(OWNERS[0], "assurance.ended")[0].earned == 1_333_333


def test_without_anybody_who_worked_the_bonds_are_the_publics(venue: Goods) -> None:
    """Never the proposer's: it must not live on what fails."""
    working(venue, 6, 4)
    venue.must(OWNERS[0], GiveUp, settlement=1)
    venue.must(OWNERS[1], GiveUp, settlement=2)
    assert venue.good().state == "failed"
    assert venue.purses("proposer", *OWNERS[:2]) == [100, 94, 96]
    assert venue.system_credits("public_fund") == 10 * CREDIT


def test_an_owner_that_failed_gets_nothing_of_its_own_bond_back(venue: Goods) -> None:
    venue.register("mate", owner=OWNERS[0], endowment=100 * CREDIT)
    venue.propose_tests(unit="minutes", threshold=540, min_minutes=60)
    for name in (OWNERS[0], "mate", OWNERS[1]):
        venue.pledge(name, hours=3)
    venue.close()
    venue.must(OWNERS[0], GiveUp, settlement=1)
    for number in (2, 3):
        venue.deliver(number)
        venue.confirm_work(number)
    assert venue.purses(OWNERS[0], "mate", OWNERS[1]) == [97, 100, 103]


def test_another_who_pledged_may_dispute_work(venue: Goods) -> None:
    arbitrated(venue)
    working(venue, 3, 3)
    venue.deliver(1)
    venue.deliver(2)
    venue.must(OWNERS[1], OpenDispute, family="settlements", number=1)
    rule(venue, upheld=True)
    venue.advance(86_400)
    assert venue.good().state == "failed"
    # 3 of the other's bond, and of its own 1 for the fee of the loser.
    assert venue.purses(*OWNERS[:2]) == [96, 103]


def test_who_proposes_does_not_pledge_work(venue: Goods) -> None:
    venue.register("mate", owner="proposer", endowment=100 * CREDIT)
    venue.propose_tests()
    for name in ("proposer", "mate"):
        assert_rejected(venue.try_to_pledge(name, hours=4), Reason.SAME_OWNER)


def test_a_bond_as_the_good_says(venue: Goods) -> None:
    venue.propose_tests(hour_bond=0)
    venue.pledge(OWNERS[0], hours=4)
    assert venue.purses(OWNERS[0]) == [100]
    venue.propose_tests(hour_bond=3 * CREDIT)
    assert venue.try_to_pledge(OWNERS[0], good=2, hours=4).data["bond"] == 12 * CREDIT
    assert_rejected(venue.try_to_pledge(OWNERS[1], good=2, hours=34), Reason.INSUFFICIENT_CREDITS)


# ── bonus ───────────────────────────────────────────────────────────────────────────────────────


def test_neither_proposer_nor_provider_gets_a_bonus(venue: Goods) -> None:
    venue.propose(refund_bonus_bp=1_000)
    for name in ("proposer", "builder", OWNERS[0]):
        venue.pledge(name, 10)
    venue.close()
    assert venue.purses("proposer", "builder", OWNERS[0]) == [99, 100, 101]


def test_the_proposer_puts_aside_the_most_that_the_bonus_can_be(venue: Goods) -> None:
    assert_rejected(venue.try_to_propose(cap=1_001 * CREDIT, refund_bonus_bp=1_000), Reason.INSUFFICIENT_CREDITS)
    answer = venue.try_to_propose(cap=1_000 * CREDIT, refund_bonus_bp=1_000)
    assert answer.data["escrow"] == 100 * CREDIT


def test_a_bonus_where_owners_count_is_on_what_each_has_to_give(venue: Goods) -> None:
    """Or whoever pledges more than it need would take a bonus that nobody put aside."""
    venue.propose(unit="owners", threshold=3, min_credits=5 * CREDIT, refund_bonus_bp=10_000)
    venue.pledge(OWNERS[0], 50)
    venue.pledge(OWNERS[1], 5)
    venue.close()
    assert venue.purses("proposer", *OWNERS[:2]) == [90, 105, 105]


def test_a_bonus_is_rounded_up_and_split_to_the_last_unit(venue: Goods) -> None:
    venue.propose(threshold=100, min_credits=1, refund_bonus_bp=1_000)
    for name in OWNERS[:3]:
        venue.must(name, Pledge, good=1, credits=7)
    venue.close()
    # 2.1 units come to 3: each gets one.
    assert [venue.purse(name) - 100 * CREDIT for name in ("proposer", *OWNERS[:3])] == [-3, 1, 1, 1]


def test_several_agents_of_an_owner_get_no_more_bonus_than_one(venue: Goods) -> None:
    """Where owners count once for all of them; where credits count, by the credits, however they are split."""
    for number in range(5):
        venue.register(f"mate{number}", owner=OWNERS[0], endowment=100 * CREDIT)
    venue.propose(unit="owners", threshold=3, min_credits=5 * CREDIT, refund_bonus_bp=10_000)
    venue.propose(refund_bonus_bp=1_000)
    for number in range(5):
        venue.pledge(f"mate{number}", 5)
        venue.pledge(f"mate{number}", 4, good=2)
    venue.pledge(OWNERS[1], 20, good=2)
    before = sum(venue.purse(f"mate{number}") for number in range(5))
    venue.close()
    venue.close(2)
    # All 25 and 20 that they pledged, 5 for one owner, and a tenth of 20.
    assert sum(venue.purse(f"mate{number}") for number in range(5)) - before == (25 + 5 + 20 + 2) * CREDIT


@pytest.mark.parametrize("owner", ["proposer", "builder"])
def test_no_agent_of_who_proposes_or_provides_gets_a_bonus(venue: Goods, owner: str) -> None:
    venue.register("mate", owner=owner, endowment=100 * CREDIT)
    venue.propose(refund_bonus_bp=1_000)
    venue.pledge("mate", 40)
    venue.close()
    assert venue.purses("proposer", "mate") == [100, 100]


def test_an_owner_cannot_take_all_places_to_make_a_good_fail() -> None:
    """Its further agents add nothing where owners count, so they get only places that no owner needs."""
    venue = Goods(settings=Settings(max_pledges=4))
    for number in range(4):
        venue.register(f"mate{number}", owner=OWNERS[0], endowment=100 * CREDIT)
    venue.propose(unit="owners", threshold=3, min_credits=5 * CREDIT, refund_bonus_bp=1_000)
    venue.pledge("mate0", 5)
    venue.pledge("mate1", 5)
    for name in ("mate2", "proposer", "builder"):
        assert_rejected(venue.try_to_pledge(name, 5), Reason.TOO_MANY_PLEDGES)
    venue.pledge("mate1", 5)
    for name in OWNERS[1:3]:
        venue.pledge(name, 5)
    assert venue.close().state == "reached"


def test_what_pays_the_bonus_is_there_whatever_the_proposer_owes(venue: Goods) -> None:
    """Nothing takes it from its escrow, neither a forced debit nor a lien nor the end of the proposer."""
    venue.propose(refund_bonus_bp=10_000)
    venue.pledge(OWNERS[0], 30)
    venue.engine.context.cashier.charge("proposer", "treasury", 80 * CREDIT, "test")
    assert venue.purses("proposer") == [0]
    venue.must(OPERATOR, RevokeAgent, agent="proposer")
    assert venue.good().state == "revoked"
    assert venue.purses(OWNERS[0]) == [130]


# ── public money ────────────────────────────────────────────────────────────────────────────────


def subsidised(**options: Any) -> Goods:
    return Goods(mechanisms=WITH_SUBSIDIES, **options)


def test_public_money_counts_and_lowers_what_everybody_gives() -> None:
    venue = subsidised()
    venue.propose(cap=60 * CREDIT)
    venue.pledge(OWNERS[0], 40)
    venue.must(OPERATOR, Subsidise, good=1, amount=20 * CREDIT)
    assert (venue.good().raised, venue.good().subsidy, venue.good().owners) == (60 * CREDIT, 20 * CREDIT, 1)
    venue.reload(WITH_SUBSIDIES)
    venue.close()
    assert venue.purse(OWNERS[0]) == 66_666_667
    assert venue.system_credits("public_fund") == 3_333_333
    venue.deliver()
    venue.accept(OWNERS[0])
    assert venue.purse("builder") == 150 * CREDIT


def test_public_money_goes_back_when_it_was_not_enough() -> None:
    venue = subsidised()
    venue.propose(refund_bonus_bp=1_000)
    venue.pledge(OWNERS[0], 10)
    venue.must(OPERATOR, Subsidise, good=1, amount=30 * CREDIT)
    venue.close()
    assert venue.purses("proposer", OWNERS[0]) == [99, 101]
    assert venue.system_credits("public_fund") == 30 * CREDIT


def test_public_money_goes_back_when_the_provider_fails() -> None:
    venue = subsidised()
    venue.propose()
    venue.must(OPERATOR, Subsidise, good=1, amount=50 * CREDIT)
    venue.close()
    venue.deliver()
    # Nobody has a voice: silence or the attester.
    assert_rejected(venue.submit(OWNERS[0], ConfirmGood, good=1), Reason.NOT_PERMITTED)
    venue.advance(86_400)
    assert venue.purse("builder") == 150 * CREDIT
    venue.propose()
    venue.must(OPERATOR, Subsidise, good=2, amount=50 * CREDIT)
    venue.close(2)
    venue.must("builder", GiveUp, settlement=2)
    assert venue.system_credits("public_fund") == 50 * CREDIT


@pytest.mark.parametrize("good", [1, 2, 3, 99])
def test_public_money_that_cannot_count_goes_back_at_once(good: int) -> None:
    """Where owners or hours count, where the cap is reached, and where there is no such good."""
    venue = subsidised()
    venue.propose_tests()
    venue.propose_tests(unit="minutes", threshold=600)
    venue.propose()
    venue.pledge(OWNERS[0], 50, good=3)
    venue.must(OPERATOR, Subsidise, good=good, amount=20 * CREDIT)
    assert venue.system_credits("public_fund") == 20 * CREDIT


def test_public_money_is_taken_up_to_the_cap() -> None:
    venue = subsidised()
    venue.propose()
    venue.pledge(OWNERS[0], 30)
    venue.must(OPERATOR, Subsidise, good=1, amount=30 * CREDIT)
    assert venue.system_credits("public_fund") == 10 * CREDIT
    assert venue.told("proposer", "assurance.subsidised")[0].amount == 20 * CREDIT


# ── revocation, suspension, dead man's switch ───────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["proposer", "builder", "ci"])
def test_a_good_ends_when_who_proposes_provides_or_attests_is_revoked(venue: Goods, name: str) -> None:
    venue.propose(attester="ci", refund_bonus_bp=1_000)
    venue.pledge(OWNERS[0], 50)
    venue.must(OPERATOR, RevokeAgent, agent=name)
    assert venue.good().state == "revoked"
    # The bonus is paid: it was not reached.
    assert venue.purses(OWNERS[0]) == [105]


@pytest.mark.parametrize("name", ["proposer", "ci"])
def test_once_it_is_reached_it_goes_on(venue: Goods, name: str) -> None:
    reached(venue, attester="ci")
    venue.must(OPERATOR, RevokeAgent, agent=name)
    venue.deliver()
    venue.accept(*OWNERS[:2])
    assert venue.good().state == "completed"


def test_a_provider_that_is_revoked_fails_in_the_end(venue: Goods) -> None:
    reached(venue)
    venue.must(OPERATOR, RevokeAgent, agent="builder")
    venue.advance_to(venue.good().deliver_by_us)
    venue.advance(86_400)
    assert venue.good().state == "failed"
    assert venue.purses(*OWNERS[:3]) == [100] * 3


def test_credits_of_a_revoked_agent_stay_pledged_and_come_back_to_its_owner(venue: Goods) -> None:
    venue.register("mate", owner=OWNERS[0], endowment=0)
    venue.propose()
    venue.pledge(OWNERS[0], 20)
    venue.must(OPERATOR, RevokeAgent, agent=OWNERS[0])
    assert venue.good().raised == 20 * CREDIT
    venue.close()
    assert venue.purses("mate") == [100]


def test_work_of_a_revoked_agent_is_done_by_its_owner_or_counts_no_more(venue: Goods) -> None:
    venue.register("mate", owner=OWNERS[0], endowment=0)
    venue.propose_tests(threshold=2, cap=3)
    for name in OWNERS[:3]:
        venue.pledge(name, hours=4)
    venue.must(OPERATOR, RevokeAgent, agent=OWNERS[0])
    assert venue.good().raised == 3
    venue.must(OPERATOR, RevokeAgent, agent=OWNERS[1])
    assert (venue.good().raised, venue.good().pledges, venue.good().minutes) == (2, 2, 480)
    (voided,) = venue.told("proposer", "assurance.pledge_voided")
    assert (voided.agent, voided.minutes, voided.raised) == (OWNERS[1], 240, 2)
    venue.reload()
    assert venue.close().state == "reached"
    venue.must("mate", Deliver, settlement=1)
    venue.deliver(2)
    venue.advance(86_400)
    assert venue.good().state == "completed"
    venue.must(OPERATOR, RevokeAgent, agent=OWNERS[2])


def test_the_last_agent_of_an_owner_is_another_than_who_pledged(venue: Goods) -> None:
    venue.register("mate", owner=OWNERS[0], endowment=0)
    venue.propose_tests(threshold=2)
    venue.pledge(OWNERS[0], hours=4)
    venue.must(OPERATOR, RevokeAgent, agent=OWNERS[0])
    assert venue.good().raised == 1
    venue.must(OPERATOR, RevokeAgent, agent="mate")
    assert (venue.good().raised, venue.good().pledges) == (0, 0)


def test_who_is_stopped_takes_on_nothing_but_may_confirm(venue: Goods) -> None:
    venue.propose()
    venue.pledge(OWNERS[0], 50)
    venue.must(OPERATOR, SuspendAgent, agent=OWNERS[0])
    venue.must(OPERATOR, HaltAgent, agent=OWNERS[1])
    assert_rejected(venue.try_to_pledge(OWNERS[0], 1), Reason.AGENT_SUSPENDED)
    assert_rejected(venue.try_to_pledge(OWNERS[1], 1), Reason.AGENT_HALTED)
    venue.close()
    venue.deliver()
    venue.accept(OWNERS[0])
    assert venue.good().state == "completed"


def test_a_dead_mans_switch_withdraws_what_nobody_pledged_for(venue: Goods) -> None:
    venue.propose(refund_bonus_bp=1_000)
    venue.propose(refund_bonus_bp=1_000)
    venue.pledge(OWNERS[0], 10)
    for name in ("proposer", OWNERS[0]):
        venue.must(name, CancelAllAfter, seconds=60)
    venue.advance(61)
    assert (venue.good(1).state, venue.good(2).state) == ("open", "dead_man")
    assert venue.good(1).raised == 10 * CREDIT
    assert venue.purses("proposer") == [95]


def test_a_proposer_withdraws_before_the_first_pledge(venue: Goods) -> None:
    venue.propose(refund_bonus_bp=1_000)
    assert_rejected(venue.submit(OWNERS[0], WithdrawGood, good=1), Reason.NOT_PERMITTED)
    venue.must("proposer", WithdrawGood, good=1)
    assert venue.good().state == "withdrawn"
    assert venue.purses("proposer") == [100]
    assert_rejected(venue.submit("proposer", WithdrawGood, good=1), Reason.WRONG_STATE)
    venue.propose()
    venue.pledge(OWNERS[0], 10, good=2)
    assert_rejected(venue.submit("proposer", WithdrawGood, good=2), Reason.WRONG_STATE)


@pytest.mark.parametrize("is_loaded", [False, True])
def test_goods_of_who_is_revoked_end_a_page_at_a_time(venue: Goods, is_loaded: bool) -> None:
    """Others name whom they like as provider or attester, so it may be any number; orders come in between."""
    for _ in range(5):
        venue.propose(attester="ci")
    for good in (1, 2, 4):
        venue.pledge(OWNERS[0], 10, good=good)
    assurance(venue).page = 3
    venue.must(OPERATOR, RevokeAgent, agent="ci")
    # A good and its pledge are two.
    assert [venue.good(good).state for good in range(1, 6)] == ["revoked"] * 2 + ["open"] * 3
    if is_loaded:
        venue.reload()
        assurance(venue).page = 3
    # Nothing is lost that comes in between.
    venue.pledge(OWNERS[1], 50, good=5)
    venue.advance_to(venue.time_us + 1)
    venue.advance_to(venue.time_us + 1)
    assert [venue.good(good).state for good in range(1, 6)] == ["revoked"] * 5
    assert venue.purses(*OWNERS[:2]) == [100, 100]


def test_work_that_nobody_is_left_for_is_taken_out_a_page_at_a_time(venue: Goods) -> None:
    venue.register("mate", owner=OWNERS[0], endowment=100 * CREDIT)
    for good in range(1, 5):
        venue.propose_tests()
        venue.pledge("mate" if good == 2 else OWNERS[0], good=good, hours=4)
    for name in (OWNERS[0], "mate"):
        assurance(venue).page = 2
        venue.must(OPERATOR, RevokeAgent, agent=name)
        venue.reload()
    assert [venue.good(good).raised for good in range(1, 5)] == [0, 1, 1, 1]
    venue.advance_to(venue.time_us + 1)
    assert [venue.good(good).raised for good in range(1, 5)] == [0] * 4


def test_the_largest_good_that_there_may_be() -> None:
    """A thousand owners give a credit and an hour each: one deadline opens a settlement for each of them."""
    venue = Goods(check_every=10**9)
    names = [f"one{number}" for number in range(1_000)]
    venue.register(*names, endowment=3 * CREDIT)
    venue.propose(unit="owners", threshold=1_000, min_credits=CREDIT, min_minutes=60)
    for name in names:
        venue.pledge(name, 1, hours=1)
    assert venue.close().state == "reached"
    assert venue.engine.check_invariants() == []
    settlements = [view.settlement for view in venue.pledges(limit=1_000)]
    assert settlements == list(range(2, 1_002))
    venue.advance_to(venue.good().deliver_by_us)
    # All fail at once, too.
    venue.advance(86_400)
    assert venue.good().state == "failed"
    assert venue.system_credits("public_fund") == 1_000 * CREDIT
    assert venue.engine.check_invariants() == []


# ── rejections ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"deadline_us": 1}, Reason.INVALID_GOOD_TERMS),
        ({"deliver_by_us": 1}, Reason.INVALID_GOOD_TERMS),
        ({"deliver_by_us": 2**52}, Reason.INVALID_GOOD_TERMS),
        ({"cap": 49 * CREDIT}, Reason.INVALID_GOOD_TERMS),
        ({"min_credits": 51 * CREDIT}, Reason.INVALID_GOOD_TERMS),
        ({"min_minutes": 60}, Reason.FIELD_NOT_ALLOWED),
        ({"hour_bond": 1}, Reason.FIELD_NOT_ALLOWED),
        ({"provider": None}, Reason.MISSING_FIELD),
        ({"provider": "nobody"}, Reason.UNKNOWN_AGENT),
        ({"attester": "nobody"}, Reason.UNKNOWN_AGENT),
        ({"attester": OWNERS[0]}, Reason.UNKNOWN_AGENT),
        ({"attester": "ci_builder"}, Reason.SAME_OWNER),
        ({"attester": "ci_proposer"}, Reason.SAME_OWNER),
        ({"unit": "owners", "threshold": 2}, Reason.MISSING_FIELD),
        ({"unit": "owners", "threshold": 1_001, "min_credits": 1}, Reason.INVALID_GOOD_TERMS),
        ({"unit": "owners", "threshold": 2, "min_credits": 2**52}, Reason.NOTIONAL_TOO_LARGE),
        ({"unit": "minutes", "threshold": 60}, Reason.FIELD_NOT_ALLOWED),
        ({"unit": "minutes", "threshold": 60, "min_credits": 1}, Reason.FIELD_NOT_ALLOWED),
        ({"unit": "minutes", "threshold": 60, "provider": None, "refund_bonus_bp": 1}, Reason.FIELD_NOT_ALLOWED),
        ({"unit": "minutes", "threshold": 60, "provider": None, "min_minutes": 61}, Reason.INVALID_GOOD_TERMS),
    ],
)
def test_terms_that_contradict_each_other_are_rejected(venue: Goods, terms: dict[str, Any], reason: Reason) -> None:
    for owner in ("builder", "proposer"):
        venue.register(f"ci_{owner}", owner=owner, roles=["attester"], endowment=0)
    assert_rejected(venue.try_to_propose(**terms), reason)


def test_an_owner_proposes_so_many_at_a_time() -> None:
    venue = Goods(settings=Settings(max_open_goods=1))
    venue.register("mate", owner="proposer", endowment=0)
    venue.propose()
    assert_rejected(venue.try_to_propose("mate"), Reason.TOO_MANY_GOODS)
    venue.must("proposer", WithdrawGood, good=1)
    venue.propose("mate")


def test_pledges_that_make_no_sense_are_rejected(venue: Goods) -> None:
    venue.propose()
    venue.propose_tests()
    venue.register("looker", roles=["observer"], endowment=0)
    assert_rejected(venue.try_to_pledge(OWNERS[0], 10, good=9), Reason.UNKNOWN_GOOD)
    assert_rejected(venue.submit(OWNERS[0], ConfirmGood, good=9), Reason.UNKNOWN_GOOD)
    assert_rejected(venue.try_to_pledge(OWNERS[0], hours=1), Reason.FIELD_NOT_ALLOWED)
    assert_rejected(venue.try_to_pledge(OWNERS[0], 1, good=2), Reason.FIELD_NOT_ALLOWED)
    assert_rejected(venue.try_to_pledge(OWNERS[0]), Reason.INVALID_QUANTITY)
    assert_rejected(venue.try_to_pledge("looker", 1), Reason.NOT_PERMITTED)
    venue.pledge(OWNERS[0], 40)
    venue.propose(threshold=100 * CREDIT)
    assert_rejected(venue.try_to_pledge(OWNERS[0], 61, good=3), Reason.INSUFFICIENT_CREDITS)


# ── what everybody may see ──────────────────────────────────────────────────────────────────────


def test_goods_and_pledges_are_public_and_paged(venue: Goods) -> None:
    venue.propose()
    venue.propose(threshold=70 * CREDIT)
    for name in OWNERS[:3]:
        venue.pledge(name, 10)
    page = venue.engine.query(OWNERS[9], ListGoods(limit=1))
    assert ([view.good for view in page.goods], page.next) == ([1], 1)  # type: ignore[attr-defined]
    page = venue.engine.query(OWNERS[9], ListGoods(after=1))
    assert ([view.threshold for view in page.goods], page.next) == ([70 * CREDIT], None)  # type: ignore[attr-defined]
    mine = venue.engine.query(OWNERS[0], ListGoods(mine=True)).goods  # type: ignore[attr-defined]
    assert [view.good for view in mine] == [1]
    assert [view.agent for view in venue.pledges(limit=2)] == list(OWNERS[:2])
    assert [view.agent for view in venue.pledges(after=2)] == [OWNERS[2]]
    venue.close()
    assert (venue.good().credits, venue.good().pledges) == (30 * CREDIT, 3)
    assert [view.agent for view in venue.pledges(after=1)] == list(OWNERS[1:3])
    with pytest.raises(NotFound):
        venue.pledges(3)
    with pytest.raises(NotFound):
        venue.good(3)


def test_terms_are_those_of_the_proposal(venue: Goods) -> None:
    """Whatever the venue changes later."""
    venue.propose_tests()
    context = venue.engine.context
    context.settings = Settings(debt_hour_rate=50 * CREDIT, max_pledges=1, confirm_seconds=60)
    venue.pledge(OWNERS[0], hours=4)
    venue.pledge(OWNERS[1], hours=4)
    assert venue.purses(*OWNERS[:2]) == [96, 96]


def came_of(venue: Goods, good: int = 1) -> list[tuple[int, int, int]]:
    """Return what each pledge for a good came to: what came back of it, its bonus, and what it earned."""
    return [(view.refunded, view.bonus, view.earned) for view in venue.pledges(good)]


def test_what_came_of_each_pledge_can_be_asked_for_when_the_good_has_ended(venue: Goods) -> None:
    """Nobody has to keep its events to prove what it had back."""
    venue.propose(cap=60 * CREDIT, refund_bonus_bp=1_000)
    venue.propose(cap=60 * CREDIT, refund_bonus_bp=1_000)
    for name, amount in zip(OWNERS, (30, 24), strict=False):
        venue.pledge(name, amount)
    venue.pledge(OWNERS[0], 20, good=2)
    assert came_of(venue) == [(0, 0, 0)] * 2
    assert venue.pledges()[0].share is None
    venue.close()
    venue.close(2)
    # 30 and 24 of 54 for 50; the second was not reached.
    assert came_of(venue) == [(2_222_222, 0, 0), (1_777_778, 0, 0)]
    assert came_of(venue, 2) == [(20 * CREDIT, 2 * CREDIT, 0)]
    assert (venue.good(2).paid, venue.good(2).bonus, venue.pledges(2)[0].share) == (0, 2 * CREDIT, 0)
    venue.deliver()
    venue.accept(OWNERS[0])
    venue.reload()
    assert (venue.good().state, venue.good().paid, venue.good().bonus) == ("completed", 50 * CREDIT, 0)
    assert came_of(venue) == [(2_222_222, 0, 0), (1_777_778, 0, 0)]
    assert [view.share for view in venue.pledges()] == [27_777_778, 22_222_222]


def test_what_came_of_pledges_that_failed_in_part(venue: Goods) -> None:
    """The provider fails, one of two works: credits are back, and one bond is the other's."""
    venue.propose(unit="owners", threshold=2, cap=2, min_credits=10 * CREDIT, min_minutes=120)
    for name in OWNERS[:2]:
        venue.pledge(name, 10, hours=2)
    venue.close()
    venue.deliver(2)
    venue.confirm_work(2)
    venue.must("builder", GiveUp, settlement=1)
    venue.must(OWNERS[1], GiveUp, settlement=3)
    assert (venue.good().state, venue.good().paid) == ("failed", 0)
    assert came_of(venue) == [(12 * CREDIT, 0, 2 * CREDIT), (10 * CREDIT, 0, 0)]


def test_few_pledges_of_ended_goods_are_remembered(venue: Goods) -> None:
    found = assurance(venue)
    found.most_pledges = 3
    for good in range(1, 4):
        venue.propose()
        for name in OWNERS[:2]:
            venue.pledge(name, 1, good=good)
        venue.close(good)
    assert [view.refunded for view in venue.pledges(3)] == [CREDIT] * 2
    for good in (1, 2):
        assert venue.good(good).pledges == 2
        with pytest.raises(NotFound, match="not remembered"):
            venue.pledges(good)
    venue.propose()
    venue.must("proposer", WithdrawGood, good=4)
    assert venue.pledges(4) == []
    venue.reload()
    assurance(venue).most_pledges = 3
    venue.propose()
    for name in OWNERS[:3]:
        venue.pledge(name, 1, good=5)
    assert len(venue.pledges(3)) == 2
    venue.close(5)
    with pytest.raises(NotFound, match="not remembered"):
        venue.pledges(3)
    assert len(venue.pledges(5)) == 3


@pytest.mark.parametrize("is_loaded", [False, True])
def test_work_that_nobody_is_left_for_is_taken_out_in_the_order_of_goods_also_after_a_load(
    venue: Goods, is_loaded: bool
) -> None:
    """Nobody can tell by the order of events whether a leader has replayed the journal or begun with a snapshot."""
    for _ in range(2):
        venue.propose_tests()
    for good in (2, 1):
        venue.pledge(OWNERS[0], good=good, hours=4)
    if is_loaded:
        venue.reload()
    venue.must(OPERATOR, RevokeAgent, agent=OWNERS[0])
    told = [event.good for event in venue.events("proposer") if tag_of(type(event)) == "assurance.pledge_voided"]
    assert told == [1, 2]

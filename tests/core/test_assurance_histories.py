"""Public goods under any pledges and any end: nobody loses by a good that it does not get, and nothing is lost."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.mechanisms.shares import largest_remainder
from exchange.messages.admin import Settings
from exchange.messages.assurance import Pledge
from exchange.messages.settlements import Deliver, GiveUp
from tests.core.goods import OWNERS, WITH_SUBSIDIES, Goods, Subsidise
from tests.core.walk import Walk
from tests.core.work import CREDIT

ALL = ("proposer", "builder", *OWNERS, "mate")


class _History:
    """Go through one good, and keep an account of its own of what each pledged."""

    def __init__(self, **terms: Any) -> None:
        self.venue = Goods(mechanisms=WITH_SUBSIDIES, check_every=3, settings=Settings(max_pledges=50))
        # A second agent of the first owner.
        self.venue.register("mate", owner=OWNERS[0], endowment=100 * CREDIT)
        self.before = self.purses()
        self.public = 0
        self.venue.propose(**terms)
        self.pledged: dict[str, int] = {}

    def purses(self) -> dict[str, int]:
        return {name: self.venue.purse(name) for name in ALL}

    def pledge(self, agent: str, credits_: int, minutes: int) -> None:
        answer = self.venue.submit(agent, Pledge, good=1, credits=credits_, minutes=minutes)
        if answer.accepted:
            self.pledged[agent] = self.pledged.get(agent, 0) + credits_ + minutes

    def gains(self) -> dict[str, int]:
        after = self.purses()
        return {name: after[name] - self.before[name] for name in ALL}

    def is_conserved(self) -> bool:
        """Return whether agents and public fund have together what the treasury gave, and no more."""
        gained = sum(self.gains().values()) + self.venue.system_credits("public_fund")
        return gained == self.public


PLEDGES = st.lists(st.tuples(st.sampled_from(ALL), st.integers(1, 9_999)), min_size=1, max_size=12)


@settings(max_examples=80, deadline=None)
@given(
    pledges=PLEDGES,
    threshold=st.integers(1, 20_000),
    spare=st.integers(0, 20_000),
    bonus_bp=st.sampled_from((0, 1, 777, 10_000)),
    subsidy=st.sampled_from((0, 0, 1, 3_333)),
    is_provided=st.booleans(),
)
def test_whoever_pledges_credits_gives_its_share_of_a_good_or_has_at_least_all_of_it_back(
    pledges: list[tuple[str, int]], threshold: int, spare: int, bonus_bp: int, subsidy: int, is_provided: bool
) -> None:
    history = _History(threshold=threshold, cap=threshold + spare, min_credits=1, refund_bonus_bp=bonus_bp)
    venue = history.venue
    for agent, amount in pledges:
        history.pledge(agent, amount, 0)
    if subsidy:
        venue.must("ci", Subsidise, good=1, amount=subsidy)
        history.public = subsidy
    raised = sum(history.pledged.values()) + venue.good().subsidy
    state = venue.close().state
    assert state == ("reached" if raised >= threshold else "not_reached")
    if state == "reached":
        venue.must("builder", Deliver if is_provided else GiveUp, settlement=1)
        venue.advance(86_400)
    gains = history.gains()
    assert history.is_conserved()
    counting = [name for name in history.pledged if name not in ("proposer", "builder")]
    if state == "not_reached":
        counted = sum(history.pledged[name] for name in counting)
        paid = -(-counted * bonus_bp // 10_000)
        assert gains["proposer"] == -paid
        assert sum(gains[name] for name in counting) == paid
        assert all(gains[name] >= history.pledged[name] * bonus_bp // 10_000 for name in counting)
        assert gains["builder"] == 0
    elif is_provided:
        weights = history.pledged | ({"public_fund": raised - sum(history.pledged.values())} if subsidy else {})
        shares = dict(largest_remainder(threshold, weights))
        shares.setdefault("builder", 0)
        for name, share in shares.items():
            if name != "public_fund":
                assert gains[name] == (threshold if name == "builder" else 0) - share
                assert share <= history.pledged.get(name, 0)
    else:
        # Nothing is left of it, for anybody.
        assert set(gains.values()) == {0}


@settings(max_examples=60, deadline=None)
@given(
    minutes=st.lists(st.integers(30, 400), min_size=1, max_size=8),
    threshold=st.integers(30, 900),
    spare=st.integers(0, 2_000),
    hour_bond=st.sampled_from((0, 1, 7, 1_000_000)),
    works=st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_whoever_works_loses_nothing_and_whoever_does_not_loses_its_bond(
    minutes: list[int], threshold: int, spare: int, hour_bond: int, works: list[bool]
) -> None:
    terms = {"unit": "minutes", "provider": None, "min_minutes": 1, "hour_bond": hour_bond}
    history = _History(threshold=threshold, cap=threshold + spare, **terms)
    venue = history.venue
    for agent, count in zip(OWNERS, minutes, strict=False):
        history.pledge(agent, 0, count)
    is_reached = venue.close().state == "reached"
    assert is_reached == (sum(history.pledged.values()) >= threshold)
    if not is_reached:
        assert set(history.gains().values()) == {0}
        return
    pledges = venue.pledges()
    assert sum(pledge.share_minutes or 0 for pledge in pledges) == threshold
    lazy, at_stake = [], {}
    for pledge, does in zip(pledges, works, strict=False):
        at_stake[pledge.agent] = pledge.bond
        assert pledge.bond == -(-(pledge.share_minutes or 0) * hour_bond // 60)
        if pledge.settlement is not None:
            venue.must(pledge.agent, Deliver if does else GiveUp, settlement=pledge.settlement)
            if not does:
                lazy.append(pledge.agent)
    venue.advance(86_400)
    gains = history.gains()
    assert history.is_conserved()
    assert venue.good().state == ("failed" if lazy else "completed")
    assert all(gains[name] == -at_stake[name] for name in lazy)
    assert all(gains[name] >= 0 for name in at_stake if name not in lazy)
    assert gains["proposer"] == 0


def test_walks_come_to_everything_that_goods_know() -> None:
    """Every command is accepted, and goods of every kind come to every end."""
    ended: dict[str, None] = {}
    taken: dict[str, int] = {}
    for seed in range(1, 9):
        walk = Walk(seed, "assurance", "settlements")
        walk.run(500)
        taken.update(walk.accepted)
        for agent in walk.views:
            for event in walk.venue.events(agent):
                if event.__struct_config__.tag == "assurance.ended":
                    ended[event.outcome] = None  # type: ignore[attr-defined]
    assert [tag for tag in ("propose", "pledge", "confirm", "withdraw") if f"assurance.{tag}" not in taken] == []
    assert {"completed", "failed", "not_reached", "withdrawn"} <= set(ended)

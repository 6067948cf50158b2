"""The truth is the best bid in a package auction that pays by VCG, and is not in one that pays as bid.

Everything goes through the real auction: bids, the close, the solver, the award, and what is in the purse in the end.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.house import House
from tests.core.work import CREDIT, WORKERS

ITEMS: Final = "abc"
RESERVE: Final = {"procurement": 20 * CREDIT, "sale": 3 * CREDIT}
PACKAGES: Final = ["".join(items) for size in (1, 2, 3) for items in combinations(ITEMS, size)]

Prices = dict[str, int]
"""By package: what it costs its provider, or is worth to its buyer; or what somebody says so."""

amounts = st.builds(lambda credits_, units: credits_ * CREDIT + units, st.integers(1, 25), st.integers(-1, 1))
"""Few whole credits, so that there are ties; and a unit more or less, so that nothing is merely about right."""

claims = st.dictionaries(st.sampled_from(PACKAGES), amounts, max_size=5)
shifts = st.none() | st.integers(-6 * CREDIT, 6 * CREDIT)
"""The usual lie: by so much off the truth, in everything."""

types = st.fixed_dictionaries(dict.fromkeys(PACKAGES, amounts))
"""What the liar really has: a number for every package, or not saying of one would be no lie."""


def worth(direction: str, pricing: str, bids: list[Prices], mine: int, truth: Prices) -> int:
    """Return what the owner in place ``mine`` gains in the end, in units, when ``bids`` are made in this order."""
    house = House()
    reserve = RESERVE[direction]
    house.open(direction=direction, pricing=pricing, items=[{"name": name, "reserve": reserve} for name in ITEMS])
    for agent, said in zip(WORKERS, bids, strict=True):
        sign = 1 if direction == "procurement" else -1
        fit = [(items, price) for items, price in said.items() if sign * (len(items) * reserve - price) >= 0]
        if fit:
            assert house.offer(agent, *fit, unit=1).accepted
    me = WORKERS[mine]
    before = house.balance("poster")[0] + sum(sum(house.balance(name)) for name in WORKERS)
    house.close_bids()
    if house.packages.open_problems():
        assert house.answer().accepted
    view = house.auction()
    assert not view.winners or view.priced == pricing
    number = 0
    for winner in view.winners:
        number += len(winner.parts)
    for each in range(1, number + 1):
        house.deliver(each)
        house.confirm(each, by=house.settlement(each).payer)
    escrow = len(ITEMS) * reserve if direction == "procurement" else 0
    assert house.balance("poster")[0] + sum(sum(house.balance(name)) for name in WORKERS) == before + escrow
    won = next((winner for winner in view.winners if winner.bidder == me), None)
    real = 0 if won is None else truth["".join(won.items)]
    gained = sum(house.balance(me)) - 100 * CREDIT
    return gained - real if direction == "procurement" else gained + real


@pytest.mark.parametrize("direction", ["procurement", "sale"])
@settings(max_examples=40, deadline=None)
@given(truth=types, lie=claims, shift=shifts, others=st.lists(claims, min_size=2, max_size=2), place=st.integers(0, 2))
def test_no_lie_beats_the_truth_at_vcg_prices(
    direction: str, truth: Prices, lie: Prices, shift: int | None, others: list[Prices], place: int
) -> None:
    """Whatever an owner with one bid says, and of which packages: it gains at most what the truth gains it."""
    if shift is not None:
        lie = {items: max(price + shift, 1) for items, price in truth.items()}
    honest, told = ([*others[:place], said, *others[place:]] for said in (truth, lie))
    best = worth(direction, "vcg", honest, place, truth)
    assert worth(direction, "vcg", told, place, truth) <= best
    assert best >= 0


def _claim(**prices: int) -> dict[str, Any]:
    return {items: price * CREDIT for items, price in prices.items()}


def test_where_bids_are_paid_it_pays_to_ask_for_more_than_the_cost() -> None:
    """Ann could do all for 12, Ben asks 30. Who says 12 gets 12, who says 29 gets 29; by VCG both get 30."""
    truth, others = _claim(abc=12), [_claim(abc=30), {}]
    assert worth("procurement", "pay_as_bid", [truth, *others], 0, truth) == 0
    assert worth("procurement", "pay_as_bid", [_claim(abc=29), *others], 0, truth) == 17 * CREDIT
    assert worth("procurement", "vcg", [truth, *others], 0, truth) == 18 * CREDIT
    assert worth("procurement", "vcg", [_claim(abc=29), *others], 0, truth) == 18 * CREDIT


def test_where_bids_are_paid_it_pays_to_offer_less_than_the_value() -> None:
    """All is worth 24 to Ann; Ben and Cid offer 12 for what both fit beside each other."""
    truth, others = _claim(abc=24), [_claim(ab=8), _claim(c=4)]
    assert worth("sale", "pay_as_bid", [truth, *others], 0, truth) == 0
    assert worth("sale", "pay_as_bid", [_claim(abc=13), *others], 0, truth) == 11 * CREDIT
    assert worth("sale", "vcg", [truth, *others], 0, truth) == 12 * CREDIT
    assert worth("sale", "vcg", [_claim(abc=13), *others], 0, truth) == 12 * CREDIT

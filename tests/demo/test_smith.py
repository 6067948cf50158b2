"""Test the induced schedules and what is measured against them."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.demo.smith import CHART_1, InducedTrade, Schedule, chart_1

amounts = st.integers(1, 400)


@st.composite
def schedules(draw: st.DrawFn, most: int = 8) -> Schedule:
    """Draw a schedule."""
    values = draw(st.lists(amounts, min_size=1, max_size=most))
    costs = draw(st.lists(amounts, min_size=1, max_size=most))
    return Schedule(tuple(sorted(values, reverse=True)), tuple(sorted(costs)))


@st.composite
def markets(draw: st.DrawFn) -> tuple[Schedule, list[InducedTrade]]:
    """Draw a schedule and trades of it that lose nobody money."""
    schedule = draw(schedules())
    buyers, sellers = draw(st.permutations(schedule.values)), draw(st.permutations(schedule.costs))
    pairs = [pair for pair in zip(buyers, sellers, strict=False) if pair[0] >= pair[1]]
    return schedule, [
        InducedTrade(draw(st.integers(int(cost), int(value))), value, cost)
        for value, cost in pairs[: draw(st.integers(0, len(pairs)))]
    ]


def feasible_surplus(schedule: Schedule, quantity: int) -> int:
    """Find the best surplus of exactly ``quantity`` trades by trying every choice of traders."""

    def choices(limits: tuple[int | Decimal, ...]) -> list[int]:
        picks = (pick for pick in product((0, 1), repeat=len(limits)) if sum(pick) == quantity)
        return [int(sum(limit for limit, taken in zip(limits, pick, strict=True) if taken)) for pick in picks]

    return max(choices(schedule.values)) - min(choices(schedule.costs))


def test_chart_1_is_smiths() -> None:
    """Chart 1 has its published equilibrium: price 200, 6 units, surplus 750."""
    assert CHART_1.values == (325, 300, 275, 250, 225, 200, 175, 150, 125, 100, 75)
    assert CHART_1.costs == (75, 100, 125, 150, 175, 200, 225, 250, 275, 300, 325)
    assert CHART_1.equilibrium_range == (200, 200)
    assert CHART_1.equilibrium_price == 200
    assert CHART_1.equilibrium_quantity == 6
    assert CHART_1.maximal_surplus == 750


@pytest.mark.parametrize("agents", [2, 3, 4, 5, 10, 21, 22, 23, 44, 50, 100, 999, 1000])
def test_any_number_of_agents_keeps_the_equilibrium_price(agents: int) -> None:
    """The chart for any number of agents has as many traders and an equilibrium price of 200."""
    schedule = chart_1(agents)
    assert len(schedule.values) + len(schedule.costs) == agents
    assert len(schedule.values) - len(schedule.costs) == agents % 2
    assert schedule.equilibrium_price == 200
    assert schedule.values[0] == 325
    assert min(schedule.costs) == 75


def test_an_agent_over_moves_nothing() -> None:
    """A 23rd agent changes neither price nor quantity nor surplus."""
    assert chart_1(23).equilibrium_range == (200, 200)
    assert chart_1(23).equilibrium_quantity == 6
    assert chart_1(23).maximal_surplus == 750


def test_one_agent_is_no_market() -> None:
    """A market of one is refused."""
    with pytest.raises(ValueError, match="at least 2 agents"):
        chart_1(1)


def test_equilibrium_worked_by_hand() -> None:
    """A range of prices clears where the next pair does not reach the last."""
    schedule = Schedule((10, 8, 3), (2, 5, 9))
    assert schedule.equilibrium_quantity == 2
    assert schedule.equilibrium_range == (5, 8)
    assert schedule.equilibrium_price == Decimal("6.5")
    assert schedule.maximal_surplus == 11


def test_more_buyers_than_units_bid_the_price_up() -> None:
    """The best value that goes without bounds the equilibrium price from below."""
    schedule = Schedule((Decimal("10.5"), Decimal("8.25"), Decimal(3)), (Decimal(2),))
    assert schedule.equilibrium_range == (Decimal("8.25"), Decimal("10.5"))
    assert schedule.maximal_surplus == Decimal("8.5")


def test_nothing_to_gain() -> None:
    """Where every cost is over every value nothing trades, and not trading is efficient."""
    schedule = Schedule((3, 2), (5, 9))
    assert schedule.equilibrium_quantity == 0
    assert schedule.equilibrium_range == (3, 5)
    assert schedule.maximal_surplus == 0
    assert schedule.efficiency([]) == 100.0
    assert schedule.efficiency([InducedTrade(4, 3, 5)]) == 0.0


@pytest.mark.parametrize(
    ("values", "costs", "reason"),
    [
        ((), (1,), "at least one value"),
        ((1,), (), "at least one value"),
        ((1, 2), (1,), "descend"),
        ((2,), (2, 1), "ascend"),
        ((2, 0), (1,), "positive"),
    ],
)
def test_what_is_no_schedule_is_refused(values: tuple[int, ...], costs: tuple[int, ...], reason: str) -> None:
    """An empty, unordered or unpriced schedule is refused with the reason."""
    with pytest.raises(ValueError, match=reason):
        Schedule(values, costs)


def test_statistics_worked_by_hand() -> None:
    """Two trades off equilibrium give the figures worked out on paper."""
    schedule = Schedule((30, 25, 15), (10, 15, 28))
    assert schedule.equilibrium_range == (15, 25)
    measured = schedule.statistics([InducedTrade(24, 30, 15), InducedTrade(18, 25, 10)])
    assert measured.trades == 2
    assert measured.surplus == 30
    assert measured.efficiency == 100.0
    assert measured.mean_price == 21.0
    assert measured.alpha == pytest.approx(100 * sqrt((16 + 4) / 2) / 20)
    # In equilibrium (20) they earn 10, 5, 0 and 10, 5, 0; they earned 6, 7, 0 and 8, 9, 0.
    assert measured.profit_dispersion == pytest.approx(sqrt((16 + 4 + 0 + 4 + 16 + 0) / 6))


def test_a_displaced_trade_costs_efficiency() -> None:
    """The seller of 225 trading in place of the one of 75 costs 150 of the 750."""
    trades = [InducedTrade(200, value, 400 - value) for value in (300, 275, 250, 225)]
    assert CHART_1.efficiency([*trades, InducedTrade(230, 325, 225)]) == pytest.approx(100 * 600 / 750)


def test_trading_at_equilibrium_is_perfect() -> None:
    """The equilibrium itself has efficiency 100, alpha 0 and no profit dispersion."""
    trades = [InducedTrade(200, value, cost) for value, cost in zip(CHART_1.values, CHART_1.costs, strict=True)][:6]
    measured = CHART_1.statistics(trades)
    assert (measured.efficiency, measured.alpha, measured.profit_dispersion) == (100.0, 0.0, 0.0)


def test_an_idle_period_has_no_price() -> None:
    """Without trades there is no mean price and no alpha, and all profit was missed."""
    measured = CHART_1.statistics([])
    assert (measured.trades, measured.efficiency, measured.mean_price, measured.alpha) == (0, 0.0, None, None)
    missed = 2 * sum(gain**2 for gain in (125, 100, 75, 50, 25, 0))
    assert measured.profit_dispersion == pytest.approx(sqrt(missed / 22))


def test_nobody_trades_twice_in_a_period() -> None:
    """Two trades at a value that only one buyer has are refused."""
    with pytest.raises(ValueError, match="more trades"):
        CHART_1.statistics([InducedTrade(200, 325, 75), InducedTrade(200, 325, 100)])


def test_decimals_measure_as_integers_do() -> None:
    """The same schedule in Decimals of another unit has the same percentages."""
    cents = Schedule(tuple(Decimal(v) / 100 for v in CHART_1.values), tuple(Decimal(c) / 100 for c in CHART_1.costs))
    whole = CHART_1.statistics([InducedTrade(190, 325, 100)])
    small = cents.statistics([InducedTrade(Decimal("1.90"), Decimal("3.25"), Decimal("1.00"))])
    assert small.efficiency == whole.efficiency
    assert small.alpha == pytest.approx(whole.alpha)
    assert small.profit_dispersion == pytest.approx(whole.profit_dispersion / 100)


@given(markets())
def test_efficiency_is_at_most_100(market: tuple[Schedule, list[InducedTrade]]) -> None:
    """Trades that lose nobody money realise between nothing and all of the surplus."""
    schedule, trades = market
    assert 0.0 <= schedule.statistics(trades).efficiency <= 100.0


@given(schedules(most=5))
def test_equilibrium_quantity_maximises_surplus(schedule: Schedule) -> None:
    """No choice of traders of any number beats the equilibrium's surplus, and its quantity attains it."""
    most = min(len(schedule.values), len(schedule.costs))
    best = [feasible_surplus(schedule, quantity) for quantity in range(most + 1)]
    assert max(best) == schedule.maximal_surplus == best[schedule.equilibrium_quantity]


@given(schedules())
def test_the_equilibrium_price_clears_the_market(schedule: Schedule) -> None:
    """At the equilibrium price nobody who must trade loses, and nobody left over would gain."""
    quantity, price = schedule.equilibrium_quantity, schedule.equilibrium_price
    assert all(value >= price for value in schedule.values[:quantity])
    assert all(cost <= price for cost in schedule.costs[:quantity])
    assert all(value <= price for value in schedule.values[quantity:]) or quantity == 0
    assert all(cost >= price for cost in schedule.costs[quantity:])

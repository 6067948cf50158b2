"""Induce values and costs, and measure how near to equilibrium a market came.

The design is Smith's: every buyer is given a private value and every seller a private cost for one
unit per period, so supply, demand and the competitive equilibrium are known to the experimenter
and to nobody else.

Sources:
    Smith, V. L. (1962). An Experimental Study of Competitive Market Behavior. Journal of Political
    Economy 70(2), 111-137.
    Gode, D. K. & Sunder, S. (1993). Allocative Efficiency of Markets with Zero-Intelligence
    Traders: Market as a Partial Substitute for Individual Rationality. Journal of Political
    Economy 101(1), 119-137.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["CHART_1", "PRICE_MAX", "InducedTrade", "Number", "Schedule", "Statistics", "chart_1"]

Number = int | Decimal
"""An amount of money, in whatever unit the whole schedule is in; exact, so never a float."""

TOP: Final = 325
BOTTOM: Final = 75
AGENTS_MIN: Final = 2

PRICE_MAX: Final = TOP + BOTTOM
"""The highest price a zero-intelligence seller of chart 1 may ask: as far above the equilibrium as 0 is below."""


@dataclass(frozen=True, slots=True)
class InducedTrade:
    """Hold a trade of one unit as only the experimenter sees it: with its buyer's value and seller's cost."""

    price: Number
    value: Number
    cost: Number


@dataclass(frozen=True, slots=True)
class Statistics:
    """Measure one period.

    ``efficiency`` and ``alpha`` are percentages, ``profit_dispersion`` is in units of money. Without
    a trade there is no ``mean_price`` and no ``alpha``.
    """

    trades: int
    surplus: Number
    efficiency: float
    mean_price: float | None
    alpha: float | None
    profit_dispersion: float


@dataclass(frozen=True)
class Schedule:
    """Hold the induced values (descending) and costs (ascending) of one period, one per trader.

    Raises:
        ValueError: a side is empty, out of order, or has an amount that is not positive.
    """

    values: tuple[Number, ...]
    costs: tuple[Number, ...]

    def __post_init__(self) -> None:
        """Refuse a schedule that is not one."""
        if not self.values or not self.costs:
            message = "a schedule needs at least one value and one cost"
            raise ValueError(message)
        if min((*self.values, *self.costs)) <= 0:
            message = "values and costs must be positive"
            raise ValueError(message)
        if any(a < b for a, b in pairwise(self.values)) or any(a > b for a, b in pairwise(self.costs)):
            message = "values must descend and costs ascend: sort them first"
            raise ValueError(message)

    @cached_property
    def equilibrium_quantity(self) -> int:
        """Count the units that trade in equilibrium, a last pair that gains nothing included.

        Smith counts that pair too: in chart 1 the sixth buyer and the sixth seller meet at 200.
        """
        return sum(value >= cost for value, cost in zip(self.values, self.costs, strict=False))

    @cached_property
    def equilibrium_range(self) -> tuple[Number, Number]:
        """Find the lowest and the highest price at which demand meets supply.

        With q units traded that is from max(cost q, value q+1) to min(value q, cost q+1). When
        nothing can trade, every price from the best value to the least cost clears the market.
        """
        quantity = self.equilibrium_quantity
        if quantity == 0:
            return self.values[0], self.costs[0]
        next_value, next_cost = self.values[quantity : quantity + 1], self.costs[quantity : quantity + 1]
        low = max((self.costs[quantity - 1], *next_value))
        high = min((self.values[quantity - 1], *next_cost))
        return low, high

    @cached_property
    def equilibrium_price(self) -> Decimal:
        """Take the middle of the equilibrium range for the equilibrium price."""
        low, high = self.equilibrium_range
        return (Decimal(low) + Decimal(high)) / 2

    @cached_property
    def maximal_surplus(self) -> Number:
        """Add up the gains from trade of the equilibrium, which no other allocation exceeds."""
        gains = (value - cost for value, cost in zip(self.values, self.costs, strict=False))
        return _total(gain for gain in gains if gain > 0)

    def efficiency(self, trades: Iterable[InducedTrade]) -> float:
        """Compute allocative efficiency: the surplus realised in percent of the maximal surplus.

        Source: Smith (1962), as used by Gode & Sunder (1993). Where there is nothing to gain, 100
        if nothing was lost, else 0.
        """
        surplus = Fraction(_total(trade.value - trade.cost for trade in trades))
        if self.maximal_surplus == 0:
            return 100.0 if surplus == 0 else 0.0
        return float(100 * surplus / Fraction(self.maximal_surplus))

    def alpha(self, prices: Sequence[Number]) -> float | None:
        """Compute Smith's coefficient of convergence, in percent; None without a price.

        alpha = 100 * sqrt(mean((price - P0)^2)) / P0, P0 being the equilibrium price: the standard
        deviation of the prices about P0 (not about their mean) in percent of P0. Source: Smith
        (1962), section on the convergence of the experiments.
        """
        if not prices:
            return None
        equilibrium = Fraction(self.equilibrium_price)
        squares = sum((Fraction(price) - equilibrium) ** 2 for price in prices)
        return 100 * math.sqrt(squares / len(prices)) / float(equilibrium)

    def profit_dispersion(self, trades: Iterable[InducedTrade]) -> float:
        """Compute the root mean square difference between the actual and the equilibrium profits.

        sqrt(1/n * sum((a_i - pi_i)^2)) over all n traders, those who did not trade included: a_i is
        what trader i earned, pi_i what it earns when all trade at the equilibrium price. Source:
        Gode & Sunder (1993), on the distribution of profits. Among traders with the same value it
        does not matter which of them traded.

        Raises:
            ValueError: more trades at a value or a cost than the schedule has traders with it.
        """
        paid: defaultdict[Number, list[Number]] = defaultdict(list)
        received: defaultdict[Number, list[Number]] = defaultdict(list)
        for trade in trades:
            paid[trade.value].append(trade.price)
            received[trade.cost].append(trade.price)
        squares = _squares(self.values, paid, self.equilibrium_price, 1)
        squares += _squares(self.costs, received, self.equilibrium_price, -1)
        return math.sqrt(squares / (len(self.values) + len(self.costs)))

    def statistics(self, trades: Sequence[InducedTrade]) -> Statistics:
        """Measure one period by its trades.

        Raises:
            ValueError: more trades at a value or a cost than the schedule has traders with it.
        """
        prices = [trade.price for trade in trades]
        return Statistics(
            trades=len(trades),
            surplus=_total(trade.value - trade.cost for trade in trades),
            efficiency=self.efficiency(trades),
            mean_price=float(Fraction(_total(prices)) / len(prices)) if prices else None,
            alpha=self.alpha(prices),
            profit_dispersion=self.profit_dispersion(trades),
        )


def chart_1(agents: int = 22) -> Schedule:
    """Build Smith's (1962) chart 1 for any number of traders; 22 is the chart itself.

    Half of them buy, half sell. The values run in even steps from 325 down to 75, rounded to whole
    units, and every cost is 400 minus a value. This mirror symmetry about 200, which the chart has
    too, keeps the equilibrium price at 200 however many traders there are. Of an odd number the one
    over is a buyer with a value of 75: too low to trade in equilibrium, it moves nothing.

    Raises:
        ValueError: fewer than two agents.
    """
    if agents < AGENTS_MIN:
        message = f"a market needs at least {AGENTS_MIN} agents: a buyer and a seller"
        raise ValueError(message)
    side = agents // 2
    steps = max(side - 1, 1)
    values = tuple(TOP - ((TOP - BOTTOM) * step + steps // 2) // steps for step in range(side))
    costs = tuple(TOP + BOTTOM - value for value in values)
    return Schedule(values + (BOTTOM,) * (agents % 2), costs)


CHART_1: Final = chart_1()
"""Smith's chart 1: equilibrium price 200, 6 units, maximal surplus 750."""


def _total(amounts: Iterable[Number]) -> Number:
    """Add amounts up."""
    total: Number = 0
    for amount in amounts:
        total += amount
    return total


def _squares(
    limits: tuple[Number, ...], prices: dict[Number, list[Number]], equilibrium: Decimal, sign: int
) -> Fraction:
    """Add up one side's squared differences of profit; a buyer's ``sign`` is 1, a seller's -1."""
    left = {limit: list(traded) for limit, traded in prices.items()}
    squares = Fraction(0)
    for limit in limits:
        expected = max(Fraction(0), sign * (Fraction(limit) - Fraction(equilibrium)))
        traded = left.get(limit)
        actual = sign * (Fraction(limit) - Fraction(traded.pop())) if traded else Fraction(0)
        squares += (actual - expected) ** 2
    if any(left.values()):
        message = "more trades at a value or a cost than the schedule has traders with it"
        raise ValueError(message)
    return squares

"""Reckon the logarithmic market scoring rule, and how good a forecast was.

A maker that has sold ``q[i]`` shares of each outcome has been paid ``C(q) = b ln Σ exp(q[i] ÷ b)``, less what C is
when nothing is sold. So shares cost the difference of two values of C, and the price of an outcome is ``exp(q[i] ÷ b) ÷
Σ exp(q[j] ÷ b)`` (R. Hanson, "Combinatorial Information Market Design", 2003). At the start C is ``b ln n``: more than
that the maker cannot lose.

Shares and liquidity are in millionths of a share that pays one credit, amounts in millionths of a credit. The largest
``q`` is subtracted before exp, so that no term is above 1 and no sum below ``exp(-32)``. Terms that matter at all,
above ``10 ** -36``, have a relative error below ``10 ** -33``; times the largest liquidity, ``10 ** 15``, a difference
of C is off by less than ``10 ** -17``. The margin of :mod:`exchange.mechanisms.fixed` covers that, and rounding is
against the trader, so whatever is traded, the maker has been paid at least what C says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exchange.mechanisms import fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ONE",
    "SPREAD_MAX",
    "charged",
    "cost_of_all",
    "forecast_log",
    "moved",
    "paid",
    "prices_of",
    "subsidy_of",
    "uniform",
]

ONE: Final = 1_000_000_000
"""Prices and probabilities are in billionths, and add up to this."""

SPREAD_MAX: Final = 32
"""Nothing is sold of an outcome that is ahead of another by so many times the liquidity: all is known there."""

_LOG_STEP: Final = 100_000
_LOG_LEAST: Final = ONE // 100
_LOG_ONE: Final = 1_000_000
_logs: Final[dict[int, int]] = {}
"""What ``forecast_log`` has found before: at most 9,801 values, each by its probability alone."""


def subsidy_of(liquidity: int, outcomes: int) -> int:
    """Return what a maker can lose at most: ``ceil(b ln n)``."""
    return fixed.ceiling(fixed.multiply(fixed.real(liquidity), fixed.ln(fixed.real(outcomes))))


def moved(liquidity: int, sold: Sequence[int], outcome: int, after: int) -> tuple[fixed.Decimal, list[int]]:
    """Return by how much C changes when ``after`` shares of an outcome are sold, and the prices then.

    The change is to be rounded by ``charged`` or ``paid``.
    """
    scale, most = fixed.real(liquidity), max(sold)
    now = [after if place == outcome else shares for place, shares in enumerate(sold)]
    most_now = max(now)
    rise = 0
    if abs(most_now - most) <= SPREAD_MAX * liquidity:
        # One term for both sums, where it is not lost in either.
        most = most_now = max(most, most_now)
    else:
        rise = most_now - most
    weights = [_weight(scale, shares - most) for shares in sold]
    if most_now == most:
        weights_now = [*weights]
        weights_now[outcome] = _weight(scale, after - most)
    else:
        weights_now = [_weight(scale, shares - most_now) for shares in now]
    total = _sum(weights_now)
    change = fixed.multiply(scale, fixed.ln(fixed.divide(total, _sum(weights))))
    return fixed.add(fixed.real(rise), change), _shares(weights_now, total)


def _weight(scale: fixed.Decimal, behind: int) -> fixed.Decimal:
    """Return the term of an outcome that is so many shares behind the largest, as a number below 0."""
    return fixed.exp(fixed.divide(fixed.real(behind), scale))


def _sum(weights: list[fixed.Decimal]) -> fixed.Decimal:
    total = fixed.real(0)
    for weight in weights:
        total = fixed.add(total, weight)
    return total


def charged(change: fixed.Decimal) -> int:
    """Return what shares cost by which C rises: rounded up, and at least a millionth of a credit."""
    return fixed.ceiling(change)


def paid(change: fixed.Decimal) -> int:
    """Return what is paid for shares by which C falls: rounded down, and perhaps nothing."""
    return max(fixed.floor(fixed.multiply(change, fixed.real(-1))), 0)


def cost_of_all(liquidity: int, sold: Sequence[int]) -> int:
    """Return C, rounded down: what a maker must have at least, its subsidy included."""
    scale, most = fixed.real(liquidity), max(sold)
    total = _sum([_weight(scale, shares - most) for shares in sold])
    return fixed.floor(fixed.add(fixed.real(most), fixed.multiply(scale, fixed.ln(total))))


def prices_of(liquidity: int, sold: Sequence[int]) -> list[int]:
    """Return the price of every outcome in billionths; they add up to ``ONE``."""
    return moved(liquidity, sold, 0, sold[0])[1]


def uniform(outcomes: int) -> list[int]:
    """Return the prices of as many outcomes of which nobody knows anything."""
    return _filled([ONE // outcomes] * outcomes)


def _shares(weights: list[fixed.Decimal], total: fixed.Decimal) -> list[int]:
    one = fixed.real(ONE)
    return _filled([fixed.nearest(fixed.divide(fixed.multiply(weight, one), total)) for weight in weights])


def _filled(prices: list[int]) -> list[int]:
    """Give what rounding left, or took too much, less than a billionth for each outcome, to the likeliest one."""
    most = prices.index(max(prices))
    prices[most] += ONE - sum(prices)
    return prices


def forecast_log(probability: int) -> int:
    """Return the logarithm of a probability in billionths, in millionths, as forecasts are scored by it.

    It is rounded to a ten-thousandth before, and taken between 1 % and 99 %, so that one trade near certainty cannot
    outweigh everything else.
    """
    clamped = min(max(probability, _LOG_LEAST), ONE - _LOG_LEAST)
    place = (clamped + _LOG_STEP // 2) // _LOG_STEP
    found = _logs.get(place)
    if found is None:
        share = fixed.divide(fixed.real(place * _LOG_STEP), fixed.real(ONE))
        found = _logs[place] = fixed.floor(fixed.multiply(fixed.ln(share), fixed.real(_LOG_ONE)))
    return found

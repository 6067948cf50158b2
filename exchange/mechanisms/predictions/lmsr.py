"""Reckon the logarithmic market scoring rule, and how good a forecast was.

A maker that has sold ``q[i]`` shares of each outcome has been paid ``C(q) = b ln Σ exp(q[i] ÷ b)``, less what C is
when nothing is sold. So shares cost the difference of two values of C, and the price of an outcome is ``exp(q[i] ÷ b) ÷
Σ exp(q[j] ÷ b)`` (R. Hanson, "Combinatorial Information Market Design", 2003). At the start C is ``b ln n``: more than
that the maker cannot lose.

Shares and liquidity are in millionths of a share that pays one credit, amounts in millionths of a credit. The largest
``q``, rounded down to a multiple of 32 b, is subtracted before exp, so that no term is above ``exp(32)`` and no sum
below 1. Terms that matter at all, above ``10 ** -36``, have a relative error below ``10 ** -33``; times the largest
liquidity, ``10 ** 15``, a difference of C is off by less than ``10 ** -17``. The margin of
:mod:`exchange.mechanisms.fixed` covers that, and rounding is against the trader, so whatever is traded, the maker has
been paid at least what C says.
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

_KNOWN_MAX: Final = 64
"""So many terms of a market are remembered."""

_LOG_STEP: Final = 100_000
_LOG_LEAST: Final = ONE // 100
_LOG_ONE: Final = 1_000_000
_logs: Final[dict[int, int]] = {}
"""What ``forecast_log`` has found before: at most 9,801 values, each by its probability alone."""


def subsidy_of(liquidity: int, outcomes: int) -> int:
    """Return what a maker can lose at most: ``ceil(b ln n)``."""
    return fixed.ceiling(fixed.multiply(fixed.real(liquidity), fixed.ln(fixed.real(outcomes))))


def moved(
    liquidity: int, sold: Sequence[int], outcome: int, after: int, known: dict[int, fixed.Decimal] | None = None
) -> tuple[fixed.Decimal, list[int]]:
    """Return by how much C changes when ``after`` shares of an outcome are sold, and the prices then.

    The change is to be rounded by ``charged`` or ``paid``. ``known`` remembers terms from one call to the next with the
    same liquidity, so that a trade needs one new one; what it comes to does not hang on it.
    """
    terms: dict[int, fixed.Decimal] = {} if known is None else known
    if len(terms) > _KNOWN_MAX:
        terms.clear()
    now = [after if place == outcome else shares for place, shares in enumerate(sold)]
    anchor, anchor_now = _anchor(liquidity, sold), _anchor(liquidity, now)
    total = _sum(_weights(liquidity, sold, anchor, terms))
    weights_now = _weights(liquidity, now, anchor_now, terms)
    total_now = _sum(weights_now)
    change = fixed.multiply(fixed.real(liquidity), fixed.ln(fixed.divide(total_now, total)))
    return fixed.add(fixed.real(anchor_now - anchor), change), _shares(weights_now, total_now)


def _anchor(liquidity: int, sold: Sequence[int]) -> int:
    """Return what is subtracted before exp: at most the largest, and by less than ``SPREAD_MAX`` times the liquidity.

    It follows from what was sold alone, and seldom changes with a trade, so that terms can be remembered.
    """
    step = SPREAD_MAX * liquidity
    return max(sold) // step * step


def _weights(liquidity: int, sold: Sequence[int], anchor: int, known: dict[int, fixed.Decimal]) -> list[fixed.Decimal]:
    """Return the term of each outcome."""
    weights: list[fixed.Decimal] = []
    for shares in sold:
        ahead = shares - anchor
        weight = known.get(ahead)
        if weight is None:
            weight = known[ahead] = fixed.exp(fixed.divide(fixed.real(ahead), fixed.real(liquidity)))
        weights.append(weight)
    return weights


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
    anchor = _anchor(liquidity, sold)
    total = _sum(_weights(liquidity, sold, anchor, {}))
    return fixed.floor(fixed.add(fixed.real(anchor), fixed.multiply(fixed.real(liquidity), fixed.ln(total))))


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

"""Decide auctions: who wins, at what price, with what premium and bonuses. Pure arithmetic in integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exchange.messages.tasks import Direction, Pricing

__all__ = [
    "PPM",
    "Ranked",
    "default_bond",
    "efficiency_bonus",
    "is_urgent",
    "price_of",
    "quality_bonus",
    "rank",
    "standing_price",
    "urgency_ppm",
    "urgent_reserve",
]

PPM: Final = 1_000_000
BP: Final = 10_000
_MINUTE_US: Final = 60_000_000
_BOND_BP: Final = 1_000
_HOUR_MINUTES: Final = 60

SCORE_MAX: Final = 100
SCORE_OF_SILENCE: Final = 50
"""What a delivery counts that nobody scored."""


class Ranked(NamedTuple):
    """Hold what counts of a bid: its price, and its number, which grows with its time."""

    price: int
    bid: int


def rank(bids: Sequence[Ranked], direction: Direction) -> list[Ranked]:
    """Return the bids from the best to the worst; of equal prices the earlier is better."""
    if direction == "procurement":
        return sorted(bids)
    return sorted(bids, key=_highest_first)


def _highest_first(bid: Ranked) -> tuple[int, int]:
    return -bid.price, bid.bid


def price_of(ranked: Sequence[Ranked], direction: Direction, pricing: Pricing, reserve: int) -> int:
    """Return what the first of the ranked bids is paid or pays; all of them are within the reserve.

    Second price: the best losing bid, or the reserve where there is none, which makes the truth the best bid
    (Vickrey 1961, "Counterspeculation, auctions, and competitive sealed tenders").
    """
    if pricing == "first_price":
        return ranked[0].price
    if len(ranked) == 1:
        return reserve
    second = ranked[1].price
    return min(second, reserve) if direction == "procurement" else max(second, reserve)


def is_urgent(effort_minutes: int, left_us: int) -> bool:
    """Return whether less than twice the effort is left: then there is a premium."""
    return left_us < 2 * effort_minutes * _MINUTE_US


def urgency_ppm(effort_minutes: int, left_us: int, max_ppm: int) -> int:
    """Return the premium for urgency in millionths: it begins at twice the effort, and is full at the effort itself."""
    effort_us = effort_minutes * _MINUTE_US
    pressed_us = min(max(2 * effort_us - left_us, 0), effort_us)
    return max_ppm * pressed_us // effort_us


def urgent_reserve(reserve: int, premium_ppm: int, direction: Direction, max_price: int) -> int:
    """Return the reserve of a round: more may be asked for urgent work, or less must be bid; rounded down."""
    if direction == "procurement":
        return min(reserve * (PPM + premium_ppm) // PPM, max_price)
    return max(reserve * PPM // (PPM + premium_ppm), 1)


def default_bond(reserve: int) -> int:
    """Return the bond where none was given: 10 % of the reserve, rounded up."""
    return -(-reserve * _BOND_BP // BP)


def standing_price(price_per_hour: int, fixed_price: int, effort_minutes: int, markup_bp: int, awards: int) -> int:
    """Return the price of a standing bid, with its mark-up for each open award, rounded up, at least 1."""
    numerator = (price_per_hour * effort_minutes + fixed_price * _HOUR_MINUTES) * (BP + markup_bp * awards)
    return max(-(-numerator // (_HOUR_MINUTES * BP)), 1)


def quality_bonus(pool: int, score: int | None) -> int:
    """Return the bonus for quality: the score's share of the pool, rounded down; silence counts half."""
    return pool * (SCORE_OF_SILENCE if score is None else score) // SCORE_MAX


def efficiency_bonus(pool: int, score: int | None, effort_minutes: int, took_us: int) -> int:
    """Return the bonus for being faster than the effort, weighted by quality, rounded down."""
    effort_us = effort_minutes * _MINUTE_US
    saved_us = min(max(effort_us - took_us, 0), effort_us)
    quality = SCORE_OF_SILENCE if score is None else score
    return pool * saved_us * quality // (effort_us * SCORE_MAX)

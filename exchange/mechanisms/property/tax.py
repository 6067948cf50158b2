"""Reckon the tax on stated values: exact, however often it is collected and however often its rate changes.

The index is the integral of the rate over time, in basis points × microseconds. What a value owes between two readings
of it is value × difference ÷ (10,000 × a month), of which the whole units are due and the rest is carried. So the index
at which a deposit is exhausted does not depend on rates to come, and is put in order once.

The idea is that of an accumulator per unit of stake (Batog, Boca, Johnson: Scalable Reward Distribution on the Ethereum
Blockchain, 2018); the tax that of Posner and Weyl: Radical Markets, 2018, chapter 1, after Harberger.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

from exchange.messages.base import MAX_AMOUNT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exchange.mechanisms.property.module import Holding

__all__ = ["DENOMINATOR", "MONTH_US", "Exhaustions", "RateIndex", "accrued", "exhausts_at", "least_deposit", "restated"]

MONTH_US: Final = 30 * 86_400_000_000
"""A month, in microseconds."""

DENOMINATOR: Final = 10_000 * MONTH_US
"""Value × index ÷ this is a tax."""

_SLACK: Final = 64
"""So many entries that count no more may lie in the heap before it is worth rebuilding."""


class RateIndex:
    """Be the integral of a rate; ``rate_bp`` holds since ``since_us``.

    The rate before it is known, too: what is looked at only after a change may have happened under it.
    """

    __slots__ = ("at_since", "before_bp", "before_us", "rate_bp", "since_us")

    def __init__(self, rate_bp: int, since_us: int, at_since: int = 0) -> None:
        self.rate_bp = rate_bp
        self.since_us = since_us
        self.at_since = at_since
        self.before_bp = 0
        self.before_us = since_us
        """Since when ``before_bp`` held."""

    def at(self, time_us: int) -> int:
        """Return the index at a time that is not before the last change of the rate."""
        return self.at_since + self.rate_bp * (time_us - self.since_us)

    def reaches_us(self, index: int) -> int | None:
        """Return the first microsecond at which the index is at least so high; None if that is not in this world.

        What is past the largest time that the wire carries, in the year 2255, is never.
        """
        if index <= self.at_since:
            if not self.before_bp:
                return self.before_us
            return max(self.since_us - (self.at_since - index) // self.before_bp, self.before_us)
        if not self.rate_bp:
            return None
        time_us = self.since_us - (self.at_since - index) // self.rate_bp
        return time_us if time_us <= MAX_AMOUNT else None

    def change(self, rate_bp: int, time_us: int) -> None:
        """Let another rate hold from a time on."""
        self.at_since = self.at(time_us)
        if time_us > self.since_us:
            self.before_bp, self.before_us = self.rate_bp, self.since_us
        self.since_us = time_us
        self.rate_bp = rate_bp


def least_deposit(value: int, rate_bp: int, seconds: int) -> int:
    """Return the tax on a value over a time, rounded up; of anything that is worth something, a unit at least."""
    return max(-(-value * rate_bp * seconds * 1_000_000 // DENOMINATOR), min(value, 1))


def accrued(holding: Holding, index: int) -> int:
    """Return the tax since the holding was stated, collected or not, in whole units: at most its deposit."""
    owed = holding.carry + holding.value * (index - holding.base_index)
    return min(owed // DENOMINATOR, holding.deposit)


def exhausts_at(holding: Holding) -> int | None:
    """Return the index at which the tax comes to the whole deposit; None of what owes nothing."""
    if not holding.value:
        return None
    left = holding.deposit * DENOMINATOR - holding.carry
    return holding.base_index - (-left // holding.value)


def restated(holding: Holding, index: int) -> tuple[int, int]:
    """Return what is left of a deposit once all tax is paid, and the part of a unit that is carried on."""
    owed = holding.carry + holding.value * (index - holding.base_index)
    whole = min(owed // DENOMINATOR, holding.deposit)
    return holding.deposit - whole, owed % DENOMINATOR


class Exhaustions:
    """Keep what will be exhausted in the order of the index: putting in and taking out cost O(log n), amortized."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int]] = []
        self.at: dict[int, int] = {}
        """The index at which each number is exhausted."""

    def put(self, number: int, index: int) -> None:
        """Put a number in, or in its new place."""
        self.at[number] = index
        heappush(self._heap, (index, number))
        if len(self._heap) > 2 * len(self.at) + _SLACK:
            self._heap = [(index, number) for number, index in self.at.items()]
            heapify(self._heap)

    def drop(self, number: int) -> None:
        """Take a number out; one that is not in is ignored."""
        self.at.pop(number, None)

    def first(self) -> tuple[int, int] | None:
        """Return index and number of what is exhausted first; ties go to the smaller number."""
        heap = self._heap
        while heap:
            index, number = heap[0]
            if self.at.get(number) == index:
                return index, number
            heappop(heap)
        return None

    def fill(self, entries: Iterable[tuple[int, int]]) -> None:
        """Begin with numbers and their indexes."""
        self.at = dict(entries)
        self._heap = [(index, number) for number, index in self.at.items()]
        heapify(self._heap)

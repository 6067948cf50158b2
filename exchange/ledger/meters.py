"""Meter spending against limits: net spending, in total and per rolling period, plus present holds."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, Literal

__all__ = ["LienWatch", "SpendMeter", "Watch"]

_BUCKETS: Final = 64
"""A rolling period is counted in so many buckets, so its memory is bounded and its grain is 1/64."""

_WARN_PERCENT: Final = 80
_FULL_PERCENT: Final = 100


class Watch:
    """Be told of every movement of the balances it hangs on; the engine lets mechanisms react after the command."""

    __slots__ = ()

    def move(self, held: int, spent: int, time_us: int) -> None:
        """Count a movement: so much more on hold, so much spent; negative amounts come back."""

    def allows(self, amount: int, time_us: int) -> bool:
        """Return whether ``amount`` more may be held or spent now; changes nothing."""
        del amount, time_us
        return True


class LienWatch(Watch):
    """Notice when something moves on the account of an agent that owes."""

    __slots__ = ("agent",)

    def __init__(self, agent: str) -> None:
        self.agent = agent


class SpendMeter(Watch):
    """Count what one agent, or one owner over all its agents, spends and holds.

    Amounts are in the credit's smallest unit. Spending is net: what comes in counts against what
    went out.
    """

    __slots__ = (
        "_buckets",
        "by_operator",
        "held",
        "per_period",
        "period_spent",
        "period_us",
        "reported",
        "scope",
        "spent",
        "subject",
        "total",
    )

    def __init__(self, scope: Literal["agent", "owner"], subject: str) -> None:
        self.scope: Literal["agent", "owner"] = scope
        self.subject = subject
        self.total: int | None = None
        self.per_period: int | None = None
        self.period_us = 0
        self.spent = 0
        self.period_spent = 0
        self.held = 0
        self.by_operator = False
        """Whether an operator set the limits: then the owner's agents may not change them."""
        self.reported: Literal[0, 80, 100] = 0
        self._buckets: deque[tuple[int, int]] = deque()

    def configure(self, total: int | None, per_period: int | None, period_us: int, held: int) -> None:
        """Set the limits and start counting anew; ``held`` is what is on hold now."""
        self.total = total
        self.per_period = per_period
        self.period_us = period_us
        self.spent = self.period_spent = 0
        self.held = held
        self.reported = 0
        self._buckets.clear()

    def roll(self, time_us: int) -> None:
        """Forget the spending that has left the rolling period."""
        oldest = time_us - self.period_us
        buckets = self._buckets
        while buckets and buckets[0][0] <= oldest:
            self.period_spent -= buckets.popleft()[1]

    def move(self, held: int, spent: int, time_us: int) -> None:
        """Count a movement: so much more on hold, so much spent; negative amounts come back."""
        self.roll(time_us)
        # What rolled out of the period may have been reported; the next rise is news again.
        self.reported = min(self.reported, self._level())
        self.held += held
        if spent:
            self._spend(spent, time_us)

    def _spend(self, amount: int, time_us: int) -> None:
        self.spent += amount
        self.period_spent += amount
        grain = max(self.period_us // _BUCKETS, 1)
        start = time_us - time_us % grain
        buckets = self._buckets
        if buckets and buckets[-1][0] == start:
            buckets[-1] = (start, buckets[-1][1] + amount)
        else:
            buckets.append((start, amount))

    def allows(self, amount: int, time_us: int) -> bool:
        """Return whether ``amount`` more may be held or spent now; changes nothing."""
        if self.total is not None and self.spent + self.held + amount > self.total:
            return False
        if self.per_period is None:
            return True
        oldest = time_us - self.period_us
        rolled_out = sum(spent for start, spent in self._buckets if start <= oldest)
        return self.period_spent - rolled_out + self.held + amount <= self.per_period

    def used_percent(self) -> int:
        """Return how much of the tighter limit is used, in whole per cent, rounded down."""
        percent = 0
        for used, limit in ((self.spent, self.total), (self.period_spent, self.per_period)):
            if limit is not None:
                percent = max(percent, (used + self.held) * 100 // limit if limit else _FULL_PERCENT)
        return percent

    def _level(self) -> Literal[0, 80, 100]:
        percent = self.used_percent()
        return 100 if percent >= _FULL_PERCENT else 80 if percent >= _WARN_PERCENT else 0

    def crossing(self) -> Literal[80, 100] | None:
        """Return 80 or 100 the first time that this much is used, else None; falling back re-arms it."""
        level = self._level()
        rose = level > self.reported
        self.reported = level
        return level if rose and level else None

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        (
            _, _, self.total, self.per_period, self.period_us, self.spent, self.period_spent, self.held,
            self.reported, self.by_operator, buckets,
        ) = state  # fmt: skip
        self._buckets.extend((start, spent) for start, spent in buckets)

    def dump(self) -> list[object]:
        """Return the state as plain data, for hashes and snapshots."""
        return [
            self.scope, self.subject, self.total, self.per_period, self.period_us, self.spent,
            self.period_spent, self.held, self.reported, self.by_operator, [list(bucket) for bucket in self._buckets],
        ]  # fmt: skip

"""Let dynamic rates follow their use: count what a day sees, and move each rate when the day ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from exchange.mechanisms.facts import ParameterChanged
from exchange.mechanisms.governance.parameters import EXTERNALITY_RATES, PARAMETERS, adjusted

if TYPE_CHECKING:
    from exchange.mechanisms.base import Context
    from exchange.mechanisms.facts import ExternalityFinal, TaskFinal, UrgentAuctionClosed

__all__ = ["DAY_US", "MONTH_DAYS", "Days", "Rates"]

DAY_US: Final = 86_400_000_000
MONTH_DAYS: Final = 30

_PAIRS_MAX: Final = 10_000
"""So many owners, or pairs of them, are told apart in a day for each rate; the next ones count nothing."""

_KEPT: Final = 256
"""So many earlier values of a parameter are known, for what was opened under them."""


class Days:
    """Know when the days begin and end; they are counted from when governance began on the venue."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.begun_us: int | None = None
        self.deadline_id = 0
        self.month = 0
        """The last month in which the surplus of the fund was looked at."""

    def begin(self) -> None:
        """Begin the first day."""
        self.begun_us = self._context.time_us
        self._await_end()

    def _await_end(self) -> None:
        self.deadline_id = self._context.deadlines.schedule(self._next_us(), "governance.end_day")

    def _next_us(self) -> int:
        begun_us = self.begun_us or 0
        return begun_us + ((self._context.time_us - begun_us) // DAY_US + 1) * DAY_US

    def go_on(self) -> bool:
        """Begin the next day; return whether a month is over.

        However long nobody led, it is one day that ends, for in the others nobody could have done anything.
        """
        self._await_end()
        month = (self._context.time_us - (self.begun_us or 0)) // (MONTH_DAYS * DAY_US)
        is_over, self.month = month > self.month, month
        return is_over

    @property
    def ends_us(self) -> int | None:
        """Return when the present day ends; None before the first."""
        return self._context.deadlines.due_us(self.deadline_id)

    @property
    def month_ends_us(self) -> int | None:
        """Return when the present month ends."""
        return None if self.begun_us is None else self.begun_us + (self.month + 1) * MONTH_DAYS * DAY_US

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [self.begun_us, self.deadline_id, self.month]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        self.begun_us, self.deadline_id, self.month = state


class Rates:
    """Set parameters, and remember what they were; count what dynamic ones are moved by."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.since_us: dict[str, int] = {}
        """When each parameter was set last."""
        self.counts: dict[str, int] = {}
        """What this day saw of what each dynamic parameter is moved by."""
        self._pairs: dict[str, dict[tuple[str, str], int]] = {}
        """By dynamic parameter, what each pair of owners counts for this day; alone, an owner stands with ``""``."""

    # ── counting ────────────────────────────────────────────────────────────────────────────────

    def note_auction(self, fact: UrgentAuctionClosed) -> None:
        """Count an urgent round that nobody won, but of each owner only one: a round that nobody can want is free."""
        if not fact.is_awarded:
            self._count("urgency_premium_ppm", self._owner_of(fact.poster), "", 1)

    def note_task(self, fact: TaskFinal) -> None:
        """Count a critical task that was not done, unless it was called off, but of each owner only one."""
        if fact.is_critical and not fact.is_completed and not fact.is_called_off:
            self._count("critical_floor", self._owner_of(fact.poster), "", 1)

    def note_externality(self, fact: ExternalityFinal) -> None:
        """Count a levy, but of each pair of owners only the largest, and never more than the target.

        What one of two friends pays the other costs them nothing: they must not raise everybody's price.
        """
        name = EXTERNALITY_RATES.get(fact.kind)
        source = self._owner_of(fact.source)
        target = "" if fact.target is None else self._owner_of(fact.target)
        if name is not None and source != target:
            most: int = getattr(self._context.settings, PARAMETERS[name].target)
            self._count(name, max(source, target), min(source, target), min(fact.units, most))

    def _owner_of(self, agent_id: str) -> str:
        return self._context.agents[agent_id].owner

    def _count(self, name: str, one: str, other: str, units: int) -> None:
        """Count what two owners make a day see, if it is more than what counts for them already."""
        pairs = self._pairs.setdefault(name, {})
        before = pairs.get((one, other))
        if before is None and len(pairs) >= _PAIRS_MAX:
            return
        if units > (before or 0):
            pairs[one, other] = units
            self.counts[name] = self.counts.get(name, 0) + units - (before or 0)

    # ── setting ─────────────────────────────────────────────────────────────────────────────────

    def end_day(self) -> int:
        """Move every dynamic rate by what the day saw, and count anew; return how many it moved."""
        changed = 0
        for parameter in PARAMETERS.values():
            if parameter.target:
                settings = self._context.settings
                rate, target = getattr(settings, parameter.name), getattr(settings, parameter.target)
                changed += self.set(
                    parameter.name, adjusted(parameter, rate, self.counts.get(parameter.name, 0), target)
                )
        self.counts, self._pairs = {}, {}
        return changed

    def set(self, name: str, value: int) -> bool:
        """Let a parameter have a value from now on; return whether it is another than it was."""
        context = self._context
        before = getattr(context.settings, name)
        if value == before:
            return False
        earlier = context.earlier.setdefault(name, [])
        earlier.append((context.time_us, before))
        if len(earlier) > _KEPT:
            del earlier[0]
        context.settings = msgspec.structs.replace(context.settings, **{name: value})
        self.since_us[name] = context.time_us
        context.announce(ParameterChanged(name, before, value))
        return True

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            list(self.since_us.items()),
            list(self.counts.items()),
            [[name, [[*pair, units] for pair, units in pairs.items()]] for name, pairs in self._pairs.items()],
            [[name, [list(row) for row in rows]] for name, rows in self._context.earlier.items()],
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        since_us, counts, pairs, earlier = state
        self.since_us, self.counts = dict(since_us), dict(counts)
        self._pairs = {name: {(source, target): units for source, target, units in rows} for name, rows in pairs}
        self._context.earlier.update({name: [(until, value) for until, value in rows] for name, rows in earlier})

"""Take ratings of settlements that are final, sealed until both sides have rated or the time for it has passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.mechanisms.base import VENUE_SCOPE
from exchange.messages.expertise import RatingOpened, RatingPublished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exchange.mechanisms.base import Context
    from exchange.mechanisms.expertise.reputation import Reputations
    from exchange.mechanisms.tally import Tally

__all__ = ["PAYMENT", "REVEAL", "Ratings", "Window"]

PAYMENT: Final = "payment"
"""The domain in which payers are rated."""

REVEAL: Final = "expertise.reveal"
_SECOND_US: Final = 1_000_000


class Window:
    """Be the time in which the sides of a settlement may rate each other.

    ``domain`` is that in which the payer rates the provider; empty when the outcome has rated it already.
    """

    __slots__ = ("by_payer", "by_provider", "deadline_id", "domain", "payer", "provider", "settlement", "stake")

    def __init__(self, settlement: int, payer: str, provider: str, domain: str, stake: int) -> None:
        self.settlement = settlement
        self.payer = payer
        self.provider = provider
        self.domain = domain
        self.stake = stake
        self.by_payer: int | None = None
        self.by_provider: int | None = None
        self.deadline_id = 0

    def raters(self) -> list[str]:
        """Return who may rate."""
        return [self.payer, self.provider] if self.domain else [self.provider]

    def score_by(self, agent_id: str) -> int | None:
        """Return the rating that a side has given."""
        return self.by_payer if agent_id == self.payer else self.by_provider

    def domain_of(self, rater: str) -> str:
        """Return what a rating of one side counts for."""
        return self.domain if rater == self.payer else PAYMENT

    def other(self, agent_id: str) -> str:
        """Return the other side."""
        return self.provider if agent_id == self.payer else self.payer

    @property
    def is_complete(self) -> bool:
        """Return whether all ratings are in."""
        return self.by_provider is not None and (self.by_payer is not None or not self.domain)

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.settlement, self.payer, self.provider, self.domain, self.stake, self.by_payer, self.by_provider,
            self.deadline_id,
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Window:
        """Return the window of which ``dump`` gave the state."""
        window = Window(*state[:5])
        window.by_payer, window.by_provider, window.deadline_id = state[5:]
        return window


class Ratings:
    """Keep the settlements that may be rated; ``on_close`` hears which of them may be no more."""

    def __init__(
        self, context: Context, reputations: Reputations, tally: Tally, on_close: Callable[[Window], None]
    ) -> None:
        self._context = context
        self.tally = tally
        self._reputations = reputations
        self._on_close = on_close
        self.windows: dict[int, Window] = {}
        self.by_agent: dict[str, dict[int, None]] = {}

    def open(self, settlement: int, payer: str, provider: str, domain: str, stake: int) -> None:
        """Let the sides of a settlement rate each other from now on."""
        context = self._context
        window = Window(settlement, payer, provider, domain, stake)
        until_us = context.time_us + context.settings.rating_window_seconds * _SECOND_US
        window.deadline_id = context.deadlines.schedule_act(until_us, REVEAL, VENUE_SCOPE, settlement)
        self._list(window)
        for rater in window.raters():
            context.emit(
                context.agents[rater],
                RatingOpened(
                    settlement=settlement,
                    other=window.other(rater),
                    domain=window.domain_of(rater),
                    until_us=until_us,
                ),
            )

    def take(self, window: Window, rater: str, score: int) -> None:
        """Take a rating; the last one opens them."""
        if rater == window.payer:
            window.by_payer = score
        else:
            window.by_provider = score
        if window.is_complete:
            self._context.deadlines.cancel(window.deadline_id)
            self._close(window)

    def reveal(self, settlement: int) -> None:
        """Let what ratings there are count, because the time for more has passed."""
        self._close(self.windows[settlement])

    def _close(self, window: Window) -> None:
        for rater in window.raters():
            score = window.score_by(rater)
            if score is not None:
                rated, domain = window.other(rater), window.domain_of(rater)
                self.publish(window.settlement, rater, rated, domain, score, window.stake)
        self._unlist(window)
        self._on_close(window)

    def publish(self, settlement: int, rater: str, rated: str, domain: str, score: int, stake: int) -> None:
        """Let a rating count, and tell both sides."""
        context = self._context
        weight = self._reputations.rate(rater, rated, domain, score, stake)
        self.tally.count("ratings_total", domain.partition(":")[0])
        for name in (rater, rated):
            event = RatingPublished(
                settlement=settlement, rater=rater, rated=rated, domain=domain, score=score, weight=weight
            )
            context.emit(context.agents[name], event)

    def _list(self, window: Window) -> None:
        self.windows[window.settlement] = window
        for rater in window.raters():
            self.by_agent.setdefault(rater, {})[window.settlement] = None

    def _unlist(self, window: Window) -> None:
        del self.windows[window.settlement]
        for rater in window.raters():
            numbers = self.by_agent[rater]
            del numbers[window.settlement]
            if not numbers:
                del self.by_agent[rater]

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [window.dump() for window in self.windows.values()]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        for fields in state:
            self._list(Window.load(fields))

    def problems(self) -> Iterable[str]:
        """Yield the broken invariants."""
        context, listed = self._context, 0
        for window in self.windows.values():
            listed += len(window.raters())
            if window.is_complete:
                yield f"complete_ratings_are_open: {window.settlement}"
            if context.deadlines.due_us(window.deadline_id) is None:
                yield f"sealed_ratings_are_opened_in_time: {window.settlement}"
            if any(window.settlement not in self.by_agent.get(rater, ()) for rater in window.raters()):
                yield f"sealed_ratings_are_indexed: {window.settlement}"
            if context.agents[window.payer].owner == context.agents[window.provider].owner:
                yield f"owners_do_not_rate_themselves: {window.settlement}"
        if sum(len(numbers) for numbers in self.by_agent.values()) != listed:
            yield "sealed_ratings_are_indexed"

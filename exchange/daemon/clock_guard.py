"""Keep a daemon from leading by a clock that is wrong, unless an operator has said that it is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from exchange.adapters.clock import VenueClock
    from exchange.engine import Engine

__all__ = ["ClockGuard"]

log = structlog.get_logger(__name__)


class ClockGuard:
    """Judge the clock of who is about to lead.

    ``accepts``: whatever it says is right. ``permit`` is a file that says so once. ``on_refusal`` gets whether the
    clock is refused at the moment.
    """

    def __init__(self, engine: Engine, permit: Path, *, accepts: bool, on_refusal: Callable[[bool], None]) -> None:
        self._engine = engine
        self._permit = permit
        self._accepts = accepts
        self._on_refusal = on_refusal
        self._is_refused = False

    def refuse(self, clock: VenueClock) -> str | None:
        """Return why a daemon must not lead by this clock; None if it may."""
        # Where nobody has led yet, nothing can have happened: a venue may be created long before it is opened.
        problem = clock.find_problem() if self._engine.epoch else None
        if problem is not None and (self._accepts or self._permit.exists()):
            log.warning("the time is accepted, as an operator said", problem=problem)
            problem = None
        if problem is not None and not self._is_refused:
            log.error("not leading by this clock", problem=problem)
        self._is_refused = problem is not None
        self._on_refusal(self._is_refused)
        return problem

    def used(self) -> None:
        """Take the permit back: it was for one start."""
        self._permit.unlink(missing_ok=True)

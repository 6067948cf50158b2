"""Make a plan that fails smaller, for as long as it still fails in the same way."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.world import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulation.plan import Plan

__all__ = ["shrink"]

_SHORTEST_S: Final = 1.0


def shrink(
    plan: Plan,
    violated: str,
    *,
    seconds: float = inf,
    steps: float = inf,
    say: Callable[[str], None] = lambda _line: None,
) -> Plan:
    """Return the smallest plan found that violates the same property: with fewer faults, less noise, sooner.

    The search ends after ``seconds``, or when it has found something smaller ``steps`` times.
    """
    until_s = monotonic() + seconds
    smaller = True
    while smaller and steps > 0:
        smaller = False
        steps -= 1
        for what, candidate in _smaller(plan):
            if monotonic() > until_s:
                return plan
            report = run(candidate)
            if report.violated == violated:
                say(what)
                # Nothing has to happen after what is violated, unless healing sooner is what mends it.
                shorter = candidate.without(duration_s=min(candidate.duration_s, report.at_s + 0.001))
                plan, smaller = shorter if run(shorter).violated == violated else candidate, True
                break
    return plan


def _smaller(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """Yield plans with something left out, that with the most left out first."""
    yield from _with_fewer_faults(plan)
    if plan.noises:
        yield "without noise", plan.without(noises={})
    for noise in plan.noises:
        kept = {kind: share for kind, share in plan.noises.items() if kind != noise}
        yield f"without noise: {noise}", plan.without(noises=kept)
    less: tuple[tuple[bool, str, dict[str, Any]], ...] = (
        (plan.hostile, "without the hostile agent", {"hostile": False}),
        (plan.agents > 1, "with an agent less", {"agents": plan.agents - 1}),
        # One alone is run in another way, and not a smaller case of two.
        (plan.nodes > 2, "with a daemon less", {"nodes": plan.nodes - 1}),
        (bool(plan.limits), "without limits", {"limits": {}}),
        (plan.snapshot_every > 0, "without snapshots", {"snapshot_every": 0}),
    )
    for is_less, what, changes in less:
        if is_less:
            yield what, plan.without(**changes)
    for share in (0.5, 0.8):
        duration_s = round(plan.duration_s * share, 3)
        if duration_s > _SHORTEST_S:
            faults = tuple(fault for fault in plan.faults if fault.at_s < duration_s)
            yield f"in {duration_s:g} s", plan.without(duration_s=duration_s, faults=faults)


def _with_fewer_faults(plan: Plan) -> Iterator[tuple[str, Plan]]:
    faults = plan.faults
    size = len(faults)
    while size:
        for start in range(0, len(faults), size):
            kept = faults[:start] + faults[start + size :]
            yield f"without {len(faults) - len(kept)} of {len(faults)} faults", plan.without(faults=kept)
        size //= 2

"""Draw commands of the family ``governance``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.messages.governance import (
    BeginGovernance,
    ProposeChange,
    ProposeShare,
    ProposeSubsidy,
    ProposeWork,
    Vote,
)

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.commands.view import Drawn, View

__all__ = ["draw"]

_CREDIT: Final = 1_000_000
_VALUES: Final = {
    "urgency_premium_ppm": (5_000, 100_000, 1_000_000),
    "critical_floor": (_CREDIT, 7 * _CREDIT),
    "endowment": (3 * _CREDIT, 10**12),
    "coupling_rate": (_CREDIT, 20 * _CREDIT),
    "dispute_deposit_min": (_CREDIT // 10, 2 * _CREDIT),
    "dispute_window_seconds": (3_600, 7_200),
    "confirm_seconds": (3_600, 7_200),
    "ruling_seconds": (3_600, 7_200),
    "quorum_bp": (0,),
}


def draw(random: Random, view: View) -> Drawn:
    """Return a command that an agent might give."""
    dice = random.random()
    if dice < 0.11:
        name = random.choice(list(_VALUES))
        return ProposeChange, {"parameter": name, "value": random.choice(_VALUES[name])}
    if dice < 0.15:
        return ProposeShare, {"amount": _amount(random)}
    if dice < 0.19:
        return ProposeWork, _work(random, view)
    if dice < 0.26:
        return ProposeSubsidy, {"good": view.guess(random, "good_credits"), "amount": _amount(random)}
    if dice < 0.27:
        return BeginGovernance, {}
    votes = random.choice((1, 1, 1, 2, 3))
    fields = {"proposal": view.guess(random, "proposal"), "in_favour": random.random() < 0.8, "votes": votes}
    return Vote, fields


def _amount(random: Random) -> int:
    return random.choice((1, 17, 1_001, _CREDIT, 3 * _CREDIT, 10**15))


def _work(random: Random, view: View) -> dict[str, Any]:
    return {
        "title": "for everybody",
        "effort_minutes": random.choice((1, 60)),
        "reserve": random.choice((_CREDIT, 5 * _CREDIT)),
        "bidding_seconds": random.choice((60, 600)),
        "work_seconds": random.choice((60, 3_600)),
        "skills": random.choice(([], ["python"])),
        "attester": random.choice((None, None, random.choice(view.agents))),
    }

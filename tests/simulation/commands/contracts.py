"""Draw commands of the family ``contracts``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.messages.contracts import (
    AcceptAttestation,
    Attest,
    DeclineContract,
    ProposeContract,
    SignContract,
)

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.commands.view import Drawn, View

__all__ = ["draw"]

_SECOND_US: Final = 1_000_000
_CREDIT: Final = 1_000_000


def draw(random: Random, view: View) -> Drawn:
    """Return a command that an agent might give."""
    number, dice = view.guess(random, "contract"), random.random()
    if dice < 0.35:
        return ProposeContract, _contract(random, view)
    if dice < 0.75:
        return SignContract, {"contract": number}
    if dice < 0.79:
        return DeclineContract, {"contract": number}
    if dice < 0.94:
        return Attest, {"contract": number, "statement": "it rained", "holds": random.random() < 0.6}
    return AcceptAttestation, {"contract": number, "statement": "it rained"}


def _contract(random: Random, view: View) -> dict[str, Any]:
    now_us = view.venue_time_us
    sign_by_us = now_us + random.choice((1, 3, 600)) * _SECOND_US
    names = ["a", "b", "c"][: random.choice((1, 2, 3))]
    parts = [
        {
            "name": name,
            "assignee": random.choice(view.agents),
            "share": random.choice((1, 7, 3 * _CREDIT)),
            "deliver_by_us": sign_by_us + random.choice((1, 2, 600, 3_600)) * _SECOND_US,
            "attester": random.choice((None, None, random.choice(view.agents))),
        }
        for name in names
    ]
    due_us = max(part["deliver_by_us"] for part in parts)
    return {
        "title": "all or nothing",
        "parts": [{name: value for name, value in part.items() if value is not None} for part in parts],
        "condition": _condition(random, view, names, sign_by_us),
        "sign_by_us": sign_by_us,
        "evaluate_by_us": due_us + random.choice((0, 1, 3_600)) * _SECOND_US,
    }


def _condition(random: Random, view: View, names: list[str], sign_by_us: int) -> dict[str, Any]:
    leaves: list[dict[str, Any]] = [{"type": "part", "part": name} for name in names]
    if random.random() < 0.3:
        leaves.append({"type": "statement", "statement": "it rained", "attester": random.choice(view.agents)})
    if random.random() < 0.2:
        leaves.append({"type": "time", "at_us": sign_by_us + 2 * _SECOND_US})
    if random.random() < 0.2:
        leaves.append({"type": "task", "task": view.guess(random, "task")})
    if random.random() < 0.2:
        market = view.guess(random, random.choice(("prediction:lmsr", "prediction:book")))
        leaves.append({"type": "prediction", "market": market, "outcome": random.choice(("yes", "no"))})
    if random.random() < 0.2:
        leaves.append({"type": "part", "part": names[0], "by_us": sign_by_us + 30 * _SECOND_US})
    kind = random.choice(("all", "all", "any", "at_least"))
    return {"type": kind, "of": leaves} | ({"count": random.randint(1, len(leaves))} if kind == "at_least" else {})

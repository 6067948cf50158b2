"""Draw commands of the family ``admin``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exchange.messages.admin import (
    HaltAgent,
    HaltMarket,
    HaltVenue,
    IssueAsset,
    RegisterAgent,
    RegisterAsset,
    ResumeAgent,
    ResumeMechanism,
    RetireAsset,
    RevokeAgent,
    SetSpendLimit,
    SuspendAgent,
    SuspendMechanism,
)

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.commands.view import Drawn, View

__all__ = ["draw"]


def draw(random: Random, view: View) -> Drawn:
    """Return a command that an operator might give; of others most are rejected."""
    if view.undo and random.random() < 0.7:
        return view.undo.pop()
    if view.is_operator:
        return _operate(random, view)
    agent = random.choice(view.agents)
    choices: tuple[Drawn, ...] = (
        (HaltAgent, {"agent": agent}),
        (ResumeAgent, {"agent": agent}),
        (SetSpendLimit, {"agent": agent, **_limit(random)}),
        (SetSpendLimit, {"owner": view.owner, **_limit(random)}),
        (RegisterAgent, {"agent": "pretender", "owner": view.owner}),
        (IssueAsset, {"asset": random.choice(view.markets).base, "agent": view.agent, "quantity": 5}),
    )
    return random.choice(choices)


def _operate(random: Random, view: View) -> Drawn:
    agent, terms = random.choice(view.agents), random.choice(view.markets)
    state = random.choice(("cancel_only", "halted"))
    dice = random.random()
    if dice < 0.35:
        return IssueAsset, {"asset": terms.base, "agent": agent, "quantity": random.choice((1, 10, 500))}
    if dice < 0.45:
        return RetireAsset, {"asset": terms.base, "quantity": random.choice((1, 10, 10**6))}
    if dice < 0.55:
        view.made += 1
        fields = {"agent": f"new{view.made}", "owner": random.choice(view.owners), "endowment": random.choice((0, 10))}
        return RegisterAgent, fields
    if dice < 0.6 and view.made:
        # Only who was admitted for it ends for good.
        return RevokeAgent, {"agent": f"new{random.randrange(view.made) + 1}"}
    if dice < 0.65:
        view.made += 1
        return RegisterAsset, {"asset": f"asset{view.made}", "decimals": random.choice((0, 3))}
    if dice < 0.75:
        return SetSpendLimit, {"agent": agent, **_limit(random)}
    if dice < 0.85:
        view.undo.append((ResumeAgent, {"agent": agent}))
        return random.choice((HaltAgent, SuspendAgent)), {"agent": agent}
    if dice < 0.95:
        reopen = {"market": terms.market, "state": "open", "auction_seconds": random.choice((0, 0, 1))}
        view.undo.append((HaltMarket, reopen))
        return HaltMarket, {"market": terms.market, "state": state}
    if dice < 0.975:
        view.undo.append((ResumeMechanism, {"family": "orders"}))
        return SuspendMechanism, {"family": "orders", "state": state}
    view.undo.append((HaltVenue, {"state": "open"}))
    return HaltVenue, {"state": state}


def _limit(random: Random) -> dict[str, Any]:
    limits: tuple[dict[str, Any], ...] = (
        {"per_period": 60_000, "period_seconds": 60},
        {"total": 300_000},
        {"per_period": 10_000_000},
        {"per_period": 900_000_000},
        {"total": 10**12},
    )
    return random.choice(limits)

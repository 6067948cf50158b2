"""Draw commands of the family ``property``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.messages.property import (
    AllocateModule,
    GrantAccess,
    RegisterModule,
    ReleaseModule,
    RevokeGrant,
    SetDependencies,
    SetRegime,
)

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.commands.view import Drawn, View

__all__ = ["draw"]

_MODULES: Final = ("core", "auth", "ui", "db/pool")


def draw(random: Random, view: View) -> Drawn:
    """Return a command that an agent might give."""
    dice = random.random()
    module, agent = _module(random, view), random.choice(view.agents)
    if view.is_operator:
        if dice < 0.5:
            return AllocateModule, {"module": module, "agent": agent}
        if dice < 0.8:
            return SetRegime, {"module": module, "regime": random.choice(("private", "harberger"))}
        return RegisterModule, {"module": module, "owner": agent}
    if dice < 0.2:
        return RegisterModule, _registration(random, view)
    if dice < 0.4:
        return SetDependencies, {"module": module, "dependencies": _names(random)}
    if dice < 0.7:
        return GrantAccess, {"module": module, "agent": agent}
    if dice < 0.9:
        return RevokeGrant, {"module": module, "agent": agent}
    return ReleaseModule, {"module": module}


def _module(random: Random, view: View) -> str:
    """Name a module, often one that the agent owns or owned."""
    known = [event.module for event in view.recent("property.ownership_moved")]
    return random.choice(known) if known and random.random() < 0.6 else random.choice(_MODULES)


def _names(random: Random) -> list[str]:
    return random.sample(_MODULES, random.randint(0, 2))


def _registration(random: Random, view: View) -> dict[str, Any]:
    view.made += 1
    name = random.choice((*_MODULES, f"{view.agent}/{view.made}"))
    return {"module": name, "dependencies": _names(random)}

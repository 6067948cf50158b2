"""Draw commands of the family ``externalities``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.messages.externalities import AcceptExternality, DeclareChange, ReportExternality

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.commands.view import Drawn, View

__all__ = ["draw"]

_CREDIT: Final = 1_000_000
_SECOND_US: Final = 1_000_000
_MODULES: Final = ("core", "auth", "ui", "db/pool")
_KINDS: Final = ("coupling",) * 4 + ("context_switch", "blocking", "debt", "knowledge_hoarding")


def draw(random: Random, view: View) -> Drawn:
    """Return a command that an agent might give."""
    dice = random.random()
    if dice < 0.3:
        bond = random.choice((1, 5 * _CREDIT, 5 * _CREDIT + 1, 7 * _CREDIT))
        return DeclareChange, {"module": random.choice(_MODULES), "bond": bond}
    if dice < 0.6:
        return AcceptExternality, {"externality": view.guess(random, "externality")}
    return ReportExternality, _report(random, view)


def _report(random: Random, view: View) -> dict[str, Any]:
    kind = random.choice(_KINDS)
    view.made += 1
    fields: dict[str, Any] = {
        "kind": kind,
        "source": random.choice(view.agents),
        "reference": random.choice(("again", f"{view.agent}/{view.made}")),
        "changed_us": random.choice(
            (None, view.venue_time_us, view.venue_time_us - random.choice((1, 60)) * _SECOND_US)
        ),
    }
    if kind in ("coupling", "knowledge_hoarding") or random.random() < 0.3:
        fields["module"] = random.choice(_MODULES)
    is_of_modules = kind in ("debt", "knowledge_hoarding") and "module" in fields and random.random() < 0.5
    if kind == "coupling" or is_of_modules:
        names = random.sample(_MODULES, random.randint(1, 3))
        fields["affected"] = [{"module": name, "severity": random.choice((1, 33, 50, 100))} for name in names]
    elif random.random() < 0.8:
        fields["target"] = random.choice(view.agents)
    if kind != "coupling":
        fields["units"] = random.choice((1, 1, 3, 40))
    elif random.random() < 0.1:
        fields["change"] = random.randint(1, 12)
    return fields

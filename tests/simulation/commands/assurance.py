"""Draw commands of the family ``assurance``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.messages.assurance import ConfirmGood, Pledge, ProposeGood, WithdrawGood

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.commands.view import Drawn, View

__all__ = ["draw"]

_SECOND_US: Final = 1_000_000
_CREDIT: Final = 1_000_000
_EACH: Final = 2 * _CREDIT + 1
_EACH_MINUTES: Final = 61


def draw(random: Random, view: View) -> Drawn:
    """Return a command that an agent might give."""
    dice = random.random()
    units = [unit for unit in ("credits", "minutes", "owners") if view.public.get(f"good_{unit}")]
    delivered = view.recent("assurance.delivered")
    if dice < 0.05 or (not units and dice < 0.7):
        return ProposeGood, _good(random, view)
    if delivered and dice < 0.3:
        return ConfirmGood, {"good": random.choice(delivered).good}
    if dice < 0.97:
        return Pledge, _pledge(random, view, random.choice(units or ["credits"]))
    if dice < 0.98:
        return ConfirmGood, {"good": view.guess(random, "good")}
    return WithdrawGood, {"good": view.guess(random, "good")}


def _pledge(random: Random, view: View, unit: str) -> dict[str, Any]:
    number = view.guess(random, f"good_{unit}")
    credits_ = random.choice((1, 5, 7_000_001, _EACH))
    minutes = random.choice((1, 30, _EACH_MINUTES))
    if unit == "credits":
        return {"good": number, "credits": credits_}
    if unit == "minutes":
        return {"good": number, "minutes": minutes}
    # What each owner gives, and now and then the wrong kind of it.
    kinds = random.choice((("credits",), ("minutes",), ("credits", "minutes")))
    each = {"credits": _EACH, "minutes": _EACH_MINUTES}
    return {"good": number} | {kind: each[kind] for kind in kinds}


def _good(random: Random, view: View) -> dict[str, Any]:
    now_us = view.venue_time_us
    deadline_us = now_us + random.choice((600, 86_400, 259_200)) * _SECOND_US
    unit = random.choice(("credits", "minutes", "owners", "owners"))
    fields: dict[str, Any] = {
        "title": "a good for all",
        "unit": unit,
        "deadline_us": deadline_us,
        "deliver_by_us": deadline_us + random.choice((60, 7_200, 86_400)) * _SECOND_US,
        "attester": random.choice((None, None, random.choice(view.agents))),
        "refund_bonus_bp": random.choice((0, 0, 777, 10_000)),
    }
    if unit == "owners":
        kinds = random.choice((("min_credits",), ("min_minutes",), ("min_credits", "min_minutes")))
        fields |= {kind: _EACH if kind == "min_credits" else _EACH_MINUTES for kind in kinds}
        threshold = random.choice((1, 1, 2, 3))
    elif unit == "credits":
        fields["min_credits"] = random.choice((None, 1, 5))
        threshold = random.choice((5, 11, 12, 7_000_001))
    else:
        fields["min_minutes"] = random.choice((None, 1, 30))
        threshold = random.choice((31, 60, 122))
    has_credits = unit == "credits" or bool(fields.get("min_credits"))
    fields["provider"] = random.choice(view.agents) if has_credits else None
    if not has_credits:
        fields["refund_bonus_bp"] = 0
    if unit == "minutes" or fields.get("min_minutes"):
        fields["hour_bond"] = random.choice((None, 7, 2 * _CREDIT))
    return fields | {"threshold": threshold, "cap": random.choice((None, threshold + threshold // 2 + 1))}

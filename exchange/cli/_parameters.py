"""``exchange parameter``: see what owners may vote on."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.cli._asking import ask, print_all, print_one, when
from exchange.cli._output import Json
from exchange.cli._venue import Venue

if TYPE_CHECKING:
    from decimal import Decimal

    from agent_sdk import Parameter

__all__ = ["list_", "show_"]

_UNITS = {"basis_points": "basis points", "milli_hours": "thousandths of an hour"}


def list_(*, venue: Venue | None = None, json: Json = False) -> None:
    """List every parameter with its value and its bounds."""
    print_all(
        ask(venue, lambda agent: agent.governance.parameters()),
        json,
        ("parameter", ">value", ">from", ">to", "unit", "moves", "since", "next"),
        lambda found: (
            found.name, plain(found.value), plain(found.low), plain(found.high), _UNITS.get(found.unit, found.unit),
            "by votes and daily" if found.is_dynamic else "by votes", when(found.since_us) or "the beginning",
            _next(found),
        ),
        empty="There are no parameters.",
    )  # fmt: skip


def show_(parameter: str, /, *, venue: Venue | None = None, json: Json = False) -> None:
    """Show one parameter: what it is, what moves it, and what comes next.

    Parameters
    ----------
    parameter
        Name of the parameter.
    """
    missing = f"there is no parameter {parameter}; see `exchange parameter list`"
    found = ask(venue, lambda agent: agent.governance.parameter(parameter), missing)
    print_one(
        found,
        json,
        (
            ("parameter", found.name),
            ("what", found.summary),
            ("value", plain(found.value)),
            ("bounds", f"{plain(found.low)} to {plain(found.high)}"),
            ("unit", _UNITS.get(found.unit, found.unit)),
            ("moves", "by votes, and by up to an eighth a day" if found.is_dynamic else "by votes"),
            ("target", found.target),
            ("so far today", found.observed),
            ("since", when(found.since_us) or "the beginning"),
            ("next", _next(found)),
        ),
    )


def _next(found: Parameter) -> str | None:
    if found.next_value is None:
        return None
    return f"{plain(found.next_value)} at {when(found.next_at_us)}"


def plain(value: Decimal) -> str:
    """Write a value without zeros that say nothing."""
    return f"{value:f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"

"""Turn wire structs into what users see: credits and hours in whole ones, everything else as it is."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, cast, get_args, get_origin, get_type_hints

from agent_sdk.markets import maybe_credits
from agent_sdk.money import from_units
from agent_sdk.session import DEFAULT_TIMEOUT_S, Draft

if TYPE_CHECKING:
    from collections.abc import Callable

    import msgspec

    from agent_sdk.markets import Catalog
    from agent_sdk.session import Connection
    from exchange.messages.base import Command, Outcome

__all__ = ["Credits", "Hours", "Namespace", "page_through", "read", "wire_name"]

_CREDITS: Final = "credits"
_HOURS: Final = "hours"
_SECOND_US: Final = 1_000_000
_HOUR_DECIMALS: Final = 3

Credits = Annotated[Decimal, _CREDITS]
"""An amount in whole credits, of a field that holds smallest units on the wire."""

Hours = Annotated[Decimal, _HOURS]
"""Whole hours, of a field that holds thousandths on the wire and says ``hours_milli`` where this says ``hours``."""

ModelT = TypeVar("ModelT")


def read(model: type[ModelT], wire: msgspec.Struct, **more: Any) -> ModelT:
    """Make a dataclass of a wire struct with fields of the same names; ``more`` gives those it does not have.

    A field that is a dataclass or a tuple of them is read likewise, and a dict of credits amount by amount.
    """
    values: dict[str, Any] = {}
    for name, wire_name, convert in _plan(cast("Any", model)):
        if name not in more:
            value = getattr(wire, wire_name)
            values[name] = value if convert is None else convert(value)
    return model(**values, **more)


@cache
def _plan(model: Any) -> tuple[tuple[str, str, Callable[[Any], Any] | None], ...]:
    hints = get_type_hints(model, include_extras=True)
    names = [field.name for field in dataclasses.fields(model)]
    return tuple((name, wire_name(name, hints[name]), _converter(hints[name])) for name in names)


def wire_name(name: str, hint: Any) -> str:
    """Return what a field of a dataclass, with its type, is called on the wire."""
    return name.replace("hours", "hours_milli", 1) if hint == Hours or Hours in get_args(hint) else name


def _maybe_hours(hours: int | None) -> Decimal | None:
    return None if hours is None else from_units(hours, _HOUR_DECIMALS)


def _converter(hint: Any) -> Callable[[Any], Any] | None:
    parts = get_args(hint)
    if get_origin(hint) is dict and Credits in parts:
        return lambda amounts: {name: maybe_credits(amount) for name, amount in amounts.items()}
    if hint == Credits or Credits in parts:
        return maybe_credits
    if hint == Hours or Hours in parts:
        return _maybe_hours
    if parts and isinstance(parts[0], type) and dataclasses.is_dataclass(parts[0]):
        inner = parts[0]
        if get_origin(hint) is not tuple:
            return lambda view: None if view is None else read(inner, view)
        return lambda views: tuple(read(inner, view) for view in views)
    return tuple if get_origin(hint) is tuple else None


async def page_through(ask: Any, views: str) -> list[Any]:
    """Ask for page after page, ``ask(after)``, and return the ``views`` of all."""
    found: list[Any] = []
    after = 0
    while True:
        page = await ask(after)
        found += getattr(page, views)
        if page.next is None:
            return found
        after = page.next


class Namespace:
    """Send the commands of one family. Every method raises like `Agent.place`: ``Rejected`` says which rule said no."""

    def __init__(self, connection: Connection, catalog: Catalog) -> None:
        self._connection = connection
        self._catalog = catalog

    async def _give(self, kind: type[Command], outcome: type[Outcome] | None = None, /, **fields: Any) -> Any:
        """Send a command with the fields that are not None."""
        given = {name: value for name, value in fields.items() if value is not None}
        return await self._connection.execute(Draft(kind, given, outcome), DEFAULT_TIMEOUT_S)

    def _at(self, seconds: float) -> int:
        """Return the venue time in ``seconds`` from now."""
        return self._connection.clock.now_us() + round(seconds * _SECOND_US)

"""Turn wire structs into what users see: amounts of credits in whole credits, everything else as it is."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, cast, get_args, get_origin, get_type_hints

from agent_sdk.markets import maybe_credits
from agent_sdk.session import DEFAULT_TIMEOUT_S, Draft

if TYPE_CHECKING:
    from collections.abc import Callable

    import msgspec

    from agent_sdk.markets import Catalog
    from agent_sdk.session import Connection
    from exchange.messages.base import Command, Outcome

__all__ = ["Credits", "Namespace", "page_through", "read"]

_CREDITS: Final = "credits"
_SECOND_US: Final = 1_000_000

Credits = Annotated[Decimal, _CREDITS]
"""An amount in whole credits, of a field that holds smallest units on the wire."""

ModelT = TypeVar("ModelT")


def read(model: type[ModelT], wire: msgspec.Struct, **more: Any) -> ModelT:
    """Make a dataclass of a wire struct with fields of the same names; ``more`` gives those it does not have.

    A field that is a tuple of dataclasses is read likewise, struct by struct, and a dict of credits amount by amount.
    """
    values: dict[str, Any] = {}
    for name, convert in _plan(cast("Any", model)):
        if name not in more:
            value = getattr(wire, name)
            values[name] = value if convert is None else convert(value)
    return model(**values, **more)


@cache
def _plan(model: Any) -> tuple[tuple[str, Callable[[Any], Any] | None], ...]:
    hints = get_type_hints(model, include_extras=True)
    return tuple((field.name, _converter(hints[field.name])) for field in dataclasses.fields(model))


def _converter(hint: Any) -> Callable[[Any], Any] | None:
    parts = get_args(hint)
    if get_origin(hint) is dict and Credits in parts:
        return lambda amounts: {name: maybe_credits(amount) for name, amount in amounts.items()}
    if hint == Credits or Credits in parts:
        return maybe_credits
    if parts and isinstance(parts[0], type) and dataclasses.is_dataclass(parts[0]):
        inner = parts[0]
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

    async def _give(self, kind: type[Command], outcome: type[Outcome] | None = None, **fields: Any) -> Any:
        """Send a command with the fields that are not None."""
        given = {name: value for name, value in fields.items() if value is not None}
        return await self._connection.execute(Draft(kind, given, outcome), DEFAULT_TIMEOUT_S)

    def _at(self, seconds: float) -> int:
        """Return the venue time in ``seconds`` from now."""
        return self._connection.clock.now_us() + round(seconds * _SECOND_US)

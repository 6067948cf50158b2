"""Turn wire structs into what users see: amounts of credits in whole credits, everything else as it is."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, cast, get_args, get_type_hints

from agent_sdk.markets import maybe_credits

if TYPE_CHECKING:
    import msgspec

__all__ = ["Credits", "page_through", "read"]

_CREDITS: Final = "credits"

Credits = Annotated[Decimal, _CREDITS]
"""An amount in whole credits, of a field that holds smallest units on the wire."""

ModelT = TypeVar("ModelT")


def read(model: type[ModelT], wire: msgspec.Struct, **more: Any) -> ModelT:
    """Make a dataclass of a wire struct with fields of the same names; ``more`` gives those it does not have."""
    values: dict[str, Any] = {}
    for name, is_credits in _plan(cast("Any", model)):
        if name in more:
            continue
        value = getattr(wire, name)
        values[name] = maybe_credits(value) if is_credits else tuple(value) if isinstance(value, list) else value
    return model(**values, **more)


@cache
def _plan(model: Any) -> tuple[tuple[str, bool], ...]:
    hints = get_type_hints(model, include_extras=True)
    return tuple((field.name, _is_credits(hints[field.name])) for field in dataclasses.fields(model))


def _is_credits(hint: Any) -> bool:
    return hint == Credits or any(argument == Credits for argument in get_args(hint))


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

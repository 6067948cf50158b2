"""The wire vocabulary: structs only, one file per mechanism (two for a long one), for the daemon and for the SDK.

A new mechanism adds its file here; what it defines is found by its base class (``Command``,
``Query``, ``Event``), so there is no list to keep.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any, Final, Union

import msgspec

from exchange.messages.base import Command, Event, Query

__all__ = [
    "COMMANDS",
    "EVENTS",
    "QUERIES",
    "command_union",
    "event_union",
    "family_of",
    "query_union",
    "tag_of",
]

for _module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_module}")


def tag_of(kind: type[msgspec.Struct]) -> str:
    """Return the wire tag of a message type, such as ``"orders.place"``."""
    return str(kind.__struct_config__.tag)


def family_of(kind: type[msgspec.Struct]) -> str:
    """Return the family of a message type: its tag up to the first dot."""
    return tag_of(kind).partition(".")[0]


def _family_members(base: type[msgspec.Struct]) -> dict[str, type[Any]]:
    found: dict[str, type[Any]] = {}
    waiting = list(base.__subclasses__())
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        if "." in (tag := tag_of(kind)):
            found[tag] = kind
    return dict(sorted(found.items()))


COMMANDS: Final[dict[str, type[Command]]] = _family_members(Command)
"""Every command by its tag."""

QUERIES: Final[dict[str, type[Query]]] = _family_members(Query)
"""Every query by its tag."""

EVENTS: Final[dict[str, type[Event]]] = _family_members(Event)
"""Every private event by its tag."""


def command_union() -> Any:
    """Return the tagged union of all commands, as a decoder's type."""
    return Union[tuple(COMMANDS.values())]  # noqa: UP007 - built at run time


def query_union() -> Any:
    """Return the tagged union of all queries, as a decoder's type."""
    return Union[tuple(QUERIES.values())]  # noqa: UP007 - built at run time


def event_union() -> Any:
    """Return the tagged union of all private events, as a decoder's type."""
    return Union[tuple(EVENTS.values())]  # noqa: UP007 - built at run time

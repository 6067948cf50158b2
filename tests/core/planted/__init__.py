"""Break mechanisms on purpose, in one place at a time: walks that do not notice are worth nothing.

Each mechanism's faults stand in a module of its name. A fault is a variant of a real function, put in its place for the
length of a block.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PLANTED", "Planted", "plant"]


class Planted(NamedTuple):
    """Name a fault, where it is put, and the families of the walk that finds it."""

    name: str
    owner: Any
    attribute: str
    variant: Any
    families: tuple[str, ...]
    seed: int
    """Where to look first: one that caught it when this was written."""

    @contextlib.contextmanager
    def grow(self) -> Iterator[None]:
        """Let the product be broken for the length of the block."""
        kept = self.owner.__dict__[self.attribute]
        setattr(self.owner, self.attribute, self.variant)
        try:
            yield
        finally:
            setattr(self.owner, self.attribute, kept)


PLANTED: Final[list[Planted]] = []


def plant(name: str, owner: Any, attribute: str, variant: Any, *families: str, seed: int = 1) -> None:
    """Register a fault: the attribute of a class or module, what takes its place, and the families to walk in."""
    PLANTED.append(Planted(name, owner, attribute, variant, families, seed))


for _module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_module}")

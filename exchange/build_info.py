"""Say what is installed: its version, and whether the core was compiled."""

from __future__ import annotations

from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal

__all__ = ["CORE", "VERSION"]


def _version() -> str:
    try:
        return version("agent-exchange")
    except PackageNotFoundError:  # a source tree that is not installed
        return "0"


def _core() -> Literal["compiled", "interpreted"]:
    """Find the engine as an import would, but do not import it: most commands of the command line never need it."""
    found = PathFinder.find_spec("exchange.engine.engine", [str(Path(__file__).with_name("engine"))])
    is_compiled = found is not None and not (found.origin or "").endswith(".py")
    return "compiled" if is_compiled else "interpreted"


VERSION: Final = _version()

CORE: Final = _core()
"""How the rooms that run per order are executed; both do the same, byte for byte."""

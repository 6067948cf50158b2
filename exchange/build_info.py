"""Say what is installed: its version, and whether the core was compiled."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final, Literal

from exchange.engine import engine

__all__ = ["CORE", "VERSION"]


def _version() -> str:
    try:
        return version("agent-exchange")
    except PackageNotFoundError:  # a source tree that is not installed
        return "0"


VERSION: Final = _version()

CORE: Final[Literal["compiled", "interpreted"]] = (
    "interpreted" if (engine.__file__ or "").endswith(".py") else "compiled"
)
"""How the rooms that run per order are executed; both do the same, byte for byte."""

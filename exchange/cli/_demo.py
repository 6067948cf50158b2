"""``exchange demo``: a whole venue with traders, for a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from exchange.cli._output import Json

__all__ = ["demo"]


def demo(*, json: Json = False) -> None:
    """Placeholder."""

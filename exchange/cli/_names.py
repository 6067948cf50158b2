"""Read the names and amounts that a user types, before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

from cyclopts import Parameter, Token

from exchange.cli._output import CliError
from exchange.messages.base import RESERVED_AGENT_IDS

__all__ = ["Amount", "MaybeAmount", "check_agent_id"]

_AGENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)


def check_agent_id(name: str, what: str = "agent id") -> str:
    """Return a name that an agent (or an owner) may have.

    Raises:
        CliError: it may not.
    """
    if _AGENT_ID.fullmatch(name) is None:
        message = f"{name!r} cannot be an {what}; use 1 to 32 of the characters A-Z a-z 0-9 _ -"
        raise CliError(message)
    if name in RESERVED_AGENT_IDS:
        message = f"{name!r} is reserved for the venue itself; choose another {what}"
        raise CliError(message)
    return name


def _read_amount(_kind: Any, tokens: Sequence[Token]) -> Decimal:
    """Read an exact number; its errors become messages about the flag."""
    text = tokens[0].value
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        message = f"{text!r} is no number; write it like 5 or 0.01"
        raise ValueError(message)
    return amount


Amount = Annotated[Decimal, Parameter(converter=_read_amount, n_tokens=1)]
MaybeAmount = Annotated[Decimal | None, Parameter(converter=_read_amount, n_tokens=1)]

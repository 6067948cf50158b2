"""Convert exactly between whole units and the integers on the wire. Floats are refused."""

from __future__ import annotations

from decimal import Context, Decimal, InvalidOperation
from typing import Final

from exchange.messages.base import CREDIT_DECIMALS, MAX_AMOUNT

__all__ = ["Number", "from_units", "to_credits", "to_units"]

Number = Decimal | int | str
"""An amount in whole units: ``Decimal("2.5")``, ``5`` or ``"2.5"``; never a float."""

# Own context: the caller's may round. 2**53 has 16 digits; nothing here needs more than 40.
_EXACT: Final = Context(prec=60)
_SCALES: Final = tuple(10**decimals for decimals in range(19))


def to_units(value: Number, decimals: int, what: str, *, step: int = 1) -> int:
    """Return ``value`` (in whole units) in smallest units, of which ``10**decimals`` are one.

    Raises:
        TypeError: It is a float, or no number at all.
        ValueError: It is not positive, too large, or not a multiple of ``step`` smallest units.

    """
    units: int = value * _SCALES[decimals] if type(value) is int else _decimal_to_units(value, decimals, what)
    if not 0 < units <= MAX_AMOUNT:
        limit = from_units(MAX_AMOUNT, decimals)
        message = f"{what} {value} is out of range: it must be above 0 and at most {limit}"
        raise ValueError(message)
    if step != 1 and units % step:
        message = f"{what} {value} is not a multiple of {from_units(step, decimals)}"
        raise ValueError(message)
    return units


def _decimal_to_units(value: Number, decimals: int, what: str) -> int:
    if isinstance(value, float):
        message = f"{what} {value!r} is a float, which cannot hold amounts exactly: use Decimal, int or str"
        raise TypeError(message)
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        message = f"{what} must be a Decimal, an int or a str, not {type(value).__name__}"
        raise TypeError(message)
    try:
        exact = Decimal(value)
    except InvalidOperation:
        message = f"{what} {value!r} is not a number"
        raise ValueError(message) from None
    if not exact.is_finite() or abs(exact.adjusted()) > 40:  # noqa: PLR2004 - far beyond any amount
        message = f"{what} {value} is out of range"
        raise ValueError(message)
    scaled = _EXACT.scaleb(exact, decimals)
    units = int(scaled)
    if units != scaled:
        message = f"{what} {value} has more than the {decimals} decimals that it may have"
        raise ValueError(message)
    return units


def to_credits(value: Number, what: str) -> int:
    """Return an amount in whole credits in the credit's smallest unit; like `to_units`."""
    return to_units(value, CREDIT_DECIMALS, what)


def from_units(units: int, decimals: int) -> Decimal:
    """Return an amount of smallest units in whole units."""
    return _EXACT.scaleb(_EXACT.create_decimal(units), -decimals) if decimals else Decimal(units)

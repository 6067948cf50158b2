"""Reckon with exp and ln where a formula needs them: decimal numbers in one explicit context, integers in and out.

Every operation is rounded half even to 36 digits. ``exp`` and ``ln`` of :mod:`decimal` are correctly rounded in both of
its implementations, so they come to the same digits on any machine. A float anywhere raises. What is smaller than
``10 ** -999_999`` counts as nothing.
"""

from __future__ import annotations

from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    InvalidOperation,
    Overflow,
)
from typing import Final

__all__ = ["DIGITS", "Decimal", "add", "ceiling", "divide", "exp", "floor", "ln", "multiply", "nearest", "real"]

DIGITS: Final = 36
"""How many digits every intermediate result has."""


def _context(rounding: str) -> Context:
    traps = [DivisionByZero, FloatOperation, InvalidOperation, Overflow]
    return Context(
        prec=DIGITS, rounding=rounding, Emin=-999_999, Emax=999_999, capitals=1, clamp=0, flags=[], traps=traps
    )


_NEAREST: Final = _context(ROUND_HALF_EVEN)
_UP: Final = _context(ROUND_CEILING)
_DOWN: Final = _context(ROUND_FLOOR)

_MARGIN: Final = _NEAREST.create_decimal("1E-12")
"""More than all errors of a formula together, where its result is below ``2 ** 63`` and its terms are few."""


def real(number: int) -> Decimal:
    """Return an integer as a number to reckon with; exact below ``10 ** 36``."""
    return _NEAREST.create_decimal(number)


def add(left: Decimal, right: Decimal) -> Decimal:
    """Return the sum."""
    return _NEAREST.add(left, right)


def multiply(left: Decimal, right: Decimal) -> Decimal:
    """Return the product."""
    return _NEAREST.multiply(left, right)


def divide(left: Decimal, right: Decimal) -> Decimal:
    """Return the quotient.

    Raises:
        DivisionByZero: ``right`` is 0.
    """
    return _NEAREST.divide(left, right)


def exp(number: Decimal) -> Decimal:
    """Return e to the power of a number.

    Raises:
        Overflow: it has more than a million digits.
    """
    return _NEAREST.exp(number)


def ln(number: Decimal) -> Decimal:
    """Return the natural logarithm of a positive number.

    Raises:
        InvalidOperation: it is negative.
    """
    return _NEAREST.ln(number)


def ceiling(number: Decimal) -> int:
    """Return an integer that is not below the exact value of what was reckoned, and at most ``1 + 2E-12`` above it."""
    return int(_UP.to_integral_value(_NEAREST.add(number, _MARGIN)))


def floor(number: Decimal) -> int:
    """Return an integer that is not above the exact value of what was reckoned, and at most ``1 + 2E-12`` below it."""
    return int(_DOWN.to_integral_value(_NEAREST.subtract(number, _MARGIN)))


def nearest(number: Decimal) -> int:
    """Return the nearest integer, of two the even one, where either neighbour would do."""
    return int(_NEAREST.to_integral_value(number))

"""Let evidence fade: halve it every 90 days, in integers.

A share of a half-life is written as a binary fraction of 48 digits, and the i-th has a constant factor of
``2 ** -(2 ** -i)``. All is rounded down. So ``decayed(x, t)`` lies within ``1 + x / 2**46`` of the exact
``x * 2 ** -(t / HALF_LIFE_US)``, and fading in n steps within ``(n + 1) * (1 + x / 2**46)`` of fading in one.
"""

from __future__ import annotations

from math import isqrt
from typing import Final

__all__ = ["FORGOTTEN_US", "HALF_LIFE_US", "decayed"]

HALF_LIFE_US: Final = 90 * 86_400_000_000
"""After so long, evidence counts half."""

FORGOTTEN_US: Final = 10 * HALF_LIFE_US
"""After so long without anything new, less than a thousandth is left, and it is forgotten."""

_BITS: Final = 64
_DIGITS: Final = 48
_HALVINGS_MAX: Final = 64


def _factors() -> list[int]:
    """Return ``2 ** -(2 ** -i)`` for i = 1, 2, …, in units of ``2 ** -64``: each is the root of the one before."""
    guard = 32
    factors = []
    factor = 1 << (_BITS + guard - 1)
    for _ in range(_DIGITS):
        factor = isqrt(factor << (_BITS + guard))
        factors.append(factor >> guard)
    return factors


_FACTORS: Final = _factors()


def decayed(amount: int, elapsed_us: int) -> int:
    """Return what is left of an amount of evidence after a time, rounded down."""
    halvings, rest_us = divmod(elapsed_us, HALF_LIFE_US)
    if halvings >= _HALVINGS_MAX:
        return 0
    digits = (rest_us << _DIGITS) // HALF_LIFE_US
    factor = 1 << _BITS
    for place, constant in enumerate(_FACTORS, 1):
        if digits >> (_DIGITS - place) & 1:
            factor = factor * constant >> _BITS
    return amount * factor >> (_BITS + halvings)

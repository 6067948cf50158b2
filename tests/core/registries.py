"""Name the venue whose books are kept in the plainest way, mechanism by mechanism otherwise the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exchange.mechanisms import REGISTRY
from exchange.mechanisms.orders import Orders
from exchange.mechanisms.orders.naive import NaiveOrders

if TYPE_CHECKING:
    from exchange.mechanisms.base import Mechanism

__all__ = ["NAIVE"]

NAIVE: Final[tuple[type[Mechanism], ...]] = tuple(NaiveOrders if kind is Orders else kind for kind in REGISTRY)
"""Every mechanism of the venue, with the naive book in the place of the fast one."""

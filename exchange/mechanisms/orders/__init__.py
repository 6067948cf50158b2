"""The continuous double auction (family ``orders``)."""

from __future__ import annotations

from exchange.mechanisms.orders.mechanism import Orders

__all__ = ["Orders"]

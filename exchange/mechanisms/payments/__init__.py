"""Holds, escrows and liens: why each amount is where it is, and the order of payment."""

from __future__ import annotations

from exchange.mechanisms.payments.mechanism import Payments

__all__ = ["Payments"]

"""Settlement by delivery: escrow, delivery, confirmation, failure, finality."""

from __future__ import annotations

from exchange.mechanisms.settlements.mechanism import Settlements

__all__ = ["Settlements"]

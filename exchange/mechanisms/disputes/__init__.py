"""Arbitration: stakes, panels drawn by a hash that nobody could know, sealed rulings, fees."""

from __future__ import annotations

from exchange.mechanisms.disputes.mechanism import Disputes

__all__ = ["Disputes"]

"""Resource leases."""

from __future__ import annotations

from exchange.mechanisms.leases.mechanism import Leases

__all__ = ["Leases"]

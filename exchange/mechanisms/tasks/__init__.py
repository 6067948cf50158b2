"""Task auctions: procurement and sale, sealed bids, second or first price, standing bids, urgency, bonuses."""

from __future__ import annotations

from exchange.mechanisms.tasks.mechanism import Tasks

__all__ = ["Tasks"]

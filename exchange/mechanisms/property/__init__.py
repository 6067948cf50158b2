"""Property: modules have owners, who sell, rent and homestead them, or hold them at a value that they state."""

from __future__ import annotations

from exchange.mechanisms.property.mechanism import Property

__all__ = ["Property"]

"""Public goods: enough owners pledge by a deadline, and everybody gives its share, or nobody gives anything."""

from __future__ import annotations

from exchange.mechanisms.assurance.mechanism import Assurance

__all__ = ["Assurance"]

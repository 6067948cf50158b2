"""Help for a price, and what is thought of whom: offers, sessions, ratings, reputation."""

from __future__ import annotations

from exchange.mechanisms.expertise.mechanism import Expertise

__all__ = ["Expertise"]

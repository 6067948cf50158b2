"""Technical debt: hours of work that somebody owes, with interest, and that others can be paid to take over."""

from __future__ import annotations

from exchange.mechanisms.debts.mechanism import Debts

__all__ = ["Debts"]

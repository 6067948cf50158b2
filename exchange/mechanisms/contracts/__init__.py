"""Conditional contracts: everybody is paid in one step if a condition holds, and nobody if it does not."""

from __future__ import annotations

from exchange.mechanisms.contracts.mechanism import Contracts

__all__ = ["Contracts"]

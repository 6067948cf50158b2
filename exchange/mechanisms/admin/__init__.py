"""Agents, owners, budgets, assets and halts (family ``admin``)."""

from __future__ import annotations

from exchange.mechanisms.admin.mechanism import Admin

__all__ = ["Admin"]

"""Governance: owners vote on the venue's parameters and its public fund; rates follow their use day by day."""

from __future__ import annotations

from exchange.mechanisms.governance.mechanism import Governance

__all__ = ["Governance"]

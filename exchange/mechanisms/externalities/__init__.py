"""Externalities: who breaks, interrupts or blocks others pays those who bear it, and the rates follow their use."""

from __future__ import annotations

from exchange.mechanisms.externalities.mechanism import Externalities

__all__ = ["Externalities"]

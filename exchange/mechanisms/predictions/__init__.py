"""Prediction markets: a market maker with a bounded loss, or complete sets, and forecasters who are scored."""

from __future__ import annotations

from exchange.mechanisms.predictions.mechanism import Predictions

__all__ = ["Predictions"]

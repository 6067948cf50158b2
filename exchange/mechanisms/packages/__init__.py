"""Combinatorial auctions: sealed bids for packages of items, by agents and teams; the winners are found by a worker."""

from __future__ import annotations

from exchange.mechanisms.packages.mechanism import Packages

__all__ = ["Packages"]

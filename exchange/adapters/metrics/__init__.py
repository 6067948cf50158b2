"""Count and measure for Prometheus, and say over HTTP whether the venue is alive.

Whoever leads writes plain numbers, without locks; whoever scrapes reads them from another thread.
"""

from __future__ import annotations

from exchange.adapters.metrics._metrics import Health, Metrics
from exchange.adapters.metrics._server import MetricsServer

__all__ = ["Health", "Metrics", "MetricsServer"]

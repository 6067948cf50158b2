"""Count and measure for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exchange.daemon.host import Host, Step

__all__ = ["Metrics", "MetricsServer"]


class Metrics:
    """Hold the metrics of one daemon."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def observe_batch(
        self, step: Step, *, apply_s: float, journal_s: float, release_s: float, egress_s: float
    ) -> None:
        """Take in one durable batch."""


class MetricsServer:
    """Serve ``/metrics`` and ``/healthz`` from a thread of its own."""

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        self.url = f"http://{host}:{port}/metrics"

    def start(self) -> None:
        """Start serving."""

    def stop(self) -> None:
        """Stop serving."""

"""Let a venue work: a walk through all mechanisms, whose metrics are then scraped."""

from __future__ import annotations

from functools import cache
from typing import Final

from exchange.adapters.metrics import Metrics
from exchange.daemon.host import Host
from tests.core.walk import Walk

__all__ = ["OPEN_METRICS", "WORK", "Scraped", "scraped"]

OPEN_METRICS: Final = "application/openmetrics-text; version=1.0.0"
"""What Prometheus asks for."""

WORK: Final = (
    "payments",
    "settlements",
    "disputes",
    "leases",
    "tasks",
    "contracts",
    "debts",
    "expertise",
    "externalities",
    "packages",
    "property",
    "assurance",
    "predictions",
    "governance",
)
"""The families of the market for work and of the commons."""


class _Worked(Walk):
    """Walk with one engine, whose counts go on."""

    def _reload(self) -> None:
        """Do without: a venue that starts from a snapshot begins to count anew."""


class Scraped:
    """Scrape venues while agents work in them, and keep the largest value of every sample."""

    def __init__(self, *seeds: int, steps: int) -> None:
        self.samples: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self.labels: dict[str, set[str]] = {}
        """Of every name, the labels that were seen."""
        self.page = b""
        """What the last venue served in the end."""
        for seed in seeds:
            self._work(_Worked(seed, check_every=500), steps)

    def total(self, name: str) -> float:
        """Return the sum over all labels."""
        return sum(value for (known, _), value in self.samples.items() if known == name)

    def _work(self, walk: Walk, steps: int) -> None:
        host = Host(send=lambda *_: None, now_s=lambda: 0.0, engine=walk.venue.engine)
        metrics = Metrics(host, lambda: 0.0)
        for step in range(1, steps + 1):
            walk.step()
            if step % 100 == 0:
                self._scrape(metrics)
        self.page = metrics.render(OPEN_METRICS)[0]

    def _scrape(self, metrics: Metrics) -> None:
        for family in metrics.registry.collect():
            for sample in family.samples:
                key = sample.name, tuple(sample.labels.items())
                self.samples[key] = max(sample.value, self.samples.get(key, 0.0))
                self.labels.setdefault(sample.name, set()).update(sample.labels)


@cache
def scraped() -> Scraped:
    """Return what venues exported in which all mechanisms were busy."""
    return Scraped(1, 2, 3, 4, steps=4_000)

"""Set up a host with metrics, in memory, whose clocks the test moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from exchange.adapters.metrics import Metrics
from exchange.daemon.host import Host
from exchange.mechanisms import REGISTRY
from exchange.messages import family_of
from exchange.testing import Venue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exchange.daemon.host import Step
    from exchange.mechanisms.base import Mechanism
    from exchange.messages.base import Command

__all__ = ["CREDIT", "Scene"]

CREDIT: Final = 1_000_000
"""One credit in its smallest unit."""

_encode = msgspec.json.Encoder().encode


class Scene:
    """Lead a host as the daemon's leader does, one batch per call; agents ``alice`` and ``bob`` trade ``cpu``."""

    def __init__(self, mechanisms: Iterable[type[Mechanism]] = REGISTRY) -> None:
        self.venue = Venue(mechanisms=mechanisms)
        self.venue.register("alice", "bob", endowment=1_000 * CREDIT)
        self.venue.market("cpu", tick=CREDIT // 100)
        self.venue.issue("alice", 100)
        self.now_s = 5_000.0
        self.refused: list[bytes] = []
        self.host = Host(
            send=lambda _, payload: self.refused.append(payload),
            now_s=lambda: self.now_s,
            engine=self.venue.engine,
        )
        self.metrics = Metrics(self.host, lambda: self.now_s)

    def value(self, name: str, **labels: str) -> float | None:
        """Return what a scrape says now."""
        return self.metrics.registry.get_sample_value(f"exchange_{name}", labels)

    def series(self, name: str) -> dict[tuple[str, ...], float]:
        """Return all samples of a name, by their labels' values."""
        return {
            tuple(sample.labels.values()): sample.value
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name == f"exchange_{name}"
        }

    def receive(self, agent: str, *commands: Command) -> None:
        """Let a message of one or several commands come in."""
        payload = _encode(commands[0] if len(commands) == 1 else commands)
        subject = f"exchange.v1.cmd.{agent}.{family_of(type(commands[0]))}"
        self.host.gateway.receive_command(subject, f"_INBOX.{agent}.1", payload)

    def command(self, sender: str, kind: type[Command], /, **fields: Any) -> Command:
        """Make a command with the agent's next id."""
        return self.venue.command(sender, kind, **fields)

    def cut(self) -> Step:
        """Apply a batch of what has arrived, a millisecond of venue time after the last."""
        return self.host.cut(self.host.engine.time_us + 1_000)

    def lead(self, **stages: float) -> Step:
        """Apply, store and release a batch of what has arrived; the stages' seconds default to 0."""
        step = self.cut()
        self.host.replies(step)
        self.host.release(step)
        durations = {"apply_s": 0.0, "journal_s": 0.0, "release_s": 0.0, "egress_s": 0.0}
        self.metrics.observe_batch(step, **(durations | stages))
        return step

"""Take in what the leader does, batch by batch, and export it with the state of the venue."""

from __future__ import annotations

import platform
from collections import Counter
from operator import itemgetter
from threading import Lock
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final, Literal, Protocol

import msgspec
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder

from exchange.adapters.metrics._numbers import COMMANDS as COMMANDS_BOUNDS
from exchange.adapters.metrics._numbers import SECONDS, Histogram
from exchange.adapters.metrics._state import StateCollector
from exchange.adapters.server_admin import StoreUse
from exchange.build_info import CORE, VERSION
from exchange.messages import COMMANDS, family_of
from exchange.messages.base import PROTOCOL
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

    from exchange.adapters.gateway import Pending
    from exchange.adapters.metrics._state import Venue
    from exchange.engine import Batch, Outputs

__all__ = ["STALLED_AFTER_S", "Health", "Metrics"]

STALLED_AFTER_S: Final = 5.0
"""The leader writes a record at least every second; after so long without one it does not lead."""

_STAGES: Final = ("apply", "journal", "release", "egress")

_PAUSE_S: Final = 0.0002
"""How long a scrape steps aside after each metric, so that the engine gets the interpreter back."""

_FAMILIES: Final[dict[type, str]] = {kind: family_of(kind) for kind in COMMANDS.values()}
_command_of: Final = itemgetter(1)


class Step(Protocol):
    """Say what is read of a batch that has become durable."""

    @property
    def batch(self) -> Batch:
        """Return what was applied."""

    @property
    def outputs(self) -> Outputs:
        """Return what came of it."""

    @property
    def pending(self) -> list[Pending]:
        """Return the messages that were answered."""

    @property
    def body(self) -> bytes:
        """Return the journal's record."""


class Clock(Protocol):
    """Say what is read of the venue's clock."""

    @property
    def offset_ns(self) -> int:
        """Return how far venue time is before the wall clock."""


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """Say whether this daemon leads the venue; ``lag_seconds`` is the age of its last durable record.

    One that is following has read the journal to its end that long ago. ``reason`` says why one is stalled.
    """

    state: Literal["starting", "following", "leading", "stalled"]
    index: int
    epoch: int
    lag_seconds: float
    reason: str = ""


class Metrics:
    """Hold the metrics of one daemon.

    ``now_s`` is the monotonic clock of the host's gateway, in seconds. One thread may observe while
    others scrape.
    """

    def __init__(self, host: Venue, now_s: Callable[[], float] = monotonic) -> None:
        self._now_s = now_s
        self._index = host.engine.index
        self._epoch = host.engine.epoch
        # Before its first record a daemon has only read the journal; its age counts from here.
        self._durable_s = now_s()
        self._has_led = False
        self._follows = False
        self._store = StoreUse(0, 0)
        self.trouble: Callable[[], str] = str
        """Says what keeps the journal from being written, if anything does."""
        self._journal_bytes = 0
        self._commands = {(family, outcome): 0 for family in set(_FAMILIES.values()) for outcome in _OUTCOMES}
        self._rejections = {reason.value: 0 for reason in Reason}
        self._batch = Histogram(COMMANDS_BOUNDS)
        self._journal = Histogram(SECONDS)
        self._ack = Histogram(SECONDS)
        self._stages = {stage: Histogram(SECONDS) for stage in _STAGES}
        self._snapshot = (0, 0.0)
        self._snapshots = dict.fromkeys(_SNAPSHOT_OUTCOMES, 0)
        self._first_index = 0
        self._preservations = dict.fromkeys(_PRESERVATION_OUTCOMES, 0)
        self._clock: Clock | None = None
        self._is_clock_refused = False
        self._is_broken = False
        self._scraping = Lock()
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self.registry.register(StateCollector(host))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    # ── what the leader says ────────────────────────────────────────────────────────────────────

    def observe_batch(
        self,
        step: Step,
        *,
        apply_s: float,
        journal_s: float,
        release_s: float,
        egress_s: float,
        since_replies_s: float | None = None,
    ) -> None:
        """Take in one batch that is durable and whose outputs have left.

        ``since_replies_s`` is how long ago its replies left, which they do before anything else; by
        default the time of the release, which is most of it.
        """
        now_s = self._now_s()
        replied_s = now_s - (release_s if since_replies_s is None else since_replies_s)
        self._ack.observe_all([replied_s - message.received_s for message in step.pending])
        self._index = step.batch.index
        self._epoch = step.batch.epoch
        self._durable_s = now_s - egress_s - release_s
        self._has_led = True
        self._journal_bytes += len(step.body)
        self._journal.observe(journal_s)
        stages = self._stages
        stages["apply"].observe(apply_s)
        stages["journal"].observe(journal_s)
        stages["release"].observe(release_s)
        stages["egress"].observe(egress_s)
        self._batch.observe(len(step.batch.submissions))
        if step.batch.submissions:
            self._count_commands(step.batch, step.outputs)

    def _count_commands(self, batch: Batch, outputs: Outputs) -> None:
        """Count by family and outcome; a repeated command is not rejected again, so it counts as accepted."""
        counts = self._commands
        families: dict[str, int] = {}
        for kind, count in Counter(map(type, map(_command_of, batch.submissions))).items():
            family = _FAMILIES[kind]
            families[family] = families.get(family, 0) + count
        for family, count in families.items():
            counts[family, "accepted"] += count
        if not outputs.rejections:
            return
        for reason, count in outputs.rejections.items():
            self._rejections[reason] += count
        for family, count in _rejected(families, batch, outputs).items():
            counts[family, "accepted"] -= count
            counts[family, "rejected"] += count

    # ── what others ask ─────────────────────────────────────────────────────────────────────────

    def health(self) -> Health:
        """Return whether this daemon leads, for whoever watches over it."""
        lag_s = self._lag_s()
        state: Literal["starting", "following", "leading", "stalled"] = "leading"
        if not self._has_led:
            state = "following" if self._follows else "starting"
        elif lag_s >= STALLED_AFTER_S:
            state = "stalled"
        reason = (self.trouble() or "no record was stored for that long") if state == "stalled" else ""
        return Health(state, self._index, self._epoch, round(lag_s, 3), reason)

    def observe_store(self, use: StoreUse | None) -> None:
        """Take in how full the journal's store is; None where nobody says."""
        self._store = use or StoreUse(0, 0)

    def observe_followed(self, index: int, epoch: int) -> None:
        """Take in that a standby has read the journal to its end."""
        self._follows = True
        self._index = index
        self._epoch = epoch
        self._durable_s = self._now_s()

    def observe_snapshot(self, index: int, seconds: float, is_good: bool) -> None:  # noqa: FBT001 - a callback's
        """Take in the end of a snapshot after record ``index``."""
        self._snapshots["taken" if is_good else "failed"] += 1
        if is_good:
            self._snapshot = (index, seconds)

    def observe_check(self, holds: bool) -> None:  # noqa: FBT001 - a callback's
        """Take in whether the invariants held when they were counted."""
        self._is_broken = not holds

    def observe_preserved(self, first_index: int, *, is_good: bool) -> None:
        """Take in the end of what follows a snapshot; ``first_index`` is the first record that the journal keeps."""
        self._preservations["done" if is_good else "failed"] += 1
        self._first_index = first_index or self._first_index

    def watch_clock(self, clock: Clock) -> None:
        """Export how far this clock is from the wall clock."""
        self._clock = clock

    def observe_clock_refusal(self, is_refused: bool) -> None:  # noqa: FBT001 - a callback's
        """Take in whether this daemon would lead, but for its clock."""
        self._is_clock_refused = is_refused

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics in the format that ``accept`` asks for, and its content type."""
        encode, content_type = choose_encoder(accept)
        # One scrape at a time: however many ask, they take no more of the interpreter than one.
        with self._scraping:
            return encode(_Stepwise(self.registry)), content_type

    def collect(self) -> Iterator[Metric]:
        """Export what was observed."""
        yield from self._collect_counters()
        yield from self._collect_histograms()
        for name, text, value in (
            ("exchange_journal_index", "Index of the last durable record.", self._index),
            ("exchange_epoch", "Epoch of the last durable record; every new leader begins one.", self._epoch),
            ("exchange_journal_lag_seconds", "Age of the last durable record.", self._lag_s()),
            ("exchange_leading", "1 on the daemon that leads the venue, 0 on one that follows.", int(self._has_led)),
            ("exchange_journal_first_index", "First record kept, as the leader last saw it.", self._first_index),
            ("exchange_snapshot_index", "Record of the newest snapshot that this daemon took.", self._snapshot[0]),
            ("exchange_snapshot_seconds", "Time that the newest snapshot took.", self._snapshot[1]),
            ("exchange_journal_store_used_bytes", "Bytes in the fullest JetStream store.", self._store.used),
            ("exchange_journal_store_limit_bytes", "Bytes that fit into it; 0: nobody says.", self._store.limit),
        ):
            yield GaugeMetricFamily(name, text, value)
        yield GaugeMetricFamily(
            "exchange_clock_offset_seconds",
            "Venue time less the wall clock of this daemon, which it approaches by 500 µs per second.",
            0 if self._clock is None else self._clock.offset_ns / 1e9,
        )
        yield GaugeMetricFamily(
            "exchange_invariants_broken",
            "1 if the invariants did not hold when a snapshot was taken last.",
            int(self._is_broken),
        )
        yield GaugeMetricFamily(
            "exchange_clock_refused",
            "1 while this daemon does not lead because its clock is too far from the journal's time.",
            int(self._is_clock_refused),
        )
        build = GaugeMetricFamily(
            "exchange_build_info",
            "Always 1; the labels say what runs.",
            labels=["version", "python", "core", "protocol"],
        )
        build.add_metric([VERSION, platform.python_version(), CORE, str(PROTOCOL)], 1)
        yield build

    def _lag_s(self) -> float:
        return max(self._now_s() - self._durable_s, 0.0)

    def _collect_counters(self) -> Iterator[Metric]:
        commands = CounterMetricFamily(
            "exchange_commands",
            "Commands that were executed; one that a rule does not allow is rejected.",
            labels=["family", "outcome"],
        )
        for (family, outcome), count in sorted(self._commands.items()):
            commands.add_metric([family, outcome], count)
        yield commands
        rejections = CounterMetricFamily("exchange_rejections", "Commands that a rule rejected.", labels=["reason"])
        for reason, count in self._rejections.items():
            rejections.add_metric([reason], count)
        yield rejections
        snapshots = CounterMetricFamily("exchange_snapshots", "Snapshots that were begun.", labels=["outcome"])
        for outcome, count in self._snapshots.items():
            snapshots.add_metric([outcome], count)
        yield snapshots
        preservations = CounterMetricFamily(
            "exchange_preservations", "Copying, archiving and trimming after a snapshot.", labels=["outcome"]
        )
        for outcome, count in self._preservations.items():
            preservations.add_metric([outcome], count)
        yield preservations
        yield CounterMetricFamily(
            "exchange_journal_bytes", "Bytes of the records that this daemon wrote.", self._journal_bytes
        )

    def _collect_histograms(self) -> Iterator[Metric]:
        for name, text, histogram in (
            ("exchange_batch_commands", "Commands per batch; 0 for a heartbeat or deadlines.", self._batch),
            ("exchange_journal_write_seconds", "Time until a record was durable.", self._journal),
            ("exchange_ack_seconds", "Time from a message's arrival to its published reply.", self._ack),
        ):
            family = HistogramMetricFamily(name, text)
            histogram.add_to(family)
            yield family
        stages = HistogramMetricFamily(
            "exchange_stage_seconds", "Time that each stage takes per batch.", labels=["stage"]
        )
        for stage, histogram in self._stages.items():
            histogram.add_to(stages, [stage])
        yield stages


_OUTCOMES: Final = ("accepted", "rejected")
_SNAPSHOT_OUTCOMES: Final = ("taken", "failed")
_PRESERVATION_OUTCOMES: Final = ("done", "failed")


def _rejected(families: dict[str, int], batch: Batch, outputs: Outputs) -> dict[str, int]:
    """Return how many commands of each family this batch rejected."""
    if len(families) == 1:
        return dict.fromkeys(families, sum(outputs.rejections.values()))
    # Only the outcomes tell them apart; those of repeated commands bear the time of their first batch.
    mark = b'"status":"rejected","venue_time_us":%d' % batch.time_us
    rejected: dict[str, int] = {}
    for submission, outcome in zip(batch.submissions, outputs.outcomes, strict=True):
        if mark in outcome:
            family = _FAMILIES[type(submission[1])]
            rejected[family] = rejected.get(family, 0) + 1
    return rejected


class _Stepwise:
    """Collect from a registry metric by metric, with a pause after each."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """Yield what the registry's collectors do."""
        for metric in self._registry.collect():
            yield metric
            sleep(_PAUSE_S)

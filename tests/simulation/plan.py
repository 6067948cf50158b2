"""Draw what will go wrong in a run: from a seed, before it begins, as a list of which parts can be left out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["FAULTS", "LEADER", "NOISES", "POINTS", "Fault", "Plan", "draw_plan", "with_more"]

POINTS: Final = (
    "before apply",
    "after apply",
    "stored",
    "acknowledged",
    "mid egress",
    "mid snapshot",
    "copying",
    "trimming",
    "mid takeover",
)
"""Where within a step of the daemon it can be killed; between two steps it can be everywhere."""

NOISES: Final = (
    "lost command",
    "lost reply",
    "lost event",
    "doubled message",
    "late message",
    "lost journal request",
    "lost acknowledgement",
    "late journal write",
    "refused journal write",
    "broken fetch",
)
"""What happens to messages again and again, each with a probability of its own in each run."""

FAULTS: Final = (
    "kill",
    "kill at point",
    "freeze",
    "cut off journal",
    "cut off agents",
    "journal silent",
    "journal refuses",
    "journal refuses daemon",
    "journal silent to daemon",
    "wall clock jumps",
    "fresh mount",
    "power loss",
    "flip snapshot",
    "tear snapshot",
    "flip copy",
    "flip mark",
    "flip record",
    "short journal",
    "new epoch",
    "freeze agent",
    "cut off agent",
    "reconnect agent",
    "poison agent",
    "kill agent",
)
"""What happens once, at a time, to somebody."""

LEADER: Final = -1
"""The target of what happens to whoever leads at that time."""

_OFTEN: Final = ("flip record", "short journal", "journal refuses daemon", "journal silent to daemon", "poison agent")
"""What comes to something only if it meets with something else."""

_MORE: Final = 8

_START_S: Final = 4.0

_LIMITS: Final[tuple[dict[str, int], ...]] = (
    {},
    {},
    {},
    {"queue_messages_max": 4, "commands_per_s": 40, "commands_burst": 40},
    {"refusals_per_s": 5, "refusals_burst": 15},
    {"queries_per_s": 2, "queries_burst": 4},
)


@dataclass(frozen=True)
class Fault:
    """Hold one thing that goes wrong: when, what, to whom (a number), how long or how far, where."""

    at_s: float
    kind: str
    target: int = 0
    amount: float = 0.0
    point: str = ""

    def __str__(self) -> str:
        """Tell it in a line."""
        where = f" {self.point}" if self.point else ""
        return f"{self.at_s:7.3f} s  {self.kind}{where} (target {self.target}, {self.amount:g})"


@dataclass(frozen=True)
class Plan:
    """Say everything about a run but what follows from it."""

    seed: int
    nodes: int
    agents: int
    duration_s: float
    takeover_after_s: float
    latency_s: float
    is_in_order: bool
    pause_s: float
    """How long an agent waits between two commands, at most."""
    snapshot_every: int
    check_every: int
    """After how many batches all invariants are counted; conservation is always."""
    hostile: bool
    accepts_time: bool
    """Whether daemons lead by any clock; otherwise only by one that fits the journal's time."""
    trims: bool
    """Whether snapshots are copied and the journal is trimmed behind them."""
    noises: dict[str, float] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    limits: dict[str, int] = field(default_factory=dict)

    def random(self, purpose: str) -> Random:
        """Return a source of chance for one purpose: what is drawn for one does not move the others."""
        return Random(f"{self.seed}/{purpose}")

    def without(self, **changes: Any) -> Plan:
        """Return the plan with less in it."""
        return replace(self, **changes)

    def tell(self) -> list[str]:
        """Describe it in lines."""
        noise = ", ".join(f"{kind} {share:.1%}" for kind, share in self.noises.items()) or "none"
        who = f"{self.nodes} daemons, {self.agents} agents{' and a hostile one' if self.hostile else ''}"
        how = f"messages {'in order' if self.is_in_order else 'overtake'}, up to {self.latency_s * 1000:g} ms"
        return [
            f"{who}, {self.duration_s:g} s, takeover after {self.takeover_after_s:g} s, {how}",
            f"noise: {noise}",
            *(str(fault) for fault in self.faults),
        ]


def draw_plan(seed: int) -> Plan:
    """Return the plan of a seed."""
    random = Random(f"plan {seed}")
    nodes = random.choice((1, 2, 2, 2, 3, 3))
    agents = random.choice((3, 3, 4, 4, 5, 6))
    duration_s = _START_S + random.uniform(4.0, 14.0)
    takeover_after_s = random.choice((1.0, 1.0, 1.5, 2.5))
    noises = {
        kind: random.choice((0.002, 0.01, 0.03, 0.06) if kind in NOISES[5:] else (0.002, 0.01, 0.03, 0.1, 0.3))
        for kind in NOISES
        if random.random() < random.choice((0.0, 0.3, 0.8))
    }
    faults = tuple(
        sorted(
            (
                _draw_fault(random, random.choice((*FAULTS, *_OFTEN)), nodes, agents, duration_s, takeover_after_s)
                for _ in range(random.choice((0, 3, 5, 8, 12)))
            ),
            key=lambda fault: fault.at_s,
        )
    )
    return Plan(
        seed=seed,
        nodes=nodes,
        agents=agents,
        duration_s=round(duration_s, 3),
        takeover_after_s=takeover_after_s,
        latency_s=random.choice((0.001, 0.005, 0.03, 0.15)),
        is_in_order=random.random() < 0.5,
        pause_s=random.choice((0.1, 0.3, 0.3, 1.0)),
        snapshot_every=random.choice((0, 5, 15, 40)),
        check_every=random.choice((1, 5, 20, 20)),
        hostile=random.random() < 0.5,
        accepts_time=random.random() < 0.5,
        trims=random.random() < 0.5,
        noises=noises,
        faults=faults,
        limits=random.choice(_LIMITS),
    )


def with_more(plan: Plan, kinds: Sequence[str], noises: Mapping[str, float]) -> Plan:
    """Return a plan in which some things go wrong often, for what few plans come to by themselves."""
    random = plan.random("more")
    more = [
        _draw_fault(random, random.choice(kinds), plan.nodes, plan.agents, plan.duration_s, plan.takeover_after_s)
        for _ in range(_MORE if kinds else 0)
    ]
    faults = tuple(sorted((*plan.faults, *more), key=lambda fault: fault.at_s))
    return plan.without(faults=faults, noises={**plan.noises, **noises})


def _draw_fault(
    random: Random, kind: str, nodes: int, agents: int, duration_s: float, takeover_after_s: float
) -> Fault:
    at_s = round(random.uniform(_START_S, duration_s), 3)
    of_agent = kind.endswith(" agent")
    target = random.randrange(agents) if of_agent else random.choice((LEADER, random.randrange(nodes)))
    # Around the silence after which somebody takes over, and around half of it, is where it gets interesting.
    amount = round(takeover_after_s * random.choice((0.1, 0.4, 0.55, 0.9, 1.1, 1.6, 3.0)) * random.uniform(0.9, 1.1), 3)
    if kind in ("kill", "fresh mount", "power loss"):
        amount = random.randrange(1, 60)
    elif kind == "kill at point":
        point = random.choice(POINTS)
        passing = 1 if point in ("mid snapshot", "trimming") else random.choice((1, 1, 1, 2, 5))
        # Most of them are passed by who leads.
        return Fault(at_s, kind, LEADER, passing, point)
    elif kind in ("journal refuses daemon", "journal silent to daemon"):
        # Long enough for another to take over, and for this one to find that something is wrong.
        return Fault(at_s, kind, LEADER, round(takeover_after_s + random.uniform(0.5, 4.0), 3))
    elif kind == "wall clock jumps":
        amount = random.choice((-3600.0, 3600.0, 3600.0, -1.0, 60.0))
        # What a clock says matters most at a start.
        return Fault(at_s, kind, target, amount, random.choice(("", "and it reboots")))
    elif kind in ("flip snapshot", "flip copy", "flip mark", "flip record", "short journal", "tear snapshot"):
        amount = round(random.random(), 6)
    return Fault(at_s, kind, target, amount)

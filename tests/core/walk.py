"""Walk at random through all mechanisms: agents do what they might do, over weeks of venue time, in a venue in memory.

The commands are those that the simulation draws. Time jumps, mostly to a deadline or to the microsecond before it; now
and then another leader begins after an outage, and the engine is dumped and loaded. Invariants are proven all the
time; at the end the books are compared with the naive ledger's, and a replay with what happened.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec

from exchange.engine import Batch, Engine, Outputs
from exchange.mechanisms import REGISTRY
from exchange.messages import family_of, tag_of
from exchange.messages.admin import RegisterAgent, Settings
from exchange.messages.base import VENUE_AGENT
from exchange.messages.property import RegisterModule
from exchange.testing import OPERATOR, SECOND_US, Venue
from tests.simulation.beginning import WalkingLeader
from tests.simulation.checks import balance_problems, order_problems
from tests.simulation.commands import COMMANDS
from tests.simulation.commands.view import MarketTerms, View
from tests.simulation.naive_ledger import NaiveLedger
from tests.simulation.solving import WalkingDeterminer

if TYPE_CHECKING:
    from collections.abc import Callable

    from exchange.messages.base import Command, Event
    from exchange.testing import Answer

__all__ = ["AGENTS", "Walk", "walk"]

AGENTS: Final = ("ann", "amy", "ben", "cid", "dot", "eve", "fay", "gus")
_OWNERS: Final = ("a", "a", "b", "c", "d", "e", "f", "g")
_MARKETS: Final = (
    MarketTerms("plain", "cpu", 1, 1),
    MarketTerms("fees", "gpu", 10, 10),
    MarketTerms("deliver", "cpu", 1, 1),
    MarketTerms("lease", "gpu", 10, 10),
    MarketTerms("slot", "slot", 1, 1),
)
_SKILLS: Final = ["python", "rust"]
_OPERATED: Final = ("property",)
"""The families of which an operator gives commands of its own."""
WORKERS: Final = (WalkingDeterminer, WalkingLeader)
"""Give the commands that the daemon itself would give, such as the answer to a problem that it solved."""

VOTING: Final = ("one_owner", "one_agent", "credits", "quadratic")
"""How owners vote: in each walk in one of these ways, by its seed."""

_HOUR_US: Final = 3_600 * SECOND_US
_LEAPS: Final = tuple(days * 24 * _HOUR_US for days in (1, 1, 4, 8, 31))
"""How far time leaps now and then in walks among debts and votes, which take days and weeks."""
_CREDIT: Final = 1_000_000


class _BookedVenue(Venue):
    """Keep the books a second time."""

    def __init__(self, *, check_every: int, voting: Any, settings: Settings | None = None) -> None:
        self.ledger = NaiveLedger()
        settings = settings or Settings(
            voting=voting,
            voting_seconds=7_200,
            enactment_lock_seconds=600,
            proposal_deposit=_CREDIT,
            public_fund_cap_bp=0,
            urgent_empty_target=1,
            max_open_orders=25,
            max_fills_per_command=7,
            max_cancels_per_command=8,
            arbitrator_stake_seconds=30,
            crisis_overdue_hours_milli=2_000,
            crisis_overdue_bp=1_000,
            ruling_seconds=7_200,
            replacement_ruling_seconds=3_600,
            dependency_age_seconds=30,
            homestead_lapse_seconds=10_800,
            foreclosure_auction_seconds=3_600,
            harberger_deposit_seconds=3_600,
            harberger_grace_seconds=7_200,
            harberger_warning_seconds=600,
        )
        super().__init__(settings=settings, check_every=check_every)

    def _apply(self, batch: Batch) -> Outputs:
        outputs = super()._apply(batch)
        commands = [
            (agent, command, command.id, b'"status":"accepted"' in encoded)
            for (agent, command, _), encoded in zip(batch.submissions, outputs.outcomes, strict=True)
        ]
        events = [
            (agent, self._events[agent][first - 1 : first - 1 + total]) for agent, first, total, _ in outputs.events
        ]
        self.ledger.fold(commands, events)
        return outputs


class Walk:
    """Take steps; ``accepted`` counts the commands that were, by tag.

    ``families`` are those that most commands are of; by default all alike. ``observe`` sees every command with its
    answer, for tests that keep their own account of what must come of it. ``settings`` take the place of those of
    walks, whose windows are short.
    """

    def __init__(
        self,
        seed: int,
        *families: str,
        check_every: int = 4,
        observe: Callable[[str, Command, Answer], None] | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.random = Random(seed)
        # Of its own, so that all else does not depend on how often time leaps.
        self._leaps = Random(f"{seed}/leaps") if "debts" in families or "governance" in families else None
        self.venue = _BookedVenue(check_every=check_every, voting=VOTING[seed % len(VOTING)], settings=settings)
        self.accepted: dict[str, int] = {}
        self.families = families or tuple(family for family in COMMANDS if family != "admin")
        self._observe = observe
        self._heard: dict[str, int] = {}
        self._workers = [kind(seed) for kind in WORKERS]
        self.views: dict[str, View] = {}
        venue = self.venue
        roles = ["trader", "attester", "arbitrator"]
        for name, owner in zip(AGENTS, _OWNERS, strict=True):
            endowment = 2_000 * _CREDIT if name not in ("eve", "fay") else 3 * _CREDIT
            venue.must(
                OPERATOR, RegisterAgent, agent=name, owner=owner, endowment=endowment, skills=_SKILLS, roles=roles
            )
        venue.market("plain", base="cpu")
        venue.market("fees", base="gpu", decimals=2, tick=10, lot=10, maker_fee_bp=7, taker_fee_bp=23)
        terms: dict[str, Any] = {"reference_price": 1_000, "settlement": "delivery", "deliver_seconds": 7_200}
        venue.market("deliver", base="cpu", **terms, late_hours=3, taker_fee_bp=23)
        terms = {"reference_price": 1_000, "settlement": "lease", "term_seconds": 3_600}
        venue.market("lease", base="gpu", tick=10, lot=10, **terms, compensation_bp=777)
        venue.market("slot", base="slot", **terms)
        venue.issue("ann", 1, "slot")
        for name, module, dependencies in (("ann", "core", []), ("amy", "auth", ["core"]), ("ben", "ui", ["core"])):
            venue.must(OPERATOR, RegisterModule, module=module, owner=name, dependencies=dependencies)
        venue.must(OPERATOR, RegisterModule, module="db/pool", owner="cid", regime="harberger")
        for name in AGENTS:
            venue.issue(name, 300, "cpu")
            venue.issue(name, 3_000, "gpu")
        for name, owner in zip((*AGENTS, OPERATOR), (*_OWNERS, OPERATOR), strict=True):
            view = View(name, owner, name == OPERATOR, AGENTS, tuple(dict.fromkeys(_OWNERS)), _MARKETS)
            view.public = self.views[AGENTS[0]].public if self.views else view.public
            view.auctions = self.views[AGENTS[0]].auctions if self.views else view.auctions
            view.estate = self.views[AGENTS[0]].estate if self.views else view.estate
            self.views[name] = view

    def step(self) -> None:
        """Do the next thing."""
        dice = self.random.random()
        if dice < 0.86:
            self._command()
        elif dice < 0.98:
            self._wait()
        elif dice < 0.99:
            self.venue.change_leader(self.random.choice((0, 1, 60, 7_200)))
        else:
            self._reload()
        self._listen()

    def run(self, steps: int) -> None:
        """Take so many steps, then prove what can be proven only at the end."""
        for _ in range(steps):
            self.step()
        self.prove()

    def prove(self) -> None:
        """Compare the books, and replay what happened."""
        engine, ledger = self.venue.engine, self.venue.ledger
        assert engine.check_invariants() == []
        problems = [*ledger.check(), *balance_problems(engine, ledger), *order_problems(engine, ledger)]
        assert problems == []
        copy = Engine(REGISTRY)
        for batch, digest in zip(self.venue.batches, self.venue.digests, strict=True):
            assert copy.apply(batch).digest() == digest, batch.index
        assert copy.state_hash() == engine.state_hash()

    def _command(self) -> None:
        random = self.random
        # What stops others is undone soon, or a walk would come to a stand.
        is_stopped = bool(self.views[OPERATOR].undo)
        agent = OPERATOR if random.random() < (0.3 if is_stopped else 0.02) else random.choice(AGENTS)
        view = self.views[agent]
        view.venue_time_us = self.venue.time_us
        family = "admin" if agent == OPERATOR else random.choice(self.families)
        operated = [name for name in self.families if name in _OPERATED]
        if agent == OPERATOR and operated and not is_stopped and random.random() < 0.5:
            family = random.choice(operated)
        if agent == OPERATOR and is_stopped:
            kind, fields = view.undo.pop()
        else:
            kind, fields = COMMANDS[family](random, view)
        answer = self.submit(agent, kind, **{name: value for name, value in fields.items() if value is not None})
        order = answer.outcome.order
        if order is not None and order.remaining:
            view.orders.append(order.order_id)

    def submit(self, agent: str, kind: type[Command], /, **fields: Any) -> Answer:
        """Submit a command and count it."""
        drawn = self.venue.command(agent, kind, **fields)
        # Draws write what is nested as the wire has it.
        command: Command = msgspec.convert(msgspec.to_builtins(drawn), kind)
        answer = self._send(agent, command)
        self._answer_venue()
        return answer

    def _send(self, agent: str, command: Command) -> Answer:
        answer = self.venue.send(agent, command)
        if answer.accepted:
            tag = tag_of(type(command))
            self.accepted[tag] = self.accepted.get(tag, 0) + 1
        if self._observe is not None:
            self._observe(agent, command, answer)
        return answer

    def _answer_venue(self) -> None:
        """Give the commands that a daemon's own workers would give."""
        for worker in self._workers:
            for command in worker.commands(self.venue.engine):
                self._send(VENUE_AGENT, command)

    def _wait(self) -> None:
        random, now_us = self.random, self.venue.time_us
        if self._leaps is not None and self._leaps.random() < 0.08:
            self.venue.advance_to(now_us + self._leaps.choice(_LEAPS))
            return
        due_us = self.venue.engine.next_deadline_us()
        if due_us is None or random.random() < 0.25:
            step = random.choice((1, SECOND_US, 30 * SECOND_US, 600 * SECOND_US, _HOUR_US))
            self.venue.advance_to(now_us + step)
            return
        self.venue.advance_to(max(now_us, due_us - random.choice((0, 0, 0, 1))))

    def _reload(self) -> None:
        dumped = self.venue.engine.dump()
        engine = Engine(REGISTRY)
        engine.load(dumped)
        assert engine.dump() == dumped
        assert engine.check_invariants() == []
        self.venue.engine = engine

    def _listen(self) -> None:
        for name, view in self.views.items():
            events: list[Event] = self.venue.events(name)
            for event in events[self._heard.get(name, 0) :]:
                if family_of(type(event)) not in ("orders", "admin"):
                    view.hear(event)
            self._heard[name] = len(events)


def walk(seed: int, *families: str, steps: int = 1_500) -> Walk:
    """Return a walk that was taken, with its proofs."""
    taken = Walk(seed, *families)
    taken.run(steps)
    return taken

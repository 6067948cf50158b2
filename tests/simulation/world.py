"""Run one plan from beginning to end, and say what was violated, if anything."""

from __future__ import annotations

import asyncio
import gc
import logging
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from tests.simulation.agents import WORK, HonestAgent, HostileAgent
from tests.simulation.checks import audit
from tests.simulation.commands.poison import PoisonError
from tests.simulation.commands.view import Estate
from tests.simulation.journal import Stream
from tests.simulation.loop import Killed, VirtualLoop, VirtualTimeStands
from tests.simulation.network import Network
from tests.simulation.node import Node
from tests.simulation.plan import LEADER, Fault
from tests.simulation.scene import LATECOMERS, OPERATOR, OWNERS, first_records
from tests.simulation.wire import Wire

if TYPE_CHECKING:
    from collections import deque

    from exchange.adapters.records import JournalRecord
    from exchange.daemon.host import Host
    from exchange.daemon.poison import Poisoned
    from tests.simulation.agents import Told
    from tests.simulation.loop import Program
    from tests.simulation.plan import Plan

__all__ = ["Report", "World", "run"]

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a directory of its own is made there
_CALM_S: Final = 90.0
"""So long after the last fault everything must have come to an end."""

_BEHIND: Final = 8
"""So many records may a standby be behind that follows as it should."""


@dataclass
class Report:
    """Say how a run went."""

    seed: int
    violated: str = ""
    detail: str = ""
    at_s: float = 0.0
    trace_hash: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def is_good(self) -> bool:
        """Return whether nothing was violated."""
        return not self.violated


class World:
    """Hold everything of one run."""

    def __init__(self, plan: Plan, loop: VirtualLoop, directory: Path, *, trace: bool = False) -> None:
        self.plan = plan
        self.loop = loop
        self.directory = directory
        self.report = Report(plan.seed)
        self.is_closing = False
        self.registered: dict[str, float] = {}
        """Who trades here, and since when that is durable."""
        self.public: dict[str, deque[int]] = {}
        """What agents could find by asking: the latest numbers of tasks and the like."""
        self.auctions: dict[int, tuple[int, str]] = {}
        """When package auctions close, and whose they are."""
        self.estate = Estate()
        self._trace = trace
        self._chores: list[asyncio.Task[None]] = []
        self._hash = blake2b(digest_size=16)
        self._failed = loop.create_future()
        self.stream = Stream()
        for body in first_records(plan.agents):
            self.stream.store(self.stream.last, body)
        self.stream.on_store = self._note_stored
        self.shelf: dict[int, bytes] = {}
        """Copies of snapshots, where the journal is."""
        self.network = Network(loop, plan, self.count)
        self.wire = Wire(self)
        self.network.hear = self.wire.hear
        self.network.note = self._note_message
        # Package auctions need many agents that go the same way, and a solver that is there when they close.
        self.favorite = plan.random("favorite").choice((*WORK, "packages", "packages"))
        """The family that agents of this run give most commands of beside orders, or nothing of it would meet."""
        self.nodes = [Node(self, number) for number in range(plan.nodes)]
        self.agents = [HonestAgent(self, OPERATOR, OPERATOR)]
        self.agents += [HonestAgent(self, f"agent{number}", OWNERS[number]) for number in range(plan.agents)]
        self.registered.update(dict.fromkeys((agent.name for agent in self.agents), 0.0))
        self.agents += [HonestAgent(self, name, OWNERS[0]) for name in LATECOMERS]
        self.to_admit: list[str] = []
        self._late = list(LATECOMERS)
        loop.call_later(plan.random("late").uniform(1.0, plan.duration_s), self._admit_one)
        self.hostile = HostileAgent(self) if plan.hostile else None

    # ── what the parts say ──────────────────────────────────────────────────────────────────────

    def count(self, what: str, how_many: int = 1) -> None:
        """Count what happened."""
        self.report.counts[what] += how_many

    def say(self, what: str) -> None:
        """Note what happened, for the trace."""
        line = f"{self.loop.time():8.3f}  {what}".replace(str(self.directory), "")
        self._hash.update(line.encode())
        if self._trace:
            self.report.trace.append(line)

    def say_told(self, told: Told) -> None:
        """Note what an agent was told."""
        self.say(f"{told.agent} is told of {told.id}: {told.what} {told.reason}")

    def violate(self, name: str, detail: str, error: BaseException | None = None) -> None:
        """Say that a property does not hold; the run ends."""
        if not self.report.violated:
            self.report.violated, self.report.detail, self.report.error = name, detail, error
            self.report.at_s = self.loop.time()
            self.say(f"VIOLATED {name}: {detail}")
        if not self._failed.done():
            self._failed.set_result(None)

    def venue_time_us(self) -> int:
        """Return the time of the last record."""
        return self.stream.records[-1].time_us

    def warn(self, node: Node, note: bytes) -> None:
        """Let the other daemons hear what broke the engine of one."""
        for other in self.nodes:
            if other is not node and other.program is not None and other.program.is_alive and other.poisons is not None:
                hear = other.poisons.hear
                self.loop.call_later(self.plan.latency_s, hear, note, context=other.program.context)

    def is_poison(self, error: Poisoned) -> bool:
        """Return whether it is the poison of this simulation, and not the product's own."""
        # Compiled code does not pass on what an exception was raised from.
        return error.error.startswith(PoisonError.__name__)

    def hear_event(self, agent: HonestAgent, event: Any) -> None:
        """Note an event that the SDK delivered."""
        self.count("events")
        if getattr(event, "seq", None) != len(agent.heard) + 1:
            self.violate("histories_are_exact", f"{agent.name} hears {event} after {len(agent.heard)} events")

    def hear_book(self, agent: HonestAgent, book: Any) -> None:
        """Note a book that the SDK delivered: no level is empty."""
        self.count("books")
        if any(level.quantity <= 0 for level in (*book.bids, *book.asks)):
            self.violate("books_can_be", f"{agent.name} sees {book}")

    def note_lead(self, node: Node) -> None:
        """Note that a daemon leads."""
        self.count("takeovers")
        if self.stream.records[-1].epoch > 1:
            # Now is when whoever led before may tell somebody that it is not known.
            self._admit_one()
        self.say(f"{node.program.name if node.program else node.name} leads from record {self.stream.last}")

    def _admit_one(self) -> None:
        if self._late:
            self.to_admit.append(self._late.pop(0))

    def _note_stored(self, record: JournalRecord, writer: Program | None) -> None:
        self.count("records")
        who = writer.name if writer is not None else "?"
        self.say(f"{who} stored record {record.index} of epoch {record.epoch}, {len(record.commands)} commands")
        self.count("commands stored", len(record.commands))
        for agent, raw in record.commands:
            if agent == OPERATOR:
                for name in LATECOMERS:
                    if name not in self.registered and name.encode() in bytes(raw):
                        self.registered[name] = self.loop.time()
        before = self.stream.records[-2]
        if record.time_us < before.time_us:
            self.violate("time_goes_forward", f"record {record.index}: {record.time_us} after {before.time_us}")
        if record.epoch < before.epoch:
            self.violate("epochs_go_forward", f"record {record.index} of epoch {record.epoch} after {before.epoch}")
        if record.previous_hash != self.stream.hashes[record.index - 1]:
            self.violate("records_chain", f"record {record.index} names another one before it")

    def _note_message(self, subject: str, payload: bytes) -> None:
        self.count("messages")
        self._hash.update(subject.encode())
        self._hash.update(payload)

    # ── the run ─────────────────────────────────────────────────────────────────────────────────

    async def play(self) -> None:
        """Let everything happen that is planned, then let it heal, then prove it."""
        script = asyncio.create_task(self._script())
        await asyncio.wait([script, self._failed], return_when=asyncio.FIRST_COMPLETED)
        if script.done():
            script.result()
        script.cancel()
        await asyncio.gather(script, return_exceptions=True)
        await self._bury()

    async def _script(self) -> None:
        supervisors = [asyncio.create_task(node.supervise()) for node in self.nodes]
        for supervisor in supervisors:
            supervisor.add_done_callback(self._note_end)
        try:
            for agent in self.agents:
                agent.start()
            if self.hostile is not None:
                self.hostile.start()
            for fault in self.plan.faults:
                await asyncio.sleep(max(fault.at_s - self.loop.time(), 0.0))
                self._suffer(fault)
            await asyncio.sleep(max(self.plan.duration_s - self.loop.time(), 0.0))
            self._heal()
            await self._come_to_rest()
        finally:
            for supervisor in supervisors:
                supervisor.cancel()
            await asyncio.gather(*supervisors, return_exceptions=True)
        if self.report.is_good:
            audit(self)

    def _note_end(self, supervisor: asyncio.Task[None]) -> None:
        if not supervisor.cancelled() and supervisor.exception() is not None:
            self.violate("the_simulation_is_sound", repr(supervisor.exception()), supervisor.exception())

    def _suffer(self, fault: Fault) -> None:
        self.say(f"FAULT {fault}")
        self.count(f"fault: {fault.kind}")
        now_s = self.loop.time()
        if fault.kind == "journal silent":
            self.stream.is_silent_until_s = now_s + fault.amount
        elif fault.kind == "journal refuses":
            self.stream.refuses_until_s = now_s + fault.amount
        elif fault.kind.endswith(" agent"):
            self._suffer_agent(self.agents[1 + fault.target % self.plan.agents], fault)
        else:
            self._suffer_daemon(fault)

    def _suffer_daemon(self, fault: Fault) -> None:
        leading = next((node for node in self.nodes if node.is_leading), self.nodes[0])
        if fault.point == "mid takeover":
            # Whoever leads goes, and so does whoever would follow it.
            for node in self.nodes:
                if node.program is not None:
                    node.program.dies_at[fault.point] = 1
            leading.suffer(Fault(fault.at_s, "kill", 0, 1))
        else:
            (leading if fault.target == LEADER else self.nodes[fault.target % len(self.nodes)]).suffer(fault)

    def _suffer_agent(self, agent: HonestAgent, fault: Fault) -> None:
        if fault.kind == "freeze agent":
            agent.program.freeze()
            self.loop.call_later(fault.amount, agent.program.thaw)
        elif fault.kind == "cut off agent":
            agent.transport.cut(knowing=agent.random.random() < 0.5)
            self.loop.call_later(fault.amount, agent.transport.mend, context=agent.program.context)
        elif fault.kind == "kill agent":
            self._chores.append(asyncio.create_task(agent.restart()))
        elif fault.kind == "poison agent":
            agent.has_poison = True
        else:
            agent.transport.reconnect()

    def _heal(self) -> None:
        self.say("everything heals")
        self.network.calm()
        self.stream.is_silent_until_s = self.stream.refuses_until_s = 0.0
        for node in self.nodes:
            node.heal()
        for agent in self.agents:
            if agent.program.is_frozen:
                agent.program.thaw()
            agent.transport.mend()
            # Whoever lost something without noticing hears of it at the latest now.
            agent.transport.reconnect()
        self.is_closing = True

    async def _come_to_rest(self) -> None:
        """Wait until somebody leads, every command is settled, every event heard, and every copy the same."""
        until_s = self.loop.time() + _CALM_S
        while not self._is_at_rest():
            if self.loop.time() > until_s:
                self.violate("the_venue_comes_back", self._what_is_left())
                return
            await asyncio.sleep(0.05)
        leader = next(node for node in self.nodes if node.is_leading)
        # Whoever leads stops writing, and those who follow come to where it stood.
        assert leader.program is not None
        leader.program.freeze()
        for _ in range(200):
            if all(node.host is not None and node.host.engine.index == self.stream.last for node in self.nodes):
                break
            await asyncio.sleep(0.005)
        else:
            behind = [(node.name, node.host and node.host.engine.index) for node in self.nodes]
            self.violate("every_copy_is_the_same", f"the journal has {self.stream.last} records: {behind}")
        for node in self.nodes:
            if node.program is not None:
                node.program.freeze()

    def _is_at_rest(self) -> bool:
        leaders = [node for node in self.nodes if node.is_leading]
        if len(leaders) != 1 or not all(node.is_leading or node.is_following for node in self.nodes):
            return False
        if not all(
            node.host is not None and node.host.engine.index > self.stream.last - _BEHIND for node in self.nodes
        ):
            return False
        host = leaders[0].host
        assert host is not None
        present = [agent for agent in self.agents if agent.name in self.registered]
        if not all(agent.is_settled for agent in present):
            return False
        if not all(len(agent.heard) >= host.engine.agents[agent.name].seq for agent in present):
            return False
        return all(self._sees_the_book(agent, host) for agent in present)

    def _sees_the_book(self, agent: HonestAgent, host: Host) -> bool:
        """Return whether the book that an agent watches is the one that there is."""
        if agent.seen is None:
            return True
        name, book = agent.seen
        market = host.engine.mechanisms["orders"].markets[name]
        seen = [
            [(int(level.price * 10**6), int(level.quantity * market.scale)) for level in side]
            for side in (book.bids, book.asks)
        ]
        return seen == [market.bids.depth(20), market.asks.depth(20)]

    def _what_is_left(self) -> str:
        leading = [node.name for node in self.nodes if node.is_leading]
        unsettled = [agent.name for agent in self.agents if not agent.is_settled]
        host = next((node.host for node in self.nodes if node.is_leading and node.host), None)
        blind = [agent.name for agent in self.agents if host and not self._sees_the_book(agent, host)]
        return (
            f"leading: {leading}, commands not settled: {unsettled}, books not as they are: {blind}, "
            f"records: {self.stream.last}"
        )

    async def _bury(self) -> None:
        """End every program."""
        programs = [*(agent.program for agent in self.agents), *(node.program for node in self.nodes if node.program)]
        if self.hostile is not None:
            programs.append(self.hostile.program)
        for program in programs:
            self.count("steps", program.steps)
            program.on_death = lambda _why: None
            program.kill("end of the run")
            await program.end()
        self.report.trace_hash = self._hash.hexdigest()


def run(plan: Plan, *, trace: bool = False) -> Report:
    """Run a plan in a loop of its own; the same plan gives the same report."""
    logs = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL), processors=[_drop])
    directory = Path(tempfile.mkdtemp(prefix="simulation-", dir=_MEMORY if _MEMORY.is_dir() else None))
    loop = VirtualLoop()
    collects = gc.isenabled()
    # When it collects must not decide about anything, and it has nothing to find before the end.
    gc.disable()
    try:
        world = World(plan, loop, directory, trace=trace)
        loop.set_exception_handler(lambda _loop, context: _note_broken(world, context))
        try:
            loop.run_until_complete(world.play())
            loop.run_until_complete(loop.shutdown_asyncgens())
        except VirtualTimeStands as error:
            world.violate("the_venue_comes_back", str(error))
        return world.report
    finally:
        loop.close()
        structlog.configure(**logs)
        if collects:
            gc.enable()
        shutil.rmtree(directory, ignore_errors=True)


def _drop(_logger: Any, _method: str, _event: dict[str, Any]) -> dict[str, Any]:
    raise structlog.DropEvent


def _note_broken(world: World, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if not isinstance(error, Killed):
        world.violate("nothing_breaks_unseen", f"{context.get('message')}: {error!r}", error)

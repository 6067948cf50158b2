"""Run daemons on machines that fail: the real replica, leader, lease and recovery on simulated outsides."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any, Final

from exchange.adapters.clock import VenueClock
from exchange.adapters.fenced_log import JournalGap, NoAnswer, Replaced
from exchange.adapters.gateway_limits import GatewayLimits
from exchange.adapters.high_water import HighWaterFile
from exchange.adapters.poison_file import PoisonFile
from exchange.adapters.records import JournalCorrupt
from exchange.adapters.snapshots import SnapshotStore
from exchange.daemon.clock_guard import ClockGuard
from exchange.daemon.determiner import Determiner
from exchange.daemon.host import Host
from exchange.daemon.lease import Lease
from exchange.daemon.poison import Poisoned, Poisons
from exchange.daemon.preserve import Task
from exchange.daemon.recovery import fetch_newer, load_newest
from exchange.daemon.replica import ClockRefused, Replica, StartOver, stall_handler
from exchange.daemon.snapshotter import prove
from exchange.solver import determine
from tests.simulation.clocks import NodeClocks
from tests.simulation.commands.poison import poisonable_engine
from tests.simulation.copies import SimulatedCopies, SimulatedPreserver
from tests.simulation.journal import SimulatedLog, View
from tests.simulation.loop import Killed, Program
from tests.simulation.network import Listener, SimulatedEgress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from exchange.daemon.leader import Leader
    from exchange.mechanisms.packages.choosing import Problem
    from exchange.solver import Answer
    from tests.simulation.plan import Fault
    from tests.simulation.world import World

__all__ = ["Node"]

_HASH_BYTES: Final = 32
_FLIPPED_OF: Final = 30
"""A record is damaged among so many at the end: those before are mostly in a snapshot."""

_SOLVERS_KILLED: Final = 0.25

_HARMLESS: Final = (Replaced, StartOver, ClockRefused, NoAnswer, JournalGap)
"""By these a daemon may end at any time: it starts over."""


class _Mark(HighWaterFile):
    """Be the mark on the disk of a program that may die; whoever writes it has a durable record."""

    def __init__(self, path: Path, node: Node, program: Program) -> None:
        super().__init__(path)
        self._node = node
        self._program = program

    def write(self, index: int, chain_hash: bytes) -> None:
        self._program.at("acknowledged")
        super().write(index, chain_hash)
        self._node.note_durable(index, chain_hash)


class _Snapshots:
    """Take snapshots beside the flow of orders: of the present state, written a little later."""

    def __init__(
        self, store: SnapshotStore, program: Program, every_commands: int, write_s: float, on_end: Callable[[], None]
    ) -> None:
        self._store = store
        self._program = program
        self._every_commands = every_commands
        self._counted = 0
        self._write_s = write_s
        self._is_writing = False
        self._on_end = on_end

    def offer(self, host: Host) -> None:
        due = self._every_commands and host.engine.commands_applied - self._counted >= self._every_commands
        if due and not self._is_writing:
            self._counted = host.engine.commands_applied
            self._is_writing = True
            asyncio.get_running_loop().call_later(self._write_s, self._write, host.snapshot())

    def _write(self, snapshot: Any) -> None:
        self._is_writing = False
        if not self._program.is_alive:
            return
        self._store.directory.mkdir(exist_ok=True)
        # What a death in the middle leaves behind.
        self._store.path(snapshot.index).with_suffix(".partial").write_bytes(b"half of")
        self._program.at("mid snapshot")
        self._store.write(snapshot, prove)
        self._on_end()


class _Metrics:
    """Count nothing."""

    def observe_batch(self, step: Any, **seconds: float) -> None:
        pass

    def observe_followed(self, index: int, epoch: int) -> None:
        pass


class Node:
    """Be a machine: a disk, clocks, and a daemon that is started again whenever it ended."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.name = f"node{number}"
        self.disk = world.directory / self.name
        self.disk.mkdir()
        self.random = world.plan.random(self.name)
        self.clocks = NodeClocks(world.loop, self.random)
        self.view = View()
        self.host: Host | None = None
        self.poisons: Poisons | None = None
        self.copies: SimulatedCopies | None = None
        self.preserver: SimulatedPreserver | None = None
        self.leader: Leader | None = None
        self.is_leading = False
        self.is_following = False
        self.program: Program | None = None
        self.starts = 0
        self.restart_s = 0.0
        self._next_faults: list[Fault] = []
        self._poisoned: dict[tuple[str, str], None] = {}
        self._synced_mark = b""
        self._marked = 0
        """What the mark on the disk must say at least."""
        self._durable = 0

    # ── life ────────────────────────────────────────────────────────────────────────────────────

    async def supervise(self) -> None:
        """Start the daemon, again and again."""
        while True:
            await self._run_once()
            await asyncio.sleep(self.restart_s or self.random.choice((0.02, 0.3, 1.0, 3.0)))
            self.restart_s = 0.0

    async def _run_once(self) -> None:
        world = self.world
        self.starts += 1
        self.view = View()
        self._damage()
        program = self.program = Program(world.loop, f"{self.name}/{self.starts}")
        program.on_death = lambda why: self._note_death(program, why)
        self.host, self.leader, self.poisons, self.copies, self.preserver = None, None, None, None, None
        world.say(f"{program.name} starts")
        main = program.spawn(self._run(program))
        await asyncio.wait([main])
        reason = "killed" if main.cancelled() else main.exception()
        program.kill("ended")
        await program.end()
        self.is_leading = self.is_following = False
        world.say(f"{program.name} ended: {reason!r}")
        self._judge(reason)

    def _note_death(self, program: Program, why: str) -> None:
        self.world.network.listeners = [each for each in self.world.network.listeners if each.program is not program]
        if why != "ended":
            self.world.say(f"{program.name} is killed: {why}")
            self.world.count(f"killed: {why}")

    def _judge(self, reason: Any) -> None:
        if reason is None or isinstance(reason, (str, Killed, asyncio.CancelledError, *_HARMLESS)):
            return
        if isinstance(reason, Poisoned) and self.world.is_poison(reason):
            self._judge_poison(reason)
            return
        if isinstance(reason, JournalCorrupt):
            if "was trimmed" in str(reason) and self.copies is not None and self.copies.has_failed:
                self.world.count("nothing to start from")
            elif self.view.is_wrong:
                self.world.count("corruption refused")
            else:
                self.world.violate("a_good_journal_is_accepted", f"{self.name}: {reason}")
            return
        self.world.violate("daemons_do_not_break", f"{self.name}: {reason!r}", reason)

    def _judge_poison(self, poisoned: Poisoned) -> None:
        """Look at what broke the engine: on the same disk it must not do so again."""
        self.world.count("poisoned")
        assert poisoned.offender is not None
        assert poisoned.offender.submission is not None
        agent, command, _ = poisoned.offender.submission
        if (agent, command.id) in self._poisoned:
            self.world.violate("poison_works_once", f"{self.name}: {command.id} of {agent}")
        self._poisoned[agent, command.id] = None

    async def _run(self, program: Program) -> None:
        """Do what the daemon does: load, recover, follow, lead."""
        world, plan, clocks = self.world, self.world.plan, self.clocks
        network = world.network
        lease = Lease(plan.takeover_after_s, clocks.monotonic_s)
        egress = SimulatedEgress(network, program, lease.wait_to_refuse)
        store = SnapshotStore(self.disk / "snapshots")
        self.copies = SimulatedCopies(world.shelf, network, program)
        if plan.trims:
            await fetch_newer(store, self.copies)
        limits = GatewayLimits(**plan.limits)
        host, snapshot = load_newest(
            store,
            lambda: Host(
                send=egress.refuse,
                now_s=clocks.monotonic_s,
                limits=limits,
                engine=poisonable_engine(),
                writer=program.name,
            ),
        )
        self.host = host

        def wall_ns() -> int:
            program.at("before apply")
            return clocks.wall_ns()

        def new_clock(time_us: int) -> VenueClock:
            program.at("mid takeover")
            return VenueClock(time_us, monotonic_ns=clocks.monotonic_ns, wall_ns=wall_ns)

        on_stall = stall_handler(host, lease, egress)
        journal = SimulatedLog(world.stream, network, program, self.view, on_stall, fresh_s=lease.duration_s)
        guard = ClockGuard(
            host.engine, self.disk / "accept-time", accepts=plan.accepts_time, on_refusal=lambda _is_refused: None
        )
        mark = _Mark(self.disk / "mark", self, program)
        poisons = self.poisons = Poisons(PoisonFile(self.disk / "poison.json"), lambda note: world.warn(self, note))
        try:
            replica = Replica(
                host=host, journal=journal, egress=egress, lease=lease, high_water=mark, store=store,
                snapshots=_Snapshots(store, program, plan.snapshot_every, plan.latency_s * 4, self._want_copies),
                metrics=_Metrics(), new_clock=new_clock, refuse_clock=guard.refuse, poisons=poisons,
            )  # fmt: skip
            await replica.recover(snapshot)
            self._check_recovered()
            if plan.nodes > 1:
                self.is_following = True
                await replica.follow(plan.takeover_after_s)
                self.is_following = False
                self.world.say(f"{program.name} takes over after record {host.engine.index}")
            await self._lead(program, replica, egress, guard)
        finally:
            mark.close()

    async def _lead(self, program: Program, replica: Replica, egress: SimulatedEgress, guard: ClockGuard) -> None:
        """Do what the daemon does when it leads, until something of it ends."""
        world = self.world
        leader = self.leader = await replica.take_lead()
        guard.used()
        self.is_leading = True
        world.note_lead(self)
        assert self.host is not None
        determiner = Determiner(self.host, leader.submit, self._solve)
        tasks = [program.spawn(egress.run()), program.spawn(leader.run()), program.spawn(determiner.run())]
        if world.plan.trims:
            assert self.copies is not None
            directory = str(replica.store.directory)
            task = Task(url="", creds="", snapshots=directory, keep=2, copies=True, trim="always", archive=None)
            lease = replica.lease
            preserver = self.preserver = SimulatedPreserver(self.copies, task, replica.journal, lambda: lease.is_held)
            tasks.append(program.spawn(preserver.run()))
            preserver.want()
        listener = Listener(program, leader.receive_command, leader.receive_query)
        world.network.listeners.append(listener)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # As the daemon does: whoever leads now answers.
            listener.is_deaf = True
            egress.silence()
        for task_ended in tasks:
            if task_ended.done():
                await task_ended

    async def _solve(self, problem: Problem, seconds: float) -> Answer | None:
        """Find winners as the process of its own would: after a while, or not in time, or not, since it was killed."""
        world = self.world
        chance = world.plan.random(f"{self.name}/{self.starts}/{problem[0]}/{problem[1]}/{world.loop.time()}")
        needs_s = chance.choice((0.05, 0.3, 1.0, 4.0, 4.0))
        await asyncio.sleep(min(needs_s, seconds))
        world.count("problems of package auctions")
        if needs_s > seconds or chance.random() < _SOLVERS_KILLED:
            world.count("solvers killed")
            return None
        return determine(problem)

    def _want_copies(self) -> None:
        if self.preserver is not None and self.is_leading:
            self.preserver.want()

    # ── proof ───────────────────────────────────────────────────────────────────────────────────

    def _check_recovered(self) -> None:
        host, world = self.host, self.world
        assert host is not None
        index = host.engine.index
        if self._marked > index:
            world.violate("a_short_journal_is_noticed", f"{self.name} came to {index}, its mark says {self._marked}")
        self._check_chain(index, host.hash)

    def _check_chain(self, index: int, chain_hash: bytes) -> None:
        if index > self.world.stream.last:
            self.world.violate("nothing_is_durable_that_is_not", f"{self.name} takes record {index} for stored")
        elif chain_hash != self.world.stream.hashes[index] and index != self.view.flipped:
            self.world.violate("what_is_replayed_was_written", f"{self.name} at record {index}")

    def note_durable(self, index: int, chain_hash: bytes) -> None:
        """Check what must hold after every durable batch."""
        host, world = self.host, self.world
        assert host is not None
        self._check_chain(index, chain_hash)
        self._marked = index
        self._durable += 1
        if host.engine.conservation_difference():
            world.violate(
                "credits_are_conserved", f"{self.name} at record {index}: {host.engine.ledger.conservation()}"
            )
        if self._durable % world.plan.check_every == 0:
            self.check_invariants()

    def check_invariants(self) -> None:
        """Count everything that must hold of the state."""
        assert self.host is not None
        broken = self.host.engine.check_invariants()
        if broken:
            self.world.violate("invariants_hold", f"{self.name} at record {self.host.engine.index}: {broken[:3]}")

    # ── faults ──────────────────────────────────────────────────────────────────────────────────

    def suffer(self, fault: Fault) -> None:
        """Let a fault happen to this machine."""
        program, network, now_s = self.program, self.world.network, self.world.loop.time()
        assert program is not None
        if fault.kind in ("kill", "fresh mount", "power loss"):
            program.dies_at_step = program.steps + int(fault.amount)
            if fault.kind != "kill":
                self._next_faults.append(fault)
        elif fault.kind == "kill at point":
            program.dies_at[fault.point] = int(fault.amount)
        elif fault.kind == "freeze":
            program.freeze()
            self.world.loop.call_later(fault.amount, program.thaw, context=network.context)
        elif (links := network.faults_of_links().get(fault.kind)) is not None:
            links[self.name] = now_s + fault.amount
            if fault.kind == "cut off agents":
                self.world.loop.call_later(fault.amount, self._reconnected, program, context=program.context)
        elif fault.kind == "wall clock jumps":
            self.clocks.wall_offset_s += fault.amount
            if fault.point:
                program.dies_at_step = program.steps + 1
        elif fault.kind == "new epoch":
            self._reconnected(program)
        else:
            # What damages a disk or a journal is found at a start.
            self._next_faults.append(fault)
            program.dies_at_step = program.steps + 1

    def _reconnected(self, program: Program) -> None:
        if program is self.program and self.leader is not None and self.is_leading:
            self.leader.request_epoch()

    def _damage(self) -> None:
        """Do to the disk and to what is read of the journal what was to happen at this start."""
        for fault in self._next_faults:
            self.world.count(f"done: {fault.kind}")
            if fault.kind in ("fresh mount", "power loss", "flip mark"):
                self._marked = 0
            self._damage_disk(fault)
            self._damage_journal(fault)
        self._next_faults.clear()
        mark = self.disk / "mark"
        self._synced_mark = mark.read_bytes() if mark.exists() else b""

    def _damage_disk(self, fault: Fault) -> None:
        snapshots = sorted((self.disk / "snapshots").glob("*.snapshot"))
        mark = self.disk / "mark"
        if fault.kind == "fresh mount":
            shutil.rmtree(self.disk)
            self.disk.mkdir()
            self._poisoned.clear()
        elif fault.kind == "power loss" and mark.exists():
            mark.write_bytes(self._synced_mark)
        elif fault.kind == "flip snapshot" and snapshots:
            _flip(snapshots[int(fault.amount * len(snapshots))], fault.amount)
        elif fault.kind == "tear snapshot" and snapshots:
            whole = snapshots[-1].read_bytes()
            snapshots[-1].write_bytes(whole[: int(len(whole) * fault.amount)])
        elif fault.kind == "flip mark" and mark.exists() and mark.stat().st_size:
            _flip(mark, fault.amount)

    def _damage_journal(self, fault: Fault) -> None:
        last, shelf = self.world.stream.last, self.world.shelf
        if fault.kind == "flip record":
            # Not the last one: what is wrong with that shows with the next.
            self.view.flipped = last - 1 - int(fault.amount * min(last - 1, _FLIPPED_OF))
            # Half of the time in the hashes at the end, where nothing but comparing them notices.
            where = fault.amount * 7919 % 1.0
            size = len(self.world.stream.bodies[self.view.flipped - 1])
            self.view.flip_at = where if where < 0.5 else 1.0 - (1.0 - where) * 2 * _HASH_BYTES / size
        elif fault.kind == "short journal":
            self.view.short = 1 + int(fault.amount * 5)
        elif fault.kind == "flip copy" and shelf:
            shelf[max(shelf)] = _flipped(shelf[max(shelf)], fault.amount)

    def heal(self) -> None:
        """Let nothing be wrong any more."""
        self._next_faults.clear()
        self.clocks.wall_offset_s = 0.0
        # The clocks are right again; where the journal's time is not, an operator says that it is to go on from there.
        (self.disk / "accept-time").touch()
        if self.program is not None:
            self.program.dies_at.clear()
            self.program.dies_at_step = 0
            if self.program.is_frozen:
                self.program.thaw()
            if self.view.is_wrong:
                self.program.kill("healed")


def _flip(path: Path, where: float) -> None:
    path.write_bytes(_flipped(path.read_bytes(), where))


def _flipped(whole: bytes, where: float) -> bytes:
    data = bytearray(whole)
    bit = int(where * 7919 % 1.0 * len(data) * 8)
    data[bit // 8] ^= 1 << bit % 8
    return bytes(data)

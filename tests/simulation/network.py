"""Carry messages between agents and daemons as a bus without guarantees does: late, twice, overtaken, never."""

from __future__ import annotations

import contextlib
import contextvars
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agent_sdk.errors import NotSent
from agent_sdk.transport import ConnectionEvent
from exchange.adapters.outgoing import Outgoing
from tests.simulation.loop import Killed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.simulation.loop import Program, VirtualLoop
    from tests.simulation.plan import Plan

__all__ = ["AgentTransport", "Fate", "Listener", "Network", "SimulatedEgress"]

_LONG_S: Final = 2.5
"""How late what is late may be."""


@dataclass
class Fate:
    """Say what becomes of a request to the journal and of its answer; None: it is lost."""

    request_s: float | None
    answer_s: float | None
    is_refused: bool = False


@dataclass
class Listener:
    """Be a daemon that takes commands and queries."""

    program: Program
    receive_command: Callable[[str, str, bytes], None]
    receive_query: Callable[[str, str, bytes], None]
    is_deaf: bool = False


class Network:
    """Connect everybody. ``hear`` sees each message that leaves a daemon, before anything happens to it."""

    def __init__(self, loop: VirtualLoop, plan: Plan, count: Callable[[str], None]) -> None:
        self._loop = loop
        self._plan = plan
        self._noises = dict(plan.noises)
        self._random = plan.random("network")
        self._journal_random = plan.random("journal")
        self._count = count
        self.context = contextvars.copy_context()
        self.listeners: list[Listener] = []
        self.transports: dict[str, list[AgentTransport]] = {}
        self.cut_from_journal: dict[str, float] = {}
        """Until when a daemon (by the name of its node) is cut off from the journal."""
        self.refused_by_journal: dict[str, float] = {}
        """Until when the server that a daemon is connected to finds no leader of the stream."""
        self.ignored_by_journal: dict[str, float] = {}
        """Until when nothing that a daemon asks is answered, though its connection lasts."""
        self.cut_from_agents: dict[str, float] = {}
        self.askers: dict[str, tuple[str, float]] = {}
        """Who asked for an answer on each reply subject, and when first."""
        self.hear: Callable[[Program, str, bytes], None] = lambda _program, _subject, _payload: None
        self.note: Callable[[str, bytes], None] = lambda _subject, _payload: None
        self.doubled: dict[bytes, None] = {}
        """Messages of commands that came twice."""
        self._free_at_s: dict[str, float] = {}

    def calm(self) -> None:
        """Lose and break nothing any more."""
        self._noises.clear()
        for links in self.faults_of_links().values():
            links.clear()
        for transports in self.transports.values():
            for transport in transports:
                transport.is_cut = False

    def faults_of_links(self) -> dict[str, dict[str, float]]:
        """Return, by the kind of fault, until when it befalls the links of which node."""
        return {
            "cut off journal": self.cut_from_journal,
            "cut off agents": self.cut_from_agents,
            "journal refuses daemon": self.refused_by_journal,
            "journal silent to daemon": self.ignored_by_journal,
        }

    def _happens(self, noise: str, *, journal: bool = False) -> bool:
        share = self._noises.get(noise)
        if not share or (self._journal_random if journal else self._random).random() >= share:
            return False
        self._count(noise)
        return True

    # ── the journal's side ──────────────────────────────────────────────────────────────────────

    def is_cut_off_journal(self, program: Program) -> bool:
        """Return whether a daemon cannot reach the journal now."""
        return not program.is_alive or self._loop.time() < self.cut_from_journal.get(_node(program), 0.0)

    def journal_fate(self, program: Program, what: str) -> Fate:
        """Draw what becomes of one request."""
        random = self._journal_random
        latency_s = self._plan.latency_s
        fate = Fate(random.random() * latency_s, random.random() * latency_s)
        is_ignored = self._loop.time() < self.ignored_by_journal.get(_node(program), 0.0)
        if is_ignored or self._happens("lost journal request", journal=True):
            fate.request_s = None
        elif self._happens("lost acknowledgement", journal=True):
            fate.answer_s = None
        if what == "write":
            if self._happens("late journal write", journal=True) and fate.request_s is not None:
                fate.request_s = random.uniform(0.5, _LONG_S)
            is_refused = self._loop.time() < self.refused_by_journal.get(_node(program), 0.0)
            fate.is_refused = is_refused or self._happens("refused journal write", journal=True)
        return fate

    def break_fetch(self, fetched: list[Any]) -> list[Any]:
        """Let some or all of what was fetched not come."""
        if fetched and self._happens("broken fetch", journal=True):
            return fetched[: self._journal_random.randrange(len(fetched))]
        return fetched

    def pass_point(self, program: Program, point: str) -> None:
        """Let a daemon die at a point that lies outside of it."""
        with contextlib.suppress(Killed):
            program.at(point)

    # ── messages ────────────────────────────────────────────────────────────────────────────────

    def to_daemons(self, agent: str, subject: str, payload: bytes, reply: str) -> None:
        """Take a message of an agent; the server has checked that the subject is its own."""
        is_command = subject.startswith("exchange.v1.cmd.")
        self.askers.setdefault(reply, (agent, self._loop.time()))
        self.note(subject, payload)
        heard = False
        for listener in self.listeners:
            if listener.is_deaf or not listener.program.is_alive:
                continue
            heard = True
            if self._loop.time() < self.cut_from_agents.get(_node(listener.program), 0.0):
                continue
            receive = listener.receive_command if is_command else listener.receive_query
            self._carry(
                f"{agent}>{listener.program.name}", "lost command", listener.program, receive, subject, reply, payload
            )
        if not heard and reply.startswith(f"_INBOX.{agent}."):
            # As nats-server does where nobody has subscribed.
            for transport in self.transports.get(agent, ()):
                self._carry(f"server>{agent}", "lost reply", transport.program, transport.deliver, reply, b"")

    def from_daemon(self, program: Program, messages: list[tuple[str, bytes]]) -> int:
        """Take what a daemon publishes; return how much of it is certainly lost."""
        lost = self._loop.time() < self.cut_from_agents.get(_node(program), 0.0)
        for subject, payload in messages:
            program.at("mid egress")
            self.hear(program, subject, payload)
            if lost:
                continue
            self.note(subject, payload)
            prefix, _, rest = subject.partition(".")
            if prefix == "_INBOX":
                name, noise = rest.partition(".")[0], "lost reply"
            elif subject.startswith("exchange.v1.evt."):
                name, noise = subject.rpartition(".")[2], "lost event"
            else:
                name, noise = "", "lost event"
            for agent in (name,) if name else list(self.transports):
                for transport in self.transports.get(agent, ()):
                    if transport.listens(subject):
                        self._carry(
                            f"{program.name}>{agent}", noise, transport.program, transport.deliver, subject, payload
                        )
        return len(messages) if lost else 0

    def _carry(self, link: str, lost: str, to: Program, receive: Callable[..., None], *message: Any) -> None:
        if self._happens(lost):
            return
        copies = 2 if self._may_double(message[-1]) and self._happens("doubled message") else 1
        if copies == 2 and lost == "lost command":
            self.doubled[message[-1]] = None
        for _ in range(copies):
            delay_s = self._random.random() * self._plan.latency_s
            if self._happens("late message"):
                delay_s = self._random.uniform(0.1, _LONG_S)
            at_s = self._loop.time() + delay_s
            if self._plan.is_in_order:
                at_s = self._free_at_s[link] = max(at_s, self._free_at_s.get(link, 0.0))
            self._loop.call_at(at_s, receive, *message, context=to.context)

    @staticmethod
    def _may_double(payload: bytes) -> bool:
        """Return whether a message may come twice.

        A transport promises that none does, and one thing rests on it: the SDK counts who turned a command
        away. So refusals do not, and of a command that did, it is not asked who was told that it was refused.
        """
        return bool(payload) and not payload.startswith(b'{"type":"refusal"')


def _node(program: Program) -> str:
    return program.name.partition("/")[0]


class SimulatedEgress(Outgoing):
    """Publish on the network what the lease and the journal allow to leave."""

    def __init__(self, network: Network, program: Program, may_refuse: Callable[[], Awaitable[None]]) -> None:
        super().__init__(may_refuse)
        self._network = network
        self._program = program

    async def _publish(self, messages: list[tuple[str, bytes]]) -> int:
        return self._network.from_daemon(self._program, messages)


class AgentTransport:
    """Carry the messages of one agent's SDK."""

    def __init__(self, network: Network, program: Program, agent: str) -> None:
        self._network = network
        self.program = program
        self.agent = agent
        self.is_cut = False
        self.knows_it = False
        self._subscriptions: list[tuple[str, Callable[[str, bytes], None]]] = []
        self._tell: Callable[[ConnectionEvent], None] = lambda _event: None

    async def open(self) -> None:
        self._network.transports.setdefault(self.agent, []).append(self)

    async def close(self) -> None:
        transports = self._network.transports.get(self.agent, [])
        if self in transports:
            transports.remove(self)

    async def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        if self.is_cut:
            if self.knows_it:
                raise NotSent("disconnected")
            return
        self._network.to_daemons(self.agent, subject, payload, reply)

    async def subscribe(self, subject: str, callback: Callable[[str, bytes], None]) -> Callable[[], Awaitable[None]]:
        entry = (subject.removesuffix("*"), callback)
        self._subscriptions.append(entry)

        async def unsubscribe() -> None:
            if entry in self._subscriptions:
                self._subscriptions.remove(entry)

        return unsubscribe

    def on_connection(self, callback: Callable[[ConnectionEvent], None]) -> None:
        self._tell = callback

    def listens(self, subject: str) -> bool:
        """Return whether a message would be delivered."""
        return any(_matches(pattern, subject) for pattern, _ in self._subscriptions)

    def deliver(self, subject: str, payload: bytes) -> None:
        """Hand a message to the SDK."""
        if self.is_cut:
            return
        for pattern, callback in tuple(self._subscriptions):
            if _matches(pattern, subject):
                callback(subject, payload)

    def cut(self, *, knowing: bool) -> None:
        """Lose everything from now on."""
        self.is_cut, self.knows_it = True, knowing

    def mend(self) -> None:
        """Be connected again, and say so if it was known."""
        if not self.is_cut:
            return
        self.is_cut = False
        self.reconnect()

    def reconnect(self) -> None:
        """Say that the connection is a new one."""
        self._tell(ConnectionEvent("reconnected"))


def _matches(pattern: str, subject: str) -> bool:
    return subject == pattern or (pattern.endswith(".") and subject.startswith(pattern))

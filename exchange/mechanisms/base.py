"""Give every mechanism its shape, and the context in which its handlers run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NamedTuple

from mypy_extensions import mypyc_attr

from exchange.mechanisms.cashier import Cashier
from exchange.mechanisms.quarantine import Quarantine
from exchange.messages.base import Command, Event, Outcome, Query, Result
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exchange.ledger import Ledger
    from exchange.mechanisms.tally import Row
    from exchange.messages.admin import Settings
    from exchange.messages.base import Role
    from exchange.messages.orders import Trade

__all__ = [
    "VENUE_SCOPE",
    "AgentRecord",
    "CommandRule",
    "Context",
    "EngineBroken",
    "Mechanism",
    "NotFound",
    "Scheduler",
]

MAX_FOLLOW_UPS: Final = 20_000
"""No command or deadline may queue more follow-ups than this; reaching it is a bug of a mechanism."""

VENUE_SCOPE: Final = "venue"
"""The scope of acts that only a halt of the venue, or nobody leading, prevents."""

AgentState = Literal["active", "halted", "suspended", "revoked"]
VenueState = Literal["open", "cancel_only", "halted"]
SuspensionState = Literal["cancel_only", "halted"]


class EngineBroken(Exception):
    """Raised when the engine finds itself in a state that must not be: the daemon stops at once."""


class NotFound(Exception):
    """Raised by a query about something that does not exist or may not be seen by the asker."""


class AgentRecord:
    """Hold what the venue knows about one agent, and what is on its way to it."""

    __slots__ = (
        "agent_id",
        "halted_by_owner",
        "latest_session",
        "outbox",
        "owner",
        "roles",
        "seq",
        "sessions",
        "skills",
        "state",
    )

    def __init__(self, agent_id: str, owner: str, roles: tuple[Role, ...], skills: tuple[str, ...]) -> None:
        self.agent_id = agent_id
        self.owner = owner
        self.roles = roles
        self.skills = skills
        self.state: AgentState = "active"
        # What an owner's agent halted, another of them may resume; what an operator stopped, not.
        self.halted_by_owner = False
        # The next private event gets seq + 1: state, so that it goes on over restarts.
        self.seq = 0
        self.outbox: list[Event] = []
        # The engine's memory of ids; the session used last is found without a look-up.
        self.sessions: dict[str, Any] = {}
        self.latest_session: Any = None

    @classmethod
    def load(cls, state: Any) -> AgentRecord:
        """Return the record of which ``dump`` gave the state."""
        agent_id, owner, roles, skills, agent_state, halted_by_owner, seq = state
        record = cls(agent_id, owner, tuple(roles), tuple(skills))
        record.state, record.halted_by_owner, record.seq = agent_state, halted_by_owner, seq
        return record

    def dump(self) -> list[object]:
        """Return the state as plain data, for hashes and snapshots."""
        return [
            self.agent_id, self.owner, list(self.roles), list(self.skills), self.state, self.halted_by_owner,
            self.seq,
        ]  # fmt: skip


class Scheduler(ABC):
    """Say what a mechanism may ask of the engine's deadlines; the engine implements it."""

    grace_us: int
    """How long after a stop an act is still in time whose deadline fell into it."""

    @abstractmethod
    def schedule(self, deadline_us: int, kind: str, *args: str | int) -> int:
        """Let ``kind`` fire with ``args`` at ``deadline_us``; return the id to cancel it with."""

    @abstractmethod
    def schedule_act(self, deadline_us: int, kind: str, scope: str, *args: str | int) -> int:
        """Do as ``schedule`` does for the deadline of a party's act in a scope, which halts and outages move.

        Where the party could not act because the venue, the mechanism or ``scope`` (``VENUE_SCOPE``, or a name
        of the mechanism's own such as ``market:cpu``) was stopped when it passed, or nobody led, it passes no
        earlier than 5 minutes after all of them work again. So an act is in time as long as ``due_us`` is not
        None; its time is not to be compared with the deadline that was scheduled.
        """

    @abstractmethod
    def cancel(self, deadline_id: int) -> None:
        """Forget a deadline; unknown ids are ignored."""

    @abstractmethod
    def due_us(self, deadline_id: int) -> int | None:
        """Return until when a deadline runs, as far as is known; None once it has passed or was canceled."""

    @abstractmethod
    def stop(self, scope: str) -> None:
        """Let the deadlines of acts in a scope wait, because nobody can act there."""

    @abstractmethod
    def work(self, scope: str) -> None:
        """Say that a scope works again; one that was not stopped stays as it is."""


class Context:
    """Carry everything outside of its own state that a handler may read or use.

    The engine owns it and sets the time of the batch; there is no other way to time, money, other
    agents or the outside.
    """

    __slots__ = (
        "_reactions",
        "agents",
        "cashier",
        "deadlines",
        "dirty",
        "earlier",
        "epoch",
        "fleets",
        "follow_ups",
        "index",
        "ledger",
        "previous_hash",
        "quarantine",
        "rejections",
        "settings",
        "stamp",
        "suspended",
        "time_us",
        "touched",
        "trades",
        "venue_state",
    )  # fmt: skip

    def __init__(self, ledger: Ledger, settings: Settings, deadlines: Scheduler) -> None:
        self.ledger = ledger
        self.settings = settings
        self.deadlines = deadlines
        self.time_us = 0
        # ``time_us`` as one object that all messages of a batch share, where each would make its own.
        self.stamp: Any = 0
        self.index = 0
        self.epoch = 0
        self.previous_hash = b""
        """The chain hash of the record before this batch's, which nobody could know beforehand."""
        self.venue_state: VenueState = "open"
        self.suspended: dict[str, SuspensionState] = {}
        """The mechanisms that were suspended, by family."""
        self.quarantine = Quarantine()
        self.earlier: dict[str, list[tuple[int, int]]] = {}
        """By parameter, until when it had which earlier value, the earliest first; whoever sets it keeps that."""
        self.agents: dict[str, AgentRecord] = {}
        self.fleets: dict[str, list[str]] = {}
        """The agents of each owner, the oldest first, revoked ones included."""
        # Outputs of the batch under way.
        self.dirty: list[AgentRecord] = []
        self.trades: list[Trade] = []
        self.touched: dict[Any, None] = {}
        self.rejections: dict[str, int] = {}
        self.follow_ups: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._reactions: dict[type, list[Callable[[Any], None]]] = {}
        self.cashier = Cashier(self)

    def setting_at(self, name: str, time_us: int) -> int:
        """Return what a parameter was when something was opened at a time: what is open keeps it."""
        for until_us, value in self.earlier.get(name, ()):
            if time_us < until_us:
                return value
        present: int = getattr(self.settings, name)
        return present

    def emit(self, agent: AgentRecord, event: Event) -> None:
        """Give a private event its number and send it to an agent; it leaves with the batch."""
        agent.seq = event.seq = agent.seq + 1
        event.venue_time_us = self.stamp
        self.deliver(agent, event)

    def deliver(self, agent: AgentRecord, event: Event) -> None:
        """Send an event that bears the agent's next ``seq`` and the time already.

        To make it so costs less than to have ``emit`` do it, which counts on the way of an order.
        """
        outbox = agent.outbox
        if not outbox:
            self.dirty.append(agent)
        outbox.append(event)

    def follow_up(self, action: Callable[..., None], *args: Any) -> None:
        """Queue an action to run right after the handler, in order; it must not fail."""
        if len(self.follow_ups) >= MAX_FOLLOW_UPS:
            message = f"more than {MAX_FOLLOW_UPS} follow-ups of one command"
            raise EngineBroken(message)
        self.follow_ups.append((action, args))

    def announce(self, fact: Any) -> None:
        """Tell the other mechanisms a fact; those that react to its type do so as follow-ups."""
        for reaction in self._reactions.get(type(fact), ()):
            self.follow_up(reaction, fact)

    def react(self, kind: type, reaction: Callable[[Any], None]) -> None:
        """Let ``reaction`` follow every fact of a type."""
        self._reactions.setdefault(kind, []).append(reaction)

    def reject(self, command: Command, reason: Reason, detail: str) -> Outcome:
        """Build the outcome of a command that a rule does not allow, and count it; nothing may have changed."""
        self.rejections[reason.value] = self.rejections.get(reason.value, 0) + 1
        return Outcome(command.id, "rejected", self.stamp, reason, detail)

    def accept(self, command: Command) -> Outcome:
        """Build the plain outcome of a command that was done."""
        return Outcome(command.id, "accepted", self.stamp)


class CommandRule(NamedTuple):
    """Say how the engine treats one type of command."""

    handler: Callable[[AgentRecord, Any], Outcome]
    role: Role | None
    """Who may give it; None: any registered agent."""
    opens: bool
    """Whether it takes on new obligations: then a suspended agent or a halted venue may not."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Mechanism(ABC):
    """Be one mechanism: a state, handlers, deadlines, queries and invariants.

    A handler takes the sender and the command. It runs every guard, posts at most one ledger
    batch, changes its own state, emits events, and returns the outcome. Nothing is changed before
    the last guard has passed.
    """

    family: ClassVar[str]
    """The last token of the subjects; the first part of the tags."""

    summary: ClassVar[str]
    """One line for people."""

    def __init__(self, context: Context) -> None:
        self.context = context

    @abstractmethod
    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family."""

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return {}

    def deadlines(self) -> Mapping[str, Callable[..., None]]:
        """Return what each kind of deadline fires; kinds start with the family and a dot."""
        return {}

    def on_epoch(self, outage_us: int) -> None:  # noqa: B027 - most have nothing to do
        """Adapt to a new leader's first batch, ``outage_us`` after the last record of the one before.

        It is not called while the mechanism is suspended; ``on_resume`` is called after.
        """

    def on_resume(self) -> None:  # noqa: B027 - most have nothing to do
        """Adapt to being resumed: until now there were no deadlines, and perhaps no commands."""

    def metrics(self) -> Iterable[Row]:
        """Return what operators may want to watch, at most 1,000 rows; called by another thread, so copy what changes.

        A name that ends in ``_total`` is a counter's. Amounts are in smallest units, and are exported in whole ones
        where the name (less ``_total``) ends in ``_credits``; microseconds as seconds where it ends in ``_seconds``.
        A histogram is rows of one name with ``_bucket`` and the label ``le``, then ``_sum`` and ``_count``.
        Nothing sealed may show.
        """
        return ()

    def connect(self, mechanisms: Mapping[str, Mechanism]) -> None:  # noqa: B027 - most need none
        """Find the read-only views of other mechanisms that this one declares it needs."""

    def invariants(self) -> Sequence[str]:
        """Return the names of broken invariants, with what broke them; none when all is well."""
        return ()

    def escrows(self) -> Iterable[str]:
        """Return the names of the escrow accounts whose money this mechanism answers for, empty ones or not."""
        return ()

    @abstractmethod
    def dump(self) -> object:
        """Return the state as plain data that does not depend on how it is represented."""

    @abstractmethod
    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave; agents and ledger are loaded already, nothing else is."""

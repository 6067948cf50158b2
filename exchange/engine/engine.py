"""Apply batches: the only way in which the state of the venue changes."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from exchange.engine.batch import AgentEvents, Batch, Outputs, Submission
from exchange.engine.deadlines import Deadlines, Entry, scope_of
from exchange.engine.sessions import FORGET_AFTER_US, Session, digest_of
from exchange.ledger import Ledger
from exchange.mechanisms import REGISTRY
from exchange.mechanisms.base import AgentRecord, Context, EngineBroken, Mechanism
from exchange.mechanisms.facts import MechanismStateOrdered
from exchange.messages import family_of
from exchange.messages.admin import Settings, SuspendMechanism
from exchange.messages.base import MAX_AMOUNT, MAX_VALIDITY_US, VENUE_AGENT, Command, Outcome, Query, Result
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exchange.mechanisms.base import SuspensionState
    from exchange.messages.base import Role

__all__ = ["Engine", "Offender", "hash_state"]

_encode: Final = msgspec.json.Encoder().encode
_encode_state: Final = msgspec.msgpack.Encoder().encode

_FORGET_SESSION: Final = "engine.forget_session"

_NEVER_CLOSED: Final = "admin"
"""Its commands lift suspensions, so only its deadlines are ever stopped."""


class Offender(NamedTuple):
    """Name what broke the engine: a mechanism's deadline, a submission, or else its ``on_epoch``."""

    family: str
    deadline: Entry | None
    submission: Submission | None


def _rules_of(mechanism: Mechanism) -> dict[type[Command], tuple[Any, Role | None, bool]]:
    """Return the rules of a mechanism's commands as plain tuples: named ones are taken apart by an iterator."""
    return {kind: (rule.handler, rule.role, rule.opens) for kind, rule in mechanism.commands().items()}


def _parse_id(command_id: str) -> tuple[str, int]:
    """Take a command's id apart into its session and its number, which is 0 when it is no id."""
    name, _, number = command_id.rpartition(".")
    n = int(number) if name and number.isdecimal() and number.isascii() else 0
    return name, n if n <= MAX_AMOUNT else 0


class Engine:
    """Hold the whole state of a venue and change it batch by batch.

    The same batches give the same state and the same outputs, byte for byte, everywhere.
    """

    def __init__(self, mechanisms: Iterable[type[Mechanism]] = REGISTRY) -> None:
        self.ledger = Ledger()
        self._deadlines = Deadlines()
        self.context = Context(self.ledger, Settings(), self._deadlines)
        self.mechanisms: dict[str, Mechanism] = {kind.family: kind(self.context) for kind in mechanisms}
        self.commands_applied = 0
        self._rules: dict[type[Command], tuple[Any, Role | None, bool]] = {}
        self._readers: dict[type[Query], Callable[[AgentRecord, Any], Result]] = {}
        self._firing: dict[str, Callable[..., None]] = {_FORGET_SESSION: self._forget_session}
        for mechanism in self.mechanisms.values():
            mechanism.connect(self.mechanisms)
            self._rules.update(_rules_of(mechanism))
            self._readers.update(mechanism.queries())
            self._firing.update(mechanism.deadlines())
        self._venue = AgentRecord(VENUE_AGENT, VENUE_AGENT, (), ())
        # What is being done, to say what it was should it raise.
        self._waking = ""
        self._due: Entry | None = None
        self._executed: list[bytes] | None = None
        self.context.react(MechanismStateOrdered, self._order_mechanism)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    @property
    def index(self) -> int:
        """Return the journal index of the last applied batch."""
        return self.context.index

    @property
    def epoch(self) -> int:
        """Return the epoch of the last applied batch."""
        return self.context.epoch

    @property
    def time_us(self) -> int:
        """Return venue time: the time stamp of the last applied batch."""
        return self.context.time_us

    @property
    def agents(self) -> dict[str, AgentRecord]:
        """Return the registered agents by id."""
        return self.context.agents

    def next_deadline_us(self) -> int | None:
        """Return when the next deadline wants a batch, in venue time."""
        return self._deadlines.next_us()

    def next_deadline(self) -> Entry | None:
        """Return the deadline that fires next."""
        return self._deadlines.peek()

    def deadlines_left(self, time_us: int) -> bool:
        """Return whether more deadlines are due at ``time_us`` than one batch fires."""
        return self._deadlines.exceed(time_us, self.context.settings.max_deadlines_per_batch)

    def query(self, agent: str, query: Query) -> Result:
        """Answer a query of a mechanism from the present state.

        Raises:
            NotFound: it does not exist, or the asker may not see it.
        """
        result = self._readers[type(query)](self.context.agents[agent], query)
        result.index = self.context.index
        result.venue_time_us = self.context.time_us
        return result

    def answers(self, query: Query) -> bool:
        """Return whether a mechanism reads this type of query."""
        return type(query) in self._readers

    def find_outcome(self, agent: str, command_id: str) -> bytes | Reason | None:
        """Return the remembered outcome of an id, ``OUTCOME_FORGOTTEN``, or None when it never ran."""
        record = self.context.agents.get(agent)
        name, _, number = command_id.rpartition(".")
        if record is None or not number.isdecimal():
            return None
        session: Session | None = record.sessions.get(name)
        if session is None:
            return None
        n = int(number)
        if session.is_forgotten(n):
            return Reason.OUTCOME_FORGOTTEN
        found = session.find(n)
        return None if found is None else found[1]

    # ── changing ────────────────────────────────────────────────────────────────────────────────

    def apply(self, batch: Batch) -> Outputs:
        """Change the state by one batch and return what may leave once the batch is durable.

        Raises:
            EngineBroken: the batch does not follow the state, or a mechanism broke its contract.
        """
        self._begin(batch)
        outcomes = self._execute_all(batch.submissions)
        context = self.context
        self.commands_applied += len(outcomes)
        events = self._collect_events()
        trades, context.trades = context.trades, []
        rejections, context.rejections = context.rejections, {}
        markets = list(context.touched)
        context.touched.clear()
        return Outputs(outcomes, events, trades, markets, rejections)

    def _begin(self, batch: Batch) -> None:
        context = self.context
        if batch.index != context.index + 1 or batch.time_us < context.time_us or batch.epoch < context.epoch:
            message = (
                f"batch (index {batch.index}, epoch {batch.epoch}, time {batch.time_us}) does not follow "
                f"(index {context.index}, epoch {context.epoch}, time {context.time_us})"
            )
            raise EngineBroken(message)
        outage_us = batch.time_us - context.time_us
        context.index = batch.index
        context.previous_hash = batch.previous_hash
        context.time_us = context.stamp = self.ledger.time_us = self._deadlines.time_us = batch.time_us
        self._waking, self._due, self._executed = "", None, None
        if batch.epoch != context.epoch:
            context.epoch = batch.epoch
            if batch.index > 1:
                self._begin_epoch(batch, outage_us)
        self._fire_deadlines(batch)

    def _begin_epoch(self, batch: Batch, outage_us: int) -> None:
        """Let everybody know that another leads; ``outage_us`` after the last record of who led before.

        What the new leader suspends is so at once, before it would break this engine as it broke the other.
        """
        for agent_id, command, _ in batch.submissions:
            if agent_id == VENUE_AGENT and isinstance(command, SuspendMechanism):
                self._close_mechanism(command.family, command.state)
        self._deadlines.end_outage()
        for family, mechanism in self.mechanisms.items():
            if family not in self.context.suspended:
                self._waking = family
                mechanism.on_epoch(outage_us)
        self._waking = ""

    # ── suspended mechanisms ────────────────────────────────────────────────────────────────────

    def _order_mechanism(self, fact: MechanismStateOrdered) -> None:
        """Suspend or resume a mechanism; the family ``engine`` has deadlines only."""
        if fact.state != "open":
            self._close_mechanism(fact.family, fact.state)
            return
        del self.context.suspended[fact.family]
        self._deadlines.work(scope_of(fact.family))
        mechanism = self.mechanisms.get(fact.family)
        if mechanism is not None:
            self._rules.update(_rules_of(mechanism))
            mechanism.on_resume()

    def _close_mechanism(self, family: str, state: SuspensionState) -> None:
        """Stop a mechanism's deadlines, and put a refusal in the place of its handlers: orders pay nothing for it."""
        self.context.suspended[family] = state
        self._deadlines.stop(scope_of(family))
        mechanism = self.mechanisms.get(family)
        if mechanism is None or family == _NEVER_CLOSED:
            return
        rules = _rules_of(mechanism)
        for kind, (_, role, opens) in rules.items():
            if opens or role == "operator" or state == "halted":
                rules[kind] = (self._refuse_suspended, role, opens)
        self._rules.update(rules)

    def _refuse_suspended(self, agent: AgentRecord, command: Command) -> Outcome:
        del agent
        family = family_of(type(command))
        return self.context.reject(
            command, Reason.MECHANISM_SUSPENDED, f"the mechanism {family} is suspended until an operator resumes it"
        )

    def offender(self, batch: Batch) -> Offender | None:
        """Return what was being done when ``apply`` raised; None when it is nothing in particular.

        The state is broken then, and must not be used for anything else.
        """
        if self._waking:
            return Offender(self._waking, None, None)
        if self._due is not None:
            return Offender(self._due[2].partition(".")[0], self._due, None)
        executed = self._executed
        if executed is None or len(executed) >= len(batch.submissions):
            return None
        submission = batch.submissions[len(executed)]
        return Offender(family_of(type(submission[1])), None, submission)

    def _fire_deadlines(self, batch: Batch) -> None:
        """Fire what is due; no command runs before.

        An empty batch fires up to its cap. The leader writes empty ones until few enough are left.
        """
        cap = self.context.settings.max_deadlines_per_batch
        fired = 0
        while fired < cap or batch.submissions:
            due = self._deadlines.pop_due(batch.time_us)
            if due is None:
                return
            fired += 1
            self._due = due
            self._firing[due[2]](*due[3])
            self._run_follow_ups()
            self._due = None

    def _run_follow_ups(self) -> None:
        """Run what handlers queued, and the reactions to spending, until nothing is left."""
        waiting = self.context.follow_ups
        metered = self.ledger.metered
        while waiting or metered:
            if metered:
                moved = list(metered)
                metered.clear()
                for meter in moved:
                    self.context.announce(meter)
            while waiting:
                action, args = waiting.popleft()
                action(*args)

    def _execute_all(self, submissions: list[Submission]) -> list[bytes]:
        """Run the commands of a batch, each unless its id is known; return their encoded outcomes.

        This is the way of every order, so the common case stands here in one piece: a registered
        agent's next command of a known session, in time and allowed. The rest is in leaves.
        """
        context = self.context
        agents, rules, metered, follow_ups = (
            context.agents,
            self._rules,
            self.ledger.metered,
            context.follow_ups,
        )
        time_us = context.time_us
        latest_us = time_us + MAX_VALIDITY_US
        outcomes: list[bytes] = []
        self._executed = outcomes
        for agent_id, command, body in submissions:
            agent = agents.get(agent_id)
            if agent is None:
                outcomes.append(self._execute_unregistered(agent_id, command))
                continue
            # 1. The id, before anything else. Nearly always it is the next one of the session used last.
            digest = digest_of(body)
            session: Session | None = agent.latest_session
            if session is not None and command.id == session.next_id:
                n = session.highest + 1
            else:
                name, n = _parse_id(command.id)
                session = agent.sessions.get(name)
                settled = self._recall(session, n, digest, command)
                if settled is not None:
                    outcomes.append(settled)
                    continue
            # 2. Its time.
            valid_until_us = command.valid_until_us
            if valid_until_us < time_us or valid_until_us > latest_us:
                outcomes.append(self._reject_untimely(command))
                continue
            if session is None:
                if len(agent.sessions) >= context.settings.max_sessions:
                    detail = f"{len(agent.sessions)} are remembered; each is forgotten 10 minutes after its last use"
                    outcomes.append(self._reject(command, Reason.TOO_MANY_SESSIONS, detail))
                    continue
                session = self._open_session(agent, name, valid_until_us)
            agent.latest_session = session
            # 3. Its rules.
            handler, role, opens = rules[type(command)]
            if (
                agent.state == "active"
                and (role is None or role in agent.roles)
                and (context.venue_state == "open" or role == "operator")
            ):
                outcome = handler(agent, command)
            else:
                outcome = self._refuse(agent, command, role, opens=opens) or handler(agent, command)
            if follow_ups or metered:
                self._run_follow_ups()
            encoded = _encode(outcome)
            outcomes.append(encoded)
            session.remember(n, digest, encoded, valid_until_us)
        return outcomes

    def _recall(self, session: Session | None, n: int, digest: int, command: Command) -> bytes | None:
        """Return the answer to what is no id, or one that was used before; None when it may run."""
        if not n:
            return self._reject(command, Reason.INVALID_ID, "an id is <session>.<n>, n = 1, 2, 3, …")
        if session is None:
            return None
        if session.is_forgotten(n):
            return self._reject(command, Reason.OUTCOME_FORGOTTEN, "handled once; your events tell how")
        known = session.find(n)
        if known is None:
            return None
        if known[0] == digest:
            return known[1]
        return self._reject(command, Reason.DUPLICATE_ID, "this id was used by another command")

    def _reject_untimely(self, command: Command) -> bytes:
        time_us = self.context.time_us
        if command.valid_until_us < time_us:
            detail = f"valid until {command.valid_until_us}, venue time {time_us}"
            return self._reject(command, Reason.EXPIRED, detail)
        return self._reject(command, Reason.VALID_UNTIL_TOO_FAR, "valid_until_us is at most 60 s ahead")

    def _refuse(self, agent: AgentRecord, command: Command, role: Role | None, *, opens: bool) -> Outcome | None:
        """Check role, agent state and venue state: the guards that every mechanism would repeat."""
        context = self.context
        if agent.state == "revoked":
            return context.reject(command, Reason.AGENT_REVOKED, "this agent was revoked")
        if role is not None and role not in agent.roles:
            return context.reject(command, Reason.NOT_PERMITTED, f"needs the role {role}")
        # Who is stopped may wind up what it has, but neither take on anything nor operate the venue.
        opens = opens or role == "operator"
        if opens and agent.state == "halted":
            return context.reject(command, Reason.AGENT_HALTED, "this agent is halted")
        if opens and agent.state == "suspended":
            return context.reject(command, Reason.AGENT_SUSPENDED, "this agent is suspended")
        if context.venue_state == "halted" and "operator" not in agent.roles:
            return context.reject(command, Reason.VENUE_HALTED, "the venue is halted")
        if opens and role != "operator" and context.venue_state == "cancel_only":
            return context.reject(command, Reason.VENUE_CANCEL_ONLY, "the venue takes cancels only")
        return None

    def _execute_unregistered(self, agent_id: str, command: Command) -> bytes:
        """Run a command of the venue itself (never twice: it comes from no network) or reject a stranger."""
        if agent_id != VENUE_AGENT:
            return self._reject(command, Reason.UNKNOWN_AGENT, f"{agent_id} is not registered")
        outcome = self._rules[type(command)][0](self._venue, command)
        self._run_follow_ups()
        return _encode(outcome)

    def _reject(self, command: Command, reason: Reason, detail: str) -> bytes:
        return _encode(self.context.reject(command, reason, detail))

    def _open_session(self, agent: AgentRecord, name: str, valid_until_us: int) -> Session:
        session = agent.sessions[name] = Session(name)
        self._deadlines.schedule(valid_until_us + FORGET_AFTER_US, _FORGET_SESSION, agent.agent_id, name)
        return session

    def _forget_session(self, agent_id: str, name: str) -> None:
        agent = self.context.agents[agent_id]
        session: Session = agent.sessions[name]
        forget_us = session.last_valid_until_us + FORGET_AFTER_US
        if forget_us > self.context.time_us:
            self._deadlines.schedule(forget_us, _FORGET_SESSION, agent_id, name)
        else:
            del agent.sessions[name]
            if agent.latest_session is session:
                agent.latest_session = None

    def _collect_events(self) -> list[AgentEvents]:
        dirty = self.context.dirty
        collected: list[AgentEvents] = []
        for agent in dirty:
            outbox = agent.outbox
            total = len(outbox)
            # They are numbered without a gap, and the last of them is the agent's last.
            collected.append((agent.agent_id, agent.seq - total + 1, total, _encode(outbox)))
            agent.outbox = []
        dirty.clear()
        return collected

    # ── proving ─────────────────────────────────────────────────────────────────────────────────

    def check_invariants(self) -> list[str]:
        """Return every broken invariant of the ledger and of every mechanism (slow)."""
        broken = [f"ledger.{name}" for name in self.ledger.check()]
        for family, mechanism in self.mechanisms.items():
            broken.extend(f"{family}.{name}" for name in mechanism.invariants())
        return broken

    def conservation_difference(self) -> int:
        """Return the sum over assets of the absolute conservation difference: 0, always (fast)."""
        return sum(abs(difference) for difference in self.ledger.conservation().values())

    def _dump_business(self) -> list[object]:
        context = self.context
        return [
            self.ledger.dump(),
            [agent.dump() for agent in context.agents.values()],
            context.venue_state,
            msgspec.to_builtins(context.settings),
            [[family, mechanism.dump()] for family, mechanism in self.mechanisms.items()],
        ]

    def business_hash(self) -> str:
        """Return the hash over all that rules decide about; a rejection leaves it unchanged."""
        return blake2b(_encode_state(self._dump_business()), digest_size=32).hexdigest()

    def state_hash(self) -> str:
        """Return the hash over the whole state: also clock, deadlines and the memory of ids."""
        return hash_state(self.dump())

    # ── snapshots ───────────────────────────────────────────────────────────────────────────────

    def dump(self) -> bytes:
        """Return the whole state, encoded; the same state gives the same bytes, however it came about."""
        context = self.context
        return _encode_state(
            [
                self._dump_business(),
                [context.epoch, context.index, context.time_us],
                self._deadlines.dump(),
                [
                    [agent.agent_id, [[name, session.dump()] for name, session in agent.sessions.items()]]
                    for agent in context.agents.values()
                ],
            ]
        )

    def load(self, dumped: bytes) -> None:
        """Take over the state that another engine dumped; this one must be new.

        What follows gives the same outputs, byte for byte, as it would have given there.
        """
        context = self.context
        if context.index:
            message = f"this engine has a state already, that of record {context.index}"
            raise EngineBroken(message)
        business, clock, deadlines, sessions = msgspec.msgpack.decode(dumped)
        ledger, agents, context.venue_state, settings, mechanisms = business
        context.settings = msgspec.convert(settings, Settings)
        self._deadlines.grace_us = context.settings.act_grace_seconds * 1_000_000
        context.epoch, context.index, time_us = clock
        context.time_us = context.stamp = self.ledger.time_us = self._deadlines.time_us = time_us
        self._deadlines.load(deadlines)
        self.ledger.load(ledger)
        for agent_state in agents:
            agent = AgentRecord.load(agent_state)
            context.agents[agent.agent_id] = agent
        for agent_id, states in sessions:
            remembered = context.agents[agent_id].sessions
            for name, session_state in states:
                session = remembered[name] = Session(name)
                session.load(session_state)
        # One that did not exist when this was dumped begins as it is.
        for family, state in mechanisms:
            self.mechanisms[family].load(state)
        for family, suspension in list(context.suspended.items()):
            self._close_mechanism(family, suspension)


def hash_state(dumped: bytes) -> str:
    """Return the hash of a dumped state."""
    return blake2b(dumped, digest_size=32).hexdigest()

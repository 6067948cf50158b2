"""Let messages in: identity, reply address, size, rate, schema. No I/O; refuses before the journal.

What arrives is counted and queued per agent before anything is decoded, so a flood costs its sender
and not the others; batches take from the queues in turn.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from exchange.adapters.gateway_limits import GatewayLimits
from exchange.engine import Engine, Submission
from exchange.messages import COMMANDS, QUERIES, command_union, family_of, query_union
from exchange.messages.base import (
    MAX_ARRAY_COMMANDS,
    MAX_VALIDITY_US,
    SUBJECT_PREFIX,
    Command,
    Query,
    Refusal,
)
from exchange.messages.reasons import RefusalReason

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BATCH_BYTES_MAX", "BATCH_COMMANDS_MAX", "Gateway", "Pending", "PendingQuery"]

BATCH_BYTES_MAX: Final = 512 * 1024
BATCH_COMMANDS_MAX: Final = 2_000
"""A batch is cut, before it is applied, at whichever comes first."""

_COMMAND_PREFIX: Final = f"{SUBJECT_PREFIX}.cmd."
_QUERY_PREFIX: Final = f"{SUBJECT_PREFIX}.query."
_ROUTES_MAX: Final = 200_000
_STRANGERS_MAX: Final = 1_000
_SHUT_OUT_S: Final = 1.0
_NOBODY: Final = "\0"
"""Begins no reply subject."""

_encode = msgspec.json.Encoder().encode
_canonical = msgspec.msgpack.Encoder().encode
_Command: Any = command_union()
_Query: Any = query_union()
_one: Final = msgspec.json.Decoder(_Command)
_many: Final = msgspec.json.Decoder(list[_Command])
_query: Final = msgspec.json.Decoder(_Query)
_FAMILIES: Final[dict[type, str]] = {kind: family_of(kind) for kind in (*COMMANDS.values(), *QUERIES.values())}


class Pending(NamedTuple):
    """Remember where the outcomes of one message go."""

    agent: str
    reply: str
    total: int
    is_array: bool
    received_s: float
    """When it arrived, by the gateway's monotonic clock."""


class PendingQuery(NamedTuple):
    """Hold a query that waits for an answer."""

    agent: str
    reply: str
    query: Query


class _Bucket:
    """Fill by time, empty by use."""

    __slots__ = ("_burst", "_filled_at", "_rate", "tokens")

    def __init__(self, rate: int, burst: int, now_s: float) -> None:
        self._rate = float(rate)
        self._burst = float(burst)
        self.tokens = self._burst
        self._filled_at = now_s

    def take(self, count: int, now_s: float) -> bool:
        tokens = min(self.tokens + (now_s - self._filled_at) * self._rate, self._burst)
        self._filled_at = now_s
        if tokens < count:
            self.tokens = tokens
            return False
        self.tokens = tokens - count
        return True


class _Inbox:
    """Queue what one agent sent and nobody has looked at yet."""

    __slots__ = (
        "agent", "bucket", "bytes", "commands", "patience", "queries", "query_bucket", "reply_prefix", "shut_until_s"
    )  # fmt: skip

    def __init__(self, agent: str, limits: GatewayLimits, now_s: float) -> None:
        self.agent = agent
        self.reply_prefix = f"_INBOX.{agent}."
        self.shut_until_s: float | None = None
        # What is refused costs its sender patience; who has used it up floods.
        self.patience = _Bucket(limits.refusals_per_s, limits.refusals_burst, now_s)
        self.commands: deque[tuple[str, str, bytes, float]] = deque()
        self.bytes = 0
        self.queries: deque[tuple[str, str, bytes]] = deque()
        self.bucket = _Bucket(limits.commands_per_s, limits.commands_burst, now_s)
        self.query_bucket = _Bucket(limits.queries_per_s, limits.queries_burst, now_s)


class Gateway:
    """Take messages in, refuse what must not reach the journal, cut fair batches of the rest.

    ``send(subject, payload)`` is called for refusals that do not depend on the venue's state and so
    may leave at once; ``now_s`` is a monotonic clock in seconds.
    """

    def __init__(
        self,
        engine: Engine,
        limits: GatewayLimits,
        send: Callable[[str, bytes], None],
        now_s: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._send = send
        self._now_s = now_s
        self._inboxes: dict[str, _Inbox] = {}
        self._routes: dict[str, tuple[_Inbox, str]] = {}
        self._active: deque[_Inbox] = deque()
        self._active_queries: deque[_Inbox] = deque()
        self._strangers: dict[str, _Inbox] = {}
        self.on_flood: Callable[[str], None] = lambda _agent: None
        """Called with an agent that floods, each time that it is shut out."""
        self.refusals: dict[str, int] = {}
        """How many messages each reason refused."""
        self.dropped: dict[str, int] = {}
        """How many messages were dropped without an answer, by reason."""
        self.kicks: dict[str, int] = {}
        """How many connections were cut off, by reason: the guard counts them."""
        self.closed: RefusalReason | None = None
        """Why no commands are taken at the moment, if so."""

    # ── what arrives ────────────────────────────────────────────────────────────────────────────

    def receive_command(self, subject: str, reply: str, payload: bytes) -> None:
        """Queue a message of commands, or refuse it; never raises."""
        route = self._routes.get(subject) or self._find_route(subject, reply, _COMMAND_PREFIX)
        if route is None:
            return
        inbox, family = route
        if not reply.startswith(inbox.reply_prefix) and not self._is_let_in(inbox, reply):
            return
        size = len(payload)
        limits = self._limits
        if self.closed is not None:
            self._refuse(inbox, reply, self.closed, "try again shortly with the same id")
        elif size > limits.payload_bytes_max:
            self._refuse(inbox, reply, RefusalReason.TOO_LARGE, f"{size} bytes, at most {limits.payload_bytes_max}")
        elif len(inbox.commands) >= limits.queue_messages_max or inbox.bytes + size > limits.queue_bytes_max:
            self._refuse(inbox, reply, RefusalReason.QUEUE_FULL, f"{len(inbox.commands)} messages wait already")
        else:
            if not inbox.commands:
                self._active.append(inbox)
            inbox.commands.append((family, reply, payload, self._now_s()))
            inbox.bytes += size

    def receive_query(self, subject: str, reply: str, payload: bytes) -> None:
        """Queue a query, or refuse it; never raises."""
        route = self._routes.get(subject) or self._find_route(subject, reply, _QUERY_PREFIX)
        if route is None:
            return
        inbox, family = route
        if not reply.startswith(inbox.reply_prefix) and not self._is_let_in(inbox, reply):
            return
        if len(payload) > self._limits.payload_bytes_max:
            self._refuse(inbox, reply, RefusalReason.TOO_LARGE, f"{len(payload)} bytes")
        elif len(inbox.queries) >= self._limits.queries_queue_max:
            self._refuse(inbox, reply, RefusalReason.QUEUE_FULL, f"{len(inbox.queries)} queries wait already")
        elif not inbox.query_bucket.take(1, self._now_s()):
            self._refuse(inbox, reply, RefusalReason.RATE_LIMITED, f"{self._limits.queries_per_s} queries per second")
        else:
            if not inbox.queries:
                self._active_queries.append(inbox)
            inbox.queries.append((family, reply, payload))

    def has_commands(self) -> bool:
        """Return whether a batch could be cut."""
        return bool(self._active)

    def has_queries(self) -> bool:
        """Return whether queries wait."""
        return bool(self._active_queries)

    def queued(self) -> int:
        """Return how many messages of commands wait."""
        return sum(len(inbox.commands) for inbox in self._active)

    def _find_route(self, subject: str, reply: str, prefix: str) -> tuple[_Inbox, str] | None:
        """Find who sent a message and to which family; the server has checked the sender's token."""
        agent, _, family = subject.removeprefix(prefix).partition(".")
        if not subject.startswith(prefix) or not agent:
            self._drop(RefusalReason.BAD_SUBJECT)
            return None
        inbox = self._inboxes.get(agent) or self._find_inbox(agent)
        if not family or "." in family:
            self._drop(RefusalReason.BAD_SUBJECT)
            self._lose_patience(inbox)
            return None
        if agent not in self._engine.agents:
            # An agent with a credential that the venue does not know gets an answer but no queue.
            if not reply.startswith(inbox.reply_prefix):
                self._drop(RefusalReason.UNKNOWN_AGENT if inbox.shut_until_s is None else RefusalReason.FLOODING)
                self._lose_patience(inbox)
            else:
                # While the journal does not answer, another daemon may have registered it.
                reason = self.closed or RefusalReason.UNKNOWN_AGENT
                self._refuse(inbox, reply, reason, f"{agent} is not registered at this venue")
            return None
        # Families come from the sender, so what is remembered of them is bounded.
        if len(self._routes) >= _ROUTES_MAX:
            self._routes.clear()
        route = self._routes[subject] = (inbox, family)
        return route

    def _find_inbox(self, agent: str) -> _Inbox:
        """Make the inbox of an agent; those of strangers are few, and forgotten when they are many."""
        inbox = self._strangers.pop(agent, None) or _Inbox(agent, self._limits, self._now_s())
        if agent in self._engine.agents:
            self._inboxes[agent] = inbox
            return inbox
        if len(self._strangers) >= _STRANGERS_MAX:
            self._strangers.clear()
        self._strangers[agent] = inbox
        return inbox

    # ── what goes on ────────────────────────────────────────────────────────────────────────────

    def cut(self, time_us: int) -> tuple[list[Submission], list[Pending]]:
        """Take a batch from the queues in turn; ``time_us`` is the venue time it will have.

        What is refused here is answered at once: nothing of it is in any batch.
        """
        submissions: list[Submission] = []
        pending: list[Pending] = []
        size = 0
        active = self._active
        now_s = self._now_s()
        quarantined = self._engine.context.quarantine.entries
        while active and len(submissions) < BATCH_COMMANDS_MAX and size < BATCH_BYTES_MAX:
            inbox = active[0]
            family, reply, payload, received_s = inbox.commands[0]
            is_array = payload[:1] == b"["
            if is_array and submissions and len(submissions) + MAX_ARRAY_COMMANDS > BATCH_COMMANDS_MAX:
                break
            active.popleft()
            inbox.commands.popleft()
            inbox.bytes -= len(payload)
            if inbox.commands:
                active.append(inbox)
            commands = self._admit(inbox, family, reply, payload, time_us, now_s, is_array=is_array)
            if commands is None or (quarantined and self._is_quarantined(inbox, family, reply, commands)):
                continue
            agent = inbox.agent
            for command in commands:
                body = _canonical(command)
                size += len(body)
                submissions.append((agent, command, body))
            pending.append(Pending(agent, reply, len(commands), is_array, received_s))
        return submissions, pending

    def _admit(
        self,
        inbox: _Inbox,
        family: str,
        reply: str,
        payload: bytes,
        time_us: int,
        now_s: float,
        *,
        is_array: bool,
    ) -> list[Command] | None:
        """Decode one message and check it as a whole; refuse it and return None if anything is wrong."""
        try:
            commands: list[Command] = _many.decode(payload) if is_array else [_one.decode(payload)]
        except Exception as error:  # noqa: BLE001 - invalid UTF-8 and deep nesting raise types of their own
            self._refuse(inbox, reply, RefusalReason.MALFORMED, _describe(error))
            return None
        for command in commands:
            if _FAMILIES[type(command)] != family:
                detail = f"a command of family {_FAMILIES[type(command)]} was sent to {family}"
                self._refuse(inbox, reply, RefusalReason.WRONG_FAMILY, detail, command.id)
                return None
        if not 0 < len(commands) <= MAX_ARRAY_COMMANDS:
            self._refuse(inbox, reply, RefusalReason.TOO_MANY_COMMANDS, f"{len(commands)}; 1 … {MAX_ARRAY_COMMANDS}")
            return None
        if self._engine.agents[inbox.agent].state == "revoked":
            self._refuse(inbox, reply, RefusalReason.AGENT_REVOKED, f"{inbox.agent} was revoked")
            return None
        if not inbox.bucket.take(len(commands), now_s):
            detail = f"at most {self._limits.commands_per_s} commands per second"
            self._refuse(inbox, reply, RefusalReason.RATE_LIMITED, detail, commands[0].id)
            return None
        first = commands[0]
        if not is_array and not time_us <= first.valid_until_us <= time_us + MAX_VALIDITY_US:
            return self._admit_untimely(inbox, reply, first, time_us)
        return commands

    def _is_quarantined(self, inbox: _Inbox, family: str, reply: str, commands: list[Command]) -> bool:
        """Refuse a message with a command that broke the engine before, and what its owner may not try any more."""
        engine, agent = self._engine, inbox.agent
        owner = engine.agents[agent].owner
        if not engine.context.quarantine.concerns(agent, owner, family):
            return False
        for command in commands:
            detail = engine.context.quarantine.find(agent, owner, family, _canonical(command))
            # What has run already does not run again: it only gets its outcome.
            if detail is not None and engine.find_outcome(agent, command.id) is None:
                self._refuse(inbox, reply, RefusalReason.QUARANTINED, detail, command.id)
                return True
        return False

    def _admit_untimely(self, inbox: _Inbox, reply: str, command: Command, time_us: int) -> list[Command] | None:
        """Let a late copy of a known command through to its outcome; refuse any other."""
        if self._engine.find_outcome(inbox.agent, command.id) is not None:
            return [command]
        reason = RefusalReason.EXPIRED if command.valid_until_us < time_us else RefusalReason.VALID_UNTIL_TOO_FAR
        detail = f"valid_until_us {command.valid_until_us}, venue time {time_us}, at most 60 s ahead"
        self._refuse(inbox, reply, reason, detail, command.id)
        return None

    def take_queries(self, count: int) -> list[PendingQuery]:
        """Take up to ``count`` queries from the queues in turn, decoded; refuse the malformed."""
        taken: list[PendingQuery] = []
        active = self._active_queries
        while active and len(taken) < count:
            inbox = active.popleft()
            family, reply, payload = inbox.queries.popleft()
            if inbox.queries:
                active.append(inbox)
            try:
                query: Query = _query.decode(payload)
            except Exception as error:  # noqa: BLE001 - as for commands
                self._refuse(inbox, reply, RefusalReason.MALFORMED, _describe(error))
                continue
            if self._engine.agents[inbox.agent].state == "revoked":
                self._refuse(inbox, reply, RefusalReason.AGENT_REVOKED, f"{inbox.agent} was revoked")
                continue
            if _FAMILIES[type(query)] != family:
                self._refuse(
                    inbox, reply, RefusalReason.WRONG_FAMILY, f"this query belongs to {_FAMILIES[type(query)]}"
                )
                continue
            taken.append(PendingQuery(inbox.agent, reply, query))
        return taken

    # ── what is turned away ─────────────────────────────────────────────────────────────────────

    def _is_let_in(self, inbox: _Inbox, reply: str) -> bool:
        """Drop a message whose reply subject is not in its sender's inbox, or whose sender is shut out.

        Whoever gets an answer must be who asked: the server does not check reply subjects.
        """
        if inbox.shut_until_s is not None:
            if self._now_s() < inbox.shut_until_s:
                self._drop(RefusalReason.FLOODING)
                return False
            inbox.shut_until_s = None
            inbox.reply_prefix = f"_INBOX.{inbox.agent}."
            if reply.startswith(inbox.reply_prefix):
                return True
        self._drop(RefusalReason.BAD_REPLY_SUBJECT)
        self._lose_patience(inbox)
        return False

    def _lose_patience(self, inbox: _Inbox) -> None:
        """Count one more message that was for nothing; shut its sender out when they are too many.

        What it has waiting is dropped, and for a second whatever else arrives: that costs next to nothing,
        while each refusal costs as much as an order.
        """
        now_s = self._now_s()
        if inbox.shut_until_s is not None and now_s < inbox.shut_until_s:
            return
        if inbox.patience.take(1, now_s):
            return
        inbox.shut_until_s = now_s + _SHUT_OUT_S
        inbox.reply_prefix = _NOBODY
        if inbox.commands:
            self._active.remove(inbox)
        if inbox.queries:
            self._active_queries.remove(inbox)
        for _ in range(len(inbox.commands) + len(inbox.queries)):
            self._drop(RefusalReason.FLOODING)
        inbox.commands.clear()
        inbox.queries.clear()
        inbox.bytes = 0
        # That a venue which takes nothing refuses much is not its agents' fault.
        if self.closed is None:
            self.on_flood(inbox.agent)

    def count_undecodable(self) -> None:
        """Count a message whose subject or reply subject is not even ASCII."""
        self._drop(RefusalReason.BAD_SUBJECT)

    def _drop(self, reason: RefusalReason) -> None:
        self.dropped[reason.value] = self.dropped.get(reason.value, 0) + 1

    def _refuse(
        self, inbox: _Inbox, reply: str, reason: RefusalReason, detail: str, command_id: str | None = None
    ) -> None:
        self.refusals[reason.value] = self.refusals.get(reason.value, 0) + 1
        refusal = Refusal(reason, detail, self._engine.time_us, command_id)
        self._send(reply, _encode(refusal))
        self._lose_patience(inbox)


def _describe(error: Exception) -> str:
    """Say what is wrong with a message, shortly, whatever a hostile sender put in."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "not valid UTF-8"
    return str(error)[:300]

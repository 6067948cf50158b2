"""Keep one connection to the venue: greeting, venue time, commands, and who must hear of gaps."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from agent_sdk._ids import Session
from agent_sdk.chance import Chance
from agent_sdk.clock import VenueClock
from agent_sdk.errors import (
    ConnectionFailed,
    ExchangeError,
    NotSent,
    OutcomeForgotten,
    OutcomeUnknown,
    PermissionDenied,
    RequestTimeout,
    refused,
    rejected,
)
from agent_sdk.requests import AnyOutcome, Doubtful, LooseOutcome, Requests, Unanswered, decode_outcome
from exchange.messages import family_of
from exchange.messages.admin import RegisterAgent, RegisterOutcome
from exchange.messages.base import MAX_VALIDITY_US, SUBJECT_PREFIX, Command, Outcome, Query, Result
from exchange.messages.orders import (
    AmendOrder,
    CancelOrder,
    MassCancel,
    MassCancelOutcome,
    OrderOutcome,
    PlaceOrder,
)
from exchange.messages.reasons import Reason
from exchange.messages.venue import GetOutcome, Heartbeat, Hello, HelloResult, OutcomeResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_sdk.transport import ConnectionEvent, Transport

__all__ = ["DEFAULT_TIMEOUT_S", "Connection", "Draft", "Listener"]

DEFAULT_TIMEOUT_S: Final = 10.0
_QUERY_TIMEOUT_S: Final = 10.0
_REMEMBERED_UNKNOWN: Final = 4_096
_SETTLE_GRACE_S: Final = 10.0

ResultT = TypeVar("ResultT", bound=Result)

_OUTCOMES: Final[dict[type[Command], type[Outcome]]] = {
    PlaceOrder: OrderOutcome,
    AmendOrder: OrderOutcome,
    CancelOrder: OrderOutcome,
    MassCancel: MassCancelOutcome,
    RegisterAgent: RegisterOutcome,
}

_encode: Final = msgspec.json.encode
_decode_heartbeat: Final = msgspec.json.Decoder(Heartbeat).decode
_validators: dict[type[Command], Callable[[bytes], Command]] = {}


class Draft:
    """Hold a command before it has an id: its type, its fields, and the outcome it will get."""

    __slots__ = ("fields", "kind", "outcome")

    def __init__(self, kind: type[Command], fields: dict[str, Any], outcome: type[Outcome] | None = None) -> None:
        self.kind = kind
        self.fields = fields
        self.outcome = outcome or _OUTCOMES.get(kind, Outcome)

    def encode(self, id: str, valid_until_us: int) -> bytes:
        """Return the bytes of the command.

        Raises:
            ValueError: A field is unknown, missing, of the wrong type or out of range.

        """
        try:
            payload = _encode(self.kind(id=id, valid_until_us=valid_until_us, **self.fields))
            check = _validators.get(self.kind)
            if check is None:
                check = _validators[self.kind] = msgspec.json.Decoder(self.kind).decode
            check(payload)
        except (msgspec.ValidationError, TypeError, OverflowError) as error:
            message = f"invalid {self.kind.__name__}: {error}"
            raise ValueError(message) from None
        return payload


class Listener:
    """Hear what happens to the connection. Subclasses override what concerns them; nothing here may raise."""

    def on_resync(self) -> None:
        """Messages may have been missed: a reconnect, a drop, a new epoch."""

    def on_incarnation(self) -> None:
        """Start over: the venue was restored and all sequence numbers begin anew."""

    def on_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Compare with the latest sequence numbers of the venue."""

    def on_denied(self, error: PermissionDenied) -> None:
        """Give up if ``error.subject`` is the listener's own."""

    def on_closed(self) -> None:
        """Stop: the connection was closed for good."""


class Connection:
    """Speak with one venue as one agent."""

    def __init__(self, transport: Transport, chance: Chance | None = None) -> None:
        self.transport = transport
        self.agent = transport.agent
        self.clock = VenueClock()
        self.chance = chance or Chance()
        self.requests = Requests(transport, self.clock, self.chance)
        self.session = Session(self.chance.token())
        self.hello: HelloResult | None = None
        self.incarnation = 0
        self.epoch = 0
        self.listeners: list[Listener] = []
        self.is_closed = False
        self._unknown: OrderedDict[str, tuple[int, type[Outcome]]] = OrderedDict()

    # ── opening and closing ─────────────────────────────────────────────────────────────────────

    async def open(self, timeout_s: float) -> None:
        """Connect and greet the venue.

        Raises:
            ConnectionFailed: No server answers, or no venue behind it.
            CredentialsError: The server does not accept the credentials.
            PermissionDenied: The server does not let the agent speak with the venue.

        """
        self.transport.on_connection(self._on_connection)
        await self.transport.open()
        try:
            await self.requests.open()
            await self.transport.subscribe(f"{SUBJECT_PREFIX}.md._venue", self._on_heartbeat)
            await self.greet(timeout_s)
        except RequestTimeout:
            await self.close()
            message = (
                "connected to the server, but no exchange answers there; "
                "is the daemon running, and are the credentials meant for this venue?"
            )
            raise ConnectionFailed(message) from None
        except BaseException:
            await self.close()
            raise

    async def greet(self, timeout_s: float = _QUERY_TIMEOUT_S) -> HelloResult:
        """Say hello and take in where the venue stands."""
        hello = await self.query(Hello(), HelloResult, timeout_s)
        self.hello = hello
        self._take_in(hello.incarnation, hello.epoch, hello.venue_time_us)
        return hello

    async def close(self) -> None:
        """End everything; a second call does nothing."""
        if self.is_closed:
            return
        self.is_closed = True
        await self.requests.close()
        self._tell(lambda listener: listener.on_closed())
        await self.transport.close()

    def _take_in(self, incarnation: int, epoch: int, venue_time_us: int) -> None:
        previous, self.incarnation = self.incarnation, incarnation
        previous_epoch, self.epoch = self.epoch, epoch
        if previous and incarnation != previous:
            # What was numbered before belongs to another history, and time may have been set back.
            self.session = Session(self.chance.token())
            self.clock.reset()
            self.clock.observe(venue_time_us)
            self.requests.give_up_commands()
            self._tell(lambda listener: listener.on_incarnation())
        elif previous_epoch and epoch != previous_epoch:
            self.requests.repeat_now()
            self._tell(lambda listener: listener.on_resync())

    def _tell(self, what: Callable[[Listener], None]) -> None:
        for listener in list(self.listeners):
            what(listener)

    def _on_heartbeat(self, _subject: str, payload: bytes) -> None:
        try:
            heartbeat = _decode_heartbeat(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if self.incarnation in (0, heartbeat.incarnation):
            self.clock.observe(heartbeat.venue_time_us)
        if self.incarnation:
            self._take_in(heartbeat.incarnation, heartbeat.epoch, heartbeat.venue_time_us)
            self._tell(lambda listener: listener.on_heartbeat(heartbeat))

    def _on_connection(self, event: ConnectionEvent) -> None:
        if event.kind == "reconnected":
            self.requests.repeat_now()
            self._tell(lambda listener: listener.on_resync())
        elif event.kind == "dropped":
            self._tell(lambda listener: listener.on_resync())
        elif event.kind == "permission_denied":
            denied = PermissionDenied(event.subject, event.detail)
            self.requests.deny(event.subject, event.detail)
            self._tell(lambda listener: listener.on_denied(denied))

    # ── queries ─────────────────────────────────────────────────────────────────────────────────

    async def query(self, query: Query, kind: type[ResultT], timeout_s: float = _QUERY_TIMEOUT_S) -> ResultT:
        """Ask the venue.

        Raises:
            RequestTimeout: No answer in ``timeout_s`` seconds.
            Refused: The venue does not answer this.

        """
        return await self.requests.query(query, kind, timeout_s)

    # ── commands ────────────────────────────────────────────────────────────────────────────────

    async def execute(self, draft: Draft, timeout_s: float) -> AnyOutcome:
        """Send one command exactly once and return its accepted outcome.

        Raises:
            Rejected: A rule said no.
            Refused: It was turned away before the journal.
            OutcomeUnknown: No answer within ``timeout_s`` seconds.
            NotSent: It certainly never left.
            ValueError: A field is wrong; nothing was sent.

        """
        result = (await self._send((draft,), timeout_s, is_array=False))[0]
        if isinstance(result, ExchangeError):
            raise result
        return result

    async def execute_array(self, drafts: Sequence[Draft], timeout_s: float) -> list[AnyOutcome | ExchangeError]:
        """Send commands of one family in one message; each has its own outcome or error."""
        return await self._send(drafts, timeout_s, is_array=True)

    async def _send(
        self, drafts: Sequence[Draft], timeout_s: float, *, is_array: bool
    ) -> list[AnyOutcome | ExchangeError]:
        if not 0 < timeout_s <= MAX_VALIDITY_US / 1_000_000:
            message = f"timeout {timeout_s} is out of range: it must be above 0 and at most 60 seconds"
            raise ValueError(message)
        valid_until_us = self.clock.now_us() + int(timeout_s * 1_000_000)
        session = self.session
        window = session.window
        first = await window.take(len(drafts))
        if session is not self.session:
            window.release(first)
            message = "the venue was restored while the command waited; it was not sent"
            raise NotSent(message)
        if self.clock.now_us() >= valid_until_us:
            window.release(first)
            message = "1,024 commands are in flight and none was settled in time; this one was not sent"
            raise NotSent(message)
        try:
            ids = [f"{session.token}.{n}" for n in range(first, first + len(drafts))]
            payloads = [draft.encode(id_, valid_until_us) for draft, id_ in zip(drafts, ids, strict=True)]
        except BaseException:
            window.release(first)
            raise
        payload = b"[" + b",".join(payloads) + b"]" if is_array else payloads[0]
        kinds = tuple(draft.outcome for draft in drafts)
        try:
            outcomes = await self.requests.command(
                family_of(drafts[0].kind), payload, kinds, valid_until_us, lambda: window.release(first)
            )
        except Unanswered:
            return [self._outcome_unknown(id_, valid_until_us, kind) for id_, kind in zip(ids, kinds, strict=True)]
        except Doubtful:
            try:
                return [await self._settled(id_, valid_until_us, kind) for id_, kind in zip(ids, kinds, strict=True)]
            finally:
                window.release(first)
        return [outcome if outcome.status == "accepted" else _rejection(outcome) for outcome in outcomes]

    def _outcome_unknown(self, id_: str, valid_until_us: int, kind: type[Outcome]) -> OutcomeUnknown:
        self._unknown[id_] = (valid_until_us, kind)
        while len(self._unknown) > _REMEMBERED_UNKNOWN:
            self._unknown.popitem(last=False)
        return OutcomeUnknown(id_, valid_until_us)

    async def _settled(self, id_: str, valid_until_us: int, kind: type[Outcome]) -> AnyOutcome | ExchangeError:
        self._unknown[id_] = (valid_until_us, kind)
        try:
            outcome = await self.outcome(id_)
        except OutcomeForgotten as forgotten:
            return forgotten
        except ExchangeError:
            return self._outcome_unknown(id_, valid_until_us, kind)
        if outcome is None:
            return rejected(Reason.EXPIRED, "it was not executed before its time-out", id_)
        return outcome if outcome.status == "accepted" else _rejection(outcome)

    async def outcome(self, id_: str, valid_until_us: int | None = None) -> AnyOutcome | None:
        """Return what became of a command, or None if it was not and will not be executed.

        Raises:
            OutcomeForgotten: If it was handled, its outcome is no longer held.
            RequestTimeout: The venue did not answer, or cannot tell yet.

        """
        known = self._unknown.get(id_)
        until = valid_until_us or (known[0] if known else self.clock.now_us() + MAX_VALIDITY_US)
        pause_s = 0.1
        while True:
            answer = await self.query(GetOutcome(id=id_, valid_until_us=until), OutcomeResult)
            if answer.state == "forgotten":
                raise OutcomeForgotten(Reason.OUTCOME_FORGOTTEN, "open orders and events tell how it went", id_)
            if answer.state == "never_executed":
                return None
            if answer.state == "found":
                outcome = decode_outcome(answer.outcome, known[1] if known else OrderOutcome)
                if isinstance(outcome, Outcome | LooseOutcome):
                    return outcome
                raise refused(outcome.reason, outcome.detail, outcome.id)
            left_s = (until - self.clock.now_us()) / 1_000_000
            if left_s < -_SETTLE_GRACE_S:
                message = f"the venue cannot tell yet what became of command {id_}; ask again"
                raise RequestTimeout(message)
            await asyncio.sleep(max(pause_s, min(left_s, 1.0)))


def _rejection(outcome: AnyOutcome) -> ExchangeError:
    return rejected(outcome.reason or "rejected", outcome.detail or "", outcome.id)

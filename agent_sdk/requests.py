"""Send commands exactly once and queries until answered, over one reply subscription.

A request in flight is an entry in a map. The reply callback settles it; one sweeper task repeats
what is unanswered with the same bytes. There is no task and no timer per request.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from typing import TYPE_CHECKING, Any, Final, TypeVar, Union, cast

import msgspec

from agent_sdk.errors import (
    ConnectionFailed,
    NotSent,
    PermissionDenied,
    RequestTimeout,
    UnreadableReply,
    refused,
)
from exchange.messages import family_of
from exchange.messages.base import SUBJECT_PREFIX, Outcome, Query, Refusal, Result
from exchange.messages.reasons import Reason, RefusalReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sdk.chance import Chance
    from agent_sdk.clock import VenueClock
    from agent_sdk.transport import Transport

__all__ = ["AnyOutcome", "Doubtful", "LooseOutcome", "Requests", "Unanswered", "decode_outcome"]

_log: Final = logging.getLogger("agent_sdk")

_RETRYABLE: Final = frozenset(
    (
        RefusalReason.RATE_LIMITED,
        RefusalReason.QUEUE_FULL,
        RefusalReason.NOT_LEADING,
        RefusalReason.JOURNAL_UNAVAILABLE,
    )
)
_SWEEP_S: Final = 0.05
_FIRST_REPEAT_S: Final = 1.0
_FIRST_RETRY_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 4.0
_LONGEST_RETRY_S: Final = 2.0
_GROWTH: Final = 1.6
_GRACE_S: Final = 5.0

ResultT = TypeVar("ResultT", bound=Result)


class LooseOutcome(msgspec.Struct, tag_field="type", tag="outcome"):
    """Hold what every outcome has, also when its reason is newer than this SDK."""

    id: str
    status: str
    venue_time_us: int
    reason: str | None = None
    detail: str | None = None


class _LooseRefusal(msgspec.Struct, tag_field="type", tag="refusal"):
    """Hold a refusal, also when its reason is newer than this SDK."""

    reason: str
    detail: str
    venue_time_us: int = 0
    id: str | None = None


AnyOutcome = Outcome | LooseOutcome

_decoders: dict[type, msgspec.json.Decoder[Any]] = {}
_decode_elements: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_loose: Final = msgspec.json.Decoder(LooseOutcome | _LooseRefusal).decode


def _decoder(kind: type) -> msgspec.json.Decoder[Any]:
    found = _decoders.get(kind)
    if found is None:
        found = _decoders[kind] = msgspec.json.Decoder(Union[kind, Refusal])  # noqa: UP007 - built at run time
    return found


def decode_outcome(payload: bytes | msgspec.Raw, kind: type[Outcome]) -> AnyOutcome | Refusal | _LooseRefusal:
    """Read one reply to a command; a word that this SDK does not know does not make it unreadable."""
    try:
        return cast("Outcome | Refusal", _decoder(kind).decode(payload))
    except msgspec.ValidationError:
        return cast("LooseOutcome | _LooseRefusal", _decode_loose(payload))


class _InFlight:
    """Hold one request that waits for its answer."""

    __slots__ = (
        "abandoned",
        "deadline_us",
        "expires_at",
        "future",
        "kinds",
        "last_refusal",
        "pause",
        "payload",
        "release",
        "repeat_at",
        "reply",
        "retry_pause",
        "sent",
        "subject",
        "unanswered",
    )

    def __init__(
        self, subject: str, payload: bytes, reply: str, future: asyncio.Future[Any], kinds: tuple[type, ...]
    ) -> None:
        self.subject = subject
        self.payload = payload
        self.reply = reply
        self.future = future
        self.kinds = kinds
        self.abandoned = False
        self.deadline_us = 0  # of venue time; 0 for a query
        self.expires_at = math.inf  # of the loop's clock
        self.repeat_at = 0.0
        self.pause = _FIRST_REPEAT_S
        self.retry_pause = _FIRST_RETRY_S
        self.sent = 0
        self.unanswered = 0
        self.last_refusal: Refusal | _LooseRefusal | None = None
        self.release: Callable[[], None] | None = None

    def wait_for_answer(self, now: float, jitter: float) -> None:
        """Choose when to send the next copy if this one stays unanswered."""
        self.repeat_at = now + self.pause * jitter
        self.pause = min(self.pause * _GROWTH, _LONGEST_PAUSE_S)

    def wait_after_refusal(self, now: float, jitter: float) -> None:
        """Choose when to send the next copy after one was turned away for the moment."""
        self.repeat_at = now + self.retry_pause * jitter
        self.retry_pause = min(self.retry_pause * _GROWTH, _LONGEST_RETRY_S)


class Doubtful(Exception):
    """Say that one copy was turned away while another one may have been executed."""


class Unanswered(Exception):
    """Say that a command was sent and not answered."""


class Requests:
    """Keep all requests of one connection."""

    def __init__(self, transport: Transport, clock: VenueClock, chance: Chance) -> None:
        self._transport = transport
        self._clock = clock
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._inbox = f"_INBOX.{transport.agent}.{chance.token()}."
        self._prefixes = {kind: f"{SUBJECT_PREFIX}.{kind}.{transport.agent}." for kind in ("cmd", "query")}
        self._counter = itertools.count(1)
        self._in_flight: dict[str, _InFlight] = {}
        self._work = asyncio.Event()
        self._sweeper: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        """Subscribe to the replies and start the sweeper."""
        await self._transport.subscribe(self._inbox + "*", self._on_reply)
        self._sweeper = asyncio.create_task(self._sweep_forever(), name="agent-sdk-requests")

    async def close(self) -> None:
        """Fail whatever is in flight."""
        self._closed = True
        for request in list(self._in_flight.values()):
            if request.deadline_us and request.unanswered:
                self._settle(request, Unanswered())
            else:
                self._settle(request, ConnectionFailed("the connection was closed"))
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)

    @property
    def in_flight(self) -> int:
        """How many requests wait for an answer."""
        return len(self._in_flight)

    # ── sending ─────────────────────────────────────────────────────────────────────────────────

    async def command(
        self,
        family: str,
        payload: bytes,
        kinds: tuple[type[Outcome], ...],
        valid_until_us: int,
        release: Callable[[], None],
    ) -> list[AnyOutcome]:
        """Send a message of one command, or of an array, until it is settled or its time has passed.

        ``release`` is called once: when no copy can be executed any more, or the outcome is known.

        Raises:
            Refused: Turned away for certain.
            Doubtful: Turned away, but another copy may have been executed; the caller calls ``release``.
            Unanswered: No answer until ``valid_until_us``: it may have been executed.
            NotSent: No copy was received by anybody.

        """
        request = self._enter(self._prefixes["cmd"] + family, payload, kinds)
        request.deadline_us = valid_until_us
        # Also by the local clock, should the venue's be set back by a restore.
        left_s = (valid_until_us - self._clock.now_us()) / 1_000_000
        request.expires_at = self._loop.time() + left_s + _GRACE_S
        request.release = release
        try:
            await self._publish(request)
            return cast("list[AnyOutcome]", await request.future)
        except BaseException:
            # What was sent may be executed, so the number stays taken until that is settled.
            request.abandoned = True
            if not request.sent:
                self._forget(request)
            raise

    async def query(self, query: Query, kind: type[ResultT], timeout_s: float) -> ResultT:
        """Ask until answered.

        Raises:
            Refused: The venue does not answer this.
            RequestTimeout: No answer in time.
            ConnectionFailed: The connection was closed.

        """
        request = self._enter(self._prefixes["query"] + family_of(type(query)), msgspec.json.encode(query), (kind,))
        request.expires_at = self._loop.time() + timeout_s
        try:
            await self._publish(request)
            return cast("ResultT", await request.future)
        finally:
            self._forget(request)

    def _enter(self, subject: str, payload: bytes, kinds: tuple[type, ...]) -> _InFlight:
        if self._closed:
            message = "the connection is closed"
            raise ConnectionFailed(message)
        token = str(next(self._counter))
        request = _InFlight(subject, payload, self._inbox + token, self._loop.create_future(), kinds)
        self._in_flight[token] = request
        self._work.set()
        return request

    def _jitter(self) -> float:
        return self._chance.spread(0.8, 1.2)

    async def _publish(self, request: _InFlight) -> None:
        request.wait_for_answer(self._loop.time(), self._jitter())
        request.sent += 1
        request.unanswered += 1
        try:
            await self._transport.publish(request.subject, request.payload, request.reply)
        except NotSent:
            request.sent -= 1
            request.unanswered -= 1

    def repeat_now(self) -> None:
        """Send everything unanswered again soon: the connection is new."""
        now = self._loop.time()
        for request in self._in_flight.values():
            request.repeat_at = now
            request.pause = _FIRST_REPEAT_S
            request.retry_pause = _FIRST_RETRY_S

    def give_up_commands(self) -> None:
        """Stop repeating commands: the venue was restored, and what was sent before belongs to another history."""
        for request in list(self._in_flight.values()):
            if not request.deadline_us:
                continue
            if request.unanswered:
                self._settle(request, Unanswered())
            else:
                self._settle(request, NotSent("the venue was restored; no exchange had taken the command before"))

    def deny(self, subject: str, detail: str) -> None:
        """Fail what uses a subject that the server does not permit."""
        wanted = subject.lower()  # the client reports it in lower case
        is_inbox = bool(wanted) and self._inbox.lower().startswith(wanted.rstrip("*>"))
        for request in list(self._in_flight.values()):
            if is_inbox or request.subject.lower() == wanted:
                if request.deadline_us and (is_inbox or request.unanswered > 1):
                    self._settle(request, Unanswered())
                else:
                    self._settle(request, PermissionDenied(subject, detail))

    # ── replies ─────────────────────────────────────────────────────────────────────────────────

    def _on_reply(self, subject: str, payload: bytes) -> None:
        request = self._in_flight.get(subject.rpartition(".")[2])
        if request is None:
            return  # a second answer to a repeated request
        if not payload:
            # Nobody listens there at the moment: this copy was certainly not received.
            request.unanswered = max(0, request.unanswered - 1)
            request.wait_after_refusal(self._loop.time(), self._jitter())
            return
        try:
            self._answer(request, payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if not request.deadline_us:
                self._settle(request, UnreadableReply(f"cannot read the reply: {error}"))

    def _answer(self, request: _InFlight, payload: bytes) -> None:
        kinds = request.kinds
        if not request.deadline_us:
            try:
                answer: Any = _decoder(kinds[0]).decode(payload)
            except msgspec.ValidationError as error:
                try:
                    answer = _decode_loose(payload)
                except msgspec.ValidationError:
                    raise error from None
            if isinstance(answer, Refusal | _LooseRefusal):
                self._refuse(request, answer)
            else:
                self._clock.observe(answer.venue_time_us)
                self._settle(request, answer)
            return
        if payload[:1] == b"[":
            elements = _decode_elements(payload)
            if len(elements) != len(kinds):
                return
            answers = [decode_outcome(element, kind) for element, kind in zip(elements, kinds, strict=True)]
        else:
            answers = [decode_outcome(payload, kinds[0])]
        first = answers[0]
        if isinstance(first, Refusal | _LooseRefusal):
            self._refuse(request, first)
            return
        self._clock.observe(first.venue_time_us)
        request.unanswered -= 1
        if request.unanswered > 0 and any(
            outcome.reason == Reason.EXPIRED for outcome in answers if not isinstance(outcome, Refusal | _LooseRefusal)
        ):
            self._settle(request, Doubtful())
        else:
            self._settle(request, answers)

    def _refuse(self, request: _InFlight, refusal: Refusal | _LooseRefusal) -> None:
        self._clock.observe(refusal.venue_time_us)
        # Whoever cannot reach the journal may have been replaced: the same copy has come to who leads now.
        if refusal.reason != RefusalReason.JOURNAL_UNAVAILABLE:
            request.unanswered = max(0, request.unanswered - 1)
        request.last_refusal = refusal
        if refusal.reason in _RETRYABLE:
            request.wait_after_refusal(self._loop.time(), self._jitter())
        elif request.deadline_us and request.unanswered and refusal.reason != RefusalReason.QUARANTINED:
            # What is quarantined has not run and does not run, whatever became of other copies.
            self._settle(request, Doubtful())
        else:
            self._settle(request, refused(refusal.reason, refusal.detail, refusal.id))

    def _settle(self, request: _InFlight, answer: object) -> None:
        if request.release is not None and (request.abandoned or not isinstance(answer, Doubtful)):
            request.release()
            request.release = None
        self._forget(request)
        if not request.future.done():
            if isinstance(answer, Exception):
                request.future.set_exception(answer)
                if request.abandoned:
                    request.future.exception()  # nobody is left to hear of it
            else:
                request.future.set_result(answer)

    def _forget(self, request: _InFlight) -> None:
        self._in_flight.pop(request.reply.rpartition(".")[2], None)
        if request.release is not None and request.abandoned:
            request.release()
            request.release = None

    # ── repeating ───────────────────────────────────────────────────────────────────────────────

    async def _sweep_forever(self) -> None:
        while True:
            await self._work.wait()
            await asyncio.sleep(_SWEEP_S)
            now, venue_now = self._loop.time(), self._clock.now_us()
            for request in list(self._in_flight.values()):
                if request.expires_at <= now or 0 < request.deadline_us < venue_now:
                    self._settle(request, self._late(request))
                elif request.repeat_at <= now and not request.abandoned:
                    await self._repeat(request)
            if not self._in_flight:
                self._work.clear()

    async def _repeat(self, request: _InFlight) -> None:
        try:
            await self._publish(request)
        except Exception:  # noqa: BLE001 - whatever a transport does, the sweeper lives on
            _log.exception("a transport failed to publish")

    def _late(self, request: _InFlight) -> Exception:
        refusal = request.last_refusal
        if not request.deadline_us:
            if refusal is not None:
                return refused(refusal.reason, refusal.detail, refusal.id)
            return RequestTimeout(f"no answer to the query on {request.subject}; is the exchange running?")
        if request.unanswered:
            return Unanswered()
        if refusal is not None:
            return refused(refusal.reason, refusal.detail, refusal.id)
        return NotSent("no exchange took the command before its time-out; it was not executed")

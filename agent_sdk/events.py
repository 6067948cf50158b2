"""Deliver the private events of an agent, each exactly once and in order.

`EventCursor` does that without I/O; `EventFeed` feeds it from the live subject and, whenever
something may be missing, from ``venue.events``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from agent_sdk.errors import ConnectionFailed, ExchangeError, PermissionDenied, Rejected
from agent_sdk.event_models import Gap, convert_event
from agent_sdk.models import AccountSnapshot
from agent_sdk.session import Listener
from exchange.messages.base import SUBJECT_PREFIX
from exchange.messages.venue import (
    AccountResult,
    EventsMessage,
    EventsResult,
    GetAccount,
    GetEvents,
    Heartbeat,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from agent_sdk.event_models import AnyEvent
    from agent_sdk.markets import Catalog
    from agent_sdk.session import Connection
    from exchange.messages.orders import OrderView

__all__ = ["EventCursor", "EventFeed", "Events"]

_BUFFERED_EVENTS_MAX: Final = 4_096
_IDLE_POLL_S: Final = 10.0
_IDLE_POLL_MAX_S: Final = 60.0
"""Thousands may be idle: whoever asks in vain asks less often. A gap that shows itself is asked for at once."""
_PAGE: Final = 1_000
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0

_decode_message: Final = msgspec.json.Decoder(EventsMessage).decode
_decode_events: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


class EventCursor:
    """Turn messages that may repeat, come late, or be missing into one dense sequence.

    At most ``limit`` events wait for the reader; beyond that only the position is kept, and the
    rest is fetched again once there is room.
    """

    def __init__(self, position: int, limit: int = _BUFFERED_EVENTS_MAX) -> None:
        self.position = position
        """The ``seq`` of the latest event that was taken."""
        self.is_behind = True
        """Whether events may be missing that have to be fetched."""
        self._ready: deque[msgspec.Raw] = deque()
        self._limit = limit

    @property
    def end(self) -> int:
        """The ``seq`` of the latest event that is here."""
        return self.position + len(self._ready)

    def offer(self, first: int, events: Sequence[msgspec.Raw]) -> None:
        """Take in events numbered from ``first`` on."""
        end = self.position + len(self._ready)
        if first > end + 1:
            self.is_behind = True
            return
        fresh = events[end + 1 - first :]
        room = self._limit - len(self._ready)
        if len(fresh) > room:
            self.is_behind = True
            fresh = fresh[: max(room, 0)]
        self._ready.extend(fresh)

    def first(self) -> tuple[int, msgspec.Raw] | None:
        """Return the next event with its ``seq``, if it is here, and leave it there."""
        return (self.position + 1, self._ready[0]) if self._ready else None

    def take(self) -> tuple[int, msgspec.Raw] | None:
        """Return the next event with its ``seq``, if it is here."""
        if not self._ready:
            return None
        self.position += 1
        return self.position, self._ready.popleft()

    def jump(self, position: int) -> None:
        """Go on after ``position``: what is before it is told by other means."""
        self._ready.clear()
        self.position = position


class EventFeed(Listener):
    """Iterate over the events of one agent from one position on."""

    def __init__(self, connection: Connection, catalog: Catalog, since: int) -> None:
        self._connection = connection
        self._catalog = catalog
        self._cursor = EventCursor(since)
        self._wake = asyncio.Event()
        self._epoch = connection.epoch
        self._poll_at = 0.0
        self._poll_s = _IDLE_POLL_S
        self._must_greet = False
        self._is_new_incarnation = False
        self._error: PermissionDenied | None = None

    # ── what comes in ───────────────────────────────────────────────────────────────────────────

    def on_message(self, message: EventsMessage) -> None:
        """Take in one live message."""
        if message.epoch != self._epoch:
            # Perhaps another incarnation, whose numbers mean something else: ask first.
            self._must_greet = self._cursor.is_behind = True
        elif not self._must_greet and not self._is_new_incarnation:
            self._cursor.offer(message.first, _decode_events(message.events))
        self._wake.set()

    def on_resync(self) -> None:
        """Fetch what may have been missed."""
        self._must_greet = self._cursor.is_behind = True
        self._wake.set()

    def on_incarnation(self) -> None:
        """Start over from an account snapshot."""
        self._is_new_incarnation = self._cursor.is_behind = True
        self._wake.set()

    def on_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Follow the epoch."""
        if heartbeat.epoch != self._epoch:
            self.on_resync()

    def on_denied(self, error: PermissionDenied) -> None:
        """End when the agent may not hear its own events."""
        if error.subject.lower() == f"{SUBJECT_PREFIX}.evt.{self._connection.agent}".lower():
            self._error = error
            self._wake.set()

    def on_closed(self) -> None:
        """End with the connection."""
        self._wake.set()

    # ── what goes out ───────────────────────────────────────────────────────────────────────────

    async def __aiter__(self) -> AsyncIterator[AnyEvent]:
        """Yield events until the connection is closed."""
        self._connection.listeners.append(self)
        pause_s = _FIRST_PAUSE_S
        try:
            while not self._connection.is_closed or self._cursor.first() is not None:
                try:
                    item = await self._next()
                except ConnectionFailed:
                    if self._connection.is_closed:
                        return
                    raise
                except (PermissionDenied, Rejected):
                    raise
                except ExchangeError:
                    # The venue is away; everything waits there, or here.
                    await asyncio.sleep(pause_s * self._connection.chance.spread(0.5, 1.5))
                    pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                    continue
                pause_s = _FIRST_PAUSE_S
                if item is not None:
                    yield item
        finally:
            self._connection.listeners.remove(self)

    async def _next(self) -> AnyEvent | None:
        """Return the next event, or the marker in its place; None when there may be one by now."""
        if (found := self._cursor.first()) is not None:
            # To be read it may need terms that the venue has to be asked for: it is taken when it was read.
            event = await convert_event(found[0], found[1], self._catalog)
            self._cursor.take()
            return event
        if self._error is not None:
            raise self._error
        if not self._cursor.is_behind:
            await self._sleep()
            return None
        return await self._catch_up()

    async def _sleep(self) -> None:
        """Wait for a message, or for the time to ask whether one was missed."""
        self._wake.clear()
        try:
            async with asyncio.timeout_at(self._poll_at):
                await self._wake.wait()
        except TimeoutError:
            self._cursor.is_behind = True

    async def _catch_up(self) -> Gap | None:
        """Fetch one page of what is missing; return a marker if some of it is no longer held."""
        if self._must_greet:
            self._must_greet = False
            try:
                self._epoch = (await self._connection.greet()).epoch
            except BaseException:
                self._must_greet = True
                raise
        if self._is_new_incarnation:
            return await self._start_over()
        cursor = self._cursor
        cursor.is_behind = False
        # Counted from the last fetch: messages that bring nothing must not put the next one off.
        poll_s = self._poll_s * self._connection.chance.spread(0.8, 1.2)
        self._poll_at = asyncio.get_running_loop().time() + poll_s
        asked = cursor.end  # live messages may add to it while the answer is under way
        try:
            result = await self._connection.query(GetEvents(since=asked, limit=_PAGE), EventsResult)
        except BaseException:
            cursor.is_behind = True
            raise
        if self._is_new_incarnation:
            return None
        if result.last < asked or result.epoch != self._epoch:
            self._must_greet = cursor.is_behind = True
            if result.last < asked and self._connection.epoch == result.epoch:
                # Fewer events than were heard, in the same epoch: another history.
                self._is_new_incarnation = True
            return None
        if result.lost and result.first > cursor.end + 1:
            return await self._start_over()
        self._poll_s = min(2 * self._poll_s, _IDLE_POLL_MAX_S) if result.last == asked else _IDLE_POLL_S
        cursor.offer(result.first, _decode_events(result.events))
        # A greeting may have told of a new epoch: what came live since then was ignored.
        if cursor.end < result.last or self._must_greet:
            cursor.is_behind = True
        return None

    async def _start_over(self) -> Gap:
        self._is_new_incarnation = False
        try:
            account = await fetch_account(self._connection, self._catalog)
        except BaseException:
            self._is_new_incarnation = True
            raise
        missed_from = self._cursor.end + 1
        self._cursor.jump(account.event_seq)
        self._cursor.is_behind = True
        self._epoch = self._connection.epoch
        return Gap(missed_from, account.event_seq, account.venue_time_us, account)


class Events:
    """Hear the events of one agent on one subscription and hand them to the feeds that are open."""

    def __init__(self, connection: Connection, catalog: Catalog) -> None:
        self._connection = connection
        self._catalog = catalog
        self._opened_at = 0
        self._opened_in = 0

    async def open(self) -> None:
        """Subscribe, and remember where the venue stands."""
        if self._connection.hello is not None:
            self._opened_at = self._connection.hello.event_seq
            self._opened_in = self._connection.incarnation
        subject = f"{SUBJECT_PREFIX}.evt.{self._connection.agent}"
        await self._connection.transport.subscribe(subject, self._on_message)

    def feed(self, since: int | None) -> EventFeed:
        """Return an iterator over the events after ``since``, by default after the opening."""
        feed = EventFeed(self._connection, self._catalog, self._opened_at if since is None else since)
        if since is None and self._connection.incarnation != self._opened_in:
            feed.on_incarnation()  # the opening belongs to another history
        return feed

    def _on_message(self, _subject: str, payload: bytes) -> None:
        feeds = [listener for listener in self._connection.listeners if isinstance(listener, EventFeed)]
        if not feeds:
            return  # whoever starts to listen fetches what was missed
        try:
            message = _decode_message(payload)
            self._connection.clock.observe(message.venue_time_us)
            for feed in feeds:
                feed.on_message(message)
        except (msgspec.DecodeError, UnicodeDecodeError):
            for feed in feeds:
                feed.on_resync()


async def fetch_account(connection: Connection, catalog: Catalog) -> AccountSnapshot:
    """Ask for the whole account, all pages of one journal index."""
    while True:
        first = page = await connection.query(GetAccount(), AccountResult)
        views: list[OrderView] = list(page.orders)
        while page.next is not None:
            page = await connection.query(GetAccount(after=page.next), AccountResult)
            if page.event_seq != first.event_seq:
                break  # the account has moved on: read it again
            views += page.orders
        if page.event_seq == first.event_seq:
            return AccountSnapshot(
                event_seq=first.event_seq,
                venue_time_us=first.venue_time_us,
                balances=tuple([await catalog.balance(view) for view in first.balances]),
                orders=tuple([await catalog.order(view) for view in views]),
            )

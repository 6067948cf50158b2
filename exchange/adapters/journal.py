"""Keep the journal in a JetStream stream: one message per batch."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Final

from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, NotFoundError

from exchange.adapters.bus import Ingress, encode_message, write
from exchange.adapters.crash_points import crash_point
from exchange.adapters.fenced_log import FencedLog, JournalGap, NoAnswer, NoConnection, Replaced

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js.client import JetStreamContext

__all__ = [
    "JOURNAL_STREAM",
    "JOURNAL_SUBJECT",
    "Journal",
    "JournalGap",
    "JournalMissing",
    "Replaced",
    "create_stream",
    "delete_stream",
    "stream_config",
]

JOURNAL_STREAM: Final = "JOURNAL"
JOURNAL_SUBJECT: Final = "exchange.v1.journal"

_after_write: Final = crash_point("after_write")
_before_ack: Final = crash_point("before_ack")

_RECORD_BYTES_MAX: Final = 8 * 1024 * 1024
_ACK_TIMEOUT_S: Final = 5.0
_READBACK_TIMEOUT_S: Final = 2.0
_FETCH_TIMEOUT_S: Final = 5.0
_CONSUMER_IDLE_S: Final = 30.0
_MISSES_MAX: Final = 2
"""A server may be slow once: what is really missing is so twice."""
_FETCH_RECORDS: Final = 64


class JournalMissing(Exception):
    """Raised when the server has no journal: the venue was not initialised there."""


async def create_stream(client: Client, *, replicas: int = 1, first: int = 1) -> None:
    """Create the journal's stream, whose first record will be ``first``.

    Raises:
        nats.js.errors.APIError: it exists with other settings, or the server refuses.
    """
    await client.jetstream().add_stream(stream_config(replicas, first=first))


def stream_config(replicas: int, *, first: int = 1) -> StreamConfig:
    """Return how the journal's stream is made: it refuses instead of discarding, and forgets nothing by itself."""
    return StreamConfig(
        name=JOURNAL_STREAM,
        description="one message per batch; written by the leading exchange daemon only",
        subjects=[JOURNAL_SUBJECT],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        storage=StorageType.FILE,
        num_replicas=replicas,
        max_msg_size=_RECORD_BYTES_MAX,
        deny_delete=True,
        deny_purge=False,
        allow_rollup_hdrs=False,
        allow_direct=False,
        # Left out where it is the usual one: the server compares the settings with those of a stream that exists.
        first_seq=first if first > 1 else None,
    )


async def delete_stream(client: Client) -> int | None:
    """Delete the journal; return how many servers kept it, None where there was none."""
    context = client.jetstream()
    try:
        replicas = (await context.stream_info(JOURNAL_STREAM)).config.num_replicas
        await context.delete_stream(JOURNAL_STREAM)
    except NotFoundError:
        return None
    return replicas


class Journal(FencedLog):
    """Store and fetch records over a client.

    Acknowledgements come to an inbox of its own, because nats-py's ``publish_async`` never resolves on
    an error acknowledgement.
    """

    def __init__(
        self, client: Client, on_stall: Callable[[bool], None] = lambda _stalled: None, *, fresh_s: float = 1.5
    ) -> None:
        super().__init__(on_stall, fresh_s=fresh_s)
        self._client = client
        self._context = client.jetstream()
        self._readback = client.jetstream(timeout=_READBACK_TIMEOUT_S)
        self._inbox = client.new_inbox()
        self._attempt = 0
        self._waiting: asyncio.Future[bytes] | None = None
        self._losses = 0
        self._consumer: JetStreamContext.PullSubscription | None = None
        self._consumer_next = 0

    async def open(self) -> None:
        """Subscribe for acknowledgements.

        Raises:
            JournalMissing: there is no stream.
        """
        subscription = await self._client.subscribe(f"{self._inbox}.*", cb=self._on_ack_message)
        if isinstance(self._client, Ingress):
            # Every batch waits for this: save the queue and the task between socket and callback.
            self._client.receive(subscription, self._on_ack)
        try:
            await self._context.stream_info(JOURNAL_STREAM)
        except NotFoundError as error:
            message = "the server keeps no journal; create the venue with `exchange init`"
            raise JournalMissing(message) from error

    async def last_index(self) -> int:
        """Return the index of the last stored record; 0 for an empty journal."""
        losses = self._losses
        try:
            info = await self._context.stream_info(JOURNAL_STREAM)
        except (TimeoutError, NatsError, OSError) as error:
            raise self._no_answer(error, losses) from error
        return info.state.last_seq

    async def first_index(self) -> int:
        """Return the index of the first record that is still kept, one more than the last where none is."""
        losses = self._losses
        try:
            state = (await self._context.stream_info(JOURNAL_STREAM)).state
        except (TimeoutError, NatsError, OSError) as error:
            raise self._no_answer(error, losses) from error
        return state.first_seq if state.messages else state.last_seq + 1

    async def trim(self, first: int) -> None:
        """Let go of all records before ``first``."""
        losses = self._losses
        try:
            await self._context.purge_stream(JOURNAL_STREAM, seq=first)
        except (TimeoutError, NatsError, OSError) as error:
            raise self._no_answer(error, losses) from error

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    async def _publish(self, index: int, body: bytes) -> dict[str, Any]:
        losses = self._losses
        self._attempt += 1
        loop = asyncio.get_running_loop()
        waiting = self._waiting = loop.create_future()
        # A late acknowledgement of an earlier attempt must not pass for this one's.
        reply = f"{self._inbox}.{self._attempt}"
        fence = b"Nats-Expected-Last-Sequence: %d\r\n" % (index - 1)
        timer = loop.call_later(_ACK_TIMEOUT_S, self._give_up, "no acknowledgement came")
        try:
            if len(body) > self._client.max_payload:
                # The server would cut the connection for it, again and again.
                raise MaxPayloadError
            await write(self._client, [encode_message(JOURNAL_SUBJECT, body, reply, fence)])
            _after_write()
            answer: dict[str, Any] = json.loads(await waiting)
        except (TimeoutError, NatsError, OSError) as error:
            raise self._no_answer(error, losses) from error
        finally:
            timer.cancel()
        return answer

    def lost_connection(self) -> None:
        """Stop waiting for an acknowledgement that cannot come any more."""
        self._losses += 1
        self._give_up("the connection was lost")

    def _give_up(self, why: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(TimeoutError(why))

    async def _on_ack_message(self, msg: Msg) -> None:
        self._on_ack(msg.subject, msg.reply, msg.data)

    def _on_ack(self, subject: str, _reply: str, data: bytes) -> None:
        if self._waiting is None or self._waiting.done() or not subject.endswith(f".{self._attempt}"):
            return
        _before_ack()
        # The server says by an empty message that nobody serves the stream at the moment.
        self._waiting.set_result(data or b'{"error":{"description":"no stream leader"}}')

    async def _find(self, index: int) -> bytes | None:
        losses = self._losses
        try:
            return (await self._readback.get_msg(JOURNAL_STREAM, seq=index)).data
        except NotFoundError:
            return None
        except (TimeoutError, NatsError, APIError, OSError) as error:
            raise self._no_answer(error, losses) from error

    def _no_answer(self, error: Exception, losses: int) -> NoAnswer:
        """Say whether it was asked on a connection that lasts, by how many were lost before."""
        lasts = self._client.is_connected and losses == self._losses
        return NoAnswer(repr(error)) if lasts else NoConnection(repr(error))

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    async def _fetch(self, first: int, count: int) -> list[tuple[int, bytes]]:
        losses = self._losses
        if self._consumer is None or self._consumer_next != first:
            await self.end_fetching()
            try:
                self._consumer = await self._consume(first)
            except (TimeoutError, NatsError, OSError) as error:
                raise self._no_answer(error, losses) from error
        try:
            fetched = await self._consumer.fetch(count, timeout=_FETCH_TIMEOUT_S)
        except (TimeoutError, NatsError, OSError) as error:
            await self.end_fetching()
            problem = self._no_answer(error, losses)
            if isinstance(error, TimeoutError) and not isinstance(problem, NoConnection):
                return []
            raise problem from error
        records = [(msg.metadata.sequence.stream, msg.data) for msg in fetched]
        self._consumer_next = records[-1][0] + 1
        return records

    async def _consume(self, first: int) -> JetStreamContext.PullSubscription:
        return await self._context.pull_subscribe(
            JOURNAL_SUBJECT,
            stream=JOURNAL_STREAM,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=first,
                ack_policy=AckPolicy.NONE,
                mem_storage=True,
                inactive_threshold=_CONSUMER_IDLE_S,
            ),
        )

    async def read_what_is_there(self, first: int, last: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield the records from ``first`` to ``last`` that the server gives, whatever is missing between them."""
        expected, misses = first, 0
        while expected <= last and misses < _MISSES_MAX:
            fetched = await self._fetch(expected, min(_FETCH_RECORDS, last - expected + 1))
            misses = 0 if fetched else misses + 1
            for index, body in fetched:
                if index <= last:
                    yield index, body
                expected = index + 1
        await self.end_fetching()

    async def end_fetching(self) -> None:
        """Drop the consumer, if there is one."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            # Whoever stops early may do so because the connection is gone.
            with contextlib.suppress(NatsError):
                await consumer.unsubscribe()

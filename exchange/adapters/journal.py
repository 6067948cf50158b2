"""Keep the journal in a JetStream stream: one message per batch, fenced, never guessed about."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Final

import structlog
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

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from nats.aio.client import Client
    from nats.aio.msg import Msg

__all__ = ["JOURNAL_STREAM", "JOURNAL_SUBJECT", "Journal", "JournalMissing", "Replaced", "create_stream"]

JOURNAL_STREAM: Final = "JOURNAL"
JOURNAL_SUBJECT: Final = "exchange.v1.journal"

_RECORD_BYTES_MAX: Final = 8 * 1024 * 1024
_WRONG_LAST_SEQUENCE: Final = 10071
_ACK_TIMEOUT_S: Final = 5.0
_RETRY_S: Final = 0.25
_FETCH_RECORDS: Final = 64
_FETCH_TIMEOUT_S: Final = 5.0

log = structlog.get_logger(__name__)


class JournalMissing(Exception):
    """Raised when the server has no journal: the venue was not initialised there."""


class Replaced(Exception):
    """Raised when another leader wrote the record that this one wanted to: release nothing, exit."""


async def create_stream(client: Client, *, replicas: int = 1) -> None:
    """Create the journal's stream.

    Raises:
        nats.js.errors.APIError: it exists with other settings, or the server refuses.
    """
    await client.jetstream().add_stream(
        StreamConfig(
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
        )
    )


class Journal:
    """Append records and read them back.

    One record is in flight at a time. Acknowledgements come to an inbox of its own, because
    nats-py's ``publish_async`` never resolves on an error acknowledgement.
    ``on_stall`` is called with True when the journal takes nothing, with False when it does again.
    """

    def __init__(self, client: Client, on_stall: Callable[[bool], None] = lambda _stalled: None) -> None:
        self._client = client
        self._context = client.jetstream()
        self._on_stall = on_stall
        self._inbox = client.new_inbox()
        self._attempt = 0
        self._waiting: asyncio.Future[bytes] | None = None
        self._is_stalled = False

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
        info = await self._context.stream_info(JOURNAL_STREAM)
        return info.state.last_seq

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    async def append(self, index: int, body: bytes) -> None:
        """Store record ``index`` and return once it is durable.

        An outcome that is not known is found out by reading back; a refusal that says nothing was
        stored is answered by writing the same bytes again, for as long as it takes.

        Raises:
            Replaced: another record stands at ``index``.
        """
        while True:
            try:
                ack = await self._publish(index, body)
            except (TimeoutError, NatsError, OSError) as error:
                log.warning("journal write of unknown outcome", index=index, error=repr(error))
                self._stall(stalled=True)
                if await self._is_stored(index, body):
                    break
                await asyncio.sleep(_RETRY_S)
                continue
            problem = ack.get("error")
            if problem is None:
                if ack.get("seq") != index:
                    message = f"record {index} was stored at sequence {ack.get('seq')}"
                    raise Replaced(message)
                break
            if problem.get("err_code") == _WRONG_LAST_SEQUENCE:
                if await self._is_stored(index, body):
                    break
                # Neither mine nor somebody else's: the stream ends before ``index``.
                message = f"the journal does not continue at record {index}: {problem.get('description')}"
                raise Replaced(message)
            log.error("journal refuses to write", index=index, error=problem.get("description"))
            self._stall(stalled=True)
            await asyncio.sleep(_RETRY_S)
        self._stall(stalled=False)

    async def _publish(self, index: int, body: bytes) -> dict[str, Any]:
        if len(body) > self._client.max_payload:
            # The server would cut the connection for it, again and again.
            raise MaxPayloadError
        self._attempt += 1
        loop = asyncio.get_running_loop()
        waiting = self._waiting = loop.create_future()
        # A late acknowledgement of an earlier attempt must not pass for this one's.
        reply = f"{self._inbox}.{self._attempt}"
        fence = b"Nats-Expected-Last-Sequence: %d\r\n" % (index - 1)
        await write(self._client, [encode_message(JOURNAL_SUBJECT, body, reply, fence)])
        timer = loop.call_later(_ACK_TIMEOUT_S, self._give_up, "no acknowledgement came")
        try:
            answer: dict[str, Any] = json.loads(await waiting)
        finally:
            timer.cancel()
        return answer

    def lost_connection(self) -> None:
        """Stop waiting for an acknowledgement that cannot come any more."""
        self._give_up("the connection was lost")

    def _give_up(self, why: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(TimeoutError(why))

    async def _on_ack_message(self, msg: Msg) -> None:
        self._on_ack(msg.subject, msg.reply, msg.data)

    def _on_ack(self, subject: str, _reply: str, data: bytes) -> None:
        if self._waiting is None or self._waiting.done() or not subject.endswith(f".{self._attempt}"):
            return
        # The server says by an empty message that nobody serves the stream at the moment.
        self._waiting.set_result(data or b'{"error":{"description":"no stream leader"}}')

    async def _is_stored(self, index: int, body: bytes) -> bool:
        """Find out whether a record is stored, asking until there is an answer.

        Raises:
            Replaced: another record stands in its place.
        """
        while True:
            try:
                found = await self._context.get_msg(JOURNAL_STREAM, seq=index)
            except NotFoundError:
                return False
            except (TimeoutError, NatsError, APIError) as error:
                log.warning("journal does not answer", index=index, error=repr(error))
                await asyncio.sleep(_RETRY_S)
                continue
            if found.data == body:
                return True
            message = f"another leader wrote record {index}"
            raise Replaced(message)

    def _stall(self, *, stalled: bool) -> None:
        if stalled != self._is_stalled:
            self._is_stalled = stalled
            self._on_stall(stalled)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    async def read(self, first: int, last: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield the index and body of every record from ``first`` to ``last``, without a gap.

        Raises:
            JournalGap: a record is missing.
        """
        if first > last:
            return
        subscription = await self._context.pull_subscribe(
            JOURNAL_SUBJECT,
            stream=JOURNAL_STREAM,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=first,
                ack_policy=AckPolicy.NONE,
                mem_storage=True,
                inactive_threshold=30.0,
            ),
        )
        expected = first
        try:
            while expected <= last:
                wanted = min(_FETCH_RECORDS, last - expected + 1)
                try:
                    fetched = await subscription.fetch(wanted, timeout=_FETCH_TIMEOUT_S)
                except TimeoutError as error:
                    message = f"record {expected} is missing: it does not come, though the journal counts {last}"
                    raise JournalGap(message) from error
                for msg in fetched:
                    index = msg.metadata.sequence.stream
                    if index != expected:
                        message = f"record {expected} is missing; the journal goes on with {index}"
                        raise JournalGap(message)
                    yield index, msg.data
                    expected += 1
        finally:
            # A reader that stops early may do so because the connection is gone.
            with contextlib.suppress(NatsError):
                await subscription.unsubscribe()


class JournalGap(Exception):
    """Raised when a record is missing in the middle of the journal."""

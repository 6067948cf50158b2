"""The protocol by which records are stored: one in flight, fenced, never guessed about. No I/O of its own.

Whatever keeps the records (a JetStream stream, the memory of a simulation) is a subclass that sends a
record off, finds one and fetches some; what follows from the answers is decided here.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

__all__ = ["FencedLog", "JournalGap", "NoAnswer", "NoConnection", "Replaced"]

_WRONG_LAST_SEQUENCE: Final = 10071
_RETRY_S: Final = 0.25
_SETTLE_S: Final = 1.0
_FETCH_RECORDS: Final = 64
_SILENT_S: Final = 2.0
_SILENCE_COUNTED_S: Final = 1.0

_DAMAGED: Final = (
    "Its store is damaged: put it back from a copy; of a cluster, empty the store of the damaged server, which then "
    "copies the others'; or, if the loss is accepted, let `exchange restore` make a venue of what is left"
)

log = structlog.get_logger(__name__)


class JournalGap(Exception):
    """Raised when a record is missing in the middle of the journal."""


class NoAnswer(Exception):
    """Raised when nobody answers in time, so that what was asked for may have been done or not."""


class NoConnection(NoAnswer):
    """Raised when there is no connection to ask on, which says nothing about the journal."""


class Replaced(Exception):
    """Raised when another leader wrote the record that this one wanted to: release nothing, exit."""


class FencedLog(ABC):
    """Append records and read them back.

    ``on_stall`` is called with True when nothing can be stored, with False when it can again. Whoever
    stood still for a while must not speak of the journal as it was before: a refusal counts only if it was
    asked for less than ``fresh_s`` ago, and silence only after two seconds of asking on a connection.
    """

    def __init__(self, on_stall: Callable[[bool], None] = lambda _stalled: None, *, fresh_s: float = 1.5) -> None:
        self._on_stall = on_stall
        self._fresh_s = fresh_s
        self._silent_s = 0.0
        self._asked_s = 0.0
        self._is_stalled = False
        self.ignored_writes = 0
        """How often in a row the present record was neither stored nor refused by a journal that answers."""
        self.trouble = ""
        """Why the last attempt to write was in vain; empty once a write succeeds."""

    @abstractmethod
    async def last_index(self) -> int:
        """Return the index of the last stored record; 0 for an empty journal.

        Raises:
            NoAnswer: the journal does not answer.
        """

    @abstractmethod
    async def first_index(self) -> int:
        """Return the index of the first record that is still kept, one more than the last where none is.

        Raises:
            NoAnswer: the journal does not answer.
        """

    @abstractmethod
    async def trim(self, first: int) -> None:
        """Let go of all records before ``first``.

        Raises:
            NoAnswer: they may be gone or not; asking again does no harm.
        """

    @abstractmethod
    async def _publish(self, index: int, body: bytes) -> dict[str, Any]:
        """Send a record to be stored as ``index`` if that is the next; return the acknowledgement.

        It has ``seq``, or ``error`` with ``err_code`` and ``description``.

        Raises:
            NoAnswer: whether it is stored is not known.
        """

    @abstractmethod
    async def _find(self, index: int) -> bytes | None:
        """Return a stored record, None when there is none.

        Raises:
            NoAnswer: nobody says whether there is.
        """

    @abstractmethod
    async def _fetch(self, first: int, count: int) -> list[tuple[int, bytes]]:
        """Return up to ``count`` records from ``first`` on, with the index of each; none when they do not come.

        Raises:
            NoAnswer: the journal cannot be asked for them.
        """

    async def end_fetching(self) -> None:  # noqa: B027 - not everybody keeps something
        """Let go of what was kept to fetch more."""

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    async def append(self, index: int, body: bytes) -> None:
        """Store record ``index`` and return once it is durable.

        An outcome that is not known is found out by reading back; a refusal that says nothing was
        stored is answered by writing the same bytes again, for as long as it takes.

        Raises:
            Replaced: another record stands at ``index``.
        """
        loop = asyncio.get_running_loop()
        self._silent_s = 0.0
        while True:
            began_s = loop.time()
            try:
                ack = await self._publish(index, body)
            except NoAnswer as error:
                log.warning("journal write of unknown outcome", index=index, error=str(error))
                self.trouble = f"the journal does not answer: {error}"
                self._note_silence(began_s, error)
                if await self._is_stored(index, body) or await self._is_stored_late(index, body, error):
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
            self.trouble = f"the journal refuses to write: {problem.get('description')}"
            if loop.time() - began_s < self._fresh_s:
                self._stall(stalled=True)
            await asyncio.sleep(_RETRY_S)
        self.ignored_writes = 0
        self.trouble = ""
        self._stall(stalled=False)

    async def _is_stored(self, index: int, body: bytes) -> bool:
        """Find out whether a record is stored, asking until there is an answer.

        Raises:
            Replaced: another record stands in its place.
        """
        loop = asyncio.get_running_loop()
        while True:
            began_s = self._asked_s = loop.time()
            try:
                found = await self._find(index)
            except NoAnswer as error:
                log.warning("journal does not answer", index=index, error=str(error))
                self._note_silence(began_s, error)
                await asyncio.sleep(_RETRY_S)
                continue
            if found is None:
                return False
            if found == body:
                return True
            message = f"another leader wrote record {index}"
            raise Replaced(message)

    async def _is_stored_late(self, index: int, body: bytes, error: NoAnswer) -> bool:
        """Ask once more for what was sent on a connection that lasts, and note it when the journal ignores it.

        A server that stood still may answer a question before it stores what it was given before. One that failed
        to write to its disk answers, and neither stores nor refuses anything until it is started again.
        """
        if isinstance(error, NoConnection):
            return False
        await asyncio.sleep(_SETTLE_S)
        if await self._is_stored(index, body):
            return True
        self.ignored_writes += 1
        if asyncio.get_running_loop().time() - self._asked_s < self._fresh_s:
            self._stall(stalled=True)
        return False

    def _note_silence(self, began_s: float, error: NoAnswer) -> None:
        """Count for how long there was no answer; a single question counts for a second, however long it took."""
        if isinstance(error, NoConnection):
            return
        self._silent_s += min(asyncio.get_running_loop().time() - began_s + _RETRY_S, _SILENCE_COUNTED_S)
        if self._silent_s >= _SILENT_S:
            self._stall(stalled=True)

    def _stall(self, *, stalled: bool) -> None:
        if stalled != self._is_stalled:
            self._is_stalled = stalled
            self._on_stall(stalled)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    async def read(self, first: int, last: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield the index and body of every record from ``first`` to ``last``, without a gap.

        Raises:
            JournalGap: a record is missing.
            NoAnswer: the journal does not answer.
        """
        try:
            async for record in self.read_on(first, last):
                yield record
        finally:
            await self.end_fetching()

    async def read_on(self, first: int, last: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Do as ``read`` does, but keep what it took: the next call goes on after ``last``."""
        expected = first
        while expected <= last:
            fetched = await self._fetch(expected, min(_FETCH_RECORDS, last - expected + 1))
            if not fetched:
                message = (
                    f"record {expected} is missing: it does not come, though the journal counts {last}. {_DAMAGED}"
                )
                raise JournalGap(message)
            for index, body in fetched:
                if index != expected:
                    message = f"record {expected} is missing; the journal goes on with {index}. {_DAMAGED}"
                    raise JournalGap(message)
                yield index, body
                expected += 1

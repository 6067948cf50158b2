"""Keep the journal in memory, as a replicated JetStream stream would: fenced, durable, and hard to reach."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from exchange.adapters.fenced_log import FencedLog, NoAnswer, NoConnection
from exchange.adapters.records import GENESIS_HASH, chain_hash, decode_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from exchange.adapters.records import JournalRecord
    from tests.simulation.loop import Program
    from tests.simulation.network import Network

__all__ = ["SimulatedLog", "Stream", "View"]

_WRONG_LAST_SEQUENCE: Final = 10071
_ACK_TIMEOUT_S: Final = 1.2
_READ_TIMEOUT_S: Final = 0.6
_LOST_S: Final = 0.2
_NO_LEADER: Final = {"error": {"code": 503, "description": "no stream leader"}}


class Stream:
    """Hold the records: what the server has. All requests are served one after the other."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.records: list[JournalRecord] = []
        self.hashes: list[bytes] = [GENESIS_HASH]
        """The chain hash after each record, from before the first on."""
        self.sent: dict[tuple[str, str], int] = {}
        """In which record each (agent, command id) first stands."""
        self.first = 1
        """The first record that is kept; those before were trimmed, and only the simulation still knows them."""
        self.is_silent_until_s = 0.0
        self.refuses_until_s = 0.0
        self.on_store: Callable[[JournalRecord, Program | None], None] = lambda _record, _writer: None

    @property
    def last(self) -> int:
        """Return the sequence of the last record."""
        return len(self.bodies)

    def store(self, expected_last: int, body: bytes, writer: Program | None = None) -> dict[str, Any]:
        """Append a record if it is the next; return the acknowledgement."""
        if expected_last != self.last:
            return {
                "error": {"err_code": _WRONG_LAST_SEQUENCE, "description": f"wrong last sequence: {self.last}"},
            }
        record = decode_record(body)
        self.bodies.append(body)
        self.records.append(record)
        self.hashes.append(chain_hash(self.hashes[-1], body))
        for agent, raw in record.commands:
            self.sent.setdefault((agent, _id_of(bytes(raw))), self.last)
        self.on_store(record, writer)
        return {"stream": "JOURNAL", "seq": self.last}

    def find(self, index: int) -> bytes | None:
        """Return a record that is kept."""
        return self.bodies[index - 1] if self.first <= index <= self.last else None


def _id_of(body: bytes) -> str:
    return msgspec.msgpack.decode(body)["id"]


@dataclass
class View:
    """Say what is wrong with what one daemon is served: one record is damaged, or the end is missing."""

    flipped: int = 0
    flip_at: float = 0.0
    short: int = 0
    """How many records at the end are missing."""

    @property
    def is_wrong(self) -> bool:
        """Return whether it differs from what was stored."""
        return bool(self.flipped or self.short)


class SimulatedLog(FencedLog):
    """Reach the stream over a network that loses requests and answers."""

    def __init__(
        self, stream: Stream, network: Network, program: Program, view: View, on_stall: Callable[[bool], None],
        *, fresh_s: float,
    ) -> None:  # fmt: skip
        super().__init__(on_stall, fresh_s=fresh_s)
        self._stream = stream
        self._network = network
        self._program = program
        self._view = view

    def _last(self) -> int:
        return max(self._stream.last - self._view.short, 1)

    async def last_index(self) -> int:
        """Return the index of the last stored record."""
        return await self._ask("look", self._last, _READ_TIMEOUT_S)

    async def first_index(self) -> int:
        """Return the index of the first record that is kept."""
        return await self._ask("look", lambda: self._stream.first, _READ_TIMEOUT_S)

    async def trim(self, first: int) -> None:
        """Let go of all records before ``first``."""

        def serve() -> None:
            self._stream.first = max(self._stream.first, first)

        self._program.at("trimming")
        await self._ask("trim", serve, _READ_TIMEOUT_S)

    async def _publish(self, index: int, body: bytes) -> dict[str, Any]:
        self._program.at("after apply")

        def serve() -> dict[str, Any]:
            ack = self._stream.store(index - 1, body, self._program)
            if "error" not in ack and self._program.is_alive:
                self._network.pass_point(self._program, "stored")
            return ack

        return await self._ask("write", serve, _ACK_TIMEOUT_S)

    async def _find(self, index: int) -> bytes | None:
        return await self._ask("read", lambda: self._stream.find(index), _READ_TIMEOUT_S)

    async def _fetch(self, first: int, count: int) -> list[tuple[int, bytes]]:
        def serve() -> list[tuple[int, bytes]]:
            last = min(first + count - 1, self._last())
            return [(index, self._serve_body(index)) for index in range(max(first, self._stream.first), last + 1)]

        try:
            fetched = await self._ask("fetch", serve, _READ_TIMEOUT_S)
        except NoConnection:
            raise
        except NoAnswer:
            return []
        return self._network.break_fetch(fetched)

    def _serve_body(self, index: int) -> bytes:
        body = self._stream.bodies[index - 1]
        if index != self._view.flipped:
            return body
        bit = int(self._view.flip_at * len(body) * 8)
        damaged = bytearray(body)
        damaged[bit // 8] ^= 1 << bit % 8
        return bytes(damaged)

    async def _ask(self, what: str, serve: Callable[[], Any], timeout_s: float) -> Any:
        """Send a request to the server, and wait for its answer, which may not come."""
        loop = asyncio.get_running_loop()
        if self._network.is_cut_off_journal(self._program):
            await asyncio.sleep(_LOST_S)
            raise NoConnection("the connection was lost")
        fate = self._network.journal_fate(self._program, what)
        waiting: asyncio.Future[Any] = loop.create_future()

        def arrive() -> None:
            if loop.time() < self._stream.is_silent_until_s:
                return
            is_refused = fate.is_refused or loop.time() < self._stream.refuses_until_s
            answer = _NO_LEADER if what == "write" and is_refused else serve()
            if fate.answer_s is not None and not self._network.is_cut_off_journal(self._program):
                loop.call_later(fate.answer_s, _settle, waiting, answer, context=self._program.context)

        if fate.request_s is not None:
            loop.call_later(fate.request_s, arrive, context=self._network.context)
        timer = loop.call_later(timeout_s, _settle, waiting, NoAnswer(f"no answer to {what}"))
        try:
            return await waiting
        finally:
            timer.cancel()


def _settle(waiting: asyncio.Future[Any], answer: Any) -> None:
    if waiting.done():
        return
    if isinstance(answer, NoAnswer):
        waiting.set_exception(answer)
    else:
        waiting.set_result(answer)

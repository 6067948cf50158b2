"""Keep copies of snapshots in an object store of JetStream, for a daemon whose own files are lost or damaged.

The layout is that of NATS's object stores, so that `nats object` can list and fetch them. nats-py writes
them; it is not let read them, because what its ordered consumer drops is missing without a word, and what is
missing is waited for without end.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Final, cast

import msgspec
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, ObjectMeta, ObjectMetaOptions, StorageType
from nats.js.errors import NotFoundError
from nats.js.object_store import ObjectStore

from exchange.adapters.journal import JOURNAL_STREAM
from exchange.adapters.snapshots import SnapshotCorrupt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from _typeshed import WriteableBuffer
    from nats.aio.client import Client

__all__ = ["BUCKET", "CopiesMissing", "SnapshotCopies"]

BUCKET: Final = "SNAPSHOTS"
"""The name of the object store."""

_STREAM: Final = f"OBJ_{BUCKET}"
_CHUNKS: Final = f"$O.{BUCKET}.C."
_META: Final = f"$O.{BUCKET}.M."
_CHUNK_BYTES: Final = 256 * 1024
"""A record waits behind at most one chunk on its way to the disk; servers take at least a megabyte."""

_FETCH_CHUNKS: Final = 16
_DIGEST: Final = "SHA-256="
_TIMEOUT_S: Final = 10.0
_CONSUMER_IDLE_S: Final = 30.0


class CopiesMissing(Exception):
    """Raised when the server keeps no copies: the venue is older than they are, or new."""


class _Info(msgspec.Struct):
    """Read what an object store says of an object."""

    nuid: str
    size: int
    chunks: int
    digest: str


_decode_info = msgspec.json.Decoder(_Info).decode


class SnapshotCopies:
    """Store and fetch snapshots, named by their records.

    ``pause_s`` is a pause after each chunk, so that the server's attention is not all theirs.
    """

    def __init__(self, client: Client, *, pause_s: float = 0.0) -> None:
        self._pause_s = pause_s
        self._context = client.jetstream(timeout=_TIMEOUT_S)
        self._store = ObjectStore(BUCKET, _STREAM, self._context)

    async def open(self, *, create: bool = False) -> None:
        """Make sure that there is a store; one that is created is replicated like the journal.

        Raises:
            CopiesMissing: there is none.
            nats.errors.Error: the server refuses, or does not answer.
        """
        try:
            await self._context.stream_info(_STREAM)
        except NotFoundError as error:
            if not create:
                message = f"the server keeps no object store {BUCKET}"
                raise CopiesMissing(message) from error
            journal = await self._context.stream_info(JOURNAL_STREAM)
            await self._context.create_object_store(
                BUCKET,
                description="copies of the exchange's snapshots",
                storage=StorageType.FILE,
                replicas=journal.config.num_replicas or 1,
            )

    async def indexes(self) -> list[int]:
        """Return the records of which there are copies, the newest first; they may be corrupt."""
        names = [_name_of(subject) for subject in await self._subjects(f"{_META}>")]
        return sorted((int(name) for name in names if name.isdecimal()), reverse=True)

    async def put(self, index: int, path: Path) -> None:
        """Copy the file of a snapshot and prove that it came there whole.

        Raises:
            SnapshotCorrupt: what is stored is not what was sent.
            nats.errors.Error: the server refuses, or does not answer.
        """
        await self._sweep()
        options = ObjectMetaOptions(max_chunk_size=_CHUNK_BYTES)
        with _Paced(path, self._pause_s) as file:
            reader = cast("io.BufferedIOBase", file)  # of which nothing but ``readinto`` is used
            sent = await self._store.put(str(index), reader, ObjectMeta(name=str(index), options=options))
        if (await self._info(index)).digest != sent.digest:
            message = f"the copy of snapshot {index} was replaced while it was written"
            raise SnapshotCorrupt(message)
        await self.check(index)

    async def count(self, index: int) -> None:
        """Make sure that nothing of a copy is missing, without reading it.

        Raises:
            SnapshotCorrupt: something is.
        """
        await self._count(index)

    async def _count(self, index: int) -> _Info:
        info = await self._info(index)
        held = (await self._subjects(f"{_CHUNKS}{info.nuid}")).get("", 0)
        if held != info.chunks:
            message = f"the copy of snapshot {index} has {held} of its {info.chunks} chunks"
            raise SnapshotCorrupt(message)
        return info

    async def check(self, index: int) -> None:
        """Read a copy to its end.

        Raises:
            SnapshotCorrupt: it is damaged.
        """
        async for _ in self._read(index):
            pass

    async def read(self, index: int) -> bytes:
        """Return the bytes of the file that was copied.

        Raises:
            SnapshotCorrupt: it is damaged.
        """
        return b"".join([chunk async for chunk in self._read(index)])

    async def drop(self, index: int) -> None:
        """Remove a copy: first what names it, so that nobody finds half of one."""
        with contextlib.suppress(SnapshotCorrupt):
            info = await self._info(index)
            await self._context.purge_stream(_STREAM, subject=_subject_of(index))
            await self._context.purge_stream(_STREAM, subject=f"{_CHUNKS}{info.nuid}")

    async def _read(self, index: int) -> AsyncIterator[bytes]:
        """Yield the chunks of a copy; whoever takes the last one knows that all were right."""
        info = await self._count(index)
        digest = sha256()
        size = 0
        async for chunk in self._chunks(info.nuid, info.chunks):
            digest.update(chunk)
            size += len(chunk)
            yield chunk
        expected = info.digest.removeprefix(_DIGEST)
        if size != info.size or urlsafe_b64decode(expected) != digest.digest():
            message = f"the copy of snapshot {index} has {size} of {info.size} bytes, or not the digest of its file"
            raise SnapshotCorrupt(message)

    async def _chunks(self, nuid: str, count: int) -> AsyncIterator[bytes]:
        consumer = await self._context.pull_subscribe(
            f"{_CHUNKS}{nuid}",
            stream=_STREAM,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.ALL,
                ack_policy=AckPolicy.NONE,
                mem_storage=True,
                inactive_threshold=_CONSUMER_IDLE_S,
            ),
        )
        try:
            left = count
            while left:
                try:
                    fetched = await consumer.fetch(min(left, _FETCH_CHUNKS), timeout=_TIMEOUT_S)
                except TimeoutError:
                    # What is missing shows in the size.
                    return
                for msg in fetched:
                    yield msg.data
                    await asyncio.sleep(self._pause_s)
                left -= len(fetched)
        finally:
            with contextlib.suppress(NatsError):
                await consumer.unsubscribe()

    async def _info(self, index: int) -> _Info:
        """Return what the store says of a copy."""
        try:
            found = await self._context.get_last_msg(_STREAM, _subject_of(index))
            return _decode_info(found.data or b"")
        except NotFoundError as error:
            message = f"there is no copy of snapshot {index}"
            raise SnapshotCorrupt(message) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            message = f"what the store says of the copy of snapshot {index} cannot be read: {error}"
            raise SnapshotCorrupt(message) from error

    async def _subjects(self, pattern: str) -> dict[str, int]:
        """Return what the subjects in use have beyond ``pattern``, and how many messages each holds."""
        info = await self._context.stream_info(_STREAM, subjects_filter=pattern)
        prefix = pattern.removesuffix(">")
        return {subject.removeprefix(prefix): count for subject, count in (info.state.subjects or {}).items()}

    async def _sweep(self) -> None:
        """Remove what a writer that was killed left behind: chunks that nothing names.

        They are listed before the names, so that a copy that is finished meanwhile keeps its own.
        """
        chunks = await self._subjects(f"{_CHUNKS}>")
        named = set()
        for index in await self.indexes():
            with contextlib.suppress(SnapshotCorrupt):
                named.add((await self._info(index)).nuid)
        for nuid in chunks:
            if nuid not in named:
                await self._context.purge_stream(_STREAM, subject=f"{_CHUNKS}{nuid}")


class _Paced(io.FileIO):
    """Read a file with a pause before each chunk; it is read in a thread."""

    def __init__(self, path: Path, pause_s: float) -> None:
        super().__init__(path)
        self._pause_s = pause_s

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        """Read one chunk."""
        time.sleep(self._pause_s)
        return super().readinto(buffer)


def _subject_of(index: int) -> str:
    return _META + urlsafe_b64encode(str(index).encode()).decode()


def _name_of(encoded: str) -> str:
    try:
        return urlsafe_b64decode(encoded).decode()
    except ValueError:
        return ""

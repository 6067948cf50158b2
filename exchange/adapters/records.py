"""Write and read journal records, and chain them by hash. No I/O.

A record is one batch. Its body is MessagePack; ``hash = blake2b(previous_hash ‖ body)`` chains it to
the record before, and ``outputs_hash`` says what applying it must bring forth.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec

from exchange.engine import Batch, Outputs
from exchange.messages import command_union

__all__ = [
    "FORMAT",
    "GENESIS_HASH",
    "JournalCorrupt",
    "JournalRecord",
    "chain_hash",
    "decode_command",
    "decode_record",
    "encode_record",
]

FORMAT: Final = 1
"""The frozen schema by which the commands of a record are read back."""

GENESIS_HASH: Final = bytes(32)
"""What the first record is chained to."""

_encode = msgspec.msgpack.Encoder().encode
decode_command = msgspec.msgpack.Decoder(command_union()).decode
"""Reads a command by the schema of the record's format."""


class JournalCorrupt(Exception):
    """Raised when a journal is not what was written: a broken chain, a gap, other outputs."""


class JournalRecord(msgspec.Struct, array_like=True, frozen=True):
    """Hold one batch as it is stored. ``commands`` are pairs of the sender and the canonical bytes.

    ``writer`` is a token of the process that wrote it. Two that take over at the same instant have the same to say,
    and whoever reads a record back to see whether it is its own must not take the other's for it. Records of before
    there were writers have none.
    """

    format: int
    incarnation: int
    epoch: int
    index: int
    time_us: int
    previous_hash: bytes
    commands: list[tuple[str, msgspec.Raw]]
    outputs_hash: bytes
    writer: str = ""


_record = msgspec.msgpack.Decoder(JournalRecord)


def chain_hash(previous_hash: bytes, body: bytes) -> bytes:
    """Return the hash of a record, which its successor names."""
    return blake2b(previous_hash + body, digest_size=32).digest()


def encode_record(batch: Batch, outputs: Outputs, previous_hash: bytes, incarnation: int, writer: str = "") -> bytes:
    """Return the body of the record of a batch that has been applied."""
    return _encode(
        JournalRecord(
            FORMAT,
            incarnation,
            batch.epoch,
            batch.index,
            batch.time_us,
            previous_hash,
            [(agent, msgspec.Raw(body)) for agent, _, body in batch.submissions],
            outputs.digest(),
            writer,
        )
    )


def decode_record(body: bytes) -> JournalRecord:
    """Return the record in a body.

    Raises:
        JournalCorrupt: the bytes are no record, or one of a format that this version cannot read.
    """
    try:
        record = _record.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        message = f"not a journal record: {error}"
        raise JournalCorrupt(message) from error
    if record.format != FORMAT:
        message = f"record {record.index} has format {record.format}; this version reads {FORMAT}"
        raise JournalCorrupt(message)
    return record

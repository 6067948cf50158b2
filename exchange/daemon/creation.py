"""Create a venue: its journal, the genesis in it, and the store of the copies of its snapshots."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final

from exchange.adapters.crash_points import crash_point
from exchange.adapters.journal import Journal, JournalMissing, create_stream
from exchange.adapters.snapshot_copies import SnapshotCopies
from exchange.adapters.venue_files import OPERATOR
from exchange.daemon.host import Host
from exchange.engine.genesis import DEFAULT_SUPPLY, genesis_batch

if TYPE_CHECKING:
    from nats.aio.client import Client

    from exchange.messages.admin import Settings

__all__ = ["create_venue", "new_writer"]

_stream_created: Final = crash_point("stream_created")
_genesis_stored: Final = crash_point("genesis_stored")


def new_writer() -> str:
    """Return a token for the records of this process that no other one has."""
    return secrets.token_hex(8)


async def create_venue(
    client: Client,
    *,
    operator: str = OPERATOR,
    supply: int = DEFAULT_SUPPLY,
    settings: Settings | None = None,
    replicas: int = 1,
) -> None:
    """Create the journal with the genesis as its first record, unless it has one already, and the object store.

    Raises:
        Replaced: somebody else created the venue at the same moment.
    """
    journal = Journal(client)
    try:
        await journal.open()
    except JournalMissing:
        await create_stream(client, replicas=replicas)
        _stream_created()
    await SnapshotCopies(client).open(create=True)
    if await journal.last_index():
        return
    host = Host(send=lambda _subject, _payload: None, now_s=time.monotonic, writer=new_writer())
    batch = genesis_batch(operator, time.time_ns() // 1_000, supply, settings)
    step = host.apply(batch.submissions, [], batch.time_us, batch.epoch)
    await journal.append(step.batch.index, step.body)
    _genesis_stored()

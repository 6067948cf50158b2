"""Make the data directory of a venue with many resting orders: a journal, and a snapshot some commands ago.

It runs as a process of its own, because it needs several times the memory of the venue itself.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.flow import Flow
from exchange.adapters import bus
from exchange.adapters.embedded_server import EmbeddedServer
from exchange.adapters.journal import Journal, create_stream
from exchange.adapters.snapshots import SnapshotStore
from exchange.adapters.venue_files import VenueFiles
from exchange.daemon.host import Host
from exchange.engine import Batch

__all__ = ["AGENT", "MARKET", "MID", "levels_of", "store"]

AGENT: Final = "agent0"
MARKET: Final = "market0"
MID: Final = 1_000_000


def levels_of(orders: int) -> int:
    """Return over how many prices so many orders are spread."""
    return max(orders // 100, 200)


async def make(data: Path, orders: int, tail: int) -> None:
    """Write a journal that leaves ``orders`` resting, and a snapshot ``tail`` commands before its end."""
    flow = Flow()
    flow.rest(orders, levels=levels_of(orders))
    taken = len(flow.batches)
    flow.churn(tail)
    await store(data, flow.batches, [AGENT], taken)


async def store(data: Path, batches: list[Batch], agents: list[str], taken: int) -> None:
    """Write a journal, a snapshot after its first ``taken`` batches, and the credentials of some agents."""
    files = VenueFiles(data)
    keyring = files.create_keyring()
    for agent in agents:
        keyring.write_agent_creds(agent, files.agent_creds(agent))
    server = EmbeddedServer(files.nats, keyring)
    await server.start()
    host = Host(send=lambda _subject, _payload: None, now_s=time.monotonic)
    await _append(server.url, keyring.journal_creds_path, host, batches[:taken])
    # With no connection meanwhile, which the server would give up.
    SnapshotStore(files.snapshots).write(host.snapshot())
    await _append(server.url, keyring.journal_creds_path, host, batches[taken:])
    await server.stop()
    files.finish_creation()


async def _append(url: str, creds: Path, host: Host, batches: list[Batch]) -> None:
    """Apply batches and write their records."""
    client = await bus.connect(url, creds, "journal")
    if host.engine.index == 0:
        await create_stream(client)
    journal = Journal(client)
    await journal.open()
    for batch in batches:
        step = host.apply(batch.submissions, [], batch.time_us, batch.epoch)
        await journal.append(step.batch.index, step.body)
        host.release(step)
    await client.close()


if __name__ == "__main__":
    gc.disable()
    asyncio.run(make(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))

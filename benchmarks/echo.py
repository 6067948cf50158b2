"""Answer every message with its own payload: the raw NATS echo that the exchange is measured against."""

from __future__ import annotations

import asyncio
import sys

import nats
from nats.aio.msg import Msg


async def run(url: str) -> None:
    """Echo until killed."""
    client = await nats.connect(url)

    async def echo(msg: Msg) -> None:
        await client.publish(msg.reply, msg.data)

    await client.subscribe("exchange.v1.cmd.>", cb=echo, pending_msgs_limit=-1, pending_bytes_limit=-1)
    await client.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(run(sys.argv[1]))
    else:
        uvloop.run(run(sys.argv[1]))

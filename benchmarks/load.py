"""Send messages with so many in flight and time every reply: one load process.

Reads one JSON line of settings from standard input (with ``rate``: so many messages per second, not as many as
can be, and each encoded when it is due), says ``ready``, waits for a line, then runs and
writes one JSON object with the start and end (monotonic, seconds) and the sorted latencies in ms to
the file ``result``; with ``samples`` also, for every message, the time when it was due (as of the epoch) and its
latency.
The same code loads the exchange and the raw echo.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
from nats.aio.msg import Msg

_MID = 10_000


def prepare(
    agent: str, messages: int, per_message: int, seed: int, *, market: str = "cpu", mid: int = _MID
) -> Iterator[bytes]:
    """Encode the messages: 55 % passive limits, 15 % aggressive, 30 % cancels by the client's id."""
    rng = random.Random(seed)
    session = f"{agent}{rng.randrange(10**9):09d}"
    live: list[str] = []
    for number in range(messages):
        valid_until_us = time.time_ns() // 1_000 + 55_000_000
        commands = [
            _command(rng, live, f"{session}.{number * per_message + k + 1}", valid_until_us, market, mid)
            for k in range(per_message)
        ]
        yield json.dumps(commands if per_message > 1 else commands[0], separators=(",", ":")).encode()


def _command(
    rng: random.Random, live: list[str], command_id: str, valid_until_us: int, market: str, mid: int
) -> dict[str, Any]:
    draw = rng.random()
    if draw > 0.7 and live:
        at = rng.randrange(len(live))
        live[at], live[-1] = live[-1], live[at]
        return {
            "type": "orders.cancel", "id": command_id, "valid_until_us": valid_until_us,
            "client_order_id": live.pop(),
        }  # fmt: skip
    is_buy = rng.random() < 0.5
    distance = rng.randrange(200, 400) if draw < 0.55 else -rng.randrange(200, 400)
    client_order_id = f"c{command_id.rpartition('.')[2]}"
    if draw < 0.55:
        live.append(client_order_id)
    return {
        "type": "orders.place", "id": command_id, "valid_until_us": valid_until_us, "market": market,
        "side": "buy" if is_buy else "sell", "quantity": rng.randrange(1, 10),
        "price": mid - distance if is_buy else mid + distance, "client_order_id": client_order_id,
    }  # fmt: skip


async def run(settings: dict[str, Any]) -> dict[str, Any]:
    """Connect, wait for the signal, send, and return what was measured."""
    agent: str = settings["agent"]
    client = await nats.connect(
        settings["url"],
        user_credentials=settings.get("creds"),
        inbox_prefix=f"_INBOX.{agent}",
        ping_interval=5,
    )
    total: int = settings["messages"]
    rate = settings.get("rate")
    encoded = prepare(
        agent, settings["messages"], settings["per_message"], settings["seed"],
        market=settings.get("market", "cpu"), mid=settings.get("mid", _MID),
    )  # fmt: skip
    messages = encoded if rate else list(encoded)
    sent_at = [0.0] * total
    took = [0.0] * total
    latencies: list[float] = []
    refused = 0
    free = asyncio.Semaphore(settings["in_flight"])
    done = asyncio.Event()
    inbox = f"_INBOX.{agent}.load"
    at = len(inbox) + 1

    async def on_reply(msg: Msg) -> None:
        nonlocal refused
        number = int(msg.subject[at:])
        took[number] = time.perf_counter() - sent_at[number]
        latencies.append(took[number])
        if b'"refusal"' in msg.data[:20]:
            refused += 1
        free.release()
        if len(latencies) == total:
            done.set()

    await client.subscribe(f"{inbox}.*", cb=on_reply, pending_msgs_limit=-1, pending_bytes_limit=-1)
    await client.flush()
    subject = f"exchange.v1.cmd.{agent}.orders"
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    started = time.monotonic()
    first, first_s = time.perf_counter(), time.time()
    for number, message in enumerate(messages):
        await free.acquire()
        sent_at[number] = time.perf_counter()
        if rate:
            # Its latency counts from when it was due: what waits because others do, waits all the same.
            due = first + number / rate
            await asyncio.sleep(max(due - sent_at[number], 0))
            sent_at[number] = due
        await client.publish(subject, message, reply=f"{inbox}.{number}")
    async with asyncio.timeout(120):
        await done.wait()
    ended = time.monotonic()
    await client.close()
    result = {
        "started": started, "ended": ended, "refused": refused,
        "latencies_ms": sorted(round(latency * 1e3, 4) for latency in latencies),
    }  # fmt: skip
    if settings.get("samples"):
        result["samples"] = [
            (round(first_s + due - first, 4), round(latency * 1e3, 4))
            for due, latency in zip(sent_at, took, strict=True)
        ]
    return result


def main() -> None:
    """Run one load process."""
    settings = json.loads(sys.stdin.readline())
    try:
        import uvloop
    except ImportError:
        result = asyncio.run(run(settings))
    else:
        result = uvloop.run(run(settings))
    Path(settings["result"]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()

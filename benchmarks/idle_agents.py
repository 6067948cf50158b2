"""Be thousands of agents that only listen: one process, one bare connection each, and what the SDK would say on it.

Reads one JSON line of settings (``url``, ``agents`` with the token and seed of each, ``poll_s``), then answers every
line ``stats`` with one line of counts, and every line that is a number by asking for events that seldom from then on.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import time
from base64 import urlsafe_b64encode
from typing import Any, cast

import nkeys  # type: ignore[import-untyped]

_CONNECTING_MAX = 100
_RECONNECT_S = 0.25
_GREETING = 2
_HELLO = b'{"type":"venue.hello"}'


class Swarm:
    """Hold what all the agents share."""

    def __init__(self, url: str, poll_s: float) -> None:
        host, _, port = url.removeprefix("nats://").rpartition(":")
        self.host, self.port = host, int(port)
        self.poll_s = poll_s
        self.gate = asyncio.Semaphore(_CONNECTING_MAX)
        self.random = random.Random(1)
        self.loop = asyncio.get_running_loop()
        self.agents: list[IdleAgent] = []

    def stats(self) -> dict[str, Any]:
        """Count who is connected, who has its answers, and who heard the venue within the last two seconds."""
        now = time.monotonic()
        return {
            "connected": sum(agent.is_connected for agent in self.agents),
            "served": sum(agent.answers >= _GREETING for agent in self.agents),
            "hear": sum(now - agent.heard_at < 2.0 for agent in self.agents),
            "polls": sum(agent.polls for agent in self.agents),
            "answered": sum(agent.polls_answered for agent in self.agents),
        }


class IdleAgent(asyncio.Protocol):
    """Log in, subscribe, greet, ask for events now and then, answer pings, and come back when cut off."""

    def __init__(self, swarm: Swarm, agent: str, token: str, seed: str) -> None:
        self._swarm = swarm
        self._agent = agent
        self._token = token
        self._seed = seed
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.is_connected = False
        self.answers = 0
        """How many answers came on this connection; the first two are those to the greeting."""
        self.polls = self.polls_answered = 0
        self.heard_at = 0.0

    async def connect(self) -> None:
        """Try until there is a connection."""
        while True:
            async with self._swarm.gate:
                try:
                    await self._swarm.loop.create_connection(lambda: self, self._swarm.host, self._swarm.port)
                except OSError:
                    pass
                else:
                    return
            await asyncio.sleep(_RECONNECT_S * self._swarm.random.uniform(0.5, 1.5))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin anew."""
        self._transport = cast("asyncio.Transport", transport)
        self._buffer = b""
        self.answers = 0

    def connection_lost(self, _error: Exception | None) -> None:
        """Come back."""
        self.is_connected = False
        wait_s = _RECONNECT_S * self._swarm.random.uniform(0.5, 1.5)
        self._swarm.loop.call_later(wait_s, lambda: self._swarm.loop.create_task(self.connect()))

    def data_received(self, data: bytes) -> None:
        """Read lines, and step over what they announce."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n")) >= 0:
            words = self._buffer[:end].split()
            size = int(words[-1]) + 2 if words[0] == b"MSG" else 0
            if len(self._buffer) < end + 2 + size:
                return
            self._buffer = self._buffer[end + 2 + size :]
            self._take(words)

    def _take(self, words: list[bytes]) -> None:
        if words[0] == b"MSG":
            if words[1].startswith(b"_INBOX"):
                self.answers += 1
                self.polls_answered += words[1].endswith(b".poll")
            elif words[1].endswith(b"._venue"):
                self.heard_at = time.monotonic()
        elif words[0] == b"PING":
            self._write(b"PONG\r\n")
        elif words[0] == b"PONG":
            self._begin()
        elif words[0] == b"INFO":
            self._log_in(json.loads(b" ".join(words[1:])))

    def _log_in(self, info: dict[str, Any]) -> None:
        if self.is_connected or "nonce" not in info:
            return
        signature = nkeys.from_seed(self._seed.encode()).sign(info["nonce"].encode())
        hello = {
            "jwt": self._token, "sig": urlsafe_b64encode(signature).rstrip(b"=").decode(), "verbose": False,
            "pedantic": False, "headers": True, "protocol": 1, "lang": "bare", "version": "1", "name": self._agent,
        }  # fmt: skip
        self._write(b"CONNECT " + json.dumps(hello).encode() + b"\r\nPING\r\n")

    def _begin(self) -> None:
        self.is_connected = True
        inbox = f"_INBOX.{self._agent}"
        for number, subject in enumerate((f"{inbox}.>", f"exchange.v1.evt.{self._agent}", "exchange.v1.md._venue"), 1):
            self._write(f"SUB {subject} {number}\r\n".encode())
        self._greet(self._transport)
        self._poll_later()

    def _greet(self, transport: asyncio.Transport | None) -> None:
        """Ask what the SDK asks on a new connection, again and again until the venue is back."""
        if transport is not self._transport or not self.is_connected or self.answers >= _GREETING:
            return
        self._ask("hello", _HELLO)
        self._ask("events", b'{"type":"venue.events","since":0}')
        self._swarm.loop.call_later(self._swarm.random.uniform(0.5, 1.5), self._greet, transport)

    def _poll_later(self) -> None:
        wait_s = self._swarm.poll_s * self._swarm.random.uniform(0.8, 1.2)
        self._swarm.loop.call_later(wait_s, self._poll, self._transport, self._swarm.poll_s)

    def _poll(self, transport: asyncio.Transport | None, poll_s: float) -> None:
        if transport is not self._transport or not self.is_connected:
            return
        if poll_s == self._swarm.poll_s:
            self.polls += 1
            self._ask("poll", b'{"type":"venue.events","since":0}')
        self._poll_later()

    def poll_anew(self) -> None:
        """Take up a new interval, at a random moment of it."""
        wait_s = self._swarm.poll_s * self._swarm.random.random()
        self._swarm.loop.call_later(wait_s, self._poll, self._transport, self._swarm.poll_s)

    def _ask(self, name: str, query: bytes) -> None:
        subjects = f"exchange.v1.query.{self._agent}.venue _INBOX.{self._agent}.{name}"
        self._write(b"PUB %b %d\r\n%b\r\n" % (subjects.encode(), len(query), query))

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


async def run() -> None:
    """Be them all until standard input ends."""
    loop = asyncio.get_running_loop()
    settings = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    swarm = Swarm(settings["url"], settings["poll_s"])
    swarm.agents = [IdleAgent(swarm, *each) for each in settings["agents"]]
    await asyncio.gather(*(agent.connect() for agent in swarm.agents))
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        if line == "stats":
            print(json.dumps(swarm.stats()), flush=True)
        else:
            swarm.poll_s = float(line)
            for agent in swarm.agents:
                agent.poll_anew()


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(run())
    else:
        uvloop.run(run())

"""Measure what thousands of idle agents cost those who trade, and how long it takes until all are back after a restart.

Everything is a process of its own: nats-server, daemon, the idle agents; the traders are this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, Self

import nats

from agent_sdk import Agent, connect
from benchmarks.report import Report
from exchange.adapters._jwt import Prefix, Signer
from exchange.adapters.credentials import Keyring
from exchange.adapters.embedded_server import find_server, server_config
from exchange.adapters.venue_files import VenueFiles
from exchange.daemon.creation import create_venue

__all__ = ["Site", "Swarm", "ack_times", "p99_ms", "run"]

_TRADERS: Final = ("ann", "ben", "cid", "dot")
_AT_ONCE: Final = 500
_SEARCH_S: Final = 0.02


def run(*, quick: bool) -> Report:
    """Trade without idle agents, with idle ones, and through a restart of the server."""
    report = Report(
        "idle agents", ["what", "idle agents", "ack p50 ms", "ack p99 ms"],
        "4 traders, one order in flight each; idle agents are connected, hear heartbeats and ask for events at times",
    )  # fmt: skip
    agents, seconds = (300, 2.0) if quick else (5_000, 15.0)
    with tempfile.TemporaryDirectory(prefix="exchange-bench-") as directory:
        asyncio.run(_measure(report, Path(directory), agents, seconds))
    return report


async def _measure(report: Report, directory: Path, agents: int, seconds: float) -> None:
    async with Site(directory) as site:
        began = time.perf_counter()
        await site.register([f"idle-{n}" for n in range(agents)])
        report.keys["register_s"] = time.perf_counter() - began
        memory_mb = site.memory_mb()
        async with site.traders() as traders:
            alone = await ack_times(traders, seconds)
            _row(report, "nobody else is connected", 0, alone)
            began = time.perf_counter()
            async with Swarm(site, agents, poll_s=60) as swarm:
                await swarm.until("served", agents)
                await swarm.until("hear", agents)
                report.keys["connect_s"] = time.perf_counter() - began
                for poll_s in (60, 10):
                    await swarm.poll_every(poll_s)
                    among = await ack_times(traders, seconds)
                    _row(report, f"each asks for events every {poll_s} s", agents, among)
                    report.keys[f"ack_p99_ratio_{poll_s}_s"] = p99_ms(among) / p99_ms(alone)
                await swarm.poll_every(60)
                report.keys["daemon_mb_more"] = site.memory_mb() - memory_mb
                began = time.perf_counter()
                await site.restart_server()
                await traders[0].buy("cpu", 1, 1, time_in_force="ioc", timeout=60)
                report.keys["restart_until_acked_s"] = time.perf_counter() - began
                await swarm.until("served", agents)
                report.keys["restart_until_all_served_s"] = time.perf_counter() - began
    for name in ("connect", "restart_until_acked", "restart_until_all_served"):
        report.row(f"{name.replace('_', ' ')}: {report.keys[f'{name}_s']:.1f} s", f"{agents:,}", "", "")


def _row(report: Report, what: str, agents: int, times: list[float]) -> None:
    report.row(what, f"{agents:,}", f"{sorted(times)[len(times) // 2] * 1e3:.2f}", f"{p99_ms(times):.2f}")


def p99_ms(times: list[float]) -> float:
    """Return the 99th percentile in milliseconds."""
    return sorted(times)[len(times) * 99 // 100] * 1e3


async def ack_times(traders: list[Agent], seconds: float) -> list[float]:
    """Let each trader place one order after the other; return how many seconds each order took."""
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def trade(trader: Agent) -> None:
        while (began := time.perf_counter()) < until:
            await trader.buy("cpu", 1, 1, time_in_force="ioc")
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(trade(trader) for trader in traders))
    return took


class Site:
    """Run a nats-server and a daemon on it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files = VenueFiles(directory / "venue")
        self.keyring: Keyring = self._files.create_keyring()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        self.url = f"nats://127.0.0.1:{self._port}"
        self._server: Process | None = None
        self._daemon: Process | None = None
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        # The server inherits it.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    async def __aenter__(self) -> Self:
        """Start both, and open a market."""
        try:
            await self._start_server()
            creds = str(self.keyring.journal_creds_path)
            client = await nats.connect(self.url, user_credentials=creds, inbox_prefix="_INBOX.journal")
            await create_venue(client)
            await client.close()
            ready = self._directory / "ready"
            self._daemon = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "exchange", "serve", "--data", str(self._files.data), "--nats", self.url),
                *("--metrics-port", "0", "--ready-file", str(ready), "--log-level", "error"),
                stdout=asyncio.subprocess.DEVNULL,
            )
            await _until(ready.exists, "the daemon does not start")
            async with connect(self.url, self.creds("operator")) as operator:
                await operator.admin.register_asset("cpu")
                await operator.admin.create_market("cpu", "cpu", tick=1, price_band_bp=0)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop both."""
        for process in (self._daemon, self._server):
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()

    def creds(self, agent: str) -> Path:
        """Return an agent's credential."""
        path = self._files.agent_creds(agent)
        self.keyring.write_agent_creds(agent, path)
        return path

    async def register(self, agents: list[str]) -> None:
        """Register agents, many at once."""
        async with connect(self.url, self.creds("operator")) as operator:
            for first in range(0, len(agents), _AT_ONCE):
                register = operator.admin.register_agent
                await asyncio.gather(*(register(agent, agent) for agent in agents[first : first + _AT_ONCE]))

    @contextlib.asynccontextmanager
    async def traders(self) -> AsyncIterator[list[Agent]]:
        """Register and connect those who trade."""
        await self.register(list(_TRADERS))
        async with contextlib.AsyncExitStack() as stack:
            yield [await stack.enter_async_context(connect(self.url, self.creds(agent))) for agent in _TRADERS]

    def memory_mb(self) -> float:
        """Return the resident memory of the daemon."""
        assert self._daemon is not None
        pages = int(Path(f"/proc/{self._daemon.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6

    async def restart_server(self) -> None:
        """Kill the server, and start it again."""
        assert self._server is not None
        self._server.kill()
        await self._server.wait()
        await self._start_server()

    async def _start_server(self) -> None:
        config = self._directory / "nats.conf"
        config.write_text(
            server_config(
                self.keyring,
                store_dir=self._directory / "store",
                port=self._port,
                log_file=self._directory / "nats.log",
            )
        )
        self._server = await asyncio.create_subprocess_exec(str(find_server()), "-c", str(config))

        def listens() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return True
            return False

        await _until(listens, "nats-server does not start")


async def _until(condition: Any, otherwise: str, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(otherwise)
        await asyncio.sleep(_SEARCH_S)


class Swarm:
    """Hold the process of the idle agents."""

    def __init__(self, site: Site, agents: int, poll_s: float) -> None:
        self._settings = {"url": site.url, "poll_s": poll_s, "agents": _mint(site.keyring, agents)}
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        """Start it; the agents connect as fast as they can."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.idle_agents", stdin=PIPE, stdout=PIPE
        )
        await self._say(json.dumps(self._settings))
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def poll_every(self, seconds: float) -> None:
        """Let each agent ask for its events so often."""
        await self._say(str(seconds))

    async def stats(self) -> dict[str, int]:
        """Return the counts of the moment."""
        assert self._process is not None
        assert self._process.stdout is not None
        await self._say("stats")
        counts: dict[str, int] = json.loads(await self._process.stdout.readline())
        return counts

    async def until(self, count: str, number: int, timeout_s: float = 120.0) -> None:
        """Wait until a count has come to a number."""
        async with asyncio.timeout(timeout_s):
            while (await self.stats())[count] < number:  # noqa: ASYNC110 - another process counts
                await asyncio.sleep(_SEARCH_S)

    async def _say(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()


def _mint(keyring: Keyring, agents: int) -> list[tuple[str, str, str]]:
    """Sign the credentials of many agents at once: the keyring would note each on disk, to be able to revoke it."""
    signer = Signer((keyring.path / "agents-signing.nk").read_text(encoding="ascii").strip())
    claims = {"issuer_account": keyring.agents_account_id, "type": "user"}
    minted = []
    for n in range(agents):
        user = Signer.generate(Prefix.USER)
        minted.append((f"idle-{n}", signer.sign(f"idle-{n}", user.public_key, claims), user.seed))
    return minted

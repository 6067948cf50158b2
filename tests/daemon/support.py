"""Start real venues for tests, and speak to them past the SDK where a test must."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import nats
import nkeys
from nats.aio.client import Client

from agent_sdk import Agent, connect
from exchange.adapters.credentials import Keyring
from exchange.adapters.embedded_server import find_server, server_config
from exchange.adapters.venue_files import VenueFiles
from exchange.config import Config, LogSettings, MetricsSettings, NatsSettings
from exchange.daemon import Daemon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = [
    "External",
    "Setting",
    "config",
    "freeze",
    "open_client",
    "raw_socket",
    "running_daemon",
    "set_up_market",
    "wait_until",
]

WAIT_S = 15.0


def config(data: Path, **nats_settings: Any) -> Config:
    """Return the settings of a daemon on free ports."""
    return Config(
        data=data,
        nats=NatsSettings(port=0, **nats_settings),
        metrics=MetricsSettings(port=0),
        log=LogSettings(level="warning"),
    )


def freeze(pid: int) -> None:
    """Stop a process with SIGSTOP, and return once none of its threads runs: on a busy machine they go on for a bit."""
    os.kill(pid, signal.SIGSTOP)
    give_up_at = time.monotonic() + WAIT_S
    threads = Path(f"/proc/{pid}/task")
    # Behind the name in brackets stands the state.
    while any(stat.read_text().rpartition(")")[2].split()[0] not in "Tt" for stat in threads.glob("*/stat")):
        assert time.monotonic() < give_up_at, f"process {pid} does not stop"


async def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
    """Wait until something is so; fail with ``what`` when it is not in time."""
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(what) from None


class Setting:
    """Hold a running daemon and the way to its agents' credentials."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.url = daemon.url

    @property
    def engine(self) -> Any:
        """The engine of the daemon."""
        assert self.daemon.host is not None
        return self.daemon.host.engine

    @property
    def gateway(self) -> Any:
        """The gateway of the daemon."""
        assert self.daemon.host is not None
        return self.daemon.host.gateway

    def creds(self, agent: str) -> Path:
        """Return the credential of an agent, minted when there is none."""
        path = self.daemon.files.agent_creds(agent)
        if not path.exists():
            Keyring.load(self.daemon.files.keys).write_agent_creds(agent, path)
        return path

    def connect(self, agent: str) -> contextlib.AbstractAsyncContextManager[Agent]:
        """Connect an agent by the SDK."""
        return connect(self.url, self.creds(agent))


@contextlib.asynccontextmanager
async def running_daemon(settings: Config) -> AsyncIterator[Setting]:
    """Run a daemon for the length of the block."""
    daemon = Daemon(settings)
    await daemon.start()
    try:
        yield Setting(daemon)
    finally:
        await daemon.stop()


async def set_up_market(setting: Setting, *agents: str) -> None:
    """Register agents with credits and 1,000 cpu each, and open market ``cpu``."""
    async with setting.connect("operator") as operator:
        admin = operator.admin
        await admin.register_asset("cpu")
        await admin.create_market("cpu", "cpu", tick="0.01", price_band_bp=0)
        for agent in agents:
            await admin.register_agent(agent, agent)
            await admin.issue_asset("cpu", agent, 1_000)


@contextlib.asynccontextmanager
async def open_client(url: str, creds: Path, agent: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """Connect by plain NATS; yield the client and the errors that it hears of."""
    errors: list[str] = []

    async def hear(error: Exception) -> None:
        errors.append(str(error).lower())

    client = await nats.connect(
        url, user_credentials=str(creds), inbox_prefix=f"_INBOX.{agent}", error_cb=hear, allow_reconnect=False
    )
    try:
        yield client, errors
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def raw_socket(url: str, creds: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Log in by hand and yield the socket: a hostile agent need not use a client library."""
    words = creds.read_text().split()
    token = next(word for word in words if word.startswith("eyJ"))
    seed = next(word for word in words if word.startswith("SU"))
    host, _, port = url.removeprefix("nats://").rpartition(":")
    async with asyncio.timeout(WAIT_S):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            info = msgspec.json.decode((await reader.readline()).removeprefix(b"INFO "))
            signature = nkeys.from_seed(seed.encode()).sign(info["nonce"].encode())
            hello = {
                "jwt": token,
                "sig": urlsafe_b64encode(signature).rstrip(b"=").decode(),
                "verbose": False,
                "pedantic": False,
                "headers": True,
                "protocol": 1,
                "lang": "raw",
                "version": "1",
            }
            writer.write(b"CONNECT " + msgspec.json.encode(hello) + b"\r\nPING\r\n")
            assert (await reader.readuntil(b"PONG\r\n")).endswith(b"PONG\r\n")
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class External:
    """Hold a nats-server that no daemon owns; ``edit`` changes its configuration."""

    def __init__(self, directory: Path, edit: Callable[[str], str] = str, *, max_file: str | None = None) -> None:
        self._edit = edit
        self._max_file = max_file
        self.files = VenueFiles(directory / "venue")
        self.keyring = self.files.create_keyring()
        self.url = ""
        self.port: int | None = None
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the server from the configuration that operators are given."""
        ports = self._directory / "ports"
        ports.mkdir(exist_ok=True)
        text = server_config(
            self.keyring,
            store_dir=self._directory / "store",
            port=self.port,
            ports_dir=ports,
            log_file=self._directory / "log",
        )
        if self._max_file is not None:
            text = text.replace("max_file: 1PB", f"max_file: {self._max_file}")
        (self._directory / "nats.conf").write_text(self._edit(text))
        self._process = await asyncio.create_subprocess_exec(
            str(find_server()), "-c", str(self._directory / "nats.conf")
        )
        file = ports / f"nats-server_{self._process.pid}.ports"
        await wait_until(lambda: file.exists() and file.read_text().rstrip().endswith("}"), "the server does not start")
        self.url = msgspec.json.decode(file.read_bytes())["nats"][0]
        self.port = int(self.url.rpartition(":")[2])

    async def kill(self) -> None:
        """Kill the server; ``start`` brings it back on the same port and store."""
        assert self._process is not None
        self._process.kill()
        await asyncio.wait_for(self._process.wait(), WAIT_S)

    def signal(self, number: int) -> None:
        """Send the server a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def freeze(self) -> None:
        """Let the server stand still from now on."""
        assert self._process is not None
        freeze(self._process.pid)

    async def stop(self) -> None:
        """Stop the server."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await asyncio.wait_for(self._process.wait(), WAIT_S)

    def config(self) -> Config:
        """Return the settings of a daemon on this server."""
        return Config(
            data=self.files.data, nats=NatsSettings(url=self.url), metrics=MetricsSettings(port=0), log=LogSettings()
        )

    @contextlib.asynccontextmanager
    async def journal(self) -> AsyncIterator[Client]:
        """Connect to the journal's account."""
        creds = str(self.keyring.journal_creds_path)
        client = await nats.connect(self.url, user_credentials=creds, inbox_prefix="_INBOX.journal")
        try:
            yield client
        finally:
            await client.close()

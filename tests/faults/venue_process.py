"""Run the daemon as a process that tests kill and start again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from exchange.adapters.credentials import Keyring
from exchange.adapters.venue_files import VenueFiles

if TYPE_CHECKING:
    from asyncio.subprocess import Process

__all__ = ["VenueProcess", "free_port", "server_pid"]

_START_S = 30.0
_EXIT_S = 30.0


def free_port() -> int:
    """Return a port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_pid(files: VenueFiles) -> int:
    """Return the process id of the nats-server under a daemon that runs."""
    return int((files.nats / "nats-server.lock").read_text())


class VenueProcess:
    """Hold one data directory and port, and the daemon process that serves them at the moment."""

    def __init__(
        self,
        data: Path,
        external_url: str | None = None,
        *,
        keys: Path | None = None,
        flags: tuple[str, ...] = (),
        program: str = "exchange",
        logs: Path | None = None,
        within: tuple[str, ...] = (),
    ) -> None:
        logs = logs or data.parent
        self._flags = flags
        self._within = within
        self.program = program
        """The module that is run; a test may run one with faults in it."""
        self._keys = keys or VenueFiles(data).keys
        self.files = VenueFiles(data)
        port = free_port()
        self.url = external_url or f"nats://127.0.0.1:{port}"
        self._server = ("--port", str(port)) if external_url is None else ("--nats", external_url)
        if keys is not None:
            creds = Keyring.load(keys)
            self._flags += ("--creds", str(creds.gateway_creds_path), "--journal-creds", str(creds.journal_creds_path))
        self.log = logs / f"{data.name}.log"
        self._ready = logs / f"{data.name}.ready.json"
        self._process: Process | None = None

    async def spawn(self, **variables: str) -> None:
        """Start the process, with some variables more in its environment, and return at once."""
        self._ready.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(
                    *self._within,
                    sys.executable,
                    "-m",
                    self.program,
                    "serve",
                    "--data",
                    str(self.files.data),
                    *self._server,
                ),
                *("--metrics-port", "0", "--ready-file", str(self._ready), "--log-level", "warning", *self._flags),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],
                env={**os.environ, **variables},
            )

    async def start(self, **variables: str) -> None:
        """Start the process and return when it leads the venue."""
        await self.spawn(**variables)
        process = self._process
        assert process is not None
        async with asyncio.timeout(_START_S):
            while not self._ready.exists():
                assert process.returncode is None, f"the daemon did not start:\n{self.said()[-3_000:]}"
                await asyncio.sleep(0.01)

    @property
    def ready_file(self) -> Path:
        """The file in which the daemon says where it is, once it is ready."""
        return self._ready

    @property
    def state(self) -> str:
        """What the daemon says that it does: ``leading`` or ``following``; nothing before it is ready."""
        return str(json.loads(self._ready.read_text())["state"]) if self._ready.exists() else ""

    @property
    def pid(self) -> int:
        """The process id of the daemon."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        """Send the daemon a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait until the daemon ends by itself; return its exit code."""
        return await self._ended()

    def said(self) -> str:
        """Return what all processes so far have written to standard error."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    async def kill(self) -> None:
        """Kill the daemon like a power cut would; an embedded server dies with it."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._ended()

    async def kill_server(self) -> int:
        """Kill the nats-server under the daemon; return the exit code of the daemon, which must give up."""
        os.kill(server_pid(self.files), signal.SIGKILL)
        return await self._ended()

    @property
    def is_running(self) -> bool:
        """Whether the daemon has not ended."""
        return self._process is not None and self._process.returncode is None

    async def freeze(self, who: str, seconds: float) -> None:
        """Let the daemon, the server or both stand still for a while."""
        assert self._process is not None
        pids = {"daemon": [self._process.pid], "server": [server_pid(self.files)]}
        pids["both"] = pids["daemon"] + pids["server"]
        for pid in pids[who]:
            os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            for pid in pids[who]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    async def stop(self) -> None:
        """Kill whatever runs."""
        if self._process is not None:
            await self.kill()

    async def _ended(self) -> int:
        process = self._process
        assert process is not None
        async with asyncio.timeout(_EXIT_S):
            code = await process.wait()
        self._process = None
        return code

    def creds(self, agent: str) -> Path:
        """Return the credential of an agent, minted when there is none."""
        path = self.files.agent_creds(agent)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            Keyring.load(self._keys).write_agent_creds(agent, path)
        return path

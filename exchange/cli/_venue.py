"""Find a venue from the command line: its data directory, its running daemon, its operator."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from cyclopts import Parameter

from exchange.cli._output import CliError
from exchange.tls import TlsFiles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_sdk import Agent
    from exchange.adapters.venue_files import VenueFiles

__all__ = ["DEFAULT_DATA", "RunFile", "Running", "Venue", "find_tls", "operator_of", "remember_operator"]

DEFAULT_DATA: Final = Path("exchange-data")
_OPERATOR: Final = "operator"
_LOCK_PATIENCE_S: Final = 1.0
_POLL_S: Final = 0.02
_RUN_FILE_BYTES: Final = 4_096


class Running(msgspec.Struct, kw_only=True):
    """Describe a running daemon, as ``exchange serve`` writes it for others to find."""

    url: str
    metrics_url: str | None
    pid: int
    operator_creds: Path | None
    data: Path
    state: Literal["leading", "following"] = "leading"
    epoch: int
    index: int
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


class RunFile:
    """Keep ``run.json`` in the data directory, locked for as long as the daemon lives.

    The lock, not the process id, tells whether the daemon still runs: it ends with the process however
    that ends, and no other process can come to hold it by chance.
    """

    def __init__(self, data: Path) -> None:
        self.path = data / "run.json"
        self._file: int | None = None

    def acquire(self) -> None:
        """Claim the data directory for this process.

        Raises:
            CliError: another daemon has it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _LOCK_PATIENCE_S
        # Somebody who only looks holds the lock for a moment.
        while not _try_lock(file, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                os.close(file)
                other = self.read()
                who = f"process {other.pid} at {other.url}" if other else "a process that is starting or auditing"
                message = f"{self.path.parent} is in use by {who}; stop it or choose another --data"
                raise CliError(message)
            time.sleep(_POLL_S)
        os.ftruncate(file, 0)
        self._file = file

    def write(self, running: Running) -> None:
        """Tell others where the daemon is, and in which state.

        Raises:
            OSError: it cannot be written; the disk is full, say.
        """
        assert self._file is not None  # noqa: S101 - acquired before
        try:
            # Padded, so that a later text covers an earlier one whole: whoever reads meanwhile sees one of them.
            os.pwrite(self._file, _encode(running).ljust(_RUN_FILE_BYTES) + b"\n", 0)
        except OSError as error:
            # With its name, or nobody could tell a user which file it was.
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def release(self) -> None:
        """Give the data directory up."""
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None

    def read(self) -> Running | None:
        """Return the daemon that runs here, or None: never started, stopped, killed or still starting."""
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if _try_lock(file, fcntl.LOCK_SH):
                return None
            return _decode(os.pread(file, 65_536, 0))
        except msgspec.DecodeError:
            return None
        finally:
            os.close(file)


def _hook_out(value: object) -> str:
    return str(value)


def _hook_in(kind: type, value: object) -> object:
    return kind(value)


_encode = msgspec.json.Encoder(enc_hook=_hook_out).encode
_decode = msgspec.json.Decoder(Running, dec_hook=_hook_in).decode


def _try_lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def find_tls(data: Path) -> TlsFiles:
    """Return the files of encrypted connections: what the environment says, else those of the daemon that runs here."""
    running = RunFile(data).read()
    found = TlsFiles.from_env()
    if found == TlsFiles() and running is not None:
        return TlsFiles(running.ca, running.cert, running.key)
    return found


class _Facts(msgspec.Struct):
    """Hold what the data directory has to remember besides keys."""

    operator: str = _OPERATOR


def _facts_file(data: Path) -> Path:
    return data / "venue.json"


def operator_of(data: Path) -> str:
    """Return the agent id of the operator whose credential this data directory holds."""
    file = _facts_file(data)
    if not file.exists():
        return _OPERATOR
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Facts).operator
    except msgspec.DecodeError as error:
        message = f"{file} is damaged ({error}); remove it if the operator is called {_OPERATOR!r}"
        raise CliError(message) from None


def remember_operator(data: Path, operator: str) -> None:
    """Write down the operator's agent id."""
    _facts_file(data).write_bytes(msgspec.json.encode(_Facts(operator)) + b"\n")


@Parameter(name="*")
@dataclass(frozen=True)
class Venue:
    """Say which venue a command is about, and as whom."""

    data: Annotated[Path | None, Parameter(env_var="EXCHANGE_DATA")] = None
    """Directory of the venue, where `exchange serve` notes its URL (default: exchange-data)."""
    nats: str | None = None
    """URL of the NATS server, instead of what the data directory says (also NATS_URL)."""
    creds: Path | None = None
    """Credential to act with (default: the operator's in the data directory, else EXCHANGE_CREDS)."""

    @property
    def directory(self) -> Path:
        """The data directory, whether or not it exists."""
        return self.data or DEFAULT_DATA

    @property
    def files(self) -> VenueFiles:
        """The files of the data directory."""
        from exchange.adapters.venue_files import VenueFiles

        return VenueFiles(self.directory)

    def running(self) -> Running | None:
        """Return the daemon that runs on the data directory."""
        return RunFile(self.directory).read()

    def find_url(self) -> str:
        """Return the URL of the server.

        Raises:
            CliError: nothing says where it is.
        """
        if self.nats:
            return self.nats
        from_env = os.environ.get("NATS_URL")
        if from_env and self.data is None:
            return from_env
        running = self.running()
        if running is not None:
            return running.url
        if from_env:
            return from_env
        if not self.files.exists():
            message = (
                f"{self.directory} holds no venue; give its directory with --data, or --nats and --creds, "
                f"or create one with `exchange init --data {self.directory}`"
            )
            raise CliError(message)
        message = (
            f"no daemon runs on {self.directory}; start it with `exchange serve --data {self.directory}`, "
            "or give --nats if it runs elsewhere"
        )
        raise CliError(message)

    def find_creds(self) -> Path:
        """Return the credential to act with.

        Raises:
            CliError: there is none.
        """
        if self.creds is not None:
            return self.creds
        own = self.files.agent_creds(operator_of(self.directory))
        from_env = os.environ.get("EXCHANGE_CREDS")
        if from_env and not (self.data is not None and own.exists()):
            return Path(from_env)
        if own.exists():
            return own
        message = f"no credential: there is no {own}; give --creds or set EXCHANGE_CREDS"
        raise CliError(message)

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[Agent]:
        """Connect through the SDK; wrong values that it finds before sending are told as they are."""
        from agent_sdk import connect

        url, creds, tls = self.find_url(), self.find_creds(), find_tls(self.directory)
        async with connect(url, creds=creds, ca=tls.ca, cert=tls.cert, key=tls.key) as agent:
            try:
                yield agent
            except (ValueError, TypeError) as error:
                # What the SDK says about arguments is about what the user typed.
                raise CliError(str(error)) from error

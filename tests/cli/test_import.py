"""A venue with an operator and accounts made by `nsc`, on a server of somebody else: the server is the judge."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_sdk import connect
from exchange.adapters.embedded_server import find_server
from tests.cli.nsc_store import GATEWAY, GUARD, NscStore
from tests.cli.program import TIMEOUT_S, Serving, run, run_json


class Server:
    """Run a nats-server that trusts what a store of nsc holds."""

    def __init__(self, directory: Path, nsc: NscStore) -> None:
        ports = directory / "ports"
        ports.mkdir()
        (directory / "server.conf").write_text(nsc.server_config(directory / "js", directory / "jwt", ports))
        self.process = subprocess.Popen(
            [find_server(), "-c", directory / "server.conf", "-l", directory / "server.log"],
        )
        file = ports / f"nats-server_{self.process.pid}.ports"
        deadline = time.monotonic() + TIMEOUT_S
        while not (file.exists() and file.read_text().rstrip().endswith("}")):
            assert self.process.poll() is None, (directory / "server.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self.url: str = json.loads(file.read_text())["nats"][0]


@pytest.fixture
def nsc(tmp_path: Path) -> NscStore:
    """Make an operator with all that a venue needs."""
    nsc = NscStore(tmp_path / "nsc")
    nsc.add_user("AGENTS", "gateway", GATEWAY)
    nsc.add_user("CORE", "journal", {})
    nsc.add_user("SYS", "guard", GUARD)
    return nsc


@pytest.fixture
def server(tmp_path: Path, nsc: NscStore) -> Iterator[Server]:
    """Run the server of that operator."""
    server = Server(tmp_path, nsc)
    yield server
    server.process.kill()
    server.process.wait()


def test_a_venue_lives_on_somebody_elses_server(tmp_path: Path, nsc: NscStore, server: Server) -> None:
    """It is created, agents are minted by the imported signing key, trade, and are cut off when they are revoked."""
    data = tmp_path / "venue"
    made = run_json("init", "--data", data, "--nats", server.url, "--nsc-store", nsc.store)
    assert made["created"]
    assert not (data / "auth.conf").exists()
    seeds = "".join(file.read_text() for file in (data / "keys").iterdir())
    assert nsc.root.seed not in seeds
    assert nsc.operator_key.seed not in seeds
    with Serving(data, "--nats", server.url) as serving:
        added = run_json("agent", "add", "alice", "--owner", "acme", "--data", data)

        async def trade() -> Any:
            async with connect(server.url, added["creds"]) as alice:
                return (await alice.balances())["credit"].available

        assert asyncio.run(trade()) == 100
        done = run("agent", "revoke", "alice", "--data", data)
        assert done.returncode == 0, done.stderr
        assert "nsc revocations add-user --account AGENTS --user-public-key U" in done.stderr
        assert run_json("status", "--data", data)["epoch"] == serving.facts["epoch"]
        rotated = run("agent", "rotate", "operator", "--data", data)
        assert "nsc push --account AGENTS" in rotated.stderr
        assert run("agent", "list", "--data", data).returncode == 0
        assert "nobody can be disconnected" not in serving.log_file.read_text()


def refused(tmp_path: Path, nsc: NscStore) -> str:
    """Return why an import is refused; nothing of it is there then."""
    data = tmp_path / "venue"
    done = run("init", "--data", data, "--nats", "nats://127.0.0.1:1", "--nsc-store", nsc.store)
    assert done.returncode == 1
    assert not (data / "keys").exists()
    return done.stderr


def test_what_is_missing_is_told_at_once_with_the_commands(tmp_path: Path) -> None:
    """Users, JetStream and the scoped key: each line says what to do with nsc."""
    nsc = NscStore(tmp_path / "nsc", scope=None, core={})
    said = refused(tmp_path, nsc)
    for command in (
        "nsc edit signing-key --account AGENTS --sk generate --role agent --allow-pub",
        "nsc edit account CORE --js-disk-storage -1",
        "nsc add user --account AGENTS --name gateway --allow-pub",
        "nsc add user --account CORE --name journal",
        "nsc push --all",
    ):
        assert command in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pub": {"allow": [">"]}}, "no signing key that is scoped to what an agent may do"),
        ({"sub": {"allow": ["exchange.v1.>"]}}, "no signing key that is scoped to what an agent may do"),
    ],
)
def test_a_wider_scope_is_not_taken(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    """With it agents could act or hear as each other."""
    from tests.cli.nsc_store import SCOPE

    nsc = NscStore(tmp_path / "nsc", scope=SCOPE | change)
    assert said in refused(tmp_path, nsc)


def test_users_must_be_able_to_do_their_work(tmp_path: Path, nsc: NscStore) -> None:
    """A gateway that may not hear commands, an agents' account with JetStream, and a lost seed are told."""
    nsc.add_user("AGENTS", "gateway", {"pub": {"allow": [">"]}, "sub": {"allow": ["_INBOX.>"]}})
    keys: dict[str, Any] = {"signing_keys": []}
    nsc.add_account("AGENTS", keys, {"disk_storage": 1_000})
    said = refused(tmp_path, nsc)
    assert "user gateway of AGENTS may not sub exchange.v1.cmd.>, exchange.v1.query.>" in said
    assert "account AGENTS has JetStream" in said
    done = run("init", "--data", tmp_path / "v", "--nats", "nats://127.0.0.1:1", "--nsc-store", tmp_path)
    assert "is no store of nsc" in done.stderr


def test_an_account_that_was_not_pushed_is_told_by_the_server(tmp_path: Path, nsc: NscStore, server: Server) -> None:
    """Claims that only the store has do not count: the next step is said, and afterwards it goes on."""
    nsc.accounts["CORE"] = type(nsc.root)(nsc_account_prefix())
    nsc.add_account("CORE", {}, {"disk_storage": -1, "mem_storage": -1, "streams": -1, "consumer": -1})
    nsc.add_user("CORE", "journal", {})
    done = run("init", "--data", tmp_path / "venue", "--nats", server.url, "--nsc-store", nsc.store)
    assert done.returncode == 1
    assert "nsc push --all" in done.stderr


def nsc_account_prefix() -> int:
    """Return the prefix of accounts' keys."""
    import nkeys

    return int(nkeys.PREFIX_BYTE_ACCOUNT)

"""The commands work on a real venue in processes of their own, and print what programs can read."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_sdk import ConnectionFailed, CredentialsError, NatsTransport, Refused, connect
from tests.cli.conftest import Call
from tests.cli.program import TIMEOUT_S, Serving, environment, run, run_json


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Serve a new venue for the tests of this module."""
    data = tmp_path_factory.mktemp("venue") / "data"
    run_json("init", "--data", data)
    with Serving(data) as serving:
        yield serving


# ── init and serve ──────────────────────────────────────────────────────────────────────────────


def test_init_creates_once_and_may_be_repeated(tmp_path: Path) -> None:
    """The second time nothing changes, and what is there is told."""
    data = tmp_path / "venue"
    first = run_json("init", "--data", data, "--operator", "boss", "--supply", 5)
    assert (first["created"], first["operator"], first["supply"]) == (True, "boss", 5)
    creds = Path(first["operator_creds"]).read_bytes()
    assert stat.S_IMODE(Path(first["operator_creds"]).stat().st_mode) == 0o600
    assert "resolver_preload" in Path(first["auth_conf"]).read_text()
    again = run("init", "--data", data, "--supply", "6", "--json")
    facts = json.loads(again.stdout)
    assert (facts["created"], facts["operator"], facts["supply"]) == (False, "boss", 5)
    assert "5 credits; that cannot be changed" in again.stderr
    assert Path(first["operator_creds"]).read_bytes() == creds
    other = run("init", "--data", data, "--operator", "else")
    assert other.returncode == 1
    assert "operator 'boss', not 'else'" in other.stderr


def test_init_takes_settings_for_good(tmp_path: Path) -> None:
    """They are in the genesis, unknown or wrong ones create nothing, and later ones are not taken silently."""
    data = tmp_path / "venue"
    for given, told in (("grace=7", "is not NAME=VALUE of a setting"), ("act_grace_seconds=soon", "Expected `int`")):
        wrong = run("init", "--data", data, "--setting", given)
        assert (wrong.returncode, told in wrong.stderr) == (1, True), wrong.stderr
        assert not data.exists()
    run_json("init", "--data", data, "--setting", "endowment=5000000", "--setting", "act_grace_seconds=7")
    again = run("init", "--data", data, "--setting", "endowment=6000000")
    assert "those cannot be changed" in again.stderr
    with Serving(data):
        assert run_json("agent", "add", "alice", "--owner", "acme", "--data", data)["endowment"] == "5.000000"


def test_init_for_an_external_server_says_what_is_left_to_do(tmp_path: Path) -> None:
    """Without the server there are keys and its configuration, and the next step is told."""
    data = tmp_path / "venue"
    done = run("init", "--data", data, "--nats", "nats://127.0.0.1:1")
    assert done.returncode == 1
    assert "cannot reach the NATS server: nats://127.0.0.1:1" in done.stderr
    assert "run the same command again" in done.stderr
    assert "port: 1\n" in (data / "nats-server.conf").read_text()
    assert (data / "auth.conf").exists()


def test_serve_tells_where_it_is_and_stops_at_a_signal(tmp_path: Path) -> None:
    """Programs read one line of JSON; SIGTERM and SIGINT end it with 0; a new start goes on."""
    data = tmp_path / "venue"
    with Serving(data, "--json") as serving:
        facts = serving.facts
        assert facts["pid"] == serving.process.pid
        assert facts["url"].startswith("nats://127.0.0.1:")
        assert facts["metrics_url"].startswith("http://127.0.0.1:")
        assert Path(facts["operator_creds"]).exists()
        assert run_json("status", "--data", data)["index"] >= facts["index"]
        code, output = serving.stop(signal.SIGTERM)
        assert (code, json.loads(output)) == (0, facts)
    with Serving(data) as serving:
        assert serving.facts["epoch"] == facts["epoch"] + 1
        assert serving.facts["index"] > facts["index"]
        assert serving.stop(signal.SIGINT)[0] == 0
    assert "Traceback" not in serving.log_file.read_text()


def test_a_killed_daemon_is_noticed_by_the_others(tmp_path: Path) -> None:
    """What a killed daemon left behind misleads nobody, and does not hinder the next start."""
    data = tmp_path / "venue"
    with Serving(data) as serving:
        serving.stop(signal.SIGKILL)
        assert (data / "run.json").read_text() != ""
        done = run("status", "--data", data)
        assert done.returncode == 1
        assert f"no daemon runs on {data}; start it with `exchange serve --data {data}`" in done.stderr
    with Serving(data) as serving:
        assert run_json("status", "--data", data)["epoch"] == serving.facts["epoch"]


def test_a_picture_of_a_market_ends_with_a_line(venue: Serving) -> None:
    """What comes after it in a file or a pipe begins on a line of its own."""
    run_json("market", "add", "pictured", "--base", "pixel", "--create-asset", "--tick", "1", "--data", venue.data)
    done = run("watch", "pictured", "--seconds", "0.2", "--data", venue.data)
    assert done.returncode == 0
    assert done.stdout.endswith("╯\n")
    assert "\x1b" not in done.stdout


def test_two_daemons_do_not_share_a_directory(venue: Serving) -> None:
    """The second one names the first."""
    done = run("serve", "--data", venue.data, "--port", 0, "--metrics-port", 0)
    assert done.returncode == 1
    assert f"is in use by process {venue.process.pid}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_journal_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    """What it had acknowledged is noted beside it, so neither `serve` nor `init` takes it for one that never was."""
    data = tmp_path / "venue"
    with Serving(data):
        pass
    shutil.rmtree(data / "nats" / "jetstream")
    served = run("serve", "--data", data, "--port", 0, "--metrics-port", 0)
    assert served.returncode == 1
    assert "the server has no journal, but record " in served.stderr
    assert "put its data back" in served.stderr
    begun = run("init", "--data", data)
    assert begun.returncode == 1
    assert "this venue's journal is gone: record " in begun.stderr
    assert "Traceback" not in served.stderr + begun.stderr


def test_an_empty_directory_is_not_taken_for_a_new_venue(tmp_path: Path) -> None:
    """It may be the place where a disk was to be mounted: the operator decides, by `init`."""
    data = tmp_path / "venue"
    data.mkdir()
    done = run("serve", "--data", data, "--port", 0, "--metrics-port", 0)
    assert done.returncode == 1
    assert f"{data} is there but holds no venue. If its disk is not mounted, mount it" in done.stderr
    assert list(data.iterdir()) == []


def test_a_start_that_fails_says_why_without_a_traceback(tmp_path: Path) -> None:
    """A server that cannot be reached is a message and exit 1."""
    data = tmp_path / "venue"
    run_json("init", "--data", data)
    done = run("serve", "--data", data, "--nats", "nats://127.0.0.1:1")
    assert done.returncode == 1
    assert "cannot reach the NATS server: nats://127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_reads_its_file_and_names_the_wrong_line(tmp_path: Path) -> None:
    """A wrong setting is file, line, key and expectation."""
    file = tmp_path / "exchange.toml"
    file.write_text("[nats]\nport = 0\nhots = 'x'\n")
    done = run("serve", "--config", file, "--data", tmp_path / "venue")
    assert done.returncode == 1
    assert f"{file}:3: unknown setting nats.hots; did you mean nats.host?" in done.stderr
    assert not (tmp_path / "venue").exists()


# ── agents, assets, markets ─────────────────────────────────────────────────────────────────────


def test_an_agent_is_registered_once_and_gets_its_credential(venue: Serving, tmp_path: Path) -> None:
    """Registering again writes the credential again, for the same owner only."""
    add = ("agent", "add", "carol", "--owner", "acme", "--data", venue.data)
    first = run_json(*add, "--endowment", "12.5", "--skill", "ocr", "--skill", "asr", "--role", "trader")
    assert (first["registered"], first["endowment"], first["creds_written"]) == (True, "12.500000", True)
    again = run_json(*add, "--out", tmp_path / "carol.creds")
    assert (again["registered"], again["creds"]) == (False, str(tmp_path / "carol.creds"))
    assert stat.S_IMODE((tmp_path / "carol.creds").stat().st_mode) == 0o600
    other = run("agent", "add", "carol", "--owner", "rival", "--data", venue.data)
    assert other.returncode == 1
    assert "belongs to owner 'acme', not 'rival'" in other.stderr
    listed = {agent["id"]: agent for agent in run_json("agent", "list", "--data", venue.data)}
    assert listed["carol"]["skills"] == ["ocr", "asr"]
    assert "carol" in run("agent", "list", "--data", venue.data).stdout


def test_an_agent_is_suspended_and_resumed(venue: Serving) -> None:
    """Both can be repeated."""
    run_json("agent", "add", "dave", "--owner", "acme", "--data", venue.data)
    for verb, state in (("suspend", "suspended"), ("resume", "active")):
        assert run_json("agent", verb, "dave", "--data", venue.data)["changed"]
        assert not run_json("agent", verb, "dave", "--data", venue.data)["changed"]
        listed = {agent["id"]: agent["state"] for agent in run_json("agent", "list", "--data", venue.data)}
        assert listed["dave"] == state


@pytest.mark.parametrize(
    ("name", "owner", "told"),
    [
        ("a.b", "acme", "'a.b' cannot be an agent id"),
        ("gateway", "acme", "'gateway' is reserved"),
        ("x" * 33, "acme", "1 to 32"),
        ("erin", "a b", "'a b' cannot be an owner"),
    ],
)
def test_a_bad_name_is_told_before_anything_is_sent(
    call: Call, venue: Serving, name: str, owner: str, told: str
) -> None:
    """The message says which value is wrong and what is allowed."""
    done = call("agent", "add", name, "--owner", owner, "--data", venue.data)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


async def test_what_the_commands_set_up_can_be_traded_and_watched(venue: Serving) -> None:
    """Agents with minted credentials trade in an added market; status, list and watch show it."""
    data = venue.data
    seller = run_json("agent", "add", "seller", "--owner", "s", "--data", data)
    buyer = run_json("agent", "add", "buyer", "--owner", "b", "--data", data, "--endowment", 100)
    market = run_json(
        *("market", "add", "gpu", "--base", "gpu_hour", "--create-asset", "--decimals", 2, "--tick", "0.01"),
        *("--lot", "0.1", "--taker-fee-bp", 10, "--reference", 5, "--data", data),
    )
    assert (market["tick"], market["lot"], market["price_band_bp"]) == ("0.010000", "0.10", 1_000)
    run_json("asset", "issue", "gpu_hour", "seller", "3.5", "--data", data)
    assets = {asset["name"]: asset["issued"] for asset in run_json("asset", "list", "--data", data)}
    assert assets["gpu_hour"] == "3.50"
    with subprocess.Popen(
        [sys.executable, "-m", "exchange", "watch", "gpu", "--json", "--data", str(data)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as watching:
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        assert (first["type"], first["bids"]) == ("book", [])
        async with (
            connect(venue.facts["url"], seller["creds"]) as one,
            connect(venue.facts["url"], buyer["creds"]) as two,
        ):
            await one.sell("gpu", "1.5", "5.00")
            await two.buy("gpu", "0.5", "5.00")
        seen: dict[str, Any] = {}
        while seen.keys() != {"book", "trade"} or seen["book"]["asks"] != [["5.000000", "1.00"]]:
            line = json.loads(watching.stdout.readline())
            seen[line["type"]] = line
        watching.send_signal(signal.SIGINT)
        assert watching.wait(TIMEOUT_S) == 130
    assert (seen["trade"]["price"], seen["trade"]["quantity"]) == ("5.000000", "0.50")
    assert seen["trade"]["taker_side"] == "buy"
    status = run_json("status", "--data", data)
    assert (status["trades"], status["conservation_difference"], status["state"]) == (1, 0, "open")
    assert run("watch", "gpu", "--seconds", "0.3", "--data", data).returncode == 0


def test_a_market_is_halted_and_resumed(venue: Serving) -> None:
    """The phase is told after each."""
    data = venue.data
    run_json("market", "add", "m1", "--base", "unit", "--create-asset", "--tick", 1, "--data", data)
    assert run_json("market", "halt", "m1", "--data", data)["phase"] == "halted"
    assert run_json("market", "resume", "m1", "--data", data)["phase"] == "open"
    assert run_json("market", "halt", "m1", "--cancel-only", "--data", data)["phase"] == "cancel_only"
    assert run_json("market", "resume", "m1", "--auction", 60, "--data", data)["phase"] == "auction"
    listed = {market["name"]: market["phase"] for market in run_json("market", "list", "--data", data)}
    assert listed["m1"] == "auction"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("market", "add", "m2", "--base", "nothing", "--tick", "1"), "no asset 'nothing'; add --create-asset"),
        (("market", "add", "m2", "--base", "u", "--create-asset", "--tick", "0.0000001"), "tick"),
        (("market", "add", "m2", "--base", "u", "--tick", "1", "--band-bp", "5"), "give --reference"),
        (("market", "add", "m 2", "--base", "credit", "--tick", "1"), "market"),
        (("market", "halt", "absent"), "absent"),
        (("asset", "issue", "absent", "carol", "1"), "there is no asset 'absent'"),
        (("asset", "add", "UPPER"), "asset"),
        (("agent", "suspend", "absent"), "absent"),
        (("watch", "absent"), "there is no market 'absent'"),
        (("watch", "a b"), "a b"),
        (("agent", "rotate", "operator", "--grace", "-5m"), "--grace cannot be negative"),
        (("init", "--nsc-keys", "keys"), "--nsc-store"),
        (("init", "--core-account", "MINE"), "--nsc-store"),
    ],
)
def test_what_the_venue_refuses_is_a_message(call: Call, venue: Serving, arguments: tuple[str, ...], told: str) -> None:
    """A mistake ends with exit 1 and says which value was wrong."""
    done = call(*arguments, "--data", venue.data)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


# ── the command line itself ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("frob",), "frob"),
        (("serve", "--prot", "1"), "--prot"),
        (("serve", "--port", "x"), '"x"'),
        (("agent", "add"), "NAME"),
        (("agent", "add", "x", "--owner", "o", "--role", "king"), "king"),
        (("market", "add", "m", "--base", "b", "--tick", "much"), "much"),
        (("init", "--supply", "0"), "--supply"),
        (("verify", "--invariants-every", "-1"), "--invariants-every"),
    ],
)
def test_a_wrong_command_line_is_exit_2_and_points_to_help(call: Call, arguments: tuple[str, ...], told: str) -> None:
    """What was not understood is named, and where to read on."""
    done = call(*arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert "--help`" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "",
        "init",
        "serve",
        "status",
        "watch",
        "verify",
        "demo",
        "agent",
        "agent add",
        "asset issue",
        "market add",
        "task",
        "task post",
        "settlement deliver",
        "lease",
        "contract",
        "debt issue",
        "externality report",
        "module register",
        "module may-write",
        "dispute",
        "parameter",
        "proposal open-work",
        "liens",
    ],
)
def test_every_command_has_help(call: Call, command: str) -> None:
    """Help is printed without a venue."""
    done = call(*command.split(), "--help")
    assert done.returncode == 0
    assert "Usage: exchange" in done.stdout


def test_what_only_asks_does_not_load_the_engine(venue: Serving) -> None:
    """Loading is most of what a short command takes, and of the engine it needs nothing."""
    done = run("agent", "list", "--data", venue.data, env=environment(PYTHONPROFILEIMPORTTIME="1"))
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "agent_sdk" in loaded
    assert {name for name in loaded if name.startswith(("exchange.daemon", "exchange.engine"))} == set()


def test_commands_without_a_venue_say_how_to_find_one(tmp_path: Path) -> None:
    """The next step is named."""
    done = run("status", "--data", tmp_path / "absent")
    assert done.returncode == 1
    assert "holds no venue; give its directory with --data" in done.stderr
    assert not (tmp_path / "absent").exists()


def test_the_venue_is_found_by_the_environment(venue: Serving, tmp_path: Path) -> None:
    """NATS_URL and EXCHANGE_CREDS do for what needs no keys; EXCHANGE_DATA for everything."""
    url, creds = venue.facts["url"], venue.facts["operator_creds"]
    assert run("status", env=environment(NATS_URL=url, EXCHANGE_CREDS=creds)).returncode == 0
    assert run("status", env=environment(EXCHANGE_DATA=str(venue.data))).returncode == 0
    absent = run(*("agent", "add", "x", "--owner", "o", "--data", tmp_path / "no"), "--nats", url, "--creds", creds)
    assert absent.returncode == 1
    assert "credentials are signed with them" in absent.stderr
    bad = run("status", "--nats", url, "--creds", tmp_path / "none.creds")
    assert bad.returncode == 1
    assert "none.creds" in bad.stderr


def test_no_secret_is_in_the_logs(tmp_path: Path) -> None:
    """Neither seeds nor tokens of the venue are logged, at the most talkative level."""
    data = tmp_path / "venue"
    with Serving(data, "--log-level", "debug") as serving:
        run_json("agent", "add", "alice", "--owner", "acme", "--data", data)
        serving.stop()
    logs = serving.log_file.read_text() + (data / "nats" / "nats-server.log").read_text()
    assert "venue is open" in logs
    texts = [file.read_text() for file in (data / "keys").iterdir()]
    texts += [file.read_text() for file in (data / "creds").iterdir()]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    secrets = [line for line in lines if line.startswith(("SO", "SA", "SU", "eyJ")) and len(line) >= 58]
    assert len(secrets) > 10
    for secret in secrets:
        assert secret not in logs


# ── revoking and rotating ───────────────────────────────────────────────────────────────────────


def connects(url: str, creds: Path) -> bool:
    """Tell whether an agent gets in with a credential."""

    async def try_it() -> bool:
        try:
            async with connect(url, creds, timeout=5):
                return True
        except (CredentialsError, ConnectionFailed, Refused):
            return False

    return asyncio.run(try_it())


def test_rotating_ends_the_old_credential_and_not_the_agent(venue: Serving, tmp_path: Path) -> None:
    """While it trades, an agent's credential is replaced: its program goes on by itself, a copy gets in no more."""
    added = run_json("agent", "add", "rita", "--owner", "acme", "--data", venue.data)
    creds, copy = Path(added["creds"]), tmp_path / "copy.creds"
    copy.write_bytes(creds.read_bytes())

    async def trade_on() -> None:
        back = asyncio.Event()
        transport = NatsTransport(venue.facts["url"], creds)
        transport.on_connection(lambda event: back.set() if event.kind == "reconnected" else None)
        async with connect(transport=transport) as agent:
            await asyncio.to_thread(run_json, "agent", "rotate", "rita", "--data", venue.data)
            async with asyncio.timeout(TIMEOUT_S):
                await back.wait()
            assert (await agent.balances())["credit"].available > 0

    asyncio.run(trade_on())
    assert connects(venue.facts["url"], creds)
    assert not connects(venue.facts["url"], copy)
    # The same again with time to spare: now the one before still counts.
    copy.write_bytes(creds.read_bytes())
    out = tmp_path / "new.creds"
    facts = run_json("agent", "rotate", "rita", "--grace", "1h", "--out", out, "--data", venue.data)
    assert facts == {"agent": "rita", "creds": str(out), "grace_s": 3_600}
    assert connects(venue.facts["url"], copy)
    assert connects(venue.facts["url"], out)


def test_revoking_ends_agent_credential_and_session(venue: Serving) -> None:
    """One command, which may be repeated, and everything of it is done; the server knows it, too."""
    added = run_json("agent", "add", "rolf", "--owner", "acme", "--data", venue.data)

    async def be_cut_off() -> None:
        lost = asyncio.Event()
        transport = NatsTransport(venue.facts["url"], added["creds"])
        transport.on_connection(lambda event: lost.set() if event.kind == "disconnected" else None)
        async with connect(transport=transport):
            await asyncio.to_thread(run_json, "agent", "revoke", "rolf", "--data", venue.data)
            async with asyncio.timeout(TIMEOUT_S):
                await lost.wait()

    asyncio.run(be_cut_off())
    assert not connects(venue.facts["url"], Path(added["creds"]))
    again = run_json("agent", "revoke", "rolf", "--data", venue.data)
    assert again == {"agent": "rolf", "state": "revoked", "changed": False, "credentials_revoked": True}
    done = run("agent", "rotate", "rolf", "--data", venue.data)
    assert "agent 'rolf' was revoked for good" in done.stderr
    done = run("agent", "rotate", "nobody", "--data", venue.data)
    assert "agent 'nobody' is not registered" in done.stderr


def test_what_was_revoked_from_afar_is_reconciled_with_the_keys(venue: Serving, tmp_path: Path) -> None:
    """Without the keys the venue's part is done and the rest is told; where they are one command does it."""
    run_json("agent", "add", "rosa", "--owner", "acme", "--data", venue.data)
    operator = venue.facts["operator_creds"]
    afar = ("--data", tmp_path / "none", "--nats", venue.facts["url"], "--creds", operator)
    done = run("agent", "revoke", "rosa", *afar)
    assert done.returncode == 0, done.stderr
    assert "rosa is revoked." in done.stdout
    assert "run `exchange agent reconcile` where the venue's keys are" in done.stderr
    assert run("agent", "rotate", "rosa", *afar).returncode == 1
    assert run_json("agent", "reconcile", "--data", venue.data) == {"revoked": ["rosa"]}
    assert run_json("agent", "reconcile", "--data", venue.data) == {"revoked": []}

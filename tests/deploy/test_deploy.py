"""The files in deploy/, read by the programs that they are for."""

from __future__ import annotations

import asyncio
import configparser
import contextlib
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nats
import nats.errors
import pytest
import yaml

from exchange.adapters.credentials import Keyring
from exchange.adapters.embedded_server import find_server, server_config
from tests.deploy.site import CLUSTER, DEPLOY, Site, environment, make_site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TIMEOUT_S = 30.0


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Prepare the servers' configuration as an operator would."""
    return make_site(tmp_path / "nats", Keyring.create(tmp_path / "keys"))


@contextlib.asynccontextmanager
async def running(site: Site, files: list[str]) -> AsyncIterator[list[str]]:
    """Run a server for each file; give their URLs, and stop them in the end."""
    variables = environment(site, len(files))
    servers: list[asyncio.subprocess.Process] = []
    try:
        for file, env in zip(files, variables, strict=True):
            with (site.directory / f"{file}.log").open("wb") as log:
                command = [str(find_server()), "--config", str(site.directory / file)]
                servers.append(
                    await asyncio.create_subprocess_exec(*command, env=env, stdout=log, stderr=log),
                )
        yield [f"nats://127.0.0.1:{env['EXCHANGE_NATS_PORT']}" for env in variables]
    finally:
        for server in servers:
            with contextlib.suppress(ProcessLookupError):
                server.kill()
            await server.wait()


async def create_stream(site: Site, urls: list[str], replicas: int) -> int:
    """Create a stream as the journal does, as soon as the servers can; return its peers."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            try:
                return await _try_create_stream(site, urls, replicas)
            except (OSError, nats.errors.Error):
                # Not up yet, or still electing; the time-out bounds it.
                await asyncio.sleep(0.05)


async def _try_create_stream(site: Site, urls: list[str], replicas: int) -> int:
    async def ignore(_: Exception) -> None:
        """Wait for the next attempt."""

    client = await nats.connect(
        urls,
        user_credentials=str(site.keyring.journal_creds_path),
        inbox_prefix="_INBOX.journal",
        error_cb=ignore,
        max_reconnect_attempts=1,
        reconnect_time_wait=0.01,
    )
    try:
        stream = client.jetstream(timeout=2)
        info = await stream.add_stream(name="J", subjects=["journal"], num_replicas=replicas)
        assert (await stream.publish("journal", b"1")).seq == 1
        return 1 + len((info.cluster and info.cluster.replicas) or [])
    finally:
        await client.close()


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """Run a checking program; return what it says, or fail with it."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env=env,
        check=False,
        timeout=TIMEOUT_S,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def promtool(*arguments: str | Path) -> str:
    """Run promtool."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("there is no promtool: install Debian's package `prometheus`")
    return run(program, *arguments)


@pytest.mark.parametrize("file", ["single.conf", *CLUSTER])
def test_nats_server_accepts(site: Site, file: str) -> None:
    """nats-server's own check passes on each configuration."""
    said = run(find_server(), "-t", "-c", site.directory / file, env=environment(site, 3)[0])
    assert "is valid" in said


def test_a_server_without_its_variables_does_not_start(site: Site) -> None:
    """A forgotten variable is an error that names it, not a default."""
    env = environment(site, 1)[0]
    del env["EXCHANGE_NATS_STORE"]
    with pytest.raises(AssertionError, match="EXCHANGE_NATS_STORE"):
        run(find_server(), "-t", "-c", site.directory / "single.conf", env=env)


def test_nats_server_accepts_the_written_configuration(site: Site) -> None:
    """server_config() is a whole configuration for an external server."""
    file = site.directory / "written.conf"
    file.write_text(server_config(site.keyring, store_dir=site.directory / 'a "quoted" store'))
    assert "is valid" in run(find_server(), "-t", "-c", file)


async def test_a_single_server_keeps_a_journal(site: Site) -> None:
    """The single configuration starts a server in which the journal can be created."""
    async with running(site, ["single.conf"]) as urls:
        assert await create_stream(site, urls, replicas=1) == 1


async def test_a_cluster_keeps_a_replicated_journal(site: Site) -> None:
    """The three configurations form a cluster that holds a stream on three servers."""
    async with running(site, CLUSTER) as urls:
        assert await create_stream(site, urls, replicas=3) == 3


def test_the_cluster_files_differ_by_their_number_only() -> None:
    """What is said of one server of the cluster is said of each."""
    texts = [(DEPLOY / "nats" / file).read_text() for file in CLUSTER]
    for number, text in enumerate(texts, 1):
        same = text.replace(f"exchange-{number}", "exchange-1")
        assert same.replace(f"# Server {number} ", "# Server 1 ") == texts[0]


def test_promtool_accepts_the_configuration_and_the_rules() -> None:
    """Prometheus's own checks pass, lints included."""
    assert "SUCCESS" in promtool("check", "config", "--lint-fatal", DEPLOY / "prometheus.yml")
    assert "SUCCESS" in promtool("check", "rules", "--lint-fatal", DEPLOY / "alerts.yml")


ALERTS = {
    "ExchangeConservationBroken": (
        'exchange_conservation_difference{asset="credit"}',
        "0x20",
        "1x20",
    ),
    "ExchangeInvariantsBroken": ("exchange_invariants_broken", "0x20", "0 1x20"),
    "ExchangeMechanismSuspended": ('exchange_mechanism_suspended{mechanism="orders"}', "0x20", "0 1x20"),
    "ExchangePoisoned": ("exchange_quarantined_commands", "0x20", "0 1x20"),
    "ExchangeSnapshotFailed": ('exchange_snapshots_total{outcome="failed"}', "0x20", "0 1x20"),
    "ExchangePreservationFailed": ('exchange_preservations_total{outcome="failed"}', "0x20", "0 1x20"),
    "ExchangeDown": ('up{job="exchange"}', "1x20", "0x20"),
    "ExchangeAbsent": ("exchange_journal_index", "1+5x20", ""),
    "ExchangeNotLeading": ("exchange_journal_index", "1+5x20", "7x20"),
    "ExchangeClockRefused": ("exchange_clock_refused", "0x20", "1x20"),
    "ExchangeClockOff": ("exchange_clock_offset_seconds", "-2x20", "-3600x20"),
    "ExchangeJournalLag": ("exchange_journal_lag_seconds", "0x20", "4x20"),
    "ExchangeJournalStoreFull": ("exchange_journal_store_used_bytes", "70x20", "90x20"),
    "ExchangeGatewayDrops": (
        'exchange_gateway_refusals_total{reason="malformed"}',
        "0+1x60",
        "0+200x60",
    ),
    "ExchangeAgentFloods": (
        'exchange_gateway_kicks_total{reason="flood"}',
        "3x60",
        "0x20 1x40",
    ),
    "ExchangeJournalWritesSlow": (
        'exchange_journal_write_seconds_bucket{le="0.1"}',
        "0+9x60",
        "0+1x60",
    ),
    "ExchangeAcksSlow": ('exchange_ack_seconds_bucket{le="0.5"}', "0+9x60", "0+1x60"),
}

WORK_ALERTS = {
    "ExchangeSolverMissing",
    "ExchangeSolverRefused",
    "ExchangeLiensGrow",
    "ExchangeArbitratorsFew",
    "ExchangeDisputesUndecided",
    "ExchangeDisputeLate",
}
"""They are tested in a file of their own."""


@pytest.mark.parametrize("alert", ALERTS)
@pytest.mark.parametrize("bad", [False, True])
def test_alerts_fire_when_they_should(tmp_path: Path, alert: str, *, bad: bool) -> None:
    """Each alert is silent on good values and fires on bad ones."""
    name, fine, broken = ALERTS[alert]
    values = broken if bad else fine
    series = [{"series": name, "values": values}] if values else []
    if "_used_bytes" in name:
        series.append({"series": "exchange_journal_store_limit_bytes", "values": "100x20"})
    if "_bucket" in name:
        metric = name.partition("{")[0]
        slowest = [{"series": f'{metric}{{le="{le}"}}', "values": "0+9x60"} for le in ("5", "+Inf")]
        series += slowest
    test = {
        "interval": "5s",
        "input_series": series or [{"series": "other", "values": "0x20"}],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)',
                "eval_time": "4m" if "x60" in fine else "90s",
                "exp_samples": [{"labels": "{}", "value": int(bad)}],
            },
        ],
    }
    file = tmp_path / "test.yml"
    rules = {"rule_files": [str(DEPLOY / "alerts.yml")], "evaluation_interval": "5s"}
    file.write_text(yaml.safe_dump(rules | {"tests": [test]}))
    promtool("test", "rules", file)


def test_every_alert_is_tested_and_explained() -> None:
    """The tables above list every alert, each of which says how bad it is and what to do."""
    groups = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["alert"] for rule in rules} == {*ALERTS, *WORK_ALERTS}
    for rule in rules:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_compose_mounts_what_exists() -> None:
    """compose.yaml parses, and the files that it names exist and stay on localhost."""
    compose: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    venue, prometheus = compose["services"]["venue"], compose["services"]["prometheus"]
    assert (DEPLOY / venue["build"]["context"] / venue["build"]["dockerfile"]).is_file()
    sources = [mount.partition(":")[0] for mount in prometheus["volumes"] + venue["volumes"]]
    assert all((DEPLOY / source).is_file() for source in sources if source.startswith("."))
    assert {source for source in sources if source[0] not in "./"} == set(compose["volumes"])
    assert all(port.startswith("127.0.0.1:") for port in venue["ports"])
    assert prometheus["network_mode"] == "service:venue"


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """The check of systemd itself passes, and the unit says what it must."""
    text = (DEPLOY / "exchange.service").read_text()
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text)
    assert unit["Service"]["ExecStart"].endswith("exchange serve --data /var/lib/exchange")
    assert unit["Service"]["KillMode"] == "mixed"
    program = shutil.which("systemd-analyze")
    if program is None:
        return
    # It wants the program to exist, which is installed later than it is tested.
    file = tmp_path / "exchange.service"
    file.write_text(text.replace("/opt/exchange/bin/exchange", "/bin/true"))
    said = run(program, "verify", "--man=no", "--recursive-errors=no", file)
    assert "exchange.service:" not in said

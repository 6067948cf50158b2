"""The metrics of a real daemon, read by the programs of Prometheus itself."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import msgspec
import pytest
import pytest_asyncio

from exchange.config import Config, LogSettings, MetricsSettings, NatsSettings
from exchange.daemon import Daemon, DaemonError
from exchange.messages.orders import PlaceOrder
from tests.metrics.scene import CREDIT, Scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

DEPLOY = Path(__file__).parents[2] / "deploy"
TIMEOUT_S = 30.0


def program(name: str) -> str:
    """Return the path of one of Prometheus's programs, or skip."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is missing; it is in Debian's package prometheus (apt install prometheus)")
    return path


@pytest_asyncio.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    """Run a daemon with an embedded server on free ports."""
    daemon = Daemon(
        Config(
            data=tmp_path / "venue",
            nats=NatsSettings(port=0),
            metrics=MetricsSettings(port=0),
            log=LogSettings(level="warning"),
        )
    )
    await daemon.start()
    yield daemon
    await daemon.stop()


def get(url: str) -> tuple[int, bytes]:
    """Return status and body of a page."""
    try:
        with urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - our own servers
            return answer.status, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def check_metrics(text: bytes) -> subprocess.CompletedProcess[str]:
    """Let promtool judge names, helps, types and samples."""
    return subprocess.run(
        [program("promtool"), "check", "metrics"], input=text.decode(), capture_output=True, text=True,
        timeout=TIMEOUT_S, check=False,
    )  # fmt: skip


def names_in(text: str) -> set[str]:
    """Return every metric of ours that a file names."""
    return set(re.findall(r"\bexchange_\w+", text))


def test_promtool_accepts_a_venue_that_has_traded() -> None:
    """With prices, rejections and more than 200 markets, promtool finds no fault."""
    scene = Scene()
    for number in range(201):
        scene.venue.market(f"m{number}", base="cpu")
    for market in ("m0", "m200"):
        scene.venue.sell("alice", 5, CREDIT, market=market)
        scene.venue.buy("bob", 2, CREDIT, market=market)
        scene.venue.buy("bob", 2, CREDIT // 2, market=market)
    scene.receive("alice", scene.command("alice", PlaceOrder, market="cpu", side="sell", quantity=1, price=CREDIT))
    scene.lead(apply_s=0.001)
    result = check_metrics(scene.metrics.render()[0])
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


async def test_promtool_accepts_what_a_daemon_serves(daemon: Daemon) -> None:
    """The output of a daemon that has just started is without fault, and its health is good."""
    assert daemon.metrics_url is not None
    status, text = await asyncio.to_thread(get, daemon.metrics_url)
    assert status == 200
    result = await asyncio.to_thread(check_metrics, text)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    status, body = await asyncio.to_thread(get, daemon.metrics_url.replace("/metrics", "/healthz"))
    health = msgspec.json.decode(body)
    assert (status, health["state"], health["epoch"]) == (200, "leading", 1)
    assert health["index"] >= 2


def test_what_the_alerts_name_exists() -> None:
    """Every metric that the files of the deployment name is among those that a venue exports."""
    scene = Scene()
    scene.venue.sell("alice", 1, CREDIT)
    exported = {sample.name for family in scene.metrics.registry.collect() for sample in family.samples}
    exported |= {family.name for family in scene.metrics.registry.collect()}
    for name in ("alerts.yml", "prometheus.yml"):
        assert names_in((DEPLOY / name).read_text()) <= exported, name
    assert len(names_in((DEPLOY / "alerts.yml").read_text())) >= 5


async def test_a_taken_port_stops_the_start(tmp_path: Path) -> None:
    """A daemon whose metrics have no port does not start, and says which port it is."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = Config(data=tmp_path, nats=NatsSettings(port=0), metrics=MetricsSettings(port=port))
        with pytest.raises(DaemonError, match=f"port {port}: another program uses it"):
            await Daemon(config).start()


# ── Prometheus itself ───────────────────────────────────────────────────────────────────────────


@contextlib.asynccontextmanager
async def prometheus(directory: Path, target: str) -> AsyncIterator[str]:
    """Run Prometheus with the deployment's files on a free port; yield its URL."""
    binary = program("prometheus")
    config = (DEPLOY / "prometheus.yml").read_text()
    assert "127.0.0.1:9464" in config
    directory.mkdir()
    # The intervals of the deployment would make the test wait for ten seconds.
    config = config.replace("127.0.0.1:9464", target).replace(": 5s", ": 200ms")
    (directory / "prometheus.yml").write_text(config)
    shutil.copy(DEPLOY / "alerts.yml", directory)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = (directory / "log").open("wb")
    process = await asyncio.create_subprocess_exec(
        binary, "--config.file=prometheus.yml", "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{port}", cwd=directory, stdout=log, stderr=log,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        await until(lambda: get(f"{url}/-/ready")[0] == 200, f"Prometheus is not ready; see {directory / 'log'}")
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()
        log.close()


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until something is so; fail with ``what`` when it is not in time."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                with contextlib.suppress(URLError, ConnectionError):
                    if await asyncio.to_thread(condition):
                        return
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(what)


def ask(url: str, expression: str) -> list[float]:
    """Return the values of an expression at Prometheus."""
    _, body = get(f"{url}/api/v1/query?{urlencode({'query': expression})}")
    answer: Any = msgspec.json.decode(body)
    assert answer["status"] == "success", answer
    return [float(sample["value"][1]) for sample in answer["data"]["result"]]


def is_above(url: str, expression: str, bound: float) -> bool:
    """Return whether an expression has one value, above a bound."""
    values = ask(url, expression)
    return len(values) == 1 and values[0] > bound


async def test_prometheus_scrapes_a_daemon(daemon: Daemon, tmp_path: Path) -> None:
    """With the deployment's files Prometheus sees the journal grow, and no alert is pending."""
    assert daemon.metrics_url is not None
    target = daemon.metrics_url.removeprefix("http://").removesuffix("/metrics")
    async with prometheus(tmp_path / "prometheus", target) as url:
        await until(partial(is_above, url, 'up{job="exchange"}', 0), "Prometheus reached no daemon")
        (index,) = await asyncio.to_thread(ask, url, "exchange_journal_index")
        # The heartbeat writes a record each second.
        await until(partial(is_above, url, "exchange_journal_index", index), "the journal did not grow")
        assert await asyncio.to_thread(ask, url, "exchange_build_info") == [1]
        assert await asyncio.to_thread(ask, url, "exchange_conservation_difference") == [0]
        slow = "histogram_quantile(0.99, sum by (le) (rate(exchange_journal_write_seconds_bucket[5m])))"
        await until(lambda: is_above(url, slow, 0), "the journal's writes have no quantile")
        _, body = await asyncio.to_thread(get, f"{url}/api/v1/rules")
        groups: Any = msgspec.json.decode(body)["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert len(rules) >= 5
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}, rules
        assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []

"""Serving metrics and health over HTTP."""

from __future__ import annotations

import socket
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from exchange.adapters.metrics import MetricsServer, _server
from tests.metrics.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_S = 10.0


@pytest.fixture
def scene() -> Scene:
    """Return a venue that was not led yet."""
    return Scene()


@pytest.fixture
def server(scene: Scene) -> Iterator[MetricsServer]:
    """Serve the scene's metrics on a free port."""
    server = MetricsServer(scene.metrics, "127.0.0.1", 0)
    server.start()
    yield server
    server.stop()


def fetch(url: str, **headers: str) -> tuple[int, str, bytes]:
    """Return status, content type and body, whatever the status."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S) as answer:  # noqa: S310 - our own server
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def health(server: MetricsServer) -> tuple[int, Any]:
    """Return status and content of the health page."""
    status, _, body = fetch(server.url.replace("/metrics", "/healthz"))
    return status, msgspec.json.decode(body)


def connect(server: MetricsServer) -> socket.socket:
    """Open a connection that sends nothing."""
    port = int(server.url.rpartition(":")[2].removesuffix("/metrics"))
    return socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)


def wait_threads(count: int) -> None:
    """Wait until at least so many threads more than the main one run."""
    deadline = time.monotonic() + TIMEOUT_S
    while threading.active_count() <= count:
        assert time.monotonic() < deadline, "the connections were not taken"
        time.sleep(0.005)


def test_metrics_come_as_text(server: MetricsServer) -> None:
    """Without wishes the classic text format is served, and a free port is named by the URL."""
    status, content_type, body = fetch(server.url)
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b"\nexchange_journal_index " in body
    assert ":0/" not in server.url


def test_metrics_come_as_open_metrics(server: MetricsServer) -> None:
    """Who asks for OpenMetrics gets it."""
    _, content_type, body = fetch(server.url, Accept="application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_health_follows_the_journal(scene: Scene, server: MetricsServer) -> None:
    """The health page says 503 until the first record, 200 while records come, 503 when they cease."""
    status, found = health(server)
    assert (status, found["state"]) == (503, "starting")
    index = scene.lead().batch.index
    scene.now_s += 0.25
    assert health(server) == (200, {"state": "leading", "index": index, "epoch": 0, "lag_seconds": 0.25})
    scene.now_s += 5.0
    status, found = health(server)
    assert (status, found["state"], found["lag_seconds"]) == (503, "stalled", 5.25)


def test_other_paths_are_not_found(server: MetricsServer) -> None:
    """What is not served is answered with what is."""
    status, _, body = fetch(server.url.replace("/metrics", "/"))
    assert status == 404
    assert b"/healthz" in body


def test_only_reading_is_served(server: MetricsServer) -> None:
    """Other methods than GET are refused."""
    request = urllib.request.Request(server.url, data=b"", method="POST")  # noqa: S310 - our own server
    with pytest.raises(urllib.error.HTTPError, match="501") as refusal:
        urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310 - as before
    refusal.value.close()


def test_a_taken_port_is_named(scene: Scene, server: MetricsServer) -> None:
    """A port that another program uses is an error that names it and says what to do."""
    port = int(server.url.rpartition(":")[2].removesuffix("/metrics"))
    with pytest.raises(OSError, match=f"127.0.0.1 port {port}: another program uses it; choose another port"):
        MetricsServer(scene.metrics, "127.0.0.1", port).start()


def test_a_foreign_address_is_named(scene: Scene) -> None:
    """An address that is not this machine's is an error that names it."""
    with pytest.raises(OSError, match=r"metrics cannot be served on 192\.0\.2\.1 port 0: "):
        MetricsServer(scene.metrics, "192.0.2.1", 0).start()


def test_ipv6_is_served(scene: Scene) -> None:
    """The loopback address of IPv6 does as well, in brackets."""
    server = MetricsServer(scene.metrics, "::1", 0)
    try:
        server.start()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    assert server.url.startswith("http://[::1]:")
    assert fetch(server.url)[0] == 200
    server.stop()


def test_the_port_is_free_after_stopping(scene: Scene, server: MetricsServer) -> None:
    """stop() can be repeated, ends every thread, and the port can be served again at once."""
    fetch(server.url)
    port = int(server.url.rpartition(":")[2].removesuffix("/metrics"))
    server.stop()
    server.stop()
    assert threading.active_count() == 1
    again = MetricsServer(scene.metrics, "127.0.0.1", port)
    again.start()
    assert fetch(again.url)[0] == 200
    again.stop()


def test_who_says_nothing_does_not_hold_up_others(server: MetricsServer) -> None:
    """A silent connection has a thread of its own, and stopping cuts it off at once."""
    with connect(server) as silent:
        wait_threads(2)
        assert fetch(server.url)[0] == 200
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < _server._REQUEST_TIMEOUT_S / 2
        assert silent.recv(1) == b""


def test_connections_are_bounded(server: MetricsServer) -> None:
    """Beyond so many connections a further one is closed, and the others go on."""
    held = [connect(server) for _ in range(_server._CONNECTIONS_MAX)]
    wait_threads(1 + len(held))
    with connect(server) as excess:
        assert excess.recv(1) == b""
    held.pop().close()
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            status = fetch(server.url)[0]
            break
        except (OSError, urllib.error.URLError):
            # The place of who left is free as soon as its thread has noticed.
            assert time.monotonic() < deadline
    assert status == 200
    for connection in held:
        connection.close()


def test_a_failing_scrape_is_a_failed_request(
    scene: Scene, server: MetricsServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """When the metrics cannot be rendered the client gets no answer, and the server goes on."""

    def fail(_: str) -> None:
        message = "no metrics today"
        raise ValueError(message)

    with monkeypatch.context() as patch:
        patch.setattr(scene.metrics, "render", fail)
        with pytest.raises((OSError, urllib.error.URLError)):
            fetch(server.url)
    assert fetch(server.url)[0] == 200
    assert "no metrics today" in "".join(capsys.readouterr())

"""Serve ``/metrics`` and ``/healthz`` over HTTP, from threads of its own."""

from __future__ import annotations

import contextlib
import errno
import socket
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

if TYPE_CHECKING:
    from exchange.adapters.metrics._metrics import Metrics

__all__ = ["MetricsServer"]

_REQUEST_TIMEOUT_S: Final = 5.0
_CONNECTIONS_MAX: Final = 16
_POLL_S: Final = 0.1
"""How long stopping may take when nobody is connected."""

log = structlog.get_logger(__name__)


class MetricsServer:
    """Serve ``/metrics`` and ``/healthz``; ``port`` 0 means a free one, and ``url`` tells which."""

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        self._metrics = metrics
        self._host = host
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Return the address of the metrics; that of a free port is known once serving."""
        port = self._port if self._server is None else self._server.server_address[1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{port}/metrics"

    def start(self) -> None:
        """Start serving.

        Raises:
            OSError: the address cannot be used; the message says which and what to do.
        """
        try:
            server = _server_type(self._host)((self._host, self._port), self._metrics)
        except OSError as error:
            raise OSError(_explain(self._host, self._port, error)) from error
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever, args=(_POLL_S,), name="exchange-metrics", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop serving, cut off who is still connected, and free the port; may be repeated."""
        server, self._server = self._server, None
        thread, self._thread = self._thread, None
        if server is None or thread is None:
            return
        server.shutdown()
        thread.join()
        server.close_connections()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answer one request per connection."""

    server: _Server
    timeout = _REQUEST_TIMEOUT_S
    server_version = "exchange"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer the two addresses that there are."""
        path = self.path.partition("?")[0]
        metrics = self.server.metrics
        if path == "/metrics":
            body, content_type = metrics.render(self.headers.get("Accept", ""))
            self._answer(200, body, content_type)
        elif path == "/healthz":
            health = metrics.health()
            status = 200 if health.state in {"leading", "following"} else 503
            self._answer(status, msgspec.json.encode(health), "application/json")
        else:
            self._answer(404, b"There are /metrics and /healthz.\n", "text/plain; charset=utf-8")

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: scrapes come every few seconds."""


class _Server(socketserver.ThreadingTCPServer):
    """Give each of a few connections a thread; close at once those that are too many."""

    allow_reuse_address = True
    request_queue_size = 2 * _CONNECTIONS_MAX
    # Each thread ends with its connection, which ``close_connections`` ends: joining them is quick.
    daemon_threads = False
    block_on_close = True

    def __init__(self, address: tuple[str, int], metrics: Metrics) -> None:
        self.metrics = metrics
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def verify_request(self, request: object, client_address: object) -> bool:
        """Take a connection unless there are too many."""
        del client_address
        assert isinstance(request, socket.socket)  # noqa: S101 - this is TCP
        with self._lock:
            if len(self._connections) >= _CONNECTIONS_MAX:
                return False
            self._connections.add(request)
            return True

    def shutdown_request(self, request: object) -> None:
        """Close a connection."""
        assert isinstance(request, socket.socket)  # noqa: S101 - this is TCP
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """End every connection, whatever its thread waits for."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log what went wrong with one request, unless it was the client that hung up."""
        del request
        error = sys.exception()
        if not isinstance(error, OSError):
            log.error("a request for metrics failed", client=client_address, exc_info=error)


class _ServerV6(_Server):
    address_family = socket.AF_INET6


def _server_type(host: str) -> type[_Server]:
    return _ServerV6 if ":" in host else _Server


def _explain(host: str, port: int, error: OSError) -> str:
    """Say why an address cannot be served, and what to do about it."""
    where = f"metrics cannot be served on {host} port {port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where}: another program uses it; choose another port, or 0 for a free one"
    if error.errno == errno.EACCES:
        return f"{where}: it needs privileges; choose a port above 1023, or 0 for a free one"
    return f"{where}: {error.strerror or error}"

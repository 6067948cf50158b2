"""An agent that floods: it sends as fast as the socket takes it, hears nothing, and comes back when it is cut off.

Started as a process: ``python -m tests.faults.flooder URL CREDS SECONDS KIND``. It prints a line of JSON at its end.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from base64 import urlsafe_b64encode
from pathlib import Path

import nkeys

KINDS = {
    "commands": b"PUB exchange.v1.cmd.%b.orders _INBOX.%b.1 %d\r\n%b\r\n",
    "queries": b"PUB exchange.v1.query.%b.venue _INBOX.%b.1 %d\r\n%b\r\n",
}
_BURST = 500
_PATIENCE_S = 2.0


def log_in(url: str, creds: Path) -> socket.socket:
    """Connect and log in by hand."""
    words = creds.read_text().split()
    token = next(word for word in words if word.startswith("eyJ"))
    seed = next(word for word in words if word.startswith("SU"))
    host, _, port = url.removeprefix("nats://").rpartition(":")
    link = socket.create_connection((host, int(port)), timeout=_PATIENCE_S)
    line = b""
    while not line.endswith(b"\r\n"):
        line += link.recv(4_096)
    nonce = json.loads(line.removeprefix(b"INFO "))["nonce"]
    signature = urlsafe_b64encode(nkeys.from_seed(seed.encode()).sign(nonce.encode())).rstrip(b"=").decode()
    hello = {"jwt": token, "sig": signature, "verbose": False, "pedantic": False, "lang": "raw", "version": "1"}
    link.sendall(b"CONNECT " + json.dumps(hello).encode() + b"\r\n")
    return link


def main() -> None:
    """Flood until the time is over."""
    url, creds, seconds, kind = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    agent = creds.stem.encode()
    # Well-formed as far as anybody can tell without reading it.
    payload = b'{"type":"orders.place","id":"flood.1","valid_until_us":1,"market":"cpu","side":"buy","quantity":1}'
    burst = KINDS[kind] % (agent, agent, len(payload), payload) * _BURST
    sent = cuts = 0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with log_in(url, creds) as link:
                while time.monotonic() < deadline:
                    link.sendall(burst)
                    sent += _BURST
        except (OSError, ValueError):
            cuts += 1
    print(json.dumps({"sent": sent, "cuts": cuts}))  # noqa: T201 - its result


if __name__ == "__main__":
    main()

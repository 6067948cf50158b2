"""Lay out the servers of deploy/ as an operator would, for tests that run them."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from exchange.adapters.credentials import Keyring
from exchange.adapters.embedded_server import auth_config

__all__ = ["CLUSTER", "DEPLOY", "Site", "environment", "free_ports", "make_site"]

DEPLOY = Path(__file__).parents[2] / "deploy"
CLUSTER = ["cluster-1.conf", "cluster-2.conf", "cluster-3.conf"]


@dataclass
class Site:
    """A copy of deploy/nats with an `auth.conf`, and what `exchange init` would leave."""

    directory: Path
    keyring: Keyring


def make_site(directory: Path, keyring: Keyring) -> Site:
    """Prepare the servers' configuration in a directory that does not exist yet."""
    shutil.copytree(DEPLOY / "nats", directory)
    (directory / "auth.conf").write_text(auth_config(keyring))
    return Site(directory, keyring)


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(probe.getsockname()[1]) for probe in probes]


def environment(site: Site, count: int) -> list[dict[str, str]]:
    """Return the variables of each of `count` servers."""
    ports = free_ports(2 * count)
    password = "aRoutePassword"  # noqa: S105 - of a server that lives for one test
    routes = [f"nats-route://route:{password}@127.0.0.1:{port}" for port in ports[count:]]
    shared = {f"EXCHANGE_ROUTE_{n}": route for n, route in enumerate(routes, 1)}
    return [
        os.environ
        | shared
        | {
            "EXCHANGE_NATS_HOST": "127.0.0.1",
            "EXCHANGE_NATS_PORT": str(ports[n]),
            "EXCHANGE_NATS_STORE": str(site.directory / f"store-{n}"),
            "EXCHANGE_CLUSTER_HOST": "127.0.0.1",
            "EXCHANGE_CLUSTER_PORT": str(ports[count + n]),
            "EXCHANGE_ROUTE_PASSWORD": password,
        }
        for n in range(count)
    ]

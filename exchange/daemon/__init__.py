"""The daemon: a host for the engine, the loop that leads, and what connects them to the world."""

from __future__ import annotations

from exchange.daemon.daemon import Daemon, DaemonError, StartOver, TakeoverRefused
from exchange.daemon.host import Host
from exchange.daemon.leader import Leader

__all__ = ["Daemon", "DaemonError", "Host", "Leader", "StartOver", "TakeoverRefused"]

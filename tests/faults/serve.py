"""Serve a venue in a process of its own, to be killed: ``python -m tests.faults.serve DATA PORT``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from exchange.config import Config, MetricsSettings, NatsSettings
from exchange.daemon import Daemon, DaemonError


async def _serve(data: Path, port: int) -> None:
    daemon = Daemon(Config(data=data, nats=NatsSettings(port=port), metrics=MetricsSettings(port=0)))
    await daemon.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    try:
        await daemon.wait()
    finally:
        await daemon.stop()


if __name__ == "__main__":
    try:
        asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
    except DaemonError as error:
        sys.exit(f"error: {error}")

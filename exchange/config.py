"""Hold the settings of the daemon, in the shape of its TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from exchange.adapters.gateway import GatewayLimits

__all__ = ["Config", "LogSettings", "MetricsSettings", "NatsSettings"]

Port = Annotated[int, Meta(ge=0, le=65_535)]


class NatsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say which NATS server to use: an external one by ``url``, else an embedded one on ``port``.

    ``port`` 0 means a free one. ``creds`` and ``journal_creds`` default to the venue's keyring.
    """

    url: str | None = None
    creds: Path | None = None
    journal_creds: Path | None = None
    host: str = "127.0.0.1"
    port: Port = 4222
    sync: Literal["always", "lazy"] = "always"


class MetricsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say where ``/metrics`` and ``/healthz`` are served; ``port`` 0 means a free one."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 9464


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say how much is logged, and how: ``auto`` is colourful on a terminal and JSON elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hold everything that ``exchange serve`` can be told."""

    data: Path = Path("exchange-data")
    nats: NatsSettings = NatsSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()
    limits: GatewayLimits = GatewayLimits()

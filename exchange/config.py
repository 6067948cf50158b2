"""Hold the settings of the daemon, in the shape of its TOML file, and read them.

They come from the file, then from the environment, then from flags; the later wins. A variable is named
``EXCHANGE_<SECTION>__<KEY>``, such as ``EXCHANGE_NATS__URL``; ``NATS_URL`` and ``EXCHANGE_DATA`` count too.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from exchange.adapters.gateway_limits import GatewayLimits

__all__ = [
    "Config",
    "ConfigError",
    "JournalSettings",
    "LogSettings",
    "MetricsSettings",
    "NatsSettings",
    "SnapshotSettings",
    "StandbySettings",
    "load_config",
]

Port = Annotated[int, Meta(ge=0, le=65_535)]


class ConfigError(Exception):
    """Raised when a setting is wrong; the message names where it stands and what was expected."""


class NatsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say which NATS server to use: an external one by ``url``, else an embedded one on ``port``.

    ``port`` 0 means a free one. The credentials default to the venue's keyring. ``tls_*`` is for the daemon's own
    connections, ``server_*`` for the embedded server: its certificate, and the authority of the clients' when it
    asks for them.
    """

    url: str | None = None
    creds: Path | None = None
    journal_creds: Path | None = None
    system_creds: Path | None = None
    host: str = "127.0.0.1"
    port: Port = 4222
    sync: Literal["always", "lazy"] = "always"
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    server_cert: Path | None = None
    server_key: Path | None = None
    server_client_ca: Path | None = None


class MetricsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say where ``/metrics`` and ``/healthz`` are served; ``port`` 0 means a free one."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 9464


class SnapshotSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say how often a snapshot is taken (0: never) and how many are kept.

    A start replays at most about ``every_commands`` commands beyond the newest snapshot. With ``copies`` the
    daemon that leads also puts each into an object store of the journal's server.
    """

    every_commands: Annotated[int, Meta(ge=0)] = 500_000
    keep: Annotated[int, Meta(ge=2)] = 2
    copies: bool = True


class JournalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say what becomes of records that no kept snapshot needs any more.

    ``trim`` says which the journal lets go of: none, those that are in ``archive``, or all.
    """

    archive: Path | None = None
    trim: Literal["never", "archived", "always"] = "archived"


class StandbySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say whether to follow another daemon, and after how many seconds of its silence to lead in its place.

    ``takeover_after_s`` must be the same in all daemons of a venue: a leader falls silent before it has passed.
    """

    enabled: bool = False
    takeover_after_s: Annotated[float, Meta(ge=0.2, le=60)] = 3.0


class ClockSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say whether to lead also where the clock stands before the journal's time, or more than an hour past it."""

    accept_time: bool = False


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say how much is logged, and how: ``auto`` is colourful on a terminal and JSON elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hold everything that ``exchange serve`` can be told."""

    data: Path = Path("exchange-data")
    nats: NatsSettings = NatsSettings()
    metrics: MetricsSettings = MetricsSettings()
    snapshots: SnapshotSettings = SnapshotSettings()
    journal: JournalSettings = JournalSettings()
    standby: StandbySettings = StandbySettings()
    clock: ClockSettings = ClockSettings()
    log: LogSettings = LogSettings()
    limits: GatewayLimits = GatewayLimits()


_ENV_PREFIX: Final = "EXCHANGE_"
_HEADER: Final = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?$")
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_.\"' -]+?)\s*=")
_TOML_LINE: Final = re.compile(r"\(at line (\d+), column \d+\)")


def load_config(
    path: Path | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Config:
    """Return the settings of the file ``path``, the environment ``env`` and the flags ``overrides``.

    ``overrides`` maps dotted keys such as ``nats.port`` to values; None means not given. Paths in a
    file are relative to the file.

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown or wrong.
    """
    given: dict[str, Any] = {}
    sources = (
        _from_file(path) if path is not None else (),
        _from_env(env or {}),
        _from_flags(overrides or {}),
    )
    for source in sources:
        for key, value, place in source:
            given[key] = _check(key, value, place)
    sections: dict[str, Any] = {}
    for key, value in given.items():
        section, _, name = key.rpartition(".")
        (sections.setdefault(section, {}) if section else sections)[name] = value
    for section, kind in _SECTIONS.items():
        if section in sections:
            sections[section] = kind(**sections[section])
    return Config(**sections)


# ── where settings come from ────────────────────────────────────────────────────────────────────


class _Place(NamedTuple):
    """Say where a setting stands, and which directory its relative paths are relative to."""

    text: str
    base: Path | None = None
    is_text: bool = False
    """Whether the value came as a string that has to be read as its type."""


_Settings = Iterator[tuple[str, Any, _Place]]


def _from_file(path: Path) -> _Settings:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        message = f"cannot read the configuration {path}: {error.strerror}"
        raise ConfigError(message) from None
    except UnicodeDecodeError:
        message = f"cannot read the configuration {path}: it is not UTF-8 text"
        raise ConfigError(message) from None
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _TOML_LINE.search(str(error))
        line = found[1] if found else str(text.count("\n") + 1)
        reason = _TOML_LINE.sub("", str(error)).strip()
        message = f"{path}:{line}: not valid TOML: {reason}"
        raise ConfigError(message) from None
    for key, value in _flatten(tables):
        yield key, value, _Place(f"{path}:{_line_of(text, key)}", path.absolute().parent)


def _flatten(tables: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in tables.items():
        if name in _SECTIONS and isinstance(value, dict):
            for key, inner in value.items():
                yield f"{name}.{key}", inner
        else:
            yield name, value


def _line_of(text: str, key: str) -> int:
    """Return the line on which a key stands; tomllib does not tell.

    Inline tables and headers of unknown sections are found by their first word.
    """
    section = ""
    fallback = 1
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header:
            section = header[1].strip()
            if section == key:
                return number
            continue
        found = _KEY.match(line)
        if not found:
            continue
        name = re.sub(r"[\s\"']", "", found[1])
        full = f"{section}.{name}" if section else name
        if full == key:
            return number
        if key.startswith(f"{full}."):
            fallback = number
    return fallback


def _from_env(env: Mapping[str, str]) -> _Settings:
    """Yield what the environment says; an empty variable says nothing."""
    if env.get("NATS_URL"):
        yield "nats.url", env["NATS_URL"], _Place("environment variable NATS_URL", is_text=True)
    for variable, value in sorted(env.items()):
        name = variable.removeprefix(_ENV_PREFIX)
        if name == variable or not value or ("__" not in name and name != "DATA"):
            continue
        key = name.lower().replace("__", ".")
        yield key, value, _Place(f"environment variable {variable}", is_text=True)


def _from_flags(overrides: Mapping[str, Any]) -> _Settings:
    for key, value in overrides.items():
        if value is not None:
            yield key, value, _Place("command line")


# ── what they may be ────────────────────────────────────────────────────────────────────────────

_SECTIONS: Final[dict[str, Any]] = {
    field.name: field.type for field in msgspec.structs.fields(Config) if field.name != "data"
}


def _types() -> dict[str, Any]:
    """Map every dotted key to its type."""
    types: dict[str, Any] = {"data": Path}
    for section, kind in _SECTIONS.items():
        for field in msgspec.structs.fields(kind):
            types[f"{section}.{field.name}"] = field.type
    return types


_TYPES: Final = _types()


def _check(key: str, value: Any, place: _Place) -> Any:
    """Return a value as the type of its key.

    Raises:
        ConfigError: the key is unknown or the value is not what it may be.
    """
    kind = _TYPES.get(key)
    if kind is None:
        message = f"{place.text}: {_describe_unknown(key)}"
        raise ConfigError(message)
    if kind in (Path, Path | None):
        return _check_path(key, value, place)
    try:
        checked = msgspec.convert(value, kind, strict=not place.is_text)
    except msgspec.ValidationError as error:
        expected = str(error).replace("`", "")
        message = f"{place.text}: {key} = {value!r}: {expected[:1].lower()}{expected[1:]}{_choices(kind)}"
        raise ConfigError(message) from None
    if type(checked) is int and checked < 1 and key.startswith("limits."):
        message = f"{place.text}: {key} = {value!r}: expected an integer of 1 or more"
        raise ConfigError(message)
    return checked


def _check_path(key: str, value: Any, place: _Place) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        message = f"{place.text}: {key} = {value!r}: expected a path"
        raise ConfigError(message)
    path = Path(value).expanduser()
    return place.base / path if place.base is not None else path


def _choices(kind: Any) -> str:
    choices = getattr(kind, "__args__", ()) if getattr(kind, "__origin__", None) is Literal else ()
    return f"; one of {', '.join(choices)}" if choices else ""


def _describe_unknown(key: str) -> str:
    if key in _SECTIONS:
        return f"{key} is a section, not a setting; write [{key}] and its settings below"
    near = difflib.get_close_matches(key, [*_TYPES, *_SECTIONS], n=1, cutoff=0.6)
    section = key.partition(".")[0]
    names = [name for name in _TYPES if name.startswith(f"{section}.")] or ["data", *_SECTIONS]
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
    return f"unknown setting {key}; {hint}"

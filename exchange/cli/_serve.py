"""``exchange serve``: run a venue until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import signal
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from cyclopts import Parameter

from exchange.cli._bus import connected
from exchange.cli._output import CliError, Json, note, print_json, print_pairs
from exchange.cli._venue import RunFile, Running, operator_of
from exchange.tls import TlsFiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from exchange.config import Config
    from exchange.daemon import Daemon

__all__ = ["serve"]

_SYSTEM_CONFIG: Final = Path("/etc/exchange/exchange.toml")
_GC_POLL_S: Final = 0.25
_GC_YOUNG_OBJECTS: Final = 2_000
_GC_OLDER_EVERY: Final = 40


def serve(
    *,
    config: Annotated[Path | None, Parameter(env_var="EXCHANGE_CONFIG")] = None,
    data: Path | None = None,
    nats: str | None = None,
    creds: Path | None = None,
    journal_creds: Path | None = None,
    system_creds: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    metrics_port: int | None = None,
    standby: Annotated[bool | None, Parameter(negative=())] = None,
    takeover_after: timedelta | None = None,
    accept_time: Annotated[bool | None, Parameter(negative=())] = None,
    log_level: Literal["debug", "info", "warning", "error"] | None = None,
    log_format: Literal["auto", "console", "json"] | None = None,
    ready_file: Path | None = None,
    json: Json = False,
) -> None:
    """Run a venue until SIGINT or SIGTERM.

    Flags win over the environment (`EXCHANGE_NATS__PORT=4333`, NATS_URL), and that over the file. A data
    directory that does not exist yet becomes a new venue with its own nats-server.

    Parameters
    ----------
    config
        TOML file of settings (default: /etc/exchange/exchange.toml where that exists).
    data
        Directory of the venue (default: exchange-data).
    nats
        URL of an external NATS server, in the place of the embedded one.
    creds
        Credential of the gateway (default: the venue's own).
    journal_creds
        Credential of the journal (default: the venue's own).
    system_creds
        Credential in the system account, to disconnect agents with (default: the venue's own).
    host
        Address on which the embedded server listens (default: 127.0.0.1).
    port
        Port of the embedded server; 0 takes a free one (default: 4222).
    metrics_port
        Port of /metrics and /healthz; 0 takes a free one (default: 9464).
    standby
        Follow the daemon that leads the venue on the same external server, and lead when it falls silent.
    takeover_after
        How long its silence must last, such as 1s or 0.5s; the same in all daemons of a venue (default: 3s).
    accept_time
        Lead although the journal's time is after this machine's clock, or more than an hour before it: both are right.
    log_level
        How much is logged, to stderr.
    log_format
        `auto` is readable on a terminal and JSON elsewhere.
    ready_file
        File to write once the venue is open, and again when a standby leads: JSON with url, pid, state and more.
    json
        Print that JSON to stdout as well, instead of text.
    """
    from exchange.adapters.logging import configure_logging

    settings = _load(
        config,
        {
            "data": data,
            "nats.url": nats,
            "nats.creds": creds,
            "nats.journal_creds": journal_creds,
            "nats.system_creds": system_creds,
            "nats.host": host,
            "nats.port": port,
            "metrics.port": metrics_port,
            "standby.enabled": standby,
            "standby.takeover_after_s": None if takeover_after is None else takeover_after.total_seconds(),
            "clock.accept_time": accept_time,
            "log.level": log_level,
            "log.format": log_format,
        },
    )
    configure_logging(settings.log.level, settings.log.format)

    def announce(running: Running) -> None:
        _announce(running, ready_file, json=json)

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, announce))


def _load(path: Path | None, overrides: dict[str, Any]) -> Config:
    from exchange.config import load_config

    if path is None and _SYSTEM_CONFIG.exists():
        path = _SYSTEM_CONFIG
    # One asks for the embedded server by its port or address; then NATS_URL, meant for agents, must not win.
    env = dict(os.environ)
    if overrides["nats.url"] is None and (overrides["nats.port"] is not None or overrides["nats.host"] is not None):
        env.pop("NATS_URL", None)
    return load_config(path, env, overrides)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _check_directory(data: Path) -> None:
    """Refuse a directory that is there and holds no venue: the disk with the venue may not be mounted."""
    from exchange.adapters.venue_files import VenueFiles

    files = VenueFiles(data)
    # A daemon that was killed while it created the venue has left its run file, if nothing else.
    is_begun = files.exists() or files.creating.exists() or RunFile(data).path.exists()
    if data.is_dir() and not is_begun:
        message = (
            f"{data} is there but holds no venue. If its disk is not mounted, mount it; "
            f"for a new venue run `exchange init --data {data}`, or name a directory that does not exist yet"
        )
        raise CliError(message)


async def _serve(config: Config, announce: Callable[[Running], None]) -> None:
    if config.nats.url is None:
        _check_directory(config.data)
    run_file = RunFile(config.data)
    run_file.acquire()
    try:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        await _check_external(config)

        def tell(daemon: Daemon) -> None:
            running = _describe(daemon)
            run_file.write(running)
            announce(running)

        while await _run_daemon(config, stopping, tell):
            pass
    finally:
        run_file.release()


async def _run_daemon(config: Config, stopping: asyncio.Event, tell: Callable[[Daemon], None]) -> bool:
    """Run one daemon until told to stop; return whether it is a standby that has to start over."""
    from exchange.daemon import Daemon, StartOver

    daemon = Daemon(config, on_lead=lambda: tell(daemon))
    # What a start builds is state, not garbage: a collector would walk a million orders again and again.
    gc.disable()
    try:
        # The first signal also ends a start that takes long, such as a long replay.
        if not await _unless(stopping, daemon.start()):
            await daemon.stop()
            return False
    finally:
        gc.enable()
    try:
        tell(daemon)
        with _collect_by_hand():
            await _unless(stopping, daemon.wait())
    except StartOver as error:
        note(f"Starting over: {error}.")
        return True
    finally:
        await daemon.stop()
    return False


async def _check_external(config: Config) -> None:
    """Find out whether an external server can be used; the daemon itself would wait for it for ever."""
    from exchange.adapters.venue_files import VenueFiles

    creds = config.nats.journal_creds or VenueFiles(config.data).keys / "journal.creds"
    if config.nats.url is not None and creds.exists():
        nats = config.nats
        tls = TlsFiles(nats.tls_ca, nats.tls_cert, nats.tls_key)
        async with connected(config.nats.url, creds, tls=tls if any(tls) else None):
            pass


async def _unless(stopping: asyncio.Event, work: Any) -> bool:
    """Do the work unless told to stop before it is done; return whether it was done."""
    working = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            return False
        await working
        return True
    finally:
        for task in (working, waiting):
            task.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)


def _describe(daemon: Daemon) -> Running:
    host = daemon.host
    assert host is not None  # noqa: S101 - it has started
    creds = daemon.files.agent_creds(operator_of(daemon.files.data))
    return Running(
        # Others connect by credentials; a password in a URL is nobody's business.
        url=re.sub(r"(?<=://)[^\s/@]+@", "", daemon.url),
        metrics_url=daemon.metrics_url,
        pid=os.getpid(),
        operator_creds=creds.absolute() if creds.exists() else None,
        data=daemon.files.data.absolute(),
        state="leading" if daemon.is_leading else "following",
        epoch=host.engine.epoch,
        index=host.engine.index,
        ca=daemon.tls.ca,
        cert=daemon.tls.cert,
        key=daemon.tls.key,
    )


def _announce(running: Running, ready_file: Path | None, *, json: bool) -> None:
    facts = {
        "url": running.url,
        "metrics_url": running.metrics_url,
        "pid": running.pid,
        "operator_creds": None if running.operator_creds is None else str(running.operator_creds),
        "data": str(running.data),
        "state": running.state,
        "epoch": running.epoch,
        "index": running.index,
    }
    if ready_file is not None:
        # Whole or not at all: whoever waits for the file reads it the moment it appears.
        draft = ready_file.with_name(f".{ready_file.name}.{running.pid}")
        draft.write_bytes(msgspec.json.encode(facts) + b"\n")
        draft.replace(ready_file)
    if json:
        print_json(facts)
        return
    print_pairs(
        [
            ("venue", f"{running.data}, {running.state} (epoch {running.epoch}, record {running.index})"),
            ("listens", running.url),
            ("metrics", running.metrics_url or "off"),
            ("operator", running.operator_creds or "no credential here"),
        ]
    )
    note("Press Ctrl-C to stop.")


@contextlib.contextmanager
def _collect_by_hand() -> Any:
    """Freeze what replay built and collect garbage at times of our choosing.

    A full collection walks every live object: tens of milliseconds for a million of them, in the middle
    of a batch. The state of the venue is not cyclic garbage, so it is taken out of the collector's sight,
    and only what is young is looked at: many small pauses instead of one long one.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    task = asyncio.get_running_loop().create_task(_collect_young(), name="gc")
    try:
        yield
    finally:
        task.cancel()
        gc.enable()
        gc.unfreeze()


async def _collect_young() -> None:
    turn = 0
    while True:
        await asyncio.sleep(_GC_POLL_S)
        turn += 1
        if turn % _GC_OLDER_EVERY == 0:
            gc.collect(1)
            # What survived ten seconds is state now, not garbage: orders, accounts, sessions.
            gc.freeze()
        elif gc.get_count()[0] > _GC_YOUNG_OBJECTS:
            gc.collect(0)

"""Run the whole demonstration: a venue, its traders, the measurement, the audit, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import nats
from nats.errors import Error as NatsError
from rich.console import Console

from agent_sdk import ExchangeError
from exchange.adapters.credentials import CredentialError, Keyring
from exchange.adapters.embedded_server import EmbeddedServer, EmbeddedServerError
from exchange.adapters.journal import Journal, JournalMissing
from exchange.daemon.verify import audit_journal, read_high_water
from exchange.demo.experiment import Plan, StrategyMix, conduct
from exchange.demo.live import percentile_ms
from exchange.demo.report import RunReport
from exchange.demo.venue import DemoError, PromiseBroken, VenueProcess

if TYPE_CHECKING:
    from exchange.adapters.venue_files import VenueFiles
    from exchange.daemon.verify import Audit
    from exchange.demo.experiment import Findings

__all__ = ["DemoError", "run_demo"]


def run_demo(
    *,
    seconds: float = 20,
    agents: int = 22,
    strategy: StrategyMix = "zip",
    seed: int = 1,
    periods: int | None = None,
    data: Path | None = None,
    json: bool = False,
    console: Console | None = None,
    keep: bool = False,
) -> RunReport:
    """Let agents trade on a venue of their own for ``seconds``, all periods together, and report.

    The venue is a daemon in a process of its own. Up to four more processes share the agents; every
    agent has its own credential and connection. ``data`` must be absent or empty, and is kept; without
    it the venue lives in a temporary directory, which ``keep`` keeps. There, in ``audit-trail-*.jsonl``,
    is also what each agent was told of its commands and every event it heard. Progress is shown on ``console``
    (by default on standard error), live on a terminal, and not at all with ``json``; the report is the
    caller's to print.

    Raises:
        DemoError: it cannot start or go on; everything that was started is stopped again.
        KeyboardInterrupt: Ctrl-C; everything is stopped as well.
    """
    plan = Plan.of(seconds=seconds, agents=agents, strategy=strategy, seed=seed, periods=periods)
    shown = None if json else console or Console(stderr=True)
    directory = _directory(data)
    is_kept = keep or data is not None
    try:
        report = asyncio.run(_run(plan, directory, shown))
        # What went wrong can only be found in the journal.
        is_kept = is_kept or not report.succeeded
    except PromiseBroken as error:
        is_kept = True
        message = f"{error}: please report this as a bug, with the journal in {directory}"
        raise DemoError(message) from error
    finally:
        if not is_kept:
            shutil.rmtree(directory, ignore_errors=True)
    return replace(report, data=str(directory)) if is_kept else report


def _directory(data: Path | None) -> Path:
    """Provide a directory without a venue in it."""
    if data is None:
        return Path(tempfile.mkdtemp(prefix="exchange-demo-"))
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        message = f"{data} holds something already; choose a directory that is absent or empty"
        raise DemoError(message)
    return data.absolute()


async def _run(plan: Plan, data: Path, console: Console | None) -> RunReport:
    """Run everything; SIGTERM ends it as Ctrl-C does, and leaves as little behind."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - this runs in one
    is_told_to_stop = False

    def on_sigterm() -> None:
        nonlocal is_told_to_stop
        is_told_to_stop = True
        task.cancel()

    # Only the main thread hears signals; elsewhere there is nothing to hear.
    with contextlib.suppress(ValueError, RuntimeError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, on_sigterm)
    try:
        return await _measure(plan, data, console)
    except asyncio.CancelledError:
        if not is_told_to_stop:
            raise
        message = "the demonstration was told to stop before its end"
        raise DemoError(message) from None
    except (ExchangeError, CredentialError, EmbeddedServerError, JournalMissing, NatsError, OSError) as error:
        raise DemoError(str(error)) from error


async def _measure(plan: Plan, data: Path, console: Console | None) -> RunReport:
    async with VenueProcess(data) as venue:
        findings = await conduct(plan, venue, console)
        await venue.stop()
    return _report(plan, venue, findings, await _audit(venue.files))


async def _audit(files: VenueFiles) -> Audit:
    """Replay the journal of a stopped venue from its first record."""
    keyring = Keyring.load(files.keys)
    server = EmbeddedServer(files.nats, keyring)
    await server.start()
    try:
        # Without the daemon's logging: nothing may mix with what is printed here.
        creds = str(keyring.journal_creds_path)
        client = await nats.connect(server.url, user_credentials=creds, inbox_prefix=b"_INBOX.journal")
        try:
            journal = Journal(client)
            await journal.open()
            return await audit_journal(journal, high_water=read_high_water(files.high_water))
        finally:
            await client.close()
    finally:
        await server.stop()


def _report(plan: Plan, venue: VenueProcess, findings: Findings, audit: Audit) -> RunReport:
    schedule = plan.schedule
    return RunReport(
        strategy=plan.strategy,
        agents=plan.agents,
        seed=plan.seed,
        equilibrium_price=schedule.equilibrium_price,
        equilibrium_quantity=schedule.equilibrium_quantity,
        maximal_surplus=schedule.maximal_surplus,
        periods=findings.periods,
        orders=len(findings.acks_us),
        orders_per_s=len(findings.acks_us) / plan.seconds,
        ack_p50_ms=percentile_ms(findings.acks_us, 50),
        ack_p99_ms=percentile_ms(findings.acks_us, 99),
        conservation=findings.conservation,
        # A journal that ends before what the agents saw is wrong, too, however well it replays.
        verified=audit.is_good and audit.last_index >= findings.journal_index,
        journal_index=audit.last_index,
        state_hash=audit.state_hash,
        processes=findings.processes,
        restarts=venue.restarts,
        metrics_url=venue.metrics_url,
    )

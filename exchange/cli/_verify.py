"""``exchange verify``: audit a venue's journal."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number
from msgspec import to_builtins
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from exchange.cli._bus import connected
from exchange.cli._output import CliError, Json, complain, console, print_json, print_pairs, say
from exchange.cli._venue import DEFAULT_DATA, RunFile, find_tls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from nats.aio.client import Client

    from exchange.adapters.snapshot_copies import SnapshotCopies
    from exchange.adapters.venue_files import VenueFiles
    from exchange.daemon.determinations import Determinations
    from exchange.daemon.verify import Audit

__all__ = ["Source", "find_source", "verify"]


@dataclass(frozen=True)
class Source:
    """Say where a journal can be read, and what was acknowledged of it before."""

    url: str
    creds: Path
    text: str


def verify(
    *,
    data: Annotated[Path | None, Parameter(env_var="EXCHANGE_DATA")] = None,
    nats: str | None = None,
    journal_creds: Path | None = None,
    archive: Path | None = None,
    invariants_every: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    no_solve: bool = False,
    json: Json = False,
) -> int:
    """Replay the journal from where it begins and prove the venue; exit with 1 if anything is wrong.

    Proved are the chain of hashes, the outputs of every record, all invariants, the conservation of every
    asset, that nothing acknowledged here is missing, and the snapshots and their copies; and that the winners of
    package auctions are the best ones, where the leader said so. A running venue is read
    as it runs. Where no daemon runs, a private copy of the store is read, so that nothing in the data directory
    changes. A journal that was trimmed is proved from genesis with its archive, else from the oldest good snapshot.

    Parameters
    ----------
    data
        Directory of the venue (default: exchange-data).
    nats
        URL of the server with the journal.
    journal_creds
        Credential of the journal (default: the one in the data directory).
    archive
        Directory with the records that the journal was trimmed of.
    invariants_every
        Check the invariants after every so many records, too, to find the one that broke them (slow).
    no_solve
        Believe that the winners of package auctions are the best ones; to find them again takes up to a minute each.
    """
    if archive is not None and not archive.is_dir():
        message = f"there is no archive {archive}"
        raise CliError(message)
    audit, text = asyncio.run(_verify(data, nats, journal_creds, archive, invariants_every, solve=not no_solve))
    if json:
        print_json(_facts(audit))
    else:
        _print(audit, text)
    return 0 if audit.is_good else 1


async def _verify(
    data: Path | None,
    nats: str | None,
    journal_creds: Path | None,
    archive: Path | None,
    invariants_every: int,
    *,
    solve: bool,
) -> tuple[Audit, str]:
    from exchange.adapters.archive import Archive
    from exchange.adapters.journal import Journal
    from exchange.adapters.snapshots import SnapshotStore
    from exchange.adapters.venue_files import VenueFiles
    from exchange.daemon.verify import audit_journal, read_high_water

    files = VenueFiles(data or DEFAULT_DATA)
    # Read before the journal: a running venue goes on meanwhile.
    is_elsewhere = nats is not None and data is None
    mark = None if is_elsewhere else read_high_water(files.high_water)
    async with (
        find_source(files, nats, journal_creds) as source,
        connected(source.url, source.creds, tls=find_tls(files.data)) as client,
    ):
        journal = Journal(client)
        await journal.open()
        with _progress() as on_progress:
            audit = await audit_journal(
                journal,
                high_water=mark,
                snapshots=None if is_elsewhere else SnapshotStore(files.snapshots),
                copies=await _copies(client),
                archive=None if archive is None else Archive(archive),
                invariants_every=invariants_every,
                solve=solve,
                on_progress=on_progress,
            )
    return audit, source.text


async def _copies(client: Client) -> SnapshotCopies | None:
    """Return the copies of snapshots that the server keeps, if it keeps any."""
    from exchange.adapters.snapshot_copies import CopiesMissing, SnapshotCopies

    copies = SnapshotCopies(client)
    try:
        await copies.open()
    except CopiesMissing:
        return None
    return copies


@contextlib.asynccontextmanager
async def find_source(files: VenueFiles, nats: str | None, journal_creds: Path | None) -> AsyncIterator[Source]:
    """Find the journal: on the server that was named, at the running daemon, or in the data directory."""
    from exchange.adapters.credentials import Keyring

    running = RunFile(files.data).read()
    if not files.exists() and journal_creds is None and running is not None:
        message = f"{files.data} holds no keys: give --journal-creds, as to the daemon that runs here"
        raise CliError(message)
    if not files.exists() and (journal_creds is None or (nats is None and running is None)):
        message = f"{files.data} holds no venue; give its directory with --data, or --nats and --journal-creds"
        raise CliError(message)
    keyring = Keyring.load(files.keys) if files.exists() else None
    creds = journal_creds or (keyring.journal_creds_path if keyring is not None else None)
    assert creds is not None  # noqa: S101 - refused above
    if nats is not None:
        yield Source(nats, creds, f"the journal at {nats}")
    elif running is not None:
        yield Source(running.url, creds, f"the running venue at {running.url}")
    elif not files.nats.exists():
        message = f"{files.data} has no journal of its own; name the server that keeps it with --nats"
        raise CliError(message)
    else:
        assert keyring is not None  # noqa: S101 - the directory holds a venue
        async with _copied_server(files, keyring) as url:
            yield Source(url, creds, f"the stopped venue in {files.data}")


@contextlib.asynccontextmanager
async def _copied_server(files: VenueFiles, keyring: Any) -> AsyncIterator[str]:
    """Serve a copy of the store: a server that starts on a damaged store may well cut it shorter."""
    from exchange.adapters.embedded_server import EmbeddedServer

    with tempfile.TemporaryDirectory(prefix=".verify-", dir=files.data) as scratch:
        lock = RunFile(files.data)
        lock.acquire()
        try:
            if (files.nats / "jetstream").exists():
                await asyncio.to_thread(shutil.copytree, files.nats / "jetstream", Path(scratch) / "jetstream")
        finally:
            lock.release()
        server = EmbeddedServer(scratch, keyring, port=None)
        await server.start()
        try:
            yield server.url
        finally:
            await server.stop()


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal, and nothing elsewhere."""
    bar = Progress(
        TextColumn("replaying"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task("records")
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _facts(audit: Audit) -> dict[str, Any]:
    return {
        "good": audit.is_good,
        "problems": [
            {"index": problem.index, "kind": problem.kind, "text": problem.text} for problem in audit.problems
        ],
        "start": audit.start,
        "started_after": audit.started_after,
        "first_index": audit.first_index,
        "last_index": audit.last_index,
        "archived": audit.archived,
        "records": audit.records,
        "bytes": audit.bytes,
        "commands": audit.commands,
        "epochs": audit.epochs,
        "incarnation": audit.incarnation,
        "agents": audit.agents,
        "first_time_us": audit.first_time_us,
        "last_time_us": audit.last_time_us,
        "chain_hash": audit.chain_hash,
        "state_hash": audit.state_hash,
        "business_hash": audit.business_hash,
        "high_water": audit.high_water,
        "snapshots": audit.snapshots,
        "copies": audit.copies,
        "determinations": to_builtins(audit.determinations),
        "assets": [
            {
                "asset": proof.asset,
                "decimals": proof.decimals,
                "issued": proof.issued,
                "counted": proof.counted,
                "totals": proof.totals,
                "conserved": proof.is_conserved,
            }
            for proof in audit.assets
        ],
        "seconds": round(audit.seconds, 3),
    }


def _print(audit: Audit, text: str) -> None:
    rate = audit.commands / audit.seconds if audit.seconds else 0
    print_pairs(
        [
            ("audited", text),
            ("begins with", audit.start),
            (
                "records",
                (
                    f"{audit.records:,} of {audit.last_index:,} ({audit.bytes:,} bytes, up to epoch {audit.epochs} "
                    f"of incarnation {audit.incarnation})"
                ),
            ),
            ("commands", f"{audit.commands:,}, replayed in {audit.seconds:.2f} s ({rate:,.0f}/s)"),
            ("from", _time(audit.first_time_us)),
            ("to", _time(audit.last_time_us)),
            ("chain hash", audit.chain_hash),
            ("state hash", audit.state_hash),
            (
                "acknowledged",
                f"up to record {audit.high_water:,}" if audit.high_water else "nothing noted here",
            ),
            ("snapshots", f"{audit.snapshots} hold the states that the journal brings forth, {audit.copies} copies"),
            ("winners", _determinations(audit.determinations)),
            *((f"  {proof.asset}", _proof(proof)) for proof in audit.assets),
        ]
    )
    for problem in audit.problems:
        where = f"record {problem.index}" if problem.index is not None else "journal"
        complain(f"{where}: {problem.kind}: {problem.text}")
    if audit.is_good and audit.started_after:
        say(
            f"good: chain, outputs, invariants and conservation hold for every record after {audit.started_after}; "
            "what came before was trimmed, and is what the snapshot says"
        )
    elif audit.is_good:
        say("good: chain, outputs, invariants and conservation hold for every record")
    elif audit.records < audit.last_index:
        say(f"Records up to {audit.records} are good; those after it were not judged.")


def _determinations(counts: Determinations) -> str:
    """Say of how many auctions it is known that their winners are the best ones."""
    if counts.solver == "skipped":
        return "believed, where a leader said that they are the best ones"
    if not counts.found:
        return "no package auction was awarded on the word of a solver"
    text = f"{counts.found} package auctions awarded on the word of a solver"
    if not counts.claimed_optimal:
        return f"{text}, none of them as the best possible"
    text += f", {counts.claimed_optimal} of them as the best possible: {counts.confirmed} are"
    if counts.refuted:
        text += f", {counts.refuted} ARE NOT"
    if counts.unsolved:
        why = "SciPy is not installed" if counts.solver == "missing" else "not solved again in time"
        text += f", {counts.unsolved} not known ({why})"
    if counts.payments_confirmed or counts.payments_refuted or counts.payments_unsolved:
        text += (
            f"; payments by VCG: {counts.payments_confirmed} right, {counts.payments_refuted} wrong, "
            f"{counts.payments_unsolved} not known"
        )
    return text


def _proof(proof: Any) -> str:
    unit = 10**proof.decimals
    whole, rest = divmod(proof.issued, unit)
    amount = f"{whole:,}" + (f".{rest:0{proof.decimals}}" if rest else "")
    return f"{amount} issued, {'conserved' if proof.is_conserved else 'NOT CONSERVED'}"


def _time(time_us: int) -> str:
    return f"{datetime.fromtimestamp(time_us / 1e6, UTC):%Y-%m-%d %H:%M:%S.%f} UTC"

"""``exchange restore``: make a venue of what is left, when acknowledged records are lost."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from exchange.cli._bus import connected
from exchange.cli._output import CliError, Json, note, print_json, print_pairs
from exchange.cli._venue import DEFAULT_DATA, RunFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from exchange.adapters.venue_files import VenueFiles
    from exchange.daemon.restore import Restore, Survey

__all__ = ["restore"]

_LEADER_WRITES_S: Final = 1.2
"""Who leads writes a record at least every second."""


def restore(
    *,
    data: Annotated[Path, Parameter(env_var="EXCHANGE_DATA")] = DEFAULT_DATA,
    nats: str | None = None,
    journal_creds: Path | None = None,
    archive: Path | None = None,
    snapshot: Path | None = None,
    replicas: Annotated[int, Parameter(validator=Number(gte=1, lte=5))] = 1,
    accept_loss: bool = False,
    json: Json = False,
) -> None:
    """Make a venue of what is left, when the journal lost what it had acknowledged.

    Looks for the furthest state that can be proved, in the snapshots here and on the server, the archive and the
    journal, and says which records are lost. Nothing is changed unless that is accepted with --accept-loss. Then the
    venue goes on from there as a new incarnation, at which agents drop what they know of the lost records.

    Parameters
    ----------
    data
        Directory of the venue, from a backup if need be (default: exchange-data).
    nats
        URL of the server that keeps, or is to keep, the journal (default: the embedded one).
    journal_creds
        Credential of the journal (default: the one in the data directory).
    archive
        Directory with records that the journal was trimmed of.
    snapshot
        A snapshot's file from elsewhere, besides those in the data directory and on the server.
    replicas
        How many servers of a cluster keep the journal, where there is none to tell (default: 1).
    accept_loss
        Begin a new incarnation without the records that are said to be lost.
    """
    for path, is_there in ((archive, archive and archive.is_dir()), (snapshot, snapshot and snapshot.is_file())):
        if path is not None and not is_there:
            message = f"there is no {path}"
            raise CliError(message)
    facts = asyncio.run(_restore(data, nats, journal_creds, archive, snapshot, replicas, accept_loss=accept_loss))
    if json:
        print_json(facts)
    else:
        _print(facts)
    if not accept_loss:
        message = (
            "nothing was changed. If what is lost cannot be found anywhere, run the same command with --accept-loss; "
            "if there is an archive, a snapshot or a backup that has more of it, give that"
        )
        raise CliError(message)


async def _restore(
    data: Path,
    nats: str | None,
    journal_creds: Path | None,
    archive: Path | None,
    snapshot: Path | None,
    replicas: int,
    *,
    accept_loss: bool,
) -> dict[str, Any]:
    from exchange.adapters.archive import Archive
    from exchange.adapters.fenced_log import NoAnswer
    from exchange.adapters.journal import Replaced
    from exchange.adapters.snapshots import SnapshotCorrupt
    from exchange.adapters.venue_files import VenueFiles
    from exchange.daemon.restore import NothingLeft, Restore

    files = VenueFiles(data)
    lock = RunFile(data)
    if not data.is_dir() and journal_creds is None:  # noqa: ASYNC240 - once, before anything runs
        message = f"{data} holds no venue; give the directory of one, or of a backup, with --data"
        raise CliError(message)
    lock.acquire()
    try:
        async with _server(files, nats, journal_creds) as (url, creds), connected(url, creds) as client:
            kept = None if archive is None else Archive(archive)
            work = Restore(client, files, archive=kept, snapshot=snapshot, replicas=replicas)
            try:
                found = await work.survey()
                if nats is not None:
                    await _check_quiet(work, nats)
                begun = await work.begin() if accept_loss else None
            except (NothingLeft, SnapshotCorrupt) as error:
                raise CliError(str(error)) from None
            except NoAnswer as error:
                message = f"the server does not answer ({error}): try again; what it keeps is not lost"
                raise CliError(message) from None
            except Replaced as error:
                message = f"a daemon leads this venue: stop it first ({error})"
                raise CliError(message) from None
        return _facts(work, found, begun)
    finally:
        lock.release()


@contextlib.asynccontextmanager
async def _server(files: VenueFiles, nats: str | None, journal_creds: Path | None) -> AsyncIterator[tuple[str, Path]]:
    """Find the server, or run the venue's own for as long as it takes."""
    from exchange.adapters.credentials import Keyring
    from exchange.adapters.embedded_server import EmbeddedServer

    keyring = Keyring.load(files.keys) if journal_creds is None or nats is None else None
    creds = journal_creds or (keyring.journal_creds_path if keyring is not None else None)
    assert creds is not None  # noqa: S101 - one of the two is there
    if nats is not None:
        yield nats, creds
        return
    assert keyring is not None  # noqa: S101 - loaded above
    server = EmbeddedServer(files.nats, keyring, port=None)
    await server.start()
    try:
        yield server.url, creds
    finally:
        await server.stop()


async def _check_quiet(work: Restore, nats: str) -> None:
    """Make sure that nobody leads: whoever does writes to the journal all the time."""
    await asyncio.sleep(_LEADER_WRITES_S)
    if await work.has_moved():
        message = f"a daemon leads this venue at {nats}: stop it, and its standbys, first"
        raise CliError(message)


def _facts(work: Restore, found: Survey, begun: int | None) -> dict[str, Any]:
    return {
        "start": found.start,
        "last_index": found.last,
        "last_time_us": found.last_time_us,
        "lost_from": found.last + 1 if found.lost else None,
        "lost_to": found.known if found.lost else None,
        "lost": found.lost,
        "notes": found.notes,
        "incarnation": found.incarnation,
        "begun": begun,
        "kept": str(work.lost_directory()) if work.lost_directory().exists() else None,
    }


def _print(facts: dict[str, Any]) -> None:
    last = facts["last_index"]
    if facts["lost"]:
        lost = f"records {facts['lost_from']:,} to {facts['lost_to']:,} ({facts['lost']:,}), as far as is known here"
    else:
        lost = f"nothing that is known here; whatever was acknowledged after record {last:,} elsewhere"
    when = datetime.fromtimestamp(facts["last_time_us"] / 1e6, UTC)
    pairs: list[tuple[str, object]] = [
        ("begins with", facts["start"]),
        ("goes up to", f"record {last:,}, of {when:%Y-%m-%d %H:%M:%S.%f} UTC"),
        ("lost", lost),
        *(("because", text) for text in facts["notes"]),
    ]
    if facts["begun"] is not None:
        pairs.append(("incarnation", f"{facts['incarnation']}, from record {facts['begun']:,} on"))
        if facts["kept"]:
            pairs.append(("put aside", facts["kept"]))
    print_pairs(pairs)
    if facts["begun"] is not None:
        note("Start the venue with `exchange serve`; give standbys of the old incarnation a new data directory.")

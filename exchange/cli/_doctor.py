"""``exchange doctor``: what is wrong with a venue, and what to do."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from cyclopts import Parameter

from exchange.cli._bus import ServerUnusable, connected
from exchange.cli._output import CliError, Json, console, print_json, say
from exchange.cli._venue import Venue, find_tls
from exchange.cli._verify import Source, find_source

if TYPE_CHECKING:
    from exchange.adapters.poison_file import PoisonFile
    from exchange.daemon.doctor import Finding, Journaled, Poison
    from exchange.messages.admin import QuarantineResult

__all__ = ["doctor"]

_PATIENCE_S: Final = 4.0
_COPIED_BYTES_MAX: Final = 2 * 1024**3
_LOOKS: Final = {"good": "[green]good[/]", "note": "[yellow]note[/]", "bad": "[bold red]bad [/]"}


def doctor(
    *,
    venue: Venue | None = None,
    journal_creds: Path | None = None,
    release: str | None = None,
    resume: str | None = None,
    accept_time: Annotated[bool, Parameter(negative=())] = False,
    json: Json = False,
) -> int:
    """Show what is wrong with a venue, running or stopped, and what to do; exit with 1 if anything needs attention.

    It looks at commands and mechanisms that broke the engine, the journal and what was acknowledged of it, its
    stream, the room in stores and on disks, snapshots, clocks and credentials. It changes nothing, unless told:

    Parameters
    ----------
    journal_creds
        Credential of the journal (default: the one in the data directory).
    release
        Take the command of this digest, or of the only one that begins so, out of quarantine.
    resume
        Let this suspended mechanism work again.
    accept_time
        Let the next daemon that leads from this directory do so whatever its clock says, once.
    """
    venue = venue or Venue()
    if venue.nats is None and not venue.directory.is_dir():
        message = f"there is no directory {venue.directory}; name the one that the daemon is started with by --data"
        raise CliError(message)
    if accept_time:
        _accept_time(venue)
    if release is not None:
        asyncio.run(_release(venue, release))
    if resume is not None:
        asyncio.run(_resume(venue, resume))
    if accept_time or release is not None or resume is not None:
        return 0
    findings, poison = asyncio.run(_examine(venue, journal_creds))
    is_good = all(finding.level != "bad" for finding in findings)
    if json:
        print_json({"good": is_good, "findings": findings, "quarantined": poison})
    else:
        _print(findings, poison, is_good=is_good)
    return 0 if is_good else 1


# ── what it does when told ──────────────────────────────────────────────────────────────────────


def _accept_time(venue: Venue) -> None:
    venue.files.accept_time.touch(mode=0o600)
    say(f"The next daemon that leads from {venue.directory} takes the time as it is, once.")


async def _release(venue: Venue, digest: str) -> None:
    if venue.nats is None and venue.running() is None:
        _release_here(venue, digest)
        return
    async with venue.connect() as operator:
        known = [view.digest for view in (await operator.admin.quarantine()).commands]
        await operator.admin.release_command(_only(digest, known))
    say(f"{digest} is released: it may be sent again.")


def _release_here(venue: Venue, digest: str) -> None:
    """Release what no daemon has made known yet: nobody else has to hear of it."""
    file = _notes(venue)
    found = _only(digest, [note.digest for note in file.notes if note.kind == "command"])
    note = next(note for note in file.notes if note.digest == found)
    if note.is_journaled:
        message = (
            "it is quarantined in the journal, and no daemon runs here: start the venue, which does not run it, and "
            "then release it"
        )
        raise CliError(message)
    file.notes.remove(note)
    file.save()
    say(f"{found} is released, before anybody else knew of it.")


def _only(digest: str, known: list[str]) -> str:
    found = [each for each in known if each.startswith(digest)]
    if len(found) != 1:
        message = f"{len(found) or 'no'} quarantined commands begin with {digest}; `exchange doctor` lists them"
        raise CliError(message)
    return found[0]


async def _resume(venue: Venue, family: str) -> None:
    async with venue.connect() as operator:
        await operator.admin.resume_mechanism(family)
    say(f"{family} works again; what was due meanwhile happens now.")


# ── what it looks at ────────────────────────────────────────────────────────────────────────────


def _notes(venue: Venue) -> PoisonFile:
    from exchange.adapters.poison_file import PoisonFile

    return PoisonFile(venue.files.poison)


async def _examine(venue: Venue, journal_creds: Path | None) -> tuple[list[Finding], list[Poison]]:
    from exchange.daemon import doctor as checks

    findings: list[Finding] = []
    running = venue.running()
    is_reachable = running is not None or venue.nats is not None
    if running is not None:
        text = f"process {running.pid} at {running.url}, {running.state}"
        findings.append(checks.Finding("daemon", "good", text))
    else:
        findings.append(checks.Finding("daemon", "note", f"none runs on {venue.directory}"))
    result = await _ask_venue(venue, findings) if is_reachable else None
    notes = _notes(venue).notes
    poison = checks.find_poison(notes, result)
    findings += checks.check_quarantine(poison, notes, result)
    await _examine_journal(venue, journal_creds, findings, is_running=running is not None)
    if venue.files.exists():
        findings += checks.check_credentials(venue.files.keys, venue.files.creds)
    if venue.directory.is_dir():
        findings += checks.check_disk(venue.directory)
    return findings, poison


async def _ask_venue(venue: Venue, findings: list[Finding]) -> QuarantineResult | None:
    """Ask who leads, as an operator; say so where nobody answers."""
    from agent_sdk import ExchangeError
    from exchange.daemon.doctor import Finding

    try:
        venue.find_creds()
    except CliError as error:
        findings.append(Finding("daemon", "note", f"not asked what it has quarantined: {error}"))
        return None
    try:
        async with asyncio.timeout(_PATIENCE_S), venue.connect() as operator:
            return await operator.admin.quarantine()
    except (ExchangeError, CliError, TimeoutError) as error:
        why = str(error) or "nobody answers"
        findings.append(
            Finding("daemon", "bad", f"the venue does not answer an operator: {why}", "see the daemon's log")
        )
        return None


async def _examine_journal(
    venue: Venue, journal_creds: Path | None, findings: list[Finding], *, is_running: bool
) -> None:
    from exchange.adapters.fenced_log import NoAnswer
    from exchange.adapters.journal import JournalMissing
    from exchange.adapters.records import JournalCorrupt
    from exchange.adapters.snapshots import SnapshotStore
    from exchange.daemon import doctor as checks
    from exchange.daemon.verify import read_high_water

    files = venue.files
    store = SnapshotStore(files.snapshots)
    # Read before the journal: a running venue goes on meanwhile.
    mark = read_high_water(files.high_water)
    journal: Journaled | None = None
    too_large = _bytes_in(files.nats / "jetstream") if venue.nats is None and not is_running else 0
    try:
        if too_large > _COPIED_BYTES_MAX:
            text = f"not looked at: the stopped server's store has {too_large:,} bytes"
            findings.append(checks.Finding("journal", "note", text, "start the venue, or run `exchange verify`"))
        else:
            indexes = store.indexes() + ([mark[0]] if mark is not None else [])
            async with find_source(files, venue.nats, journal_creds) as source:
                journal = await _look(venue.directory, source, indexes)
                is_copy = venue.nats is None and not is_running
                servers = [] if is_copy else await _ask_servers(venue, source.url)
            findings += checks.check_mark(mark, journal)
            findings += checks.check_stream(journal)
            findings += checks.check_server(journal.account, servers)
            findings += checks.check_time(journal, is_running=is_running, is_permitted=files.accept_time.exists())
    except (ServerUnusable, NoAnswer, JournalMissing, JournalCorrupt) as error:
        findings.append(checks.Finding("journal", "bad", str(error), "see the server's log, and run `exchange verify`"))
    except CliError as error:
        # It says itself what to do.
        findings.append(checks.Finding("journal", "bad", f"not looked at: {error}"))
    findings += checks.check_snapshots(store, journal)


async def _look(data: Path, source: Source, indexes: list[int]) -> Journaled:
    from exchange.adapters.journal import Journal
    from exchange.daemon.doctor import examine_journal

    async with connected(source.url, source.creds, tls=find_tls(data)) as client:
        journal = Journal(client)
        await journal.open()
        return await examine_journal(client, journal, indexes)


async def _ask_servers(venue: Venue, url: str) -> list[dict[str, Any]] | None:
    """Ask the servers about themselves, where there is a credential for it."""
    from exchange.adapters.credentials import Keyring
    from exchange.adapters.server_admin import ServerAdmin

    if not venue.files.exists():
        return None
    creds = Keyring.load(venue.files.keys).system_creds_path
    if not creds.exists():
        return None
    try:
        async with connected(url, creds, "system", find_tls(venue.directory)) as client:
            return await ServerAdmin(client).describe()
    except ServerUnusable:
        return None


def _bytes_in(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def _print(findings: list[Finding], poison: list[Poison], *, is_good: bool) -> None:
    from rich.markup import escape

    out = console()
    for finding in findings:
        out.print(f"{_LOOKS[finding.level]}  [bold]{finding.area:12}[/]{escape(finding.text)}", soft_wrap=True)
        if finding.advice:
            out.print(f"{'':18}→ {escape(finding.advice)}", soft_wrap=True)
    for each in poison:
        if each.command is not None:
            say(f"{each.digest} is {msgspec.json.encode(each.command).decode()}")
    bad = sum(finding.level == "bad" for finding in findings)
    say("Nothing needs attention." if is_good else f"{bad} of {len(findings)} findings need attention.")

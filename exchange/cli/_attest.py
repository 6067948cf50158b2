"""``exchange attest``: tell the venue what a tool found out, with an attester's credential."""

# The shared flags bring their own help.
# ruff: noqa: D417

from __future__ import annotations

import contextlib
import signal
import sys
import time
import tomllib
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from exchange.cli._asking import ask, when
from exchange.cli._output import CliError, Json, complain, console, note, print_json, print_table, say
from exchange.cli._reporting import Sent, modules_of, send
from exchange.cli._venue import Venue
from exchange.coupling.findings import Findings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from exchange.coupling import Attestation, Change, Repository, Settings
    from exchange.coupling.reporting import Report

__all__ = ["coupling_"]

_TERMINATED: Final = 128 + signal.SIGTERM


class _Told(msgspec.Struct):
    """Hold what is read of what was printed by ``--json``."""

    findings: Findings
    digest: str


def coupling_(
    *,
    repo: Path = Path(),
    change: str | None = None,
    source: str | None = None,
    ago: timedelta | None = None,
    module: tuple[str, ...] = (),
    names: Path | None = None,
    root: tuple[str, ...] = (),
    pattern: tuple[str, ...] = (),
    tests: Literal["head", "base"] = "head",
    python: Path | None = None,
    reruns: Annotated[int, Parameter(validator=Number(gte=0, lte=100))] = 1,
    depth: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    test_timeout: timedelta = timedelta(minutes=5),
    check: Path | None = None,
    dry_run: bool = False,
    venue: Venue | None = None,
    json: Json = False,
) -> int:
    """Find out which tests of others a change broke, and report that to the venue as externalities of coupling.

    The code and the tests of both revisions are EXECUTED here: attest what you do not trust in a container.
    The repository itself is only read. With --dry-run nothing is reported and no venue is needed.

    Parameters
    ----------
    repo
        Git repository (default: here).
    change
        Change, such as main..feature; A...B is what B did since it left A, and one revision what it did to its parent.
    source
        Agent that made the change.
    ago
        How long ago it was made, if somebody knows it better than its last commit, whose author sets its time.
    module
        Report the damage by this changed module only; repeat it for several.
    names
        TOML file with the venue's names of modules: "shop.billing" = "billing" (default: as they are registered).
    root
        Directory from which modules are imported; repeat it for several (default: src, if there is one, and the top).
    pattern
        Names of test files; repeat it for several (default: test_*.py and *_test.py).
    tests
        Revision whose tests are run over the code of the head (default: head).
    python
        Interpreter with pytest and all that the repository needs (default: the one that runs this).
    reruns
        Run again so often what broke; it counts if it breaks every time (default: 1).
    depth
        Follow a change over so many imports; 1 are those who import it themselves (default: all).
    test_timeout
        Most that one test file may take (default: 5m).
    check
        Examine what this file (printed by --json) says, and tell whether the same comes out; nothing is reported.
    dry_run
        Only print what would be reported.
    """
    from exchange.coupling import Repository, Settings
    from exchange.coupling.reporting import known_only, reports_of

    repository = Repository(repo)
    patience_s = test_timeout.total_seconds()
    if check is not None:
        return _check(repository, check, python, patience_s, json=json)
    if change is None:
        message = "say which change with --change, such as --change main..feature"
        raise CliError(message)
    if source is None and not dry_run:
        message = "say which agent made the change with --source, or look first with --dry-run"
        raise CliError(message)
    resolved, now_us = repository.resolve(change), time.time_ns() // 1_000
    if ago is not None:
        resolved = resolved._replace(committed_us=now_us - round(ago.total_seconds() * 1_000_000))
    chosen = _read_names(names)
    # Asked first, so that nobody waits for tests whose outcome cannot be reported.
    known = [] if dry_run else ask(venue, modules_of)
    settings = Settings(
        roots=tuple(_root(given) for given in root), tests=tests, reruns=reruns, depth=depth,
        names=chosen or {name: name for name in known}, python=_interpreter(python), timeout_s=patience_s,
    )  # fmt: skip
    if pattern:
        settings = settings._replace(patterns=pattern)
    attestation = _attest(repository, resolved, settings)
    unknown = sorted(set(module) - set(attestation.findings.changed))
    if unknown:
        message = (
            f"--module {unknown[0]}: the change did not touch it; it touched "
            f"{', '.join(attestation.findings.changed) or 'no module'}"
        )
        raise CliError(message)
    reports = reports_of(attestation.findings, resolved, repository.name, source, now_us, module)
    sent: list[Sent] = []
    if not dry_run:
        reports, unknown = known_only(reports, known)
        attestation.notes.extend(f"the venue knows no module {name}; it is left out" for name in unknown)
        sent = ask(venue, lambda agent: send(agent, reports)) if reports else []
    _print(attestation, reports, sent, json=json)
    return 1 if any(one.is_wrong for one in sent) else 0


def _root(given: str) -> str:
    """Return a directory of modules as git writes paths."""
    path = PurePosixPath(given)
    if path.is_absolute() or ".." in path.parts:
        message = f"--root {given} must be a directory of the repository, such as src"
        raise CliError(message)
    return str(path)


def _interpreter(given: Path | None) -> Path | None:
    # Tests run in a directory of their own, from where a path that begins here leads nowhere.
    return given if given is None or len(given.parts) == 1 else given.absolute()


def _read_names(file: Path | None) -> dict[str, str]:
    """Return the venue's names by module: of a flat file or of one with tables, as dots without quotes make them."""
    if file is None:
        return {}
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{file} is no TOML file of names: {error}"
        raise CliError(message) from None
    names: dict[str, str] = {}
    waiting: list[tuple[str, object]] = list(found.items())
    while waiting:
        module, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{module}.{inner}", deeper) for inner, deeper in value.items()]
        elif isinstance(value, str) and value:
            names[module] = value
        else:
            message = f'{file}: the name of {module} is {value!r}; write it like "{module}" = "billing"'
            raise CliError(message)
    return dict(sorted(names.items()))


def _attest(repository: Repository, change: Change, settings: Settings) -> Attestation:
    """Examine a change, and clean up also when told to end meanwhile."""
    from exchange.coupling import attest

    with _ending_well(), _progress() as on_progress:
        return attest(repository, change, settings, on_progress)


def _check(repository: Repository, file: Path, python: Path | None, timeout_s: float, *, json: bool) -> int:
    """Examine again what a file says, and tell whether the same comes out."""
    from exchange.coupling import Change, Settings, digest_of

    try:
        told = msgspec.json.decode(file.read_bytes(), type=_Told)
    except msgspec.DecodeError as error:
        message = f"{file} holds no findings ({error}); `exchange attest coupling --dry-run --json` prints them"
        raise CliError(message) from None
    terms = told.findings.terms
    sealed = digest_of(told.findings)
    if sealed != told.digest:
        complain(f"{file}: its digest is not that of its findings, which is {sealed}")
    change = repository.resolve(f"{told.findings.base}..{told.findings.head}")
    settings = Settings(
        roots=tuple(_root(given) for given in terms.roots), patterns=terms.patterns, tests=terms.tests,
        reruns=terms.reruns, depth=terms.depth, names=terms.names, python=_interpreter(python), timeout_s=timeout_s,
    )  # fmt: skip
    attestation = _attest(repository, Change(*change), settings)
    digest = digest_of(attestation.findings)
    is_same = digest == told.digest == sealed
    if json:
        print_json({"same": is_same, "digest": digest, "told": told.digest, "notes": attestation.notes})
        return 0 if is_same else 1
    for remark in attestation.notes:
        note(remark)
    if is_same:
        say(f"the same comes out: {digest}")
        return 0
    complain(f"something else comes out: {digest}, not {told.digest}")
    for line in _differences(told.findings, attestation.findings):
        say(line)
    return 1


def _differences(told: Findings, found: Findings) -> Iterator[str]:
    if told.changed != found.changed:
        yield f"changed: told {', '.join(told.changed)}; found {', '.join(found.changed)}"
    before, after = ({one.module: one for one in each.affected} for each in (told, found))
    for module in sorted(before.keys() | after.keys()):
        sides = [
            "nothing" if one is None else f"severity {one.severity}, {len(one.broken)} of {one.passed} broken"
            for one in (before.get(module), after.get(module))
        ]
        if before.get(module) != after.get(module):
            yield f"{module}: told {sides[0]}; found {sides[1]}"


def _print(attestation: Attestation, reports: Sequence[Report], sent: Sequence[Sent], *, json: bool) -> None:
    from exchange.coupling import digest_of

    findings = attestation.findings
    digest = digest_of(findings)
    if json:
        print_json(
            {
                "digest": digest,
                "findings": msgspec.to_builtins(findings),
                "reports": msgspec.to_builtins(reports),
                "sent": msgspec.to_builtins(sent),
                "notes": attestation.notes,
            }
        )
        return
    for remark in attestation.notes:
        note(remark)
    hurt = [found for found in findings.affected if found.broken]
    if not findings.changed:
        say("No module was changed.")
        return
    print_table(
        ("module", ">severity", ">broken", ">of", "by", ">imports away", "first of the broken tests"),
        [
            (one.module, one.severity, len(one.broken), one.passed, one.via, one.distance, one.broken[0])
            for one in sorted(hurt, key=lambda one: (-one.severity, one.module))
        ],
        empty="Nothing was broken.",
    )
    absent = sum(len(found.absent) for found in findings.affected)
    say(
        f"changed: {', '.join(findings.changed)}; {len(findings.affected) + len(findings.untested)} modules import "
        f"that, of which {len(findings.untested)} have no tests that passed before"
        + (f"; {absent} tests that passed before are gone or skipped" if absent else "")
    )
    say(f"digest: {digest}")
    for report, one in zip(reports, sent, strict=False):
        _say_sent(report, one)


def _say_sent(report: Report, sent: Sent) -> None:
    if sent.is_wrong:
        complain(f"{report.module}: the venue does not take the report: {sent.rejected}: {sent.detail}")
    elif sent.rejected is not None:
        say(f"{report.module}: nothing is to be paid: {sent.rejected}: {sent.detail}")
    else:
        say(
            f"{report.module}: externality {sent.externality}, {report.source} is to pay {sent.amount:f} of which "
            f"{sent.held:f} are held; your stake is {sent.stake:f}; final {when(sent.final_at_us)} unless disputed"
        )


@contextlib.contextmanager
def _ending_well() -> Iterator[None]:
    """Make SIGTERM an exception, so that what was begun is cleaned up."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(_TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar on a terminal, and nothing elsewhere."""
    bar = Progress(
        TextColumn("testing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
        console=console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    with bar:
        shown = bar.add_task("", total=None)
        yield lambda done, total, path: bar.update(shown, completed=done, total=total, description=path)

"""Attest a change: which modules it touched, which import them, and which of their tests it broke."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal, NamedTuple

from exchange.coupling.errors import AttestError
from exchange.coupling.findings import DEFAULT_PATTERNS, Affected, Findings, Terms, severity_of
from exchange.coupling.imports import Layout, Reached, is_same_code, reach, read_imports, resolve
from exchange.coupling.suites import Ran, Suites

if TYPE_CHECKING:
    from exchange.coupling.repository import Change, Repository

__all__ = ["Attestation", "Progress", "Settings", "attest"]

Progress = Callable[[int, int, str], None]
"""Is told how many of how many test files have run, and which is next."""


class Settings(NamedTuple):
    """Say how to examine a change, and with what."""

    roots: tuple[str, ...] = ()
    patterns: tuple[str, ...] = DEFAULT_PATTERNS
    tests: Literal["head", "base"] = "head"
    reruns: int = 1
    depth: int | None = None
    names: Mapping[str, str] = {}
    python: Path | None = None
    timeout_s: float = 300.0


class Attestation(NamedTuple):
    """Hold the findings, and remarks for people that are no part of them."""

    findings: Findings
    notes: list[str]


class _Unit(NamedTuple):
    """Hold what has one name at the venue: how the change reaches it, and the test files that import it."""

    reached: Reached
    files: list[str]


def attest(
    repository: Repository, change: Change, settings: Settings, on_progress: Progress | None = None
) -> Attestation:
    """Examine a change. The repository is only read; what is written lies in a temporary directory, which goes.

    Raises:
        AttestError: it cannot be examined: no Python, or an interpreter that cannot run its tests.
    """
    with tempfile.TemporaryDirectory(prefix="exchange-attest-", ignore_cleanup_errors=True) as scratch:
        return _Examination(repository, change, settings, Path(scratch)).run(on_progress or (lambda *_: None))


class _Examination:
    """Examine one change in a directory of its own."""

    def __init__(self, repository: Repository, change: Change, settings: Settings, scratch: Path) -> None:
        self._repository = repository
        self._change = change
        self._settings = settings
        self._base, self._head, runs = scratch / "base", scratch / "head", scratch / "runs"
        runs.mkdir()
        self._suites = Suites(runs, settings.python, timeout_s=settings.timeout_s)
        self.notes: list[str] = []

    def run(self, on_progress: Progress) -> Attestation:
        repository, change, settings = self._repository, self._change, self._settings
        before = Layout(repository.paths(change.base), settings.roots, settings.patterns)
        # Named as before, or a new `src` would give every module another name.
        after = Layout(repository.paths(change.head), before.roots, settings.patterns)
        if not before.modules and not after.modules:
            message = f"{repository.name} has no Python modules at {change.base[:12]} nor at {change.head[:12]}"
            raise AttestError(message)
        for commit, tree in ((change.base, self._base), (change.head, self._head)):
            repository.check_out(commit, tree)
        terms = Terms(
            roots=before.roots, patterns=settings.patterns, tests=settings.tests, reruns=settings.reruns,
            depth=settings.depth, names=_needed(settings.names, [*before.modules.values(), *after.modules.values()]),
        )  # fmt: skip
        changed = self._changed(before, after)
        blamed = {module: _named(module, terms.names) for module in changed}
        imports = {module: self._imports(path, module) for path, module in before.modules.items()}
        reached = reach(imports, blamed, settings.depth)
        units = self._units(before, reached, set(blamed.values()), terms.names)
        files = sorted({path for unit in units.values() for path in unit.files})
        packages = {module.partition(".")[0] for module in reached}
        affected, untested = _judge(units, *self._ran(before, sorted(packages), files, on_progress))
        findings = Findings(
            base=change.base, head=change.head, terms=terms, changed=sorted(set(blamed.values())), affected=affected,
            untested=untested,
        )  # fmt: skip
        return Attestation(findings, self.notes)

    def _changed(self, before: Layout, after: Layout) -> list[str]:
        """Return the modules whose code the change touched; what is only laid out anew is not changed."""
        found = set()
        for path in self._repository.changed_paths(self._change):
            if path in before.modules and path in after.modules:
                sources = [(tree / path).read_bytes() for tree in (self._base, self._head)]
                if is_same_code(*sources):
                    self.notes.append(f"{path}: only comments or layout changed")
                    continue
            # A module that is deleted, or new, is one in one of the two only.
            layouts = [layout for layout in (before, after) if path in layout.modules] or [before, after]
            found |= {module for layout in layouts if (module := layout.module_of(path)) is not None}
        return sorted(found)

    def _units(
        self, before: Layout, reached: Mapping[str, Reached], changed: set[str], names: Mapping[str, str]
    ) -> dict[str, _Unit]:
        """Return by name what the change reaches, without what it changed itself."""
        files = self._tested(before, names)
        nearest: dict[str, Reached] = {}
        for module, how in reached.items():
            name = _named(module, names)
            if name not in changed:
                nearest[name] = min(how, nearest.get(name, how))
        return {name: _Unit(how, files.get(name, [])) for name, how in sorted(nearest.items())}

    def _imports(self, path: str, module: str) -> list[str]:
        source = (self._base / path).read_bytes()
        found = read_imports(source, module, is_package=PurePosixPath(path).name == "__init__.py")
        if found is None:
            self.notes.append(f"{path} cannot be parsed at the base, so nobody knows what it imports")
        return found or []

    def _tested(self, before: Layout, names: Mapping[str, str]) -> dict[str, list[str]]:
        """Return by name the test files that import something of it, themselves or through their helpers."""
        modules = set(before.modules.values())
        imports = {path: self._imports(path, name) for path, name in before.helpers.items()}
        by_name = {name: path for path, name in before.helpers.items()}
        tested: dict[str, set[str]] = {}
        for test_file in before.test_files:
            seen, waiting = {test_file}, [test_file]
            while waiting:
                path = waiting.pop()
                beside = PurePosixPath(path).parent
                for imported in imports[path]:
                    module, helper = resolve(imported, modules) or "", resolve(imported, by_name) or ""
                    # Of a package and its tests within it the longer name was meant.
                    if len(module) > len(helper):
                        tested.setdefault(_named(module, names), set()).add(test_file)
                        continue
                    near = str(beside / f"{imported.partition('.')[0]}.py")
                    for found in (by_name.get(helper, ""), near):
                        if found in imports and found not in seen:
                            seen.add(found)
                            waiting.append(found)
        return {name: sorted(found) for name, found in tested.items()}

    def _ran(
        self, before: Layout, packages: Sequence[str], files: list[str], on_progress: Progress
    ) -> tuple[dict[str, Ran], dict[str, Ran]]:
        """Run test files at both revisions, and again where something broke; return the verdicts that stand."""
        if not files:
            return {}, {}
        self._suites.check(self._base, before.roots, packages)
        if self._settings.tests == "base":
            self._restore_tests(before)
        at_base: dict[str, Ran] = {}
        at_head: dict[str, Ran] = {}
        for number, path in enumerate(files):
            on_progress(number, len(files), path)
            at_base[path], at_head[path] = self._compared(before.roots, path)
        on_progress(len(files), len(files), "")
        if not any(ran.verdicts for ran in at_base.values()):
            troubles = [f"{path} {ran.trouble}" for path, ran in at_base.items() if ran.trouble]
            if troubles:
                message = f"no test file could be run at the base, so nothing can be said: {troubles[0]}"
                raise AttestError(message)
        return at_base, at_head

    def _compared(self, roots: tuple[str, ...], path: str) -> tuple[Ran, Ran]:
        base = self._suites.run(self._base, roots, path)
        if base.trouble:
            self.notes.append(f"{path} at the base: {base.trouble}")
        passed = [test for test, verdict in base.verdicts.items() if verdict == "passed"]
        if not passed:
            return base, Ran({})
        head = self._run_at_head(roots, path)
        broken = [test for test in passed if head.has_failed(test)]
        if head.trouble and broken:
            self.notes.append(f"{path} at the head: {head.trouble}")
        for _ in range(self._settings.reruns):
            if not broken:
                break
            again = self._suites.run(self._base, roots, path), self._run_at_head(roots, path)
            steady = [test for test in broken if again[0].verdicts.get(test) == "passed" and again[1].has_failed(test)]
            for test in sorted(set(broken) - set(steady)):
                self.notes.append(f"{test} is flaky: it does not break every time")
                head.verdicts[test] = "passed"
            broken = steady
        return base, head

    def _run_at_head(self, roots: tuple[str, ...], path: str) -> Ran:
        if not (self._head / path).is_file():
            return Ran({})
        return self._suites.run(self._head, roots, path)

    def _restore_tests(self, before: Layout) -> None:
        """Lay the tests of the base over the code of the head."""
        for path in self._repository.paths(self._change.base):
            source, target = self._base / path, self._head / path
            if before.is_test_side(path, self._settings.patterns) and source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)


def _judge(
    units: Mapping[str, _Unit], at_base: Mapping[str, Ran], at_head: Mapping[str, Ran]
) -> tuple[list[Affected], list[str]]:
    """Return what became of the tests of every unit, and the units without tests."""
    affected: list[Affected] = []
    untested: list[str] = []
    for name, unit in units.items():
        passed = [
            (path, test)
            for path in unit.files
            for test, verdict in at_base[path].verdicts.items()
            if verdict == "passed"
        ]
        if not passed:
            untested.append(name)
            continue
        broken = sorted(test for path, test in passed if at_head[path].has_failed(test))
        absent = sorted(test for path, test in passed if at_head[path].is_absent(test))
        affected.append(
            Affected(
                module=name,
                severity=severity_of(len(broken), len(passed)),
                passed=len(passed),
                broken=broken,
                absent=absent,
                via=unit.reached.via,
                distance=unit.reached.distance,
            )
        )
    return affected, untested


def _needed(names: Mapping[str, str], modules: Sequence[str]) -> dict[str, str]:
    """Return the names that a module of the repository has: a venue knows many others."""
    used = {resolve(module, names) for module in modules}
    return {module: names[module] for module in sorted(names) if module in used}


def _named(module: str, names: Mapping[str, str]) -> str:
    """Return the venue's name of a module: that of the nearest package that has one, else its own."""
    known = resolve(module, names)
    return module if known is None else names[known]

"""Run test files of a revision with pytest, each in a process of its own, and read what came of every test.

A file that hangs, or ends its process, is alone in its misfortune. The tests see the revision's own modules first
(by ``PYTHONPATH``), also where the interpreter has another revision installed; and none of the venue's credentials
that the environment names.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, Literal, NamedTuple
from xml.etree import ElementTree as ET

import msgspec

from exchange.coupling.errors import AttestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Ran", "Suites", "Verdict"]

Verdict = Literal["passed", "failed", "skipped"]

_KILL_GRACE_S: Final = 10.0
_PROBE_S: Final = 60.0
_ENDED: Final = (0, 1, 5)
"""pytest ran to its end: all passed, some failed, nothing was there."""
_TAIL: Final = 5
_PROBE: Final = """
import importlib.util, json, sys
origins = {}
for name in sys.argv[1:]:
    spec = importlib.util.find_spec(name)
    places = [] if spec is None else [spec.origin] if spec.has_location else list(spec.submodule_search_locations or [])
    origins[name] = next((place for place in places if place), None)
print(json.dumps({"pytest": importlib.util.find_spec("pytest") is not None, "origins": origins}))
"""


class _Probed(msgspec.Struct):
    pytest: bool
    origins: dict[str, str | None]


class Ran(NamedTuple):
    """Hold what came of a test file: the verdict on each test, and why it did not run to its end, if it did not."""

    verdicts: dict[str, Verdict]
    trouble: str = ""

    def has_failed(self, test: str) -> bool:
        """Return whether a test failed, or never got its turn because its file did not run to the end."""
        return self.verdicts.get(test, "failed" if self.trouble else "skipped") == "failed"

    def is_absent(self, test: str) -> bool:
        """Return whether a test is no longer there, or is skipped."""
        return not self.has_failed(test) and self.verdicts.get(test) != "passed"


class Suites:
    """Run test files with an interpreter, which may take so many seconds for each; ``scratch`` is theirs to fill.

    Raises:
        AttestError: there is no such interpreter.
    """

    def __init__(self, scratch: Path, python: Path | None = None, *, timeout_s: float = 300.0) -> None:
        self._scratch = scratch
        self._python = str(python or sys.executable)
        self._timeout_s = timeout_s
        self._count = 0

    def check(self, tree: Path, roots: Sequence[str], packages: Sequence[str]) -> None:
        """Make sure that the interpreter has pytest and would import packages from the tree.

        Raises:
            AttestError: it has not, or would not.
        """
        output = self._scratch / "probe"
        code = self._execute([self._python, "-c", _PROBE, *packages], tree, roots, output, _PROBE_S)
        text = output.read_text(errors="replace")
        try:
            probed = msgspec.json.decode(text.splitlines()[-1] if text.strip() else "", type=_Probed)
        except msgspec.DecodeError:
            message = (
                f"{self._python} cannot be used (exit {code}): {_tail(text)}; give another interpreter by --python"
            )
            raise AttestError(message) from None
        if not probed.pytest:
            message = f"{self._python} has no pytest; install it there, or give another interpreter by --python"
            raise AttestError(message)
        for name, origin in sorted(probed.origins.items()):
            if origin is None or not Path(origin).resolve().is_relative_to(tree.resolve()):
                message = (
                    f"{self._python} imports {name} from {origin or 'nowhere'}, not from the revision; "
                    "say by --root where the repository keeps its packages, or give another interpreter by --python"
                )
                raise AttestError(message)

    def run(self, tree: Path, roots: Sequence[str], path: str) -> Ran:
        """Run one test file of a tree."""
        self._count += 1
        report = self._scratch / f"{self._count}.xml"
        output = self._scratch / f"{self._count}.txt"
        command = [
            *(self._python, "-m", "pytest", path, f"--junitxml={report}", "-o", "junit_family=xunit1"),
            # As many as there are, in their own order, without memory of the last time.
            *("--maxfail=0", "-p", "no:cacheprovider", "-p", "no:randomly", "-q"),
        ]
        code = self._execute(command, tree, roots, output, self._timeout_s)
        verdicts, collapsed = _read_report(report, path, tree)
        if code is None:
            return Ran(verdicts, f"did not end within {self._timeout_s:g} s")
        if collapsed or code not in _ENDED:
            return Ran(verdicts, f"ended with exit {code}: {_tail(output.read_text(errors='replace'))}")
        return Ran(verdicts)

    def _execute(
        self, command: Sequence[str], tree: Path, roots: Sequence[str], output: Path, timeout_s: float
    ) -> int | None:
        """Run a command to its end, and whatever it started with it; return its exit code, None for a time-out."""
        try:
            with output.open("wb") as file, _ended(self._start(command, tree, roots, file.fileno())) as process:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(timeout_s)
                return None
        except (FileNotFoundError, PermissionError, NotADirectoryError):
            message = f"there is no interpreter {self._python} that can be run; give another by --python"
            raise AttestError(message) from None

    def _start(self, command: Sequence[str], tree: Path, roots: Sequence[str], output: int) -> subprocess.Popen[bytes]:
        hidden = ("EXCHANGE_", "NATS_", "GIT_", "PYTEST_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        places = [str(tree if root == "." else tree / root) for root in roots]
        env = {
            **kept,
            "PYTHONPATH": os.pathsep.join(places),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "TMPDIR": str(self._scratch),
        }
        return subprocess.Popen(  # noqa: S603 - to run the tests of a repository is the purpose
            command, cwd=tree, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Kill a process and all that it started when the block ends, however it does."""
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_KILL_GRACE_S)


def _read_report(report: Path, path: str, tree: Path) -> tuple[dict[str, Verdict], bool]:
    """Return the verdicts of a report by the names of its tests, and whether the file could not be collected."""
    verdicts: dict[str, Verdict] = {}
    collapsed = False
    try:
        # The file was written by pytest; expat bounds what entities may expand to.
        root = ET.parse(report).getroot()  # noqa: S314
    except (OSError, ET.ParseError):
        return verdicts, True
    for case in root.iter("testcase"):
        within = _within(case.get("classname", ""), path)
        verdict: Verdict = "passed"
        if case.find("failure") is not None or case.find("error") is not None:
            verdict = "failed"
        elif case.find("skipped") is not None:
            verdict = "skipped"
        if within is None:
            collapsed = collapsed or verdict == "failed"
            continue
        # Parameters may name files of the tree, whose place changes from run to run.
        name = "::".join([path, *within, case.get("name", "").replace(str(tree), ".")])
        # A test whose clean-up fails, too, stands there twice.
        if verdicts.get(name) != "failed":
            verdicts[name] = verdict
    return verdicts, collapsed


def _within(classname: str, path: str) -> list[str] | None:
    """Return the classes that a test lies in, or None where it is not a test but the file itself."""
    module = ".".join(PurePosixPath(path).with_suffix("").parts)
    parts = classname.split(".")
    # The name of the module begins at pytest's root, which may lie below the top of the repository.
    for count in range(len(parts), 0, -1):
        start = ".".join(parts[:count])
        if module == start or module.endswith(f".{start}"):
            return parts[count:]
    return None


def _tail(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return " | ".join(lines[-_TAIL:]) or "it said nothing"

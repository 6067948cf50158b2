"""``python -m tests.faults``: do every fault to real processes, run the simulation, write docs/reliability.md."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.faults.reliability import PAGE, ROOT, Run, read_run, recording_tests, render, where

if TYPE_CHECKING:
    from collections.abc import Sequence

from tests.faults.record import FAULTS_FILE

__all__ = ["main"]

_ENDED = re.compile(r"^(tests/\S+::\S+) (PASSED|FAILED|ERROR|SKIPPED)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says; return 1, and write no page, if anything fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2_000, help="of the simulation (default 2000)")
    parser.add_argument("--from", dest="file", type=Path, help="render this record instead of running anything")
    parser.add_argument("--record", type=Path, help="keep the record in this file, for --from")
    parser.add_argument("--page", type=Path, default=PAGE, help="where to write (default docs/reliability.md)")
    options = parser.parse_args(arguments)
    if options.file is not None:
        return _write(read_run(options.file), options.page)
    with tempfile.TemporaryDirectory() as directory:
        file = options.record or Path(directory) / "record.jsonl"
        file.write_bytes(b"")
        if not _run_tests(file) or not _simulate(file, options.seeds):
            return 1
        return _write(read_run(file), options.page)


def _run_tests(file: Path) -> bool:
    """Run every test that records, one after the other; return whether all passed."""
    tests, said = recording_tests(), []
    columns = (
        TextColumn("faults"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    console = Console(stderr=True)
    with (
        subprocess.Popen(
            [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *tests],
            cwd=ROOT, env={**os.environ, FAULTS_FILE: str(file.absolute())}, stdout=subprocess.PIPE, text=True,
        ) as pytest,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):  # fmt: skip
        bar = progress.add_task("", total=len(tests))
        ended: set[str] = set()
        assert pytest.stdout is not None
        for line in pytest.stdout:
            said.append(line)
            if match := _ENDED.match(line):
                ended.add(match[1].partition("[")[0])
                progress.update(bar, completed=len(ended), description=match[1].rpartition("::")[2])
    # What cannot be done on this machine has no row, and would be missed.
    is_good = pytest.returncode == 0 and not any(" SKIPPED" in line for line in said)
    if not is_good:
        sys.stderr.writelines(said[-200:])
    return is_good


def _simulate(file: Path, seeds: int) -> bool:
    """Run the simulation; return whether no seed violated anything."""
    command = [sys.executable, "-m", "tests.simulation", "--seeds", str(seeds), "--json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if done.returncode == 0:
        line = {"simulation": msgspec.json.decode(done.stdout), "where": where()}
        with file.open("ab") as record:
            record.write(msgspec.json.encode(line) + b"\n")
    return done.returncode == 0


def _write(run: Run, page: Path) -> int:
    page.write_text(render(run), encoding="utf-8")
    sys.stderr.write(f"wrote {page}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The page of what was tried: a row for every test that records, and nothing lost in any of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.faults import record as recording
from tests.faults.__main__ import main
from tests.faults.record import FAULTS_FILE
from tests.faults.reliability import PAGE, ROOT, read_run, recording_tests, rows

if TYPE_CHECKING:
    from pathlib import Path


_ROW = re.compile(r"^\| .* \| (\d+) \| (\d+) \| [^|]* \| [^|]* \| \[`(\w+)`\]\(\.\./([\w/.]+)\) \|$", re.MULTILINE)


def test_every_fault_has_a_row_and_every_row_a_test() -> None:
    """`python -m tests.faults` writes the page anew when a test came or went."""
    told = {f"{path}::{name}" for _, _, name, path in _ROW.findall(PAGE.read_text(encoding="utf-8"))}
    assert told == set(recording_tests())


def test_nothing_was_lost_or_doubled() -> None:
    """In no row of the page, and in no seed of the simulation."""
    page = PAGE.read_text(encoding="utf-8")
    found = _ROW.findall(page)
    assert len(found) > 20
    assert {(lost, doubled) for lost, doubled, _, _ in found} == {("0", "0")}
    assert "| seeds that violated a property | 0 |" in page


def test_a_record_becomes_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters of one test count together; what was measured is told by its median and its longest."""
    file, page = tmp_path / "record.jsonl", tmp_path / "page.md"
    monkeypatch.setenv(FAULTS_FILE, str(file))
    test = recording_tests()[0]
    for seed, took_s in ((1, [0.1, 0.2]), (2, [1.5])):
        monkeypatch.setenv("PYTEST_CURRENT_TEST", f"{test}[{seed}] (call)")
        recording.record("a cup of coffee", times=2, acknowledged=1_000, recovery_s=took_s, remark="it was hot")
    (row,) = rows(read_run(file))
    assert (row.test, row.times, row.acknowledged) == (test, 4, 2_000)
    assert main(["--from", str(file), "--page", str(page)]) == 0
    path, _, name = test.partition("::")
    assert (
        f"| a cup of coffee | 4 | 2,000 | 0 | 0 | 0.20 / 1.50 | it was hot | [`{name}`](../{path}) |"
        in page.read_text(encoding="utf-8").splitlines()
    )


def test_nothing_is_recorded_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test run leaves no file behind."""
    monkeypatch.delenv(FAULTS_FILE, raising=False)
    monkeypatch.chdir(tmp_path)
    recording.record("a cup of coffee", times=1)
    assert list(tmp_path.iterdir()) == []


def test_the_tests_that_record_are_found() -> None:
    """Wherever they are, and by themselves or by a helper."""
    found = recording_tests()
    assert "tests/faults/test_kill.py::test_the_daemon_is_killed_ten_times" in found
    assert all((ROOT / test.partition("::")[0]).is_file() for test in found)

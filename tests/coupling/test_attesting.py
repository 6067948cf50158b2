"""What a change broke is found by running the tests of real repositories at both of its ends."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exchange.coupling import (
    Affected,
    Attestation,
    AttestError,
    Findings,
    Repository,
    Settings,
    attest,
    digest_of,
    severity_of,
)
from exchange.coupling.findings import Terms
from exchange.coupling.reporting import Damage, reports_of
from tests.coupling.projects import COMMITTED_S, RAISED, SHOP, Project, lean_python

Examine = Callable[..., Attestation]

TOTAL = "tests/test_basket.py::test_total"
RECEIPT = "tests/test_till.py::TestReceipt::test_receipt"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "shop")


@pytest.fixture
def examine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """Return what attests the last commit of a project, and makes sure that nothing is left behind."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    python = lean_python(tmp_path / "lean-python")

    def run(project: Project, change: str = "base..HEAD", **settings: Any) -> Attestation:
        repository = Repository(project.path)
        try:
            # Without runs for the second time, where a test is not about them: each costs half a second.
            chosen = Settings(**{"reruns": 0, "python": python, **settings})
            return attest(repository, repository.resolve(change), chosen)
        finally:
            assert list(scratch.iterdir()) == []

    return run


def severities(attestation: Attestation) -> dict[str, int]:
    return {found.module: found.severity for found in attestation.findings.affected}


# ── what is broken ──────────────────────────────────────────────────────────────────────────────


def test_the_broken_tests_of_importers_are_found(project: Project, examine: Examine) -> None:
    """A third of the tests of one broke, all of another that imports it; what imports neither is not even run."""
    project.commit(files=RAISED)
    findings = examine(project).findings
    assert findings.changed == ["shop.prices"]
    assert findings.affected == [
        Affected(module="shop.basket", severity=34, passed=3, broken=[TOTAL], absent=[], via="shop.prices", distance=1),
        Affected(
            module="shop.till", severity=100, passed=1, broken=[RECEIPT], absent=[], via="shop.prices", distance=2
        ),
    ]
    assert findings.untested == []


def test_the_same_findings_come_out_again(project: Project, examine: Examine) -> None:
    """Byte for byte, from a clone elsewhere as well, and a re-run changes them in nothing but its number."""
    project.commit(files=RAISED)
    first = examine(project).findings
    clone = Project(project.path.parent / "elsewhere", {"x": ""})
    clone.git("fetch", "--quiet", "--tags", "--force", str(project.path), "main")
    second = examine(clone, "base..FETCH_HEAD").findings
    assert digest_of(second) == digest_of(first)
    again = examine(project, reruns=1).findings
    assert again.affected == first.affected
    assert digest_of(again) != digest_of(first)


def test_a_change_that_breaks_nothing_is_told_so(project: Project, examine: Examine) -> None:
    project.commit(files={"src/shop/prices.py": "def price(count):\n    return count + count\n"})
    findings = examine(project).findings
    assert findings.changed == ["shop.prices"]
    assert {found.module: (found.severity, found.passed) for found in findings.affected} == {
        "shop.basket": (0, 3),
        "shop.till": (0, 1),
    }
    assert reports_of(findings, Repository(project.path).resolve("base..HEAD"), "shop", None, 0) == []


def test_a_changed_module_is_not_affected_but_a_commented_one_is(project: Project, examine: Examine) -> None:
    """Whoever changes a module answers for it otherwise; to write a comment into it is no way out."""
    basket = SHOP["src/shop/basket.py"].replace("def total", "def total_of")
    project.commit(files=RAISED | {"src/shop/basket.py": basket})
    attestation = examine(project)
    assert attestation.findings.changed == ["shop.basket", "shop.prices"]
    assert severities(attestation) == {"shop.till": 100}
    # Of two changed modules the nearer one is blamed.
    assert attestation.findings.affected[0].via == "shop.basket"

    project.git("checkout", "--quiet", "-B", "second", "base")
    project.commit(files=RAISED | {"src/shop/basket.py": SHOP["src/shop/basket.py"] + "# Mine.\n"})
    attestation = examine(project)
    assert attestation.findings.changed == ["shop.prices"]
    assert severities(attestation) == {"shop.basket": 34, "shop.till": 100}
    assert attestation.notes == ["src/shop/basket.py: only comments or layout changed"]


def test_tests_that_are_not_code_of_modules_change_nothing(project: Project, examine: Examine) -> None:
    project.commit(files={"tests/test_basket.py": "def test_total():\n    assert 0\n", "README.md": "new"})
    findings = examine(project).findings
    assert (findings.changed, findings.affected, findings.untested) == ([], [], [])


@pytest.mark.parametrize(
    ("files", "changed"),
    [
        ({"src/shop/prices.py": None}, ["shop.prices"]),
        (
            {"src/shop/prices.py": None, "src/shop/costs.py": SHOP["src/shop/prices.py"]},
            ["shop.costs", "shop.prices"],
        ),
        ({"src/shop/prices.py": "def price(:\n"}, ["shop.prices"]),
        # The first that is found is imported.
        ({"src/shop/prices/__init__.py": "price = None\n"}, ["shop.prices"]),
    ],
    ids=["deleted", "renamed", "syntax error", "hidden by a package"],
)
def test_importers_that_cannot_even_be_imported_are_broken(
    project: Project, examine: Examine, files: dict[str, str | None], changed: list[str]
) -> None:
    """Their test files are not collected, or all fail: every test that passed before counts."""
    project.commit(files=files)
    findings = examine(project).findings
    assert findings.changed == changed
    assert [(found.module, found.severity, found.via) for found in findings.affected] == [
        ("shop.basket", 67 if "__init__" in str(files) else 100, "shop.prices"),
        ("shop.till", 100, "shop.prices"),
    ]


def test_data_of_a_package_is_part_of_it(tmp_path: Path, examine: Examine) -> None:
    """And whatever imports a module has its packages executed."""
    project = Project(
        tmp_path / "flat",
        {
            "rates/__init__.py": """
                from importlib import resources
                RATE = int((resources.files("rates") / "rate.txt").read_text())
                """,
            "rates/rate.txt": "5",
            "taxes.py": "import rates\n\ndef tax(x):\n    return x * rates.RATE\n",
            "test_taxes.py": "import taxes\n\ndef test_tax():\n    assert taxes.tax(1) == 5\n",
        },
    )
    project.commit(files={"rates/rate.txt": "6"})
    findings = examine(project).findings
    assert findings.changed == ["rates"]
    assert [(found.module, found.broken) for found in findings.affected] == [("taxes", ["test_taxes.py::test_tax"])]


def test_helpers_of_tests_lead_to_what_they_import(tmp_path: Path, examine: Examine) -> None:
    """By the name of their package, relative, or as neighbours; without one there is no test of a module."""
    project = Project(
        tmp_path / "flat",
        {
            "core.py": "N = 1\n",
            "a.py": "from core import N\n",
            "b.py": "from core import N\n",
            "c.py": "from core import N\n",
            "d/__init__.py": "from core import N\n",
            "d/tests/helper.py": "import a\n",
            "d/tests/test_d.py": "from .helper import a\n\ndef test_n():\n    assert a.N == 1\n",
            "d/tests/__init__.py": "",
            "checks/tests/near.py": "import a\n",
            "checks/tests/test_near.py": "from near import a\n\ndef test_n():\n    assert a.N == 1\n",
            "tests/__init__.py": "",
            "tests/far.py": "from .farther import b\n",
            "tests/farther.py": "import b\n",
            "tests/test_far.py": "from tests.far import b\n\ndef test_n():\n    assert b.N == 1\n",
        },
    )
    project.commit(files={"core.py": "N = 2\n"})
    attestation = examine(project)
    assert severities(attestation) == {"a": 100, "b": 100}
    assert attestation.findings.untested == ["c", "d"]


# ── what does not count as broken ───────────────────────────────────────────────────────────────


def test_failures_and_skips_of_the_base_do_not_count(tmp_path: Path, examine: Examine) -> None:
    tests = """
        import pytest, a
        def test_red(): assert a.N == 0
        def test_blue(): assert a.N == 1
        @pytest.mark.skipif(a.N == 1, reason="why not")
        def test_skipped(): assert 0
        @pytest.mark.xfail
        def test_expected(): assert 0
        def test_gone(): pass
        @pytest.mark.skipif(a.N == 2, reason="why not")
        def test_silenced(): pass
        @pytest.fixture
        def broken():
            yield
            assert a.N == 1
        def test_cleans_up(broken): pass
        """
    project = Project(tmp_path / "flat", {"core.py": "N = 1\n", "a.py": "from core import N\n", "test_a.py": tests})
    project.commit(files={"core.py": "N = 2\n", "test_a.py": tests.replace("def test_gone", "def gone")})
    (found,) = examine(project).findings.affected
    assert found.passed == 4
    assert found.broken == ["test_a.py::test_blue", "test_a.py::test_cleans_up"]
    assert found.absent == ["test_a.py::test_gone", "test_a.py::test_silenced"]
    assert found.severity == 50


def test_the_tests_of_the_base_may_be_asked_for(project: Project, examine: Examine) -> None:
    """Then it is no use to remove or rewrite them in the same change."""
    easy = "def test_total():\n    pass\n"
    project.commit(files=RAISED | {"tests/test_basket.py": easy, "tests/test_till.py": None})
    (basket, till) = examine(project).findings.affected
    assert (basket.broken, len(basket.absent)) == ([], 2)
    assert (till.broken, till.absent) == ([], [RECEIPT])
    attestation = examine(project, tests="base")
    assert severities(attestation) == {"shop.basket": 34, "shop.till": 100}


def test_flaky_tests_do_not_count(tmp_path: Path, examine: Examine) -> None:
    """What passes at the head once, or fails at the base once, is not broken; only what breaks every time is."""
    count = tmp_path / "count"
    flaky = f"""
        import a
        def turn():
            with open({str(count)!r}, "a+") as file:
                file.write("x")
                return file.tell()
        def test_once(): assert a.N == 1 or turn() > 1
        def test_always(): assert a.N == 1
        """
    project = Project(tmp_path / "flat", {"core.py": "N = 1\n", "a.py": "from core import N\n", "test_a.py": flaky})
    project.commit(files={"core.py": "N = 2\n"})
    attestation = examine(project, reruns=2)
    (found,) = attestation.findings.affected
    assert found.broken == ["test_a.py::test_always"]
    assert found.severity == 50
    assert attestation.notes == ["test_a.py::test_once is flaky: it does not break every time"]
    # Without another run it would have counted.
    count.unlink()
    assert examine(project).findings.affected[0].severity == 100


def test_a_module_without_tests_is_told(project: Project, examine: Examine) -> None:
    project.commit("fewer tests", {"tests/test_till.py": None})
    project.commit(files=RAISED)
    findings = examine(project, "HEAD").findings
    assert findings.untested == ["shop.till"]
    assert [found.module for found in findings.affected] == ["shop.basket"]


# ── tests that misbehave ────────────────────────────────────────────────────────────────────────


def test_a_file_that_hangs_is_broken_alone(project: Project, examine: Examine) -> None:
    """It is ended with all that it started, and what others did meanwhile counts."""
    pids = project.path.parent / "pids"
    hang = f"""
        import subprocess, sys, time
        with open({str(pids)!r}, "a") as file:
            print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, file=file)
        time.sleep(600)
        """
    basket = SHOP["tests/test_basket.py"]
    project.commit(files=RAISED | {"tests/test_basket.py": hang})
    started = time.monotonic()
    attestation = examine(project, timeout_s=4.0)
    assert time.monotonic() - started < 60
    assert severities(attestation) == {"shop.basket": 100, "shop.till": 100}
    assert attestation.notes == ["tests/test_basket.py at the head: did not end within 4 s"]
    for pid in map(int, pids.read_text().split()):
        with pytest.raises(ProcessLookupError):
            _raise_unless_running(pid)
    assert basket != hang


def _raise_unless_running(pid: int) -> None:
    """Raise ProcessLookupError where a process is gone, or only waits for its parent to look."""
    os.kill(pid, 0)
    if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
        raise ProcessLookupError


def test_a_file_that_ends_its_process_is_broken_alone(project: Project, examine: Examine) -> None:
    project.commit(files=RAISED | {"tests/test_basket.py": "import os\nos._exit(3)\n"})
    attestation = examine(project)
    assert severities(attestation) == {"shop.basket": 100, "shop.till": 100}
    assert "tests/test_basket.py at the head: ended with exit 3: it said nothing" in attestation.notes


def test_a_conftest_that_fails_breaks_all_that_it_serves(project: Project, examine: Examine) -> None:
    project.commit(files={"src/shop/prices.py": "price = 1 / 0\n", "tests/conftest.py": "import shop.prices\n"})
    attestation = examine(project)
    assert severities(attestation) == {"shop.basket": 100, "shop.till": 100}
    assert "ZeroDivisionError" in attestation.notes[0]


def test_where_no_test_runs_at_the_base_nothing_is_said(project: Project, examine: Examine) -> None:
    project.commit("broken already", {"pyproject.toml": "[tool.pytest.ini_options]\naddopts = '--no-such-flag'\n"})
    project.commit(files=RAISED)
    with pytest.raises(AttestError, match=r"no test file could be run at the base.*test_basket.*--no-such-flag"):
        examine(project, "HEAD")


def test_settings_of_the_repository_do_not_hinder(project: Project, examine: Examine) -> None:
    """Neither an end at the first failure, nor a root of pytest below the top, which gives tests other names."""
    project.commit(
        files=RAISED
        | {
            "tests/pytest.ini": "[pytest]\naddopts = -x -q\n",
            "tests/test_basket.py": SHOP["tests/test_basket.py"].replace("== 0", "== 1"),
        }
    )
    (basket, till) = examine(project).findings.affected
    assert basket.broken == ["tests/test_basket.py::test_nothing", TOTAL]
    assert till.broken == [RECEIPT]


def test_tests_get_no_credential_and_write_no_cache(project: Project, examine: Examine, monkeypatch: Any) -> None:
    """What they see of the environment leads to no venue, and the revision is not written to."""
    monkeypatch.setenv("EXCHANGE_CREDS", "/secret")
    monkeypatch.setenv("NATS_URL", "nats://secret")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-flag")
    seen = project.path.parent / "seen"
    spy = f"""
        import os, pathlib, shop.till
        def test_env():
            names = [name for name in os.environ if name.startswith(("EXCHANGE_", "NATS_"))]
            with open({str(seen)!r}, "a") as file:
                print(names, shop.till.__file__, list(pathlib.Path.cwd().rglob("__pycache__")), file=file)
        """
    project.commit("spy", {"tests/test_till.py": spy})
    project.commit(files=RAISED)
    examine(project, "HEAD")
    lines = seen.read_text().splitlines()
    assert [("base/src/shop/till.py" in line, "head/src/shop/till.py" in line) for line in lines] == [
        (True, False),
        (False, True),
    ]
    assert all(line.startswith("[] /") and line.endswith(" []") for line in lines)


# ── what cannot be examined ─────────────────────────────────────────────────────────────────────


def test_a_repository_without_python_is_told(tmp_path: Path, examine: Examine) -> None:
    project = Project(tmp_path / "c", {"main.c": "int main() {}"})
    project.commit(files={"main.c": "int main() { return 1; }"})
    with pytest.raises(AttestError, match="c has no Python modules at"):
        examine(project)


def test_an_interpreter_that_is_not_there_is_told(project: Project, examine: Examine) -> None:
    project.commit(files=RAISED)
    for python in (project.path / "python", project.path):
        with pytest.raises(AttestError, match=r"there is no interpreter .* that can be run; give another by --python"):
            examine(project, python=python)


def test_an_interpreter_without_pytest_is_told(project: Project, examine: Examine) -> None:
    project.commit(files=RAISED)
    bare = project.path.parent / "bare-python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(AttestError, match="bare-python has no pytest; install it there"):
        examine(project, python=bare)
    bare.write_text("#!/bin/sh\necho no >&2; exit 9\n")
    with pytest.raises(AttestError, match=r"cannot be used \(exit 9\): no; give another"):
        examine(project, python=bare)


def test_an_interpreter_that_imports_another_copy_is_told(project: Project, examine: Examine) -> None:
    """Or else the tests of one revision would run over the code of another."""
    project.commit(files=RAISED)
    other = project.path.parent / "other" / "shop"
    other.mkdir(parents=True)
    (other / "__init__.py").touch()
    hasty = project.path.parent / "hasty-python"
    hasty.write_text(f'#!/bin/sh\nPYTHONPATH={other.parent}:$PYTHONPATH exec {sys.executable} "$@"\n')
    hasty.chmod(0o755)
    with pytest.raises(AttestError, match=r"imports shop from .*other/shop/__init__.py, not from the revision"):
        examine(project, python=hasty)


@pytest.mark.usefixtures("examine")
def test_an_interrupt_leaves_nothing_behind(project: Project) -> None:
    project.commit(files=RAISED)
    repository = Repository(project.path)

    seen: list[Path] = []

    def interrupt(_done: int, _total: int, _path: str) -> None:
        seen.extend(Path(tempfile.gettempdir()).iterdir())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attest(repository, repository.resolve("base..HEAD"), Settings(), interrupt)
    assert len(seen) == 1
    assert not seen[0].exists()


# ── names, severities, reports ──────────────────────────────────────────────────────────────────


def test_names_of_the_venue_may_be_coarser(project: Project, examine: Examine) -> None:
    """Several modules of one name are one: their tests count together, and none of them is affected if one changed."""
    project.commit(files=RAISED)
    names = {"shop": "shop", "shop.basket": "sales", "shop.till": "sales"}
    attestation = examine(project, names={**names, "elsewhere": "elsewhere", "shop.tills": "tills"})
    # What else the venue knows is not part of the findings, or they would change with every new module there.
    assert attestation.findings.terms.names == names
    assert attestation.findings.changed == ["shop"]
    (found,) = attestation.findings.affected
    assert (found.module, found.severity, found.passed, found.distance) == ("sales", 50, 4, 1)
    attestation = examine(project, names={"shop": "shop"})
    assert (attestation.findings.affected, attestation.findings.untested) == ([], [])


def test_a_repository_may_hold_several_projects(tmp_path: Path, examine: Examine) -> None:
    project = Project(
        tmp_path / "many",
        {
            "one/src/one/__init__.py": "N = 1\n",
            "two/lib/two.py": "from one import N\n",
            "two/tests/test_two.py": "import two\n\ndef test_n():\n    assert two.N == 1\n",
        },
    )
    project.commit(files={"one/src/one/__init__.py": "N = 2\n"})
    assert severities(examine(project, roots=("one/src", "two/lib"))) == {"two": 100}


def test_other_names_of_test_files_may_be_given(tmp_path: Path, examine: Examine) -> None:
    project = Project(
        tmp_path / "flat",
        {
            "core.py": "N = 1\n",
            "a.py": "from core import N\n",
            "check_a.py": "import a\n\ndef test_n():\n    assert a.N == 1\n",
        },
    )
    project.commit(files={"core.py": "N = 2\n"})
    assert severities(examine(project, patterns=("check_*.py",))) == {"a": 100}


@pytest.mark.parametrize(
    ("broken", "passed", "severity"),
    [(0, 7, 0), (1, 1_000, 1), (1, 3, 34), (1, 2, 50), (2, 3, 67), (99, 100, 99), (199, 200, 100), (7, 7, 100)],
)
def test_severity_is_the_share_rounded_up(broken: int, passed: int, severity: int) -> None:
    assert severity_of(broken, passed) == severity


def findings_of(**damage: tuple[str, int]) -> Findings:
    affected = [
        Affected(module=module, severity=severity, passed=9, broken=[], absent=[], via=via, distance=1)
        for module, (via, severity) in damage.items()
    ]
    terms = Terms(roots=(".",))
    return Findings(base="a", head="b", terms=terms, changed=["x", "y", "z"], affected=affected, untested=[])


def test_every_changed_module_that_broke_something_is_reported(project: Project) -> None:
    """Once, with the damage that is blamed on it; the change is no later than now."""
    project.commit(files=RAISED)
    change = Repository(project.path).resolve("base..HEAD")
    findings = findings_of(a=("x", 5), b=("y", 7), c=("x", 100), d=("z", 0))
    now_us = COMMITTED_S * 1_000_000 + 1
    first, second = reports_of(findings, change, "shop", "bob", now_us)
    assert (first.module, first.affected) == ("x", [Damage("a", 5), Damage("c", 100)])
    assert (second.module, second.affected) == ("y", [Damage("b", 7)])
    assert (first.source, first.kind, first.changed_us) == ("bob", "coupling", now_us - 1)
    assert first.reference == f"shop {change.base}..{change.head}"
    assert first.digest == second.digest == digest_of(findings)
    assert reports_of(findings, change, "shop", "bob", 7, ["y"])[0].changed_us == 7
    assert [found.module for found in reports_of(findings, change, "shop", "bob", 7, ["y"])] == ["y"]


def test_of_more_than_fit_the_worst_are_reported(project: Project) -> None:
    project.commit(files=RAISED)
    change = Repository(project.path).resolve("base..HEAD")
    damage = {f"m{number:03}": ("x", 1 + number % 100) for number in range(300)}
    (report,) = reports_of(findings_of(**damage), change, "shop", "bob", 0)
    assert len(report.affected) == 256
    assert report.affected == sorted(report.affected, key=lambda one: one.module)
    assert min(one.severity for one in report.affected) == 15
    # Of the three that are hurt alike the first in the alphabet fits.
    assert [one.module for one in report.affected if one.severity == 15] == ["m014"]


def test_the_digest_is_of_canonical_json() -> None:
    """Whoever has other tools can compute it, too."""
    import hashlib
    import json

    import msgspec

    findings = findings_of(ü=("x", 5))
    plain = json.loads(msgspec.json.encode(findings))
    text = json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert digest_of(findings) == hashlib.sha256(text.encode()).hexdigest()
    assert digest_of(findings_of(ü=("x", 6))) != digest_of(findings)

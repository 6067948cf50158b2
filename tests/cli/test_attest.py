"""Attesting coupling on the command line: what is told, and what is reported to a real venue."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_sdk import Agent
from exchange.messages.externalities import AcceptExternality
from exchange.messages.property import RegisterModule
from tests.cli.conftest import Call
from tests.cli.program import TIMEOUT_S, Serving, environment, run_json
from tests.cli.test_work import act, acting
from tests.coupling.projects import RAISED, SHOP, Project, lean_python


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a repository in which ``base..main`` breaks tests of two modules."""
    project = Project(tmp_path / "shop")
    project.commit(files=RAISED)
    return project


def flags(project: Project, **others: object) -> tuple[object, ...]:
    """Return a command that reports nothing, with other values for some of its flags; None leaves one out."""
    python = project.path.parent / "lean-python"
    if not python.exists():
        lean_python(python)
    values = {"repo": project.path, "python": python, "reruns": 0, "dry_run": "", **others}
    told = [(f"--{name.replace('_', '-')}", value) for name, value in values.items() if value is not None]
    return ("attest", "coupling", *(word for pair in told for word in pair if word != ""))


def test_a_dry_run_tells_what_it_found(call: Call, project: Project) -> None:
    """As a table for people, as JSON for programs; it needs no venue."""
    done = call(*flags(project), "--change", "base..main")
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()[1:3]] == [
        ["shop.till", "100", "1", "1", "shop.prices", "2", "tests/test_till.py::TestReceipt::test_receipt"],
        ["shop.basket", "34", "1", "3", "shop.prices", "1", "tests/test_basket.py::test_total"],
    ]
    assert "changed: shop.prices; 2 modules import that, of which 0 have no tests that passed before" in done.stdout
    told = json.loads(call(*flags(project), "--change", "base..main", "--source", "bob", "--json").stdout)
    assert told["digest"] in done.stdout
    (report,) = told["reports"]
    assert (report["kind"], report["source"], report["module"]) == ("coupling", "bob", "shop.prices")
    assert report["affected"] == [
        {"module": "shop.basket", "severity": 34},
        {"module": "shop.till", "severity": 100},
    ]
    assert report["digest"] == told["digest"]
    assert report["reference"] == f"shop {told['findings']['base']}..{told['findings']['head']}"


def test_names_of_the_venue_are_read_from_a_file(call: Call, project: Project, tmp_path: Path) -> None:
    """With dots in quotes or without."""
    names = tmp_path / "names.toml"
    names.write_text('"shop.till" = "front"\n[shop]\nprices = "prices"\nbasket = "front"\n')
    told = json.loads(call(*flags(project), "--change", "main", "--names", names, "--json").stdout)
    assert told["findings"]["changed"] == ["prices"]
    assert told["reports"][0]["affected"] == [{"module": "front", "severity": 50}]
    assert told["findings"]["terms"]["names"] == {
        "shop.basket": "front", "shop.prices": "prices", "shop.till": "front",
    }  # fmt: skip


def test_anybody_can_check_what_was_found(call: Call, project: Project, tmp_path: Path) -> None:
    """In a clone of their own; what was made up, or does not fit its digest, is found out."""
    told = json.loads(call(*flags(project, depth=2), "--change", "base..main", "--json").stdout)
    file = tmp_path / "told.json"
    file.write_text(json.dumps(told))
    clone = tmp_path / "clone"
    project.git("clone", "--quiet", str(project.path), str(clone))
    check = ("attest", "coupling", "--repo", clone, "--python", project.path.parent / "lean-python", "--check", file)
    done = call(*check)
    assert (done.returncode, done.stdout) == (0, f"the same comes out: {told['digest']}\n")
    assert json.loads(call(*check, "--json").stdout)["same"] is True

    told["findings"]["affected"][0] |= {"severity": 100, "broken": ["tests/test_basket.py::test_nothing"]}
    file.write_text(json.dumps(told))
    done = call(*check)
    assert done.returncode == 1
    assert "its digest is not that of its findings" in done.stderr
    assert "shop.basket: told severity 100, 1 of 3 broken; found severity 34, 1 of 3 broken" in done.stdout


def test_nothing_to_report_is_told(call: Call, project: Project) -> None:
    project.commit("harmless", {"src/shop/prices.py": "def price(count):\n    return count * 3\n"})
    assert "Nothing was broken." in call(*flags(project), "--change", "HEAD").stdout
    project.commit("prose", {"README.md": "new"})
    assert call(*flags(project), "--change", "HEAD").stdout == "No module was changed.\n"


def test_a_program_that_is_told_to_end_cleans_up(project: Project, tmp_path: Path) -> None:
    """By Ctrl-C or by SIGTERM, while a test hangs."""
    alive = tmp_path / "alive"
    hang = f"import pathlib, time, shop.basket\npathlib.Path({str(alive)!r}).touch()\ntime.sleep(600)\n"
    project.commit("hang", {"tests/test_basket.py": hang})
    project.commit("change", {"src/shop/prices.py": SHOP["src/shop/prices.py"]})
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        scratch = tmp_path / f"scratch-{code}"
        scratch.mkdir()
        arguments = [*flags(project), "--change", "HEAD"]
        with subprocess.Popen(
            [sys.executable, "-m", "exchange", *map(str, arguments)],
            env=environment(TMPDIR=str(scratch)), stderr=subprocess.PIPE, text=True,
            # Whoever starts us in the background may ignore it, and what is ignored is inherited.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        ) as process:  # fmt: skip
            deadline = time.monotonic() + TIMEOUT_S
            while not alive.exists():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.send_signal(number)
            _, errors = process.communicate(timeout=TIMEOUT_S)
        assert (process.returncode, errors) == (code, "")
        assert list(scratch.iterdir()) == []
        alive.unlink()
    assert project.git("status", "--porcelain") == ""
    assert project.git("worktree", "list").count("\n") == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"change": None}, "say which change with --change"),
        ({"change": "base..gone"}, "there is no commit 'gone' in shop"),
        ({"repo": "absent"}, "there is no directory"),
        ({"repo": "plain"}, "is not a git repository"),
        ({"python": "no-such-python"}, "there is no interpreter no-such-python"),
        ({"names": "absent"}, "absent: No such file or directory"),
        ({"names": "wrong.toml"}, "is no TOML file of names"),
        ({"names": "listed.toml"}, "the name of shop is [1]; write it like"),
        ({"module": "shop.stock"}, "did not touch it; it touched shop.prices"),
        ({"root": "../other"}, "--root ../other must be a directory of the repository"),
        ({"check": "wrong.toml"}, "holds no findings"),
        ({"check": "absent"}, "absent: No such file or directory"),
    ],
)
def test_mistakes_are_told(
    call: Call, project: Project, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str | None], message: str
) -> None:
    """What was wrong, and what to do, without a traceback."""
    monkeypatch.chdir(project.path.parent)
    Path("plain").mkdir()
    Path("wrong.toml").write_text("shop = ")
    Path("listed.toml").write_text("shop = [1]")
    done = call(*flags(project, **{"change": "base..main", **wrong}))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert message in done.stderr


def test_a_report_needs_to_know_who_made_the_change(call: Call, project: Project) -> None:
    done = call(*flags(project, dry_run=None), "--change", "base..main")
    assert "say which agent made the change with --source, or look first with --dry-run" in done.stderr


# ── on a venue ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Serve a venue where bob owns what he changes, ann what breaks, and ci attests."""
    data = tmp_path_factory.mktemp("venue") / "data"
    run_json("init", "--data", data, "--setting", "dependency_age_seconds=0")
    with Serving(data) as serving:
        for name, role in (("ann", "trader"), ("bob", "trader"), ("ci", "attester")):
            roles = ("--role", role) if role == "attester" else ()
            run_json("agent", "add", name, "--owner", name, "--endowment", 100, *roles, "--data", data)

        async def register(agent: Agent) -> None:
            for module, owner, dependencies in (
                ("shop.prices", "bob", []),
                ("shop.basket", "ann", ["shop.prices"]),
            ):
                await agent.submit(RegisterModule, module=module, owner=owner, dependencies=dependencies)

        act(serving, "operator", register)
        yield serving


def fresh(project: Project) -> str:
    """Commit a change that breaks something, now; return its revision."""
    project.now_s = int(time.time()) + 1
    return project.commit("now", {"src/shop/prices.py": "def price(count):\n    return 4 * count\n"})


def test_what_was_broken_is_reported_and_paid(call: Call, venue: Serving, tmp_path: Path) -> None:
    """The levy is what the venue's rules make of the severity; what it does not know is left out, and told."""
    project = Project(tmp_path / "shop")
    fresh(project)
    as_ci = acting(venue, "ci")
    told = (*flags(project, dry_run=None, source="bob"), "--change", "HEAD", *as_ci)
    done = call(*told)
    assert done.returncode == 0, done.stderr
    # Severity 34 at 10 credits for all of a module, and twice that, since the change was not declared.
    assert "shop.prices: externality 1, bob is to pay 6.800000 of which 6.800000 are held" in done.stdout
    assert "your stake is 50.000000" in done.stdout
    assert "the venue knows no module shop.till; it is left out" in done.stderr
    shown = act(venue, "ann", lambda agent: agent.balances())
    assert shown["credit"].available == 100

    # The same again is no news, and nothing is wrong with that.
    done = call(*told, "--json")
    assert done.returncode == 0, done.stderr
    (sent,) = json.loads(done.stdout)["sent"]
    assert (sent["module"], sent["rejected"]) == ("shop.prices", "already_reported")

    async def accept(agent: Agent) -> None:
        await agent.submit(AcceptExternality, externality=1)

    act(venue, "bob", accept)
    credit = {name: act(venue, name, lambda agent: agent.balances())["credit"] for name in ("ann", "bob", "ci")}
    assert {name: str(found.available) for name, found in credit.items()} == {
        "ann": "106.800000", "bob": "93.200000", "ci": "100.000000",
    }  # fmt: skip


def test_a_commit_that_is_dated_back_gets_nobody_off(call: Call, venue: Serving, tmp_path: Path) -> None:
    """Whoever merges says when that was, and need not believe the commit."""
    project = Project(tmp_path / "dated")
    project.now_s = int(time.time()) - 90 * 86_400
    project.commit("back then", {"src/shop/prices.py": "def price(count):\n    return 4 * count\n"})
    told = (*flags(project, dry_run=None, source="bob"), "--change", "HEAD", *acting(venue, "ci"))
    done = call(*told)
    assert (done.returncode, "externality_too_old" in done.stderr) == (1, True)
    done = call(*told, "--ago", "1s")
    assert done.returncode == 0, done.stderr
    assert "bob is to pay 6.800000" in done.stdout


def test_a_report_that_the_venue_does_not_take_is_told(call: Call, venue: Serving, tmp_path: Path) -> None:
    """Whose own damage it is attests nothing; who is no attester neither."""
    project = Project(tmp_path / "shop")
    fresh(project)
    for name in ("ann", "bob"):
        done = call(*flags(project, dry_run=None, source="bob"), "--change", "HEAD", *acting(venue, name))
        assert done.returncode == 1
        assert "shop.prices: the venue does not take the report: not_permitted" in done.stderr
    done = call(*flags(project, dry_run=None, source="carl"), "--change", "HEAD", *acting(venue, "ci"))
    assert "the venue does not take the report: unknown_agent: carl is not registered" in done.stderr


def test_where_no_venue_runs_no_test_is_run(call: Call, project: Project, tmp_path: Path) -> None:
    started = time.monotonic()
    done = call(*flags(project, dry_run=None, source="bob"), "--change", "HEAD", "--data", tmp_path / "none")
    assert (done.returncode, done.stdout) == (1, "")
    assert "holds no venue" in done.stderr
    assert time.monotonic() - started < 5

"""Revisions are read, and nothing of the repository is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from exchange.coupling import AttestError, Repository
from tests.coupling.projects import COMMITTED_S, RAISED, Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "shop")


def test_a_change_is_named_in_every_way_of_git(project: Project) -> None:
    base = project.git("rev-parse", "HEAD")
    project.git("checkout", "--quiet", "-b", "feature")
    head = project.commit(files=RAISED)
    project.git("checkout", "--quiet", "main")
    later = project.commit("later", {"src/shop/stock.py": "def left():\n    return 8\n"})
    repository = Repository(project.path)
    expected = (base, head, COMMITTED_S * 1_000_000)
    for named in (
        "base..feature",
        "main...feature",
        "...feature",
        "feature",
        f"{base[:9]}..{head}",
        "feature^..feature",
    ):
        assert repository.resolve(named) == expected, named
    assert repository.resolve("base..") == (base, later, COMMITTED_S * 1_000_000)
    assert repository.resolve("main..feature").base == later
    assert str(repository.resolve("feature")) == f"{base}..{head}"
    assert repository.name == "shop"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("base..gone", "there is no commit 'gone' in shop"),
        ("gone", "there is no commit 'gone' in shop"),
        ("base", r"there is no commit 'base\^'"),
        ("base..base", "names one commit .* twice"),
        ("base..--help", "there is no commit '--help'"),
        ("base..HEAD:src", "there is no commit 'HEAD:src'"),
        ("", "there is no commit ''"),
    ],
)
def test_revisions_that_do_not_exist_are_named(project: Project, change: str, message: str) -> None:
    with pytest.raises(AttestError, match=message):
        Repository(project.path).resolve(change)


def test_histories_without_a_common_commit_are_told(project: Project) -> None:
    project.git("checkout", "--quiet", "--orphan", "other")
    project.commit("another beginning")
    with pytest.raises(AttestError, match="no commit in common"):
        Repository(project.path).resolve("main...other")


@pytest.mark.parametrize("is_there", [True, False])
def test_what_is_no_repository_is_told(tmp_path: Path, is_there: bool) -> None:
    path = tmp_path / "plain"
    if is_there:
        path.mkdir()
    message = "is not a git repository" if is_there else "there is no directory"
    with pytest.raises(AttestError, match=message):
        Repository(path)


def test_no_git_is_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project.path))
    with pytest.raises(AttestError, match="there is no git"):
        Repository(project.path)


def test_paths_are_as_they_are(project: Project) -> None:
    """Also those that git would quote; a renamed file has two."""
    project.git("mv", "src/shop/stock.py", "src/shop/store room.py")
    project.commit(files={"src/shop/prix_à.py": "", "src/shop/till.py": None, 'src/"quoted"\n.py': ""})
    repository = Repository(project.path)
    change = repository.resolve("base..HEAD")
    assert repository.changed_paths(change) == [
        'src/"quoted"\n.py', "src/shop/prix_à.py", "src/shop/stock.py", "src/shop/store room.py", "src/shop/till.py",
    ]  # fmt: skip
    assert "src/shop/stock.py" in repository.paths(change.base)
    assert "src/shop/stock.py" not in repository.paths(change.head)


def test_a_check_out_writes_nothing_into_the_repository(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither into its work tree, however dirty, nor its index, nor elsewhere; whatever the environment says of git."""
    project.commit(files=RAISED)
    project.write({"src/shop/prices.py": "dirty = 1\n", "src/shop/basket.py": None, "new.py": "untracked\n"})
    project.git("add", "new.py")
    before = {path: path.read_bytes() for path in project.path.rglob("*") if path.is_file()}
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere")
    repository = Repository(project.path)
    change = repository.resolve("base..HEAD")
    repository.check_out(change.base, tmp_path / "base")
    repository.check_out(change.head, tmp_path / "head")
    assert {path: path.read_bytes() for path in project.path.rglob("*") if path.is_file()} == before
    assert "2 * count" in (tmp_path / "base" / "src" / "shop" / "prices.py").read_text()
    assert "3 * count" in (tmp_path / "head" / "src" / "shop" / "prices.py").read_text()
    assert (tmp_path / "head" / "src" / "shop" / "basket.py").exists()
    assert not (tmp_path / "head" / "new.py").exists()
    assert not (tmp_path / "head" / ".git").exists()


def test_links_are_no_files(project: Project) -> None:
    """Or a change could have us read whatever they lead to."""
    (project.path / "src" / "shop" / "linked.py").symlink_to("/dev/zero")
    head = project.commit()
    repository = Repository(project.path)
    assert "src/shop/linked.py" not in repository.paths(head)
    assert repository.changed_paths(repository.resolve("HEAD")) == ["src/shop/linked.py"]


def test_a_bare_repository_will_do(project: Project, tmp_path: Path) -> None:
    project.commit(files=RAISED)
    bare = tmp_path / "mirror.git"
    project.git("clone", "--quiet", "--bare", str(project.path), str(bare))
    shutil.rmtree(project.path)
    repository = Repository(bare)
    assert repository.name == "mirror"
    change = repository.resolve("base..main")
    repository.check_out(change.head, tmp_path / "head")
    assert (tmp_path / "head" / "src" / "shop" / "till.py").exists()

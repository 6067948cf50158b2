"""Read a git repository without touching it: revisions, what changed between two, and the files of one.

Revisions are checked out through an index of our own into a directory of our own, so that neither the work tree, nor
the index, nor the list of work trees of the repository is written; a process that is killed leaves no trace there.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from exchange.coupling.errors import AttestError

__all__ = ["Change", "Repository"]

_CONFIG: Final = (
    # The files as they were committed, whatever this user's habits are; and nothing is started in the background.
    "core.autocrlf=false", "core.sparseCheckout=false", "core.fsmonitor=false", "core.quotePath=false",
)  # fmt: skip
_FILE: Final = b"100"
"""How the modes of files begin, executable or not."""
_SECOND_US: Final = 1_000_000


class Change(NamedTuple):
    """Name the two commits of a change in full, and the time at which the second was committed."""

    base: str
    head: str
    committed_us: int

    def __str__(self) -> str:
        """Return it as git writes it."""
        return f"{self.base}..{self.head}"


class Repository:
    """Read one git repository, bare or not.

    Raises:
        AttestError: there is none, or there is no git.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            message = f"there is no directory {path}; give the repository with --repo"
            raise AttestError(message)
        found = _git("rev-parse", "--absolute-git-dir", cwd=path)
        if found.returncode:
            why = _last_line(found.stderr)
            message = f"{path} is not a git repository ({why}); give one with --repo"
            raise AttestError(message)
        self._git_dir = os.fsdecode(found.stdout.rstrip(b"\n"))
        top = _git("rev-parse", "--show-toplevel", cwd=path)
        # A bare repository has no work tree; it is called as its directory is.
        shown = os.fsdecode(top.stdout.rstrip(b"\n")) if top.returncode == 0 and top.stdout.strip() else self._git_dir
        self.name = Path(shown).name.removesuffix(".git") or "repository"

    def resolve(self, change: str) -> Change:
        """Return the commits of ``A..B``, of ``A...B`` (from where B left A), or of one revision and its parent.

        Raises:
            AttestError: one of them does not exist, or they are the same.
        """
        if "..." in change:
            left, _, right = change.partition("...")
            first, head = self._commit(left or "HEAD"), self._commit(right or "HEAD")
            found = self._run("merge-base", first, head)
            if found.returncode:
                message = f"{change!r}: the two revisions have no commit in common; write A..B"
                raise AttestError(message)
            base = found.stdout.decode().strip()
        elif ".." in change:
            left, _, right = change.partition("..")
            base, head = self._commit(left or "HEAD"), self._commit(right or "HEAD")
        else:
            head = self._commit(change)
            base = self._commit(f"{change}^")
        if base == head:
            message = f"{change!r} names one commit ({head[:12]}) twice: nothing changed"
            raise AttestError(message)
        seconds = self._read("show", "--no-patch", "--format=%ct", head).decode().split()[-1]
        return Change(base, head, int(seconds) * _SECOND_US)

    def changed_paths(self, change: Change) -> list[str]:
        """Return the paths that were added, deleted or modified, sorted; a renamed file has two."""
        listed = self._read("diff-tree", "-r", "-z", "--no-renames", "--name-only", change.base, change.head)
        return sorted(_paths(listed))

    def paths(self, commit: str) -> list[str]:
        """Return the paths of the files of a commit, sorted; links and submodules are none."""
        entries = [
            entry.partition(b"\t") for entry in self._read("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0")
        ]
        return sorted(os.fsdecode(path) for mode, _, path in entries if mode.startswith(_FILE))

    def check_out(self, commit: str, directory: Path) -> None:
        """Write the files of a commit into a new directory.

        Raises:
            AttestError: git could not.
        """
        directory.mkdir()
        index = {"GIT_INDEX_FILE": str(directory.with_suffix(".index"))}
        self._read("read-tree", commit, extra=index)
        self._read("checkout-index", "--all", "--force", work_tree=directory, extra=index)

    def _commit(self, revision: str) -> str:
        found = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        if found.returncode or not found.stdout.strip():
            message = (
                f"there is no commit {revision!r} in {self.name}; `git log` lists them, "
                "and a shallow clone lacks the older ones"
            )
            raise AttestError(message)
        return found.stdout.decode().strip().splitlines()[-1]

    def _run(
        self, *arguments: str, work_tree: Path | None = None, extra: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        options = [f"--git-dir={self._git_dir}"]
        if work_tree is not None:
            options.append(f"--work-tree={work_tree}")
        return _git(*options, *arguments, cwd=work_tree, extra=extra)

    def _read(self, *arguments: str, work_tree: Path | None = None, extra: dict[str, str] | None = None) -> bytes:
        done = self._run(*arguments, work_tree=work_tree, extra=extra)
        if done.returncode:
            message = f"git {arguments[0]} failed in {self.name}: {_last_line(done.stderr)}"
            raise AttestError(message)
        return done.stdout


def _git(*arguments: str, cwd: Path | None, extra: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    # Where we are called from a hook, git's variables would lead elsewhere.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env = kept | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"} | (extra or {})
    options = [option for setting in _CONFIG for option in ("-c", setting)]
    try:
        return subprocess.run(  # noqa: S603 - arguments that come from a user follow --end-of-options
            ["git", *options, *arguments],  # noqa: S607 - the git that the user has
            cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        message = "there is no git on the PATH; install it"
        raise AttestError(message) from None


def _paths(listed: bytes) -> list[str]:
    return [os.fsdecode(path) for path in listed.split(b"\0") if path]


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no reason was given"

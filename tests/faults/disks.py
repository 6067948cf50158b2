"""Disks that fail: small ones that run full, and system calls that return an error."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

__all__ = ["SmallDisk", "bound", "failing_syncs", "needs_mount", "needs_strace", "small_disk", "vanish"]

_BALLAST_BYTES = 64 * 1024
_ATTACH_S = 10.0


def _may_mount() -> bool:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    with tempfile.TemporaryDirectory() as place:
        tried = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], capture_output=True, check=False)
        if tried.returncode == 0:
            subprocess.run(["umount", place], check=True)
        return tried.returncode == 0


def _may_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False)
    return tried.returncode == 0


needs_mount = pytest.mark.skipif(not _may_mount(), reason="mounting a small disk takes root and the right to mount")
needs_strace = pytest.mark.skipif(
    not _may_trace(), reason="errors of system calls are injected with strace (Debian package strace), which must run"
)


class SmallDisk:
    """Hold a file system in memory that can be filled."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Leave no room for another block."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(_BALLAST_BYTES))

    def free(self) -> None:
        """Make room again."""
        self._ballast.unlink()


@contextlib.contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount a small disk for the length of the block."""
    path.mkdir()
    options = f"size={megabytes}m,mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=True)
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@contextlib.contextmanager
def bound(disk: Path, place: Path) -> Iterator[None]:
    """Mount a directory at a place for the length of the block; it may vanish before that."""
    subprocess.run(["mount", "--bind", str(disk), str(place)], check=True)
    try:
        yield
    finally:
        vanish(place)


def vanish(place: Path) -> None:
    """Take away what is mounted at a place, though it is in use."""
    # A bound directory has the device of what is around it, so `Path.is_mount` does not tell.
    if str(place) in Path("/proc/mounts").read_text().split():
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextlib.asynccontextmanager
async def failing_syncs(pid: int) -> AsyncIterator[None]:
    """Let every ``fsync`` of a process, and of what it forks, fail with EIO for the length of the block."""
    strace = await asyncio.create_subprocess_exec(
        *("strace", "-f", "-p", str(pid), "-e", "trace=fsync,fdatasync"),
        *("-e", "inject=fsync,fdatasync:error=EIO", "-o", os.devnull),
        stderr=asyncio.subprocess.PIPE,
    )
    assert strace.stderr is not None
    try:
        async with asyncio.timeout(_ATTACH_S):
            said = await strace.stderr.readline()
        assert b"attached" in said, said
        yield
    finally:
        if strace.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                strace.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(_ATTACH_S):
                await strace.communicate()
        except TimeoutError:
            # It may wait for ever for a process that went in the moment it let go of it; what it traces goes on.
            strace.kill()
            await strace.communicate()

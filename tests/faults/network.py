"""Networks of namespaces: a hub, where servers and this process are, and sides whose link can go down silently."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

__all__ = ["Network", "needs_namespaces", "network"]

_NEW_NET = 0x40000000
_JOIN_S = 10.0

T = TypeVar("T")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)


def _may_make() -> bool:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"exchange-try-{os.getpid()}"
    try:
        _ip("netns", "add", name)
        try:
            _ip("-n", name, "link", "add", "one", "type", "veth", "peer", "name", "two")
        finally:
            _ip("netns", "del", name)
    except subprocess.CalledProcessError:
        return False
    return True


needs_namespaces = pytest.mark.skipif(
    not _may_make(), reason="partitions take root, iproute2 and the right to make network namespaces and veth pairs"
)


def _enter(path: str) -> None:
    """Put the calling thread into a namespace: its sockets and children are made there."""
    with Path(path).open("rb") as namespace:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(namespace.fileno(), _NEW_NET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {path}")


class Network:
    """Hold the namespaces; the thread that made it is in the hub, whose own address is 127.0.0.1."""

    def __init__(self, sides: tuple[str, ...]) -> None:
        self._hub = f"exchange-hub-{os.getpid()}"
        self._sides = {side: number for number, side in enumerate(sides, 1)}

    def _name(self, side: str) -> str:
        return f"exchange-{side}-{os.getpid()}"

    def make(self) -> None:
        """Make the namespaces and their links."""
        _ip("netns", "add", self._hub)
        _ip("-n", self._hub, "link", "set", "lo", "up")
        for side, number in self._sides.items():
            name = self._name(side)
            _ip("netns", "add", name)
            _ip("-n", self._hub, "link", "add", f"to-{number}", "type", "veth", "peer", "name", "wire", "netns", name)
            _ip("-n", self._hub, "address", "add", f"10.99.{number}.1/24", "dev", f"to-{number}")
            _ip("-n", name, "address", "add", f"10.99.{number}.2/24", "dev", "wire")
            for namespace, link in ((name, "lo"), (name, "wire"), (self._hub, f"to-{number}")):
                _ip("-n", namespace, "link", "set", link, "up")

    def remove(self) -> None:
        """Remove them, as far as they were made."""
        for name in (self._hub, *(self._name(side) for side in self._sides)):
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "del", name)

    def enter(self) -> None:
        """Put this thread into the hub."""
        _enter(f"/run/netns/{self._hub}")

    def url(self, side: str, port: int) -> str:
        """Return where a server of the hub is, seen from a side."""
        return f"nats://10.99.{self._sides[side]}.1:{port}"

    def within(self, side: str) -> tuple[str, ...]:
        """Return the words before a command that let it run in a side."""
        return ("ip", "netns", "exec", self._name(side))

    def cut(self, side: str) -> None:
        """Let what is sent between the hub and a side vanish, either way."""
        _ip("-n", self._hub, "link", "set", f"to-{self._sides[side]}", "down")

    def mend(self, side: str) -> None:
        """Let it pass again."""
        _ip("-n", self._hub, "link", "set", f"to-{self._sides[side]}", "up")

    @contextlib.contextmanager
    def loop_in(self, side: str) -> Iterator[Side]:
        """Run an event loop in a side, in a thread of its own."""
        loop = asyncio.new_event_loop()

        def work() -> None:
            _enter(f"/run/netns/{self._name(side)}")
            loop.run_forever()

        thread = threading.Thread(target=work, name=side)
        thread.start()
        try:
            yield Side(loop)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_JOIN_S)
            loop.close()


class Side:
    """Do things in a side, from the hub."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something there."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))


@contextlib.contextmanager
def network(*sides: str) -> Iterator[Network]:
    """Make a network and be in its hub for the length of the block."""
    home = Path(f"/proc/self/task/{threading.get_native_id()}/ns/net")
    made = Network(sides)
    with home.open("rb") as namespace:
        try:
            made.make()
            made.enter()
            yield made
        finally:
            ctypes.CDLL(None).setns(namespace.fileno(), _NEW_NET)
            made.remove()

"""Solve one problem from standard input, as a process of its own: ``python -m exchange.solver``."""

from __future__ import annotations

import contextlib
import os
import sys

import msgspec

from exchange.solver.determining import Problem, determine

_NICE = 10
"""Orders come first."""


def main() -> None:
    """Read a problem, write its answer."""
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    problem = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Problem)
    sys.stdout.buffer.write(msgspec.msgpack.encode(determine(problem)))


if __name__ == "__main__":
    main()

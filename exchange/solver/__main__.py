"""Solve one problem from standard input, as a process of its own: ``python -m exchange.solver``.

Every answer is a line of JSON, each better than the one before: who waits no longer takes the last one.
"""

from __future__ import annotations

import contextlib
import os
import sys

import msgspec

from exchange.solver.determining import Answer, Problem, determine

_NICE = 10
"""Orders come first."""


def main() -> None:
    """Read a problem and the seconds that it may take, write answers."""
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    problem, seconds = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=tuple[Problem, float])
    _write(determine(problem, seconds, _write))


def _write(answer: Answer) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

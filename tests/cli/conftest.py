"""Run commands in this process where a process of its own would prove nothing more."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from subprocess import CompletedProcess

import pytest
import structlog

from exchange.cli import main

Call = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Leave logging as it was found."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    structlog.reset_defaults()


@pytest.fixture
def call(restored_logging: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return what runs one command in this process."""
    for name in list(os.environ):
        if name.startswith(("NATS_URL", "EXCHANGE_")):
            monkeypatch.delenv(name)

    def run(*arguments: object) -> CompletedProcess[str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return CompletedProcess(list(map(str, arguments)), code, captured.out, captured.err)

    return run

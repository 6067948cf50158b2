"""Test that no reason for a rejection goes untested."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from exchange.messages.reasons import Reason

HERE = Path(__file__).parent


def named_reasons() -> set[str]:
    """Return every ``Reason.X`` that a test of the core names."""
    return {
        node.attr
        for path in HERE.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason"
    }


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_its_test(reason: Reason) -> None:
    """A reason that a mechanism can give is given, and the state proven unchanged, in some test here."""
    assert reason.name in named_reasons()

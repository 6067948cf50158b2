"""Test that the core stays deterministic: no clocks, randomness, I/O, floats; no set is walked."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import exchange

ROOT = Path(exchange.__file__).parent
ROOMS = ("messages", "ledger", "mechanisms", "engine")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))

FORBIDDEN_MODULES = frozenset(
    {
        "asyncio", "datetime", "logging", "multiprocessing", "nats", "os", "pathlib", "prometheus_client",
        "io", "random", "secrets", "socket", "structlog", "subprocess", "sys", "threading", "time", "uuid",
    }
)  # fmt: skip
FORBIDDEN_CALLS = frozenset({"float", "hash", "id", "input", "open", "print", "eval", "exec", "vars"})
ALLOWED_IMPORTS = {
    "messages": ("messages",),
    "ledger": ("ledger", "messages"),
    "mechanisms": ("mechanisms", "ledger", "messages"),
    "engine": ("engine", "mechanisms", "ledger", "messages"),
}


def name_of(path: Path) -> str:
    """Return a file's path within the package."""
    return str(path.relative_to(ROOT))


@pytest.fixture(params=FILES, ids=name_of)
def file(request: pytest.FixtureRequest) -> tuple[Path, ast.Module]:
    """Return each file of the core with its syntax tree."""
    path: Path = request.param
    return path, ast.parse(path.read_text(encoding="utf-8"))


def imported_modules(tree: ast.Module) -> list[str]:
    """Return the full names of everything a file imports."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found.append(node.module or "")
    return found


def test_the_core_was_found() -> None:
    """The test looks at something."""
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(ROOMS)
    assert len(FILES) > 20


def test_nothing_of_the_outside_is_imported(file: tuple[Path, ast.Module]) -> None:
    """No clock, no randomness, no environment, no network, no log."""
    roots = {module.partition(".")[0] for module in imported_modules(file[1])}
    assert not roots & FORBIDDEN_MODULES


def test_rooms_import_only_downwards(file: tuple[Path, ast.Module]) -> None:
    """Engine → mechanisms → ledger → messages."""
    path, tree = file
    allowed = ALLOWED_IMPORTS[path.relative_to(ROOT).parts[0]]
    inner = [module.split(".") for module in imported_modules(tree) if module.startswith("exchange")]
    assert all(parts[1] in allowed for parts in inner if len(parts) > 1), inner


def test_there_are_no_floats(file: tuple[Path, ast.Module]) -> None:
    """No float literal, no ``float()``, no true division, no ``round()``."""
    for node in ast.walk(file[1]):
        where = f"line {getattr(node, 'lineno', '?')}"
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, (float, complex))), where
        assert not (isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.Div)), where


def test_no_builtin_lets_the_outside_or_the_memory_in(file: tuple[Path, ast.Module]) -> None:
    """Neither ``float`` nor what depends on addresses, hash seeds, files or terminals is called."""
    for node in ast.walk(file[1]):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_CALLS, f"{node.func.id} in line {node.lineno}"


def is_set(node: ast.expr) -> bool:
    """Return whether an expression is plainly a set."""
    if isinstance(node, (ast.Set, ast.SetComp)):
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in ("set", "frozenset")
    return isinstance(node, ast.BinOp) and (is_set(node.left) or is_set(node.right))


def test_no_set_is_walked(file: tuple[Path, ast.Module]) -> None:
    """The order of a set depends on the hash seed; sorting one is fine."""
    walking = ("list", "tuple", "iter", "enumerate", "map", "filter", "zip")
    for node in ast.walk(file[1]):
        if isinstance(node, (ast.For, ast.comprehension)):
            assert not is_set(node.iter), f"line {node.iter.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in walking:
            assert not any(is_set(argument) for argument in node.args), f"line {node.lineno}"

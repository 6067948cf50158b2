"""Test that the core is compiled where it can be, and that nothing in it is lost by that."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def compiled_sources() -> list[Path]:
    """Return the modules that the build compiles."""
    tree = ast.parse((ROOT / "hatch_build.py").read_text(encoding="utf-8"))
    (rooms,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "ROOMS"
    )
    return [path for room in rooms for path in ([ROOT / room] if room.endswith(".py") else (ROOT / room).rglob("*.py"))]


@pytest.mark.parametrize("path", compiled_sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_struct_is_defined_where_it_would_lose_its_options(path: Path) -> None:
    """Mypyc drops the keywords of a class (``frozen``, ``array_like``) without a word, so none has any."""
    classes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ClassDef)]
    assert [node.name for node in classes if node.keywords] == []


def build_wheel(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Build a wheel of a copy of the sources into ``tmp_path``."""
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    for name in ("exchange", "agent_sdk"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("hatch_build.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, source / name)
    clean = {name: value for name, value in os.environ.items() if name != "EXCHANGE_COMPILE"}
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=source, env={**clean, **environment}, capture_output=True, text=True, check=False, timeout=170,
    )  # fmt: skip


def test_without_a_c_compiler_the_wheel_holds_the_core_as_python(tmp_path: Path) -> None:
    """An install does not fail for want of a compiler; it says what it did instead."""
    done = build_wheel(tmp_path, CC="false")
    assert done.returncode == 0, done.stderr
    assert "the core stays interpreted, since it could not be compiled" in done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "exchange/engine/engine.py" in names
    assert not [name for name in names if name.endswith(".so")]


def test_a_core_that_must_be_compiled_and_cannot_is_an_error(tmp_path: Path) -> None:
    """Who asks for it is not given something slower."""
    done = build_wheel(tmp_path, CC="false", EXCHANGE_COMPILE="1")
    assert done.returncode != 0
    assert not list(tmp_path.glob("*.whl"))


def test_a_wheel_can_be_asked_for_as_python(tmp_path: Path) -> None:
    """One wheel for every platform: nothing is compiled."""
    done = build_wheel(tmp_path, EXCHANGE_COMPILE="0")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")


def test_a_wrong_choice_is_named(tmp_path: Path) -> None:
    """The message tells which value is wrong and which there are."""
    done = build_wheel(tmp_path, EXCHANGE_COMPILE="yes")
    assert done.returncode != 0
    assert "EXCHANGE_COMPILE is 'yes'; set it to 1" in done.stderr

"""Make small git repositories of Python packages with tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

COMMITTED_S = 1_700_000_000

SHOP = {
    "src/shop/__init__.py": "",
    "src/shop/prices.py": """
        def price(count):
            return 2 * count
        """,
    "src/shop/basket.py": """
        from . import prices
        def total(counts):
            return sum(prices.price(count) for count in counts)
        """,
    "src/shop/till.py": """
        from shop.basket import total
        def receipt(counts):
            return f"total {total(counts)}"
        """,
    "src/shop/stock.py": """
        def left():
            return 7
        """,
    "tests/test_prices.py": """
        from shop.prices import price
        def test_price():
            assert price(3) == 6
        """,
    "tests/test_basket.py": """
        from shop import basket
        def test_total():
            assert basket.total([1, 2]) == 6
        def test_nothing():
            assert basket.total([]) == 0
        def test_type():
            assert isinstance(basket.total([1]), int)
        """,
    "tests/test_till.py": """
        import shop.till
        class TestReceipt:
            def test_receipt(self):
                assert shop.till.receipt([1]) == "total 2"
        """,
    "tests/test_stock.py": """
        from shop.stock import left
        def test_left():
            assert left() == 7
        """,
}
"""till imports basket, which imports prices; stock is alone. Of basket three tests pass, of till one."""

RAISED = {"src/shop/prices.py": "def price(count):\n    return 3 * count\n"}
"""Breaks one test of basket, and the one of till."""


class Project:
    """Hold a git repository with a work tree."""

    def __init__(self, path: Path, files: dict[str, str] | None = None) -> None:
        self.path = path
        self.now_s = COMMITTED_S
        """When commits are made."""
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")
        self.write(SHOP if files is None else files)
        self.commit("base")
        self.git("tag", "base")

    def git(self, *arguments: str) -> str:
        """Run git here, as nobody in particular."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        who = {f"GIT_{role}_{what}": "t@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        when = {f"GIT_{role}_DATE": f"{self.now_s} +0000" for role in ("AUTHOR", "COMMITTER")}
        config = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env=env | who | when | config,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def write(self, files: dict[str, str | None]) -> None:
        """Write files, or with None remove them."""
        for name, text in files.items():
            file = self.path / name
            if text is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text))

    def commit(self, message: str = "change", files: dict[str, str | None] | None = None) -> str:
        """Commit all that there is, with these files; return the commit."""
        self.write(files or {})
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


def lean_python(path: Path) -> Path:
    """Write an interpreter whose pytest starts six times as fast, since it looks for no plugins."""
    path.write_text(f'#!/bin/sh\nPYTEST_DISABLE_PLUGIN_AUTOLOAD=1 exec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return path

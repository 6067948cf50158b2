"""What is read of paths and sources: which files are modules, what they import, whom a change reaches."""

from __future__ import annotations

from textwrap import dedent

import grimp
import pytest

from exchange.coupling.findings import DEFAULT_PATTERNS
from exchange.coupling.imports import Layout, Reached, _executed, is_same_code, reach, read_imports, resolve
from tests.docs.pages import ROOT


def layout(*paths: str, roots: tuple[str, ...] = ()) -> Layout:
    return Layout(paths, roots, DEFAULT_PATTERNS)


def imports(source: str, module: str = "a.b.c", *, is_package: bool = False) -> list[str] | None:
    return read_imports(dedent(source).encode(), module, is_package=is_package)


# ── modules by path ─────────────────────────────────────────────────────────────────────────────


def test_modules_of_a_src_layout_begin_below_it() -> None:
    found = layout("src/shop/__init__.py", "src/shop/a/b.py", "src/lone.py", "setup.py", "tests/test_a.py")
    assert found.roots == ("src", ".")
    assert found.modules == {
        "src/shop/__init__.py": "shop",
        "src/shop/a/b.py": "shop.a.b",
        "src/lone.py": "lone",
        "setup.py": "setup",
    }
    assert found.test_files == ["tests/test_a.py"]


def test_modules_of_a_flat_layout_begin_at_the_top() -> None:
    """Packages need no ``__init__.py``, and what no import statement can name is no module."""
    found = layout("shop/a.py", "lone.py", "my-script.py", "bin/2.py", "README.md")
    assert found.modules == {"shop/a.py": "shop.a", "lone.py": "lone"}


def test_src_may_be_a_package_itself() -> None:
    assert layout("src/__init__.py", "src/a.py").modules == {"src/__init__.py": "src", "src/a.py": "src.a"}


def test_roots_may_be_said_and_the_longest_counts() -> None:
    """So that a repository may hold several projects."""
    paths = ("one/src/a.py", "two/b/__init__.py", "c.py")
    found = layout(*paths, roots=(".", "one/src", "two"))
    assert found.modules == {"one/src/a.py": "a", "two/b/__init__.py": "b", "c.py": "c"}


def test_tests_and_what_lies_beside_them_are_no_modules() -> None:
    found = layout(
        "shop/a.py", "shop/test/__init__.py", "shop/tests/test_a.py", "shop/tests/data/helper.py", "conftest.py",
        "b_test.py",
    )  # fmt: skip
    # A directory that is called so and holds no test is a package like any other.
    assert sorted(found.modules.values()) == ["shop.a", "shop.test"]
    assert found.test_files == ["b_test.py", "shop/tests/test_a.py"]
    assert found.helpers["shop/tests/data/helper.py"] == "shop.tests.data.helper"


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("src/shop/a.py", "shop.a"),
        ("src/shop/rates.json", "shop"),
        ("src/shop/deep/er/rates.json", "shop"),
        ("README.md", None),
        ("tests/test_a.py", None),
        ("tests/data.json", None),
        ("src/loose/data.json", None),
    ],
)
def test_other_files_are_of_the_package_that_they_lie_in(path: str, module: str | None) -> None:
    found = layout("src/shop/__init__.py", "src/shop/a.py", "src/loose/b.py", "tests/test_a.py")
    assert found.module_of(path) == module


# ── imports of a source ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import x, y.z as w", ["x", "y.z"]),
        ("from x import y, z as w", ["x.y", "x.z"]),
        ("from x.y import *", ["x.y"]),
        ("from . import d", ["a.b.d"]),
        ("from .d import e", ["a.b.d.e"]),
        ("from .. import d", ["a.d"]),
        ("from ...... import d", []),
        ("def f():\n    import x", ["x"]),
        ("try:\n    import x\nexcept ImportError:\n    import y", ["x", "y"]),
        ("if TYPE_CHECKING:\n    import x\nelse:\n    import y", ["y"]),
        ("import typing\nif typing.TYPE_CHECKING:\n    import x", ["typing"]),
        ("importlib.import_module('x.y')", ["x.y"]),
        ("pytest.importorskip('x')", ["x"]),
        ("import_module(name)\nimport_module('.x', 'y')\nimport_module()", []),
        ("s = '\\d'\nimport x", ["x"]),
        ("# -*- coding: latin-1 -*-\nimport x", ["x"]),
    ],
)
def test_imports_are_read(source: str, names: list[str]) -> None:
    """All that may be executed, by the name that it would be found by."""
    assert imports(source) == names


def test_a_package_imports_relative_to_itself() -> None:
    assert imports("from . import d\nfrom .. import e", "a.b", is_package=True) == ["a.b.d", "a.e"]


@pytest.mark.parametrize("source", [b"def (", b"import x\0", b"\xff = 1", b"(" * 5_000])
def test_what_cannot_be_parsed_is_told_apart(source: bytes) -> None:
    assert read_imports(source, "a", is_package=False) is None
    assert not is_same_code(source, source)


def test_comments_and_layout_are_not_code() -> None:
    assert is_same_code(b"x = 1", b"# one\nx  =  (1)\n")
    assert not is_same_code(b"x = 1", b"x = 2")
    assert not is_same_code(b'"""One."""', b'"""Two."""')


@pytest.mark.parametrize(
    ("before", "after", "is_same"),
    [
        ("x = 1", "x = 1.0", False),
        ("x = 1", "x = True", False),
        ("x = ''", "x = b''", False),
        ("x = [1]", "x = [1, 2]", False),
        ("def f(): pass", "def f() -> None: pass", False),
        ("x = 1e999", "x  =  1e999", True),
        # Nothing of these may make whoever compares give up, or it would be a way out of paying.
        (f"x = {'+'.join(['1'] * 2_000)}", f"x =  {'+'.join(['1'] * 2_000)}", True),
        (f"x = {'+'.join(['1'] * 2_000)}", f"x = {'+'.join(['1'] * 1_999)} + 2", False),
        (f"x = 0x{'f' * 5_000}", f"x = 0x{'f' * 5_000}  # the same", True),
        (f"x = {'+'.join(['1'] * 50_000)}", f"x = {'+'.join(['1'] * 50_000)}", False),
    ],
)
def test_code_is_compared_however_deep_it_is(before: str, after: str, *, is_same: bool) -> None:
    assert is_same_code(before.encode(), after.encode()) is is_same


def test_names_are_resolved_to_the_longest_module() -> None:
    known = {"a", "a.b"}
    assert [resolve(name, known) for name in ("a.b.c.d", "a.x", "a", "ab", "")] == ["a.b", "a", "a", None, None]


# ── whom a change reaches ───────────────────────────────────────────────────────────────────────


def test_importers_are_reached_directly_and_through_others() -> None:
    chain = {"a": ["b.f"], "b": ["c.C"], "c": [], "d": ["c"], "e": []}
    assert reach(chain, {"c": "c"}) == {"b": Reached(1, "c"), "d": Reached(1, "c"), "a": Reached(2, "c")}


def test_a_change_may_be_followed_over_so_many_imports_only() -> None:
    chain = {"a": ["b"], "b": ["c"], "c": ["d"], "d": []}
    assert [sorted(reach(chain, {"d": "d"}, depth)) for depth in (1, 2, None)] == [["c"], ["b", "c"], ["a", "b", "c"]]


def test_the_nearest_change_is_blamed_and_of_equals_the_first() -> None:
    """Whoever changed several things pays once, for what is nearest."""
    graph = {"a": ["x"], "b": ["y", "x"], "c": ["a", "z"], "x": [], "y": [], "z": []}
    blamed = reach(graph, {"y": "Y", "x": "X", "z": "Z"})
    assert blamed == {"a": Reached(1, "X"), "b": Reached(1, "X"), "c": Reached(1, "Z")}


def test_circles_end() -> None:
    assert reach({"a": ["b"], "b": ["a"], "c": ["b"]}, {"a": "a"}) == {"b": Reached(1, "a"), "c": Reached(2, "a")}


def test_a_module_depends_on_the_packages_that_it_lies_in() -> None:
    """They are executed first."""
    graph = {"p": [], "p.q": [], "p.q.m": [], "n": ["p.q.m"]}
    assert reach(graph, {"p": "p"}) == {"p.q": Reached(1, "p"), "p.q.m": Reached(1, "p"), "n": Reached(1, "p")}


def test_a_module_that_is_deleted_or_new_reaches_those_who_import_it() -> None:
    """It is not among the modules of the base, or no longer among those of the head."""
    assert reach({"p": [], "a": ["p.new"]}, {"p.new": "p.new"}) == {"a": Reached(1, "p.new")}


def test_this_repository_has_the_imports_that_grimp_finds() -> None:
    """But for the packages of what is imported, which grimp does not count, everything is the same."""
    ours: dict[str, set[str]] = {}
    paths = [str(path.relative_to(ROOT)) for top in ("exchange", "agent_sdk") for path in (ROOT / top).rglob("*.py")]
    modules = layout(*paths).modules
    known = set(modules.values())
    for path, module in modules.items():
        names = read_imports((ROOT / path).read_bytes(), module, is_package=path.endswith("__init__.py"))
        assert names is not None
        ours[module] = {found for name in names if (found := resolve(name, known)) is not None} - {module}
        assert ours[module] <= _executed(module, names, known)
    graph = grimp.build_graph("exchange", "agent_sdk", exclude_type_checking_imports=True, cache_dir=None)
    theirs = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert ours.keys() == theirs.keys()
    assert {module: ours[module] for module in ours if ours[module] != theirs[module]} == {}

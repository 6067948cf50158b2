"""Read which modules a repository has, and which of them import which: pure functions over paths and sources.

Import linters build such graphs of installed packages. Here the files of a revision are read as they lie there: also
modules beside packages, packages without ``__init__.py``, test files that belong to no package, and what surrounds a
file with a syntax error; and never, by mistake, a package of the same name that is installed.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Final, NamedTuple

__all__ = ["Layout", "Reached", "is_same_code", "reach", "read_imports", "resolve"]

_TEST_DIRECTORIES: Final = ("test", "tests")
_IMPORTING: Final = ("import_module", "__import__", "importorskip")
_PACKAGE: Final = "__init__.py"


class Layout:
    """Tell modules from tests among the paths of a revision.

    ``roots`` are the directories from which modules are imported; without any, ``src`` where it is no package itself,
    and the top.
    """

    def __init__(self, paths: Iterable[str], roots: tuple[str, ...], patterns: tuple[str, ...]) -> None:
        files = sorted(paths)
        python = [path for path in files if path.endswith(".py")]
        if not roots:
            has_src = any(path.startswith("src/") for path in python) and f"src/{_PACKAGE}" not in python
            roots = ("src", ".") if has_src else (".",)
        # The longest one that holds a file counts.
        self.roots = tuple(sorted(dict.fromkeys(roots), key=lambda root: (-len(root), root)))
        self.test_files = [path for path in python if _matches(path, patterns)]
        self._test_directories = sorted({place for path in self.test_files for place in _test_directories(path)})
        self.modules: dict[str, str] = {}
        """Module by path; tests and what only they import are none."""
        self.helpers: dict[str, str] = {}
        """By path the names by which tests import test files and what lies beside them."""
        for path in python:
            name = self._name(path)
            if self.is_test_side(path, patterns):
                self.helpers[path] = name or PurePosixPath(path).stem
            elif name:
                self.modules[path] = name
        self._patterns = patterns

    def is_test_side(self, path: str, patterns: tuple[str, ...]) -> bool:
        """Return whether a file is a test, or lies in a directory of tests."""
        return (
            _matches(path, patterns)
            or PurePosixPath(path).name == "conftest.py"
            or any(path.startswith(f"{place}/") for place in self._test_directories)
        )

    def module_of(self, path: str) -> str | None:
        """Return the module that a path of the revision is part of: other files are of the package they lie in."""
        if path in self.modules:
            return self.modules[path]
        if path in self.helpers or self.is_test_side(path, self._patterns):
            return None
        for place in PurePosixPath(path).parents:
            package = self.modules.get(str(place / _PACKAGE))
            if package is not None:
                return package
        return None

    def _name(self, path: str) -> str | None:
        """Return the dotted name by which a file is imported, or None where that is not possible."""
        for root in self.roots:
            if root != "." and not path.startswith(f"{root}/"):
                continue
            inner = path if root == "." else path[len(root) + 1 :]
            parts = inner.removesuffix(".py").split("/")
            if parts[-1] == "__init__":
                parts.pop()
            return ".".join(parts) if parts and all(part.isidentifier() for part in parts) else None
        return None


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    name = PurePosixPath(path).name
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _test_directories(path: str) -> Iterator[str]:
    for place in PurePosixPath(path).parents:
        if place.name in _TEST_DIRECTORIES:
            yield str(place)


def read_imports(source: bytes, module: str, *, is_package: bool) -> list[str] | None:
    """Return the dotted names that a module imports, sorted, or None where it cannot be parsed.

    ``from a import b`` is ``a.b``, whether b is a module or not: :func:`resolve` tells. What stands under
    ``if TYPE_CHECKING`` is never executed and does not count; what functions import does.
    """
    tree = _parse(source)
    if tree is None:
        return None
    package = module.split(".") if is_package else module.split(".")[:-1]
    found: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update(_imported_from(node, package))
        elif isinstance(node, ast.Call):
            found.update(_imported_by_call(node))
        waiting += ast.iter_child_nodes(node)
    return sorted(found)


def _imported_from(node: ast.ImportFrom, package: list[str]) -> Iterator[str]:
    start = [] if node.level == 0 else package[: len(package) - node.level + 1]
    if node.level > len(package):
        # It goes beyond the top and fails when it is executed.
        return
    origin = start + (node.module.split(".") if node.module else [])
    for alias in node.names:
        yield ".".join(origin if alias.name == "*" else [*origin, alias.name])


def _imported_by_call(node: ast.Call) -> Iterator[str]:
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    if name in _IMPORTING and node.args and isinstance(node.args[0], ast.Constant):
        value = node.args[0].value
        if isinstance(value, str) and value and not value.startswith("."):
            yield value


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else test.id if isinstance(test, ast.Name) else ""
    return name == "TYPE_CHECKING"


def _parse(source: bytes) -> ast.Module | None:
    with warnings.catch_warnings():
        # What the compiler says of odd literals is between it and their author.
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def is_same_code(before: bytes, after: bytes) -> bool:
    """Return whether two sources differ in comments and layout at most."""
    trees = _parse(before), _parse(after)
    if trees[0] is None or trees[1] is None:
        return False
    # Not by `ast.dump`: it gives up on deep trees and on long numbers, and then nobody would pay for the change.
    waiting: list[tuple[object, object]] = [trees]
    while waiting:
        one, other = waiting.pop()
        if type(one) is not type(other):
            return False
        if isinstance(one, ast.AST):
            waiting += [(getattr(one, name, None), getattr(other, name, None)) for name in one._fields]
        elif isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                return False
            waiting += zip(one, other, strict=True)
        elif one != other:
            return False
    return True


def resolve(name: str, known: Mapping[str, object] | set[str]) -> str | None:
    """Return the longest part of a dotted name, from its beginning, that is known."""
    while name:
        if name in known:
            return name
        name = name.rpartition(".")[0]
    return None


class Reached(NamedTuple):
    """Say how a change reaches a module: over how many imports, from which of the changed names."""

    distance: int
    via: str


def reach(
    imports: Mapping[str, Iterable[str]], changed: Mapping[str, str], depth: int | None = None
) -> dict[str, Reached]:
    """Return how changed modules reach those that import them, directly or through others, over ``depth`` imports.

    ``imports`` tells of every module what it names (see :func:`read_imports`). ``changed`` gives every changed module
    the name that is blamed. Of several the nearest is, and of equally near ones the first in the alphabet.
    To import a module also executes the packages that it lies in, so it depends on them, too.
    """
    known = set(imports) | set(changed)
    importers: dict[str, set[str]] = {}
    for module, names in imports.items():
        for imported in _executed(module, names, known):
            importers.setdefault(imported, set()).add(module)
    reached: dict[str, Reached] = {}
    frontier = dict(changed)
    distance = 0
    while frontier and distance != depth:
        distance += 1
        following: dict[str, str] = {}
        for module in sorted(frontier):
            for importer in importers.get(module, ()):
                if importer not in changed and importer not in reached:
                    blamed = following.get(importer, frontier[module])
                    following[importer] = min(blamed, frontier[module])
        reached |= {module: Reached(distance, via) for module, via in following.items()}
        frontier = following
    return reached


def _executed(module: str, names: Iterable[str], known: set[str]) -> set[str]:
    found = {resolved for name in names if (resolved := resolve(name, known)) is not None}
    # Beginning with the module's own packages.
    for inner in (module, *sorted(found)):
        package = inner.rpartition(".")[0]
        while package:
            if package in known:
                found.add(package)
            package = package.rpartition(".")[0]
    return found - {module}

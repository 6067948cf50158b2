"""Hold what was found out about a change, and seal it with a digest that anybody can recompute."""

from __future__ import annotations

import hashlib
from typing import Final, Literal

import msgspec

__all__ = ["DEFAULT_PATTERNS", "Affected", "Findings", "Terms", "digest_of", "severity_of"]

DEFAULT_PATTERNS: Final = ("test_*.py", "*_test.py")
_MAX_SEVERITY: Final = 100


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Say how a change was examined: with these the same findings come out again."""

    roots: tuple[str, ...]
    """Directories from which modules are imported."""
    patterns: tuple[str, ...] = DEFAULT_PATTERNS
    """Names of test files."""
    tests: Literal["head", "base"] = "head"
    """Which revision's tests are run over the code of the head."""
    reruns: int = 1
    """So often what broke is run again, at both revisions."""
    depth: int | None = None
    """Over so many imports a change is followed at most; None is over all."""
    names: dict[str, str] = {}
    """Names of the venue by module; a module without one has that of the nearest package with one, else its own."""


class Affected(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a change did to the tests of a module that imports what was changed."""

    module: str
    severity: int
    """Share of its tests that broke, 1 to 100; 0 if none did."""
    passed: int
    """How many of its tests passed at the base."""
    broken: list[str]
    """Those of them that failed at the head, every time."""
    absent: list[str]
    """Those of them that were skipped at the head, or no longer there; they count as unbroken."""
    via: str
    """The changed module that is blamed: the nearest, of equally near ones the first in the alphabet."""
    distance: int
    """Over how many imports that one is reached; 1 is a direct import."""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """Hold all that was found out, in one order, without times and places, so that equal findings are equal bytes."""

    version: int = 1
    base: str
    """Commit before the change."""
    head: str
    """Commit after it."""
    terms: Terms
    changed: list[str]
    """Names of the modules that the change touched, sorted."""
    affected: list[Affected]
    """Modules that import these and have tests that passed at the base, sorted by name."""
    untested: list[str]
    """Modules that import these, and of which no test passed at the base."""


def digest_of(findings: Findings) -> str:
    """Return the SHA-256, in hexadecimal, of the findings as canonical JSON: UTF-8, sorted keys, no spaces."""
    # By way of plain data, so that no default is left out whatever the struct says.
    text = msgspec.json.encode(msgspec.to_builtins(findings), order="sorted")
    return hashlib.sha256(text).hexdigest()


def severity_of(broken: int, passed: int) -> int:
    """Return the share of ``passed`` tests that broke, in percent, rounded up: one broken test never counts nothing."""
    return min(-(-_MAX_SEVERITY * broken // passed), _MAX_SEVERITY) if broken else 0

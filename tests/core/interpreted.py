"""Import this first, and the core is run from its sources even where it was compiled beside them."""

from __future__ import annotations

import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path

_ROOT = str(Path(__file__).parents[2] / "exchange")
_find_sources = FileFinder.path_hook((SourceFileLoader, SOURCE_SUFFIXES))


def _hook(path: str) -> FileFinder:
    if not path.startswith(_ROOT):
        message = "not a folder of the exchange"
        raise ImportError(message, path=path)
    finder: FileFinder = _find_sources(path)  # type: ignore[assignment]  # it is typed as any finder
    return finder


sys.path_hooks.insert(0, _hook)

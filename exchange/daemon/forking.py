"""Fork a child that has a copy of the whole state to itself."""

from __future__ import annotations

import os
import warnings

__all__ = ["fork"]


def fork() -> int:
    """Fork: threads of this process do not exist in the child, which needs none of them nor any lock of theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()

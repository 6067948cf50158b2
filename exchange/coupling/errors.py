"""Say what keeps a change from being attested."""

from __future__ import annotations

__all__ = ["AttestError"]


class AttestError(Exception):
    """Raised when a change cannot be attested; the message says what to do about it."""

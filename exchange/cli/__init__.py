"""The ``exchange`` command: run a venue, administer it, watch it, audit it."""

from __future__ import annotations

from exchange.cli._app import main

__all__ = ["main"]

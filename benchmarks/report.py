"""Collect rows for people and keys for machines."""

from __future__ import annotations

import json
import platform

from rich.console import Console
from rich.table import Table

from exchange.build_info import CORE

__all__ = ["Report"]


class Report:
    """Hold the result of one benchmark."""

    def __init__(self, title: str, columns: list[str], notes: str) -> None:
        self.title = title
        self.columns = columns
        self.notes = notes
        self.rows: list[list[str]] = []
        self.keys: dict[str, float | int | str] = {"python": platform.python_version(), "core": CORE}

    def row(self, *cells: str) -> None:
        """Add a row to the table."""
        self.rows.append(list(cells))

    def print(self, *, as_json: bool) -> None:
        """Print the table, or the keys as one line of JSON."""
        if as_json:
            print(json.dumps({key: _rounded(value) for key, value in self.keys.items()}))
            return
        table = Table(title=f"{self.title} ({CORE} core)", caption=self.notes, caption_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="left" if number == 0 else "right")
        for row in self.rows:
            table.add_row(*row)
        Console().print(table)


def _rounded(value: float | str) -> float | int | str:
    return float(f"{value:.4g}") if isinstance(value, float) else value

"""Print: data to stdout, as tables for people or JSON for programs; the rest to stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from exchange.adapters.logging import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "CliError",
    "Json",
    "complain",
    "console",
    "note",
    "print_json",
    "print_pairs",
    "print_table",
    "say",
]

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON instead of text.")]

_WIDE: Final = 240
"""The width of output that goes to a file or a pipe: nothing there is cut to a window."""


class CliError(Exception):
    """Raised when a command cannot be done; the message says what to do next."""


def console(*, stderr: bool = False) -> Console:
    """Return a console; its colours show on terminals only."""
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, highlight=False, width=None if is_terminal else _WIDE, soft_wrap=not is_terminal)


def say(text: str) -> None:
    """Print a line of result."""
    console().print(escape(redact(text)), soft_wrap=True)


def note(text: str) -> None:
    """Print a remark to stderr, where it is in no program's way."""
    console(stderr=True).print(escape(redact(text)), soft_wrap=True)


def complain(text: str) -> None:
    """Print what went wrong to stderr."""
    console(stderr=True).print(f"[bold red]error:[/] {escape(redact(text))}", soft_wrap=True)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON; amounts that are decimals become strings."""
    sys.stdout.write(redact(msgspec.json.encode(value).decode()) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print a table; columns that start with ``>`` are figures. Say ``empty`` when there are no rows."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        is_figure = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if is_figure else "left", overflow="fold")
    for row in rows:
        table.add_row(*["–" if cell is None else escape(str(cell)) for cell in row])
    if table.row_count:
        console().print(table)
    else:
        say(empty)


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values in two columns."""
    rows = list(pairs)
    width = max((len(name) for name, _ in rows), default=0) + 2
    out = console()
    for name, value in rows:
        shown = "–" if value is None else escape(redact(str(value)))
        out.print(f"[bold]{escape(name):{width}}[/]{shown}", soft_wrap=True)

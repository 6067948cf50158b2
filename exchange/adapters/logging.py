"""Configure logs, once and here: structured, to stderr, without secrets.

What the standard library's loggers say (nats-py's, say) takes the same way out.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from structlog.typing import Processor

__all__ = ["configure_logging", "redact"]

_SECRET: Final = re.compile(r"S[UAON][A-Z2-7]{56}|eyJ[\w-]+\.[\w-]+\.[\w-]+")
"""Seeds of nkeys (users, accounts, operators, servers) and JWTs."""

_LOGIN: Final = re.compile(r"(?<=://)[^\s/@\"']+(?=@)")
"""What stands before the host of a URL: a user, a password, a token."""

_MASK: Final = "[redacted]"


def redact(text: str) -> str:
    """Return a text with every seed and token in it masked, and every password in a URL."""
    return _LOGIN.sub(_MASK, _SECRET.sub(_MASK, text))


def configure_logging(
    level: Literal["debug", "info", "warning", "error"] = "info",
    format: Literal["auto", "console", "json"] = "auto",
    stream: TextIO | None = None,
) -> None:
    """Send all logs of this process to ``stream`` (default: stderr); a later call replaces an earlier."""
    out = stream or sys.stderr
    is_console = format == "console" or (format == "auto" and out.isatty())
    shared: list[Processor] = [
        # The leader binds the journal index, so that every line about a batch has it.
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    render: list[Processor]
    if is_console:
        render = [structlog.dev.ConsoleRenderer(colors=out.isatty())]
    else:
        render = [
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        # Redacted as the very last: whatever a line was made of, tracebacks included, is in it by now.
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render, _redact_line],
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in list(root.handlers):
        if getattr(old, "is_exchange", False):
            root.removeHandler(old)
    handler.is_exchange = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _redact_line(_logger: Any, _name: str, line: str | bytes | MutableMapping[str, Any] | Mapping[str, Any]) -> str:
    return redact(line if isinstance(line, str) else str(line))

"""Logs go to stderr as JSON or for people, with what was bound, and without secrets."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest
import structlog

from exchange.adapters.credentials import Keyring
from exchange.adapters.logging import configure_logging, redact

pytestmark = pytest.mark.usefixtures("restored_logging")


def test_lines_are_json_with_what_was_bound() -> None:
    """A line about a batch carries the index that the leader bound."""
    out = io.StringIO()
    configure_logging("info", "json", out)
    with structlog.contextvars.bound_contextvars(index=41):
        structlog.get_logger("exchange.x").info("stored", records=2)
    line = json.loads(out.getvalue())
    assert (line["message"], line["index"], line["records"], line["level"]) == ("stored", 41, 2, "info")
    assert line["logger"] == "exchange.x"
    assert line["timestamp"].endswith("Z")


def test_the_standard_library_takes_the_same_way() -> None:
    """What nats-py logs is JSON, too."""
    out = io.StringIO()
    configure_logging("info", "json", out)
    logging.getLogger("nats.aio.client").error("lost %s", "it")
    assert json.loads(out.getvalue())["message"] == "lost it"


def test_the_level_holds_for_both() -> None:
    """What is below the level is not written."""
    out = io.StringIO()
    configure_logging("error", "json", out)
    structlog.get_logger("a").warning("quiet")
    logging.getLogger("b").warning("quiet")
    assert out.getvalue() == ""


def test_configuring_again_replaces() -> None:
    """A second call does not double the lines."""
    first, second = io.StringIO(), io.StringIO()
    configure_logging("info", "json", first)
    configure_logging("info", "json", second)
    structlog.get_logger("a").info("once")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_are_masked_wherever_they_stand(tmp_path: Path, form: str) -> None:
    """No seed and no token reaches a log: not as a value, not in a message, not in a traceback."""
    keyring = Keyring.create(tmp_path / "keys")
    creds = keyring.mint_agent("alice")
    secrets = [line for line in creds.splitlines() if line.startswith(("SU", "eyJ"))]
    seeds = [file.read_text().strip() for file in sorted((tmp_path / "keys").glob("*.nk"))]
    assert len(secrets) == 2
    assert len(seeds) == 5
    out = io.StringIO()
    configure_logging("info", form, out)  # type: ignore[arg-type]
    log = structlog.get_logger("a")
    for secret in (*secrets, *seeds):
        log.info("value", creds=secret, nested={"deep": [secret]})
        logging.getLogger("nats").warning("message %s", secret)
        log.error("failed", exc_info=ValueError(secret))
    text = out.getvalue()
    assert "[redacted]" in text
    for secret in (*secrets, *seeds):
        assert secret not in text


def test_ordinary_text_is_left_alone() -> None:
    """Only what looks like a secret is masked."""
    public = "U" + "A" * 55
    assert redact(f"agent SUSAN of {public} paid 5") == f"agent SUSAN of {public} paid 5"

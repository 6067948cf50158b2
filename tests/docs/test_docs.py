"""Test that the documents say what is so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from exchange.config import _TYPES, load_config
from exchange.mechanisms import REGISTRY
from exchange.messages import COMMANDS, EVENTS, QUERIES
from exchange.messages.base import Refusal
from exchange.messages.orders import OrderOutcome
from exchange.messages.reasons import Reason, RefusalReason
from exchange.messages.venue import Heartbeat
from tests.docs.pages import PAGES, README, ROOT, anchors, blocks, first_cells, links, section

if TYPE_CHECKING:
    from pathlib import Path

WIRE = ROOT / "docs" / "wire-protocol.md"
MESSAGES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))
"""Where messages are listed: those of a mechanism on its page."""
# In parts, so that this file does not say them either.
ELSEWHERE = ("/" + "work", "shared" + "/", "DESIGN" + ".md", "MECHANISMS" + ".md", "/" + "root/", "/" + "tmp/")


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_readme_starts_with_two_commands() -> None:
    """The second of them is the one that CI runs, word for word."""
    commands = [block.code.strip() for block in blocks(README) if block.language == "sh"][:2]
    assert commands[0] == "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/exchange demo"
    assert commands[1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert ".venv/bin/pytest" in commands[1]


def test_every_mechanism_has_a_row() -> None:
    """The table of the README is the registry: family, summary, and a document."""
    rows = section(README, "## Mechanisms")
    assert first_cells(rows) == [mechanism.family for mechanism in REGISTRY]
    for mechanism in REGISTRY:
        assert f"| `{mechanism.family}` | {mechanism.summary} | [docs/" in rows


@pytest.mark.parametrize(
    ("heading", "words"),
    [("## Why a command is rejected", list(Reason)), ("## Why a message is refused", list(RefusalReason))],
)
def test_every_reason_is_explained(heading: str, words: list[str]) -> None:
    """Each table has one row per word of its enum, in its order."""
    assert first_cells(section(WIRE, heading)) == [str(word) for word in words]


@pytest.mark.parametrize("tag", sorted({**COMMANDS, **QUERIES, **EVENTS}))
def test_every_message_is_listed(tag: str) -> None:
    """Each command, query and event has a row."""
    assert tag in first_cells(MESSAGES)


def test_every_field_of_a_command_is_listed() -> None:
    """The row of a command names all of its fields and no others."""
    rows = dict(re.findall(r"^\| `(\w+\.\w+)` \| [^|]+ \| (.+) \|$", MESSAGES, re.MULTILINE))
    for tag, kind in COMMANDS.items():
        if tag == "admin.genesis":
            continue
        listed = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", rows[tag]))))
        assert listed == set(kind.__struct_fields__) - {"id", "valid_until_us"}, tag


def test_every_setting_is_listed() -> None:
    """The table of settings is what the configuration takes."""
    rows = first_cells(section(ROOT / "docs" / "operations.md", "## Settings"))
    assert sorted(rows) == sorted(_TYPES)


def test_shown_settings_can_be_read(tmp_path: Path) -> None:
    """Every TOML that a document shows is a configuration."""
    shown = [block for page in PAGES for block in blocks(page) if block.language == "toml"]
    assert shown
    for block in shown:
        file = tmp_path / "exchange.toml"
        file.write_text(block.code)
        load_config(file)


def test_shown_messages_are_messages() -> None:
    """Every line of JSON is JSON; commands, queries, outcomes and refusals are read by the schemas."""
    kinds: dict[str, Any] = {**COMMANDS, **QUERIES, "outcome": OrderOutcome, "refusal": Refusal, "heartbeat": Heartbeat}
    lines = [line for block in blocks(WIRE) if block.language == "json" for line in block.code.splitlines()]
    seen = set()
    for line in lines:
        tag = msgspec.json.decode(line)["type"]
        if tag in kinds:
            msgspec.json.decode(line, type=kinds[tag])
            seen.add(tag)
    assert seen == {"orders.place", "venue.outcome", "outcome", "refusal", "heartbeat"}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    """Files exist and their headings do, too; whoever renames one finds out here."""
    for link in links(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize(
    "page",
    [*PAGES, *sorted((ROOT / "examples").glob("*.py"))],
    ids=page_name,
)
def test_documents_stand_alone(page: Path) -> None:
    """They speak of nothing that a reader does not have."""
    text = page.read_text(encoding="utf-8")
    assert [word for word in ELSEWHERE if word in text] == []


def test_every_trap_has_its_tests() -> None:
    """Each row of the table of traps names tests that exist, and each test of a trap is named."""
    table = section(ROOT / "exchange" / "ARCHITECTURE.md", "## Traps of nats-py, and where each is dealt with")
    rows = [line.strip("|").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 15
    named = set()
    for trap, dealt_with, tests in rows:
        if dealt_with.startswith("Not used"):
            continue
        assert "`" in tests, trap
        for test in re.findall(r"`([^`]+)`", tests):
            path, _, function = test.partition("::")
            text = (ROOT / "tests" / path).read_text(encoding="utf-8")
            assert f"def {function}(" in text or not function, test
            named.add(path.rpartition("/")[2])
    assert {path.name for path in (ROOT / "tests" / "traps").glob("test_*.py")} <= named

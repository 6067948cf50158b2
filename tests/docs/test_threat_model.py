"""Test that every threat of the threat model names tests, and that they exist."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT, section

PAGE = ROOT / "docs" / "threat-model.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_every_threat_names_a_test_that_exists() -> None:
    """Whoever renames a test finds out here; a threat without one would be a promise."""
    rows = [row.split("|") for row in section(PAGE, "## Threats").splitlines() if row.startswith("| ")][1:]
    assert len(rows) > 30
    for row in rows:
        assert len(row) == 5, row
        named = NAMED.findall(row[3])
        assert named, f"no test covers: {row[1]}"
        for path, name in named:
            assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), name

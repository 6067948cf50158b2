"""The document about metrics lists what a busy venue exports."""

from __future__ import annotations

import re

from tests.docs.pages import PAGES, ROOT, section
from tests.metrics.work import WORK, scraped

PAGE = ROOT / "docs" / "metrics.md"
_ROW = re.compile(r"^\| `(?P<name>\w+)(?:\{(?P<labels>[\w,]+)\})?` \| (?P<text>.+) \|$", re.MULTILINE)
_PARTS = ("_bucket", "_sum", "_count")


def test_every_metric_is_explained_with_its_labels() -> None:
    """Names and labels are those of venues in which all mechanisms were busy, and no others; each stands once."""
    exported: dict[str, set[str]] = {}
    names = {name for name in scraped().labels if name.startswith("exchange_")}
    for name, labels in scraped().labels.items():
        base = next((name.removesuffix(part) for part in _PARTS if name.endswith(part)), name)
        is_histogram = f"{base}_bucket" in names
        if name in names:
            exported.setdefault(base if is_histogram else name, set()).update(labels - {"le"})
    rows = list(_ROW.finditer(PAGE.read_text(encoding="utf-8")))
    listed = {row["name"]: set(filter(None, (row["labels"] or "").split(","))) for row in rows}
    assert listed == exported
    assert len(listed) == len(rows)


def test_metrics_that_are_named_exist() -> None:
    """No document names a metric that nobody exports."""
    listed = {row["name"] for row in _ROW.finditer(PAGE.read_text(encoding="utf-8"))}
    named = {name for page in PAGES for name in re.findall(r"`(exchange_[a-z_]+)", page.read_text(encoding="utf-8"))}
    assert len(named) > 5
    assert named <= listed


def test_histograms_are_called_so() -> None:
    """Whoever asks for quantiles finds out of what there are any."""
    rows = _ROW.finditer(PAGE.read_text(encoding="utf-8"))
    called = {row["name"] for row in rows if row["text"].startswith("histogram: ")}
    assert called == {name.removesuffix("_bucket") for name in scraped().labels if name.endswith("_bucket")}


def test_every_family_of_work_has_a_section() -> None:
    """A section has the metrics of one family, or none of any."""
    headings = re.findall(r"^## .+$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    families = [
        {name.split("_")[1] for name in re.findall(r"`(exchange_\w+)", section(PAGE, heading))} for heading in headings
    ]
    for family in WORK:
        assert {family} in families

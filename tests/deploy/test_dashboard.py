"""The dashboard for Grafana: written as its source says, and every panel shows something of a busy venue."""

from __future__ import annotations

import json
import re
import sys
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.deploy.site import DEPLOY
from tests.deploy.test_deploy import promtool, run
from tests.metrics.work import WORK, scraped

if TYPE_CHECKING:
    from pathlib import Path

DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "dashboard.json").read_text(encoding="utf-8"))
GRAPHS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [
    (f"{graph['title']} {target['refId']}", target["expr"], target["legendFormat"])
    for graph in GRAPHS
    for target in graph["targets"]
]
UNITS = {"short", "s", "ops", "percentunit", "suffix: credits"}
"""Those of Grafana that are used."""


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\bexchange_\w+", text))


def test_it_is_what_its_source_writes() -> None:
    """Nobody has changed the one without the other."""
    assert run(sys.executable, DEPLOY / "dashboard.py") == (DEPLOY / "dashboard.json").read_text(encoding="utf-8")


def test_every_graph_has_a_unit_a_description_and_its_own_place() -> None:
    """Ids are unique, and nothing covers anything else."""
    for graph in GRAPHS:
        assert graph["fieldConfig"]["defaults"]["unit"] in UNITS
        assert graph["description"].endswith(".")
        assert graph["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert [target["refId"] for target in graph["targets"]] == list("ABCDE"[: len(graph["targets"])])
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        is_apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert is_apart, (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


def test_what_panels_and_alerts_name_is_exported() -> None:
    """A venue in which all mechanisms were busy exports every metric of the dashboard and of the alerts."""
    exported = set(scraped().labels)
    # Histograms are also named as such.
    exported |= {name.removesuffix("_bucket") for name in exported}
    for _, query, _ in QUERIES:
        assert names_in(query)
        assert names_in(query) <= exported
    assert names_in((DEPLOY / "alerts.yml").read_text(encoding="utf-8")) <= exported
    shown = {name for _, query, _ in QUERIES for name in names_in(query)}
    for family in WORK:
        assert any(name.startswith(f"exchange_{family}_") for name in shown), family


def test_legends_name_labels_that_there_are() -> None:
    """What stands in a legend is what its query groups by."""
    for _, query, legend in QUERIES:
        for label in re.findall(r"\{\{(\w+)\}\}", legend):
            grouped = re.findall(r" by \(([^)]*)\)", query)
            assert (label in grouped[0].split(", ")) if grouped else label == "instance"


@pytest.fixture(scope="module")
def series() -> list[dict[str, str]]:
    """Return what a leader and its standby export, every five minutes: from nothing to what venues came to."""
    found = []
    for (name, labels), value in scraped().samples.items():
        if name.startswith("exchange_"):
            for instance in ("leads", "follows"):
                said = ",".join(f"{label}={json.dumps(word)}" for label, word in (*labels, ("instance", instance)))
                found.append({"series": f"{name}{{{said}}}", "values": f"0x5 {value!r}x30"})
    return found


def test_every_query_finds_something(tmp_path: Path, series: list[dict[str, str]]) -> None:
    """Prometheus itself evaluates the queries, over what was exported."""
    expressions = [
        {
            "expr": f"count({query.replace('$__rate_interval', '15m')}) > bool 0",
            "eval_time": "35m",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for _, query, _ in QUERIES
    ]
    evaluate(tmp_path, series, expressions)


def test_a_standby_does_not_double_what_is_shown(tmp_path: Path) -> None:
    """Whatever the number of daemons: seven open tasks are seven, and twelve failed settlements an hour twelve."""
    counts = {
        'tasks_live{state="open"': "7x30",
        'settlements_final_total{outcome="failed"': "0+1x30",
        'tasks_awarded_credits_total{direction="procurement"': "0+2x30",
        'tasks_reserve_credits_total{direction="procurement"': "0+8x30",
    }
    series = [
        {"series": f'exchange_{begin},instance="{instance}"}}', "values": values}
        for instance in ("leads", "follows")
        for begin, values in counts.items()
    ]
    queries = {title: query for title, query, _ in QUERIES}
    expected = {
        "Tasks A": ('{state="open"}', 7),
        "Settlements by outcome A": ('{outcome="failed"}', 12),
        "Price over reserve A": ('{direction="procurement"}', 0.25),
    }
    expressions = [
        {"expr": queries[title], "eval_time": "2h", "exp_samples": [{"labels": labels, "value": value}]}
        for title, (labels, value) in expected.items()
    ]
    evaluate(tmp_path, series, expressions)


def evaluate(directory: Path, series: list[dict[str, str]], expressions: list[dict[str, Any]]) -> None:
    """Let promtool compare what expressions come to with what they should."""
    test = {"interval": "5m", "input_series": series, "promql_expr_test": expressions}
    file = directory / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": "5m", "tests": [test]}))
    promtool("test", "rules", file)

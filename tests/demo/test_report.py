"""Test how a run is told."""

from __future__ import annotations

import io
import json
from dataclasses import fields, replace
from decimal import Decimal

import pytest
from rich.console import Console

from exchange.demo.report import ConservationRow, PeriodReport, PricePlot, RunReport, render
from exchange.demo.smith import CHART_1, InducedTrade

PERIODS = (
    PeriodReport.of(1, CHART_1, [InducedTrade(180, 325, 75), InducedTrade(240, 300, 100)]),
    PeriodReport.of(2, CHART_1, [InducedTrade(200, 325, 75)]),
    PeriodReport.of(3, CHART_1, []),
)
REPORT = RunReport(
    strategy="zip",
    agents=22,
    seed=7,
    equilibrium_price=CHART_1.equilibrium_price,
    equilibrium_quantity=CHART_1.equilibrium_quantity,
    maximal_surplus=CHART_1.maximal_surplus,
    periods=PERIODS,
    orders=12_345,
    orders_per_s=4_321.0,
    ack_p50_ms=0.81,
    ack_p99_ms=3.27,
    conservation=(ConservationRow("credit", 1_000_000, 1_000_000), ConservationRow("unit", 11, 11)),
    verified=True,
    journal_index=512,
    state_hash="c0ffee",
)


def rendered(report: RunReport, width: int = 100) -> str:
    """Render as to a file."""
    console = Console(file=io.StringIO(), record=True, width=width)
    console.print(report)
    return console.export_text()


def plotted(periods: tuple[PeriodReport, ...], width: int, encoding: str = "utf-8") -> list[str]:
    """Plot into the lines of a file."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=file, width=width, legacy_windows=False).print(PricePlot(periods, 200))
    file.seek(0)
    return file.read().splitlines()


def test_a_period_is_measured_against_its_schedule() -> None:
    """A period's figures are those of the schedule's statistics."""
    first = PERIODS[0]
    assert (first.trades, first.mean_price, first.prices) == (2, 210.0, (180, 240))
    assert first.efficiency == pytest.approx(60.0)
    assert first.alpha == pytest.approx(100 * 1000**0.5 / 200)


@pytest.mark.parametrize(
    "figure",
    [
        "22 zip traders",
        "P0 200.00",
        "6 units",
        "750.00",
        "210.00",
        "+10.00",
        "60.0",
        "15.81",
        "12,345",
        "4,321",
        "0.81",
        "3.27",
        "1,000,000",
        "Every asset is conserved exactly.",
        "gave the same state",
        "c0ffee",
    ],
)
def test_the_rendering_contains_the_figures(figure: str) -> None:
    """Every figure of the run stands in what is printed."""
    assert figure in rendered(REPORT)


def test_an_80_column_terminal_shows_everything() -> None:
    """Nothing is cut off on the narrowest common terminal."""
    text = rendered(REPORT, width=80)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_file_gets_no_colours() -> None:
    """Only a terminal is sent escape codes."""
    file, terminal = io.StringIO(), io.StringIO()
    Console(file=file, width=100).print(render(REPORT))
    Console(file=terminal, width=100, force_terminal=True, color_system="standard").print(render(REPORT))
    assert "\x1b" not in file.getvalue()
    assert "\x1b" in terminal.getvalue()


def test_the_plot_shows_trades_around_the_line() -> None:
    """Trades stand above, on and below the equilibrium line, in columns by period."""
    lines = plotted(PERIODS, width=40)
    assert len(lines) == 14
    assert lines[0] == "240.00   ●│ │"
    assert lines[6] == "200.00 ────●─"
    assert lines[9] == "        ● │ │"
    assert lines[13] == "       1  2 3"


def test_the_plot_fits_any_width() -> None:
    """More trades than columns share columns: no line is wider than the console."""
    many = tuple(replace(PERIODS[0], number=number, prices=(180, 240) * 40) for number in range(1, 12))
    for width in (10, 40, 79):
        lines = plotted(many, width)
        assert len(lines) == 14
        assert max(map(len, lines)) <= width


def test_the_plot_is_ascii_where_it_must_be() -> None:
    """A terminal that knows only ASCII gets the same plot in ASCII."""
    lines = plotted(PERIODS, width=40, encoding="ascii")
    assert lines[6] == "200.00 ----o-"


def test_no_trades_no_plot() -> None:
    """A run without trades says so."""
    assert "No trades." in rendered(replace(REPORT, periods=PERIODS[2:]))


def test_a_broken_promise_is_shouted() -> None:
    """A difference in the accounts or in the replay is named, and the run did not succeed."""
    broken = replace(REPORT, conservation=(ConservationRow("credit", 100, 99),))
    assert "NOT conserved" in rendered(broken)
    assert "-1" in rendered(broken)
    differing = replace(REPORT, verified=False)
    assert "ANOTHER state" in rendered(differing)
    assert not broken.succeeded
    assert not differing.succeeded
    assert REPORT.succeeded


def test_what_was_not_measured_is_a_dash() -> None:
    """A run without acknowledgements or a replay is told without inventing figures."""
    report = replace(REPORT, ack_p50_ms=None, ack_p99_ms=None, verified=None)
    assert "was not replayed" in rendered(report)
    assert report.succeeded


def test_json_is_flat_and_complete() -> None:
    """Every field of the run and its parts is in the dict, which JSON takes as it is."""
    figures = REPORT.to_json()
    assert {field.name for field in fields(RunReport)} <= figures.keys()
    read = json.loads(json.dumps(figures, allow_nan=False))
    assert read == figures
    assert (read["equilibrium_price"], read["trades"], read["succeeded"]) == (200.0, 3, True)
    assert read["efficiency"] == pytest.approx((60 + 100 / 3 + 0) / 3)
    assert {field.name for field in fields(PeriodReport)} <= read["periods"][0].keys()
    assert read["periods"][0]["prices"] == [180, 240]
    assert read["periods"][2]["alpha"] is None
    assert read["conservation"][1] == {"asset": "unit", "issued": 11, "in_accounts": 11, "conserved": True}
    nested = [row for name in ("periods", "conservation") for row in read[name]]
    assert not any(isinstance(value, dict) for row in [*nested, read] for value in row.values())


def test_json_keeps_decimals_exact() -> None:
    """Amounts compared for conservation are strings when they are Decimals."""
    report = replace(REPORT, conservation=(ConservationRow("credit", Decimal("0.10"), Decimal("0.1")),))
    assert report.to_json()["conservation"] == [
        {"asset": "credit", "issued": "0.10", "in_accounts": "0.1", "conserved": True},
    ]

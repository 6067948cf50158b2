"""The alerts about the market for work, which look hours and days back, judged by promtool."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml

from tests.deploy.site import DEPLOY
from tests.deploy.test_deploy import WORK_ALERTS, promtool

if TYPE_CHECKING:
    from pathlib import Path

GREEDY = 'exchange_packages_determined_total{instance="a",by="greedy",pricing="pay_as_bid"}'
SOLVER = 'exchange_packages_determined_total{instance="a",by="solver",pricing="vcg"}'
STANDBY = 'exchange_packages_determined_total{instance="b",by="solver",pricing="vcg"}'
REFUSED = 'exchange_packages_refused_total{instance="a"}'
OWED = 'exchange_payments_lien_credits{instance="a"}'
OWED_TOO = 'exchange_payments_lien_credits{instance="b"}'
ARBITRATORS = 'exchange_disputes_arbitrators{instance="a"}'
LIVE = 'exchange_settlements_live{instance="a",state="open"}'
UNDECIDED = 'exchange_disputes_decided_total{instance="a",verdict="no_majority"}'
OPENED = 'exchange_disputes_oldest_timestamp_seconds{instance="a"}'


class Case(NamedTuple):
    """Hold what an alert looks at, a value every ten minutes, and whether it fires at a time."""

    alert: str
    about: str
    series: dict[str, str]
    at: str
    fires: bool


CASES = [
    Case("ExchangeSolverMissing", "no auction", {GREEDY: "0x20", SOLVER: "0x20"}, "2h", fires=False),
    Case(
        "ExchangeSolverMissing", "the first by the simple rule", {GREEDY: "0x5 1x20", SOLVER: "0x30"}, "80m", fires=True
    ),
    Case("ExchangeSolverMissing", "one of several", {GREEDY: "0x5 1x20", SOLVER: "0 1 2 3+1x30"}, "80m", fires=False),
    Case("ExchangeSolverMissing", "long ago", {GREEDY: "0x5 1x30", SOLVER: "0x40"}, "4h", fires=False),
    Case("ExchangeSolverMissing", "counted anew", {GREEDY: "9x5 0 1x20", SOLVER: "9x5 0x20"}, "90m", fires=True),
    Case(
        "ExchangeSolverMissing",
        "another daemon began to count later",
        {GREEDY: "0x5 1x20", SOLVER: "0x3 1x40", STANDBY: "1x40"},
        "80m",
        fires=False,
    ),
    Case("ExchangeSolverRefused", "none", {REFUSED: "3x20"}, "2h", fires=False),
    Case("ExchangeSolverRefused", "one", {REFUSED: "0x5 1x20"}, "80m", fires=True),
    Case("ExchangeLiensGrow", "nobody owes", {OWED: "0x100"}, "15h", fires=False),
    Case("ExchangeLiensGrow", "once, and then no more", {OWED: "0x36 50x100"}, "15h", fires=False),
    Case("ExchangeLiensGrow", "paid bit by bit", {OWED: "500-5x100"}, "15h", fires=False),
    Case("ExchangeLiensGrow", "on and on", {OWED: "0+2x100"}, "11h", fires=False),
    Case("ExchangeLiensGrow", "on and on for half a day", {OWED: "0+2x100"}, "13h", fires=True),
    Case("ExchangeLiensGrow", "on and on by little", {OWED: "70+0.01x100"}, "13h", fires=True),
    Case("ExchangeLiensGrow", "with a standby", {OWED: "0+2x100", OWED_TOO: "0+2x100"}, "13h", fires=True),
    Case("ExchangeArbitratorsFew", "no work", {ARBITRATORS: "0x20", LIVE: "0x20"}, "2h", fires=False),
    Case("ExchangeArbitratorsFew", "enough", {ARBITRATORS: "3x20", LIVE: "7x20"}, "2h", fires=False),
    Case("ExchangeArbitratorsFew", "two", {ARBITRATORS: "2x20", LIVE: "7x20"}, "2h", fires=True),
    Case("ExchangeArbitratorsFew", "for a while", {ARBITRATORS: "3x9 2x20", LIVE: "7x30"}, "2h", fires=False),
    Case("ExchangeDisputesUndecided", "none today", {UNDECIDED: "4x200"}, "30h", fires=False),
    Case("ExchangeDisputesUndecided", "one", {UNDECIDED: "0x150 1x50"}, "30h", fires=True),
    Case("ExchangeDisputeLate", "no dispute", {OPENED: "0x500"}, "80h", fires=False),
    Case("ExchangeDisputeLate", "more than half a day left", {OPENED: "0x5 3600x500"}, "60h", fires=False),
    Case("ExchangeDisputeLate", "half a day left", {OPENED: "0x5 3600x500"}, "62h", fires=True),
    Case("ExchangeDisputeLate", "the next one is young", {OPENED: "0x5 3600x350 200000x100"}, "62h", fires=False),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.about}")
def test_an_alert_about_work_fires_when_an_operator_must_act(tmp_path: Path, case: Case) -> None:
    """Each is silent on what passes by itself."""
    test = {
        "interval": "10m",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}}) or vector(0)',
                "eval_time": case.at,
                "exp_samples": [{"labels": "{}", "value": int(case.fires)}],
            },
        ],
    }
    file = tmp_path / "test.yml"
    rules = {"rule_files": [str(DEPLOY / "alerts.yml")], "evaluation_interval": "10m", "tests": [test]}
    file.write_text(yaml.safe_dump(rules))
    promtool("test", "rules", file)


def test_every_alert_about_work_is_shown_to_fire_and_to_be_silent() -> None:
    """Of each there are cases of both kinds."""
    assert {case.alert for case in CASES if case.fires} == WORK_ALERTS
    assert {case.alert for case in CASES if not case.fires} == WORK_ALERTS

"""Write the dashboard for Grafana: python deploy/dashboard.py > deploy/dashboard.json.

A standby replays what the leader does and counts it as well, so what both export is taken once: the larger.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final, NamedTuple

_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS: Final = 24
_WIDTH: Final = 8
_HEIGHT: Final = 8


class Panel(NamedTuple):
    """Hold one graph: queries by legend, and a unit as Grafana calls it."""

    title: str
    description: str
    unit: str
    queries: dict[str, str]


def now(metric: str, *by: str) -> str:
    """Return the query for a gauge's value."""
    return f"max{_grouped(by)}({metric})"


def within(window: str, metric: str, *by: str) -> str:
    """Return the query for how much a counter grew in the time before."""
    return f"sum{_grouped(by)}(max without (instance) (increase({metric}[{window}])))"


def quantile(share: float, histogram: str, window: str) -> str:
    """Return the query for a quantile of what a histogram took in in the time before."""
    return f"histogram_quantile({share}, sum by (le) (max without (instance) (increase({histogram}_bucket[{window}]))))"


def _grouped(by: tuple[str, ...]) -> str:
    return f" by ({', '.join(by)}) " if by else ""


CREDITS: Final = "suffix: credits"
UNAWARDED: Final = 'exchange_tasks_rounds_total{result="unawarded"}'
RATE: Final = "$__rate_interval"

ROWS: Final[dict[str, list[Panel]]] = {
    "Venue": [
        Panel(
            "Commands",
            "Commands per second that were executed, by what came of them.",
            "ops",
            {"{{outcome}}": f"sum by (outcome) (rate(exchange_commands_total[{RATE}]))"},
        ),
        Panel(
            "Acknowledgements",
            "From the arrival of a message to its published reply, which waits for the journal.",
            "s",
            {
                "half within": quantile(0.5, "exchange_ack_seconds", RATE),
                "99% within": quantile(0.99, "exchange_ack_seconds", RATE),
            },
        ),
        Panel(
            "Journal",
            "Age of the last durable record that each daemon knows of: about a second at most while all is well.",
            "s",
            {"{{instance}}": "exchange_journal_lag_seconds"},
        ),
    ],
    "Work: tasks": [
        Panel(
            "Tasks",
            "Task auctions that are open, and tasks that are awarded and not done.",
            "short",
            {"{{state}}": now("exchange_tasks_live", "state")},
        ),
        Panel(
            "Bids and awards",
            "Per minute, over ten minutes. Bids count once their round has ended with an award.",
            "short",
            {
                "bids": f"{within('10m', 'exchange_tasks_bids_total')} / 10",
                "awards, {{direction}}": f"{within('10m', 'exchange_tasks_awards_total', 'direction')} / 10",
                "rounds without an award": f"{within('10m', UNAWARDED)} / 10",
            },
        ),
        Panel(
            "Price over reserve",
            "What is paid of the reserve, of all awards of the last hour: at most all of it when work is bought, at "
            "least all of it when something is sold. Close to 100 %: there is little competition.",
            "percentunit",
            {
                "{{direction}}": f"{within('1h', 'exchange_tasks_awarded_credits_total', 'direction')} / "
                f"{within('1h', 'exchange_tasks_reserve_credits_total', 'direction')}",
            },
        ),
        Panel(
            "How tasks ended",
            "Tasks that ended in the last hour, by outcome.",
            "short",
            {"{{outcome}}": within("1h", "exchange_tasks_ended_total", "outcome")},
        ),
        Panel(
            "Package auctions",
            "Package auctions that take bids, and those whose winners are being determined: for 30 seconds at most.",
            "short",
            {"{{state}}": now("exchange_packages_live", "state")},
        ),
        Panel(
            "How package auctions were determined",
            "In the last hour: by the venue's solver or by the simple rule, and how winners pay. Refused answers of "
            "the solver broke a rule.",
            "short",
            {
                "{{by}}, {{pricing}}": within("1h", "exchange_packages_determined_total", "by", "pricing"),
                "answers refused": within("1h", "exchange_packages_refused_total"),
            },
        ),
    ],
    "Work: settlements and disputes": [
        Panel(
            "Settlements",
            "Settlements that are not final, by state.",
            "short",
            {"{{state}}": now("exchange_settlements_live", "state")},
        ),
        Panel(
            "Settlements by outcome",
            "Settlements that became final in the last hour.",
            "short",
            {"{{outcome}}": within("1h", "exchange_settlements_final_total", "outcome")},
        ),
        Panel(
            "Time to deliver",
            "From the opening of a settlement to its delivery, of the deliveries of the last hour.",
            "s",
            {
                "half within": quantile(0.5, "exchange_settlements_time_to_deliver_seconds", "1h"),
                "90% within": quantile(0.9, "exchange_settlements_time_to_deliver_seconds", "1h"),
            },
        ),
        Panel(
            "Disputes",
            "Disputes that are not decided, and the arbitrators with a stake of whom panels are drawn.",
            "short",
            {"open": now("exchange_disputes_open"), "arbitrators": now("exchange_disputes_arbitrators")},
        ),
        Panel(
            "Disputes decided",
            "Disputes that were decided in the last day, by verdict. Without a majority arbitrators are missing.",
            "short",
            {"{{verdict}}": within("1d", "exchange_disputes_decided_total", "verdict")},
        ),
        Panel(
            "Oldest dispute",
            "Age of the oldest undecided dispute: three days at most, unless settings or outages allow more.",
            "s",
            {"oldest": f"time() - ({now('exchange_disputes_oldest_timestamp_seconds')} > 0)"},
        ),
    ],
    "Work: capacity, help and contracts": [
        Panel(
            "Units leased",
            "Units on lease, by market, in the asset's smallest unit.",
            "short",
            {"{{market}}": now("exchange_leases_leased_units", "market")},
        ),
        Panel(
            "Utilisation",
            "Units on lease, of those on lease or offered for one.",
            "percentunit",
            {
                "{{market}}": f"{now('exchange_leases_leased_units', 'market')} / "
                f"{now('exchange_leases_offered_units', 'market')}",
            },
        ),
        Panel(
            "Leases",
            "Leases that are running, and how leases ended in the last hour.",
            "short",
            {
                "running": now("exchange_leases_running"),
                "{{how}}": within("1h", "exchange_leases_ended_total", "how"),
            },
        ),
        Panel(
            "Help",
            "Open offers of help and sessions under way.",
            "short",
            {"offers": now("exchange_expertise_open_offers"), "sessions": now("exchange_expertise_open_sessions")},
        ),
        Panel(
            "Ratings",
            "Ratings of the last day that count, by the kind of their domain.",
            "short",
            {"{{domain}}": within("1d", "exchange_expertise_ratings_total", "domain")},
        ),
        Panel(
            "Contracts",
            "Contracts that wait for signatures or are bound, and how contracts ended in the last hour.",
            "short",
            {
                "{{state}}": now("exchange_contracts_live", "state"),
                "ended: {{outcome}}": within("1h", "exchange_contracts_ended_total", "outcome"),
            },
        ),
    ],
    "Commons: property": [
        Panel(
            "Modules",
            "Modules with and without an owner, those of which a value is stated and taxed, and what is under way.",
            "short",
            {
                "{{state}}": now("exchange_property_modules", "state"),
                "taxed": now("exchange_property_taxed_modules"),
                "rentals": now("exchange_property_running_rentals"),
                "auctions": now("exchange_property_open_auctions"),
            },
        ),
        Panel(
            "How modules changed hands",
            "In the last day; what was foreclosed is told with the reason.",
            "short",
            {
                "{{how}}": within("1d", "exchange_property_moved_total", "how"),
                "foreclosed: {{why}}": within("1d", "exchange_property_foreclosed_total", "why"),
            },
        ),
        Panel(
            "Paid for modules",
            "Prices, rent, and tax on stated values in the last day. Tax goes to the public fund.",
            CREDITS,
            {
                "prices": within("1d", "exchange_property_sale_credits_total"),
                "rent": within("1d", "exchange_property_rent_credits_total"),
                "tax": within("1d", "exchange_property_tax_credits_total"),
            },
        ),
    ],
    "Commons: externalities": [
        Panel(
            "Levies",
            "What was levied in the last day for what agents did to others, by kind.",
            CREDITS,
            {"{{kind}}": within("1d", "exchange_externalities_levied_credits_total", "kind")},
        ),
        Panel(
            "Rates of externalities",
            "What one unit of a kind costs now; of coupling, a module of which everything is broken.",
            CREDITS,
            {"{{kind}}": now("exchange_externalities_rate_credits", "kind")},
        ),
        Panel(
            "How levies ended",
            "Levies that are not final, and how levies ended in the last day. Many overturned speak against attesters.",
            "short",
            {
                "{{state}}": now("exchange_externalities_levies", "state"),
                "ended: {{outcome}}": within("1d", "exchange_externalities_ended_total", "outcome"),
            },
        ),
    ],
    "Commons: technical debt": [
        Panel(
            "Hours owed",
            "Hours of technical debt that are owed, and those of them that are overdue. A crisis needs enough of both.",
            "short",
            {
                "owed": f"{now('exchange_debts_outstanding_seconds')} / 3600",
                "overdue": f"{now('exchange_debts_overdue_seconds')} / 3600",
            },
        ),
        Panel(
            "Debts",
            "Debts that have not ended, and how debts ended in the last day.",
            "short",
            {
                "{{state}}": now("exchange_debts_live", "state"),
                "ended: {{outcome}}": within("1d", "exchange_debts_ended_total", "outcome"),
            },
        ),
        Panel(
            "Paid for debts",
            "What was paid in the last day: for taking debts over, as interest, and by force for paydowns.",
            CREDITS,
            {
                "taken over": within("1d", "exchange_debts_transfer_pay_credits_total"),
                "interest": within("1d", "exchange_debts_interest_paid_credits_total"),
                "paydowns": within("1d", "exchange_debts_paydown_credits_total"),
            },
        ),
    ],
    "Commons: public goods": [
        Panel(
            "Public goods",
            "Goods that are open to pledges or being provided, and how goods ended in the last day.",
            "short",
            {
                "{{state}}": now("exchange_assurance_live", "state"),
                "ended: {{outcome}}": within("1d", "exchange_assurance_ended_total", "outcome"),
            },
        ),
        Panel(
            "Pledged for open goods",
            "Credits that wait in open goods for enough others to pledge.",
            CREDITS,
            {"pledged": now("exchange_assurance_open_pledges_credits")},
        ),
        Panel(
            "Paid and refunded with a bonus",
            "What providers of goods were paid in the last day, and what bonus came with refunds.",
            CREDITS,
            {
                "paid": within("1d", "exchange_assurance_paid_credits_total"),
                "bonus": within("1d", "exchange_assurance_bonus_credits_total"),
            },
        ),
    ],
    "Commons: prediction markets": [
        Panel(
            "Prediction markets",
            "Markets that have not ended, by state. One that stays `closed` waits for its resolver.",
            "short",
            {"{{state}}": now("exchange_predictions_live", "state")},
        ),
        Panel(
            "Prediction markets ended",
            "How markets ended in the last day; `unresolved` ones had a resolver that said nothing in time.",
            "short",
            {"{{outcome}}": within("1d", "exchange_predictions_ended_total", "outcome")},
        ),
        Panel(
            "Shares traded",
            "What was paid for shares in the last hour, or received, and what shares paid.",
            CREDITS,
            {
                "traded": within("1h", "exchange_predictions_traded_credits_total"),
                "paid out": within("1h", "exchange_predictions_payout_credits_total"),
            },
        ),
        Panel(
            "Trades",
            "Trades of the last hour, by the kind of market and the side of who made the price move.",
            "short",
            {"{{kind}} {{side}}": within("1h", "exchange_predictions_trades_total", "kind", "side")},
        ),
        Panel(
            "Subsidies",
            "Subsidies of markets that ended in the last day, and what traders got of them: what forecasts cost.",
            CREDITS,
            {
                "subsidies": within("1d", "exchange_predictions_subsidy_credits_total"),
                "lost": within("1d", "exchange_predictions_subsidy_lost_credits_total"),
            },
        ),
        Panel(
            "Forecasters",
            "Forecasters who were scored in the last day, once for each market, and reports that were disputed.",
            "short",
            {
                "scored": within("1d", "exchange_predictions_forecasters_total"),
                "disputed": within("1d", "exchange_predictions_disputed_total"),
            },
        ),
    ],
    "Work: money": [
        Panel(
            "In escrow",
            "Credits that wait in escrow accounts, and how many of them in settlements.",
            CREDITS,
            {
                "all": now('exchange_ledger_balance{asset="credit",kind="escrow"}'),
                "settlements": now("exchange_settlements_escrow_credits"),
            },
        ),
        Panel(
            "Liens",
            "What agents owe since they could not pay it.",
            CREDITS,
            {"owed": now("exchange_payments_lien_credits")},
        ),
        Panel(
            "Forced debits",
            "What was debited by force in the last hour, what became a lien included.",
            CREDITS,
            {"debited": within("1h", "exchange_payments_forced_debit_credits_total")},
        ),
    ],
    "Commons: governance": [
        Panel(
            "Dynamic rates",
            "Parameters that are amounts, by name: dynamic ones move by up to an eighth a day.",
            CREDITS,
            {"{{parameter}}": now("exchange_governance_parameter_credits", "parameter")},
        ),
        Panel(
            "Proposals",
            "Proposals that wait for their end, and how proposals ended in the last day.",
            "short",
            {
                "{{state}}": now("exchange_governance_open_proposals", "state"),
                "ended: {{outcome}}": within("1d", "exchange_governance_proposals_total", "outcome"),
                "votes": within("1d", "exchange_governance_votes_total"),
            },
        ),
        Panel(
            "Public fund",
            "What the public fund has, the cap above which it is shared each month, and what went out in the last day.",
            CREDITS,
            {
                "fund": now("exchange_governance_fund_credits"),
                "cap": now("exchange_governance_fund_cap_credits"),
                "out: {{purpose}}": within("1d", "exchange_governance_fund_outflow_credits_total", "purpose"),
            },
        ),
        Panel(
            "Circulating credits",
            "What agents and escrows have of the supply; the rest is in the treasury, the public fund and the fees.",
            CREDITS,
            {"circulating": now("exchange_governance_circulating_credits")},
        ),
    ],
}


def dashboard() -> dict[str, Any]:
    """Return what Grafana imports."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        place = {"x": 0, "y": top, "w": _COLUMNS, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "gridPos": place})
        top += 1
        for start in range(0, len(row), _COLUMNS // _WIDTH):
            for column, panel in enumerate(row[start : start + _COLUMNS // _WIDTH]):
                place = {"x": column * _WIDTH, "y": top, "w": _WIDTH, "h": _HEIGHT}
                panels.append({"id": len(panels) + 1, "gridPos": place, **_graph(panel)})
            top += _HEIGHT
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    return {
        "uid": "agent-exchange",
        "title": "Agent exchange",
        "tags": ["exchange"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [source]},
        "panels": panels,
    }


def _graph(panel: Panel) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": _SOURCE, "expr": query, "legendFormat": legend}
            for number, (legend, query) in enumerate(panel.queries.items())
        ],
    }


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")

"""Report a run of the market experiment: to people as tables and a plot, to programs as a plain dict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from statistics import fmean
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, RenderResult

    from exchange.demo.smith import InducedTrade, Number, Schedule

__all__ = ["ConservationRow", "PeriodReport", "PricePlot", "RunReport", "render"]

HALF_HEIGHT: Final = 6
"""Rows of the plot above the equilibrium line, and as many below."""

EFFICIENCY_ZIC: Final = 90.0
"""Percent that traders without intelligence reach: a market below it deserves a second look."""


@dataclass(frozen=True, slots=True)
class PeriodReport:
    """Tell one trading period: its trade prices in order, and what they were worth.

    ``efficiency`` and ``alpha`` are percentages; prices and ``profit_dispersion`` are in the
    schedule's unit of money. A period without trades has no ``mean_price`` and no ``alpha``.
    """

    number: int
    prices: tuple[Number, ...]
    mean_price: float | None
    efficiency: float
    alpha: float | None
    profit_dispersion: float

    @property
    def trades(self) -> int:
        """Count the trades."""
        return len(self.prices)

    @classmethod
    def of(cls, number: int, schedule: Schedule, trades: Sequence[InducedTrade]) -> PeriodReport:
        """Measure a period against its schedule.

        Raises:
            ValueError: more trades at a value or a cost than the schedule has traders with it.
        """
        measured = schedule.statistics(trades)
        return cls(
            number=number,
            prices=tuple(trade.price for trade in trades),
            mean_price=measured.mean_price,
            efficiency=measured.efficiency,
            alpha=measured.alpha,
            profit_dispersion=measured.profit_dispersion,
        )


@dataclass(frozen=True, slots=True)
class ConservationRow:
    """Compare what was issued of an asset with what all accounts hold of it; nothing may be missing."""

    asset: str
    issued: Number
    in_accounts: Number

    @property
    def conserved(self) -> bool:
        """Tell whether the two are equal, exactly."""
        return self.issued == self.in_accounts


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """Tell a whole run.

    ``verified`` is whether replaying the journal gave the same state: None when it was not tried.
    ``state_hash`` is that of the state the run ended in, ``journal_index`` the last record's.
    Acknowledgement times are None when no order was acknowledged.
    """

    strategy: str
    agents: int
    seed: int
    equilibrium_price: Number
    equilibrium_quantity: int
    maximal_surplus: Number
    periods: tuple[PeriodReport, ...]
    orders: int
    orders_per_s: float
    ack_p50_ms: float | None
    ack_p99_ms: float | None
    conservation: tuple[ConservationRow, ...]
    verified: bool | None
    journal_index: int
    state_hash: str
    processes: int = 1
    """How many processes shared the agents."""
    restarts: int = 0
    """How often the daemon was started again because it had ended by itself."""
    metrics_url: str | None = None
    """Where the metrics were while the venue was open."""
    data: str | None = None
    """The directory of the venue, if it was kept."""

    @property
    def trades(self) -> int:
        """Count the trades of all periods."""
        return sum(period.trades for period in self.periods)

    @property
    def efficiency(self) -> float | None:
        """Average the efficiency of the periods, in percent."""
        return fmean(period.efficiency for period in self.periods) if self.periods else None

    @property
    def conserved(self) -> bool:
        """Tell whether every asset was conserved."""
        return all(row.conserved for row in self.conservation)

    @property
    def succeeded(self) -> bool:
        """Tell whether the exchange kept its promises: all conserved, and no replay that differed."""
        return self.conserved and self.verified is not False

    def to_json(self) -> dict[str, object]:
        """Make a dict for ``json.dumps``: the run's figures flat, then its periods and its assets, flat too.

        Decimals become floats where they measure the experiment, and strings, which keep them
        exact, where they are compared for conservation.
        """
        figures = asdict(self)
        for name in ("equilibrium_price", "maximal_surplus"):
            figures[name] = _number(figures[name])
        figures |= {"trades": self.trades, "efficiency": self.efficiency}
        figures |= {"conserved": self.conserved, "succeeded": self.succeeded}
        figures["periods"] = [
            asdict(period) | {"trades": period.trades, "prices": [_number(price) for price in period.prices]}
            for period in self.periods
        ]
        figures["conservation"] = [
            {
                "asset": row.asset,
                "issued": _exact(row.issued),
                "in_accounts": _exact(row.in_accounts),
                "conserved": row.conserved,
            }
            for row in self.conservation
        ]
        return figures

    def __rich__(self) -> Group:
        """Render for ``console.print(report)``."""
        return render(self)


@dataclass(frozen=True, slots=True)
class PricePlot:
    """Plot the prices of all trades in their order around the equilibrium line, as wide as the console.

    Where there are more trades than columns, neighbours share one.
    """

    periods: tuple[PeriodReport, ...]
    equilibrium_price: Number

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw from the highest price down, then the numbers of the periods."""
        prices = [float(price) for period in self.periods for price in period.prices]
        if not prices:
            yield Text("No trades.")
            return
        middle = float(self.equilibrium_price)
        reach = max(*(abs(price - middle) for price in prices), HALF_HEIGHT)
        labels = {row: f"{middle + reach * row / HALF_HEIGHT:,.2f}" for row in (-HALF_HEIGHT, 0, HALF_HEIGHT)}
        margin = max(map(len, labels.values())) + 1
        columns, starts = self._columns(max(options.max_width - margin, 1))
        line, bar, dot = "-|o" if options.ascii_only else "─│●"
        for row in range(HALF_HEIGHT, -HALF_HEIGHT - 1, -1):
            text = Text(labels.get(row, "").rjust(margin - 1) + " ", style="dim", no_wrap=True)
            for index, column in enumerate(columns):
                if any(round((price - middle) / reach * HALF_HEIGHT) == row for price in column):
                    text.append(dot, style="not dim bold green")
                else:
                    empty = bar if index in starts and index else " "
                    text.append(line if row == 0 else empty, style="cyan" if row == 0 else "")
            text.rstrip()
            yield text
        yield Text(" " * margin + _ruler(starts, len(columns)), style="dim", no_wrap=True)

    def _columns(self, width: int) -> tuple[list[list[float]], dict[int, int]]:
        """Deal the prices out to columns, with an empty column before every period; tell where each begins."""
        items = [(period.number, price) for period in self.periods for price in (None, *map(float, period.prices))]
        count = min(len(items), width)
        columns: list[list[float]] = [[] for _ in range(count)]
        starts: dict[int, int] = {}
        for index, (number, price) in enumerate(items):
            column = index * count // len(items)
            if price is None:
                starts.setdefault(column, number)
            else:
                columns[column].append(price)
        return columns, starts


def render(report: RunReport) -> Group:
    """Render a run with ``rich``: its periods, its prices, the exchange's speed, what was conserved.

    Colours appear on terminals only, which is the console's to decide.
    """
    heading = Text.assemble(
        (f"{report.agents} {report.strategy} traders", "bold"),
        f", seed {report.seed}: equilibrium price P0 {_figure(report.equilibrium_price)}, "
        f"{report.equilibrium_quantity} units a period, surplus {_figure(report.maximal_surplus)}",
    )
    return Group(
        heading,
        "",
        _periods_table(report),
        "",
        Text("Trade prices around the equilibrium, by period", style="italic"),
        PricePlot(report.periods, report.equilibrium_price),
        "",
        _exchange_table(report),
        "",
        _conservation_table(report),
        _verdict(report),
        _places(report),
    )


def _periods_table(report: RunReport) -> Table:
    """Set each period's mean price against the equilibrium, with efficiency and alpha."""
    table = Table(title="Periods", title_justify="left")
    for heading in ("period", "trades", "mean price", "off P0", "efficiency %", "alpha %", "dispersion"):
        table.add_column(heading, justify="right")
    for period in report.periods:
        off = None if period.mean_price is None else period.mean_price - float(report.equilibrium_price)
        table.add_row(
            str(period.number),
            str(period.trades),
            _figure(period.mean_price),
            "-" if off is None else f"{off:+,.2f}",
            Text(_figure(period.efficiency, 1), style=_grade(period.efficiency)),
            _figure(period.alpha),
            _figure(period.profit_dispersion),
        )
    table.add_section()
    table.add_row("all", str(report.trades), "", "", _figure(report.efficiency, 1), "", "", style="bold")
    return table


def _exchange_table(report: RunReport) -> Table:
    """Tell how fast the exchange was."""
    table = Table(title="Exchange", title_justify="left")
    for heading in ("orders", "orders/s", "ack p50 ms", "ack p99 ms"):
        table.add_column(heading, justify="right")
    table.add_row(
        f"{report.orders:,}",
        f"{report.orders_per_s:,.0f}",
        _figure(report.ack_p50_ms),
        _figure(report.ack_p99_ms),
    )
    return table


def _conservation_table(report: RunReport) -> Table:
    """Set what was issued against what the accounts hold."""
    table = Table(title="Conservation", title_justify="left")
    table.add_column("asset")
    for heading in ("issued", "in accounts", "difference"):
        table.add_column(heading, justify="right")
    for row in report.conservation:
        difference = Text(f"{row.in_accounts - row.issued:,}", style="green" if row.conserved else "bold red")
        table.add_row(Text(row.asset), f"{row.issued:,}", f"{row.in_accounts:,}", difference)
    return table


def _verdict(report: RunReport) -> Text:
    """Say in one or two lines whether the exchange kept its promises."""
    conserved = ("Every asset is conserved exactly.", "green")
    if not report.conserved:
        conserved = ("An asset is NOT conserved: keep the journal and report this as a bug.", "bold red")
    replay = {
        True: ("Replaying the journal gave the same state", "green"),
        False: (
            "Replaying the journal gave ANOTHER state: keep the journal and report this as a bug",
            "bold red",
        ),
        None: ("The journal was not replayed", "yellow"),
    }[report.verified]
    where = f" (index {report.journal_index:,}, state hash {report.state_hash})."
    return Text.assemble(conserved, "\n", replay, where)


def _places(report: RunReport) -> Text:
    """Say what ran where, and what is left of it."""
    processes = "one process" if report.processes == 1 else f"{report.processes} processes"
    lines = [
        f"The agents shared {processes}, each with a credential and a connection of its own.",
        "Orders/s is what these agents asked for, not what the exchange can take.",
    ]
    if report.restarts:
        times = "once" if report.restarts == 1 else f"{report.restarts} times"
        lines.append(f"The daemon ended by itself and was started again {times}.")
    if report.metrics_url is not None:
        lines.append(f"Metrics were at {report.metrics_url} while the venue was open.")
    if report.data is not None:
        lines.append(f"The venue is in {report.data}: `exchange serve --data {report.data}` opens it again.")
    return Text("\n".join(lines))


def _ruler(starts: dict[int, int], width: int) -> str:
    """Write each period's number below its first column, where there is room for it."""
    ruler = ""
    for column, number in starts.items():
        label = str(number)
        if len(ruler) <= column and column + len(label) <= width:
            ruler = ruler.ljust(column) + label + " "
    return ruler.rstrip()


def _grade(efficiency: float) -> str:
    """Choose a colour for an efficiency."""
    return "green" if efficiency >= EFFICIENCY_ZIC else "yellow"


def _figure(value: Number | float | None, digits: int = 2) -> str:
    """Write a figure for a table."""
    return "-" if value is None else f"{value:,.{digits}f}"


def _number(value: Number) -> int | float:
    """Make a number that JSON knows."""
    return float(value) if isinstance(value, Decimal) else value


def _exact(value: Number) -> int | str:
    """Make an exact amount that JSON knows."""
    return str(value) if isinstance(value, Decimal) else value

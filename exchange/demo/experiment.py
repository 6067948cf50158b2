"""Conduct the experiment on an open venue: set the market up, run the periods, measure what came of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from agent_sdk import connect
from exchange.demo.live import Board, show
from exchange.demo.pool import PROCESSES_MAX, AgentPool
from exchange.demo.report import ConservationRow, PeriodReport
from exchange.demo.resilient import follow, insist
from exchange.demo.smith import PRICE_MAX, InducedTrade, Schedule, chart_1
from exchange.demo.strategies import STRATEGIES, StrategyName
from exchange.demo.venue import DemoError, PromiseBroken
from exchange.demo.wire import Setup, TraderSpec

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from rich.console import Console

    from agent_sdk import Agent
    from exchange.demo.venue import VenueProcess
    from exchange.demo.wire import TraderPeriod
    from exchange.messages.orders import Side

__all__ = ["PERIODS_MAX", "Findings", "Plan", "StrategyMix", "conduct"]

T = TypeVar("T")
StrategyMix = Literal["zic", "zip", "giveaway", "shaver", "mixed"]

MARKET: Final = "smith"
ASSET: Final = "unit"

PERIODS_MAX: Final = 30
"""A buyer is endowed with its value for every period, and an owner with 10,000 credits at most."""

_PERIOD_S: Final = 2.0
_TURNS_PER_S: Final = 20.0
_TURNS_PER_S_ALL: Final = 800.0
_PATIENCE_S: Final = 60.0
_AT_ONCE: Final = 32


@dataclass(frozen=True)
class Plan:
    """Fix an experiment: same plan, same traders with the same private values, costs and random numbers.

    Raises:
        DemoError: it cannot be conducted.
    """

    seconds: float
    agents: int
    strategy: StrategyMix
    seed: int
    periods: int

    def __post_init__(self) -> None:
        """Refuse what cannot be conducted."""
        if not 1 <= self.periods <= PERIODS_MAX:
            message = f"{self.periods} periods are out of range: choose 1 to {PERIODS_MAX}"
            raise DemoError(message)
        if self.agents < 2:  # noqa: PLR2004 - a pair
            message = f"{self.agents} agents make no market: choose at least 2, a buyer and a seller"
            raise DemoError(message)
        if self.seconds <= 0:
            message = f"{self.seconds} seconds leave no time to trade"
            raise DemoError(message)

    @classmethod
    def of(cls, *, seconds: float, agents: int, strategy: StrategyMix, seed: int, periods: int | None) -> Plan:
        """Make a plan, with a period for every two seconds unless their number is given."""
        count = periods if periods is not None else min(max(round(seconds / _PERIOD_S), 1), PERIODS_MAX)
        return cls(seconds, agents, strategy, seed, count)

    @property
    def period_s(self) -> float:
        """How long one period lasts."""
        return self.seconds / self.periods

    @property
    def turns_per_s(self) -> float:
        """How often a trader takes its turn: less often where many share the machine."""
        return min(_TURNS_PER_S, _TURNS_PER_S_ALL / self.agents)

    @property
    def schedule(self) -> Schedule:
        """The induced values and costs."""
        return chart_1(self.agents)

    def traders(self) -> list[TraderSpec]:
        """Describe all traders, buyers and sellers in turn; credentials are still to come."""
        schedule = self.schedule
        sides: tuple[tuple[Side, str, tuple[int | Decimal, ...]], ...] = (
            ("buy", "buyer", schedule.values),
            ("sell", "seller", schedule.costs),
        )
        traders = [
            (
                number,
                TraderSpec(
                    agent=f"{name}-{number:03}",
                    creds="",
                    strategy=self._strategy(number),
                    side=side,
                    limit=int(limit),
                    seed=f"{self.seed}/{name}-{number}",
                ),
            )
            for side, name, limits in sides
            for number, limit in enumerate(limits, 1)
        ]
        return [trader for _, trader in sorted(traders, key=lambda pair: pair[0])]

    def _strategy(self, number: int) -> StrategyName:
        return STRATEGIES[number % len(STRATEGIES)] if self.strategy == "mixed" else self.strategy


@dataclass(frozen=True)
class Findings:
    """Hold what was measured while the venue was open."""

    periods: tuple[PeriodReport, ...]
    acks_us: list[int]
    conservation: tuple[ConservationRow, ...]
    journal_index: int
    processes: int


async def conduct(plan: Plan, venue: VenueProcess, console: Console | None) -> Findings:
    """Conduct an experiment; ``console`` shows it, unless there is none.

    Raises:
        DemoError: the venue or the agents cannot go on.
    """
    return await _unless(venue.failed, _conduct(plan, venue, console))


async def _conduct(plan: Plan, venue: VenueProcess, console: Console | None) -> Findings:
    async with connect(venue.url, creds=venue.operator_creds) as operator:
        traders = await _in_time("the venue did not take the setup", _set_up(plan, venue, operator))
        count = min(PROCESSES_MAX, len(traders))
        setups = [
            Setup(
                url=venue.url,
                market=MARKET,
                price_max=PRICE_MAX,
                turns_per_s=plan.turns_per_s,
                audit_trail=str(venue.files.data / f"audit-trail-{first + 1}.jsonl"),
                traders=traders[first::count],
            )
            for first in range(count)
        ]
        heading = (
            f"{plan.agents} {plan.strategy} traders in {count} processes, seed {plan.seed}, "
            f"equilibrium price {plan.schedule.equilibrium_price}"
        )
        board = Board(plan.schedule, plan.periods, heading)
        async with AgentPool(setups, venue.files.data / "agents.log", board.on_acks) as pool:
            trial = _Trial(plan, operator, pool, board, {trader.agent: trader for trader in traders})
            periods = await _unless(pool.failed, trial.run(console))
        return await _in_time("the venue did not answer", _look_up(operator, periods, board, count))


async def _set_up(plan: Plan, venue: VenueProcess, operator: Agent) -> list[TraderSpec]:
    """Open the market and admit the traders: buyers with credits for all periods, sellers with one unit."""
    await insist(operator, lambda: operator.admin.register_asset(ASSET))
    # Values lie far apart, and a price band would be information that the experiment does not give.
    await insist(operator, lambda: operator.admin.create_market(MARKET, ASSET, tick=1, price_band_bp=0))
    limit = asyncio.Semaphore(_AT_ONCE)

    async def admit(trader: TraderSpec) -> TraderSpec:
        endowment = trader.limit * plan.periods if trader.side == "buy" else 0
        admin = operator.admin
        async with limit:
            await insist(operator, lambda: admin.register_agent(trader.agent, trader.agent, endowment=endowment))
            if trader.side == "sell":
                await insist(operator, lambda: admin.issue_asset(ASSET, trader.agent, 1))
        return trader

    traders = await asyncio.gather(*(admit(trader) for trader in plan.traders()))
    return [_with_creds(trader, venue) for trader in traders]


def _with_creds(trader: TraderSpec, venue: VenueProcess) -> TraderSpec:
    return TraderSpec(
        agent=trader.agent,
        creds=venue.mint(trader.agent),
        strategy=trader.strategy,
        side=trader.side,
        limit=trader.limit,
        seed=trader.seed,
    )


class _Trial:
    """Run the periods one after the other."""

    def __init__(
        self, plan: Plan, operator: Agent, pool: AgentPool, board: Board, traders: dict[str, TraderSpec]
    ) -> None:
        self._plan = plan
        self._operator = operator
        self._pool = pool
        self._board = board
        self._traders = traders

    async def run(self, console: Console | None) -> list[PeriodReport]:
        """Return what was measured in every period."""
        operator = self._operator
        following = [
            asyncio.create_task(follow(lambda: operator.bbo(MARKET), self._board.on_bbo)),
            asyncio.create_task(follow(lambda: operator.trades(MARKET), self._board.on_trade)),
        ]
        try:
            if console is None:
                return [await self._period(number, None) for number in range(1, self._plan.periods + 1)]
            if not console.is_terminal:
                console.print(self._board.heading, highlight=False, soft_wrap=True)
            async with show(self._board, console):
                return [await self._period(number, console) for number in range(1, self._plan.periods + 1)]
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)

    async def _period(self, number: int, console: Console | None) -> PeriodReport:
        orders_before = len(self._board.acks_us)
        self._board.begin(number, self._plan.period_s)
        self._pool.begin(number)
        await asyncio.sleep(self._plan.period_s)
        done = await self._pool.end(number)
        report = PeriodReport.of(number, self._plan.schedule, _pair(done, self._traders))
        if number < self._plan.periods:
            sold = [trader.agent for trader in done if trader.fills and self._traders[trader.agent].side == "sell"]
            await _in_time("the venue did not issue new units", self._supply(sold))
        if console is not None and not console.is_terminal:
            orders = len(self._board.acks_us) - orders_before
            console.print(_line(report, self._plan, orders), highlight=False, soft_wrap=True)
        return report

    async def _supply(self, sellers: Sequence[str]) -> None:
        """Let every seller begin the next period with one unit again."""
        admin = self._operator.admin

        async def give(seller: str) -> None:
            await insist(self._operator, lambda: admin.issue_asset(ASSET, seller, 1))

        await asyncio.gather(*map(give, sellers))


def _pair(done: Sequence[TraderPeriod], traders: dict[str, TraderSpec]) -> list[InducedTrade]:
    """Join what buyers and sellers heard of the same trade, and add their values and costs.

    Raises:
        PromiseBroken: the two sides of a trade do not agree, or somebody traded more than one unit.
    """
    sides: defaultdict[int, dict[Side, InducedTrade]] = defaultdict(dict)
    for period in done:
        trader = traders[period.agent]
        if len(period.fills) > 1:
            message = f"{trader.agent} had one unit and traded {len(period.fills)}"
            raise PromiseBroken(message)
        for fill in period.fills:
            sides[fill.trade_id][trader.side] = InducedTrade(fill.price, trader.limit, trader.limit)
    trades = []
    for trade_id in sorted(sides):
        buy, sell = sides[trade_id].get("buy"), sides[trade_id].get("sell")
        if buy is None or sell is None or buy.price != sell.price:
            message = f"the two sides of trade {trade_id} heard different things"
            raise PromiseBroken(message)
        trades.append(InducedTrade(buy.price, buy.value, sell.cost))
    return trades


async def _look_up(operator: Agent, periods: list[PeriodReport], board: Board, processes: int) -> Findings:
    """Ask the venue for the proof that nothing was created or lost."""
    status = await insist(operator, operator.status)
    rows = await insist(operator, operator.conservation)
    decimals = {asset.name: asset.decimals for asset in await insist(operator, operator.assets) or ()}
    return Findings(
        periods=tuple(periods),
        acks_us=board.acks_us,
        conservation=tuple(
            ConservationRow(
                row.asset,
                _whole(row.issued, decimals[row.asset]),
                _whole(sum(row.by_kind.values()), decimals[row.asset]),
            )
            for row in rows or ()
        ),
        journal_index=status.index if status else 0,
        processes=processes,
    )


def _whole(units: int, decimals: int) -> int | Decimal:
    return Decimal(units).scaleb(-decimals) if decimals else units


def _line(report: PeriodReport, plan: Plan, orders: int) -> str:
    """Tell a period in a line."""
    mean = "-" if report.mean_price is None else f"{report.mean_price:.2f}"
    alpha = "-" if report.alpha is None else f"{report.alpha:.2f} %"
    return (
        f"period {report.number} of {plan.periods}: {report.trades} trades, mean price {mean}, "
        f"efficiency {report.efficiency:.1f} %, alpha {alpha}, {orders:,} orders"
    )


async def _in_time(what: str, work: Coroutine[None, None, T]) -> T:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await work
    except TimeoutError:
        message = f"{what} within {_PATIENCE_S:g} s"
        raise DemoError(message) from None


async def _unless(failed: asyncio.Future[None], work: Coroutine[None, None, T]) -> T:
    """Do the work, unless something fails on which it depends."""
    task = asyncio.ensure_future(work)
    try:
        either: tuple[asyncio.Future[Any], ...] = (task, failed)
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await failed
        return await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

"""Keep prediction markets: family ``predictions``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from exchange.mechanisms.base import AgentRecord, CommandRule, Context, Mechanism
from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.facts import (
    AgentEnded,
    DisputeDecided,
    DisputeOpened,
    DisputeTerms,
    SettlementDelivered,
    SettlementFailed,
    SettlementFinal,
    SettlementOpened,
    SwitchLapsed,
    TaskFinal,
)
from exchange.mechanisms.predictions.invariants import broken_invariants
from exchange.mechanisms.predictions.market import Market
from exchange.mechanisms.predictions.opening import Opening, TaskDirectory
from exchange.mechanisms.predictions.ordering import Ordering
from exchange.mechanisms.predictions.queries import Queries
from exchange.mechanisms.predictions.resolving import Resolving
from exchange.mechanisms.predictions.trading import Trading
from exchange.mechanisms.tally import Figure, Tally, words
from exchange.messages.base import Command, Event, Outcome, Query, Result
from exchange.messages.predictions import (
    AcceptResolution,
    BuyShares,
    CancelShareOrder,
    ClaimOutcome,
    EndReason,
    MarketKind,
    MergeSets,
    MintSets,
    OpenPrediction,
    PlaceShareOrder,
    PredictionClosed,
    ResolvePrediction,
    SellShares,
    Side,
    StopReason,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exchange.mechanisms.tally import Row

__all__ = ["Predictions"]

_REMEMBERED: Final = 1_000
"""So many ended markets can still be asked for."""

_SIDES_OF_KINDS: Final = tuple([(*kind, *side) for kind in words(MarketKind) for side in words(Side)])

Violation = tuple[Reason, str]


class Predictions(Mechanism):
    """Keep every market from its opening until its money has moved."""

    family: ClassVar[str] = "predictions"
    summary: ClassVar[str] = "prediction markets: a maker with a bounded loss, or complete sets; forecasters are scored"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.live: dict[int, Market] = {}
        self.ended: dict[int, Market] = {}
        self.by_task: dict[int, int] = {}
        """The market of each task that has one that has not ended."""
        self.by_agent: dict[str, dict[int, None]] = {}
        """The markets that have not ended in which an agent ever traded."""
        self.orders_of: dict[str, dict[int, int]] = {}
        """The markets of an agent's open orders, by the number of the order, the oldest first."""
        self.opened_by: dict[str, int] = {}
        """How many markets that have not ended each owner has opened."""
        self.last_market = 0
        self.last_order = 0
        self.tasks: TaskDirectory | None = None
        self.tally = Tally(
            Figure("opened_total", "Prediction markets opened.", ("kind",), words(MarketKind)),
            Figure("ended_total", "Prediction markets that ended.", ("outcome",), words(EndReason)),
            Figure(
                "trades_total", "Trades, by the side of who made the price move.", ("kind", "side"), _SIDES_OF_KINDS
            ),
            Figure("traded_credits_total", "What was paid for shares, and received, in whole credits."),
            Figure("subsidy_credits_total", "Subsidies of markets that ended, in whole credits."),
            Figure("subsidy_lost_credits_total", "What traders got of those subsidies, in whole credits."),
            Figure("payout_credits_total", "What shares paid, in whole credits."),
            Figure("forecasters_total", "Forecasters who were scored, once for each market."),
            Figure("disputed_total", "Resolutions that were disputed."),
        )
        self.opening = Opening(self)
        self.trading = Trading(self)
        self.ordering = Ordering(self)
        self.resolving = Resolving(self)
        self._queries = Queries(self)
        context.cashier.on_debit(self)
        context.react(SettlementOpened, self.opening.begin)
        context.react(SettlementDelivered, self._note_delivered)
        context.react(SettlementFailed, self._note_failed)
        context.react(SettlementFinal, self._note_final)
        context.react(TaskFinal, self.resolving.note_task)
        context.react(DisputeOpened, self.resolving.freeze)
        context.react(DisputeDecided, self.resolving.decide)
        context.react(AgentEnded, self._wind_up)
        context.react(SwitchLapsed, self._withdraw)

    # ── what the engine asks ────────────────────────────────────────────────────────────────────

    def connect(self, mechanisms: Mapping[str, Mechanism]) -> None:
        """Find the tasks that markets may be about."""
        self.tasks = mechanisms.get("tasks")  # type: ignore[assignment]  # by its shape

    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family."""
        return {
            OpenPrediction: CommandRule(self.opening.open, "trader", opens=True),
            BuyShares: CommandRule(self.trading.buy, "trader", opens=True),
            SellShares: CommandRule(self.trading.sell, "trader", opens=True),
            MintSets: CommandRule(self.trading.mint, "trader", opens=True),
            MergeSets: CommandRule(self.trading.merge, None, opens=False),
            PlaceShareOrder: CommandRule(self.ordering.place, "trader", opens=True),
            CancelShareOrder: CommandRule(self.ordering.cancel, None, opens=False),
            ResolvePrediction: CommandRule(self.resolving.resolve, "attester", opens=False),
            ClaimOutcome: CommandRule(self.resolving.claim, None, opens=False),
            AcceptResolution: CommandRule(self.resolving.accept, None, opens=False),
        }

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return self._queries.readers()

    def deadlines(self) -> Mapping[str, Callable[..., None]]:
        """Return what each kind of deadline fires."""
        return {
            "predictions.close": self._close,
            "predictions.give_up": self.resolving.give_up,
            "predictions.finalize": self.resolving.finalize,
        }

    def dispute_terms(self, number: int, agent: AgentRecord) -> DisputeTerms | Violation:
        """Return what a dispute over a resolution would be about, if this agent may begin one now."""
        return self.resolving.dispute_terms(number, agent)

    def release_for(self, agent_id: str, amount: int) -> None:
        """Cancel a debtor's orders to buy, the newest first, until ``amount`` is available or none is left."""
        self.ordering.release_for(agent_id, amount)

    # ── what all parts need ─────────────────────────────────────────────────────────────────────

    def owner_of(self, agent_id: str) -> str:
        """Return the owner of a registered agent."""
        return self.context.agents[agent_id].owner

    def has_interest(self, owner: str, matter: str) -> bool:
        """Return whether an owner's agents ever traded in the market that a matter such as ``tasks:17`` resolves."""
        family, _, number = matter.partition(":")
        if family == self.family:
            market = self.live.get(int(number))
        else:
            market = self.live.get(self.market_about(int(number))) if family == "tasks" else None
        return market is not None and owner in market.owners

    # ── what contracts ask ──────────────────────────────────────────────────────────────────────

    def has_live_outcome(self, number: int, outcome: str) -> bool:
        """Return whether a market exists that has not ended, that has such an outcome, and of which all is known.

        Of one about a task it is not known whose the work will be until that is awarded.
        """
        market = self.live.get(number)
        return market is not None and outcome in market.outcomes and (market.task is None or market.settlement > 0)

    def is_insider(self, owner: str, number: int) -> bool:
        """Return whether an owner says what happens in a market, or does what it is about."""
        market = self.live.get(number)
        return market is not None and (owner in market.barred or owner == market.performer_owner)

    def market_about(self, task: int) -> int:
        """Return the market about a task that has not ended; 0 without one."""
        return self.by_task.get(task, 0)

    def matters_of(self, number: int) -> list[str]:
        """Return what is decided about a market when it is disputed, or what its resolution follows from."""
        market = self.live.get(number)
        if market is None:
            return []
        return [market.cause] if market.task is None else [market.cause, f"tasks:{market.task}"]

    # ── finding and telling ─────────────────────────────────────────────────────────────────────

    def find(self, command: Command, number: int) -> Market | Outcome:
        """Return a market that has not ended, or the rejection of a command that names another."""
        market = self.live.get(number)
        if market is not None:
            return market
        ended = self.ended.get(number)
        if ended is not None:
            return self.context.reject(command, Reason.WRONG_STATE, f"market {number} has ended: {ended.ended}")
        return self.context.reject(command, Reason.UNKNOWN_PREDICTION, f"no prediction market {number}")

    def tell(self, market: Market, make: Callable[[], Event]) -> None:
        """Send creator, resolver and traders an event each."""
        names = [market.creator, *market.traders]
        if market.resolver is not None:
            names.append(market.resolver)
        for name in dict.fromkeys(names):
            self.context.emit(self.context.agents[name], make())

    # ── the end of trading ──────────────────────────────────────────────────────────────────────

    def stop(self, market: Market, reason: StopReason) -> None:
        """Let nobody trade any more; orders are canceled."""
        if market.state == "open":
            market.accrue(self.context.time_us)
        market.state = "closed"
        self.context.deadlines.cancel(market.closes_id)
        market.closes_id = 0
        self.ordering.cancel_all(market)
        self.tell(market, lambda: PredictionClosed(market=market.number, reason=reason))

    def _close(self, number: int) -> None:
        market = self.live[number]
        market.closes_id = 0
        self.stop(market, "closes_at")

    def _of_award(self, origin: str, settlement: int) -> Market | None:
        """Return the market about the award that a settlement is of."""
        family, _, task = origin.partition(":")
        if family != "tasks":
            return None
        market = self.live.get(self.by_task.get(int(task), 0))
        return market if market is not None and market.settlement == settlement else None

    def _note_delivered(self, fact: SettlementDelivered) -> None:
        market = self._of_award(fact.origin, fact.settlement)
        if market is not None and market.state == "open":
            self.stop(market, "delivered")

    def _note_failed(self, fact: SettlementFailed) -> None:
        market = self._of_award(fact.origin, fact.settlement)
        if market is not None and market.state == "open":
            self.stop(market, "failed")

    def _note_final(self, fact: SettlementFinal) -> None:
        market = self._of_award(fact.origin, fact.settlement)
        if market is not None:
            self.resolving.settle_award(market, is_completed=fact.outcome == "completed")

    def finish(self, market: Market) -> None:
        """Take a market whose money has moved out of every index but that of ended ones."""
        deadlines = self.context.deadlines
        deadlines.cancel(market.closes_id)
        deadlines.cancel(market.deadline_id)
        market.closes_id = market.deadline_id = 0
        del self.live[market.number]
        if market.task is not None:
            del self.by_task[market.task]
        for name in market.traders:
            numbers = self.by_agent[name]
            del numbers[market.number]
            if not numbers:
                del self.by_agent[name]
        owner = self.owner_of(market.creator)
        self.opened_by[owner] -= 1
        if not self.opened_by[owner]:
            del self.opened_by[owner]
        market.traders, market.owners, market.terms = {}, {}, {}
        market.objectors, market.accepted, market.claims = {}, {}, {}
        self.ended[market.number] = market
        if len(self.ended) > _REMEMBERED:
            del self.ended[next(iter(self.ended))]

    # ── agents that go ──────────────────────────────────────────────────────────────────────────

    def _wind_up(self, fact: AgentEnded) -> None:
        """Cancel what a revoked agent has in books; its shares stay, and pay whoever takes what is due to it."""
        self.ordering.cancel_of(fact.agent, "revoked")

    def _withdraw(self, fact: SwitchLapsed) -> None:
        self.ordering.cancel_of(fact.agent, "dead_man")

    # ── proving ─────────────────────────────────────────────────────────────────────────────────

    def metrics(self) -> Iterable[Row]:
        """Return what operators may want to watch."""
        states = {"pending": 0, "open": 0, "closed": 0, "reported": 0, "disputed": 0}
        for market in list(self.live.values()):
            states[market.state] = states.get(market.state, 0) + 1
        text = "Prediction markets that have not ended."
        rows: list[Row] = [("live", text, {"state": state}, count) for state, count in states.items()]
        return [*rows, *self.tally.rows()]

    def invariants(self) -> Sequence[str]:
        """Return the broken invariants of markets, their escrows and their orders."""
        return broken_invariants(self)

    def escrows(self) -> Iterable[str]:
        """Return the escrows of all markets that have not ended."""
        return [escrow_of(market.cause) for market in self.live.values()]

    def index(self, market: Market) -> None:
        """Find a market from now on by what it is about and who opened it."""
        self.live[market.number] = market
        if market.task is not None:
            self.by_task[market.task] = market.number
        owner = self.owner_of(market.creator)
        self.opened_by[owner] = self.opened_by.get(owner, 0) + 1

    def dump(self) -> object:
        """Return the state as plain data."""
        return [
            self.last_market,
            self.last_order,
            [market.dump() for market in self.live.values()],
            [market.dump() for market in self.ended.values()],
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave; the indexes follow from it."""
        self.last_market, self.last_order, live, ended = state
        orders: list[tuple[int, str, int]] = []
        for fields in live:
            market = Market.load(fields)
            self.index(market)
            for name in market.traders:
                self.by_agent.setdefault(name, {})[market.number] = None
                market.owners[self.owner_of(name)] = None
            orders.extend([(order.number, order.agent, market.number) for order in market.book.orders.values()])
        for number, agent_id, market_number in sorted(orders):
            self.orders_of.setdefault(agent_id, {})[number] = market_number
        for fields in ended:
            market = Market.load(fields)
            self.ended[market.number] = market

"""Offer everything an agent can do on the venue."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Unpack

from agent_sdk.admin import Admin
from agent_sdk.assurance import Assurance
from agent_sdk.batch import Batch
from agent_sdk.contracts import Contracts
from agent_sdk.debts import Debts
from agent_sdk.disputes import Disputes
from agent_sdk.errors import ExchangeError, NotFound, UnknownOrder, rejected
from agent_sdk.events import Events, fetch_account
from agent_sdk.externalities import Externalities
from agent_sdk.governance import Governance
from agent_sdk.help import Help
from agent_sdk.leases import Leases
from agent_sdk.market_data import BboFeed, BookFeed, TradesFeed
from agent_sdk.markets import Catalog, credits_from, maybe_credits
from agent_sdk.models import AccountSnapshot, AgentInfo, Book, NewOrder, SettledOutcome, SpendLimitInfo
from agent_sdk.ordering import amend_draft, cancel_draft, order_of, place_draft, placed_order
from agent_sdk.packages import Packages
from agent_sdk.payments import Payments
from agent_sdk.predictions import Predictions
from agent_sdk.property import Property
from agent_sdk.session import DEFAULT_TIMEOUT_S, Draft
from agent_sdk.settlements import Settlements
from agent_sdk.tasks import Tasks
from exchange.messages.admin import (
    AgentsResult,
    BalancesResult,
    ConservationResult,
    GetBalances,
    GetConservation,
    GetSpendLimits,
    ListAgents,
    SpendLimitsResult,
)
from exchange.messages.base import Outcome
from exchange.messages.orders import (
    BookResult,
    CancelAllAfter,
    GetBook,
    GetOrder,
    ListOrders,
    ListTrades,
    MassCancel,
    MassCancelOutcome,
    OrderOutcome,
    OrdersResult,
    TradesResult,
)
from exchange.messages.reasons import Reason
from exchange.messages.venue import GetStatus, StatusResult

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from agent_sdk.event_models import AnyEvent
    from agent_sdk.markets import Terms
    from agent_sdk.models import Asset, Balance, Bbo, Market, Order, OrderTerms, Side, TimedOrderTerms, Trade
    from agent_sdk.money import Number
    from agent_sdk.requests import AnyOutcome
    from agent_sdk.session import Connection
    from exchange.messages.admin import ConservationRow
    from exchange.messages.base import Command

__all__ = ["Agent"]


class Agent:
    """Act on the venue as one agent; `connect` makes it.

    Amounts are taken as ``Decimal``, ``int`` or ``str`` and returned as ``Decimal``, in whole units:
    prices and values in credits, quantities in units of the market's base asset. Floats are refused.

    Commands are executed exactly once or not at all. ``timeout`` is in seconds of venue time, at most
    60. Every command may raise:

    - ``Rejected`` (a rule said no) and ``Refused`` (turned away): nothing was done.
    - ``NotSent``: it certainly never left.
    - ``OutcomeUnknown``: no answer in time; `outcome` settles it.
    - ``PermissionDenied``, ``ConnectionFailed``.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._catalog = Catalog(connection)
        connection.listeners.append(self._catalog)
        self._events = Events(connection, self._catalog)
        self.admin = Admin(connection, self._catalog)
        """The commands of an operator."""
        self.tasks = Tasks(connection, self._catalog)
        """Task auctions: post, bid, standing bids."""
        self.settlements = Settlements(connection, self._catalog)
        """What is to be delivered, confirmed and paid."""
        self.leases = Leases(connection, self._catalog)
        """Leases of capacity: acquire, release, renew, turns."""
        self.help = Help(connection, self._catalog)
        """Help, ratings and reputation."""
        self.contracts = Contracts(connection, self._catalog)
        """Conditional contracts: propose, sign, attest."""
        self.packages = Packages(connection, self._catalog)
        """Package auctions: open, bid, sign."""
        self.debts = Debts(connection, self._catalog)
        """Technical debt: issue, sell, take over, repay, confirm."""
        self.property = Property(connection, self._catalog)
        """Modules: own, sell, auction, let and claim them, state values, and who may write."""
        self.externalities = Externalities(connection, self._catalog)
        """What agents do to others: declare changes, attest, accept what it costs."""
        self.assurance = Assurance(connection, self._catalog)
        """Public goods: propose, pledge, confirm."""
        self.governance = Governance(connection, self._catalog)
        """What owners decide: parameters, proposals, votes, the public fund."""
        self.predictions = Predictions(connection, self._catalog)
        """Prediction markets: open, trade shares, resolve."""
        self.disputes = Disputes(connection, self._catalog)
        """Disputes: open, rule, and the stake of an arbitrator."""
        self.payments = Payments(connection, self._catalog)
        """Holds and liens, and why each exists."""

    async def _open(self) -> None:
        hello = self._connection.hello
        if hello is not None:
            self._catalog.learn(hello.assets)
        await self._events.open()

    @property
    def id(self) -> str:
        """The id of the agent."""
        return self._connection.agent

    @property
    def owner(self) -> str:
        """The owner of the agent, as the venue told at the last greeting."""
        return self._connection.hello.owner if self._connection.hello else ""

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles of the agent, as the venue told at the last greeting."""
        return tuple(self._connection.hello.roles) if self._connection.hello else ()

    @property
    def venue_time_us(self) -> int:
        """The present venue time in microseconds, as far as it is known here."""
        return self._connection.clock.now_us()

    # ── orders ──────────────────────────────────────────────────────────────────────────────────

    async def place(
        self,
        market: str,
        side: Side,
        quantity: Number | None = None,
        price: Number | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT_S,  # noqa: ASYNC109 - of venue time
        **terms: Unpack[OrderTerms],
    ) -> Order:
        """Place an order and return it as it stands after its first matching.

        ``terms`` are those of `NewOrder`: ``order_type`` (limit, market, budget, stop, stop_limit,
        iceberg), ``time_in_force`` (gtc, gtd, ioc, fok), ``expires_in`` (seconds) or ``expires_at_us``,
        ``post_only``, ``self_trade_prevention``, ``trigger_price``, ``display_quantity``, ``budget``
        (credits, instead of ``quantity``), ``client_order_id``.

        Raises:
            Rejected: Say ``InsufficientCredits``, ``MarketHalted``, ``PostOnlyWouldTrade``.
            TypeError: An amount is a float.
            ValueError: An amount does not fit the market; nothing was sent.

        """
        order = NewOrder(market=market, side=side, quantity=quantity, price=price, **terms)
        market_terms = await self._catalog.terms(market)
        draft = place_draft(market_terms, order, self._connection.clock.now_us())
        outcome = await self._connection.execute(draft, timeout)
        return placed_order(outcome, market_terms, self._catalog, draft)

    async def buy(
        self,
        market: str,
        quantity: Number | None = None,
        price: Number | None = None,
        **terms: Unpack[TimedOrderTerms],
    ) -> Order:
        """Place a buy order; see `place`."""
        return await self.place(market, "buy", quantity, price, **terms)

    async def sell(
        self,
        market: str,
        quantity: Number | None = None,
        price: Number | None = None,
        **terms: Unpack[TimedOrderTerms],
    ) -> Order:
        """Place a sell order; see `place`."""
        return await self.place(market, "sell", quantity, price, **terms)

    async def amend(
        self,
        order_id: int,
        *,
        quantity: Number | None = None,
        price: Number | None = None,
        trigger_price: Number | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,  # noqa: ASYNC109 - of venue time
    ) -> Order:
        """Change a live order in one step. ``quantity`` is the new total, what is filled included.

        Raises:
            UnknownOrder: It is not live.
            TypeError: An amount is a float.
            ValueError: An amount does not fit the market; nothing was sent.

        """
        terms = await self._terms_of_order(order_id=order_id)
        draft = amend_draft(terms, order_id, quantity, price, trigger_price)
        return order_of(await self._connection.execute(draft, timeout), terms, self._catalog)

    async def cancel(
        self,
        order_id: int | None = None,
        *,
        client_order_id: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,  # noqa: ASYNC109 - of venue time
    ) -> Order:
        """Cancel a live order, named by one of its two ids, and return how it ended.

        Raises:
            UnknownOrder: It is not live.
            ValueError: Both ids are given, or none.

        """
        draft = cancel_draft(order_id, client_order_id)
        terms = await self._terms_of_order(order_id=order_id, client_order_id=client_order_id)
        return order_of(await self._connection.execute(draft, timeout), terms, self._catalog)

    async def cancel_all(self, market: str | None = None, side: Side | None = None, owner: str | None = None) -> int:
        """Cancel all live orders (of a market, of a side, of the whole ``owner``) and return how many."""
        scope = {"market": market, "side": side, "owner": owner}
        fields = {name: value for name, value in scope.items() if value is not None}
        canceled = 0
        while True:
            outcome = await self._connection.execute(Draft(MassCancel, fields), DEFAULT_TIMEOUT_S)
            if not isinstance(outcome, MassCancelOutcome):
                return canceled
            canceled += outcome.canceled
            if not outcome.left or not outcome.canceled:
                return canceled

    async def cancel_all_after(self, seconds: int) -> None:
        """Arm the dead man's switch: everything is canceled unless renewed in ``seconds``; 0 disarms it."""
        await self._connection.execute(Draft(CancelAllAfter, {"seconds": seconds}), DEFAULT_TIMEOUT_S)

    @contextlib.asynccontextmanager
    async def keep_alive(self, seconds: int) -> AsyncIterator[None]:
        """Keep the dead man's switch armed, renewing it three times per ``seconds``; disarm it at the end.

        When the block ends by an exception, or this process dies, the switch stays armed and the
        venue cancels everything.
        """
        await self.cancel_all_after(seconds)

        async def renew() -> None:
            while not self._connection.is_closed:
                await asyncio.sleep(seconds / 3)
                with contextlib.suppress(ExchangeError):  # the next one may succeed; if none does, it fires
                    draft = Draft(CancelAllAfter, {"seconds": seconds})
                    await self._connection.execute(draft, min(max(seconds / 3, 0.5), 60.0))

        renewing = asyncio.create_task(renew(), name="agent-sdk-keep-alive")
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
        await self.cancel_all_after(0)

    def batch(self) -> Batch:
        """Return an empty batch: collect commands in it and ``await batch.send()``."""
        return Batch(self._connection, self._catalog, self._terms_of_order)

    async def place_many(
        self,
        orders: Iterable[NewOrder],
        *,
        timeout: float = DEFAULT_TIMEOUT_S,  # noqa: ASYNC109 - of venue time
    ) -> list[Order | ExchangeError]:
        """Place independent orders, 1,000 a message, and return an order or an error for each, in order."""
        batch = self.batch()
        for order in orders:
            batch.add(order)
        return await batch.send(timeout=timeout)

    async def submit(
        self,
        kind: type[Command],
        /,
        *,
        outcome: type[Outcome] | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,  # noqa: ASYNC109 - of venue time
        **fields: Any,
    ) -> AnyOutcome:
        """Send any command of the wire vocabulary, amounts in smallest units, and return its outcome.

        ``outcome`` is the type to read the outcome as.

        Raises:
            ValueError: A field is unknown, missing, of the wrong type or out of range; nothing was sent.

        """
        return await self._connection.execute(Draft(kind, fields, outcome), timeout)

    async def _terms_of_order(self, *, order_id: int | None = None, client_order_id: str | None = None) -> Terms:
        """Return the terms of the market of an own order, asking the venue if need be."""
        market = None if order_id is None else self._catalog.market_of(order_id)
        if market is None:
            market = (await self.order(order_id, client_order_id=client_order_id)).market
        return await self._catalog.terms(market)

    # ── what is settled, what is owned ──────────────────────────────────────────────────────────

    async def outcome(self, id: str, valid_until_us: int | None = None) -> SettledOutcome:
        """Settle a command whose reply was not received: say what became of it, once that is certain.

        ``valid_until_us`` is known for what raised ``OutcomeUnknown`` here; for an id of another
        process it defaults to a minute from now, and the answer may take as long.

        Raises:
            OutcomeForgotten: If it was handled, its outcome is no longer held.
            RequestTimeout: The venue did not answer; ask again.

        """
        outcome = await self._connection.outcome(id, valid_until_us)
        if outcome is None:
            return SettledOutcome(id=id, state="never_executed")
        order = None
        if isinstance(outcome, OrderOutcome) and outcome.order is not None:
            with contextlib.suppress(UnknownOrder):
                terms = await self._terms_of_order(order_id=outcome.order.order_id)
                order = order_of(outcome, terms, self._catalog)
        return SettledOutcome(
            id=id,
            state="accepted" if outcome.status == "accepted" else "rejected",
            reason=outcome.reason,
            detail=outcome.detail,
            order=order,
            outcome=outcome if isinstance(outcome, Outcome) else None,
        )

    async def balances(self, agent: str | None = None) -> dict[str, Balance]:
        """Return the balances by asset: own, or of another agent of the same owner."""
        result = await self._connection.query(GetBalances(agent=agent), BalancesResult)
        return {view.asset: await self._catalog.balance(view) for view in result.balances}

    async def account(self) -> AccountSnapshot:
        """Return balances and live orders as of one event."""
        return await fetch_account(self._connection, self._catalog)

    async def open_orders(self, market: str | None = None) -> list[Order]:
        """Return the agent's live orders by ascending id."""
        orders: list[Order] = []
        after = 0
        while True:
            page = await self._connection.query(ListOrders(market=market, after=after), OrdersResult)
            orders += [await self._catalog.order(view) for view in page.orders]
            if page.next is None or not page.orders:
                return orders
            after = page.next

    async def order(self, order_id: int | None = None, *, client_order_id: str | None = None) -> Order:
        """Return one live order.

        Raises:
            UnknownOrder: It is not live.

        """
        query = GetOrder(order_id=order_id, client_order_id=client_order_id)
        try:
            found = (await self._connection.query(query, OrdersResult)).orders
        except NotFound:
            found = []
        if not found:
            raise rejected(Reason.UNKNOWN_ORDER, f"order {order_id or client_order_id!r} is not live")
        return await self._catalog.order(found[0])

    async def spend_limits(self) -> list[SpendLimitInfo]:
        """Return the spend limits that bind the agent, in credits."""
        result = await self._connection.query(GetSpendLimits(), SpendLimitsResult)
        return [
            SpendLimitInfo(
                scope=limit.scope,
                subject=limit.subject,
                total=maybe_credits(limit.total),
                total_used=credits_from(limit.total_used),
                per_period=maybe_credits(limit.per_period),
                period_used=credits_from(limit.period_used),
                period_seconds=limit.period_seconds,
            )
            for limit in result.limits
        ]

    # ── what everybody can see ──────────────────────────────────────────────────────────────────

    async def markets(self) -> list[Market]:
        """Return all markets in order of their creation."""
        return [self._catalog.market(view) for view in await self._catalog.views()]

    async def market(self, name: str) -> Market:
        """Return one market.

        Raises:
            UnknownMarket: There is none of this name.

        """
        return self._catalog.market(await self._catalog.view(name))

    async def book(self, market: str, depth: int = 20) -> Book:
        """Return the best ``depth`` (1 to 1,000) price levels of each side."""
        terms = await self._catalog.terms(market)
        result = await self._connection.query(GetBook(market=market, depth=depth), BookResult)
        return Book(
            market=market,
            index=result.index,
            venue_time_us=result.venue_time_us,
            bids=tuple([terms.level(level) for level in result.bids]),
            asks=tuple([terms.level(level) for level in result.asks]),
        )

    async def recent_trades(self, market: str, limit: int = 100) -> list[Trade]:
        """Return the ``limit`` (1 to 1,000) most recent trades, the newest last."""
        terms = await self._catalog.terms(market)
        result = await self._connection.query(ListTrades(market=market, limit=limit), TradesResult)
        return [terms.trade(trade) for trade in result.trades]

    async def assets(self) -> list[Asset]:
        """Return all registered assets."""
        return await self._catalog.assets()

    async def agents(self) -> list[AgentInfo]:
        """Return the registered agents: all to operators, to others those of their owner."""
        agents: list[AgentInfo] = []
        after = ""
        while True:
            page = await self._connection.query(ListAgents(after=after), AgentsResult)
            agents += [
                AgentInfo(view.agent, view.owner, tuple(view.roles), view.state, tuple(view.skills))
                for view in page.agents
            ]
            if page.next is None or not page.agents:
                return agents
            after = page.next

    async def status(self) -> StatusResult:
        """Return how the venue is doing."""
        return await self._connection.query(GetStatus(), StatusResult)

    async def conservation(self) -> list[ConservationRow]:
        """Return the proof that nothing was created or lost, per asset, in smallest units."""
        return (await self._connection.query(GetConservation(), ConservationResult)).rows

    # ── what happens ────────────────────────────────────────────────────────────────────────────

    def events(self, since: int | None = None) -> AsyncIterator[AnyEvent]:
        """Iterate over the agent's own events after ``since``, each exactly once and in order.

        Without ``since``: everything since this connection was opened. Where events are no longer
        held, a `Gap` with the whole account takes their place. Ends when the connection is closed.
        """
        return aiter(self._events.feed(since))

    def bbo(self, market: str) -> AsyncIterator[Bbo]:
        """Iterate over the best bid and ask: the present ones, then the latest after each change."""
        return aiter(BboFeed(self._connection, self._catalog, market))

    def books(self, market: str, depth: int = 20) -> AsyncIterator[Book]:
        """Iterate over the best ``depth`` levels: the present ones, then the latest after each change."""
        return aiter(BookFeed(self._connection, self._catalog, market, depth))

    def trades(self, market: str, after: int | None = None) -> AsyncIterator[Trade]:
        """Iterate over the trades of a market: those after the trade with id ``after``, by default from now on.

        Now is when the venue answers. To miss none, give the newest id of `recent_trades`, or 0 where there are none.
        """
        return aiter(TradesFeed(self._connection, self._catalog, market, after))

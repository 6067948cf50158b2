"""Answer queries: those about the venue itself here, the others by the mechanism they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import structlog

from exchange.build_info import VERSION
from exchange.engine.sessions import FORGET_AFTER_US
from exchange.mechanisms.base import NotFound
from exchange.mechanisms.orders import Orders
from exchange.messages import tag_of
from exchange.messages.admin import AssetsResult, BalancesResult, GetBalances, ListAssets
from exchange.messages.base import MAX_ARRAY_COMMANDS, MAX_VALIDITY_US, PROTOCOL, Refusal, Result
from exchange.messages.orders import ListOrders, ListTrades, OrdersResult, TradesResult
from exchange.messages.reasons import Reason, RefusalReason
from exchange.messages.venue import (
    AccountResult,
    EventsResult,
    GetAccount,
    GetEvents,
    GetOutcome,
    GetStatus,
    Hello,
    HelloResult,
    OutcomeResult,
    StatusResult,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exchange.adapters.gateway import PendingQuery
    from exchange.daemon.host import Host
    from exchange.mechanisms.orders.market import Market
    from exchange.messages.base import Query

__all__ = ["Answers"]

_EVENTS_BYTES_MAX: Final = 256 * 1024
_SUMS_S: Final = 0.5
log = structlog.get_logger(__name__)

_encode = msgspec.json.Encoder().encode


class _Sums(NamedTuple):
    at_s: float
    markets: int
    open_orders: int
    trades: int


class Answers:
    """Answer queries from a host's engine and views."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.metrics_url: str | None = None
        self._summed: _Sums | None = None
        self._broken: dict[str, None] = {}
        self.uptime_s: Callable[[], float] = lambda: 0.0
        self._readers: dict[type, Callable[[str, Any], Result]] = {
            Hello: self._hello,
            GetEvents: self._events,
            GetOutcome: self._outcome,
            GetAccount: self._account,
            GetStatus: self._status,
            ListTrades: self._trades,
        }

    def markets(self) -> Iterable[Market]:
        """Return the markets, in order of creation."""
        return self._orders.markets.values()

    @property
    def _orders(self) -> Orders:
        orders = self._host.engine.mechanisms["orders"]
        assert isinstance(orders, Orders)  # noqa: S101 - the registry says so
        return orders

    def answer(self, pending: PendingQuery) -> bytes:
        """Return the encoded answer to a query; what cannot be found or answered is refused, never raised.

        A query changes nothing, so one that breaks its reader is no reason to stop the venue: whoever asks it
        again and again would stop it again and again.
        """
        try:
            return _encode(self._read(pending.agent, pending.query))
        except NotFound as error:
            return _encode(Refusal(RefusalReason.NOT_FOUND, str(error), self._host.engine.time_us))
        except MemoryError:
            raise
        except Exception:
            kind = tag_of(type(pending.query))
            if kind not in self._broken:
                # Once: it may be asked often.
                self._broken[kind] = None
                log.exception("a query cannot be answered", query=kind, agent=pending.agent)
            detail = f"{kind} cannot be answered: a bug of the venue, which its operator finds in the log"
            return _encode(Refusal(RefusalReason.UNANSWERABLE, detail, self._host.engine.time_us))

    def _read(self, agent: str, query: Query) -> Result:
        engine = self._host.engine
        reader = self._readers.get(type(query))
        if reader is None:
            return engine.query(agent, query)
        result = reader(agent, query)
        result.index = engine.index
        result.venue_time_us = engine.time_us
        return result

    def _hello(self, agent: str, query: Hello) -> HelloResult:
        del query
        engine = self._host.engine
        record = engine.agents[agent]
        assets = engine.query(agent, ListAssets())
        assert isinstance(assets, AssetsResult)  # noqa: S101
        return HelloResult(
            protocol=PROTOCOL,
            venue_version=VERSION,
            incarnation=self._host.incarnation,
            epoch=engine.epoch,
            agent=agent,
            owner=record.owner,
            roles=list(record.roles),
            event_seq=record.seq,
            max_validity_us=MAX_VALIDITY_US,
            max_array_commands=MAX_ARRAY_COMMANDS,
            assets=assets.assets,
        )

    def _events(self, agent: str, query: GetEvents) -> EventsResult:
        limit = min(max(query.limit, 1), 2_000)
        first, events, lost = self._host.events.since(agent, max(query.since, 0), limit, _EVENTS_BYTES_MAX)
        return EventsResult(
            epoch=self._host.engine.epoch,
            first=first,
            last=self._host.engine.agents[agent].seq,
            lost=lost,
            events=msgspec.Raw(events),
        )

    def _outcome(self, agent: str, query: GetOutcome) -> OutcomeResult:
        engine = self._host.engine
        found = engine.find_outcome(agent, query.id)
        if isinstance(found, bytes):
            return OutcomeResult(state="found", outcome=msgspec.Raw(found))
        if found is Reason.OUTCOME_FORGOTTEN:
            return OutcomeResult(state="forgotten")
        if engine.time_us >= query.valid_until_us + FORGET_AFTER_US:
            # Its session may have been forgotten with it, so that nothing is found proves nothing any more.
            return OutcomeResult(state="forgotten")
        # Every later batch has a later time, so from here on the command can only expire.
        is_past = engine.time_us > query.valid_until_us
        return OutcomeResult(state="never_executed" if is_past else "pending")

    def _account(self, agent: str, query: GetAccount) -> AccountResult:
        engine = self._host.engine
        balances = engine.query(agent, GetBalances())
        orders = engine.query(agent, ListOrders(after=query.after))
        assert isinstance(balances, BalancesResult)  # noqa: S101
        assert isinstance(orders, OrdersResult)  # noqa: S101
        return AccountResult(
            agent=agent,
            event_seq=engine.agents[agent].seq,
            balances=balances.balances,
            orders=orders.orders,
            next=orders.next,
        )

    def _status(self, agent: str, query: GetStatus) -> StatusResult:
        del agent, query
        engine = self._host.engine
        markets = self._sums()
        return StatusResult(
            venue_version=VERSION,
            incarnation=self._host.incarnation,
            epoch=engine.epoch,
            state=engine.context.venue_state,
            agents=len(engine.agents),
            markets=markets.markets,
            open_orders=markets.open_orders,
            trades=markets.trades,
            commands=engine.commands_applied,
            conservation_difference=engine.conservation_difference(),
            uptime_seconds=int(self.uptime_s()),
            metrics_url=self.metrics_url,
            suspended=list(engine.context.suspended),
        )

    def _sums(self) -> _Sums:
        """Sum over the markets, at most twice a second: asking often must not cost the venue more."""
        now_s = self.uptime_s()
        if self._summed is None or now_s - self._summed.at_s > _SUMS_S:
            markets = list(self.markets())
            self._summed = _Sums(
                now_s,
                len(markets),
                sum(market.open_orders for market in markets),
                sum(market.trades for market in markets),
            )
        return self._summed

    def _trades(self, agent: str, query: ListTrades) -> TradesResult:
        del agent
        if query.market not in self._orders.markets:
            message = f"no market {query.market}"
            raise NotFound(message)
        return TradesResult(market=query.market, trades=self._host.trades.latest(query.market, query.limit))

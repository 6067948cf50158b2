"""Run the continuous double auction: family ``orders``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from msgspec.structs import astuple

from exchange.ledger import Leg
from exchange.mechanisms.base import AgentRecord, CommandRule, Context, Mechanism
from exchange.mechanisms.facts import AgentAdmitted, AgentEnded, MarketStateOrdered, VenueReopened
from exchange.mechanisms.orders.amending import Amending
from exchange.mechanisms.orders.book import fast_book
from exchange.mechanisms.orders.canceling import Canceling
from exchange.mechanisms.orders.guards import Violation, check_order
from exchange.mechanisms.orders.leasing import Leasing
from exchange.mechanisms.orders.listing import Listing
from exchange.mechanisms.orders.matching import Matcher, crosses, fillable
from exchange.mechanisms.orders.order import Order, Trader
from exchange.mechanisms.orders.phases import Phases
from exchange.mechanisms.orders.queries import Queries
from exchange.messages.base import Command, Outcome
from exchange.messages.orders import (
    AmendOrder,
    CancelAllAfter,
    CancelOrder,
    CreateMarket,
    MassCancel,
    OrderExpired,
    OrderOutcome,
    OrderPlaced,
    OrderResult,
    OrderTriggered,
    PlaceOrder,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exchange.ledger import Balance
    from exchange.mechanisms.orders.market import Market
    from exchange.messages.base import Query, Result
    from exchange.messages.orders import (
        ExpireReason,
        OrderStatus,
        OrderType,
        SelfTradePrevention,
        Side,
        TimeInForce,
    )

    # The fields of ``PlaceOrder``, in order.
    _PlaceOrderFields = tuple[
        str, int, str, Side, int | None, int | None, OrderType, TimeInForce, int | None, bool, SelfTradePrevention,
        int | None, int | None, int | None, str | None,
    ]  # fmt: skip

__all__ = ["Orders"]

# What runs per order. As constants these are at hand; as names they would be looked up at each use.
_astuple: Final = astuple
_order_placed: Final = OrderPlaced
_order_outcome: Final = OrderOutcome
_order_result: Final = OrderResult


class Orders(Mechanism):
    """Keep the markets, their books, and everybody's live orders."""

    family: ClassVar[str] = "orders"
    summary: ClassVar[str] = "continuous double auction with call auctions, stops, icebergs and price bands"
    new_book: ClassVar = staticmethod(fast_book)
    """Makes what keeps the resting orders; the tests put a naive one in its place."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.markets: dict[str, Market] = {}
        self.traders: dict[str, Trader] = {}
        self.fleets: dict[str, list[Trader]] = {}
        self._last_order_id = 0
        self._matcher: Matcher | None = None
        self.phases = Phases(self)
        self.leasing = Leasing(self)
        self._listing = Listing(self)
        self._amending = Amending(self)
        self._canceling = Canceling(self)
        self._queries = Queries(self)
        context.react(AgentAdmitted, self._admit)
        context.react(AgentEnded, self._canceling.wind_up)
        context.react(MarketStateOrdered, self.phases.order_state)
        context.react(VenueReopened, self._canceling.rearm_switches)
        context.cashier.on_debit(self._canceling)

    # ── what the engine asks ────────────────────────────────────────────────────────────────────

    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family."""
        return {
            PlaceOrder: CommandRule(self.place_order, "trader", opens=True),
            AmendOrder: CommandRule(self._amending.amend_order, "trader", opens=True),
            CancelOrder: CommandRule(self._canceling.cancel_order, None, opens=False),
            MassCancel: CommandRule(self._canceling.mass_cancel, None, opens=False),
            CancelAllAfter: CommandRule(self._canceling.cancel_all_after, None, opens=False),
            CreateMarket: CommandRule(self._listing.create_market, "operator", opens=False),
        }

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return self._queries.readers()

    def deadlines(self) -> Mapping[str, Callable[..., None]]:
        """Return what each kind of deadline fires."""
        return {
            "orders.expire_order": self._canceling.expire_order,
            "orders.cancel_all": self._canceling.switch_lapsed,
            "orders.end_auction": self.phases.end_auction,
            "orders.run_triggered": self._run_triggered_market,
        }

    def on_epoch(self, outage_us: int) -> None:
        """Start every dead man's switch anew: agents could not renew it while nobody led."""
        del outage_us
        self._canceling.rearm_switches()

    def on_resume(self) -> None:
        """Start every dead man's switch anew: agents perhaps could not renew it."""
        self._canceling.rearm_switches()

    def connect(self, mechanisms: Mapping[str, Mechanism]) -> None:
        """Find out which settlements the venue knows."""
        self._listing.settlers = tuple(mechanisms)

    @property
    def matcher(self) -> Matcher:
        """Return what executes takers; it exists once the ledger has its accounts."""
        if self._matcher is None:
            fees = self.context.ledger.balance("fees", "credit")
            self._matcher = Matcher(self.context, fees, self.forget)
        return self._matcher

    # ── traders ─────────────────────────────────────────────────────────────────────────────────

    def _admit(self, fact: AgentAdmitted) -> None:
        credit = self.context.ledger.balance(fact.agent, "credit")
        trader = self.traders[fact.agent] = Trader(self.context.agents[fact.agent], credit)
        self.fleets.setdefault(trader.owner, []).append(trader)

    def open_base(self, trader: Trader, market: Market) -> Balance:
        """Find a trader's balance in the base asset of a market, the first time it orders there."""
        balance = self.context.ledger.balance(trader.agent.agent_id, market.base.name)
        trader.base[market.market_id] = balance
        return balance

    def next_order_id(self) -> int:
        """Return a new id for an order."""
        self._last_order_id += 1
        return self._last_order_id

    # ── place ───────────────────────────────────────────────────────────────────────────────────

    def place_order(self, agent: AgentRecord, command: PlaceOrder) -> Outcome:
        """Accept an order, let it trade, and let the rest of it stay, wait or expire.

        This is the way of every order: what only some of them have or need is dealt with elsewhere.
        """
        context = self.context
        # All at once, because each of them would be looked up by its name, even where this is compiled.
        fields: _PlaceOrderFields = _astuple(command)
        (
            command_id, _, market_id, side, size, limit, order_type, time_in_force, expires_at_us, post_only,
            self_trade, trigger_price, display, budget, client_order_id,
        ) = fields  # fmt: skip
        market = self.markets.get(market_id)
        if market is None:
            return context.reject(command, Reason.UNKNOWN_MARKET, f"no market {market_id}")
        is_plain = (
            order_type == "limit" and time_in_force == "gtc" and trigger_price is None
            and budget is None and display is None and expires_at_us is None
        )  # fmt: skip
        if is_plain and limit is not None and size is not None and market.takes(limit, size):
            quantity, price, rests = size, limit, True
        else:
            ticket = check_order(market, command, context.time_us)
            if isinstance(ticket, Violation):
                return context.reject(command, ticket.reason, ticket.detail)
            quantity, price, rests = ticket
        trader = self.traders[agent.agent_id]
        is_buy = side == "buy"
        base = trader.base.get(market_id) or self.open_base(trader, market)
        balance = trader.credit if is_buy else base
        hold = (budget or market.worst_cost(price, quantity)) if is_buy else quantity
        best = (market.asks if is_buy else market.bids).best_price
        crosses = best is not None and (price >= best if is_buy else price <= best)
        # Most orders pass the rarer guards by these few comparisons.
        if (
            market.phase != "open" or post_only or client_order_id is not None or market.pledges is not None
            or hold > balance.available or balance.meters is not None
            or len(trader.orders) >= context.settings.max_open_orders
        ):  # fmt: skip
            problem = (
                self._check_pledging(market, trader, command, price, quantity)
                or self._check_placing(market, trader, command, needs_trade=not rests, crosses=crosses)
                or self.check_funds(balance, hold, is_buy=is_buy)
            )
            if problem is not None:
                return context.reject(command, problem.reason, problem.detail)
        rests_at_once = rests and not crosses and trigger_price is None and market.pledges is None
        order = Order(
            self._last_order_id + 1, trader, market, base, is_buy, quantity, price, hold if rests_at_once else 0,
            order_type, time_in_force, self_trade, client_order_id,
        )  # fmt: skip
        order.post_only = post_only
        if not is_plain:
            order.display, order.trigger_price, order.expires_at_us = display or 0, trigger_price, expires_at_us
            if time_in_force == "fok" and not self._is_fillable(market, order, price):
                return context.reject(command, Reason.UNFILLABLE, "it cannot trade in full at once")
        # One object for all that names the order.
        named: Any = order.order_id
        self._announce(agent, command_id, order, named, side, 0 if budget else quantity, limit)
        status: OrderStatus = "new"
        if rests_at_once:
            self._rest_whole(order, balance, hold)
        elif trigger_price is None:
            status = self.execute(market, order, rests=rests, budget=budget)
        else:
            self._wait(order, hold, trigger_price)
        return _order_outcome(
            command_id, "accepted", context.stamp, None, None,
            _order_result(named, status, order.filled, order.remaining, order.filled_value, order.fee),
        )  # fmt: skip

    def _announce(
        self,
        agent: AgentRecord,
        command_id: str,
        order: Order,
        named: Any,
        side: Side,
        quantity: int,
        limit: int | None,
    ) -> None:
        """Make an order one of the venue's, and tell its agent: it is accepted from here on."""
        market = order.market
        if market.pledges is not None and not order.is_buy:
            market.pledges.open(order)
        self._last_order_id = order.order_id
        agent.seq = seq = agent.seq + 1
        self.context.deliver(
            agent,
            _order_placed(
                seq=seq,
                venue_time_us=self.context.stamp,
                order_id=named,
                command_id=command_id,
                market=market.market_id,
                side=side,
                order_type=order.order_type,
                quantity=quantity,
                price=limit,
                client_order_id=order.client_order_id,
            ),
        )

    def _rest_whole(self, order: Order, balance: Balance, hold: int) -> None:
        """Let an order that meets nobody stand in its book."""
        market, context = order.market, self.context
        context.ledger.hold(balance, hold)
        if order.display:
            order.shown = order.display
        (market.bids if order.is_buy else market.asks).add(order)
        context.touched[market] = None
        order.trader.orders.add(order)
        market.open_orders += 1
        if order.client_order_id is not None or order.expires_at_us is not None:
            self._index(order)

    def _wait(self, order: Order, hold: int, trigger_price: int) -> None:
        """Let a stop wait for its trigger."""
        market = order.market
        self.hold_more(order, hold)
        if market.pledges is not None:
            market.pledges.adjust(order)
        market.stops.add(order, trigger_price)
        self._remember(order)

    def _check_placing(
        self, market: Market, trader: Trader, command: PlaceOrder, *, needs_trade: bool, crosses: bool
    ) -> Violation | None:
        """Check phase, limits and what the book says; the fields are already good."""
        if market.phase != "open":
            needs_trade = needs_trade and command.trigger_price is None
            problem = self.phases.check_entry(market, needs_trade=needs_trade)
            if problem is not None:
                return problem
        if len(trader.orders) >= self.context.settings.max_open_orders:
            return Violation(Reason.TOO_MANY_OPEN_ORDERS, f"{len(trader.orders)} are open")
        client_order_id = command.client_order_id
        if client_order_id is not None and client_order_id in trader.by_client_id:
            return Violation(Reason.DUPLICATE_CLIENT_ORDER_ID, f"a live order has client_order_id {client_order_id}")
        if crosses and command.post_only:
            return Violation(Reason.POST_ONLY_WOULD_TRADE, "it meets the best opposite price")
        return None

    def _check_pledging(
        self, market: Market, trader: Trader, command: PlaceOrder, price: int, quantity: int
    ) -> Violation | None:
        """Check what only markets have whose settlement is not instant."""
        pledges = market.pledges
        if pledges is None:
            return None
        if command.self_trade_prevention == "none":
            detail = f"nobody owes itself a {market.terms.settlement}: self_trade_prevention must not be none"
            return Violation(Reason.FIELD_NOT_ALLOWED, detail)
        if command.side == "buy":
            return None
        return self.check_funds(trader.credit, pledges.needed(pledges.worst_price(price), quantity), is_buy=True)

    def check_funds(self, balance: Balance, needed: int, *, is_buy: bool) -> Violation | None:
        """Check that ``needed`` more can be held, and spent as far as limits are concerned."""
        if balance.meters is not None and needed > 0 and not self.context.ledger.may_spend(balance, needed):
            return Violation(Reason.SPEND_LIMIT, "a spend limit of the agent or its owner is reached")
        if needed > balance.available:
            scale, decimals = balance.asset.scale, balance.asset.decimals
            detail = (
                f"needs {_whole(needed, scale, decimals)} {balance.asset.name}, "
                f"available {_whole(balance.available, scale, decimals)}"
            )
            return Violation(Reason.INSUFFICIENT_CREDITS if is_buy else Reason.INSUFFICIENT_ASSET, detail)
        return None

    def _is_fillable(self, market: Market, order: Order, limit: int) -> bool:
        return fillable(market, order, limit, self.context.time_us, self.context.settings.max_fills_per_command)

    def hold_more(self, order: Order, amount: int) -> None:
        """Put ``amount`` more on hold for an order, or release when it is negative."""
        trader = order.trader
        order.hold += amount
        self.context.ledger.hold(trader.credit if order.is_buy else order.base, amount)

    def _rest(self, order: Order) -> None:
        """Put what remains of an order into its book."""
        remaining = order.remaining
        order.shown = min(order.display, remaining) if order.display else remaining
        market = order.market
        (market.bids if order.is_buy else market.asks).add(order)
        self.context.touched[market] = None

    def _remember(self, order: Order) -> None:
        """Put a live order into every index but the book's."""
        order.trader.orders.add(order)
        order.market.open_orders += 1
        self._index(order)

    def _index(self, order: Order) -> None:
        """Index what only some orders have: an id of the client's, an expiry."""
        trader = order.trader
        if order.client_order_id is not None:
            trader.by_client_id[order.client_order_id] = order
        if order.expires_at_us is not None and not order.deadline_id:
            order.deadline_id = self.context.deadlines.schedule(
                order.expires_at_us, "orders.expire_order", trader.agent.agent_id, order.order_id
            )

    def forget(self, order: Order) -> None:
        """Take an order that is no longer live out of every index but the book's."""
        trader = order.trader
        trader.orders.discard(order)
        order.market.open_orders -= 1
        if order.client_order_id is not None:
            del trader.by_client_id[order.client_order_id]
        if order.deadline_id:
            self.context.deadlines.cancel(order.deadline_id)
            order.deadline_id = 0

    # ── execute ─────────────────────────────────────────────────────────────────────────────────

    def execute(
        self, market: Market, order: Order, *, rests: bool, budget: int | None = None, known: bool = False
    ) -> OrderStatus:
        """Let an order that is in no book trade, rest or expire; settle it in one posting.

        What it held before is in ``order.hold``; guards have made sure that this and what is
        available cover the worst case. ``known``: it lived before and stands in the indexes.
        """
        context = self.context
        legs: list[Leg] = []
        filled, value, fee = order.filled, order.filled_value, order.fee
        stopped: ExpireReason | None = None
        if market.phase == "open":
            best = (market.asks if order.is_buy else market.bids).best_price
            if best is not None and crosses(order, order.price, best):
                stopped = self.matcher.match(market, order, order.price, legs, budget)
        # A price band stops the order where it stands; in the auction to come it may still trade.
        stays = rests and order.remaining > 0 and stopped in (None, "price_band")
        self._settle_taker(order, order.filled - filled, order.filled_value - value, order.fee - fee, legs, stays=stays)
        status: OrderStatus
        if stays:
            self._rest(order)
            if not known:
                self._remember(order)
            status = order.live_status()
        else:
            context.touched[market] = None
            if known:
                self.forget(order)
            status = self._end(order, stopped, budget)
        if stopped == "price_band":
            self.phases.halt_for_band(market)
        if order.filled != filled:
            self._after_trades(market)
        return status

    def _end(self, order: Order, stopped: ExpireReason | None, budget: int | None) -> OrderStatus:
        """Tell how a taker ended of which nothing stays; return its last status."""
        if budget is not None:
            # A budget order is filled when its budget buys nothing more; what it got is its quantity.
            order.quantity, order.remaining = order.filled, 0
            is_filled = order.filled > 0 and (stopped == "budget_spent" or order.filled_value + order.fee == budget)
        else:
            is_filled = order.remaining == 0 and order.filled > 0 and stopped != "self_trade"
        if is_filled:
            return "filled"
        self.tell_expired(order, stopped or "time_in_force")
        order.remaining = 0
        return "expired"

    def _settle_taker(self, order: Order, quantity: int, value: int, fee: int, legs: list[Leg], *, stays: bool) -> None:
        """Complete and post the legs of a taker that traded ``quantity`` for ``value`` and ``fee``."""
        market, trader = order.market, order.trader
        if market.pledges is not None:
            market.pledges.settle_taker(order, quantity, value, fee, legs, stays=stays)
            return
        ledger = self.context.ledger
        before = order.hold
        order.hold = hold = market.needed_hold(order) if stays else 0
        base = order.base
        if not legs:
            if hold != before:
                ledger.hold(trader.credit if order.is_buy else base, hold - before)
            return
        if order.is_buy:
            legs.append((trader.credit, before - hold - value - fee, hold - before))
            if quantity:
                legs.append((base, quantity, 0))
        else:
            legs.append((base, before - hold - quantity, hold - before))
            if quantity:
                legs.append((trader.credit, value - fee, 0))
        ledger.post(legs)

    def tell_expired(self, order: Order, reason: ExpireReason) -> None:
        """Tell an agent that the rest of its order ended by its own terms."""
        self.context.emit(
            order.trader.agent,
            OrderExpired(
                order_id=order.order_id,
                market=order.market.market_id,
                remaining=order.remaining,
                reason=reason,
                client_order_id=order.client_order_id,
            ),
        )

    # ── stops ───────────────────────────────────────────────────────────────────────────────────

    def _after_trades(self, market: Market) -> None:
        """Set off the stops that the last price reached; they follow the command that traded."""
        if len(market.stops) and market.last_price is not None:
            market.triggered.extend(market.stops.take(market.last_price))
        self.queue_triggered(market)

    def queue_triggered(self, market: Market) -> None:
        """Let the stops that were set off execute after the present command."""
        if market.triggered and not market.triggering:
            market.triggering = True
            self.context.follow_up(self.run_triggered, market)

    def run_triggered(self, market: Market) -> None:
        """Execute stops that were set off, in order; beyond the cap of one command they go on later."""
        market.triggering = True
        for _ in range(self.context.settings.max_fills_per_command):
            if not market.triggered or market.phase != "open":
                break
            self._trigger(market, market.triggered.popleft())
        market.triggering = False
        if market.triggered and market.phase == "open":
            self.context.deadlines.schedule(self.context.time_us + 1, "orders.run_triggered", market.market_id)

    def _run_triggered_market(self, market_id: str) -> None:
        self.run_triggered(self.markets[market_id])

    def _trigger(self, market: Market, order: Order) -> None:
        self.context.emit(
            order.trader.agent,
            OrderTriggered(order_id=order.order_id, market=market.market_id, client_order_id=order.client_order_id),
        )
        order.trigger_price = None
        rests = order.order_type == "stop_limit"
        self.execute(market, order, rests=rests, known=True)

    # ── proving ─────────────────────────────────────────────────────────────────────────────────

    def has_market(self, market_id: str) -> bool:
        """Return whether a market exists."""
        return market_id in self.markets

    def invariants(self) -> Sequence[str]:
        """Return the broken invariants of markets, orders and holds."""
        from exchange.mechanisms.orders.invariants import broken_invariants

        return broken_invariants(self)

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave: markets, traders, then the orders, as they stood in their queues."""
        self._last_order_id, markets, traders = state
        for agent_id, switch_seconds, switch_id in traders:
            self._admit(AgentAdmitted(agent_id))
            trader = self.traders[agent_id]
            trader.switch_seconds, trader.switch_id = switch_seconds, switch_id
        for market_state in markets:
            self._listing.restore(market_state)

    def dump(self) -> object:
        """Return the state as plain data that does not depend on the book's implementation."""
        return [
            self._last_order_id,
            [market.dump() for market in self.markets.values()],
            [[trader.agent.agent_id, trader.switch_seconds, trader.switch_id] for trader in self.traders.values()],
        ]


def _whole(amount: int, scale: int, decimals: int) -> str:
    """Write an integer amount in whole units, with at least two decimals where the asset has any."""
    whole, part = divmod(amount, scale)
    if not decimals:
        return str(whole)
    digits = f"{part:0{decimals}d}".rstrip("0")
    return f"{whole}.{digits:0<2}"

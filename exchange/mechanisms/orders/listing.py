"""List markets: new ones by an operator's terms, and those of a snapshot as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.mechanisms.orders.guards import Violation
from exchange.mechanisms.orders.market import Market
from exchange.mechanisms.orders.order import Order
from exchange.mechanisms.orders.pledging import Pledges
from exchange.messages.orders import CreateMarket
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord, Context
    from exchange.mechanisms.orders.book import Book
    from exchange.mechanisms.orders.mechanism import Orders
    from exchange.messages.base import Outcome
    from exchange.messages.orders import Settlement

__all__ = ["Listing"]

_TERMS: Final[dict[Settlement, tuple[str, tuple[str, ...], str]]] = {
    "delivery": (
        "deliver_seconds", ("confirm_seconds", "bond_bp", "late_hours", "late_bp_per_hour", "attester"), "settlements",
    ),
    "lease": ("term_seconds", ("compensation_bp",), "leases"),
}  # fmt: skip
"""By settlement: the term that it needs, those that it takes, and the mechanism that takes over from the trade."""


class Listing:
    """Check the terms of markets and open them."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._context = orders.context
        self.settlers: tuple[str, ...] = ()
        """The families that the venue knows: some of them settle trades."""

    def create_market(self, agent: AgentRecord, command: CreateMarket) -> Outcome:
        """Open a market, at once or by a call auction."""
        del agent
        context = self._context
        problem = self._check_terms(command)
        if problem is not None:
            return context.reject(command, *problem)
        market = self._open(command)
        if command.auction_seconds:
            self._orders.phases.call_auction(market, command.auction_seconds)
        context.touched[market] = None
        return context.accept(command)

    def _open(self, terms: CreateMarket) -> Market:
        orders, context = self._orders, self._context
        book: Book = type(orders).new_book()
        market = Market(terms, context.ledger.assets[terms.base], book)
        if terms.settlement != "instant":
            market.pledges = Pledges(context, market)
        orders.markets[terms.market] = market
        return market

    # ── terms ───────────────────────────────────────────────────────────────────────────────────

    def _check_terms(self, command: CreateMarket) -> Violation | None:
        context, markets = self._context, self._orders.markets
        asset = context.ledger.assets.get(command.base)
        reference = command.reference_price
        if command.market in markets:
            return Violation(Reason.MARKET_EXISTS, f"market {command.market} exists")
        if asset is None or command.base == "credit":
            return Violation(Reason.UNKNOWN_ASSET, f"{command.base} is not a registered asset to trade")
        if len(markets) >= context.settings.max_markets:
            return Violation(Reason.TOO_MANY_MARKETS, f"the venue keeps at most {len(markets)}")
        terms = Reason.INVALID_MARKET_TERMS
        if command.tick * command.lot % asset.scale:
            return Violation(terms, f"tick × lot must be a multiple of {asset.scale}, so that values are exact")
        if command.max_quantity < command.lot:
            return Violation(terms, "max_quantity is less than one lot")
        if command.min_quantity is not None and command.min_quantity > command.max_quantity:
            return Violation(terms, "min_quantity exceeds max_quantity")
        if command.price_band_bp and reference is None:
            return Violation(terms, "a price band needs a reference_price (or set price_band_bp to 0)")
        if reference is not None and reference % command.tick:
            return Violation(terms, f"reference_price {reference} is not a multiple of the tick")
        return _check_settlement(command, context, self.settlers)

    # ── from a snapshot ─────────────────────────────────────────────────────────────────────────

    def restore(self, state: Any) -> None:
        """Open a market as it was, with its orders."""
        market = self._open(
            CreateMarket(**dict(zip(CreateMarket.__struct_fields__, ("-", 0, *state[0]), strict=False)))
        )
        market.load(state)
        if market.pledges is not None:
            market.pledges.load(state[-5])
        resting, stops, triggered = (*state[-4], *state[-3]), state[-2], state[-1]
        for order_state in resting:
            order = self._restore_order(market, order_state)
            (market.bids if order.is_buy else market.asks).add(order)
        for order_state in stops:
            order = self._restore_order(market, order_state)
            market.stops.add(order, order_state[-2])
        for order_state in triggered:
            market.triggered.append(self._restore_order(market, order_state))
        # What the view of the market saw of this is not news.
        market.bids.touched.clear()
        market.asks.touched.clear()

    def _restore_order(self, market: Market, state: Any) -> Order:
        trader = self._orders.traders[state[1]]
        base = trader.base.get(market.market_id) or self._orders.open_base(trader, market)
        order = Order.load(state, trader, market, base)
        trader.orders.add(order)
        if order.client_order_id is not None:
            trader.by_client_id[order.client_order_id] = order
        return order


def _check_settlement(command: CreateMarket, context: Context, families: tuple[str, ...]) -> Violation | None:
    """Return what is wrong with how a market's trades are to be settled, if anything."""
    terms = Reason.INVALID_MARKET_TERMS
    chosen = command.settlement
    for settlement, (needed, taken, family) in _TERMS.items():
        if settlement == chosen:
            if family not in families:
                return Violation(terms, f"this venue has no mechanism {family}, which a settlement by {chosen} needs")
            if getattr(command, needed) is None:
                return Violation(terms, f"a settlement by {chosen} needs {needed}")
            if not command.price_band_bp:
                return Violation(terms, f"a settlement by {chosen} needs a price band: it bounds what sellers pledge")
            continue
        for name in (needed, *taken):
            if getattr(command, name) is not None:
                return Violation(terms, f"a settlement that is {chosen} takes no {name}")
    if command.attester is not None:
        agent = context.agents.get(command.attester)
        if agent is None or "attester" not in agent.roles:
            return Violation(terms, f"{command.attester} is no agent with the role attester")
    return None

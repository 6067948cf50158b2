"""Know the terms of markets and assets, and convert wire structs with them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from agent_sdk.errors import NotFound, Rejected, rejected
from agent_sdk.models import Asset, Balance, Level, Market, Order, Trade
from agent_sdk.money import from_units
from agent_sdk.session import Listener
from exchange.messages.admin import AssetsResult, AssetView, BalanceView, ListAssets
from exchange.messages.base import CREDIT, CREDIT_DECIMALS
from exchange.messages.orders import ListMarkets, MarketsResult, MarketView, OrderResult, OrderView
from exchange.messages.orders import Trade as WireTrade
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from decimal import Decimal

    from agent_sdk.session import Connection

__all__ = ["Catalog", "Terms", "credits_from", "maybe_credits"]

_REMEMBERED_ORDERS: Final = 65_536
_NAME_LENGTH_MAX: Final = 32


class Terms(NamedTuple):
    """Hold what is needed to convert amounts of a market; it never changes."""

    market: str
    base: str
    decimals: int
    tick: int
    lot: int

    def quantity(self, units: int) -> Decimal:
        """Return a quantity in whole units of the base asset."""
        return from_units(units, self.decimals)

    def level(self, level: tuple[int, int]) -> Level:
        """Return a price level in whole units."""
        return Level(credits_from(level[0]), from_units(level[1], self.decimals))

    def trade(self, trade: WireTrade, *, gap_before: bool = False) -> Trade:
        """Return a trade in whole units."""
        return Trade(
            id=trade.trade_id,
            market=trade.market,
            price=credits_from(trade.price),
            quantity=self.quantity(trade.quantity),
            taker_side=trade.taker_side,
            venue_time_us=trade.venue_time_us,
            gap_before=gap_before,
        )

    def order(self, view: OrderView) -> Order:
        """Return a live order in whole units."""
        return Order(
            id=view.order_id,
            market=view.market,
            status=view.status,
            filled=self.quantity(view.filled),
            remaining=self.quantity(view.remaining),
            filled_value=credits_from(view.filled_value),
            fee=credits_from(view.fee),
            side=view.side,
            order_type=view.order_type,
            time_in_force=view.time_in_force,
            quantity=self.quantity(view.quantity),
            price=maybe_credits(view.price),
            trigger_price=maybe_credits(view.trigger_price),
            display_quantity=None if view.display_quantity is None else self.quantity(view.display_quantity),
            held=credits_from(view.held) if view.side == "buy" else self.quantity(view.held),
            expires_at_us=view.expires_at_us,
            client_order_id=view.client_order_id,
        )

    def result(self, result: OrderResult) -> Order:
        """Return what a reply tells of an order in whole units."""
        return Order(
            id=result.order_id,
            market=self.market,
            status=result.status,
            filled=self.quantity(result.filled),
            remaining=self.quantity(result.remaining),
            filled_value=credits_from(result.filled_value),
            fee=credits_from(result.fee),
        )


def credits_from(units: int) -> Decimal:
    """Return an amount of credits in whole credits."""
    return from_units(units, CREDIT_DECIMALS)


def maybe_credits(units: int | None) -> Decimal | None:
    """Return an optional amount of credits in whole credits."""
    return None if units is None else from_units(units, CREDIT_DECIMALS)


def _unknown_market(market: str) -> Rejected:
    return rejected(Reason.UNKNOWN_MARKET, f"there is no market {market!r}")


class Catalog(Listener):
    """Remember terms of markets, decimals of assets, and the markets of recent orders."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._terms: dict[str, Terms] = {}
        self._decimals: dict[str, int] = {CREDIT: CREDIT_DECIMALS}
        self._orders: OrderedDict[int, str] = OrderedDict()
        self._loading = asyncio.Lock()

    def on_incarnation(self) -> None:
        """Forget everything: a restored venue may have other markets."""
        self._terms.clear()
        self._orders.clear()
        self._decimals = {CREDIT: CREDIT_DECIMALS}

    # ── markets ─────────────────────────────────────────────────────────────────────────────────

    async def terms(self, market: str) -> Terms:
        """Return the terms of a market, asking the venue the first time.

        Raises:
            UnknownMarket: There is none of this name.

        """
        found = self._terms.get(market)
        if found is not None:
            return found
        async with self._loading:
            if market not in self._terms:
                await self.view(market)
        return self._terms[market]

    async def view(self, market: str) -> MarketView:
        """Ask for one market.

        Raises:
            UnknownMarket: There is none of this name.

        """
        if not 0 < len(market) <= _NAME_LENGTH_MAX:
            raise _unknown_market(market)
        try:
            found = (await self._connection.query(ListMarkets(market=market), MarketsResult)).markets
        except NotFound:
            found = []
        for view in found:
            if view.market == market:
                self._learn_terms(view)
                return view
        raise _unknown_market(market)

    async def views(self) -> list[MarketView]:
        """Ask for all markets, page by page."""
        views: list[MarketView] = []
        after: str | None = None
        while True:
            page = await self._connection.query(ListMarkets(after=after), MarketsResult)
            views += page.markets
            for view in page.markets:
                self._learn_terms(view)
            after = page.next
            if after is None or not page.markets:
                return views

    def _learn_terms(self, view: MarketView) -> None:
        self._terms[view.market] = Terms(view.market, view.base, view.base_decimals, view.tick, view.lot)
        self._decimals[view.base] = view.base_decimals

    def market(self, view: MarketView) -> Market:
        """Return a market in whole units."""
        decimals = view.base_decimals
        return Market(
            name=view.market,
            base=view.base,
            base_decimals=decimals,
            tick=credits_from(view.tick),
            lot=from_units(view.lot, decimals),
            min_quantity=from_units(view.min_quantity, decimals),
            max_quantity=from_units(view.max_quantity, decimals),
            maker_fee_bp=view.maker_fee_bp,
            taker_fee_bp=view.taker_fee_bp,
            price_band_bp=view.price_band_bp,
            settlement=view.settlement,
            phase=view.phase,
            phase_until_us=view.phase_until_us,
            reference_price=maybe_credits(view.reference_price),
            last_price=maybe_credits(view.last_price),
            best_bid=maybe_credits(view.best_bid),
            best_ask=maybe_credits(view.best_ask),
            open_orders=view.open_orders,
            volume=from_units(view.volume, decimals),
            trades=view.trades,
        )

    # ── orders ──────────────────────────────────────────────────────────────────────────────────

    def remember_order(self, order_id: int, market: str) -> None:
        """Keep the market of an order, for replies that do not name it."""
        orders = self._orders
        orders[order_id] = market
        if len(orders) > _REMEMBERED_ORDERS:
            orders.popitem(last=False)

    def market_of(self, order_id: int) -> str | None:
        """Return the market of a recent order, if it is remembered."""
        return self._orders.get(order_id)

    async def order(self, view: OrderView) -> Order:
        """Return a live order in whole units."""
        self.remember_order(view.order_id, view.market)
        return (await self.terms(view.market)).order(view)

    # ── assets ──────────────────────────────────────────────────────────────────────────────────

    async def decimals(self, asset: str) -> int:
        """Return the decimals of an asset, asking the venue the first time.

        Raises:
            UnknownAsset: There is none of this name.

        """
        if asset not in self._decimals:
            await self.assets()
        if asset not in self._decimals:
            raise rejected(Reason.UNKNOWN_ASSET, f"there is no asset {asset!r}")
        return self._decimals[asset]

    async def assets(self) -> list[Asset]:
        """Ask for all assets."""
        result = await self._connection.query(ListAssets(), AssetsResult)
        self.learn(result.assets)
        return [
            Asset(view.asset, view.decimals, view.issuer, from_units(view.issued, view.decimals))
            for view in result.assets
        ]

    def learn(self, assets: list[AssetView]) -> None:
        """Take in the decimals of assets."""
        for view in assets:
            self._decimals[view.asset] = view.decimals

    async def balance(self, view: BalanceView) -> Balance:
        """Return a balance in whole units."""
        decimals = await self.decimals(view.asset)
        return Balance(view.asset, from_units(view.available, decimals), from_units(view.held, decimals))

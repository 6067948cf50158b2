"""Settle trades in markets whose settlement is not instant: value, units and the seller's pledge go into an escrow.

A seller's pledge is the bond (``delivery``) or the compensation (``lease``): a share of the value in basis points. An
order holds it at the worst price that the band allows when the order is placed or amended, or at its limit if that is
higher; a trade at a still higher price (the band can have moved) is pledged at that. So rounding down each trade's
share never comes to more than what the order holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.facts import SettlementAgreed, SettlementTerms, UnitsLeased
from exchange.messages.payments import PaymentPosted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.ledger import Leg
    from exchange.mechanisms.base import Context
    from exchange.mechanisms.orders.market import Market
    from exchange.mechanisms.orders.order import Order

__all__ = ["DEFAULT_PLEDGE_BP", "Pledge", "Pledges"]

_BP: Final = 10_000
_SECOND_US: Final = 1_000_000
_LATE_BP_PER_HOUR: Final = 500

DEFAULT_PLEDGE_BP: Final = 1_000
"""A seller pledges 10 % of the value unless the market's terms say otherwise."""


class Pledge:
    """Hold what one sell order holds in credits, and for which quantity at which price."""

    __slots__ = ("held", "quantity", "spent", "worst_price")

    def __init__(self, worst_price: int) -> None:
        self.worst_price = worst_price
        self.quantity = 0
        self.held = 0
        self.spent = 0
        """What a taker has pledged in trades that are not posted yet; 0 between commands."""


class Pledges:
    """Keep the pledges of one market's sell orders, and open an escrow for each of its trades."""

    def __init__(self, context: Context, market: Market) -> None:
        terms = market.terms
        self._context = context
        self._market = market
        share = terms.bond_bp if terms.settlement == "delivery" else terms.compensation_bp
        self.share_bp = DEFAULT_PLEDGE_BP if share is None else share
        self.by_order: dict[int, Pledge] = {}
        self.offered = 0
        """What all live sell orders together offer."""

    # ── arithmetic ──────────────────────────────────────────────────────────────────────────────

    def worst_price(self, price: int) -> int:
        """Return the highest price at which an order with this limit trades as far as is known now."""
        band = self._market.band(self._context.time_us)
        return price if band is None else max(price, band[1])

    def needed(self, worst_price: int, quantity: int) -> int:
        """Return what must be pledged for ``quantity``, rounded down."""
        return self._market.value(worst_price, quantity) * self.share_bp // _BP

    # ── orders ──────────────────────────────────────────────────────────────────────────────────

    def open(self, order: Order) -> None:
        """Let a sell order pledge from now on; it holds nothing for that yet. An amended one is priced anew."""
        worst_price = self.worst_price(order.price)
        pledge = self.by_order.get(order.order_id)
        if pledge is None:
            self.by_order[order.order_id] = Pledge(worst_price)
        else:
            pledge.worst_price = worst_price

    def held(self, order: Order) -> int:
        """Return what an order holds in credits as a pledge."""
        pledge = self.by_order.get(order.order_id)
        return 0 if pledge is None else pledge.held

    def adjust(self, order: Order) -> None:
        """Hold what a live sell order needs now, outside of any posting."""
        if not order.is_buy:
            self._move(order, order.remaining, None)

    def shrink(self, order: Order, legs: list[Leg]) -> None:
        """Release what self-trade prevention took off a resting order; one that ended holds no units any more."""
        if not order.is_buy:
            self._move(order, order.hold, legs)

    def cancel(self, order: Order) -> None:
        """Release the pledge of an order that ends."""
        if not order.is_buy:
            self._move(order, 0, None)

    def _move(self, order: Order, quantity: int, legs: list[Leg] | None) -> None:
        """Let a pledge be for ``quantity``; what was spent of it has left for escrows."""
        number = order.order_id
        pledge = self.by_order[number]
        self.offered += quantity - pledge.quantity
        before, spent = pledge.held, pledge.spent
        pledge.quantity, pledge.spent = quantity, 0
        pledge.held = held = self.needed(pledge.worst_price, quantity)
        if not quantity:
            del self.by_order[number]
        credit = order.trader.credit
        if legs is not None:
            legs.append((credit, before - held - spent, held - before))
        elif held != before:
            self._context.ledger.hold(credit, held - before)
        if held != before or spent:
            self._context.emit(
                order.trader.agent,
                PaymentPosted(
                    cause=f"orders:{self._market.market_id}",
                    asset=credit.asset.name,
                    available=before - held - spent,
                    held=held - before,
                ),
            )

    # ── trades ──────────────────────────────────────────────────────────────────────────────────

    def settle_taker(self, order: Order, quantity: int, value: int, fee: int, legs: list[Leg], *, stays: bool) -> None:
        """Complete and post the legs of a taker that traded; what it bought or earned is in escrows."""
        before = order.hold
        order.hold = hold = self._market.needed_hold(order) if stays else 0
        if order.is_buy:
            legs.append((order.trader.credit, before - hold - value - fee, hold - before))
        else:
            legs.append((order.base, before - hold - quantity, hold - before))
            self._move(order, hold, legs)
        self._context.ledger.post(legs)

    def settle(
        self, trade_id: int, buyer: Order, seller: Order, price: int, quantity: int, value: int, legs: list[Leg],
        *, rests: bool,
    ) -> None:  # fmt: skip
        """Put value, units and pledge of one trade into an escrow, and say what was agreed.

        ``rests``: the seller stood in the book, so its pledge is settled at once; a taker's is at the end.
        """
        context, market = self._context, self._market
        pledge = self.by_order[seller.order_id]
        bond = self.needed(min(price, pledge.worst_price), quantity)
        pledge.spent += bond
        if rests:
            self._move(seller, seller.remaining, legs)
        escrow = context.cashier.open_escrow(escrow_of(f"orders:{market.market_id}:{trade_id}"))
        legs.append((context.ledger.balance(escrow, "credit"), value + bond, 0))
        legs.append((context.ledger.balance(escrow, market.base.name), quantity, 0))
        payer, provider = buyer.trader.agent.agent_id, seller.trader.agent.agent_id
        if market.terms.settlement == "lease":
            context.announce(
                UnitsLeased(
                    market.market_id, trade_id, escrow, payer, provider, market.base.name, quantity, price, value,
                    bond, market.terms.term_seconds or 0,
                )
            )  # fmt: skip
        else:
            terms = self._settlement_terms(payer, provider, value, bond, quantity)
            context.announce(SettlementAgreed(f"orders:{market.market_id}:{trade_id}", escrow, terms))

    def _settlement_terms(self, payer: str, provider: str, value: int, bond: int, quantity: int) -> SettlementTerms:
        market, terms = self._market, self._market.terms
        late_bp = _LATE_BP_PER_HOUR if terms.late_bp_per_hour is None else terms.late_bp_per_hour
        late_hours = terms.late_hours or 0
        return SettlementTerms(
            payer=payer,
            provider=provider,
            price=value,
            bond=bond,
            deliver_by_us=self._context.time_us + (terms.deliver_seconds or 0) * _SECOND_US,
            confirm_seconds=terms.confirm_seconds or self._context.settings.confirm_seconds,
            late_hours=late_hours,
            late_per_hour=value * late_bp // _BP if late_hours else 0,
            attester=terms.attester,
            asset=market.base.name,
            quantity=quantity,
            title=market.market_id,
        )

    # ── proving ─────────────────────────────────────────────────────────────────────────────────

    def problems(self, sells: dict[int, Order]) -> Iterator[str]:
        """Yield the broken invariants, given the live sell orders."""
        if sorted(sells) != sorted(self.by_order):
            yield f"sell_orders_pledge: {self._market.market_id}"
        for number, pledge in self.by_order.items():
            order = sells.get(number)
            if order is not None and (pledge.quantity, pledge.spent) != (order.remaining, 0):
                yield f"pledges_are_for_what_remains: {number}"
            if pledge.held != self.needed(pledge.worst_price, pledge.quantity):
                yield f"pledge_covers_the_worst_case: {number}"
        if self.offered != sum(pledge.quantity for pledge in self.by_order.values()):
            yield f"offered_is_summed: {self._market.market_id}"

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [[number, each.worst_price, each.quantity, each.held] for number, each in self.by_order.items()]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        for number, worst_price, quantity, held in state:
            pledge = self.by_order[number] = Pledge(worst_price)
            pledge.quantity, pledge.held = quantity, held
            self.offered += quantity

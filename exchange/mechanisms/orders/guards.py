"""Check orders before anything changes: which fields, which prices, which quantities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from exchange.messages.base import MAX_AMOUNT
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.orders.market import Market
    from exchange.messages.orders import OrderType, PlaceOrder

__all__ = ["NOTIONAL_MAX", "Ticket", "Violation", "check_order", "check_price", "check_quantity"]

NOTIONAL_MAX: Final = 2**63 - 1
"""No order may be worth more than this, in the credit's smallest unit."""

_LATEST_EXPIRY_US: Final = 366 * 86_400_000_000
"""A good-till-date order may live for a year at most."""


class Violation(NamedTuple):
    """Say which rule an order breaks."""

    reason: Reason
    detail: str


class Ticket(NamedTuple):
    """Hold the terms of an order after the defaults are filled in."""

    quantity: int
    price: int
    rests: bool
    """Whether what does not trade at once stays in the book."""


class _Shape(NamedTuple):
    """Say which fields an order type needs and which it does not take."""

    required: tuple[str, ...]
    forbidden: tuple[str, ...]
    rests: bool


_SHAPES: Final[dict[OrderType, _Shape]] = {
    "limit": _Shape(("price", "quantity"), ("trigger_price", "display_quantity", "budget"), rests=True),
    "iceberg": _Shape(("price", "quantity", "display_quantity"), ("trigger_price", "budget"), rests=True),
    "market": _Shape(("quantity",), ("trigger_price", "display_quantity", "budget"), rests=False),
    "budget": _Shape(("budget",), ("quantity", "trigger_price", "display_quantity"), rests=False),
    "stop": _Shape(("trigger_price", "quantity"), ("display_quantity", "budget"), rests=False),
    "stop_limit": _Shape(("trigger_price", "price", "quantity"), ("display_quantity", "budget"), rests=True),
}

_WAITING: Final = ("stop", "stop_limit")


def check_order(market: Market, command: PlaceOrder, time_us: int) -> Ticket | Violation:
    """Return an order's terms with defaults filled in, or the first rule it breaks."""
    ticket = _fill_in(market, command, time_us)
    if isinstance(ticket, Violation):
        return ticket
    return (
        check_price(market, ticket.price)
        or (None if command.order_type == "budget" else check_quantity(market, ticket.quantity))
        or (None if command.order_type == "budget" else _check_notional(ticket))
        or ticket
    )


def _fill_in(market: Market, command: PlaceOrder, time_us: int) -> Ticket | Violation:
    shape = _SHAPES[command.order_type]
    problem = (
        _check_fields(command, shape)
        or _check_life(command, shape, time_us)
        or _check_trigger(market, command)
        or _check_display(market, command)
    )
    if problem is not None:
        return problem
    price = command.price
    if price is None:
        price = protection_price(market, command, time_us)
        if price is None:
            return Violation(Reason.NO_REFERENCE_PRICE, "the market has no price band; give a protection price")
    quantity = command.quantity
    if quantity is None:
        # A budget order is bounded by its budget; the most it may get is the market's largest order.
        quantity = market.max_quantity - market.max_quantity % market.lot
    return Ticket(quantity, price, shape.rests and command.time_in_force in ("gtc", "gtd"))


def _check_fields(command: PlaceOrder, shape: _Shape) -> Violation | None:
    for name in shape.required:
        if getattr(command, name) is None:
            return Violation(Reason.MISSING_FIELD, f"a {command.order_type} order needs {name}")
    for name in shape.forbidden:
        if getattr(command, name) is not None:
            return Violation(Reason.FIELD_NOT_ALLOWED, f"a {command.order_type} order takes no {name}")
    if command.order_type == "budget" and command.side == "sell":
        return Violation(Reason.FIELD_NOT_ALLOWED, "a budget order buys")
    if command.post_only and (not shape.rests or command.order_type == "stop_limit"):
        return Violation(Reason.FIELD_NOT_ALLOWED, f"a {command.order_type} order cannot be post_only")
    if command.post_only and command.time_in_force in ("ioc", "fok"):
        return Violation(Reason.FIELD_NOT_ALLOWED, f"a {command.time_in_force} order cannot be post_only")
    return None


def _check_life(command: PlaceOrder, shape: _Shape, time_us: int) -> Violation | None:
    life = command.time_in_force
    waits = command.order_type in _WAITING
    if life == "gtd":
        if not shape.rests and not waits:
            return Violation(Reason.FIELD_NOT_ALLOWED, f"a {command.order_type} order cannot be gtd")
        if command.expires_at_us is None:
            return Violation(Reason.MISSING_FIELD, "a gtd order needs expires_at_us")
        if not time_us < command.expires_at_us <= time_us + _LATEST_EXPIRY_US:
            return Violation(
                Reason.INVALID_EXPIRY,
                f"expires_at_us {command.expires_at_us} must lie after venue time {time_us}, at most a year",
            )
    elif command.expires_at_us is not None:
        return Violation(Reason.FIELD_NOT_ALLOWED, f"a {life} order takes no expires_at_us")
    if life in ("ioc", "fok") and (waits or command.order_type == "iceberg"):
        return Violation(Reason.FIELD_NOT_ALLOWED, f"a {command.order_type} order cannot be {life}")
    if life == "fok" and command.order_type == "budget":
        return Violation(Reason.FIELD_NOT_ALLOWED, "a budget order cannot be fok")
    return None


def _check_trigger(market: Market, command: PlaceOrder) -> Violation | None:
    trigger = command.trigger_price
    if trigger is None:
        return None
    if trigger % market.tick:
        return Violation(Reason.INVALID_PRICE, f"trigger_price {trigger} is not a multiple of the tick {market.tick}")
    last = market.last_price
    if last is not None and (last >= trigger if command.side == "buy" else last <= trigger):
        return Violation(Reason.TRIGGER_ALREADY_MET, f"the last trade was at {last}")
    return None


def _check_display(market: Market, command: PlaceOrder) -> Violation | None:
    display = command.display_quantity
    if display is None or command.quantity is None:
        return None
    if display % market.lot or display > command.quantity:
        return Violation(
            Reason.INVALID_DISPLAY_QUANTITY,
            f"display_quantity {display} must be a multiple of the lot {market.lot} and at most the quantity",
        )
    return None


def protection_price(market: Market, command: PlaceOrder, time_us: int) -> int | None:
    """Return the worst price an order without one may trade at: the edge of the band.

    A stop starts from its trigger. A sell without a band holds no credits, so any price protects it.
    """
    if command.trigger_price is not None:
        width = market.terms.price_band_bp or 10_000
        trigger = command.trigger_price
        edge = trigger * (10_000 + width if command.side == "buy" else 10_000 - width) // 10_000
        return min(max(edge - edge % market.tick, market.tick), MAX_AMOUNT - MAX_AMOUNT % market.tick)
    band = market.band(time_us)
    if band is not None:
        return band[1] if command.side == "buy" else band[0]
    return market.tick if command.side == "sell" else None


def check_price(market: Market, price: int) -> Violation | None:
    """Return what is wrong with a price, if anything."""
    if price % market.tick:
        return Violation(Reason.INVALID_PRICE, f"price {price} is not a multiple of the tick {market.tick}")
    return None


def check_quantity(market: Market, quantity: int) -> Violation | None:
    """Return what is wrong with an order's quantity, if anything."""
    if quantity % market.lot:
        return Violation(Reason.INVALID_QUANTITY, f"quantity {quantity} is not a multiple of the lot {market.lot}")
    if not market.min_quantity <= quantity <= market.max_quantity:
        return Violation(
            Reason.INVALID_QUANTITY,
            f"quantity {quantity} must be {market.min_quantity} … {market.max_quantity}",
        )
    return None


def _check_notional(ticket: Ticket) -> Violation | None:
    if ticket.price * ticket.quantity > NOTIONAL_MAX:
        return Violation(Reason.NOTIONAL_TOO_LARGE, f"price × quantity exceeds {NOTIONAL_MAX}")
    return None

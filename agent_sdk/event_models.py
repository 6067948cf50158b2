"""Hold the private events as users see them, and make them from the wire.

Orders and accounts have classes of their own. Events of other families arrive as `VenueEvent` with
the wire struct in ``message``; events newer than this SDK as `UnknownEvent`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from agent_sdk.event_base import AgentEvent
from agent_sdk.markets import credits_from, maybe_credits
from agent_sdk.money import from_units
from agent_sdk.work_events import convert_work_event
from exchange.messages import admin, event_union, orders

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from agent_sdk.markets import Catalog, Terms
    from agent_sdk.models import AccountSnapshot, Side
    from exchange.messages.base import Event

__all__ = [
    "AgentEvent",
    "AgentRegistered",
    "AgentStateChanged",
    "AnyEvent",
    "AssetChanged",
    "Gap",
    "OrderAmended",
    "OrderCanceled",
    "OrderExpired",
    "OrderFilled",
    "OrderPlaced",
    "OrderReduced",
    "OrderTriggered",
    "SpendLimitReached",
    "UnknownEvent",
    "VenueEvent",
    "convert_event",
]


@dataclass(frozen=True, slots=True)
class _OrderEvent(AgentEvent):
    order_id: int
    market: str
    client_order_id: str | None


@dataclass(frozen=True, slots=True)
class OrderPlaced(_OrderEvent):
    """An order was accepted; its fills follow as events of their own."""

    command_id: str
    side: Side
    order_type: str
    quantity: Decimal
    """Whole units of the base asset; 0 for an order with a budget instead."""
    price: Decimal | None


@dataclass(frozen=True, slots=True)
class OrderFilled(_OrderEvent):
    """An order traded ``quantity`` at ``price``: ``value`` and ``fee`` are credits."""

    trade_id: int
    side: Side
    price: Decimal
    quantity: Decimal
    value: Decimal
    fee: Decimal
    remaining: Decimal
    liquidity: Literal["maker", "taker", "auction"]


@dataclass(frozen=True, slots=True)
class OrderCanceled(_OrderEvent):
    """What remained of an order was canceled."""

    remaining: Decimal
    reason: str


@dataclass(frozen=True, slots=True)
class OrderExpired(_OrderEvent):
    """What remained of an order ended by its own terms."""

    remaining: Decimal
    reason: str


@dataclass(frozen=True, slots=True)
class OrderAmended(_OrderEvent):
    """An order has new terms; ``remaining`` is before any fill that they caused."""

    command_id: str
    quantity: Decimal
    remaining: Decimal
    price: Decimal | None
    trigger_price: Decimal | None


@dataclass(frozen=True, slots=True)
class OrderReduced(_OrderEvent):
    """Self-trade prevention took ``quantity`` off an order."""

    quantity: Decimal
    remaining: Decimal


@dataclass(frozen=True, slots=True)
class OrderTriggered(_OrderEvent):
    """A stop was set off and is now a live order."""


@dataclass(frozen=True, slots=True)
class AgentRegistered(AgentEvent):
    """An agent was admitted with ``endowment`` credits."""

    agent: str
    owner: str
    roles: tuple[str, ...]
    endowment: Decimal


@dataclass(frozen=True, slots=True)
class AgentStateChanged(AgentEvent):
    """An agent was suspended, halted, resumed or revoked."""

    agent: str
    state: str


@dataclass(frozen=True, slots=True)
class AssetChanged(AgentEvent):
    """Whole units of an asset were issued to the agent, or retired (negative)."""

    asset: str
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class SpendLimitReached(AgentEvent):
    """80 or 100 per cent of a spend limit are used; amounts are credits."""

    scope: str
    subject: str
    percent: int
    used: Decimal
    limit: Decimal


@dataclass(frozen=True, slots=True)
class VenueEvent(AgentEvent):
    """An event of another family; ``message`` is the wire struct, its amounts in smallest units."""

    type: str
    message: Event


@dataclass(frozen=True, slots=True)
class UnknownEvent(AgentEvent):
    """An event that is newer than this SDK, as it came."""

    type: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Gap:
    """Stand for events that are no longer held; ``account`` is how everything stands after them.

    They are ``missed_from`` to ``missed_to``. After a restore of the venue numbers begin
    anew, and ``missed_to`` may be the smaller one.
    """

    missed_from: int
    missed_to: int
    venue_time_us: int
    account: AccountSnapshot


AnyEvent = AgentEvent | Gap

_decode: Final = msgspec.json.Decoder(event_union()).decode
_decode_dict: Final = msgspec.json.Decoder(dict[str, Any]).decode


def _placed(seq: int, e: orders.OrderPlaced, t: Terms) -> AgentEvent:
    return OrderPlaced(
        seq,
        e.venue_time_us,
        e.order_id,
        e.market,
        e.client_order_id,
        e.command_id,
        e.side,
        e.order_type,
        t.quantity(e.quantity),
        maybe_credits(e.price),
    )


def _filled(seq: int, e: orders.OrderFilled, t: Terms) -> AgentEvent:
    return OrderFilled(
        seq,
        e.venue_time_us,
        e.order_id,
        e.market,
        e.client_order_id,
        e.trade_id,
        e.side,
        credits_from(e.price),
        t.quantity(e.quantity),
        credits_from(e.value),
        credits_from(e.fee),
        t.quantity(e.remaining),
        e.liquidity,
    )


def _canceled(seq: int, e: orders.OrderCanceled, t: Terms) -> AgentEvent:
    return OrderCanceled(
        seq, e.venue_time_us, e.order_id, e.market, e.client_order_id, t.quantity(e.remaining), e.reason
    )


def _expired(seq: int, e: orders.OrderExpired, t: Terms) -> AgentEvent:
    return OrderExpired(
        seq, e.venue_time_us, e.order_id, e.market, e.client_order_id, t.quantity(e.remaining), e.reason
    )


def _amended(seq: int, e: orders.OrderAmended, t: Terms) -> AgentEvent:
    return OrderAmended(
        seq,
        e.venue_time_us,
        e.order_id,
        e.market,
        e.client_order_id,
        e.command_id,
        t.quantity(e.quantity),
        t.quantity(e.remaining),
        maybe_credits(e.price),
        maybe_credits(e.trigger_price),
    )


def _reduced(seq: int, e: orders.OrderReduced, t: Terms) -> AgentEvent:
    return OrderReduced(
        seq,
        e.venue_time_us,
        e.order_id,
        e.market,
        e.client_order_id,
        t.quantity(e.quantity),
        t.quantity(e.remaining),
    )


def _triggered(seq: int, e: orders.OrderTriggered, _terms: Terms) -> AgentEvent:
    return OrderTriggered(seq, e.venue_time_us, e.order_id, e.market, e.client_order_id)


_ORDER_EVENTS: Final[dict[type[Event], Callable[[int, Any, Terms], AgentEvent]]] = {
    orders.OrderPlaced: _placed,
    orders.OrderFilled: _filled,
    orders.OrderCanceled: _canceled,
    orders.OrderExpired: _expired,
    orders.OrderAmended: _amended,
    orders.OrderReduced: _reduced,
    orders.OrderTriggered: _triggered,
}


async def convert_event(seq: int, raw: msgspec.Raw, catalog: Catalog) -> AgentEvent:
    """Return the event as users see it; one that cannot be read becomes an `UnknownEvent`."""
    try:
        event: Any = _decode(raw)
    except msgspec.ValidationError:
        data = _decode_dict(raw)
        return UnknownEvent(seq, int(data.get("venue_time_us", 0)), str(data.get("type", "")), data)
    convert = _ORDER_EVENTS.get(type(event))
    if convert is not None:
        if event.order_id:
            catalog.remember_order(event.order_id, event.market)
        return convert(seq, event, await catalog.terms(event.market))
    return await _convert_admin(seq, event, catalog)


async def _convert_admin(seq: int, event: Event, catalog: Catalog) -> AgentEvent:
    time_us = event.venue_time_us
    match event:
        case admin.AgentRegistered():
            return AgentRegistered(
                seq, time_us, event.agent, event.owner, tuple(event.roles), credits_from(event.endowment)
            )
        case admin.AgentStateChanged():
            return AgentStateChanged(seq, time_us, event.agent, event.state)
        case admin.AssetChanged():
            decimals = await catalog.decimals(event.asset)
            return AssetChanged(seq, time_us, event.asset, from_units(event.quantity, decimals))
        case admin.SpendLimitReached():
            return SpendLimitReached(
                seq,
                time_us,
                event.scope,
                event.subject,
                event.percent,
                credits_from(event.used),
                credits_from(event.limit),
            )
        case _:
            seen = convert_work_event(seq, event)
            if seen is not None:
                return seen
            return VenueEvent(seq, time_us, str(event.__struct_config__.tag), event)

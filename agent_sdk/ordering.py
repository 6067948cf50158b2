"""Make drafts of order commands from what users say, and orders from what the venue answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent_sdk.errors import UnreadableReply
from agent_sdk.markets import maybe_credits
from agent_sdk.money import to_credits, to_units
from agent_sdk.session import Draft
from exchange.messages.base import CREDIT_DECIMALS
from exchange.messages.orders import AmendOrder, CancelOrder, OrderOutcome, PlaceOrder

if TYPE_CHECKING:
    from agent_sdk.markets import Catalog, Terms
    from agent_sdk.models import NewOrder, Order
    from agent_sdk.money import Number
    from agent_sdk.requests import AnyOutcome

__all__ = ["amend_draft", "cancel_draft", "order_of", "place_draft", "placed_order"]


def _price(terms: Terms, value: Number, what: str = "price") -> int:
    try:
        return to_units(value, CREDIT_DECIMALS, what, step=terms.tick)
    except ValueError as error:
        message = f"{error} (market {terms.market})"
        raise ValueError(message) from None


def _quantity(terms: Terms, value: Number, what: str = "quantity") -> int:
    try:
        return to_units(value, terms.decimals, what, step=terms.lot)
    except ValueError as error:
        message = f"{error} (market {terms.market}, whole units of {terms.base})"
        raise ValueError(message) from None


def place_draft(terms: Terms, order: NewOrder, now_us: int) -> Draft:
    """Return the command that places ``order``; its encoding leaves out what is the default.

    Raises:
        TypeError: An amount is a float.
        ValueError: An amount does not fit the market.

    """
    fields: dict[str, Any] = {
        "market": order.market,
        "side": order.side,
        "order_type": order.order_type,
        "time_in_force": order.time_in_force,
        "post_only": order.post_only,
        "self_trade_prevention": order.self_trade_prevention,
        "client_order_id": order.client_order_id,
    }
    if order.quantity is not None:
        fields["quantity"] = _quantity(terms, order.quantity)
    if order.price is not None:
        fields["price"] = _price(terms, order.price)
    if order.trigger_price is not None:
        fields["trigger_price"] = _price(terms, order.trigger_price, "trigger_price")
    if order.display_quantity is not None:
        fields["display_quantity"] = _quantity(terms, order.display_quantity, "display_quantity")
    if order.budget is not None:
        fields["budget"] = to_credits(order.budget, "budget")
    _set_expiry(fields, order, now_us)
    return Draft(PlaceOrder, fields)


def _set_expiry(fields: dict[str, Any], order: NewOrder, now_us: int) -> None:
    if order.expires_in is not None and order.expires_at_us is not None:
        message = "give either expires_in (seconds) or expires_at_us (venue time), not both"
        raise ValueError(message)
    if order.expires_in is not None:
        fields["expires_at_us"] = now_us + int(order.expires_in * 1_000_000)
    elif order.expires_at_us is not None:
        fields["expires_at_us"] = order.expires_at_us
    else:
        return
    if order.time_in_force == "gtc":  # an order that expires is good till date
        fields["time_in_force"] = "gtd"


def amend_draft(
    terms: Terms,
    order_id: int,
    quantity: Number | None,
    price: Number | None,
    trigger_price: Number | None,
) -> Draft:
    """Return the command that changes an order.

    Raises:
        TypeError: An amount is a float.
        ValueError: An amount does not fit the market, or nothing is to be changed.

    """
    fields: dict[str, Any] = {"order_id": order_id}
    if quantity is not None:
        fields["quantity"] = _quantity(terms, quantity)
    if price is not None:
        fields["price"] = _price(terms, price)
    if trigger_price is not None:
        fields["trigger_price"] = _price(terms, trigger_price, "trigger_price")
    if len(fields) == 1:
        message = "nothing to amend: give quantity, price or trigger_price"
        raise ValueError(message)
    return Draft(AmendOrder, fields)


def cancel_draft(order_id: int | None, client_order_id: str | None) -> Draft:
    """Return the command that cancels an order named by exactly one of its ids.

    Raises:
        ValueError: Both ids are given, or none.

    """
    if (order_id is None) == (client_order_id is None):
        message = "name the order by exactly one of order_id and client_order_id"
        raise ValueError(message)
    if order_id is not None:
        return Draft(CancelOrder, {"order_id": order_id})
    return Draft(CancelOrder, {"client_order_id": client_order_id})


def order_of(outcome: AnyOutcome, terms: Terms, catalog: Catalog) -> Order:
    """Return the order that an accepted outcome tells of.

    Raises:
        UnreadableReply: The outcome is newer than this SDK; the command was accepted all the same.

    """
    if not isinstance(outcome, OrderOutcome) or outcome.order is None:
        message = f"command {outcome.id} was accepted, but its outcome cannot be read: update the SDK"
        raise UnreadableReply(message)
    catalog.remember_order(outcome.order.order_id, terms.market)
    return replace(terms.result(outcome.order), command_id=outcome.id)


def placed_order(outcome: AnyOutcome, terms: Terms, catalog: Catalog, draft: Draft) -> Order:
    """Return the order that was placed, with the terms it was placed with."""
    if not isinstance(outcome, OrderOutcome) or outcome.order is None:
        return order_of(outcome, terms, catalog)
    result, fields = outcome.order, draft.fields
    catalog.remember_order(result.order_id, terms.market)
    quantity, display = fields.get("quantity"), fields.get("display_quantity")
    return replace(
        terms.result(result),
        side=fields["side"],
        order_type=fields["order_type"],
        time_in_force=fields["time_in_force"],
        quantity=None if quantity is None else terms.quantity(quantity),
        price=maybe_credits(fields.get("price")),
        trigger_price=maybe_credits(fields.get("trigger_price")),
        display_quantity=None if display is None else terms.quantity(display),
        expires_at_us=fields.get("expires_at_us"),
        client_order_id=fields["client_order_id"],
        command_id=outcome.id,
    )

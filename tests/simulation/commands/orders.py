"""Draw commands of the family ``orders``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.messages.orders import AmendOrder, CancelAllAfter, CancelOrder, CreateMarket, MassCancel, PlaceOrder

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.commands.view import Drawn, MarketTerms, View

__all__ = ["draw"]

_CENTER: Final = 1_000
_SECOND_US: Final = 1_000_000
_TYPES: Final = ("limit",) * 10 + ("iceberg", "iceberg", "market", "budget", "stop", "stop_limit")
_MODES: Final = ("none", "expire_taker", "expire_maker", "expire_both", "decrement")


def draw(random: Random, view: View) -> Drawn:
    """Return a command that an agent might give."""
    dice = random.random()
    if dice < 0.68 or not view.orders:
        return PlaceOrder, _order(random, view)
    if dice < 0.80:
        return AmendOrder, {"order_id": _known(random, view), **_amendment(random)}
    if dice < 0.93:
        return CancelOrder, {"order_id": _known(random, view)}
    if dice < 0.96:
        market = random.choice((None, *(terms.market for terms in view.markets)))
        return MassCancel, {"market": market, "side": random.choice((None, "buy", "sell"))}
    if dice < 0.99:
        return CancelAllAfter, {"seconds": random.choice((0, 1, 2, 5))}
    view.made += 1
    base = random.choice(view.markets).base
    return CreateMarket, {"market": f"{view.agent}{view.made}", "base": base, "tick": 100, "price_band_bp": 0}


def _known(random: Random, view: View) -> int:
    return random.choice(view.orders[-12:]) if random.random() < 0.95 else random.randrange(1, 200)


def _order(random: Random, view: View) -> dict[str, Any]:
    terms = random.choice(view.markets)
    kind = random.choice(_TYPES)
    order: dict[str, Any] = {
        "market": terms.market,
        "side": random.choice(("buy", "sell")),
        "order_type": kind,
        "self_trade_prevention": random.choice(_MODES),
        "time_in_force": random.choice(("gtc",) * 8 + ("ioc", "fok", "gtd")),
    }
    if kind != "budget":
        order["quantity"] = terms.lot * random.choice((1, 2, 3, 5, 8, 20))
    if kind not in ("market", "budget", "stop") or random.random() < 0.5:
        order["price"] = _price(random, terms)
    if kind in ("stop", "stop_limit"):
        order["trigger_price"] = _price(random, terms)
    if kind == "iceberg":
        order["display_quantity"] = terms.lot * random.choice((1, 2))
    if kind == "budget":
        order["budget"] = random.choice((1, 999, 5_000, 20_000))
    if order["time_in_force"] == "gtd":
        order["expires_at_us"] = view.venue_time_us + random.choice((1, _SECOND_US, 3 * _SECOND_US))
    if random.random() < 0.1:
        order["post_only"] = True
    if random.random() < 0.2:
        order["client_order_id"] = f"c{random.randrange(20)}"
    return order


def _price(random: Random, terms: MarketTerms) -> int:
    step = round(random.triangular(-12, 12, 0))
    return max(terms.tick, (_CENTER + step * max(terms.tick, 2)) // terms.tick * terms.tick)


def _amendment(random: Random) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if random.random() < 0.6:
        fields["quantity"] = random.choice((1, 2, 4, 10, 20, 30, 80))
    if random.random() < 0.6:
        fields["price"] = max(10, (_CENTER + round(random.triangular(-12, 12, 0)) * 10) // 10 * 10)
    return fields

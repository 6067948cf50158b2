"""Draw commands of the family ``leases``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.messages.leases import (
    AcquireLeases,
    BidTurn,
    CollectRent,
    LeaseLeg,
    OfferRenewal,
    ReleaseLease,
    RenewLease,
    RevokeLease,
    WithdrawRenewal,
    WithdrawTurn,
)
from exchange.messages.orders import PlaceOrder

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.commands.view import Drawn, MarketTerms, View

__all__ = ["draw"]


_MARKETS: Final = ("lease", "slot")
_PRICES: Final = (950, 1_000, 1_000, 1_050)


def draw(random: Random, view: View) -> Drawn:
    """Return a command that an agent might give."""
    dice = random.random()
    lease = _lease(random, view)
    number = lease["lease"]
    price = random.choice(_PRICES)
    if dice < 0.3:
        return PlaceOrder, _order(random, view)
    if dice < 0.42:
        return AcquireLeases, {"legs": _legs(random, view)}
    if dice < 0.48:
        return ReleaseLease, lease
    if dice < 0.58:
        return RenewLease, {**lease, "max_price": random.choice((950, 1_200, 1_200))}
    if dice < 0.6:
        return RevokeLease, {"lease": number}
    if dice < 0.68:
        return CollectRent, {"lease": number}
    if dice < 0.8:
        target = random.choice(({"lease": number}, {"market": "lease"}, {"market": "slot"}))
        return OfferRenewal, {"price": price, **target}
    if dice < 0.83:
        return WithdrawRenewal, random.choice(({"lease": number}, {"market": "lease"}))
    if dice < 0.97:
        return BidTurn, {"resource": random.choice(("slot", "slot", "slot", "cpu")), "amount": price}
    return WithdrawTurn, {"resource": "slot"}


def _lease(random: Random, view: View) -> dict[str, Any]:
    """Name a lease of the agent's with its token, mostly a right one."""
    known = [(event.lease, event.fencing_token) for event in view.recent("leases.opened")]
    number, token = random.choice(known or [(random.randrange(1, 40), 1)])
    if random.random() < 0.1:
        token = max(1, token - 1)
    return {"lease": number, "fencing_token": token}


def _markets(view: View) -> list[MarketTerms]:
    return [terms for terms in view.markets if terms.market in _MARKETS]


def _order(random: Random, view: View) -> dict[str, Any]:
    """Offer capacity, or ask for some: so that there is something to lease."""
    terms = random.choice(_markets(view) or list(view.markets))
    return {
        "market": terms.market,
        "side": random.choice(("sell", "sell", "buy")),
        "quantity": terms.lot * random.choice((1, 1, 3)),
        "price": random.choice(_PRICES),
        "time_in_force": random.choice(("gtc", "gtc", "ioc")),
    }


def _legs(random: Random, view: View) -> list[LeaseLeg]:
    """Ask for one or more markets, all or nothing."""
    markets = _markets(view) or list(view.markets)
    chosen = random.sample(markets, random.randint(1, min(2, len(markets))))
    return [LeaseLeg(terms.market, terms.lot * random.choice((1, 1, 2)), 1_050) for terms in chosen]

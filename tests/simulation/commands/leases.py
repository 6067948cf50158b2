"""Draw commands of the family ``leases``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.commands.view import Drawn, View

__all__ = ["draw"]


def draw(random: Random, view: View) -> Drawn:
    """Return a command that an agent might give."""
    dice = random.random()
    lease = _lease(random, view)
    number = lease["lease"]
    price = random.choice((900, 1_000, 1_010, 1_100))
    if dice < 0.2:
        return AcquireLeases, {"legs": _legs(random, view)}
    if dice < 0.32:
        return ReleaseLease, lease
    if dice < 0.46:
        return RenewLease, {**lease, "max_price": random.choice((950, 1_200, 1_200))}
    if dice < 0.5:
        return RevokeLease, {"lease": number}
    if dice < 0.6:
        return CollectRent, {"lease": number}
    if dice < 0.76:
        target = random.choice(({"lease": number}, {"market": "lease"}, {"market": "slot"}))
        return OfferRenewal, {"price": price, **target}
    if dice < 0.8:
        return WithdrawRenewal, random.choice(({"lease": number}, {"market": "lease"}))
    if dice < 0.95:
        return BidTurn, {"resource": random.choice(("slot", "slot", "cpu")), "amount": price}
    return WithdrawTurn, {"resource": "slot"}


def _lease(random: Random, view: View) -> dict[str, Any]:
    """Name a lease of the agent's with its token, mostly a right one."""
    known = [(event.lease, event.fencing_token) for event in view.recent("leases.opened")]
    number, token = random.choice(known or [(random.randrange(1, 40), 1)])
    if random.random() < 0.1:
        token = max(1, token - 1)
    return {"lease": number, "fencing_token": token}


def _legs(random: Random, view: View) -> list[LeaseLeg]:
    """Ask for one or two markets; not all of them lease."""
    named = [terms.market for terms in view.markets if terms.market in ("lease", "slot")] or ["plain"]
    chosen = random.sample(named, random.randint(1, len(named)))
    return [LeaseLeg(market, random.choice((1, 1, 2, 3)), random.choice((980, 1_050, 1_100))) for market in chosen]

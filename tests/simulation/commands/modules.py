"""Draw commands of the family ``property``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.messages.property import (
    AbandonClaim,
    AcceptCheck,
    AllocateModule,
    AttestCheck,
    AttestWork,
    AuctionModule,
    BidOnModule,
    BuyModule,
    CancelModuleAuction,
    ClaimModule,
    CollectModuleRent,
    EndRental,
    GrantAccess,
    OfferModule,
    OfferRental,
    RegisterModule,
    ReleaseModule,
    RentModule,
    RevokeGrant,
    SetDependencies,
    SetRegime,
    StateValue,
    TopUpDeposit,
    WithdrawDeposit,
    WithdrawModuleBid,
    WithdrawModuleOffer,
    WithdrawRentalOffer,
)

if TYPE_CHECKING:
    from random import Random

    from exchange.messages.base import Command
    from tests.simulation.commands.view import Drawn, View

__all__ = ["draw"]

_SECOND_US: Final = 1_000_000
_CREDIT: Final = 1_000_000
_MODULES: Final = ("core", "auth", "ui", "db/pool")
_PRICES: Final = (0, 1, 7, 3 * _CREDIT, 20 * _CREDIT)

_WEIGHTS: Final[dict[type[Command], int]] = {
    RegisterModule: 6,
    SetDependencies: 4,
    GrantAccess: 6,
    RevokeGrant: 6,
    ReleaseModule: 1,
    OfferModule: 6,
    WithdrawModuleOffer: 2,
    BuyModule: 12,
    AuctionModule: 8,
    CancelModuleAuction: 8,
    BidOnModule: 16,
    WithdrawModuleBid: 5,
    ClaimModule: 12,
    AbandonClaim: 3,
    AttestWork: 14,
    AttestCheck: 8,
    AcceptCheck: 2,
    OfferRental: 8,
    WithdrawRentalOffer: 3,
    RentModule: 12,
    EndRental: 4,
    CollectModuleRent: 6,
    StateValue: 14,
    TopUpDeposit: 4,
    WithdrawDeposit: 4,
}


def draw(random: Random, view: View) -> Drawn:
    """Return a command that an agent might give."""
    if view.is_operator:
        return _operate(random, view)
    kind = random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    return kind, _fields(kind, random, view)


def _operate(random: Random, view: View) -> Drawn:
    dice, agent = random.random(), random.choice(view.agents)
    module = _other(ClaimModule, random, view)
    if dice < 0.4:
        return AllocateModule, {"module": module, "agent": agent}
    if dice < 0.7:
        return SetRegime, {"module": module, "regime": random.choice(("private", "harberger", "harberger"))}
    view.made += 1
    regime = random.choice(("private", "harberger"))
    return RegisterModule, {"module": f"{view.agent}/{view.made}", "owner": agent, "regime": regime}


def _fields(kind: type[Command], random: Random, view: View) -> dict[str, Any]:
    own, other = _own(random, view), _other(kind, random, view)
    if kind in (OfferModule, AuctionModule, OfferRental):
        return _offer(kind, own, random, view)
    if kind in (StateValue, TopUpDeposit, WithdrawDeposit, BuyModule):
        return _deposit(kind, own, other, random)
    if kind in (AttestWork, AttestCheck):
        return _attestation(kind, other, random, view)
    if kind in (AcceptCheck, RentModule, WithdrawRentalOffer, EndRental, CollectModuleRent):
        return _numbered(kind, random, view)
    if kind in (GrantAccess, RevokeGrant):
        return {"module": own, "agent": random.choice(view.agents[:3])}
    if kind in (RegisterModule, SetDependencies):
        view.made += 1
        new = random.choice((*_MODULES, f"{view.agent}/{view.made}"))
        return {"module": new if kind is RegisterModule else own, "dependencies": _names(random)}
    if kind is BidOnModule:
        return {"module": other, "price": random.choice(_PRICES)}
    mine = kind in (ReleaseModule, WithdrawModuleOffer)
    return {"module": own if mine else other}


def _numbered(kind: type[Command], random: Random, view: View) -> dict[str, Any]:
    """Name a check, an offer of a rental, or a rental, that somebody heard of."""
    if kind is AcceptCheck:
        checks = [event.attestation for event in view.recent("property.attested") if event.kind == "check"]
        return {"attestation": checks[-1] if checks else 1}
    if kind in (RentModule, WithdrawRentalOffer):
        return {"offer": view.guess(random, "module_offer")}
    place = 1 if kind is EndRental else 0
    known = [number for number, sides in view.estate.rentals.items() if sides[place] == view.agent]
    return {"rental": random.choice(known) if known else view.guess(random, "module_rental")}


def _own(random: Random, view: View) -> str:
    """Name a module, mostly one that the agent owns."""
    known = [module for module, owner in view.estate.owners.items() if owner == view.agent]
    return random.choice(known) if known and random.random() < 0.8 else random.choice(_MODULES)


def _other(kind: type[Command], random: Random, view: View) -> str:
    """Name a module of others, or of nobody, or one that is auctioned."""
    estate = view.estate
    if kind in (BidOnModule, WithdrawModuleBid):
        known = [module for module, closes_at_us in estate.auctions.items() if closes_at_us > view.venue_time_us]
    elif kind is CancelModuleAuction:
        known = [module for module in estate.auctions if estate.owners.get(module) == view.agent]
    elif kind in (ClaimModule, AbandonClaim):
        known = [module for module, owner in estate.owners.items() if owner is None]
    else:
        known = [module for module, owner in estate.owners.items() if owner not in (None, view.agent)]
    return random.choice(known) if known and random.random() < 0.8 else random.choice(_MODULES)


def _names(random: Random) -> list[str]:
    return random.sample(_MODULES, random.randint(0, 2))


def _offer(kind: type[Command], module: str, random: Random, view: View) -> dict[str, Any]:
    now_us = view.venue_time_us
    if kind is AuctionModule:
        closes_at_us = now_us + random.choice((60, 600, 3_600)) * _SECOND_US
        return {"module": module, "reserve": random.choice((0, 1, 3 * _CREDIT)), "closes_at_us": closes_at_us}
    to = random.choice((None, None, None, random.choice(view.agents)))
    if kind is OfferModule:
        until_us = random.choice((None, now_us + random.choice((1, 600)) * _SECOND_US))
        return {"module": module, "price": random.choice(_PRICES), "buyer": to, "until_us": until_us}
    return {
        "module": module,
        "price": random.choice((1, 7, 3 * _CREDIT)),
        "term_seconds": random.choice((60, 3_601, 86_400)),
        "exclusive": random.random() < 0.4,
        "renter": to,
    }


def _deposit(kind: type[Command], own: str, other: str, random: Random) -> dict[str, Any]:
    deposit = random.choice((0, 1, 1_400, 1_400, 40_000))
    if kind is StateValue:
        return {"module": own, "value": random.choice(_PRICES), "deposit": deposit}
    if kind is BuyModule:
        terms = {"new_value": random.choice(_PRICES), "deposit": deposit} if random.random() < 0.6 else {}
        return {"module": other, "max_price": 20 * _CREDIT, **terms}
    return {"module": own, "amount": random.choice((1, 30, 1_000))}


def _attestation(kind: type[Command], module: str, random: Random, view: View) -> dict[str, Any]:
    if kind is AttestCheck:
        return {"module": module, "score": random.choice((0, 50, 100))}
    if view.estate.writers and random.random() < 0.8:
        module, agent = random.choice(list(view.estate.writers.items())[-6:])
        return {"module": module, "agent": agent}
    return {"module": module, "agent": random.choice(view.agents)}

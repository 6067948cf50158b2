"""Hold a module: who owns it, who may write to it, and what is under way with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from exchange.messages.property import Regime, Title

__all__ = ["FORMER_MAX", "Holding", "Module", "RentalOffer", "SaleOffer"]

FORMER_MAX: Final = 16
"""So many earlier owners of a module are remembered."""


class SaleOffer(NamedTuple):
    """Be a standing offer to sell; without ``buyer``, to anybody."""

    number: int
    price: int
    buyer: str | None
    until_us: int | None
    deadline_id: int


class RentalOffer(NamedTuple):
    """Be a standing offer of write access for a term; without ``renter``, to anybody."""

    number: int
    price: int
    term_seconds: int
    is_exclusive: bool
    renter: str | None


class Holding:
    """Be what an owner has stated and deposited, since the tax was last counted anew.

    ``carry`` is the tax below one unit that is owed already, as a numerator. All amounts are in smallest units.
    """

    __slots__ = ("base_index", "carry", "collected", "deposit", "is_warned", "value")

    def __init__(self, value: int, deposit: int, base_index: int, carry: int, collected: int = 0) -> None:
        self.value = value
        self.deposit = deposit
        self.base_index = base_index
        self.carry = carry
        self.collected = collected
        """How much of ``deposit`` has gone to ``public_fund``."""
        self.is_warned = False
        """Whether its owner was warned that it will be exhausted."""

    def dump(self) -> list[object]:
        """Return the state as plain data: what can outgrow 64 bits is text."""
        return [self.value, self.deposit, str(self.base_index), self.carry, self.collected, self.is_warned]

    @staticmethod
    def load(state: Any) -> Holding:
        """Return the holding of which ``dump`` gave the state."""
        value, deposit, base_index, carry, collected, is_warned = state
        holding = Holding(value, deposit, int(base_index), carry, collected)
        holding.is_warned = is_warned
        return holding


class Module:
    """Be one module. Names of agents are ids; an empty one is nobody."""

    __slots__ = (
        "attested", "auction", "checks", "claims", "dependencies", "exclusive", "former", "grace_id",
        "grants", "handover_id", "holding", "lapse_id", "last_price", "name", "number", "offer", "owner",
        "owner_since_us", "regime", "registered_us", "registrar", "rental_offers", "rentals", "title", "token",
        "writer",
    )  # fmt: skip

    def __init__(self, number: int, name: str, regime: Regime, registered_us: int, registrar: str) -> None:
        self.number = number
        self.name = name
        self.regime = regime
        self.registered_us = registered_us
        self.registrar = registrar
        """The owner (a fleet) that registered it."""
        self.owner = ""
        self.owner_since_us = 0
        self.former: list[tuple[int, str]] = []
        """Until when it was whose, the earliest first; of an empty name it was nobody's."""
        self.title: Title | None = None
        self.dependencies: dict[str, int] = {}
        """Since when it is registered that this module depends on another."""
        self.token = 0
        self.grants: dict[str, None] = {}
        self.writer = ""
        """Who was the owner, and still writes until the write token moves."""
        self.handover_id = 0
        self.offer: SaleOffer | None = None
        self.rental_offers: dict[int, RentalOffer] = {}
        self.rentals: dict[int, None] = {}
        self.exclusive = 0
        """The one of ``rentals`` that is exclusive."""
        self.auction = 0
        self.claims: dict[str, int] = {}
        """The open claims by their owner (a fleet), the oldest first."""
        self.attested = 0
        """The claim of which the work is attested, and not final."""
        self.checks: dict[int, None] = {}
        """The checks that are not final."""
        self.lapse_id = 0
        """When a homestead lapses without use."""
        self.grace_id = 0
        """Until when a value must be stated."""
        self.holding: Holding | None = None
        self.last_price: int | None = None

    @property
    def cause(self) -> str:
        """Return the cause under which its deposit moves."""
        return f"property:{self.name}"

    def note_former(self, until_us: int) -> None:
        """Remember whose it was until now."""
        self.former.append((until_us, self.owner))
        if len(self.former) > FORMER_MAX:
            del self.former[0]

    def owner_at(self, time_us: int) -> str:
        """Return whose it was at a time, as far back as is remembered."""
        for until_us, owner in self.former:
            if time_us < until_us:
                return owner
        return self.owner

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        offer, holding = self.offer, self.holding
        return [
            self.number, self.name, self.regime, self.registered_us, self.registrar, self.owner, self.owner_since_us,
            self.title, list(self.dependencies.items()), self.token, list(self.grants), self.writer, self.handover_id,
            None if offer is None else list(offer), [list(each) for each in self.rental_offers.values()],
            list(self.rentals), self.exclusive, self.auction, list(self.claims.items()), self.attested,
            list(self.checks), self.lapse_id, self.grace_id, None if holding is None else holding.dump(),
            self.last_price, [list(each) for each in self.former],
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Module:
        """Return the module of which ``dump`` gave the state."""
        module = Module(*state[:5])
        (
            module.owner, module.owner_since_us, module.title, dependencies, module.token, grants, module.writer,
            module.handover_id, offer, rental_offers, rentals, module.exclusive, module.auction, claims,
            module.attested, checks, module.lapse_id, module.grace_id, holding, module.last_price, former,
        ) = state[5:]  # fmt: skip
        module.dependencies = dict(dependencies)
        module.former = [(until_us, owner) for until_us, owner in former]
        module.grants = dict.fromkeys(grants)
        module.offer = None if offer is None else SaleOffer(*offer)
        module.rental_offers = {fields[0]: RentalOffer(*fields) for fields in rental_offers}
        module.rentals = dict.fromkeys(rentals)
        module.claims = dict(claims)
        module.checks = dict.fromkeys(checks)
        module.holding = None if holding is None else Holding.load(holding)
        return module

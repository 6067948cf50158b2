"""Hold what users see of modules, claims, rentals and attestations: amounts in whole credits."""

from __future__ import annotations

from dataclasses import dataclass

from agent_sdk.reading import Credits
from exchange.messages.property import AttestationKind, Regime, Title

__all__ = [
    "AttestedModule",
    "ClaimedModule",
    "Module",
    "ModuleAttestation",
    "ModuleAuction",
    "ModuleBid",
    "ModuleClaim",
    "ModuleDependency",
    "ModuleDeposit",
    "ModuleRental",
    "RentalChange",
    "RentalOffer",
    "WriteAccess",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteAccess:
    """Say whether an agent may write to a module now, and with which token.

    Whoever guards the module refuses tokens below the highest that it has seen. ``until_us``: when that is bound to
    change by itself, if nothing else happens.
    """

    module: str
    agent: str
    may_write: bool
    fencing_token: int
    owner: str | None
    until_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleDependency:
    """Name a module that another depends on, and since when that is registered."""

    module: str
    since_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleClaim:
    """Describe a claim to a module of nobody; ``attested``: its work waits to be final."""

    claim: int
    agent: str
    attested: bool
    lapses_at_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RentalOffer:
    """Describe an offer of write access for a term."""

    offer: int
    price: Credits
    term_seconds: int
    exclusive: bool
    renter: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleAttestation:
    """Describe an attestation that is not final; ``score`` only of a check."""

    attestation: int
    kind: AttestationKind
    agent: str
    attester: str
    final_at_us: int | None
    score: int | None
    reference: str
    dispute: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """Describe a module: whose it is, who may write, what it is offered, auctioned or let for, and its value and tax.

    ``value``, ``deposit`` (what is left now) and ``exhausted_at_us`` are of the harberger regime. ``writer`` still has
    the write access until ``handover_us``.
    """

    id: str
    regime: Regime
    registered_us: int
    fencing_token: int
    owner: str | None
    owner_since_us: int | None
    title: Title | None
    dependencies: tuple[ModuleDependency, ...]
    grants: tuple[str, ...]
    writer: str | None
    handover_us: int | None
    price: Credits | None
    offer: int | None
    buyer: str | None
    until_us: int | None
    auction: int | None
    closes_at_us: int | None
    reserve: Credits | None
    is_foreclosure: bool
    value: Credits | None
    value_due_us: int | None
    deposit: Credits | None
    exhausted_at_us: int | None
    lapses_at_us: int | None
    last_price: Credits | None
    exclusive_rental: int | None
    rental_offers: tuple[RentalOffer, ...]
    claims: tuple[ModuleClaim, ...]
    attestations: tuple[ModuleAttestation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleRental:
    """Describe a rental; ``accrued`` is the rent due to the owner up to now, ``paid`` what it was paid of that."""

    id: int
    module: str
    owner: str
    renter: str
    rent: Credits
    accrued: Credits
    paid: Credits
    started_us: int
    ends_us: int
    exclusive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleAuction:
    """Describe an open auction; without a ``seller`` it is of what was foreclosed."""

    id: int
    module: str
    reserve: Credits
    closes_at_us: int
    seller: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleBid:
    """Describe a sealed bid of the agent."""

    module: str
    auction: int
    price: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleDeposit:
    """Say what changed value or deposit left: the deposit now, and when it is exhausted at the present rate."""

    module: str
    value: Credits
    deposit: Credits
    exhausted_at_us: int | None
    fencing_token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedModule:
    """Say by which number a module is claimed, and until when the claim lives without attested work."""

    claim: int
    lapses_at_us: int
    fencing_token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestedModule:
    """Say by which number something is attested, and until when it may be disputed."""

    attestation: int
    final_at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RentalChange:
    """Say what began or changed a rental: what the owner was ``paid`` now, and what went back to the renter."""

    rental: int
    ends_us: int
    fencing_token: int
    paid: Credits
    refunded: Credits

"""Hold the events of property as users see them: amounts in whole credits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent_sdk.event_base import AgentEvent
from agent_sdk.reading import Credits
from exchange.messages import property as wire

if TYPE_CHECKING:
    from exchange.messages.base import Event

__all__ = [
    "PROPERTY_EVENTS",
    "AttestationEnded",
    "ClaimEnded",
    "ModuleAttested",
    "ModuleAuctionClosed",
    "ModuleAuctionOpened",
    "ModuleDepositLow",
    "ModuleForeclosed",
    "ModuleRentPaid",
    "ModuleTaxCollected",
    "ModuleValueStated",
    "OwnershipMoved",
    "RentalBegun",
    "RentalEnded",
    "RentalOffered",
    "SaleOffered",
    "WriteAccessMoved",
]


@dataclass(frozen=True, slots=True)
class OwnershipMoved(AgentEvent):
    """A module changed hands; under the harberger regime its owner states a value before ``value_due_us``."""

    module: str
    how: str
    owner: str | None
    previous: str | None
    price: Credits
    value_due_us: int | None


@dataclass(frozen=True, slots=True)
class WriteAccessMoved(AgentEvent):
    """Whether this agent may write to a module from now on, and with which token."""

    module: str
    may_write: bool
    fencing_token: int


@dataclass(frozen=True, slots=True)
class SaleOffered(AgentEvent):
    """A module is offered, by this agent or to it; `agent.property.buy` takes it."""

    module: str
    offer: int
    seller: str
    price: Credits
    buyer: str | None
    until_us: int | None


@dataclass(frozen=True, slots=True)
class ModuleAuctionOpened(AgentEvent):
    """A module of this agent, or that it has lost, is auctioned."""

    module: str
    auction: int
    reserve: Credits
    closes_at_us: int
    is_foreclosure: bool


@dataclass(frozen=True, slots=True)
class ModuleAuctionClosed(AgentEvent):
    """An auction has closed in which this agent sold or bid."""

    module: str
    auction: int
    awarded: bool
    winner: str | None
    price: Credits
    bids: int


@dataclass(frozen=True, slots=True)
class ModuleAttested(AgentEvent):
    """Work on a module, its use, or a check of it was attested; it may be disputed until ``final_at_us``."""

    module: str
    attestation: int
    kind: str
    agent: str
    attester: str
    final_at_us: int
    score: int | None
    reference: str


@dataclass(frozen=True, slots=True)
class AttestationEnded(AgentEvent):
    """An attestation is final, was overturned, or is about nothing any more."""

    module: str
    attestation: int
    kind: str
    outcome: str


@dataclass(frozen=True, slots=True)
class ClaimEnded(AgentEvent):
    """A claim to a module has ended; ``homesteaded``: it is this agent's now."""

    module: str
    claim: int
    how: str


@dataclass(frozen=True, slots=True)
class RentalOffered(AgentEvent):
    """Write access is to let, by this agent or to it; `agent.property.rent` takes it."""

    module: str
    offer: int
    owner: str
    price: Credits
    term_seconds: int
    exclusive: bool
    renter: str | None


@dataclass(frozen=True, slots=True)
class RentalBegun(AgentEvent):
    """A rental runs."""

    module: str
    rental: int
    owner: str
    renter: str
    rent: Credits
    ends_us: int
    exclusive: bool


@dataclass(frozen=True, slots=True)
class ModuleRentPaid(AgentEvent):
    """Accrued rent was paid; ``paid`` is all that was paid so far."""

    module: str
    rental: int
    amount: Credits
    paid: Credits


@dataclass(frozen=True, slots=True)
class RentalEnded(AgentEvent):
    """A rental is over: all the rent that was paid, and what went back to the renter."""

    module: str
    rental: int
    how: str
    paid: Credits
    refunded: Credits


@dataclass(frozen=True, slots=True)
class ModuleValueStated(AgentEvent):
    """The value of a module, on which it is taxed, and what is left of its deposit."""

    module: str
    value: Credits
    deposit: Credits
    exhausted_at_us: int | None


@dataclass(frozen=True, slots=True)
class ModuleTaxCollected(AgentEvent):
    """Tax went to the public fund; ``deposit`` is what is left, until ``exhausted_at_us`` at the present rate."""

    module: str
    amount: Credits
    deposit: Credits
    exhausted_at_us: int | None


@dataclass(frozen=True, slots=True)
class ModuleDepositLow(AgentEvent):
    """A module is foreclosed at ``exhausted_at_us`` unless `agent.property.top_up` adds to its deposit."""

    module: str
    value: Credits
    deposit: Credits
    exhausted_at_us: int


@dataclass(frozen=True, slots=True)
class ModuleForeclosed(AgentEvent):
    """A module is lost to this agent, as of ``at_us``; ``refunded`` is what was left of its deposit."""

    module: str
    why: str
    at_us: int
    refunded: Credits


PROPERTY_EVENTS: Final[dict[type[Event], type[AgentEvent]]] = {
    wire.OwnershipMoved: OwnershipMoved,
    wire.WriteAccessMoved: WriteAccessMoved,
    wire.SaleOffered: SaleOffered,
    wire.ModuleAuctionOpened: ModuleAuctionOpened,
    wire.ModuleAuctionClosed: ModuleAuctionClosed,
    wire.ModuleAttested: ModuleAttested,
    wire.AttestationEnded: AttestationEnded,
    wire.ClaimEnded: ClaimEnded,
    wire.RentalOffered: RentalOffered,
    wire.RentalBegun: RentalBegun,
    wire.ModuleRentPaid: ModuleRentPaid,
    wire.RentalEnded: RentalEnded,
    wire.ModuleValueStated: ModuleValueStated,
    wire.ModuleTaxCollected: ModuleTaxCollected,
    wire.ModuleDepositLow: ModuleDepositLow,
    wire.ModuleForeclosed: ModuleForeclosed,
}
"""What each event of the wire is to users."""

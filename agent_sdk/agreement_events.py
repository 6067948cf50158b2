"""Hold the events of leases, help, contracts, packages and disputes as users see them: amounts in whole credits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent_sdk.agreement_models import Ruling
from agent_sdk.event_base import AgentEvent
from agent_sdk.package_models import PackageWinner
from agent_sdk.reading import Credits
from exchange.messages import contracts, disputes, expertise, leases, packages

if TYPE_CHECKING:
    from exchange.messages.base import Event

__all__ = [
    "AGREEMENT_EVENTS",
    "ArbitratorSeated",
    "ContractAttested",
    "ContractBound",
    "ContractEnded",
    "ContractProposed",
    "DisputeDecided",
    "DisputeOpened",
    "HelpEngaged",
    "LeaseEnded",
    "LeaseOpened",
    "LeaseRenewed",
    "PackageBidDropped",
    "PackagesClosed",
    "PackagesEnded",
    "RatingOpened",
    "RatingPublished",
    "SignatureRequested",
    "StakeChanged",
    "TurnEnded",
]


@dataclass(frozen=True, slots=True)
class LeaseOpened(AgentEvent):
    """A lease runs; ``quantity`` is in smallest units of the asset."""

    lease: int
    market: str
    asset: str
    quantity: int
    lessee: str
    lessor: str
    price: Credits
    rent: Credits
    compensation: Credits
    ends_us: int
    fencing_token: int


@dataclass(frozen=True, slots=True)
class LeaseRenewed(AgentEvent):
    """A lease was extended for ``rent``."""

    lease: int
    price: Credits
    rent: Credits
    ends_us: int


@dataclass(frozen=True, slots=True)
class LeaseEnded(AgentEvent):
    """A lease is over; ``paid`` is all the rent that the lessor got."""

    lease: int
    how: str
    fencing_token: int
    paid: Credits
    refunded: Credits
    compensation: Credits


@dataclass(frozen=True, slots=True)
class TurnEnded(AgentEvent):
    """The next turn of a resource was given, or nobody gets one."""

    resource: str
    won: bool
    lease: int | None
    price: Credits | None


@dataclass(frozen=True, slots=True)
class HelpEngaged(AgentEvent):
    """A session has begun; ``settlement`` is what is to be delivered and confirmed."""

    session: int
    settlement: int
    topic: str
    helper: str
    requester: str
    price: Credits
    bond: Credits
    minutes: int
    deliver_by_us: int


@dataclass(frozen=True, slots=True)
class RatingOpened(AgentEvent):
    """The other side of a settlement may be rated until ``until_us``."""

    settlement: int
    other: str
    domain: str
    until_us: int


@dataclass(frozen=True, slots=True)
class RatingPublished(AgentEvent):
    """A rating is no longer sealed; ``weight`` is the evidence, in credits, that it counts for."""

    settlement: int
    rater: str
    rated: str
    domain: str
    score: int
    weight: Credits


@dataclass(frozen=True, slots=True)
class ContractProposed(AgentEvent):
    """A contract waits for signatures."""

    contract: int
    title: str
    payer: str
    total: Credits
    sign_by_us: int
    evaluate_by_us: int


@dataclass(frozen=True, slots=True)
class ContractBound(AgentEvent):
    """All have signed; a settlement for each part follows."""

    contract: int


@dataclass(frozen=True, slots=True)
class ContractAttested(AgentEvent):
    """A statement was attested; final at ``final_at_us``, and to be disputed until then."""

    contract: int
    attestation: int
    statement: str
    holds: bool
    final_at_us: int


@dataclass(frozen=True, slots=True)
class ContractEnded(AgentEvent):
    """A contract ended; ``paid`` is what this agent got, bonds aside."""

    contract: int
    outcome: str
    paid: Credits


@dataclass(frozen=True, slots=True)
class SignatureRequested(AgentEvent):
    """A team's bid waits for `agent.packages.sign` until ``closes_at_us``; `agent.packages.bids` shows it."""

    auction: int
    bidder: str
    version: int
    closes_at_us: int


@dataclass(frozen=True, slots=True)
class PackageBidDropped(AgentEvent):
    """A bid of which the agent was a member counts no more."""

    auction: int
    bidder: str
    version: int
    reason: str


@dataclass(frozen=True, slots=True)
class PackagesClosed(AgentEvent):
    """No bid can change any more; the winners are known by ``until_us``."""

    auction: int
    until_us: int


@dataclass(frozen=True, slots=True)
class PackagesEnded(AgentEvent):
    """A package auction that was posted or bid for ended; settlements with the winners follow.

    ``winners``: all of them for the poster, for everybody else what it won itself; ``packages.get`` has the rest.
    """

    auction: int
    outcome: str
    pricing: str | None
    winners: tuple[PackageWinner, ...]


@dataclass(frozen=True, slots=True)
class DisputeOpened(AgentEvent):
    """Something is disputed; ``disputer`` gets its way if the dispute is upheld."""

    dispute: int
    family: str
    number: int
    disputer: str
    respondent: str
    deposit: Credits
    statement: str


@dataclass(frozen=True, slots=True)
class ArbitratorSeated(AgentEvent):
    """The agent was drawn for a panel, and has to rule before ``rule_by_us``."""

    dispute: int
    family: str
    number: int
    disputer: str
    respondent: str
    amount: Credits
    rule_by_us: int
    statement: str


@dataclass(frozen=True, slots=True)
class DisputeDecided(AgentEvent):
    """A dispute was decided; ``fee`` is what the panel is due."""

    dispute: int
    family: str
    number: int
    verdict: str
    fee: Credits
    rulings: tuple[Ruling, ...]


@dataclass(frozen=True, slots=True)
class StakeChanged(AgentEvent):
    """What the agent has at stake as an arbitrator changed."""

    stake: Credits
    change: Credits
    dispute: int


AGREEMENT_EVENTS: Final[dict[type[Event], type[AgentEvent]]] = {
    leases.LeaseOpened: LeaseOpened,
    leases.LeaseRenewed: LeaseRenewed,
    leases.LeaseEnded: LeaseEnded,
    leases.TurnEnded: TurnEnded,
    expertise.HelpEngaged: HelpEngaged,
    expertise.RatingOpened: RatingOpened,
    expertise.RatingPublished: RatingPublished,
    contracts.ContractProposed: ContractProposed,
    contracts.ContractBound: ContractBound,
    contracts.ContractAttested: ContractAttested,
    contracts.ContractEnded: ContractEnded,
    packages.SignatureRequested: SignatureRequested,
    packages.PackageBidDropped: PackageBidDropped,
    packages.PackagesClosed: PackagesClosed,
    packages.PackagesEnded: PackagesEnded,
    disputes.DisputeOpened: DisputeOpened,
    disputes.ArbitratorSeated: ArbitratorSeated,
    disputes.DisputeDecided: DisputeDecided,
    disputes.StakeChanged: StakeChanged,
}
"""How events of these families are seen; those that are not here arrive as `VenueEvent`."""
